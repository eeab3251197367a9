/* SPDX-License-Identifier: Apache-2.0 */
/* machine/watchdog.c as Linux's i6300esb drives it. */
#include "machine/clock.h"
#include "tests/unit/machine_fixture.h"

#define BAR UINT64_C(0x90000000)
#define DEVFN (MACHINE_WATCHDOG_SLOT << 3)
#define SECOND CLOCK_NS_PER_S

static uint32_t power(void)
{
	static uint8_t data[MACHINE_OUTPUT_DATA_MAX];
	struct machine_output output = { .buffer = data };

	return machine_output_take(&machine, &memory, &output) ? output.value : 0;
}

static void config_address(uint32_t offset)
{
	out32(0xcf8, 0x80000000u | DEVFN << 8 | offset);
}

static void put16(uint32_t offset, uint16_t value)
{
	machine_mmio_write(&machine, &memory, BAR + offset, 2, value);
}

static void unlock(void)
{
	put16(0xc, 0x80);
	put16(0xc, 0x86);
}

static void keep_alive(void)
{
	unlock();
	put16(0xc, 0x100);
}

/* Two stages of five seconds. */
static int watchdog_setup(void **state)
{
	struct machine_config config = { .memory_size = FIXTURE_MEMORY_SIZE, .has_watchdog = 1 };

	fixture_setup(state);
	machine_init(&machine, &config);
	config_address(0);
	assert_int_equal(in32(0xcfc), 0x25ab8086);
	config_address(0x10);
	out32(0xcfc, (uint32_t)BAR);
	config_address(0x04);
	out16(0xcfc, 2);
	config_address(0x60);
	out16(0xcfc, 0x0003);
	for (uint32_t i = 0; i < 2; i++) {
		unlock();
		machine_mmio_write(&machine, &memory, BAR + i * 4, 4, 5 * 1007);
	}
	return 0;
}

static void start(uint8_t lock)
{
	config_address(0x68);
	assert_true(port_reads_time(0xcfc, true));
	out8(0xcfc, lock);
}

static void a_kept_watchdog_is_quiet(void **state)
{
	uint64_t changes;

	(void)state;
	assert_true(machine_next_deadline_ns(&machine) == MACHINE_NO_DEADLINE);
	start(2);
	for (uint64_t i = 1; i < 20; i++) {
		machine_time_set(&machine, i * 6 * SECOND); /* into the second stage each time */
		assert_int_equal(power(), 0);
		changes = machine.timer_changes;
		keep_alive();
		assert_true(machine.timer_changes != changes); /* the deadline is another one */
	}
	start(0);
	machine_time_set(&machine, 1000 * SECOND);
	assert_int_equal(power(), 0);
}

static void a_neglected_one_bites_once(void **state)
{
	(void)state;
	start(2);
	machine_time_set(&machine, 6 * SECOND);
	put16(0xc, 0x100); /* not unlocked */
	put16(0xc, 0x86);
	put16(0xc, 0x100);
	machine_time_set(&machine, 9 * SECOND);
	assert_int_equal(power(), 0);
	machine_time_set(&machine, 11 * SECOND);
	assert_int_equal(power(), MACHINE_POWER_WATCHDOG);
	machine_time_set(&machine, 100 * SECOND);
	assert_int_equal(power(), 0);
	/* After the reset the guest can see why. */
	machine_reset(&machine);
	assert_int_equal(machine_watchdog_read(&machine, 0xc), 0x200);
	assert_true(machine_next_deadline_ns(&machine) == MACHINE_NO_DEADLINE);
}

static void one_long_pause_runs_through_both_stages(void **state)
{
	(void)state;
	start(2);
	machine_time_set(&machine, 60 * SECOND);
	assert_int_equal(power(), MACHINE_POWER_WATCHDOG);
}

static void locked_it_cannot_be_stopped(void **state)
{
	(void)state;
	start(3);
	start(0);
	machine_time_set(&machine, 11 * SECOND);
	assert_int_equal(power(), MACHINE_POWER_WATCHDOG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_kept_watchdog_is_quiet, watchdog_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(a_neglected_one_bites_once, watchdog_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(one_long_pause_runs_through_both_stages, watchdog_setup,
						fixture_teardown),
		cmocka_unit_test_setup_teardown(locked_it_cannot_be_stopped, watchdog_setup,
						fixture_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
