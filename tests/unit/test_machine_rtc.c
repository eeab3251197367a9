/* SPDX-License-Identifier: Apache-2.0 */
/* machine/rtc.c: clock, calendar, alarms, CMOS. */
#include "machine/clock.h"
#include "tests/unit/machine_fixture.h"

static uint8_t cmos(uint8_t index)
{
	out8(0x70, index);
	return in8(0x71);
}

static void cmos_put(uint8_t index, uint8_t value)
{
	out8(0x70, index);
	out8(0x71, value);
}

static void assert_clock(uint8_t century, uint8_t year, uint8_t month, uint8_t day, uint8_t hour,
			 uint8_t minute, uint8_t second)
{
	assert_int_equal(cmos(0x32), century);
	assert_int_equal(cmos(9), year);
	assert_int_equal(cmos(8), month);
	assert_int_equal(cmos(7), day);
	assert_int_equal(cmos(4), hour);
	assert_int_equal(cmos(2), minute);
	assert_int_equal(cmos(0), second);
}

static void starts_at_the_epoch_and_runs(void **state)
{
	(void)state;
	assert_clock(0x20, 0x23, 0x11, 0x14, 0x22, 0x13, 0x20);
	assert_int_equal(cmos(6), 3); /* Tuesday */
	machine_time_set(&machine, 2 * 3600 * CLOCK_NS_PER_S);
	assert_clock(0x20, 0x23, 0x11, 0x15, 0x00, 0x13, 0x20);
	assert_int_equal(cmos(6), 4);
}

static void the_date_comes_from_outside(void **state)
{
	const struct machine_input date = { .kind = MACHINE_INPUT_DATE, .value = 1709164800 };

	(void)state;
	machine_time_set(&machine, 3 * CLOCK_NS_PER_S + 1);
	assert_true(machine_input(&machine, &memory, &date));
	assert_clock(0x20, 0x24, 0x02, 0x29, 0x00, 0x00, 0x00);
	machine_time_set(&machine, 5 * CLOCK_NS_PER_S + 1);
	assert_clock(0x20, 0x24, 0x02, 0x29, 0x00, 0x00, 0x02);
	cmos_put(0x0b, 0x82); /* held: the guest is setting it */
	assert_true(machine_input(&machine, &memory, &date));
	assert_clock(0x20, 0x24, 0x02, 0x29, 0x00, 0x00, 0x02);
}

