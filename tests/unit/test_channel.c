/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two channels joined by two simulated cables that lose, duplicate, reorder,
 * corrupt, delay and are cut, all from one seed: what is written on one side comes
 * out on the other, once, in order, and in bounded time once the cables are sound.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "include/byte_order.h"
#include "lockstep/channel.h"

#define MS UINT64_C(1000000)
#define FLYING_MAX 8192
#define BUFFER_SIZE (256 * KIB)
#define PAIR UINT64_C(0x1234567890)

struct flying {
	uint64_t arrives_ns; /* 0: free */
	uint32_t to;
	uint32_t link;
	uint32_t size;
	uint8_t frame[WIRE_FRAME_MAX];
};

struct cable {
	uint32_t loss_percent;
	uint32_t duplication_percent;
	uint32_t corruption_percent;
	uint32_t jitter_us;
	uint32_t delay_us; /* beyond the ordinary */
	bool cut[2];	   /* by direction: towards side 0, 1 */
};

static struct flying flying[FLYING_MAX];
static struct channel sides[2];
static struct cable cables[WIRE_LINK_COUNT];
static uint8_t memory[2][WIRE_STREAM_COUNT][2][BUFFER_SIZE];
static uint64_t written[2][WIRE_STREAM_COUNT];
static uint64_t got[2][WIRE_STREAM_COUNT];
static uint64_t carried[WIRE_LINK_COUNT]; /* bytes put onto each cable */
static uint64_t now_ns;
static bool asked_in_runs;   /* how links are asked for frames */
static uint32_t bulk_writes; /* tried in a step */
static uint32_t flying_top;  /* none at or above it is under way */
static uint64_t random_state;

static uint64_t random_below(uint64_t limit)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (random_state >> 33) % limit;
}

/* Byte `offset` of the stream that side `side` writes: anyone can check it. */
static uint8_t expected(uint32_t side, uint32_t stream, uint64_t offset)
{
	return (uint8_t)(offset * 131 + (offset >> 8) * 17 + side * 101 + stream * 53);
}

static void side_start(uint32_t side, uint64_t incarnation)
{
	const struct channel_config config = {
		.pair = PAIR,
		.incarnation = incarnation,
		.link = { .heartbeat_ns = 5 * MS,
			  .timeout_ns = 50 * MS,
			  .ack_delay_ns = MS / 10,
			  .test_count = 4 },
	};
	struct channel_buffers buffers[WIRE_STREAM_COUNT];

	for (uint32_t i = 0; i < WIRE_STREAM_COUNT; i++)
		buffers[i] = (struct channel_buffers){ memory[side][i][0], BUFFER_SIZE, memory[side][i][1],
						       BUFFER_SIZE };
	channel_init(&sides[side], &config, buffers, now_ns);
	memset(written[side], 0, sizeof(written[side]));
	memset(got[side], 0, sizeof(got[side]));
}

static int set_up(void **state)
{
	(void)state;
	memset(flying, 0, sizeof(flying));
	flying_top = 0;
	memset(cables, 0, sizeof(cables));
	memset(carried, 0, sizeof(carried));
	now_ns = 1000 * MS;
	random_state = 1;
	asked_in_runs = false;
	bulk_writes = 1;
	side_start(0, 100);
	side_start(1, 200);
	return 0;
}

static void fly(uint32_t to, uint32_t link, const uint8_t *frame, uint64_t size)
{
	uint64_t delay_ns = 60000 + cables[link].delay_us * UINT64_C(1000) +
			    (cables[link].jitter_us ? random_below(cables[link].jitter_us) * 1000 : 0);

	for (uint32_t i = 0; i < FLYING_MAX; i++) {
		if (flying[i].arrives_ns)
			continue;
		flying_top = i >= flying_top ? i + 1 : flying_top;
		flying[i].arrives_ns = now_ns + delay_ns;
		flying[i].to = to;
		flying[i].link = link;
		flying[i].size = (uint32_t)size;
		memcpy(flying[i].frame, frame, size);
		if (random_below(100) < cables[link].corruption_percent)
			flying[i].frame[random_below(size)] ^= (uint8_t)(1 << random_below(8));
		return;
	}
	fail_msg("more frames under way than the test holds");
}

/* False: there was nothing for this link. */
static bool send_one(uint32_t side, uint32_t link)
{
	uint8_t frame[WIRE_FRAME_MAX];
	uint32_t to = 1 - side;
	uint64_t size = channel_transmit(&sides[side], link, now_ns, frame);

	carried[link] += size;
	if (size == 0 || cables[link].cut[to] || random_below(100) < cables[link].loss_percent)
		return size > 0;
	fly(to, link, frame, size);
	if (random_below(100) < cables[link].duplication_percent)
		fly(to, link, frame, size);
	return true;
}

