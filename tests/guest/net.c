/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network port at work, with tests/pair/test_net.py as its peer on the other end
 * of the cable. The peer is in charge: this side answers, checks and sends what
 * it is asked for, until told to end. Frames of the test, after the Ethernet header:
 *
 *	magic, operation, sequence, argument, CRC-32C of what follows, data ...
 *
 * each a little-endian 32-bit number.
 *
 *	PING      answered by PONG with the same rest. Both sides ask.
 *	DATA      checked: in order, undamaged. Every ACK_EVERY-th is acknowledged.
 *	ACK       sequence: DATA frames received so far
 *	REQUEST   asks for `sequence` DATA frames of `argument` bytes
 *	END       prints the port's counters and ends the test
 *
 * Options: port=N (default 0), frame_size=N (1514), promiscuous, multicast, beacon:
 * a PING to everybody every 50 ms, so that a device which stops sending is noticed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/net.h"
#include "include/byte_order.h"
#include "include/crc32c.h"
#include "kernel/console.h"
#include "kernel/self_test.h"
#include "kernel/time.h"

#define TEST_ETHERTYPE 0x88b5
#define TEST_MAGIC 0x454b4f59 /* "YOKE" */
#define ACK_EVERY 32
#define WINDOW 128 /* DATA frames sent and not acknowledged */
#define TEST_TIME_MAX_NS (300 * NS_PER_S)
#define BEACON_INTERVAL_NS (50 * NS_PER_MS)
#define LINK_INTERVAL_NS (10 * NS_PER_MS)

enum operation { PING = 1, PONG, DATA, ACK, REQUEST, END };

struct test_frame {
	uint8_t destination[NET_MAC_SIZE];
	uint8_t source[NET_MAC_SIZE];
	uint8_t ethertype[2];
	uint32_t magic;
	uint32_t operation;
	uint32_t sequence;
	uint32_t argument;
	uint32_t crc;
	uint8_t data[];
} __attribute__((packed));
BUILD_ASSERT(sizeof(struct test_frame) == 34);

static struct {
	struct net_device *port;
	struct net_open options;
	bool beacon;
	uint8_t peer[NET_MAC_SIZE];
	bool link_up;
	bool ended;
	uint64_t next_beacon_ns, next_link_ns;
	uint32_t received; /* DATA frames in order */
	uint32_t damaged;
	uint32_t out_of_order;
	uint32_t to_send, sent, acknowledged;
	uint32_t send_size;
} test;

static uint8_t out[NET_FRAME_SIZE_JUMBO];

static uint32_t option_number(const char *name, uint32_t otherwise)
{
	char value[BOOT_OPTION_SIZE];

	return self_test_option(name, value) ? (uint32_t)strtoul(value, NULL, 10) : otherwise;
}

/* Sends header and data as two pieces, for the sake of the pieces. */
static int send_frame(const uint8_t *to, uint32_t operation, uint32_t sequence, uint32_t argument,
		      const uint8_t *data, uint32_t data_size)
{
	struct test_frame header = { .ethertype = { TEST_ETHERTYPE >> 8, TEST_ETHERTYPE & 0xff },
				     .magic = TEST_MAGIC,
				     .operation = operation,
				     .sequence = sequence,
				     .argument = argument,
				     .crc = crc32c(0, data, data_size) };
	struct net_piece pieces[2] = { { &header, sizeof(header) }, { data, data_size } };

	memcpy(header.destination, to, NET_MAC_SIZE);
	memcpy(header.source, test.port->mac, NET_MAC_SIZE);
	return net_transmit(test.port, pieces, 2);
}

/* A frame that must get out: waits for room, for as long as the port works. */
static void send_surely(const uint8_t *to, uint32_t operation, uint32_t sequence, uint32_t argument,
			const uint8_t *data, uint32_t data_size)
{
	while (send_frame(to, operation, sequence, argument, data, data_size) == -EAGAIN) {
		test.port->ops->transmit_flush(test.port);
		test.port->ops->poll_tx(test.port);
	}
}

static void handle_data(const struct test_frame *frame, uint32_t data_size)
{
	if (crc32c(0, frame->data, data_size) != frame->crc)
		test.damaged++;
	if (frame->sequence != test.received)
		test.out_of_order++;
	test.received++;
	if (test.received % ACK_EVERY == 0)
		send_surely(frame->source, ACK, test.received, 0, NULL, 0);
}

