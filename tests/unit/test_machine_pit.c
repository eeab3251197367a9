/* SPDX-License-Identifier: Apache-2.0 */
/* machine/pit.c: the 8254 in virtual time. */
#include "machine/clock.h"
#include "tests/unit/machine_fixture.h"

static uint64_t tick_ns(uint64_t ticks)
{
	return clock_ns(ticks, MACHINE_PIT_HZ);
}

static void program(uint8_t control, uint16_t port, uint16_t count)
{
	out8(0x43, control);
	out8(port, (uint8_t)count);
	out8(port, (uint8_t)(count >> 8));
}

/* Low byte, then high byte. */
static uint16_t counter(uint16_t port)
{
	uint16_t low = in8(port);

	return (uint16_t)(low | in8(port) << 8);
}

static uint16_t latched(uint8_t command, uint16_t port)
{
	out8(0x43, command);
	return counter(port);
}

static void one_shot_fires_once_at_its_deadline(void **state)
{
	(void)state;
	pic_open();
	assert_true(machine_next_deadline_ns(&machine) == MACHINE_NO_DEADLINE);
	program(0x30, 0x40, 1000);
	assert_true(machine_next_deadline_ns(&machine) == tick_ns(1000));
	machine_time_set(&machine, tick_ns(1000) - 1);
	assert_int_equal(pending(), -1);
	machine_time_set(&machine, tick_ns(1000));
	assert_int_equal(take(), 0x20);
	out8(0x20, 0x20);
	assert_true(machine_next_deadline_ns(&machine) == MACHINE_NO_DEADLINE);
	machine_time_set(&machine, tick_ns(100000));
	assert_int_equal(pending(), -1);
}

static void rate_generator_keeps_its_phase(void **state)
{
	(void)state;
	pic_open();
	program(0x34, 0x40, 11932);
	for (uint64_t i = 1; i < 50; i++) {
		assert_true(machine_next_deadline_ns(&machine) == tick_ns(i * 11932));
		/* Told a little late each time: the next one does not move. */
		machine_time_set(&machine, tick_ns(i * 11932) + 12345);
		assert_int_equal(take(), 0x20);
		out8(0x20, 0x20);
	}
	/* A long pause is one interrupt. */
	machine_time_set(&machine, tick_ns(1000 * 11932) + 1);
	assert_int_equal(take(), 0x20);
	out8(0x20, 0x20);
	assert_int_equal(pending(), -1);
	assert_true(machine_next_deadline_ns(&machine) == tick_ns(1001 * 11932));
}

static void counter_counts_down(void **state)
{
	(void)state;
	program(0x34, 0x40, 10000);
	machine_time_set(&machine, tick_ns(1));
	assert_int_equal(latched(0x00, 0x40), 9999);
	machine_time_set(&machine, tick_ns(9999));
	assert_int_equal(latched(0x00, 0x40), 1);
	machine_time_set(&machine, tick_ns(10000));
	assert_int_equal(latched(0x00, 0x40), 10000);
	/* Latched is latched. */
	out8(0x43, 0x00);
	machine_time_set(&machine, tick_ns(12000));
	assert_int_equal(counter(0x40), 10000);
	assert_int_equal(counter(0x40), 8000);
	/* A square wave counts by two. */
	program(0x36, 0x40, 10000);
	machine_time_set(&machine, machine.now_ns + tick_ns(100));
	assert_in_range(latched(0x00, 0x40), 9798, 9802);
}

static void channel_2_is_timed_through_port_61(void **state)
{
	(void)state;
	/* As Linux's calibration does it: gate on, mode 0, wait for OUT. */
	out8(0x61, 0x01);
	program(0xb0, 0x42, 0xffff);
	assert_int_equal(in8(0x61) & 0x21, 0x01);
	machine_time_set(&machine, tick_ns(0xffff) - 1);
	assert_int_equal(in8(0x61) & 0x20, 0);
	machine_time_set(&machine, tick_ns(0xffff));
	assert_int_equal(in8(0x61) & 0x20, 0x20);
	assert_int_equal(pending(), -1);
}

static void read_back_tells_mode_and_count(void **state)
{
	(void)state;
	out8(0x43, 0xb6);
	out8(0x43, 0xe8);				 /* status of channel 2 */
	assert_int_equal(in8(0x42), 0x80 | 0x40 | 0x36); /* no count yet */
	program(0xb6, 0x42, 500);
	out8(0x43, 0xc8); /* status and count */
	assert_int_equal(in8(0x42), 0x80 | 0x36);
	assert_int_equal(counter(0x42), 500);
}

static void bcd_counts_in_tens(void **state)
{
	(void)state;
	program(0x35, 0x40, 0x1000); /* mode 2, a thousand */
	machine_time_set(&machine, tick_ns(1));
	assert_int_equal(latched(0x00, 0x40), 0x0999);
	assert_true(machine_next_deadline_ns(&machine) == tick_ns(1000));
}

static void refresh_toggles(void **state)
{
	uint8_t before = in8(0x61) & 0x10;

	(void)state;
	machine_time_set(&machine, 15085);
	assert_int_not_equal(in8(0x61) & 0x10, before);
}

static void a_storm_is_slowed_down(void **state)
{
	(void)state;
	pic_open();
	program(0x34, 0x40, 1);
	machine_time_set(&machine, 1000);
	assert_true(machine_next_deadline_ns(&machine) >= machine.now_ns + CLOCK_PERIOD_MIN_NS / 2);
}

static void only_what_depends_on_time_says_so(void **state)
{
	(void)state;
	program(0x34, 0x40, 10000);
	assert_true(port_reads_time(0x40, false));
	assert_true(port_reads_time(0x43, true));
	assert_true(port_reads_time(0x61, false));
	assert_false(port_reads_time(0x21, true));
	assert_false(port_reads_time(0x3fd, false));
	out8(0x43, 0x00);
	assert_false(port_reads_time(0x40, false)); /* latched */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_shot_fires_once_at_its_deadline),
		TEST(rate_generator_keeps_its_phase),
		TEST(counter_counts_down),
		TEST(channel_2_is_timed_through_port_61),
		TEST(read_back_tells_mode_and_count),
		TEST(bcd_counts_in_tens),
		TEST(refresh_toggles),
		TEST(a_storm_is_slowed_down),
		TEST(only_what_depends_on_time_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
