/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one door through which everything undetermined enters the guest: times that it
 * asks for, and inputs. Behind the door either this server decides (and may write
 * down what it decided), or a log does:
 *
 *     GUEST_DOOR_OPEN      this server decides; nothing is written
 *     GUEST_DOOR_RECORD    this server decides; each decision goes to the log
 *     GUEST_DOOR_REPLAY    the log decides, and the guest stops where it says
 *     GUEST_DOOR_PAIR      the pair knows who decides, and has the log (lockstep/pair.h)
 *
 * A recording is kept in a piece of memory until guest_door_log_taken() says that it
 * went elsewhere (a serial port); whoever takes too long for it stops the guest in
 * time, or the recording ends there. A log to be replayed lies in memory as a whole.
 */
#ifndef KERNEL_GUEST_DOOR_H
#define KERNEL_GUEST_DOOR_H

#include "include/bits.h"
#include "include/position.h"
#include "kernel/time.h"
#include "lockstep/follower.h"
#include "lockstep/leader.h"
#include "lockstep/pair.h"
#include "machine/machine.h"

struct guest_digest;

enum guest_door_mode {
	GUEST_DOOR_OPEN,
	GUEST_DOOR_RECORD,
	GUEST_DOOR_REPLAY,
	GUEST_DOOR_PAIR,
};

struct guest_door {
	enum guest_door_mode mode;
	uint64_t start_ns; /* of this server's clock when virtual time was 0 */
	uint64_t last_ns;  /* last virtual time that the guest was told */

	/* RECORD */
	struct leader leader;
	uint8_t *log;	    /* where records go */
	uint64_t log_size;  /* bytes of room */
	uint64_t log_first; /* offset of the first byte that nobody has taken */
	uint64_t log_end;   /* offset behind the last byte */
	bool log_ended;	    /* the recording ends here, the guest goes on */

	/* REPLAY */
	struct follower follower;
	const uint8_t *recording; /* what the follower has not been given yet */
	uint64_t recording_size;
	const char *diverged; /* why the log and the guest do not belong together */

	struct pair *pair; /* PAIR */
};

/* Each begins at power-on: position 0, virtual time 0. */
void guest_door_open(struct guest_door *door);
void guest_door_record(struct guest_door *door, uint8_t *log, uint64_t log_size);

/* `recording` stays where it is; `buffer` is the follower's own, at least 4 * LEADER_RECORD_MAX bytes. */
void guest_door_replay(struct guest_door *door, const uint8_t *recording, uint64_t recording_size,
		       uint8_t *buffer, uint64_t buffer_size);

/* `pair` stays. Who leads and who follows may change whenever the guest does not run. */
void guest_door_pair(struct guest_door *door, struct pair *pair);

/* Does a log decide at present, and not this server? */
static inline bool guest_door_follows(const struct guest_door *door)
{
	return door->mode == GUEST_DOOR_REPLAY ||
	       (door->mode == GUEST_DOOR_PAIR && door->pair->role == PAIR_FOLLOWER);
}

/* May this server decide anything here? In a pair that leads: not while the log has no room. */
static inline bool guest_door_decides(const struct guest_door *door)
{
	return door->mode == GUEST_DOOR_PAIR ? pair_decides(door->pair) : door->mode != GUEST_DOOR_REPLAY;
}

/* RECORD: the bytes at `*bytes` have been made and not been taken yet; how many. Good until the guest runs. */
static inline uint64_t guest_door_log(const struct guest_door *door, const uint8_t **bytes)
{
	*bytes = door->log + door->log_first;
	return door->log_end - door->log_first;
}

/* RECORD: `size` of them have gone elsewhere. */
static inline void guest_door_log_taken(struct guest_door *door, uint64_t size)
{
	door->log_first += size;
}

/* RECORD: bytes of records that there is room for. */
static inline uint64_t guest_door_log_room(const struct guest_door *door)
{
	return door->log_size - (door->log_end - door->log_first);
}

/* RECORD: no record is added any more; the guest goes on without. `reason` goes into the trace. */
void guest_door_end_log(struct guest_door *door, const char *reason);

/* Virtual time now, by this server's clock, but never back; not for who follows. */
static inline uint64_t guest_door_now_ns(const struct guest_door *door)
{
	return max_u64(time_now_ns() - door->start_ns, door->last_ns);
}

/* OPEN: the time that the guest is told. */
static inline uint64_t guest_door_read_clock(struct guest_door *door)
{
	door->last_ns = guest_door_now_ns(door);
	return door->last_ns;
}

/* Virtual time goes on from `time_ns`. */
void guest_door_set_time(struct guest_door *door, uint64_t time_ns);

/* For guest_door_time(): what other modes than OPEN make of it. */
int guest_door_time_by_log(struct guest_door *door, const struct position *exit, uint64_t *time_ns);

/*
 * The time, for the access that exited at `exit`. 0 with `time_ns`; -EAGAIN: the log
 * has not got that far, ask again later; -EILSEQ: diverged.
 */
static inline int guest_door_time(struct guest_door *door, const struct position *exit, uint64_t *time_ns)
{
	if (door->mode != GUEST_DOOR_OPEN)
		return guest_door_time_by_log(door, exit, time_ns);
	*time_ns = guest_door_read_clock(door);
	return 0;
}

/*
 * This server decided: `input` takes effect at `position`. Only while guest_door_decides().
 * The time of a TIME input may be moved on a little: after a takeover it never goes back.
 */
void guest_door_put_input(struct guest_door *door, const struct position *position,
			  struct machine_input *input);

/* This server's digest of the guest at `position`. Not for who follows. */
void guest_door_put_check(struct guest_door *door, const struct position *position,
			  const struct guest_digest *digest);

/*
 * What to do at `now`: RUN for at most plan->steps_max, WAIT, APPLY the record, or
 * DIVERGED. When this server decides always RUN, without limit, or WAIT: a leader whose
 * log has no room, or whose follower is too far behind.
 */
void guest_door_plan(struct guest_door *door, const struct position *now, struct follower_plan *plan);

/* The record of the last APPLY has been applied. */
void guest_door_applied(struct guest_door *door);

/* This server's digest for the CHECK in `record`, of the last APPLY. False: diverged, in `door->diverged`. */
bool guest_door_compare(struct guest_door *door, const struct record *record,
			const struct guest_digest *digest);

/* PAIR: the guest ended a slice at `position`, and what it put out may follow when that has arrived. */
void guest_door_horizon(struct guest_door *door, const struct position *position);

/* The input in `record` (of an APPLY), as the machine wants it. */
void guest_door_input(const struct record *record, struct machine_input *input);

#endif
