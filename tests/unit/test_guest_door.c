/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door's log: a recording that is taken away bit by bit through a small piece
 * of memory is the one that was made, replays through a small buffer, and ends where
 * nobody takes it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "kernel/guest_door.h"
#include "tests/unit/host/time.h"

#define INPUT_COUNT 400
#define INPUT_SIZE_MAX 100000
#define LOG_SIZE (512 * KIB)
#define BUFFER_SIZE (4 * LEADER_RECORD_MAX)
#define TAPE_SIZE (64 * MIB)

static uint8_t log_memory[LOG_SIZE];
static uint8_t buffer[BUFFER_SIZE];
static uint8_t tape[TAPE_SIZE]; /* what went out */
static uint64_t tape_size;
static uint8_t data[INPUT_SIZE_MAX];

static uint32_t size_of(uint32_t number)
{
	return number * 7919 % INPUT_SIZE_MAX;
}

static void fill_data(uint32_t number)
{
	for (uint32_t i = 0; i < size_of(number); i++)
		data[i] = (uint8_t)(number + i * 13);
}

static struct position position_of(uint32_t number)
{
	return (struct position){ .exits = number / 3, .steps = number % 3 * 1000, .rip = number };
}

static void put_input(struct guest_door *door, uint32_t number)
{
	struct machine_input input = { .kind = MACHINE_INPUT_FRAME, .size = size_of(number), .data = data };
	struct position here = position_of(number);

	fill_data(number);
	guest_door_put_input(door, &here, &input);
}

/* At most `size` bytes go out. */
static void take_log(struct guest_door *door, uint64_t size)
{
	const uint8_t *bytes;

	size = min_u64(size, guest_door_log(door, &bytes));
	assert_true(tape_size + size <= TAPE_SIZE);
	memcpy(tape + tape_size, bytes, size);
	tape_size += size;
	guest_door_log_taken(door, size);
}

/* Taken in pieces of another size than that of the records, and never more than must be. */
static void record(struct guest_door *door)
{
	tape_size = 0;
	guest_door_record(door, log_memory, LOG_SIZE);
	for (uint32_t i = 0; i < INPUT_COUNT; i++) {
		while (guest_door_log_room(door) < RECORD_HEADER_MAX + size_of(i))
			take_log(door, 777);
		put_input(door, i);
	}
	take_log(door, LOG_SIZE);
	assert_false(door->log_ended);
}

static void a_recording_replays_through_little_memory(void **state)
{
	static struct guest_door door;
	struct follower_plan plan;

	(void)state;
	record(&door);
	assert_true(tape_size > 10 * BUFFER_SIZE);
	guest_door_replay(&door, tape, tape_size, buffer, BUFFER_SIZE);
	for (uint32_t i = 0; i < INPUT_COUNT; i++) {
		struct machine_input input;
		struct position here = position_of(i);

		guest_door_plan(&door, &here, &plan);
		assert_int_equal(plan.verdict, FOLLOWER_APPLY);
		guest_door_input(plan.record, &input);
		fill_data(i);
		assert_int_equal(input.size, size_of(i));
		assert_memory_equal(input.data, data, input.size);
		follower_applied(&door.follower);
	}
	guest_door_plan(&door, &(struct position){ .exits = INPUT_COUNT }, &plan);
	assert_int_equal(plan.verdict, FOLLOWER_WAIT);
}

static void a_recording_that_nobody_takes_ends(void **state)
{
	static struct guest_door door;
	const uint8_t *bytes;
	uint64_t size;

	(void)state;
	guest_door_record(&door, log_memory, LOG_SIZE);
	for (uint32_t i = 0; !door.log_ended; i++) {
		assert_true(i < INPUT_COUNT);
		put_input(&door, i);
	}
	size = guest_door_log(&door, &bytes);
	assert_true(size > LOG_SIZE - INPUT_SIZE_MAX - RECORD_HEADER_MAX);
	assert_true(size <= LOG_SIZE);
	/* What comes later would have no meaning without what is missing. */
	guest_door_log_taken(&door, size);
	put_input(&door, 0);
	assert_int_equal(guest_door_log(&door, &bytes), 0);
}

static void times_are_recorded_and_replayed(void **state)
{
	static struct guest_door door;
	uint64_t recorded_ns[100];
	uint64_t time_ns;

	(void)state;
	tape_size = 0;
	guest_door_record(&door, log_memory, LOG_SIZE);
	for (uint32_t i = 0; i < 100; i++) {
		host_time_advance_ns(i * 1000);
		assert_int_equal(
			guest_door_time(&door, &(struct position){ .exits = i + 1 }, &recorded_ns[i]), 0);
	}
	take_log(&door, LOG_SIZE);
	guest_door_replay(&door, tape, tape_size, buffer, BUFFER_SIZE);
	for (uint32_t i = 0; i < 100; i++) {
		assert_int_equal(guest_door_time(&door, &(struct position){ .exits = i + 1 }, &time_ns), 0);
		assert_int_equal(time_ns, recorded_ns[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_recording_replays_through_little_memory),
		cmocka_unit_test(a_recording_that_nobody_takes_ends),
		cmocka_unit_test(times_are_recorded_and_replayed),
	};

	return cmocka_run_group_tests_name("guest_door", tests, NULL, NULL);
}
