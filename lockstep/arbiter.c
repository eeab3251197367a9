/* SPDX-License-Identifier: Apache-2.0 */
/* Who may go on alone; see arbiter.h. */
#include "lockstep/arbiter.h"

#include "include/assert.h"

static struct arbiter_decision decision(enum arbiter_answer answer, const char *reason)
{
	return (struct arbiter_decision){ .answer = answer, .reason = reason };
}

/*
 * Is it for us to go on, when both live and the links between them do not? The same
 * answer whoever asks: every comparison is of agreed facts.
 */
static bool is_ours_to_go_on(const struct arbiter_question *question, const char **reason)
{
	const struct arbiter_facts *own = &question->facts[question->self];
	const struct arbiter_facts *peer = &question->facts[ARBITER_SERVER_B - question->self];

	if (own->disks_current != peer->disks_current) {
		*reason = own->disks_current ? "links lost, peer lives; only our disks are current"
					     : "links lost, peer lives; only its disks are current";
		return own->disks_current;
	}
	if (own->hardware_faults != peer->hardware_faults) {
		*reason = peer->hardware_faults ? "links lost, peer lives; its hardware has reported errors"
						: "links lost, peer lives; our hardware has reported errors";
		return peer->hardware_faults;
	}
	if (question->preferred != ARBITER_SERVER_NONE) {
		*reason = question->preferred == question->self
				  ? "links lost, peer lives; we are the preferred server"
				  : "links lost, peer lives; it is the preferred server";
		return question->preferred == question->self;
	}
	*reason = own->is_leader ? "links lost, peer lives; we lead" : "links lost, peer lives; it leads";
	return own->is_leader;
}

static struct arbiter_decision decide_between_living(const struct arbiter_question *question)
{
	const char *reason;

	if (!is_ours_to_go_on(question, &reason))
		return decision(ARBITER_STOP, reason);
	return decision(question->claim == ARBITER_CLAIM_STOPPED ? ARBITER_GO_ON : ARBITER_ASK, reason);
}

struct arbiter_decision arbiter_decide(const struct arbiter_question *question)
{
	const struct arbiter_facts *own = &question->facts[question->self];

	ASSERT(question->self < ARBITER_SERVER_COUNT);
	ASSERT(question->facts[ARBITER_SERVER_A].is_leader != question->facts[ARBITER_SERVER_B].is_leader);
	if (question->claim == ARBITER_CLAIM_ALONE)
		return decision(ARBITER_STOP, "the peer goes on alone already");
	switch (question->peer) {
	case DETECTOR_CUT_OFF:
		return decide_between_living(question);
	case DETECTOR_DEAD:
		if (!own->disks_current)
			return decision(ARBITER_STOP,
					"peer dead, but our disks are not current: its disks are needed");
		return decision(ARBITER_GO_ON, "peer dead");
	case DETECTOR_UNKNOWN:
		if (question->continue_when_unsure && own->disks_current)
			return decision(
				ARBITER_GO_ON,
				"no path works from here: told to continue, though the peer may, too");
		return decision(ARBITER_STOP, "no path works from here: it may be we who are cut off");
	case DETECTOR_ALIVE:
	case DETECTOR_SUSPECT:
	default:
		ASSERT(!"asked with a settled verdict");
		return decision(ARBITER_STOP, "no verdict");
	}
}
