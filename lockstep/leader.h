/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The leader's side of the log: decides where an input enters the instruction
 * stream and writes that down. Twin of follower.h: what is put here comes out
 * there, at the same place.
 *
 * The log is a stream of bytes. Its length is what an output is stamped with: the
 * output may leave the building when the follower has received that many bytes
 * (output commit, commit.h).
 */
#ifndef LOCKSTEP_LEADER_H
#define LOCKSTEP_LEADER_H

#include "include/bits.h"
#include "lockstep/record.h"

/* Largest record, encoded: what `room` must be for each call below. */
#define LEADER_RECORD_MAX (RECORD_HEADER_MAX + RECORD_DATA_MAX)

struct leader {
	struct record_codec codec;
	uint64_t written; /* bytes of log since its beginning */
	uint64_t records;
};

/* Begins a log at `position` and `time_ns`: power-on, a join or a takeover. */
void leader_init(struct leader *leader, const struct position *position, uint64_t time_ns);

/*
 * Each writes one record into `bytes` (at least RECORD_HEADER_MAX + input size of
 * room) and returns its length. Called by the run loop of a server that records or
 * leads, in the order in which things happen to the guest.
 */
uint64_t leader_value(struct leader *leader, const struct position *exit, uint32_t source, uint64_t time_ns,
		      uint8_t *bytes);
/* Without `data` its `size` bytes are the caller's to put behind; RECORD_HEADER_MAX of room will do. */
uint64_t leader_input(struct leader *leader, const struct position *position, uint64_t time_ns,
		      const struct record_input *input, const uint8_t *data, uint32_t size, uint8_t *bytes);
uint64_t leader_horizon(struct leader *leader, const struct position *position, uint8_t *bytes);
uint64_t leader_check(struct leader *leader, const struct position *position, uint64_t digest,
		      uint8_t *bytes);
uint64_t leader_control(struct leader *leader, const struct position *position, uint32_t decision,
			uint64_t argument, uint8_t *bytes);

#endif
