/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lockstep/pair.c and what it carries, where a single step matters: the simulator has
 * the rest. Two pairs hear each other without time going on, unless a test says so.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "include/crc32c.h"
#include "tests/sim/pair_fixture.h"

#define STREAM_SIZE (1 * MIB)
#define PAGE_SIZE 4096
#define PAGE_COUNT 100

static struct pair pairs[2];
static uint8_t streams[2][WIRE_STREAM_COUNT][2][STREAM_SIZE];
static uint8_t followers[2][2 * LEADER_RECORD_MAX];
static bool counter_exact[2] = { true, true };

/* Start `start` of server `side`. */
static void power_on_with(uint32_t side, uint64_t start, const char *build, uint64_t now_ns,
			  enum pair_durable_state state)
{
	const struct pair_durable durable = { .state = (uint8_t)state, .generation = 3 };
	struct pair_memory memory = { .follower = followers[side], .follower_size = sizeof(followers[side]) };
	struct pair_config config = pair_fixture_config(5, side, start);

	config.identity.step_counter_exact = counter_exact[side];
	memcpy(config.identity.build, build, strlen(build));
	for (uint32_t i = 0; i < WIRE_STREAM_COUNT; i++)
		memory.streams[i] = (struct channel_buffers){ streams[side][i][0], STREAM_SIZE,
							      streams[side][i][1], STREAM_SIZE };
	pair_init(&pairs[side], &config, &memory, &durable, now_ns);
}

static void power_on(uint32_t side, uint64_t start, const char *build, uint64_t now_ns)
{
	power_on_with(side, start, build, now_ns, PAIR_DURABLE_FRESH);
}

/* All that `from` has to send now reaches the other. */
static void say(uint32_t from, uint64_t now_ns)
{
	uint8_t frame[WIRE_FRAME_MAX];
	uint64_t size;

	for (uint32_t link = 0; link < WIRE_LINK_COUNT; link++)
		while ((size = pair_transmit(&pairs[from], link, now_ns, frame)) > 0)
			pair_receive(&pairs[1 - from], link, now_ns, frame, size);
}

/* Both talk for 40 ms; only those of `ticking` (a bit each) take turns. */
static uint64_t talk(uint64_t now_ns, uint32_t ticking)
{
	for (uint64_t end_ns = now_ns + 40 * MS; now_ns < end_ns; now_ns += MS)
		for (uint32_t side = 0; side < 2; side++) {
			if (ticking >> side & 1)
				pair_tick(&pairs[side], now_ns);
			say(side, now_ns);
		}
	return now_ns;
}

static void take_actions(uint32_t side)
{
	struct pair_action action;

	while (pair_action_take(&pairs[side], &action))
		;
}

/* One of the two runs the guest as ever; the other is refused, and both know why. */
static void step_counters_that_are_not_exact(void **state)
{
	static const struct {
		bool exact[2];
		const char *reason; /* that b gives */
	} rows[] = {
		{ { true, false }, "no duplex: this server's step counter is not exact" },
		{ { false, true }, "no duplex: the peer's step counter is not exact" },
		{ { false, false }, "no duplex: this server's step counter is not exact" },
	};

	(void)state;
	for (uint32_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t now_ns = 1000 * MS;

		memcpy(counter_exact, rows[i].exact, sizeof(counter_exact));
		power_on(0, 1, "one", now_ns);
		power_on(1, 1, "one", now_ns);
		now_ns = talk(now_ns, 3);
		assert_int_equal(pairs[0].role, PAIR_ALONE);
		assert_int_equal(pairs[1].role, PAIR_REFUSED);
		assert_string_equal(pairs[1].reason, rows[i].reason);
		take_actions(0);
		pair_persisted(&pairs[0]);
		talk(now_ns, 3);
		assert_int_equal(pairs[0].role, PAIR_SIMPLEX);
		assert_false(pairs[0].copying);
	}
	counter_exact[0] = counter_exact[1] = true;
}

static void identity_names_its_server(void **state)
{
	(void)state;
	power_on(1, 1, "one", MS);
	assert_int_equal(pairs[1].config.identity.server, 1);
}

