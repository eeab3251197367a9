/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The doors of a leader and of its follower. Both pairs are real but for the way
 * between them, which is this test: it carries the log over when it is told to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>
#include <cmocka.h>

#include "kernel/guest_digest.h"
#include "kernel/guest_door.h"
#include "tests/sim/pair_fixture.h"
#include "tests/unit/host/time.h"

#define STREAM_SIZE (2 * MIB)
#define ROUND_COUNT 200
#define SIZE_MAX_OF_DATA 3000

enum { LEADER, FOLLOWER };

static struct pair pairs[2];
static struct guest_door doors[2];
static uint8_t streams[2][WIRE_STREAM_COUNT][2][STREAM_SIZE];
static uint8_t followers[2][4 * LEADER_RECORD_MAX];
static uint64_t carried; /* bytes of log */
static uint8_t data[SIZE_MAX_OF_DATA];

static void make_pair(uint32_t side)
{
	const struct pair_durable durable = { .state = PAIR_DURABLE_DUPLEX, .generation = 3 };
	struct pair_memory memory = { .follower = followers[side], .follower_size = sizeof(followers[side]) };
	const struct pair_config config = pair_fixture_config(5, side, 1);

	for (uint32_t i = 0; i < WIRE_STREAM_COUNT; i++)
		memory.streams[i] = (struct channel_buffers){ streams[side][i][0], STREAM_SIZE,
							      streams[side][i][1], STREAM_SIZE };
	pair_init(&pairs[side], &config, &memory, &durable, MS);
	guest_door_pair(&doors[side], &pairs[side]);
}

/* In duplex since power-on. */
static int set_up(void **state)
{
	const struct position power_on = { 0 };

	(void)state;
	for (uint32_t side = 0; side < 2; side++)
		make_pair(side);
	pairs[LEADER].role = PAIR_LEADER;
	leader_init(&pairs[LEADER].leader, &power_on, 0);
	pairs[FOLLOWER].role = PAIR_FOLLOWER;
	follower_init(&pairs[FOLLOWER].follower, pairs[FOLLOWER].follower_buffer,
		      pairs[FOLLOWER].follower_buffer_size, &power_on, 0);
	host_time_advance_ns(7 * MS); /* whatever time it is there: that of the log counts */
	guest_door_set_time(&doors[FOLLOWER], 0);
	carried = 0;
	return 0;
}

static void carry_log(void)
{
	const struct channel_sender *log = &pairs[LEADER].channel.senders[WIRE_STREAM_LOG];

	assert_true(log->written <= STREAM_SIZE); /* once round at most: it lies there as one piece */
	follower_receive(&pairs[FOLLOWER].follower, log->buffer + carried, log->written - carried);
	carried = log->written;
}

static struct position position_of(uint32_t number)
{
	return (struct position){ .exits = 2 * number, .steps = 100 + number % 7, .rip = 0x1000 + number };
}

/* The access that exited behind it. */
static struct position exit_of(uint32_t number)
{
	return (struct position){ .exits = 2 * number + 1, .rip = 0x5000 + number };
}

static struct machine_input input_of(uint32_t number)
{
	static const uint32_t kinds[] = { MACHINE_INPUT_TIME, MACHINE_INPUT_FRAME, MACHINE_INPUT_DATE,
					  MACHINE_INPUT_DISK_COMPLETION };
	struct machine_input input = { .kind = kinds[number % ARRAY_SIZE(kinds)] };

	if (input.kind == MACHINE_INPUT_TIME) {
		input.time_ns = guest_door_now_ns(&doors[LEADER]);
		return input;
	}
	input.value = number * 77;
	if (input.kind == MACHINE_INPUT_DATE)
		return input;
	input.index = number % 3;
	input.size = 1 + number * 131 % SIZE_MAX_OF_DATA;
	input.data = data;
	for (uint32_t i = 0; i < input.size; i++)
		data[i] = (uint8_t)(number + i * 13);
	if (input.kind == MACHINE_INPUT_DISK_COMPLETION) {
		input.request = number;
		input.status = number % 2;
	}
	return input;
}

static struct guest_digest digest_of(uint32_t number)
{
	return (struct guest_digest){ .whole = UINT64_C(0x100000001) * number, .field_count = 1 };
}

