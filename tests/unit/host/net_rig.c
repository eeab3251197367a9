/* SPDX-License-Identifier: Apache-2.0 */
/* See net_rig.h. */
#include "tests/unit/host/net_rig.h"

#include <errno.h>
#include <string.h>

#include "include/assert.h"
#include "include/byte_order.h"
#include "tests/unit/host/dma.h"
#include "tests/unit/host/mmio.h"
#include "tests/unit/host/pci.h"
#include "tests/unit/host/time.h"

#define STALL_POLLS 100000
#define LYING_ROUNDS 3000

struct net_rig net_rig;

static uint64_t random_state;
static uint8_t bytes[NET_RIG_FRAME_MAX];

void net_rig_reset(void (*transmit)(void), bool (*receive)(const uint8_t *bytes, uint32_t size))
{
	host_dma_reset();
	host_mmio_reset();
	host_pci_reset();
	memset(&net_rig, 0, sizeof(net_rig));
	net_rig.transmit = transmit;
	net_rig.receive = receive;
	random_state = 1;
}

void net_rig_note_sent(const uint8_t *frame, uint32_t size)
{
	ASSERT(size <= sizeof(net_rig.sent));
	memcpy(net_rig.sent, frame, size);
	net_rig.sent_size = size;
	net_rig.sent_tags[net_rig.sent_count++ % NET_RIG_TAG_COUNT] = size > 14 ? frame[14] : 0;
}

void net_rig_probe(void)
{
	ASSERT(net_probe_all() == 1);
	net_rig.port = net_device_at(0);
}

void net_rig_open_with(const struct net_open *options)
{
	ASSERT(net_reset(net_rig.port) == 0);
	ASSERT(net_rig.port->ops->open(net_rig.port, options) == 0);
}

void net_rig_open(uint32_t frame_size_max)
{
	net_rig_open_with(&(struct net_open){ .frame_size_max = frame_size_max });
}

/* As it was open before; a device that hangs does not while it is opened. */
static void open_again(void)
{
	struct net_open options = net_rig.port->options;
	bool hangs = net_rig.hangs;

	net_rig.hangs = false;
	net_rig_open_with(&options);
	net_rig.hangs = hangs;
}

int net_rig_send(uint32_t size, uint8_t tag)
{
	struct net_piece piece = { bytes, size };

	memset(bytes, tag, sizeof(bytes));
	return net_transmit(net_rig.port, &piece, 1);
}

uint64_t net_rig_random(void)
{
	random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return random_state;
}

void net_rig_check_pieces(const uint32_t *sizes, uint32_t count)
{
	struct net_device *port = net_rig.port;
	struct net_piece pieces[NET_PIECE_MAX];
	uint32_t size = 0;

	ASSERT(count <= NET_PIECE_MAX);
	for (uint32_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7 + i / 256);
	for (uint32_t i = 0; i < count; i++) {
		pieces[i] = (struct net_piece){ bytes + size, sizes[i] };
		size += sizes[i];
	}
	ASSERT(net_transmit(port, pieces, count) == 0);
	ASSERT(net_rig.sent_count == 0);
	port->ops->transmit_flush(port);
	ASSERT(net_rig.sent_count == 1);
	ASSERT(net_rig.sent_size == size);
	ASSERT(memcmp(net_rig.sent, bytes, size) == 0);
	ASSERT(port->statistics.tx_bytes == size);
	ASSERT(port->ops->poll_tx(port) == 1);
}

void net_rig_check_built_in_place(void)
{
	struct net_device *port = net_rig.port;
	uint32_t size_max = port->options.frame_size_max;
	uint8_t *room;
	uint8_t *again;

	ASSERT(port->ops->transmit_reserve(port, size_max, &room) == 0);
	memset(room, 0x11, size_max);
	ASSERT(port->ops->transmit_reserve(port, 100, &again) == 0);
	ASSERT(room == again);
	memset(room, 0x22, 100);
	port->ops->transmit_commit(port, 90);
	ASSERT(port->ops->transmit_reserve(port, size_max + 1, &room) == -EMSGSIZE);
	ASSERT(port->ops->transmit_reserve(port, NET_FRAME_SIZE_MIN - 1, &room) == -EMSGSIZE);
	port->ops->transmit_flush(port);
	ASSERT(net_rig.sent_count == 1);
	ASSERT(net_rig.sent_size == 90);
	ASSERT(net_rig.sent[89] == 0x22);
	ASSERT(port->ops->poll_tx(port) == 1);
	port->failed = true;
	ASSERT(port->ops->transmit_reserve(port, 100, &room) == -ENETDOWN);
	port->ops->transmit_commit(port, 100);
	ASSERT(port->statistics.tx_frames == 1);
}

