/* SPDX-License-Identifier: Apache-2.0 */
/* Two servers meet for the first time (lockstep/pairing.c); beacons in their frames. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "lockstep/channel.h"
#include "lockstep/message.h"
#include "lockstep/pairing.h"

#define MS UINT64_C(1000000)
#define HEARTBEAT_NS (20 * MS)
#define IDENTITY UINT64_C(0x1122334455667788)

/* What `from` says now, as heard by `to`. */
static enum pairing_event hear(struct pairing *from, const struct pairing *to, uint64_t now_ns,
			       uint64_t *identity)
{
	uint8_t frame[WIRE_FRAME_MAX];
	uint64_t size = pairing_transmit(from, 0, now_ns, frame);

	assert_true(size > 0);
	return pairing_receive(to, frame, size, identity);
}

static void both_are_new(void **state)
{
	struct pairing a;
	struct pairing b;
	uint64_t identity = 0;

	(void)state;
	pairing_init(&a, 0, 1 << 17, HEARTBEAT_NS, 5);
	pairing_init(&b, 1, 3 << 16, HEARTBEAT_NS, 5);
	assert_int_equal(hear(&a, &b, 5, &identity), PAIRING_NOTHING);
	assert_int_equal(hear(&b, &a, 5, &identity), PAIRING_DRAW);
	assert_true(identity == 0);
}

static void hello_is_said_at_the_heartbeat(void **state)
{
	struct pairing a;
	uint8_t frame[WIRE_FRAME_MAX];

	(void)state;
	pairing_init(&a, 0, 1 << 17, HEARTBEAT_NS, 5);
	assert_true(pairing_transmit(&a, 0, 5, frame) > 0);
	assert_true(pairing_transmit(&a, 0, 5, frame) == 0);
	assert_true(pairing_transmit(&a, 1, 5, frame) > 0);
	assert_true(pairing_transmit(&a, 0, 5 + HEARTBEAT_NS, frame) > 0);
}

static void namesake_and_own_echo(void **state)
{
	struct pairing a;
	struct pairing other;
	uint64_t identity;

	(void)state;
	pairing_init(&a, 0, 1 << 17, HEARTBEAT_NS, 5);
	pairing_init(&other, 0, 1 << 18, HEARTBEAT_NS, 5);
	assert_int_equal(hear(&other, &a, 5, &identity), PAIRING_NAMESAKE);
	assert_int_equal(hear(&a, &a, 5, &identity), PAIRING_NOTHING);
}

/* A server with an identity says HELLO by its channel; it hears no new server. */
static void the_other_is_of_a_pair(void **state)
{
	static uint8_t memory[WIRE_STREAM_COUNT][2][4096];
	static struct channel channel;
	struct channel_config config = {
		.pair = IDENTITY,
		.incarnation = 1 << 17,
		.generation = 9,
		.link = { .heartbeat_ns = HEARTBEAT_NS,
			  .timeout_ns = 10 * HEARTBEAT_NS,
			  .ack_delay_ns = 1,
			  .test_count = 2 },
	};
	struct channel_buffers buffers[WIRE_STREAM_COUNT];
	struct channel_peer peer;
	struct pairing b;
	uint8_t frame[WIRE_FRAME_MAX];
	uint64_t identity = 0;
	uint64_t size;

	(void)state;
	for (uint32_t i = 0; i < WIRE_STREAM_COUNT; i++)
		buffers[i] = (struct channel_buffers){ memory[i][0], 4096, memory[i][1], 4096 };
	channel_init(&channel, &config, buffers, 1000);
	pairing_init(&b, 1, 3 << 16, HEARTBEAT_NS, 1000);
	size = channel_transmit(&channel, 0, 1000, frame);
	assert_true(size > 0);
	assert_int_equal(pairing_receive(&b, frame, size, &identity), PAIRING_ADOPT);
	assert_true(identity == IDENTITY);

	size = pairing_transmit(&b, 0, 1000, frame);
	assert_int_equal(channel_receive(&channel, 0, 1000, frame, size, &peer), CHANNEL_NOTHING);
	assert_int_equal(channel.faults[WIRE_STRANGER], 1);
}

static void damaged_hello_is_nothing(void **state)
{
	struct pairing a;
	struct pairing b;
	uint8_t frame[WIRE_FRAME_MAX];
	uint64_t identity;
	uint64_t size;

	(void)state;
	pairing_init(&a, 0, 1 << 17, HEARTBEAT_NS, 5);
	pairing_init(&b, 1, 3 << 16, HEARTBEAT_NS, 5);
	size = pairing_transmit(&b, 0, 5, frame);
	for (uint64_t bit = 0; bit < size * 8; bit++) {
		frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(pairing_receive(&a, frame, size, &identity), PAIRING_NOTHING);
		frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_int_equal(pairing_receive(&a, frame, size - 1, &identity), PAIRING_NOTHING);
	assert_int_equal(pairing_receive(&a, frame, size, &identity), PAIRING_DRAW);
}

static void beacon_in_its_frame(void **state)
{
	const struct message_beacon beacon = {
		.pair = IDENTITY, .generation = 4, .incarnation = 7, .server = 1, .claim = 2
	};
	struct message_beacon_frame frame;
	struct message_beacon got;
	uint8_t padded[60] = { 0 };

	(void)state;
	message_beacon_seal(&beacon, &frame);
	memcpy(padded, &frame, sizeof(frame));
	assert_true(message_beacon_check(padded, sizeof(padded), &got));
	assert_memory_equal(&got, &beacon, sizeof(beacon));
	assert_false(message_beacon_check(padded, sizeof(frame) - 1, &got));
	for (uint64_t bit = 0; bit < sizeof(frame) * 8; bit++) {
		padded[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_false(message_beacon_check(padded, sizeof(padded), &got));
		padded[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_are_new),
		cmocka_unit_test(hello_is_said_at_the_heartbeat),
		cmocka_unit_test(namesake_and_own_echo),
		cmocka_unit_test(the_other_is_of_a_pair),
		cmocka_unit_test(damaged_hello_is_nothing),
		cmocka_unit_test(beacon_in_its_frame),
	};

	return cmocka_run_group_tests_name("pairing", tests, NULL, NULL);
}