/* What both decide by is what was said when they met: an error since then counts from the next time on. */
static void hardware_faults_are_agreed_upon(void **state)
{
	uint64_t now_ns = 1000 * MS;

	(void)state;
	power_on(0, 1, "one", now_ns);
	power_on(1, 1, "one", now_ns);
	pair_hardware(&pairs[0], true);
	now_ns = talk(now_ns, 3);
	assert_true(pairs[0].hardware_told);
	assert_int_equal(pairs[1].peer.hardware_faults, 1);
	assert_int_equal(pairs[0].peer.hardware_faults, 0);
	pair_hardware(&pairs[1], true);
	now_ns = talk(now_ns, 3);
	assert_false(pairs[1].hardware_told);
	assert_int_equal(pairs[0].peer.hardware_faults, 0);
	power_on(0, 2, "one", now_ns);
	talk(now_ns, 3);
	assert_true(pairs[1].hardware_told);
	assert_int_equal(pairs[0].peer.hardware_faults, 1);
}

/* a has decided to start when b comes back as another build, all between two ticks of a. */
static void refusal_takes_back_the_decision(void **state)
{
	uint64_t now_ns = 1000 * MS;

	(void)state;
	power_on(0, 1, "one", now_ns);
	power_on(1, 1, "one", now_ns);
	now_ns = talk(now_ns, 2);
	assert_true(pairs[0].going_alone);
	power_on(1, 2, "two", now_ns);
	now_ns = talk(now_ns, 2);
	assert_int_equal(pairs[0].role, PAIR_REFUSED);
	assert_int_equal(pairs[1].role, PAIR_REFUSED);
	assert_string_equal(pairs[0].reason, "the peer runs another build of Yoke");
	assert_false(pairs[0].going_alone);
	pair_tick(&pairs[0], now_ns);
	assert_int_equal(pairs[0].role, PAIR_REFUSED);
	take_actions(0);
	take_actions(1);

	/* Reinstalled, it is met as if for the first time. */
	power_on(1, 3, "one", now_ns);
	talk(now_ns, 3);
	assert_int_equal(pairs[0].role, PAIR_ALONE);
	assert_int_equal(pairs[1].role, PAIR_WAITING);
}

/* Server a for `span_ns` with nobody there. */
static uint64_t be_lonely(uint64_t now_ns, uint64_t span_ns)
{
	for (uint64_t end_ns = now_ns + span_ns; now_ns < end_ns; now_ns += MS)
		pair_tick(&pairs[0], now_ns);
	return now_ns;
}

static void refused_peer_goes_away(void **state)
{
	uint64_t now_ns = 1000 * MS;

	(void)state;
	power_on_with(0, 1, "one", now_ns, PAIR_DURABLE_ALONE);
	power_on_with(1, 1, "two", now_ns, PAIR_DURABLE_DUPLEX);
	now_ns = talk(now_ns, 3);
	assert_int_equal(pairs[0].role, PAIR_REFUSED);
	pair_start_alone(&pairs[0]); /* not while it is there */
	now_ns = talk(now_ns, 3);
	assert_int_equal(pairs[0].role, PAIR_REFUSED);
	now_ns = be_lonely(now_ns, 350 * MS);
	assert_int_equal(pairs[0].role, PAIR_WAITING);
	be_lonely(now_ns, 410 * MS);
	assert_int_equal(pairs[0].role, PAIR_ALONE);
}

/* What it knows lies on a disk that is not there: its guest could read nothing. */
static void nobody_starts_without_a_disk(void **state)
{
	uint64_t now_ns = 1000 * MS;

	(void)state;
	power_on_with(0, 1, "one", now_ns, PAIR_DURABLE_ALONE);
	pair_disks(&pairs[0], false, true);
	now_ns = be_lonely(now_ns, 2000 * MS);
	assert_int_equal(pairs[0].role, PAIR_WAITING);
	assert_string_equal(pairs[0].reason,
			    "this server's disks are not current: the guest needs the peer's");
	pair_start_alone(&pairs[0]);
	now_ns = be_lonely(now_ns, 100 * MS);
	assert_int_equal(pairs[0].role, PAIR_WAITING);
	/* The peer comes, and its disk lacks what we know; then ours is found. */
	pair_disks(&pairs[0], false, false);
	power_on_with(1, 1, "one", now_ns, PAIR_DURABLE_DUPLEX);
	now_ns = talk(now_ns, 3);
	assert_int_equal(pairs[0].role, PAIR_WAITING);
	assert_int_equal(pairs[1].role, PAIR_WAITING);
	pair_disks(&pairs[0], true, false);
	talk(now_ns, 3);
	assert_int_equal(pairs[0].role, PAIR_ALONE);
	assert_int_equal(pairs[1].role, PAIR_WAITING);
}

