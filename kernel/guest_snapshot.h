/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots of the guest in this server's own memory, for determinism tests: at random
 * positions all that makes the guest is copied out (its context, as a join sends it, and
 * its memory), the guest is made as good as new, and goes on from the copy. A recording
 * that is replayed that way must end as it did.
 */
#ifndef KERNEL_GUEST_SNAPSHOT_H
#define KERNEL_GUEST_SNAPSHOT_H

#include "include/bits.h"

struct guest;

/*
 * A snapshot about every `mean_steps` (not 0) from now on, at places that `seed` (not 0)
 * decides. After guest_init(). NULL, or one line that says why not.
 */
const char *guest_snapshot_init(struct guest *guest, uint64_t mean_steps, uint64_t seed);

/* Between two polls: goes through a snapshot if one is due. Does nothing without guest_snapshot_init(). */
void guest_snapshot_poll(void);

#endif