/* An input, a digest, the end of a slice and then an access that asks for the time. */
static uint64_t lead_round(uint32_t number, struct machine_input *input)
{
	const struct position here = position_of(number);
	const struct position exit = exit_of(number);
	const struct guest_digest digest = digest_of(number);
	uint64_t time_ns;

	assert_false(guest_door_follows(&doors[LEADER]));
	assert_true(guest_door_decides(&doors[LEADER]));
	*input = input_of(number);
	guest_door_put_input(&doors[LEADER], &here, input);
	guest_door_put_check(&doors[LEADER], &here, &digest);
	guest_door_horizon(&doors[LEADER], &here);
	assert_int_equal(guest_door_time(&doors[LEADER], &exit, &time_ns), 0);
	return time_ns;
}

static const struct record *due_at(uint32_t number)
{
	static struct follower_plan plan;
	const struct position here = position_of(number);

	guest_door_plan(&doors[FOLLOWER], &here, &plan);
	assert_int_equal(plan.verdict, FOLLOWER_APPLY);
	return plan.record;
}

/* Not before its position, and there as it was put in. */
static void follow_input(uint32_t number, const struct machine_input *put)
{
	struct position before = position_of(number);
	struct follower_plan plan;
	struct machine_input input;

	before.steps -= 60;
	guest_door_plan(&doors[FOLLOWER], &before, &plan);
	assert_int_equal(plan.verdict, FOLLOWER_RUN);
	assert_int_equal(plan.steps_max, 60);
	guest_door_input(due_at(number), &input);
	assert_int_equal(input.kind, put->kind);
	assert_int_equal(input.index, put->index);
	assert_int_equal(input.request, put->request);
	assert_int_equal(input.status, put->status);
	assert_int_equal(input.value, put->value);
	if (put->kind == MACHINE_INPUT_TIME)
		assert_true(input.time_ns == put->time_ns);
	/* What was read comes from the follower's own disk. */
	assert_int_equal(input.size, put->kind == MACHINE_INPUT_DISK_COMPLETION ? 0 : put->size);
	if (input.size > 0)
		assert_memory_equal(input.data, put->data, input.size);
	guest_door_applied(&doors[FOLLOWER]);
}

static void what_the_leader_logs_the_follower_gets(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < ROUND_COUNT; i++) {
		const struct position exit = exit_of(i);
		const struct guest_digest digest = digest_of(i);
		struct machine_input input;
		uint64_t led_ns = lead_round(i, &input);
		uint64_t followed_ns;

		carry_log();
		assert_true(guest_door_follows(&doors[FOLLOWER]));
		assert_false(guest_door_decides(&doors[FOLLOWER]));
		follow_input(i, &input);
		assert_true(guest_door_compare(&doors[FOLLOWER], due_at(i), &digest));
		guest_door_applied(&doors[FOLLOWER]);
		assert_int_equal(guest_door_time(&doors[FOLLOWER], &exit, &followed_ns), 0);
		assert_true(followed_ns == led_ns);
	}
	assert_null(doors[FOLLOWER].diverged);
	assert_int_equal(trail_difference(trail_find(&pairs[LEADER].trail, ROUND_COUNT - 1),
					  trail_find(&pairs[FOLLOWER].trail, ROUND_COUNT - 1)),
			 TRAIL_FIELD_NONE);
}

static void what_has_not_come_is_waited_for(void **state)
{
	const struct position power_on = { 0 };
	const struct position exit = exit_of(0);
	struct follower_plan plan;
	struct machine_input input;
	uint64_t time_ns;

	(void)state;
	lead_round(0, &input);
	guest_door_plan(&doors[FOLLOWER], &power_on, &plan);
	assert_int_equal(plan.verdict, FOLLOWER_WAIT);
	assert_int_equal(guest_door_time(&doors[FOLLOWER], &exit, &time_ns), -EAGAIN);
	carry_log();
	guest_door_plan(&doors[FOLLOWER], &power_on, &plan);
	assert_int_equal(plan.verdict, FOLLOWER_RUN);
	assert_null(doors[FOLLOWER].diverged);
	assert_int_equal(pairs[FOLLOWER].role, PAIR_FOLLOWER);
}