/* The guest runs from the peer's disk. */
static void one_starts_with_the_disk_of_the_other(void **state)
{
	uint64_t now_ns = 1000 * MS;

	(void)state;
	power_on_with(0, 1, "one", now_ns, PAIR_DURABLE_ALONE);
	power_on_with(1, 1, "one", now_ns, PAIR_DURABLE_DUPLEX);
	pair_disks(&pairs[0], false, true);
	talk(now_ns, 3);
	assert_int_equal(pairs[0].role, PAIR_ALONE);
}

/* Each has seen what the other has not: nobody but an administrator can say which counts. */
static void split_is_not_forgotten(void **state)
{
	uint64_t now_ns = 1000 * MS;

	(void)state;
	power_on_with(0, 1, "one", now_ns, PAIR_DURABLE_ALONE);
	power_on_with(1, 1, "one", now_ns, PAIR_DURABLE_ALONE);
	now_ns = talk(now_ns, 3);
	assert_int_equal(pairs[0].role, PAIR_REFUSED);
	assert_int_equal(pairs[1].role, PAIR_REFUSED);
	now_ns = be_lonely(now_ns, 2000 * MS);
	assert_int_equal(pairs[0].role, PAIR_REFUSED);
	pair_start_alone(&pairs[0]);
	be_lonely(now_ns, MS);
	assert_int_equal(pairs[0].role, PAIR_ALONE);
}

static void another_version_is_refused_by_name(void **state)
{
	struct wire_header header = {
		.kind = WIRE_HELLO, .pair = 5, .sender = 9, .number = 1, .limit = { 1 }
	};
	uint8_t frame[WIRE_FRAME_MAX];
	uint64_t now_ns = 1000 * MS;
	uint64_t size;

	(void)state;
	power_on_with(0, 1, "one", now_ns, PAIR_DURABLE_ALONE);
	for (uint32_t i = 0; i < 2; i++) {
		uint32_t stranger = 1 - i;

		header.pair = 5 + stranger;
		for (uint64_t end_ns = now_ns + 300 * MS; now_ns < end_ns; now_ns += 5 * MS) {
			size = wire_seal(frame, &header);
			((struct wire_header *)frame)->version++;
			((struct wire_header *)frame)->crc32c = 0;
			((struct wire_header *)frame)->crc32c = crc32c(0, frame, size);
			pair_receive(&pairs[0], 0, now_ns, frame, size);
			pair_tick(&pairs[0], now_ns);
		}
		assert_int_equal(pairs[0].role, stranger ? PAIR_WAITING : PAIR_REFUSED);
	}
	assert_string_equal(pairs[0].reason, "the peer speaks another version of the protocol");
	be_lonely(now_ns, 350 * MS);
	assert_int_equal(pairs[0].role, PAIR_WAITING);
}

/* Each reckons with how soon the other takes it for dead. */
static void another_ask_time_is_refused_by_name(void **state)
{
	uint64_t now_ns = 1000 * MS;

	(void)state;
	power_on(0, 1, "one", now_ns);
	power_on(1, 1, "one", now_ns);
	pairs[1].config.identity.ask_time_ns = pairs[0].config.identity.ask_time_ns + 1;
	talk(now_ns, 3);
	for (uint32_t side = 0; side < 2; side++) {
		assert_int_equal(pairs[side].role, PAIR_REFUSED);
		assert_string_equal(pairs[side].reason, "the peer has another pair.ask_time");
	}
}

/* A message of the peer that only a broken or hostile one sends. */
static void put_control(uint32_t side, uint8_t type, const void *body, uint32_t size)
{
	const struct message_header header = { .type = type, .size = size };

	channel_write(&pairs[side].channel, WIRE_STREAM_CONTROL, (const uint8_t *)&header, sizeof(header));
	channel_write(&pairs[side].channel, WIRE_STREAM_CONTROL, body, size);
}

