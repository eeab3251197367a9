/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may go on alone (lockstep.md has the rule). A pure function of what the
 * detector says and of facts that both sides last agreed on, so that both, asking
 * alone, give answers that fit: never two that go on. Data beats availability: a
 * side that cannot know it is allowed stops, and says why; unless it is configured to
 * continue.
 *
 * Of two that live, the facts name the one to go on. It does not until the other
 * has said that it stopped: what we hear of the peer does not prove that it hears
 * us, and a peer that hears nobody takes us for dead and goes on.
 */
#ifndef LOCKSTEP_ARBITER_H
#define LOCKSTEP_ARBITER_H

#include "include/bits.h"
#include "lockstep/detector.h"

enum arbiter_server {
	ARBITER_SERVER_A,
	ARBITER_SERVER_B,
	ARBITER_SERVER_COUNT,
	ARBITER_SERVER_NONE = ARBITER_SERVER_COUNT,
};

/* About one server, as both sides last acknowledged it: not what one alone knows now. */
struct arbiter_facts {
	bool hardware_faults; /* machine checks, memory errors: it may have computed wrongly */
	bool disks_current;   /* every mirror set is whole on it */
	bool is_leader;
};

/* What the peer says of itself on a path besides the CS links. */
enum arbiter_claim {
	ARBITER_CLAIM_NONE,    /* nothing heard, or undecided as we are */
	ARBITER_CLAIM_ALONE,   /* it goes on alone */
	ARBITER_CLAIM_STOPPED, /* it has stopped its guest and left the going on to us */
};

struct arbiter_question {
	enum arbiter_server self;
	enum arbiter_server preferred; /* configured; NONE: the leader */
	struct arbiter_facts facts[ARBITER_SERVER_COUNT];
	enum detector_verdict peer; /* settled: not SUSPECT */
	enum arbiter_claim claim;
	bool continue_when_unsure; /* configured: availability beats data, both may go on */
};

enum arbiter_answer {
	ARBITER_GO_ON,
	ARBITER_STOP, /* for good, until we meet the peer; said to it by every path */
	ARBITER_ASK,  /* it is for us to go on, once the peer has said that it stopped: ask on */
};

struct arbiter_decision {
	enum arbiter_answer answer;
	const char *reason; /* one line for the event */
};

/* Asked when a pair in duplex has lost its links. */
struct arbiter_decision arbiter_decide(const struct arbiter_question *question);

#endif