static void handle_frame(const struct net_frame *received)
{
	const struct test_frame *frame = (const struct test_frame *)received->data;
	uint32_t data_size = received->size - (uint32_t)sizeof(*frame);

	if (received->size < sizeof(*frame) || load_be16(frame->ethertype) != TEST_ETHERTYPE ||
	    frame->magic != TEST_MAGIC)
		return;
	memcpy(test.peer, frame->source, NET_MAC_SIZE);
	switch (frame->operation) {
	case PING:
		send_surely(frame->source, PONG, frame->sequence, frame->argument, frame->data, data_size);
		break;
	case PONG:
		console_printf("net: pong %u\n", frame->sequence);
		break;
	case DATA:
		handle_data(frame, data_size);
		break;
	case ACK:
		test.acknowledged = frame->sequence;
		break;
	case REQUEST:
		test.to_send = frame->sequence;
		test.send_size = (uint32_t)min_u64(frame->argument, test.options.frame_size_max);
		test.sent = test.acknowledged = 0;
		test.received = 0;
		break;
	case END:
		test.ended = true;
		break;
	}
}

/* DATA frames as far as the window and the ring let them. */
static void send_data(void)
{
	while (test.sent < test.to_send && test.sent - test.acknowledged < WINDOW) {
		uint32_t size = test.send_size - (uint32_t)sizeof(struct test_frame);

		for (uint32_t i = 0; i < size; i++)
			out[i] = (uint8_t)(test.sent * 7 + i * 13 + (i >> 8));
		if (send_frame(test.peer, DATA, test.sent, 0, out, size))
			return;
		test.sent++;
	}
}

static void follow_link(void)
{
	struct net_link link;

	if (!time_reached(test.next_link_ns))
		return;
	test.next_link_ns = time_now_ns() + LINK_INTERVAL_NS;
	test.port->ops->link(test.port, &link);
	if (link.up != test.link_up)
		console_printf("net: link %s, %u Mbit/s\n", link.up ? "up" : "down", link.speed_mbit);
	test.link_up = link.up;
}

static void send_beacon(void)
{
	static const uint8_t everybody[NET_MAC_SIZE] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	static uint32_t sequence;

	if (!test.beacon || !time_reached(test.next_beacon_ns))
		return;
	test.next_beacon_ns = time_now_ns() + BEACON_INTERVAL_NS;
	send_frame(everybody, PING, sequence++, 0, NULL, 0);
}

/* Opens the port, again where it failed; says so. */
static void keep_open(void)
{
	bool was_open = test.port->opened && !test.port->failed;

	if (test.port->opened && test.port->failed)
		console_printf("net: port failed\n");
	if (net_keep_open(test.port, &test.options) == 0 && !was_open)
		console_printf("net: port opened\n");
}

static void show_statistics(void)
{
	const struct net_statistics *s = &test.port->statistics;

	test.port->ops->update_statistics(test.port);
	console_printf("net: tx_frames %lu tx_bytes %lu tx_errors %lu tx_ring_full %lu\n", s->tx_frames,
		       s->tx_bytes, s->tx_errors, s->tx_ring_full);
	console_printf("net: rx_frames %lu rx_bytes %lu rx_errors %lu rx_filtered %lu rx_missed %lu\n",
		       s->rx_frames, s->rx_bytes, s->rx_errors, s->rx_filtered, s->rx_missed);
	console_printf("net: device_faults %lu resets %lu damaged %u out_of_order %u\n", s->device_faults,
		       s->resets, test.damaged, test.out_of_order);
}

static void step(void)
{
	struct net_frame frame;

	while (test.port->ops->poll_rx(test.port, &frame) > 0)
		handle_frame(&frame);
	send_data();
	send_beacon();
	test.port->ops->transmit_flush(test.port);
	test.port->ops->poll_tx(test.port);
	follow_link();
	console_poll();
	keep_open();
}

static int open_from_options(void)
{
	char value[BOOT_OPTION_SIZE];
	uint32_t index = option_number("port", 0);

	memset(&test, 0, sizeof(test));
	SELF_TEST_CHECK(index < net_device_count());
	test.port = net_device_at(index);
	test.options.frame_size_max = option_number("frame_size", NET_FRAME_SIZE_STANDARD);
	test.options.promiscuous = self_test_option("promiscuous", value);
	test.options.multicast = self_test_option("multicast", value);
	test.beacon = self_test_option("beacon", value);
	return 0;
}

SELF_TEST(net_peer)
{
	uint64_t deadline_ns = time_now_ns() + TEST_TIME_MAX_NS;

	SELF_TEST_CHECK(open_from_options() == 0);
	while (!test.port->opened) {
		SELF_TEST_CHECK(!time_reached(deadline_ns));
		keep_open();
	}
	console_printf("net: %s %02x:%02x:%02x:%02x:%02x:%02x serves\n", test.port->ops->name,
		       test.port->mac[0], test.port->mac[1], test.port->mac[2], test.port->mac[3],
		       test.port->mac[4], test.port->mac[5]);
	while (!test.ended) {
		SELF_TEST_CHECK(!time_reached(deadline_ns));
		step();
	}
	show_statistics();
	SELF_TEST_CHECK(test.damaged == 0);
	SELF_TEST_CHECK(test.out_of_order == 0);
	test.port->ops->close(test.port);
	return 0;
}
