/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast the network drivers are: tests/bench/bench_frames.py starts this and
 * compares with Linux's drivers. For each size the port first sends as fast as it
 * can, frames built in place (of which only header and sequence number change, so
 * that this measures the driver and not the making of data) and frames copied in;
 * then it receives what the host sends as fast as that can. Printed a line each:
 *
 *	net_bench: transmit 64 bytes: 100000 frames in 1234 ns, busy 1200 ns
 *
 * Busy leaves out the waits for the device. With `-icount shift=0` a nanosecond is
 * an instruction; without it, it is one by the wall clock.
 *
 * Options: port=N (default 0), frames=N (100000; a fifth of that in jumbo size),
 * rounds=N (1) of each measurement.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/net.h"
#include "include/byte_order.h"
#include "kernel/apic.h"
#include "kernel/console.h"
#include "kernel/cpu.h"
#include "kernel/self_test.h"
#include "kernel/time.h"

#define BENCH_ETHERTYPE 0x88b5
#define BATCH 32     /* frames a doorbell */
#define GATHER_US 50 /* between two looks at the receive ring, as a main loop has */
#define IDLE_MAX_NS (30 * NS_PER_S)

struct bench {
	uint32_t frames;
	uint64_t elapsed_ns;
	uint64_t busy_ns;
};

/* How a frame comes into the ring. */
struct way {
	const char *name;
	int (*transmit)(struct net_device *port, uint32_t size, uint32_t sequence);
};

static uint8_t frame_out[NET_FRAME_SIZE_JUMBO];

/* Only header and sequence number are written: the rest is what the ring held before. */
static int transmit_in_place(struct net_device *port, uint32_t size, uint32_t sequence)
{
	uint8_t *room;
	int status = port->ops->transmit_reserve(port, size, &room);

	if (status)
		return status;
	memcpy(room, frame_out, NET_FRAME_SIZE_MIN);
	store_le32(room + NET_FRAME_SIZE_MIN, sequence);
	port->ops->transmit_commit(port, size);
	return 0;
}

static int transmit_copied(struct net_device *port, uint32_t size, uint32_t sequence)
{
	const struct net_piece piece = { frame_out, size };

	store_le32(frame_out + NET_FRAME_SIZE_MIN, sequence);
	return net_transmit(port, &piece, 1);
}

static int transmit_batch(struct net_device *port, const struct way *way, uint32_t size, uint32_t count,
			  uint32_t *sent)
{
	int status = 0;

	for (uint32_t i = 0; i < BATCH && *sent < count; i++, (*sent)++) {
		status = way->transmit(port, size, *sent);
		if (status)
			break;
	}
	port->ops->transmit_flush(port);
	return status;
}

static int bench_transmit(struct net_device *port, const struct way *way, uint32_t size, struct bench *bench)
{
	uint64_t begin_ns = time_now_ns();
	uint64_t waited_ns = 0;
	uint32_t sent = 0;
	uint32_t finished = 0;

	while (finished < bench->frames) {
		int status = transmit_batch(port, way, size, bench->frames, &sent);
		uint32_t taken = port->ops->poll_tx(port);
		uint64_t wait_begin_ns;

		finished += taken;
		SELF_TEST_CHECK(status == 0 || status == -EAGAIN);
		if (taken != 0 || (sent < bench->frames && status == 0))
			continue;
		wait_begin_ns = time_now_ns();
		while ((taken = port->ops->poll_tx(port)) == 0)
			SELF_TEST_CHECK(!port->failed);
		finished += taken;
		waited_ns += time_now_ns() - wait_begin_ns;
	}
	bench->elapsed_ns = time_now_ns() - begin_ns;
	bench->busy_ns = bench->elapsed_ns - waited_ns;
	return 0;
}

/* All frames that are there. Returns how many were the host's of this size. */
static int drain(struct net_device *port, uint32_t size, uint32_t *count)
{
	struct net_frame frame;
	int status;

	while ((status = port->ops->poll_rx(port, &frame)) > 0) {
		if (load_be16(frame.data + 12) == BENCH_ETHERTYPE && frame.size == size)
			(*count)++;
	}
	return status;
}