static void trail_that_nobody_asked_for(void **state)
{
	uint8_t body[sizeof(struct message_trail) + 16] = { 0 };
	struct message_trail trail = { .field_count = 2 };
	uint64_t now_ns = 1000 * MS;

	(void)state;
	power_on(0, 1, "one", now_ns);
	power_on(1, 1, "one", now_ns);
	now_ns = talk(now_ns, 0);
	memcpy(body, &trail, sizeof(trail));
	put_control(1, MESSAGE_TRAIL, body, sizeof(body));
	now_ns = talk(now_ns, 0);
	assert_int_equal(pairs[0].protocol_faults, 1);
	pairs[0].trail_owed = true; /* now it is due, but says more than it brings */
	trail.field_count = 0x20000003;
	memcpy(body, &trail, sizeof(trail));
	put_control(1, MESSAGE_TRAIL, body, sizeof(body));
	talk(now_ns, 0);
	assert_int_equal(pairs[0].protocol_faults, 2);
	assert_true(pairs[0].trail_owed);
}

static void trail_names_the_first_difference(void **state)
{
	static struct trail trails[2];
	uint64_t fields[TRAIL_FIELD_MAX] = { 0 };
	const struct position halted = { .exits = 5 }; /* all checks are made at one place */

	(void)state;
	trail_clear(&trails[0]);
	trail_clear(&trails[1]);
	assert_null(trail_find(&trails[0], 0));
	for (uint64_t i = 0; i < TRAIL_SIZE + 3; i++) {
		fields[7] = fields[9] = i;
		trail_put(&trails[0], &halted, i, fields, TRAIL_FIELD_MAX);
		fields[7] += i == TRAIL_SIZE;
		fields[9] += i == TRAIL_SIZE;
		trail_put(&trails[1], &halted, i, fields, TRAIL_FIELD_MAX);
	}
	assert_null(trail_find(&trails[0], 2)); /* no longer kept */
	assert_null(trail_find(&trails[0], TRAIL_SIZE + 3));
	for (uint64_t i = 3; i < TRAIL_SIZE + 3; i++) {
		assert_true(trail_find(&trails[0], i)->digest == i);
		assert_int_equal(trail_difference(trail_find(&trails[0], i), trail_find(&trails[1], i)),
				 i == TRAIL_SIZE ? 7 : TRAIL_FIELD_NONE);
	}
}

static int decode(enum message_type type, const void *fixed, uint32_t fixed_size, uint32_t data_size,
		  struct message_pages *pages)
{
	static uint8_t message[MESSAGE_SIZE_MAX];
	const struct message_header header = { .type = (uint8_t)type, .size = fixed_size + data_size };

	memcpy(message, &header, sizeof(header));
	memcpy(message + sizeof(header), fixed, fixed_size);
	assert_true(message_check(message, sizeof(header) + header.size, true) > 0);
	return message_pages_decode(message, PAGE_COUNT, PAGE_SIZE, pages);
}

static void pages_stay_inside_the_guest(void **state)
{
	static const struct {
		struct message_pages_zero zero;
		int error;
	} runs[] = {
		{ { 0, 1 }, 0 },
		{ { 0, PAGE_COUNT }, 0 },
		{ { PAGE_COUNT - 1, 1 }, 0 },
		{ { 5, 0 }, -EINVAL },
		{ { 0, PAGE_COUNT + 1 }, -EINVAL },
		{ { PAGE_COUNT, 1 }, -EINVAL },
		{ { 1, PAGE_COUNT }, -EINVAL },
		{ { UINT64_MAX, 1 }, -EINVAL },
		{ { 1, UINT64_MAX }, -EINVAL },
	};
	struct message_page page = { .index = PAGE_COUNT - 1 };
	struct message_state other = { 0 };
	struct message_pages pages;

	(void)state;
	for (uint32_t i = 0; i < ARRAY_SIZE(runs); i++) {
		assert_int_equal(decode(MESSAGE_PAGES_ZERO, &runs[i].zero, sizeof(runs[i].zero), 0, &pages),
				 runs[i].error);
		if (runs[i].error)
			continue;
		assert_true(pages.first == runs[i].zero.first);
		assert_true(pages.count == runs[i].zero.count);
		assert_null(pages.data);
	}
	assert_int_equal(decode(MESSAGE_PAGE, &page, sizeof(page), PAGE_SIZE, &pages), 0);
	assert_true(pages.first == page.index);
	assert_true(pages.count == 1);
	assert_non_null(pages.data);
	assert_int_equal(decode(MESSAGE_PAGE, &page, sizeof(page), PAGE_SIZE - 1, &pages), -EINVAL);
	page.index = PAGE_COUNT;
	assert_int_equal(decode(MESSAGE_PAGE, &page, sizeof(page), PAGE_SIZE, &pages), -EINVAL);
	assert_int_equal(decode(MESSAGE_STATE, &other, sizeof(other), 8, &pages), -EINVAL);
}