static void calendar_is_right_at_its_corners(void **state)
{
	static const struct {
		uint64_t second;
		uint8_t century, year, month, day, hour, minute, second_of;
	} table[] = {
		{ 0, 0x19, 0x70, 0x01, 0x01, 0x00, 0x00, 0x00 },
		{ 951782399, 0x20, 0x00, 0x02, 0x28, 0x23, 0x59, 0x59 },
		{ 951782400, 0x20, 0x00, 0x02, 0x29, 0x00, 0x00, 0x00 },
		{ 951868800, 0x20, 0x00, 0x03, 0x01, 0x00, 0x00, 0x00 },
		{ 1709164800, 0x20, 0x24, 0x02, 0x29, 0x00, 0x00, 0x00 },
		{ 1735689599, 0x20, 0x24, 0x12, 0x31, 0x23, 0x59, 0x59 },
		{ 4107542400, 0x21, 0x00, 0x03, 0x01, 0x00, 0x00, 0x00 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct machine_config config = { .memory_size = FIXTURE_MEMORY_SIZE,
						 .epoch_s = table[i].second };

		machine_init(&machine, &config);
		assert_clock(table[i].century, table[i].year, table[i].month, table[i].day, table[i].hour,
			     table[i].minute, table[i].second_of);
		/* Setting the same time changes nothing. */
		cmos_put(0x0b, 0x82);
		cmos_put(0x0b, 0x02);
		assert_clock(table[i].century, table[i].year, table[i].month, table[i].day, table[i].hour,
			     table[i].minute, table[i].second_of);
	}
}

static void modes_are_binary_and_twelve_hours_too(void **state)
{
	(void)state;
	cmos_put(0x0b, 0x06);
	assert_int_equal(cmos(4), 22);
	assert_int_equal(cmos(9), 23);
	cmos_put(0x0b, 0x04);
	assert_int_equal(cmos(4), 0x80 | 10);
	cmos_put(0x0b, 0x00);
	assert_int_equal(cmos(4), 0x80 | 0x10);
	cmos_put(4, 0x12); /* midnight */
	cmos_put(0x0b, 0x02);
	assert_int_equal(cmos(4), 0x00);
}

static void a_set_clock_runs_from_there(void **state)
{
	(void)state;
	cmos_put(0x0b, 0x82);
	cmos_put(4, 0x05);
	machine_time_set(&machine, 10 * CLOCK_NS_PER_S);
	assert_clock(0x20, 0x23, 0x11, 0x14, 0x05, 0x13, 0x20); /* held */
	cmos_put(0x0b, 0x02);
	machine_time_set(&machine, 15 * CLOCK_NS_PER_S);
	assert_clock(0x20, 0x23, 0x11, 0x14, 0x05, 0x13, 0x25);
	cmos_put(2, 0x59); /* while it runs */
	assert_clock(0x20, 0x23, 0x11, 0x14, 0x05, 0x59, 0x25);
}

static void update_bit_comes_before_each_second(void **state)
{
	(void)state;
	machine_time_set(&machine, CLOCK_NS_PER_S - 244001);
	assert_int_equal(cmos(0x0a) & 0x80, 0);
	machine_time_set(&machine, CLOCK_NS_PER_S - 244000);
	assert_int_equal(cmos(0x0a) & 0x80, 0x80);
	machine_time_set(&machine, CLOCK_NS_PER_S);
	assert_int_equal(cmos(0x0a) & 0x80, 0);
}

static void periodic_interrupt_needs_its_flag_read(void **state)
{
	(void)state;
	pic_open();
	cmos_put(0x0a, 0x26); /* 1024 Hz */
	cmos_put(0x0b, 0x42);
	assert_true(machine_next_deadline_ns(&machine) == clock_ns(1, 1024));
	machine_time_set(&machine, clock_ns(1, 1024));
	assert_int_equal(take(), 0x28);
	assert_true(machine_next_deadline_ns(&machine) == MACHINE_NO_DEADLINE);
	assert_int_equal(cmos(0x0c), 0xc0);
	assert_int_equal(cmos(0x0c), 0);
	assert_true(machine_next_deadline_ns(&machine) == clock_ns(2, 1024));
	out8(0xa0, 0x20);
	out8(0x20, 0x20);
	machine_time_set(&machine, clock_ns(2, 1024));
	assert_int_equal(take(), 0x28);
}

static void alarm_rings_also_after_a_pause(void **state)
{
	(void)state;
	pic_open();
	cmos_put(5, 0x22);
	cmos_put(3, 0x14);
	cmos_put(1, 0x05);
	cmos_put(0x0b, 0x22);
	assert_true(machine_next_deadline_ns(&machine) == CLOCK_NS_PER_S);
	machine_time_set(&machine, 44 * CLOCK_NS_PER_S);
	assert_int_equal(pending(), -1);
	machine_time_set(&machine, 50 * CLOCK_NS_PER_S); /* 22:14:05 lies in between */
	assert_int_equal(take(), 0x28);
	assert_int_equal(cmos(0x0c) & 0xa0, 0xa0);
}

static void update_interrupt_comes_each_second(void **state)
{
	(void)state;
	pic_open();
	cmos_put(0x0b, 0x12);
	machine_time_set(&machine, CLOCK_NS_PER_S);
	assert_int_equal(take(), 0x28);
	assert_int_equal(cmos(0x0c) & 0x90, 0x90);
	assert_true(machine_next_deadline_ns(&machine) == 2 * CLOCK_NS_PER_S);
}

static void memory_is_kept_over_a_reset(void **state)
{
	(void)state;
	cmos_put(0x50, 0xa5);
	cmos_put(2, 0x30);
	machine_reset(&machine);
	assert_int_equal(cmos(0x50), 0xa5);
	assert_int_equal(cmos(2), 0x30);
	assert_int_equal(cmos(0x0d), 0x80);
	assert_int_equal(cmos(0x34), 0); /* 16 MiB: nothing above 16 MiB */
	assert_int_equal(cmos(0x31) << 8 | cmos(0x30), 15 * 1024);
}

static void nonsense_in_the_clock_is_survived(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 20000; i++) {
		uint32_t random = i * 2654435761u;

		cmos_put((uint8_t)(random % 14), (uint8_t)(random >> 8));
		if (random >> 16 & 1)
			cmos((uint8_t)((random >> 17) % 14));
		machine_time_set(&machine, machine.now_ns + (random >> 4) % 3000000000u);
		machine_next_deadline_ns(&machine);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_date_comes_from_outside),
		TEST(starts_at_the_epoch_and_runs),
		TEST(calendar_is_right_at_its_corners),
		TEST(modes_are_binary_and_twelve_hours_too),
		TEST(a_set_clock_runs_from_there),
		TEST(update_bit_comes_before_each_second),
		TEST(periodic_interrupt_needs_its_flag_read),
		TEST(alarm_rings_also_after_a_pause),
		TEST(update_interrupt_comes_each_second),
		TEST(memory_is_kept_over_a_reset),
		TEST(nonsense_in_the_clock_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
