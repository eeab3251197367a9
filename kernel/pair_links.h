/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CS links: frames of our EtherType (lockstep/wire.h) in and out of the ports of the
 * roles cs1 and cs2. What stands in them is the caller's business.
 */
#ifndef KERNEL_PAIR_LINKS_H
#define KERNEL_PAIR_LINKS_H

#include "drivers/net.h"
#include "lockstep/wire.h"

/* NULL: this server has no such port. Opened, and kept open, by pair_links_poll(). Start-up only. */
void pair_links_init(struct net_device *const ports[WIRE_LINK_COUNT]);

/* Hands each frame that has come to `take`, without its Ethernet header. True when there was one. */
bool pair_links_poll(void (*take)(uint32_t link, const uint8_t *frame, uint64_t size));

/*
 * Sends what `next` has for each link, until it answers 0 for both or the ports have no
 * room: it writes a frame of WIRE_FRAME_MAX bytes at most and returns its size.
 */
bool pair_links_transmit(uint64_t (*next)(uint32_t link, uint8_t *frame));

/* As of the last look, at `at_ns`. */
bool pair_links_carrier(uint32_t link, uint64_t *at_ns);

#endif