/* In turns, as network ports with little room ask. */
static void send_in_turns(uint32_t side)
{
	for (uint32_t i = 0; i < 8 * WIRE_LINK_COUNT; i++)
		send_one(side, i % WIRE_LINK_COUNT);
}

/* One link after the other, as network ports with much room do, until neither gets anything. */
static void send_in_runs(uint32_t side)
{
	bool sent;

	do {
		sent = false;
		for (uint32_t link = 0; link < WIRE_LINK_COUNT; link++)
			while (send_one(side, link))
				sent = true;
	} while (sent);
}

static void arrive_all(void)
{
	for (uint32_t i = 0; i < flying_top; i++) {
		enum channel_event event;
		struct channel_peer peer;

		if (!flying[i].arrives_ns || flying[i].arrives_ns > now_ns)
			continue;
		flying[i].arrives_ns = 0;
		event = channel_receive(&sides[flying[i].to], flying[i].link, now_ns, flying[i].frame,
					flying[i].size, &peer);
		if (event != CHANNEL_NOTHING) {
			channel_connect(&sides[flying[i].to], peer.incarnation, now_ns);
			memset(written[flying[i].to], 0, sizeof(written[0]));
			memset(got[flying[i].to], 0, sizeof(got[0]));
		}
	}
	while (flying_top > 0 && !flying[flying_top - 1].arrives_ns)
		flying_top--;
}

static void write_some(uint32_t side, uint32_t stream, uint64_t size)
{
	uint8_t bytes[3000];

	size = min_u64(size, sizeof(bytes));
	for (uint64_t i = 0; i < size; i++)
		bytes[i] = expected(side, stream, written[side][stream] + i);
	written[side][stream] += channel_write(&sides[side], stream, bytes, size);
}

static void read_all(uint32_t side)
{
	uint8_t bytes[32 * KIB];

	for (uint32_t stream = 0; stream < WIRE_STREAM_COUNT; stream++) {
		uint64_t size = channel_read(&sides[side], stream, bytes, sizeof(bytes));

		for (uint64_t i = 0; i < size; i++)
			if (bytes[i] != expected(1 - side, stream, got[side][stream] + i))
				fail_msg("side %u stream %u: wrong byte at %lu", side, stream,
					 (unsigned long)(got[side][stream] + i));
		got[side][stream] += size;
	}
}

static void step(bool writing)
{
	now_ns += MS / 50;
	arrive_all();
	for (uint32_t side = 0; side < 2; side++) {
		channel_tick(&sides[side], now_ns);
		if (writing && sides[side].peer && random_below(4) == 0)
			write_some(side, WIRE_STREAM_LOG, random_below(200));
		for (uint32_t i = 0; writing && sides[side].peer && i < bulk_writes; i++)
			write_some(side, WIRE_STREAM_BULK, random_below(3000));
		asked_in_runs ? send_in_runs(side) : send_in_turns(side);
		read_all(side);
	}
}

static void run_ms(uint64_t duration_ms, bool writing)
{
	uint64_t end_ns = now_ns + duration_ms * MS;

	while (now_ns < end_ns)
		step(writing);
}

static void all_arrives_within_ms(uint64_t limit_ms)
{
	uint64_t end_ns = now_ns + limit_ms * MS;

	for (;;) {
		bool complete = true;

		for (uint32_t side = 0; side < 2; side++)
			for (uint32_t stream = 0; stream < WIRE_STREAM_COUNT; stream++)
				complete =
					complete && got[1 - side][stream] == written[side][stream] &&
					channel_acknowledged(&sides[side], stream) == written[side][stream];
		if (complete)
			return;
		assert_true(now_ns < end_ns);
		step(false);
	}
}

static void both_links_carry_and_are_good(void **state)
{
	(void)state;
	run_ms(100, true);
	assert_int_equal(channel_good_links(&sides[0]), 2);
	assert_int_equal(channel_good_links(&sides[1]), 2);
	run_ms(200, true);
	all_arrives_within_ms(50);
	assert_true(got[1][WIRE_STREAM_BULK] > 5 * MIB);
	assert_true(carried[0] > 5 * MIB && carried[1] > 5 * MIB);
	assert_int_equal(sides[0].bytes_sent_again, 0);
	assert_int_equal(sides[0].links[0].failures + sides[1].links[1].failures, 0);
	/* A round trip is twice the cable, and what the steps of this test add. */
	assert_in_range(sides[0].links[0].round_trip_ns, 100000, 400000);
}

