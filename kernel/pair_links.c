/* SPDX-License-Identifier: Apache-2.0 */
/* Frames on the CS links; see pair_links.h. Wiring: between the network ports and the pair. */
#include "kernel/pair_links.h"

#include "include/byte_order.h"
#include "include/trace.h"
#include "kernel/time.h"

TRACE_FILE("links", TRACE_INFO);

/* A carrier lost on both links at once shortens the wait for a dead peer: so it is looked at often. */
#define KEEP_INTERVAL_NS NS_PER_MS
#define FRAMES_A_POLL 64

static struct {
	struct net_device *device;
	bool carrier;
	uint64_t carrier_ns; /* when it was looked at */
	uint64_t next_keep_ns;
} links[WIRE_LINK_COUNT];

void pair_links_init(struct net_device *const ports[WIRE_LINK_COUNT])
{
	for (uint32_t link = 0; link < WIRE_LINK_COUNT; link++)
		links[link].device = ports[link];
}

static void keep_open(uint32_t link)
{
	static const struct net_open options = { .frame_size_max = NET_FRAME_SIZE_STANDARD };
	struct net_device *device = links[link].device;
	struct net_link state = { .up = false };
	uint64_t now_ns = time_now_ns();

	if (now_ns < links[link].next_keep_ns)
		return;
	links[link].next_keep_ns = now_ns + KEEP_INTERVAL_NS;
	if (net_keep_open(device, &options) == 0)
		device->ops->link(device, &state);
	if (state.up != links[link].carrier)
		trace(TRACE_INFO, "cs%u: carrier %s", link + 1, state.up ? "found" : "lost");
	links[link].carrier = state.up;
	links[link].carrier_ns = now_ns;
}

static bool is_ours(const struct net_frame *frame)
{
	return frame->size > NET_FRAME_SIZE_MIN && load_be16(frame->data + 12) == WIRE_ETHERTYPE;
}

static bool receive(uint32_t link, void (*take)(uint32_t link, const uint8_t *frame, uint64_t size))
{
	struct net_device *device = links[link].device;
	struct net_frame frame;
	bool worked = false;

	for (uint32_t i = 0; i < FRAMES_A_POLL && device->ops->poll_rx(device, &frame) == 1; i++) {
		worked = true;
		if (is_ours(&frame))
			take(link, frame.data + NET_FRAME_SIZE_MIN, frame.size - NET_FRAME_SIZE_MIN);
	}
	return worked;
}

bool pair_links_poll(void (*take)(uint32_t link, const uint8_t *frame, uint64_t size))
{
	bool worked = false;

	for (uint32_t link = 0; link < WIRE_LINK_COUNT; link++) {
		if (!links[link].device)
			continue;
		keep_open(link);
		if (links[link].device->opened)
			worked |= receive(link, take);
	}
	return worked;
}

static bool transmit(uint32_t link, uint64_t (*next)(uint32_t link, uint8_t *frame))
{
	struct net_device *device = links[link].device;
	uint32_t sent = 0;
	uint8_t *room;

	device->ops->poll_tx(device);
	while (device->ops->transmit_reserve(device, NET_FRAME_SIZE_MIN + WIRE_FRAME_MAX, &room) == 0) {
		uint64_t size = next(link, room + NET_FRAME_SIZE_MIN);

		if (size == 0)
			break;
		net_broadcast_header(room, device->mac,
				     WIRE_ETHERTYPE); /* nobody needs to learn an address */
		device->ops->transmit_commit(device, (uint32_t)(NET_FRAME_SIZE_MIN + size));
		sent++;
	}
	if (sent)
		device->ops->transmit_flush(device);
	return sent > 0;
}

bool pair_links_transmit(uint64_t (*next)(uint32_t link, uint8_t *frame))
{
	bool worked = false;
	bool sent;

	do { /* in turns: one link may have left something to the other */
		sent = false;
		for (uint32_t link = 0; link < WIRE_LINK_COUNT; link++)
			if (links[link].device && links[link].device->opened)
				sent |= transmit(link, next);
		worked |= sent;
	} while (sent);
	return worked;
}

bool pair_links_carrier(uint32_t link, uint64_t *at_ns)
{
	*at_ns = links[link].carrier_ns;
	return links[link].carrier;
}
