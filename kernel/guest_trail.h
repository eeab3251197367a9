/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The digest trail of a run that is recorded or replayed: a line of text for each check,
 * with the check's digest of every register, field of the machine and page looked at
 * (guest_digest.h). It leaves by a serial port of its own; tools/replay.py compares two.
 * Parts of a line are separated by tabs:
 *
 *     120 + 7, rip 0xffffffff81000000    gpr[VCPU_RAX]=0123456789abcdef    ...    memory page 0x3f000=...
 */
#ifndef KERNEL_GUEST_TRAIL_H
#define KERNEL_GUEST_TRAIL_H

#include "include/bits.h"
#include "include/position.h"

struct guest_digest;

/* Trails go out of the UART at `port` from now on. NULL, or one line that says why not. */
const char *guest_trail_init(uint16_t port);

/* A new run begins. */
void guest_trail_restart(void);

/* Is there room for the checks of one guest_poll()? Without a trail there always is. */
bool guest_trail_has_room(void);

/* The guest was checked at `here`. */
void guest_trail_put(const struct position *here, const struct guest_digest *digest);

/* Sends what the port takes; says so when all of a run that `is_over` has gone. True: something was sent. */
bool guest_trail_poll(bool is_over);

#endif