/* However links are asked, both carry their share, and a gap never has too many pieces behind it. */
static void bulk_is_spread_over_both_links(void **state)
{
	(void)state;
	run_ms(50, false);
	asked_in_runs = true;
	bulk_writes = 20;
	run_ms(20, true);
	assert_true(carried[0] + carried[1] > 20 * MIB);
	assert_in_range(carried[0] * 100 / (carried[0] + carried[1]), 40, 60);
	/* One that is slow gets less. */
	cables[0].delay_us = 500;
	run_ms(5, true);
	memset(carried, 0, sizeof(carried));
	run_ms(20, true);
	assert_true(2 * carried[1] > 3 * carried[0]);
	all_arrives_within_ms(20);
	assert_int_equal(sides[0].unstorable + sides[1].unstorable, 0);
}

/* What is urgent does not wait for the other link, and takes the one that asks though bulk may not. */
static void what_is_urgent_goes_out_on_whichever_link_asks(void **state)
{
	static const uint8_t bytes[BUFFER_SIZE];
	uint32_t count = 0;

	(void)state;
	run_ms(100, false);
	channel_write(&sides[0], WIRE_STREAM_DISK, bytes, sizeof(bytes));
	while (send_one(0, 0))
		count++;
	assert_in_range(count, CHANNEL_RUN,
			CHANNEL_RUN + 2); /* and not all of it: the rest is the other link's */
	channel_write(&sides[0], WIRE_STREAM_LOG, bytes, 100);
	assert_true(send_one(0, 0));
	assert_int_equal(sides[0].senders[WIRE_STREAM_LOG].sent, 100);
	assert_true(sides[0].senders[WIRE_STREAM_DISK].sent < sizeof(bytes));
	assert_true(send_one(0, 1));
	assert_true(send_one(0, 0) || send_one(0, 1));
}

static void bad_cables_lose_nothing(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 12; seed++) {
		set_up(state);
		random_state = seed * 977;
		for (uint32_t link = 0; link < WIRE_LINK_COUNT; link++)
			cables[link] = (struct cable){ .loss_percent = (uint32_t)random_below(15),
						       .duplication_percent = (uint32_t)random_below(10),
						       .corruption_percent = (uint32_t)random_below(10),
						       .jitter_us = (uint32_t)random_below(1000) };
		run_ms(300, true);
		all_arrives_within_ms(3000);
		assert_true(got[1][WIRE_STREAM_LOG] > 0);
	}
}

static void one_link_cut_costs_bandwidth_only(void **state)
{
	uint64_t before;

	(void)state;
	run_ms(100, true);
	cables[0].cut[0] = cables[0].cut[1] = true;
	run_ms(200, true);
	assert_int_equal(sides[0].links[0].state, LINK_TESTING);
	assert_int_equal(channel_good_links(&sides[0]), 1);
	before = got[1][WIRE_STREAM_LOG];
	run_ms(100, true);
	assert_true(got[1][WIRE_STREAM_LOG] > before);
	all_arrives_within_ms(200);
	/* It comes back, is tested, and carries again. */
	cables[0].cut[0] = cables[0].cut[1] = false;
	run_ms(200, false);
	assert_int_equal(channel_good_links(&sides[0]), 2);
	assert_int_equal(sides[0].links[0].failures, 1);
}

static void a_one_way_cut_fails_the_link_on_the_side_that_is_not_answered(void **state)
{
	(void)state;
	run_ms(100, true);
	cables[1].cut[1] = true; /* side 1 hears nothing on link 1; side 0 hears everything */
	run_ms(300, true);
	assert_int_equal(sides[0].links[1].state, LINK_TESTING);
	assert_int_equal(sides[1].links[1].state, LINK_TESTING);
	all_arrives_within_ms(200);
}

static void both_cut_and_healed_goes_on_where_it_was(void **state)
{
	(void)state;
	run_ms(100, true);
	for (uint32_t link = 0; link < WIRE_LINK_COUNT; link++)
		cables[link].cut[0] = cables[link].cut[1] = true;
	run_ms(300, true);
	assert_int_equal(channel_good_links(&sides[0]), 0);
	for (uint32_t link = 0; link < WIRE_LINK_COUNT; link++)
		cables[link].cut[0] = cables[link].cut[1] = false;
	run_ms(200, true);
	all_arrives_within_ms(500);
	assert_int_equal(channel_good_links(&sides[0]), 2);
}

static void a_restarted_peer_is_told_and_streams_begin_anew(void **state)
{
	(void)state;
	run_ms(100, true);
	side_start(1, 201);
	run_ms(100, true);
	assert_int_equal(sides[0].peer, 201);
	assert_int_equal(sides[1].peer, 100);
	all_arrives_within_ms(200);
}

