/* SPDX-License-Identifier: Apache-2.0 */
/* machine/uart.c: COM1 as Linux's 8250 driver, SeaBIOS and GRUB use it. */
#include "machine/uart.h"
#include "tests/unit/machine_fixture.h"

#define COM1 0x3f8

static void put(const char *text)
{
	const struct machine_input input = { .kind = MACHINE_INPUT_SERIAL,
					     .data = (const uint8_t *)text,
					     .size = (uint32_t)strlen(text) };

	assert_true(machine_input(&machine, &memory, &input));
}

static void open_with_interrupts(void)
{
	pic_open();
	out8(COM1 + 2, 0x87); /* FIFO on, trigger 8 */
	out8(COM1 + 4, 0x0b);
}

static void bytes_written_are_outputs(void **state)
{
	uint8_t data[MACHINE_OUTPUT_DATA_MAX];
	struct machine_output output = { .buffer = data };

	(void)state;
	for (const char *c = "login: "; *c; c++) {
		assert_int_equal(in8(COM1 + 5) & 0x60, 0x60);
		out8(COM1, (uint8_t)*c);
	}
	assert_true(machine_output_take(&machine, &memory, &output));
	assert_int_equal(output.kind, MACHINE_OUTPUT_SERIAL);
	assert_int_equal(output.size, 7);
	assert_memory_equal(data, "login: ", 7);
	assert_false(machine_output_take(&machine, &memory, &output));
}

static void a_flood_is_dropped_and_counted(void **state)
{
	uint8_t data[MACHINE_OUTPUT_DATA_MAX];
	struct machine_output output = { .buffer = data };

	(void)state;
	for (uint32_t i = 0; i < MACHINE_BYTE_QUEUE_SIZE + 5; i++)
		out8(COM1, (uint8_t)i);
	assert_int_equal(machine.serial_output.dropped, 5);
	assert_true(machine_output_take(&machine, &memory, &output));
	assert_int_equal(output.size, MACHINE_BYTE_QUEUE_SIZE);
}

static void receiving_interrupts_at_the_trigger_and_by_timeout(void **state)
{
	(void)state;
	open_with_interrupts();
	out8(COM1 + 1, 0x01);
	assert_int_equal(pending(), -1);
	put("abc");
	assert_int_equal(take(), 0x24);
	assert_int_equal(in8(COM1 + 2), 0xcc);
	put("defgh");
	assert_int_equal(in8(COM1 + 2), 0xc4);
	for (const char *c = "abcdefgh"; *c; c++) {
		assert_int_equal(in8(COM1 + 5) & 1, 1);
		assert_int_equal(in8(COM1), *c);
	}
	assert_int_equal(in8(COM1 + 5) & 1, 0);
	assert_int_equal(in8(COM1 + 2), 0xc1);
}

static void room_is_told_and_too_much_is_an_overrun(void **state)
{
	(void)state;
	assert_int_equal(machine_uart_space(&machine), 1);
	open_with_interrupts();
	assert_int_equal(machine_uart_space(&machine), 16);
	put("0123456789abcdef");
	assert_int_equal(machine_uart_space(&machine), 0);
	assert_int_equal(in8(COM1 + 5) & 2, 0);
	put("x");
	assert_int_equal(in8(COM1 + 5) & 2, 2);
	assert_int_equal(in8(COM1 + 5) & 2, 0);
	assert_int_equal(in8(COM1), '0');
	assert_int_equal(machine_uart_space(&machine), 1);
}

static void sending_interrupts_once_per_emptying(void **state)
{
	(void)state;
	open_with_interrupts();
	out8(COM1 + 1, 0x02);
	assert_int_equal(take(), 0x24);
	assert_int_equal(in8(COM1 + 2), 0xc2);
	assert_int_equal(in8(COM1 + 2), 0xc1);
	out8(0x20, 0x20);
	assert_int_equal(pending(), -1);
	out8(COM1, 'x');
	assert_int_equal(take(), 0x24);
}

static void nothing_gets_out_without_out2(void **state)
{
	(void)state;
	open_with_interrupts();
	out8(COM1 + 4, 0x03);
	out8(COM1 + 1, 0x03);
	put("x");
	assert_int_equal(pending(), -1);
	out8(COM1 + 4, 0x0b);
	assert_int_equal(pending(), 0x24);
}

/* The steps by which Linux's autoconfig() tells a 16550A. */
static void is_found_by_a_probe(void **state)
{
	(void)state;
	out8(COM1 + 1, 0x0f);
	assert_int_equal(in8(COM1 + 1), 0x0f);
	out8(COM1 + 1, 0);
	out8(COM1 + 4, 0x1a);
	assert_int_equal(in8(COM1 + 6) & 0xf0, 0x90);
	out8(COM1 + 4, 0);
	out8(COM1 + 2, 1);
	assert_int_equal(in8(COM1 + 2) >> 6, 3);
	out8(COM1 + 3, 0x80);
	out8(COM1, 0x01);
	out8(COM1 + 1, 0x00);
	assert_int_equal(in8(COM1), 1);
	out8(COM1 + 3, 0x03);
	assert_int_equal(in8(COM1 + 3), 0x03);
	assert_int_equal(machine.serial_output.size, 0);
	out8(COM1 + 7, 0x5a);
	assert_int_equal(in8(COM1 + 7), 0x5a);
}

static void loop_mode_stays_inside(void **state)
{
	(void)state;
	out8(COM1 + 4, 0x10);
	out8(COM1, 'l');
	assert_int_equal(machine.serial_output.size, 0);
	assert_int_equal(in8(COM1), 'l');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(bytes_written_are_outputs),
		TEST(a_flood_is_dropped_and_counted),
		TEST(receiving_interrupts_at_the_trigger_and_by_timeout),
		TEST(room_is_told_and_too_much_is_an_overrun),
		TEST(sending_interrupts_once_per_emptying),
		TEST(nothing_gets_out_without_out2),
		TEST(is_found_by_a_probe),
		TEST(loop_mode_stays_inside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
