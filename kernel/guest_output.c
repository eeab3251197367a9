/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's outputs on their way; see guest_output.h. Wiring: between lockstep/, nic/ and the ports. */
#include "kernel/guest_output.h"

#include <errno.h>

#include "include/assert.h"
#include "kernel/console.h"
#include "kernel/guest_net.h"
#include "kernel/loop.h"
#include "kernel/pages.h"
#include "kernel/time.h"
#include "nic/held_output.h"

#define RING_SIZE (2 * MIB)
/*
 * A slice ends as soon as the rest is less (guest_service.c); what still may come is what
 * one exit puts out: a virtqueue full of frames.
 */
#define RING_RESERVE (640 * KIB)
/* After a frame: the follower has its log soon, and it is to leave then. */
#define AWAKE_US 500
#define PORT_SERIAL UINT32_MAX /* among the guest's ports: not a network port */
#define PIECE_MAX HELD_OUTPUT_FRAME_MAX

static struct pair *pair;
static struct held_output held;
static uint64_t watched_number; /* of the output whose time is taken; 0: of none */
static uint64_t watched_since_ns;
static struct guest_output_held held_times;
static void (*serial_output)(const char *bytes, uint64_t size) = console_write;

int guest_output_init(struct pair *of_pair)
{
	uint64_t physical;

	pair = of_pair;
	if (!pair)
		return 0;
	physical = pages_allocate(RING_SIZE / PAGE_SIZE, PAGE_SIZE);
	if (!physical)
		return -ENOMEM;
	held_output_init(&held, pages_pointer(physical), RING_SIZE);
	return 0;
}

void guest_output_set_serial(void (*serial)(const char *bytes, uint64_t size))
{
	serial_output = serial;
}

void guest_output_restart(uint64_t count)
{
	if (pair)
		held_output_restart(&held, count);
	watched_number = 0;
}

uint64_t guest_output_count(void)
{
	return held.number;
}

/* ---- in ---- */

void guest_output_frame(uint32_t port, const uint8_t *data, uint32_t size)
{
	if (!pair) {
		guest_net_take(port, data, size);
		return;
	}
	held_output_put(&held, port, data, size);
	if (watched_number == 0) {
		watched_number = held.number;
		watched_since_ns = time_now_ns();
	}
	if (pair->role == PAIR_LEADER)
		loop_stay_awake(AWAKE_US);
}

void guest_output_serial(const uint8_t *bytes, uint32_t size)
{
	if (!pair) {
		serial_output((const char *)bytes, size);
		return;
	}
	for (uint32_t at = 0; at < size; at += PIECE_MAX)
		held_output_put(&held, PORT_SERIAL, bytes + at, (uint32_t)min_u64(size - at, PIECE_MAX));
}

bool guest_output_has_room(void)
{
	return !pair || held_output_room(&held) >= RING_RESERVE;
}

void guest_output_stamp(void)
{
	if (pair)
		held_output_stamp(&held, pair_stamp(pair));
}

/* ---- out ---- */

static void let_out(const struct held_frame *frame)
{
	if (frame->port == PORT_SERIAL)
		serial_output((const char *)frame->data, frame->size);
	else
		guest_net_take(frame->port, frame->data, frame->size);
}

static void count_held(void)
{
	if (watched_number == 0 || held_output_left(&held) < watched_number)
		return;
	held_times.count++;
	held_times.ns += time_now_ns() - watched_since_ns;
	watched_number = 0;
}

const struct guest_output_held *guest_output_held(void)
{
	return &held_times;
}

/* The other server's ports have sent the frames; both consoles show what the guest says. */
static void drop_gone(void)
{
	struct held_frame frame;

	while (held_output_first_gone(&held, &frame)) {
		if (frame.port == PORT_SERIAL)
			let_out(&frame);
		held_output_drop(&held);
	}
}

bool guest_output_poll(void)
{
	uint64_t left_before;
	struct held_frame frame;

	if (!pair)
		return false;
	drop_gone();
	left_before = held_output_left(&held);
	while (held_output_first(&held, &frame) && pair_may_release(pair, frame.stamp)) {
		let_out(&frame);
		held_output_drop(&held);
	}
	if (held_output_left(&held) == left_before)
		return false;
	count_held();
	pair_released(pair, held_output_left(&held));
	return true;
}

void guest_output_released(uint64_t number)
{
	held_output_left_elsewhere(&held, number);
	drop_gone();
}

void guest_output_take_over(void)
{
	struct held_frame frame;

	while (held_output_first(&held, &frame)) {
		let_out(&frame);
		held_output_drop(&held);
	}
}