static void a_late_hello_of_the_former_peer_is_no_news(void **state)
{
	uint8_t frame[WIRE_FRAME_MAX];
	struct channel_peer peer = { 0 };
	uint64_t size = channel_transmit(&sides[1], 0, now_ns, frame); /* caught on the wire */

	(void)state;
	assert_true(size > 0);
	run_ms(50, false);
	side_start(1, 201);
	run_ms(50, false);
	assert_int_equal(sides[0].peer, 201);
	assert_int_equal(channel_receive(&sides[0], 0, now_ns, frame, size, &peer), CHANNEL_NOTHING);
	assert_int_equal(sides[0].misdirected, 1);
}

/* A frame that is wrong in any way is counted under its reason and changes nothing else. */
static void wrong_frames_are_counted_and_dropped(void **state)
{
	struct wire_header header = {
		.kind = WIRE_PACKET, .pair = PAIR, .sender = 200, .receiver = 100, .number = 1
	};
	uint8_t frame[WIRE_FRAME_MAX] = { 0 };
	struct channel_peer peer;
	uint64_t size;

	(void)state;
	run_ms(50, false);
	size = wire_seal(frame, &header);
	channel_receive(&sides[0], 0, now_ns, frame, size - 1, &peer);
	assert_int_equal(sides[0].faults[WIRE_SHORT], 1);
	frame[40] ^= 1;
	channel_receive(&sides[0], 0, now_ns, frame, size, &peer);
	assert_int_equal(sides[0].faults[WIRE_CHECKSUM], 1);
	frame[0] ^= 1;
	channel_receive(&sides[0], 0, now_ns, frame, size, &peer);
	assert_int_equal(sides[0].faults[WIRE_MAGIC_WRONG], 1);
	header.pair = PAIR + 1;
	size = wire_seal(frame, &header);
	channel_receive(&sides[0], 0, now_ns, frame, size, &peer);
	assert_int_equal(sides[0].faults[WIRE_STRANGER], 1);
	header.pair = PAIR;
	header.kind = 9;
	size = wire_seal(frame, &header);
	channel_receive(&sides[0], 0, now_ns, frame, size, &peer);
	assert_int_equal(sides[0].faults[WIRE_FIELD], 1);
	header.kind = WIRE_PACKET;
	header.received[0] = 1; /* claims what we never sent */
	size = wire_seal(frame, &header);
	channel_receive(&sides[0], 0, now_ns, frame, size, &peer);
	assert_int_equal(sides[0].faults[WIRE_FIELD], 2);
	header.received[0] = 0;
	header.size = 10;
	header.offset = BUFFER_SIZE + 1; /* beyond our limit */
	size = wire_seal(frame, &header);
	channel_receive(&sides[0], 0, now_ns, frame, size, &peer);
	assert_int_equal(sides[0].unstorable, 1);
	header.receiver = 99;
	size = wire_seal(frame, &header);
	channel_receive(&sides[0], 0, now_ns, frame, size, &peer);
	assert_int_equal(sides[0].misdirected, 1);
	run_ms(100, true);
	all_arrives_within_ms(100);
}

static void noise_does_nothing(void **state)
{
	uint8_t frame[WIRE_FRAME_MAX];
	struct channel_peer peer;

	(void)state;
	run_ms(50, false);
	for (uint32_t round = 0; round < 20000; round++) {
		uint64_t size = random_below(300);

		for (uint64_t i = 0; i < size; i++)
			frame[i] = (uint8_t)random_below(256);
		if (size >= 6 && random_below(2)) {
			store_le32(frame, WIRE_MAGIC);
			store_le16(frame + 4, WIRE_VERSION);
		}
		assert_int_equal(channel_receive(&sides[0], 0, now_ns, frame, size, &peer), CHANNEL_NOTHING);
	}
	run_ms(50, true);
	all_arrives_within_ms(100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(both_links_carry_and_are_good, set_up),
		cmocka_unit_test_setup(bulk_is_spread_over_both_links, set_up),
		cmocka_unit_test_setup(what_is_urgent_goes_out_on_whichever_link_asks, set_up),
		cmocka_unit_test_setup(bad_cables_lose_nothing, set_up),
		cmocka_unit_test_setup(one_link_cut_costs_bandwidth_only, set_up),
		cmocka_unit_test_setup(a_one_way_cut_fails_the_link_on_the_side_that_is_not_answered, set_up),
		cmocka_unit_test_setup(both_cut_and_healed_goes_on_where_it_was, set_up),
		cmocka_unit_test_setup(a_restarted_peer_is_told_and_streams_begin_anew, set_up),
		cmocka_unit_test_setup(a_late_hello_of_the_former_peer_is_no_news, set_up),
		cmocka_unit_test_setup(wrong_frames_are_counted_and_dropped, set_up),
		cmocka_unit_test_setup(noise_does_nothing, set_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
