/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The follower's side of the log: replays what the leader decided, exactly there.
 * Twin of leader.h. Also replays a recording from a file.
 *
 * The run loop asks follower_plan() before each run of the guest and does what it
 * says; at an exit that needs a value it asks follower_value(). A follower that
 * finds itself where the leader never was has diverged: it says how, and stops.
 *
 *     position of the next record   the plan
 *     here                          apply it: input, check, control
 *     further on, same exits        run exactly that many steps
 *     further on, later exit        run to the next synchronous exit
 *     behind us, or other RIP       diverged
 *     there is none                 wait: never run past what the leader has told
 */
#ifndef LOCKSTEP_FOLLOWER_H
#define LOCKSTEP_FOLLOWER_H

#include "include/bits.h"
#include "lockstep/record.h"

enum follower_verdict {
	FOLLOWER_WAIT,	   /* nothing to go by */
	FOLLOWER_RUN,	   /* run for at most `steps_max` steps or to a synchronous exit */
	FOLLOWER_APPLY,	   /* `record` (INPUT, CHECK or CONTROL) takes effect here: then follower_applied() */
	FOLLOWER_DIVERGED, /* `reason` tells how */
};

#define FOLLOWER_STEPS_UNLIMITED UINT64_MAX

struct follower {
	struct record_codec codec;
	uint8_t *buffer;      /* received, not yet replayed; the owner's memory */
	uint64_t buffer_size; /* bytes; at least 2 * LEADER_RECORD_MAX */
	uint64_t start;	      /* first byte not decoded */
	uint64_t end;	      /* behind the last byte received */
	uint64_t received;    /* bytes of log since its beginning: what is acknowledged to the leader */
	uint64_t replayed;    /* records */
	bool has_next;
	bool broken;	    /* the log holds what no leader writes */
	struct record next; /* decoded, its data still in the buffer */
};

struct follower_plan {
	enum follower_verdict verdict;
	uint64_t steps_max;
	const struct record *record; /* good until follower_applied() */
	const char *reason;	     /* DIVERGED: one line for the event and the trail */
};

/* A log that begins at `position` and `time_ns`, as the leader's. */
void follower_init(struct follower *follower, uint8_t *buffer, uint64_t buffer_size,
		   const struct position *position, uint64_t time_ns);

/* Bytes that may be given to follower_receive() now. */
uint64_t follower_room(const struct follower *follower);

/* Takes `size` bytes of log, at most follower_room(). */
void follower_receive(struct follower *follower, const uint8_t *bytes, uint64_t size);

/* What to do at `now`, where the guest stands between two runs. */
void follower_plan(struct follower *follower, const struct position *now, struct follower_plan *plan);

/* The record of the last APPLY has taken effect. */
void follower_applied(struct follower *follower);

/*
 * The value for the undetermined access at exit `exit`: 0 with `time_ns` filled, or
 * -EAGAIN when it has not come yet (wait, ask again), or -EILSEQ with `reason`: diverged.
 */
int follower_value(struct follower *follower, const struct position *exit, uint32_t source, uint64_t *time_ns,
		   const char **reason);

/* Has all that was received been replayed? Then a follower whose leader died may lead. */
bool follower_is_at_end(struct follower *follower);

#endif
