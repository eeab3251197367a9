/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log from leader to follower: every record comes out as it went in and where
 * it went in, however the stream is cut up; and what no leader writes is refused.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lockstep/follower.h"
#include "lockstep/leader.h"

#define EVENT_COUNT 2000
#define STREAM_SIZE (16 * MIB)
#define BUFFER_SIZE (2 * LEADER_RECORD_MAX)

static uint8_t stream[STREAM_SIZE];
static uint8_t buffer[BUFFER_SIZE];
static uint8_t data[RECORD_DATA_MAX];

/* What the leader did, to be found again. */
struct happening {
	uint32_t kind;
	struct position position;
	uint64_t number; /* time, digest or argument */
	uint32_t size;
	uint32_t data_offset;
};
static struct happening history[EVENT_COUNT];

/* A small generator of our own: the same numbers everywhere. */
static uint64_t random_state;
static uint64_t random_below(uint64_t limit)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (random_state >> 33) % limit;
}

/* Moves the position as a guest does: some steps, or a synchronous exit. */
static void guest_moves(struct position *position)
{
	if (random_below(3) == 0) {
		position->exits += 1 + random_below(1000);
		position->steps = random_below(5);
	} else {
		position->steps += random_below(100000);
	}
	position->rip = UINT64_C(0xffffffff81000000) + random_below(0x1000000);
	position->rcx = random_below(4) ? 0 : random_below(UINT32_MAX);
}

static uint64_t lead(uint64_t seed)
{
	struct leader leader;
	struct position position = { 0 };
	uint64_t size = 0;
	uint64_t time_ns = 0;

	random_state = seed;
	leader_init(&leader, &position, 0);
	for (uint32_t i = 0; i < EVENT_COUNT; i++) {
		struct happening *happening = &history[i];
		struct record_input input = {
			.kind = 2, .index = 1, .request = i, .status = 3, .value = UINT32_MAX
		};

		guest_moves(&position);
		time_ns += random_below(10000000);
		memset(happening, 0, sizeof(*happening));
		happening->kind = 1 + (uint32_t)random_below(RECORD_KIND_COUNT - 1);
		if (happening->kind == RECORD_VALUE)
			position.exits++, position.steps = 0;
		happening->position = position;
		happening->number = happening->kind <= RECORD_INPUT ? time_ns : random_state;
		happening->size = random_below(20) ? (uint32_t)random_below(2000)
						   : (uint32_t)random_below(RECORD_DATA_MAX);
		happening->data_offset = (uint32_t)random_below(RECORD_DATA_MAX - happening->size + 1);
		switch (happening->kind) {
		case RECORD_VALUE:
			size += leader_value(&leader, &position, RECORD_VALUE_TIME, time_ns, stream + size);
			break;
		case RECORD_INPUT:
			size += leader_input(&leader, &position, time_ns, &input,
					     data + happening->data_offset, happening->size, stream + size);
			break;
		case RECORD_HORIZON:
			size += leader_horizon(&leader, &position, stream + size);
			break;
		case RECORD_CHECK:
			size += leader_check(&leader, &position, happening->number, stream + size);
			break;
		default:
			size += leader_control(&leader, &position, 7, happening->number, stream + size);
			break;
		}
		assert_int_equal(leader.written, size);
		assert_true(size <= STREAM_SIZE - LEADER_RECORD_MAX);
	}
	return size;
}

static void applied_as_it_was(const struct record *record, const struct happening *happening)
{
	assert_int_equal(record->kind, happening->kind);
	if (record->kind == RECORD_INPUT) {
		assert_int_equal(record->size, happening->size);
		assert_memory_equal(record->data, data + happening->data_offset, happening->size);
		assert_int_equal(record->time_ns, happening->number);
		assert_int_equal(record->input.value, UINT32_MAX);
		assert_int_equal(record->input.status, 3);
	} else {
		assert_int_equal(record->digest, happening->number);
	}
}

/* A guest that makes the same moves, stopped where the plan says; the stream comes in random pieces. */
static void follow(uint64_t seed, uint64_t size)
{
	struct follower follower;
	struct position now = { 0 };
	uint64_t given = 0;
	uint32_t i = 0;

	random_state = seed ^ 0x5555;
	follower_init(&follower, buffer, BUFFER_SIZE, &now, 0);
	while (i < EVENT_COUNT) {
		const struct happening *happening = &history[i];
		struct follower_plan plan;
		const char *reason = NULL;
		uint64_t time_ns;

		if (random_below(2) && given < size) {
			uint64_t piece =
				min_u64(min_u64(random_below(random_below(8) ? 300 : 300000), size - given),
					follower_room(&follower));
			follower_receive(&follower, stream + given, piece);
			given += piece;
			assert_int_equal(follower.received, given);
		}
		follower_plan(&follower, &now, &plan);
		switch (plan.verdict) {
		case FOLLOWER_WAIT:
			assert_true(given < size || happening->kind == RECORD_HORIZON);
			if (given == size)
				i++; /* the last horizon was reached */
			break;
		case FOLLOWER_RUN:
			if (happening->kind == RECORD_HORIZON &&
			    position_compare(&now, &happening->position) < 0 &&
			    plan.steps_max != happening->position.steps - now.steps) {
				i++; /* a horizon that something stands behind */
				break;
			}
			if (happening->position.exits == now.exits && happening->kind != RECORD_VALUE)
				assert_int_equal(plan.steps_max, happening->position.steps - now.steps);
			else
				assert_true(plan.steps_max == FOLLOWER_STEPS_UNLIMITED);
			now = happening->position;
			if (happening->kind == RECORD_VALUE) {
				assert_int_equal(
					follower_value(&follower, &now, RECORD_VALUE_TIME, &time_ns, &reason),
					0);
				assert_int_equal(time_ns, happening->number);
				i++;
			}
			if (happening->kind == RECORD_HORIZON)
				i++;
			break;
		case FOLLOWER_APPLY:
			if (happening->kind == RECORD_HORIZON) {
				i++;
				break;
			}
			applied_as_it_was(plan.record, happening);
			follower_applied(&follower);
			i++;
			break;
		case FOLLOWER_DIVERGED:
			fail_msg("event %u: %s", i, plan.reason);
		}
	}
}