/* The follower says why, and gives its guest up. */
static void assert_diverged(void)
{
	assert_non_null(doors[FOLLOWER].diverged);
	assert_int_equal(pairs[FOLLOWER].role, PAIR_WAITING);
	assert_int_equal(pairs[FOLLOWER].divergences, 1);
	assert_false(guest_door_decides(&doors[FOLLOWER]));
	assert_int_equal(set_up(NULL), 0);
}

static void what_is_not_in_the_log_is_refused(void **state)
{
	const struct position early = { .exits = 1, .rip = 0x5000 };
	struct position beyond = position_of(1);
	struct guest_digest other = digest_of(0);
	struct follower_plan plan;
	struct machine_input input;
	uint64_t time_ns;

	(void)state;
	/* An access that the leader's guest did not make: an input is due first. */
	lead_round(1, &input);
	carry_log();
	assert_int_equal(guest_door_time(&doors[FOLLOWER], &early, &time_ns), -EILSEQ);
	assert_diverged();
	/* A guest that came past an input's place without it. */
	lead_round(1, &input);
	carry_log();
	beyond.steps++;
	guest_door_plan(&doors[FOLLOWER], &beyond, &plan);
	assert_int_equal(plan.verdict, FOLLOWER_DIVERGED);
	assert_diverged();
	/* Another digest. */
	lead_round(0, &input);
	carry_log();
	follow_input(0, &input);
	other.whole ^= 1;
	assert_false(guest_door_compare(&doors[FOLLOWER], due_at(0), &other));
	assert_diverged();
}

static void a_leader_whose_log_is_full_waits(void **state)
{
	uint32_t number = 0;
	struct position here;
	struct follower_plan plan;
	struct machine_input input;
	uint64_t written;
	uint64_t time_ns;

	(void)state;
	while (guest_door_decides(&doors[LEADER])) {
		input = input_of(number);
		here = position_of(number++);
		guest_door_put_input(&doors[LEADER], &here, &input);
	}
	written = pairs[LEADER].leader.written;
	here = exit_of(number);
	guest_door_plan(&doors[LEADER], &here, &plan);
	assert_int_equal(plan.verdict, FOLLOWER_WAIT);
	assert_int_equal(guest_door_time(&doors[LEADER], &here, &time_ns), -EAGAIN);
	assert_int_equal(pairs[LEADER].leader.written, written);
}

/* The follower's clock, or that of who leads now, is behind the times that the guest has been told. */
static void time_does_not_go_back_at_a_takeover(void **state)
{
	const struct position exit = exit_of(0);
	const struct position later = position_of(1);
	struct machine_input input;
	uint64_t led_ns;
	uint64_t time_ns;

	(void)state;
	host_time_advance_ns(500 * MS);
	led_ns = lead_round(0, &input);
	carry_log();
	follow_input(0, &input);
	assert_int_equal(due_at(0)->kind, RECORD_CHECK);
	guest_door_applied(&doors[FOLLOWER]);
	assert_int_equal(guest_door_time(&doors[FOLLOWER], &exit, &time_ns), 0);
	assert_true(time_ns == led_ns);
	pairs[FOLLOWER].role = PAIR_SIMPLEX;
	guest_door_set_time(&doors[FOLLOWER], 0);
	assert_true(guest_door_decides(&doors[FOLLOWER]));
	input = (struct machine_input){ .kind = MACHINE_INPUT_TIME,
					.time_ns = guest_door_now_ns(&doors[FOLLOWER]) };
	assert_true(input.time_ns < led_ns);
	guest_door_put_input(&doors[FOLLOWER], &later, &input);
	assert_true(input.time_ns >= led_ns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_the_leader_logs_the_follower_gets, set_up),
		cmocka_unit_test_setup(what_has_not_come_is_waited_for, set_up),
		cmocka_unit_test_setup(what_is_not_in_the_log_is_refused, set_up),
		cmocka_unit_test_setup(a_leader_whose_log_is_full_waits, set_up),
		cmocka_unit_test_setup(time_does_not_go_back_at_a_takeover, set_up),
	};

	return cmocka_run_group_tests_name("guest_door_pair", tests, NULL, NULL);
}
