/* SPDX-License-Identifier: Apache-2.0 */
/* Who may go on alone; see arbiter.h. */
#include "lockstep/arbiter.h"

#include "include/assert.h"

static struct arbiter_decision decision(enum arbiter_answer answer, const char *reason)
{
	return (struct arbiter_decision){ .answer = answer, .reason = reason };
}

/*
 * Both live and the links between them do not: one of them, the same one whoever
 * asks. Every comparison is of agreed facts, so the order matters and nothing else.
 */
static struct arbiter_decision choose_between_living(const struct arbiter_question *question)
{
	const struct arbiter_facts *own = &question->facts[question->self];
	const struct arbiter_facts *peer = &question->facts[ARBITER_SERVER_B - question->self];

	if (own->disks_current != peer->disks_current)
		return own->disks_current ? decision(ARBITER_GO_ON, "links lost, peer lives; only our disks are current") :
					    decision(ARBITER_STOP, "links lost, peer lives; only its disks are current");
	if (own->hardware_faults != peer->hardware_faults)
		return peer->hardware_faults ?
			       decision(ARBITER_GO_ON, "links lost, peer lives; its hardware has reported errors") :
			       decision(ARBITER_STOP, "links lost, peer lives; our hardware has reported errors");
	if (question->preferred != ARBITER_SERVER_NONE)
		return question->preferred == question->self ?
			       decision(ARBITER_GO_ON, "links lost, peer lives; we are the preferred server") :
			       decision(ARBITER_STOP, "links lost, peer lives; it is the preferred server");
	return own->is_leader ? decision(ARBITER_GO_ON, "links lost, peer lives; we lead") :
				decision(ARBITER_STOP, "links lost, peer lives; it leads");
}

struct arbiter_decision arbiter_decide(const struct arbiter_question *question)
{
	const struct arbiter_facts *own = &question->facts[question->self];

	ASSERT(question->self < ARBITER_SERVER_COUNT);
	ASSERT(question->facts[ARBITER_SERVER_A].is_leader != question->facts[ARBITER_SERVER_B].is_leader);
	switch (question->peer) {
	case DETECTOR_CUT_OFF:
		return choose_between_living(question);
	case DETECTOR_DEAD:
		if (!own->disks_current)
			return decision(ARBITER_STOP, "peer dead, but our disks are not current: its disks are needed");
		return decision(ARBITER_GO_ON, "peer dead");
	case DETECTOR_UNKNOWN:
		if (question->override_alone && own->disks_current)
			return decision(ARBITER_GO_ON, "no path works from here; the administrator's override lets us go on");
		return decision(ARBITER_STOP, "no path works from here: it may be we who are cut off");
	case DETECTOR_ALIVE:
	case DETECTOR_SUSPECT:
	default:
		ASSERT(!"asked with a settled verdict");
		return decision(ARBITER_STOP, "no verdict");
	}
}
