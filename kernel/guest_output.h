/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guest says to the outside: frames, and bytes of its serial port, in the order
 * in which it made them. Without a pair all of it leaves at once. In a pair output commit
 * rules (docs/PROTOCOL.md): who leads holds each back until the follower has the log up to
 * behind it; who follows keeps its own until it hears that the leader's have left.
 *
 *     guest_output_frame(), guest_output_serial()   as the guest makes them
 *     guest_output_stamp()                          behind each slice, its horizon logged
 *     guest_output_poll()                           lets out what may go
 */
#ifndef KERNEL_GUEST_OUTPUT_H
#define KERNEL_GUEST_OUTPUT_H

#include "include/bits.h"
#include "lockstep/pair.h"

/* `pair` NULL: there is none. Start-up only. 0 or -ENOMEM. */
int guest_output_init(struct pair *pair);

/* Bytes of the guest's serial port go here. */
void guest_output_set_serial(void (*serial)(const char *bytes, uint64_t size));

/* The guest begins, or was loaded, having put out `count` pieces. */
void guest_output_restart(uint64_t count);
/* How many pieces it has put out since its power-on: part of its context. */
uint64_t guest_output_count(void);

void guest_output_frame(uint32_t port, const uint8_t *data, uint32_t size);
void guest_output_serial(const uint8_t *bytes, uint32_t size);

/* How long outputs are held back, of one at a time: sums since start-up. */
struct guest_output_held {
	uint64_t count;
	uint64_t ns;
};
const struct guest_output_held *guest_output_held(void);

/* Is there room for all that one slice may put out? The guest does not run without. */
bool guest_output_has_room(void);

void guest_output_stamp(void);
bool guest_output_poll(void);

/* Who follows: the leader's outputs up to `number` have left. */
void guest_output_released(uint64_t number);
/* Who follows takes over: what is not known to have left goes out from here, some of it perhaps twice. */
void guest_output_take_over(void);

#endif
