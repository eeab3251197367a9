/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest on its way to the other server. The source sends all of its memory while the
 * guest runs on, then what was written meanwhile, round after round; when little is left
 * the guest stands still for the rest and its context. The target puts everything in
 * place, and both compare a digest before the guest is one on two servers.
 */
#ifndef KERNEL_GUEST_JOIN_H
#define KERNEL_GUEST_JOIN_H

#include "include/bits.h"
#include "kernel/guest.h"
#include "lockstep/pair.h"

struct guest_join_statistics {
	uint64_t rounds;  /* of the last join, or the one under way */
	uint64_t bytes;	  /* of pages sent */
	uint64_t stop_ns; /* how long the guest stood still */
};

/* Takes memory to note written pages in. Start-up only. NULL, or one line that says why not. */
const char *guest_join_init(struct guest *guest, struct pair *pair);

/* ---- source: PAIR_ACTION_JOIN_COPY and JOIN_ABORT ---- */

void guest_join_copy(void);
void guest_join_abort(void);
/* Does the guest have to stand still for it? */
bool guest_join_stands(void);
/* Once a loop turn: sends what there is room for. True when it did. */
bool guest_join_poll(void);

/* ---- target: PAIR_ACTION_JOIN_TAKE and JOIN_LOAD ---- */

/* NULL, or one line that names what is wrong with the message. */
const char *guest_join_take(const uint8_t *message, uint64_t size);
/* The guest is what was sent: NULL, or one line that says why it cannot be. `digest` is the source's. */
const char *guest_join_load(uint64_t digest);

const struct guest_join_statistics *guest_join_statistics(void);

#endif
