/* SPDX-License-Identifier: Apache-2.0 */
/* machine/keyboard.c and vga.c. */
#include "tests/unit/machine_fixture.h"

static void keys(const char *codes, uint32_t count)
{
	const struct machine_input input = { .kind = MACHINE_INPUT_KEYBOARD,
					     .data = (const uint8_t *)codes,
					     .size = count };

	assert_true(machine_input(&machine, &memory, &input));
}

static int next(void)
{
	return (in8(0x64) & 1) ? in8(0x60) : -1;
}

/* The steps of SeaBIOS and of Linux's i8042 driver. */
static void controller_answers_at_once(void **state)
{
	(void)state;
	assert_int_equal(next(), -1);
	assert_int_equal(in8(0x64) & 2, 0); /* never busy */
	out8(0x64, 0xaa);
	assert_int_equal(next(), 0x55);
	out8(0x64, 0xab);
	assert_int_equal(next(), 0x00);
	out8(0x64, 0x20);
	assert_int_equal(next(), 0x45);
	out8(0x64, 0x60);
	out8(0x60, 0x44);
	out8(0x64, 0x20);
	assert_int_equal(next(), 0x44);
	out8(0x64, 0xd3); /* the mouse loop comes back as if from the keyboard: no mouse */
	out8(0x60, 0x5a);
	assert_int_equal(in8(0x64) & 0x21, 0x01);
	assert_int_equal(next(), 0x5a);
	out8(0x64, 0xa9);
	assert_int_equal(next(), 0x02);
}

static void keyboard_answers_commands(void **state)
{
	(void)state;
	out8(0x60, 0xff);
	assert_int_equal(next(), 0xfa);
	assert_int_equal(next(), 0xaa);
	assert_int_equal(next(), -1);
	out8(0x64, 0x60);
	out8(0x60, 0x05); /* no translation */
	out8(0x60, 0xf2);
	assert_int_equal(next(), 0xfa);
	assert_int_equal(next(), 0xab);
	assert_int_equal(next(), 0x83);
	out8(0x60, 0xed);
	assert_int_equal(next(), 0xfa);
	out8(0x60, 0x07);
	assert_int_equal(next(), 0xfa);
	out8(0x60, 0xee);
	assert_int_equal(next(), 0xee);
	out8(0x60, 0x99);
	assert_int_equal(next(), 0xfe);
}

static void keys_are_translated_and_interrupt(void **state)
{
	(void)state;
	pic_open();
	keys("\x1c\xf0\x1c", 3); /* A down, A up */
	assert_int_equal(take(), 0x21);
	assert_int_equal(next(), 0x1e);
	out8(0x20, 0x20);
	assert_int_equal(take(), 0x21);
	assert_int_equal(next(), 0x9e);
	assert_int_equal(next(), -1);
	keys("\xe0\x75", 2); /* cursor up */
	assert_int_equal(next(), 0xe0);
	assert_int_equal(next(), 0x48);
	keys("\x83\xf0\x83", 3); /* F7 */
	assert_int_equal(next(), 0x41);
	assert_int_equal(next(), 0xc1);
}

static void a_held_line_keeps_and_a_full_queue_drops(void **state)
{
	(void)state;
	out8(0x64, 0xad);
	for (uint32_t i = 0; i < 100; i++)
		keys("\x1c", 1);
	assert_int_equal(next(), -1);
	out8(0x64, 0xae);
	for (uint32_t i = 0; i < MACHINE_KEYBOARD_QUEUE_SIZE; i++)
		assert_int_equal(next(), 0x1e);
	assert_int_equal(next(), -1);
	out8(0x60, 0xf5); /* stop scanning */
	assert_int_equal(next(), 0xfa);
	keys("\x1c", 1);
	assert_int_equal(next(), -1);
}

static void resets_by_command(void **state)
{
	static uint8_t data[MACHINE_OUTPUT_DATA_MAX];
	struct machine_output output = { .buffer = data };

	(void)state;
	out8(0x64, 0xff); /* pulses nothing */
	assert_false(machine_output_take(&machine, &memory, &output));
	out8(0x64, 0xfe);
	assert_true(machine_output_take(&machine, &memory, &output));
	assert_int_equal(output.kind, MACHINE_OUTPUT_POWER);
	assert_int_equal(output.value, MACHINE_POWER_RESET);
}

static void vga_keeps_its_registers(void **state)
{
	(void)state;
	out16(0x3d4, 0x0e | 0x01 << 8); /* cursor address: index and data in one */
	out16(0x3d4, 0x0f | 0x40 << 8);
	out8(0x3d4, 0x0e);
	assert_int_equal(in8(0x3d5), 0x01);
	out8(0x3d4, 0xff); /* beyond the registers */
	out8(0x3d5, 0x12);
	in8(0x3da);
	out8(0x3c0, 0x10);
	out8(0x3c0, 0x0c);
	assert_int_equal(in8(0x3c1), 0x0c);
	assert_int_not_equal(in8(0x3da), in8(0x3da)); /* retrace comes and goes */
	out8(0x3c8, 255);
	for (uint32_t i = 0; i < 6; i++)
		out8(0x3c9, (uint8_t)i);
	out8(0x3c7, 255);
	assert_int_equal(in8(0x3c9), 0);
	assert_int_equal(in8(0x3c9), 1);
	assert_int_equal(in8(0x3c9), 2);
	assert_int_equal(in8(0x3c9), 3); /* wrapped to the first colour */
}

static void anything_is_survived(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 200000; i++) {
		uint32_t random = i * 2654435761u;
		uint16_t port = random & 1 ? 0x3c0 + (random >> 1) % 32 : 0x60 + (random >> 1) % 2 * 4;

		if (random >> 8 & 1)
			out8(port, (uint8_t)(random >> 16));
		else
			in8(port);
		if ((random >> 9) % 8 == 0)
			keys((const char *)&random, 4);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(controller_answers_at_once),
		TEST(keyboard_answers_commands),
		TEST(keys_are_translated_and_interrupt),
		TEST(a_held_line_keeps_and_a_full_queue_drops),
		TEST(resets_by_command),
		TEST(vga_keeps_its_registers),
		TEST(anything_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
