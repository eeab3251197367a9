/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's network ports: its frames go out of this server's ports of the roles
 * public1, public2 ..., and what arrives there for it goes in.
 */
#ifndef KERNEL_GUEST_NET_H
#define KERNEL_GUEST_NET_H

#include "drivers/net.h"
#include "include/bits.h"
#include "machine/machine.h"

struct guest_net_statistics {
	uint64_t tx_dropped;  /* no room in the ring, or no port that works */
	uint64_t rx_filtered; /* for others */
	uint64_t rx_dropped;  /* came while no guest ran */
};

/* `device` becomes the guest's port `index`, with `mac`. Opened, and kept open, by guest_net_poll(). */
void guest_net_open(uint32_t index, struct net_device *device, const uint8_t mac[MACHINE_MAC_SIZE]);

/* Sees each frame that comes on a port first, by the port's index; true: it is not for the guest. */
void guest_net_set_filter(bool (*filter)(uint32_t index, const struct net_frame *frame));

/* Tells the switches behind all ports where the guest is from now on. */
void guest_net_announce(void);

/* Power-on of the guest: it has to be told of its links anew. */
void guest_net_restart(void);

/* A MACHINE_OUTPUT_FRAME. Goes out with the next guest_net_poll(). */
void guest_net_take(uint32_t index, const uint8_t *frame, uint32_t size);

/*
 * The next frame or link change for the guest; false when there is none, or enough in
 * this loop turn. A frame stays until the next call.
 */
bool guest_net_input(struct machine_input *input);

/* Once a loop turn. `guest_runs`: else what arrives is dropped. */
void guest_net_poll(bool guest_runs);

/* As of the last look; false as well when the guest has no such port. */
bool guest_net_link_is_up(uint32_t index);

/* Of port `index`, since start-up; NULL when the guest has no such port. */
const struct guest_net_statistics *guest_net_statistics(uint32_t index);

#endif
