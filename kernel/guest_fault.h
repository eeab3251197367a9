/* SPDX-License-Identifier: Apache-2.0 */
/* Faults on purpose: a bit of this server's replica alone is flipped, as failing hardware would. */
#ifndef KERNEL_GUEST_FAULT_H
#define KERNEL_GUEST_FAULT_H

#include "include/bits.h"

struct guest;

/*
 * Flips bit `bit` of what is called `what`: a register or a field of the machine by the
 * name that a divergence tells (machine/digest.h), or the 8 bytes of guest memory at an
 * address such as 64M. Between two guest_poll(). NULL, or one line that says why not.
 */
const char *guest_fault_flip(struct guest *guest, const char *what, uint32_t bit);

#endif
