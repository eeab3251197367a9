/* SPDX-License-Identifier: Apache-2.0 */
/* Frames held back (nic/held_output.c), against a plain queue of what was put. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "include/random.h"
#include "nic/held_output.h"

#define RING_SIZE (16 * KIB)
#define ROUNDS 20000
#define FRAME_MAX (ROUNDS + 1)

static uint8_t ring[RING_SIZE] __attribute__((aligned(16)));
static uint8_t bytes[HELD_OUTPUT_FRAME_MAX + 1];
static uint32_t sizes[FRAME_MAX]; /* of frame i, by number */
static uint64_t seed;

static uint32_t random_below(uint32_t bound)
{
	return (uint32_t)(random_next(&seed) % bound);
}

static void put(struct held_output *held, uint32_t size)
{
	uint64_t number = held->number + 1;

	memset(bytes, (int)(number & 0xff), size);
	assert_true(held_output_put(held, (uint32_t)(number % 4), bytes, size));
	held_output_stamp(held, 1000 + number);
	assert_int_equal(held->number, number);
	sizes[number] = size;
}

static void expect_first(const struct held_output *held)
{
	uint64_t number = held_output_left(held) + 1;
	struct held_frame frame;

	assert_true(held_output_first(held, &frame));
	assert_int_equal(frame.stamp, 1000 + number);
	assert_int_equal(frame.port, number % 4);
	assert_int_equal(frame.size, sizes[number]);
	memset(bytes, (int)(number & 0xff), frame.size);
	assert_memory_equal(frame.data, bytes, frame.size);
}

/* Whatever order of putting and dropping: what comes out is what went in, and room is never promised in vain. */
static void is_a_queue(void **state)
{
	struct held_output held;

	(void)state;
	seed = 88172645463325252;
	held_output_init(&held, ring, RING_SIZE);
	for (uint32_t i = 0; i < ROUNDS; i++) {
		uint32_t size = 1 + random_below(HELD_OUTPUT_FRAME_MAX);

		if (random_below(2) && held_output_room(&held) >= HELD_OUTPUT_ROOM(size))
			put(&held, size);
		else if (held.count > 0)
			held_output_drop(&held);
		if (held.count > 0)
			expect_first(&held);
	}
	while (held.count > 0) {
		expect_first(&held);
		held_output_drop(&held);
	}
	assert_true(held_output_room(&held) >= RING_SIZE / 2);
}

static void drop_gone(struct held_output *held, uint64_t number)
{
	struct held_frame frame;

	held_output_left_elsewhere(held, number);
	while (held_output_first_gone(held, &frame))
		held_output_drop(held);
}

static void other_server_drops_by_number(void **state)
{
	struct held_output held;
	struct held_frame frame;

	(void)state;
	held_output_init(&held, ring, RING_SIZE);
	held_output_restart(&held, 40);
	for (uint32_t i = 0; i < 5; i++)
		put(&held, 100);
	drop_gone(&held, 42);
	assert_int_equal(held_output_left(&held), 42);
	expect_first(&held);
	drop_gone(&held, 41); /* said before, and late */
	assert_int_equal(held_output_left(&held), 42);
	drop_gone(&held, 46); /* more than we have made ourselves */
	assert_false(held_output_first(&held, &frame));
	assert_int_equal(held_output_left(&held), 45);
	put(&held, 100);
	put(&held, 100);
	assert_true(held_output_first_gone(&held, &frame)); /* said before it was made */
	held_output_drop(&held);
	assert_false(held_output_first_gone(&held, &frame));
	assert_int_equal(held.count, 1);
	held_output_restart(&held, 3); /* another guest's */
	put(&held, 100);
	assert_false(held_output_first_gone(&held, &frame));
}

static void too_long_is_refused_without_a_number(void **state)
{
	struct held_output held;

	(void)state;
	held_output_init(&held, ring, RING_SIZE);
	assert_false(held_output_put(&held, 0, bytes, HELD_OUTPUT_FRAME_MAX + 1));
	assert_int_equal(held.number, 0);
	assert_int_equal(held.count, 0);
}

static void restart_forgets(void **state)
{
	struct held_output held;
	struct held_frame frame;

	(void)state;
	held_output_init(&held, ring, RING_SIZE);
	put(&held, HELD_OUTPUT_FRAME_MAX);
	held_output_restart(&held, 7);
	assert_false(held_output_first(&held, &frame));
	assert_int_equal(held_output_left(&held), 7);
	put(&held, 60);
	expect_first(&held);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_a_queue),
		cmocka_unit_test(other_server_drops_by_number),
		cmocka_unit_test(too_long_is_refused_without_a_number),
		cmocka_unit_test(restart_forgets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
