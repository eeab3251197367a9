/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one door through which everything undetermined enters the guest: times that it
 * asks for, and inputs. Behind the door either this server decides (and may write
 * down what it decided), or a log does:
 *
 *     GUEST_DOOR_OPEN      this server decides; nothing is written
 *     GUEST_DOOR_RECORD    this server decides; each decision goes to the log
 *     GUEST_DOOR_REPLAY    the log decides, and the guest stops where it says
 *
 * The log is a piece of memory here; whoever moves it elsewhere (a serial port, the
 * other server) takes it from or puts it there.
 */
#ifndef KERNEL_GUEST_DOOR_H
#define KERNEL_GUEST_DOOR_H

#include "include/bits.h"
#include "include/position.h"
#include "kernel/time.h"
#include "lockstep/follower.h"
#include "lockstep/leader.h"
#include "machine/machine.h"

enum guest_door_mode {
	GUEST_DOOR_OPEN,
	GUEST_DOOR_RECORD,
	GUEST_DOOR_REPLAY,
};

struct guest_door {
	enum guest_door_mode mode;
	uint64_t start_ns; /* of this server's clock when virtual time was 0 */
	uint64_t last_ns;  /* last virtual time that the guest was told */

	struct leader leader;
	uint8_t *log;	   /* RECORD: where records go */
	uint64_t log_size; /* bytes of room */
	uint64_t log_used;
	bool log_full; /* a record did not fit: the recording ends there */

	struct follower follower;
	const char *diverged; /* REPLAY: why the log and the guest do not belong together */
};

/* Each begins at power-on: position 0, virtual time 0. */
void guest_door_open(struct guest_door *door);
void guest_door_record(struct guest_door *door, uint8_t *log, uint64_t log_size);

/* `buffer` is the follower's own, at least `log_size` and 2 * LEADER_RECORD_MAX bytes. */
void guest_door_replay(struct guest_door *door, const uint8_t *log, uint64_t log_size, uint8_t *buffer,
		       uint64_t buffer_size);

/* Virtual time now, by this server's clock, but never back; not for REPLAY. */
static inline uint64_t guest_door_now_ns(const struct guest_door *door)
{
	return max_u64(time_now_ns() - door->start_ns, door->last_ns);
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
	door->last_ns = guest_door_now_ns(door);
	*time_ns = door->last_ns;
	return 0;
}

/* This server decided: `input` takes effect at `position`. Not for REPLAY. */
void guest_door_put_input(struct guest_door *door, const struct position *position,
			  const struct machine_input *input);

/* This server's digest of the guest at `position`. Not for REPLAY. */
void guest_door_put_check(struct guest_door *door, const struct position *position, uint64_t digest);

/*
 * What to do at `now`: RUN for at most plan->steps_max, WAIT, APPLY the record, or
 * DIVERGED. Always RUN, without limit, when this server decides.
 */
void guest_door_plan(struct guest_door *door, const struct position *now, struct follower_plan *plan);

/* The input in `record` (of an APPLY), as the machine wants it. */
void guest_door_input(const struct record *record, struct machine_input *input);

#endif