/* Server b takes the guest of a. */
static uint64_t begin_join(uint64_t now_ns)
{
	power_on_with(0, 1, "one", now_ns, PAIR_DURABLE_ALONE);
	power_on_with(1, 1, "one", now_ns, PAIR_DURABLE_DUPLEX);
	now_ns = talk(now_ns, 3);
	take_actions(0);
	pair_persisted(&pairs[0]);
	now_ns = talk(now_ns, 3);
	take_actions(0);
	take_actions(1);
	assert_true(pairs[0].copying);
	assert_int_equal(pairs[1].role, PAIR_TARGET);
	return now_ns;
}

/* What the last action showed is not there any more. */
static void source_falls_silent_behind_a_page(void **state)
{
	static const uint8_t page[PAGE_SIZE];
	const struct message_page fixed = { .index = 1 };
	struct pair_action action;
	uint64_t now_ns = begin_join(1000 * MS);

	(void)state;
	assert_true(pair_join_put(&pairs[0], MESSAGE_PAGE, &fixed, sizeof(fixed), page, sizeof(page)));
	now_ns = talk(now_ns, 3);
	assert_true(pair_action_take(&pairs[1], &action));
	assert_int_equal(action.kind, PAIR_ACTION_JOIN_TAKE);
	for (uint64_t end_ns = now_ns + 350 * MS; now_ns < end_ns; now_ns += MS)
		pair_tick(&pairs[1], now_ns);
	assert_int_equal(pairs[1].role, PAIR_WAITING);
	take_actions(1);
	assert_int_equal(pairs[1].bulk_size, 0);
}

/* What is left of the first join in the stream cannot be told from the second: only a fresh channel helps. */
static void source_begins_anew(void **state)
{
	const struct message_join_begin begin = { 0 };
	uint64_t now_ns = begin_join(1000 * MS);

	(void)state;
	put_control(0, MESSAGE_JOIN_BEGIN, &begin, sizeof(begin));
	say(0, now_ns);
	assert_int_equal(pairs[1].role, PAIR_WAITING);
	assert_int_equal(pairs[1].protocol_faults, 1);
	talk(now_ns, 3);
	assert_int_equal(pairs[1].role, PAIR_TARGET);
	assert_true(pairs[0].copying);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(identity_names_its_server),
		cmocka_unit_test(hardware_faults_are_agreed_upon),
		cmocka_unit_test(refusal_takes_back_the_decision),
		cmocka_unit_test(refused_peer_goes_away),
		cmocka_unit_test(step_counters_that_are_not_exact),
		cmocka_unit_test(nobody_starts_without_a_disk),
		cmocka_unit_test(one_starts_with_the_disk_of_the_other),
		cmocka_unit_test(split_is_not_forgotten),
		cmocka_unit_test(another_version_is_refused_by_name),
		cmocka_unit_test(another_ask_time_is_refused_by_name),
		cmocka_unit_test(trail_that_nobody_asked_for),
		cmocka_unit_test(trail_names_the_first_difference),
		cmocka_unit_test(pages_stay_inside_the_guest),
		cmocka_unit_test(source_falls_silent_behind_a_page),
		cmocka_unit_test(source_begins_anew),
	};

	return cmocka_run_group_tests_name("pair", tests, NULL, NULL);
}
