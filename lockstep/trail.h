/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The digest trail: what the last checks looked like, field by field. Both sides keep
 * one. After a divergence they send each other the entry of the check that failed,
 * and the first field whose digests differ is where to look.
 *
 * Entries go by the number of their check in this duplex, not by position: a guest that is
 * halted is checked again and again at one position, with inputs in between.
 *
 * Fields are told apart by number only; their names and order are the owner's and the
 * same on both sides, since both are of one build.
 */
#ifndef LOCKSTEP_TRAIL_H
#define LOCKSTEP_TRAIL_H

#include "include/bits.h"
#include "include/position.h"

#define TRAIL_FIELD_MAX 256
#define TRAIL_SIZE 64 /* checks: more than a follower may lag behind */
#define TRAIL_FIELD_NONE UINT32_MAX

struct trail_entry {
	struct position position;
	uint64_t digest;
	uint32_t field_count;
	uint32_t reserved;
	uint64_t fields[TRAIL_FIELD_MAX];
};

struct trail {
	uint64_t count; /* ever put; the last TRAIL_SIZE are kept */
	struct trail_entry entries[TRAIL_SIZE];
};

void trail_clear(struct trail *trail);

/* The next number's. `field_count` is at most TRAIL_FIELD_MAX. */
void trail_put(struct trail *trail, const struct position *position, uint64_t digest, const uint64_t *fields,
	       uint32_t field_count);

/* The entry with `number`, from 0 on, or NULL: it is not kept any more, or was never put. */
const struct trail_entry *trail_find(const struct trail *trail, uint64_t number);

/* The first field that differs, or TRAIL_FIELD_NONE. */
uint32_t trail_difference(const struct trail_entry *a, const struct trail_entry *b);

#endif