static void what_is_led_is_followed(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 31 + (i >> 8));
	for (uint64_t seed = 1; seed <= 20; seed++)
		follow(seed, lead(seed));
}

static void a_time_value_is_small(void **state)
{
	struct leader leader;
	struct position position = { 0 };
	uint64_t total = 0;

	(void)state;
	leader_init(&leader, &position, 0);
	for (uint64_t i = 1; i <= 1000; i++) {
		position.exits += 3;
		total += leader_value(&leader, &position, RECORD_VALUE_TIME, i * 4000000, stream);
	}
	assert_true(total <= 1000 * 9);
}

/* One leader's log, and followers that went another way. */
static void divergence_is_told(void **state)
{
	static const struct {
		struct position now;
		const char *reason;
	} rows[] = {
		{ { .exits = 5, .steps = 100, .rip = 0x1001 },
		  "another RIP or RCX than the leader's at the same position" },
		{ { .exits = 5, .steps = 100, .rip = 0x1000, .rcx = 1 },
		  "another RIP or RCX than the leader's at the same position" },
		{ { .exits = 5, .steps = 101, .rip = 0x1000 },
		  "passed a position at which the leader stopped" },
		{ { .exits = 6, .steps = 0, .rip = 0x1000 },
		  "passed a position at which the leader stopped" },
	};

	(void)state;
	for (uint32_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct leader leader;
		struct follower follower;
		struct follower_plan plan;
		struct position begin = { 0 };
		struct position at = { .exits = 5, .steps = 100, .rip = 0x1000 };

		leader_init(&leader, &begin, 0);
		follower_init(&follower, buffer, BUFFER_SIZE, &begin, 0);
		follower_receive(&follower, stream, leader_check(&leader, &at, 1, stream));
		follower_plan(&follower, &rows[i].now, &plan);
		assert_int_equal(plan.verdict, FOLLOWER_DIVERGED);
		assert_string_equal(plan.reason, rows[i].reason);
	}
}

static void a_value_is_asked_for_where_the_leader_did(void **state)
{
	struct leader leader;
	struct follower follower;
	struct follower_plan plan;
	struct position begin = { 0 };
	struct position exit = { .exits = 9, .rip = 0x12345678 };
	const char *reason = NULL;
	uint64_t time_ns = 0;

	(void)state;
	leader_init(&leader, &begin, 0);
	follower_init(&follower, buffer, BUFFER_SIZE, &begin, 0);
	assert_int_equal(follower_value(&follower, &exit, RECORD_VALUE_TIME, &time_ns, &reason), -EAGAIN);
	follower_receive(&follower, stream, leader_value(&leader, &exit, RECORD_VALUE_TIME, 77, stream));
	exit.exits = 8;
	assert_int_equal(follower_value(&follower, &exit, RECORD_VALUE_TIME, &time_ns, &reason), -EILSEQ);
	assert_string_equal(reason, "needs a value at an exit at which the leader needed none");
	exit.exits = 9;
	assert_int_equal(follower_value(&follower, &exit, RECORD_VALUE_TIME + 1, &time_ns, &reason), -EILSEQ);
	assert_string_equal(reason, "needs another kind of value than the leader did");
	exit.rip = 0x12345679;
	assert_int_equal(follower_value(&follower, &exit, RECORD_VALUE_TIME, &time_ns, &reason), -EILSEQ);
	assert_string_equal(reason, "another RIP than the leader's at the same exit");
	follower_plan(&follower, &exit, &plan);
	assert_int_equal(plan.verdict, FOLLOWER_DIVERGED);
	assert_string_equal(plan.reason, "passed an exit at which the leader needed a value");
	exit.rip = 0x12345678;
	assert_int_equal(follower_value(&follower, &exit, RECORD_VALUE_TIME, &time_ns, &reason), 0);
	assert_int_equal(time_ns, 77);
	assert_true(follower_is_at_end(&follower));
}

/* Whatever bytes come, decoding ends with a record, "more", or a refusal, and reads nothing outside. */
static void noise_is_refused_or_read_but_never_believed_blindly(void **state)
{
	(void)state;
	random_state = 4711;
	for (uint32_t round = 0; round < 200000; round++) {
		uint8_t *noise = malloc(64); /* of its own, so that the sanitizer sees an overrun */
		uint64_t size = random_below(65);
		struct record_codec codec = { .exits = UINT64_MAX - random_below(100),
					      .time_ns = UINT64_MAX - 5 };
		struct record record;
		int64_t taken;

		assert_non_null(noise);
		for (uint32_t i = 0; i < 64; i++)
			noise[i] = (uint8_t)random_below(256);
		noise[0] = (uint8_t)(1 + random_below(6));
		taken = record_decode(&codec, noise, size, &record);
		assert_true(taken == -EINVAL || taken >= 0);
		assert_true(taken <= (int64_t)size);
		if (taken > 0)
			assert_true(record.data + record.size <= noise + size);
		free(noise);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_led_is_followed),
		cmocka_unit_test(a_time_value_is_small),
		cmocka_unit_test(divergence_is_told),
		cmocka_unit_test(a_value_is_asked_for_where_the_leader_did),
		cmocka_unit_test(noise_is_refused_or_read_but_never_believed_blindly),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