void net_rig_check_full_ring(uint32_t capacity)
{
	struct net_device *port = net_rig.port;
	uint32_t count = 0;

	net_rig.hangs = true;
	while (net_rig_send(60, (uint8_t)count) == 0)
		count++;
	ASSERT(count == capacity);
	ASSERT(net_rig_send(60, 0) == -EAGAIN);
	ASSERT(port->statistics.tx_ring_full == 2);
	port->ops->transmit_flush(port);
	ASSERT(port->ops->poll_tx(port) == 0);
	net_rig.hangs = false;
	net_rig.transmit();
	ASSERT(net_rig.sent_count == capacity);
	for (uint32_t i = 0; i < capacity; i++)
		ASSERT(net_rig.sent_tags[i] == (uint8_t)i);
	ASSERT(port->ops->poll_tx(port) == capacity);
	ASSERT(net_rig_send(60, 0) == 0);
}

void net_rig_check_receive_ring(uint32_t capacity, uint32_t size)
{
	struct net_device *port = net_rig.port;
	struct net_frame frame;
	uint32_t count = 0;

	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes, port->mac, NET_MAC_SIZE);
	for (;; count++) {
		store_le32(bytes + size - 4, count);
		if (!net_rig.receive(bytes, size))
			break;
	}
	ASSERT(count == capacity);
	for (uint32_t i = 0; i < count; i++) {
		ASSERT(port->ops->poll_rx(port, &frame) == 1);
		ASSERT(frame.size == size);
		ASSERT(load_le32(frame.data + size - 4) == i);
	}
	ASSERT(port->ops->poll_rx(port, &frame) == 0);
	ASSERT(net_rig.receive(bytes, size));
}

static bool link_is(bool up, const char *reason)
{
	struct net_link link;

	return strcmp(net_read_link(net_rig.port, &link), reason) == 0 && link.up == up;
}

void net_rig_check_reset_told(void)
{
	struct net_open options = net_rig.port->options;

	ASSERT(link_is(true, ""));
	net_rig.port->ops->reset_begin(net_rig.port);
	ASSERT(link_is(false, "being reset"));
	net_rig_open_with(&options);
	ASSERT(link_is(true, ""));
}

void net_rig_check_fault(void)
{
	struct net_device *port = net_rig.port;
	struct net_frame frame;

	ASSERT(port->ops->poll_rx(port, &frame) == -EIO);
	ASSERT(port->statistics.device_faults == 1);
	ASSERT(port->failed);
	ASSERT(port->fault);
	ASSERT(link_is(false, port->fault));
	ASSERT(!host_pci_is_master(port->pci));
	ASSERT(port->ops->poll_rx(port, &frame) == -EIO);
	ASSERT(net_rig_send(60, 0) == -ENETDOWN);
	ASSERT(port->ops->poll_tx(port) == 0);
	port->ops->reset_begin(port);
	ASSERT(link_is(false, port->fault));
	open_again();
	ASSERT(!port->fault);
	ASSERT(port->ops->poll_rx(port, &frame) == 0);
	ASSERT(net_rig_send(60, 0) == 0);
}

void net_rig_check_stall(void)
{
	struct net_device *port = net_rig.port;

	net_rig.hangs = true;
	ASSERT(net_rig_send(60, 0) == 0);
	port->ops->transmit_flush(port);
	for (uint32_t i = 0; i < STALL_POLLS && !port->failed; i++) {
		ASSERT(port->ops->poll_tx(port) == 0);
		host_time_advance_ns(NS_PER_MS);
	}
	net_rig_check_fault();
}

/* All that there is, to the last byte: should one be out of bounds, the sanitizer tells. */
static void read_frames(struct net_device *port)
{
	struct net_frame frame;
	uint64_t sum = 0;

	while (port->ops->poll_rx(port, &frame) == 1)
		for (uint32_t i = 0; i < frame.size; i++)
			sum += frame.data[i];
	ASSERT(sum < UINT64_MAX);
}

void net_rig_check_survives(void (*lie)(uint32_t round))
{
	struct net_device *port = net_rig.port;
	uint32_t faults = 0;

	for (uint32_t round = 0; round < LYING_ROUNDS; round++) {
		net_rig_send(60 + round % (port->options.frame_size_max - 60), (uint8_t)round);
		if (round % 2)
			port->ops->transmit_flush(port);
		lie(round);
		port->ops->poll_tx(port);
		read_frames(port);
		if (port->failed) {
			faults++;
			open_again();
		}
	}
	ASSERT(faults > 0);
	ASSERT(port->statistics.device_faults == faults);
}

void net_rig_check_memory_used_up(void (*bring_up)(void), uint32_t count)
{
	struct net_open options = { .frame_size_max = NET_FRAME_SIZE_STANDARD };

	for (uint32_t n = 0; n < count; n++) {
		bring_up();
		host_dma_fail_after(n);
		ASSERT(net_reset(net_rig.port) == 0);
		ASSERT(net_rig.port->ops->open(net_rig.port, &options) == -ENOMEM);
		ASSERT(!net_rig.port->opened);
		ASSERT(net_rig_send(60, 0) == -ENETDOWN);
	}
}
