/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of all network drivers share: the port under test, what its device
 * sent, and the scenarios that each driver must get through. A test brings the model
 * of its device, and tells the rig how to make it send and receive.
 */
#ifndef TESTS_UNIT_HOST_NET_RIG_H
#define TESTS_UNIT_HOST_NET_RIG_H

#include "drivers/net.h"

#define NET_RIG_FRAME_MAX 16384
#define NET_RIG_TAG_COUNT 1024

struct net_rig {
	struct net_device *port;

	/* The model's. */
	void (*transmit)(void); /* sends all that it was given, unless the device hangs */
	bool (*receive)(const uint8_t *bytes, uint32_t size); /* false: it has no buffer left */

	bool hangs;	     /* the device does nothing any more */
	uint32_t sent_count; /* frames */
	uint32_t sent_size;  /* of the last one */
	uint8_t sent[NET_RIG_FRAME_MAX];
	uint8_t sent_tags[NET_RIG_TAG_COUNT]; /* byte 14 of each, by number */
};
extern struct net_rig net_rig;

/* Everything of the host back to the start, no device on the bus. */
void net_rig_reset(void (*transmit)(void), bool (*receive)(const uint8_t *bytes, uint32_t size));

/* For device models: one frame has left. */
void net_rig_note_sent(const uint8_t *bytes, uint32_t size);

/* The one port that the drivers find becomes the rig's; it must be found. */
void net_rig_probe(void);

/* Resets and opens the port, which must succeed; with options, or for frames of such a size. */
void net_rig_open_with(const struct net_open *options);
void net_rig_open(uint32_t frame_size_max);

/* Puts in a frame full of `tag`: as net_transmit(). */
int net_rig_send(uint32_t size, uint8_t tag);

/* Reproducible, from the rig's reset on. */
uint64_t net_rig_random(void);

/* What every driver must do alike with an open port. */
void net_rig_check_pieces(const uint32_t *sizes, uint32_t count); /* leave as one frame, when flushed */
void net_rig_check_built_in_place(
	void); /* room that was given up leaves no trace. The port is failed then. */
void net_rig_check_full_ring(uint32_t capacity);		   /* says so, recovers, keeps the order */
void net_rig_check_receive_ring(uint32_t capacity, uint32_t size); /* full, it empties in order */

/* A reset is told as such and not as a fault: the device did nothing wrong. */
void net_rig_check_reset_told(void);

/* The device has broken its contract: nothing works until it is opened again, and why is told as long. */
void net_rig_check_fault(void);

/* A device that stops sending is found. */
void net_rig_check_stall(void);

/*
 * The device lies: `lie` spoils what memory it likes, in each of many rounds. Errors
 * and faults, of which there must be one at least, but nothing out of bounds.
 */
void net_rig_check_survives(void (*lie)(uint32_t round));

/* `bring_up` puts the device on the bus and probes it; its open takes memory `count` times. */
void net_rig_check_memory_used_up(void (*bring_up)(void), uint32_t count);

#endif
