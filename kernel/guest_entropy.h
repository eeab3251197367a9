/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random bytes for the guest's virtio-rng. They enter as a logged input, so both
 * servers' guests get the same, and a replay as well.
 */
#ifndef KERNEL_GUEST_ENTROPY_H
#define KERNEL_GUEST_ENTROPY_H

#include "include/bits.h"
#include "machine/machine.h"

/* Seeds the generator. Start-up only, before the other calls. */
void guest_entropy_init(void);

/* Power-on of the guest, or the bytes came by the log: what was asked for is forgotten. */
void guest_entropy_forget(void);

/* A MACHINE_OUTPUT_ENTROPY for `size` bytes, at most MACHINE_ENTROPY_MAX. */
void guest_entropy_take(uint32_t size);

/* The bytes asked for; false when none are. They stay until the next call. */
bool guest_entropy_input(struct machine_input *input);

#endif