/* Sleeps as the main loop does, which also leaves the machine's other processor to QEMU's I/O thread. */
static void gather(void)
{
	apic_timer_start_ns(GATHER_US * NS_PER_US);
	cpu_wait_for_interrupt();
}

static int bench_receive(struct net_device *port, uint32_t size, struct bench *bench)
{
	uint64_t begin_ns = 0;
	uint64_t deadline_ns = time_now_ns() + IDLE_MAX_NS;
	uint32_t received = 0;

	bench->busy_ns = 0;
	while (received < bench->frames) {
		uint32_t before = received;
		uint64_t poll_ns = time_now_ns();

		SELF_TEST_CHECK(drain(port, size, &received) == 0);
		SELF_TEST_CHECK(!time_reached(deadline_ns));
		if (before == 0 && received != 0) {
			begin_ns = time_now_ns();
			bench->frames += received; /* not counted: the clock starts behind them */
		} else if (received != before) {
			bench->busy_ns += time_now_ns() - poll_ns;
			deadline_ns = poll_ns + IDLE_MAX_NS;
			bench->elapsed_ns = time_now_ns() - begin_ns;
		}
		gather();
	}
	return 0;
}

static void show(const char *direction, uint32_t size, const struct bench *bench)
{
	console_printf("net_bench: %s %u bytes: %u frames in %lu ns, busy %lu ns\n", direction, size,
		       bench->frames, bench->elapsed_ns, bench->busy_ns);
	console_flush();
}

static int bench_size(struct net_device *port, uint32_t size, uint32_t frames, uint32_t rounds)
{
	static const struct way ways[] = { { "transmit", transmit_in_place },
					   { "transmit copied", transmit_copied } };

	for (uint32_t i = 0; i < ARRAY_SIZE(ways) * rounds; i++) {
		const struct way *way = &ways[i / rounds];
		struct bench bench = { .frames = frames };

		SELF_TEST_CHECK(bench_transmit(port, way, size, &bench) == 0);
		show(way->name, size, &bench);
	}
	console_printf("net_bench: ready to receive %u bytes\n", size);
	console_flush();
	for (uint32_t i = 0; i < rounds; i++) {
		struct bench bench = { .frames = frames };

		SELF_TEST_CHECK(bench_receive(port, size, &bench) == 0);
		bench.frames = frames;
		show("receive", size, &bench);
	}
	return 0;
}

static int wait_for_link(struct net_device *port)
{
	uint64_t deadline_ns = time_now_ns() + IDLE_MAX_NS;
	struct net_link link;

	do {
		SELF_TEST_CHECK(!time_reached(deadline_ns));
		port->ops->link(port, &link);
	} while (!link.up);
	return 0;
}

static uint32_t option_number(const char *name, uint32_t otherwise)
{
	char value[BOOT_OPTION_SIZE];

	return self_test_option(name, value) ? (uint32_t)strtoul(value, NULL, 10) : otherwise;
}

SELF_TEST(net_bench)
{
	struct net_open options = { .frame_size_max = NET_FRAME_SIZE_JUMBO };
	uint32_t index = option_number("port", 0);
	uint32_t frames = option_number("frames", 100000);
	uint32_t rounds = option_number("rounds", 1);
	struct net_device *port;

	SELF_TEST_CHECK(index < net_device_count());
	port = net_device_at(index);
	SELF_TEST_CHECK(net_reset(port) == 0);
	SELF_TEST_CHECK(port->ops->open(port, &options) == 0);
	SELF_TEST_CHECK(wait_for_link(port) == 0);
	memset(frame_out, 0x5a, sizeof(frame_out));
	memcpy(frame_out, "\x02\x00\x00\x00\x00\x01", NET_MAC_SIZE);
	memcpy(frame_out + NET_MAC_SIZE, port->mac, NET_MAC_SIZE);
	store_be16(frame_out + 12, BENCH_ETHERTYPE);
	SELF_TEST_CHECK(bench_size(port, 60, frames, rounds) == 0);
	SELF_TEST_CHECK(bench_size(port, NET_FRAME_SIZE_STANDARD, frames, rounds) == 0);
	SELF_TEST_CHECK(bench_size(port, NET_FRAME_SIZE_JUMBO, frames / 5, rounds) == 0);
	port->ops->close(port);
	return 0;
}
