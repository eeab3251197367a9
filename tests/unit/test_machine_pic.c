/* SPDX-License-Identifier: Apache-2.0 */
/* machine/pic.c: the 8259 pair. */
#include "tests/unit/machine_fixture.h"

static void pulse(uint32_t irq)
{
	machine_irq_set(&machine, irq, true);
	machine_irq_set(&machine, irq, false);
}

static void vectors_follow_icw2(void **state)
{
	(void)state;
	pic_open();
	for (uint32_t irq = 0; irq < 16; irq++) {
		if (irq == 2)
			continue;
		pulse(irq);
		assert_int_equal(take(), 0x20 + irq);
		assert_int_equal(pending(), -1);
		if (irq >= 8)
			out8(0xa0, 0x20);
		out8(0x20, 0x20);
	}
}

static void the_lower_pin_goes_first_and_blocks_the_higher(void **state)
{
	(void)state;
	pic_open();
	pulse(4);
	pulse(1);
	pulse(12);
	assert_int_equal(take(), 0x21);
	assert_int_equal(pending(), -1);
	out8(0x20, 0x20);
	assert_int_equal(take(), 0x2c); /* the slave sits at pin 2 */
	out8(0xa0, 0x20);
	assert_int_equal(pending(), -1);
	out8(0x20, 0x20);
	assert_int_equal(take(), 0x24);
	pulse(0);
	assert_int_equal(take(), 0x20); /* nests */
}

static void mask_holds_and_keeps(void **state)
{
	(void)state;
	pic_open();
	out8(0x21, 0x10);
	pulse(4);
	assert_int_equal(pending(), -1);
	assert_int_equal(in8(0x21), 0x10);
	assert_int_equal(in8(0x20), 0x10); /* IRR */
	out8(0x21, 0);
	assert_int_equal(take(), 0x24);
	out8(0x20, 0x0b);
	assert_int_equal(in8(0x20), 0x10); /* ISR */
	out8(0x20, 0x64);		   /* specific end of 4 */
	assert_int_equal(in8(0x20), 0);
}

static void level_pin_asks_again_until_it_falls(void **state)
{
	(void)state;
	pic_open();
	out8(0x4d1, 0xff);
	assert_int_equal(in8(0x4d1), 0xde);
	out8(0x4d0, 0xff);
	assert_int_equal(in8(0x4d0), 0xf8);
	machine_irq_set(&machine, 10, true);
	assert_int_equal(take(), 0x2a);
	out8(0xa0, 0x20);
	out8(0x20, 0x20);
	assert_int_equal(take(), 0x2a);
	machine_irq_set(&machine, 10, false);
	out8(0xa0, 0x20);
	out8(0x20, 0x20);
	assert_int_equal(pending(), -1);
}

static void nothing_pending_is_told_as_spurious(void **state)
{
	(void)state;
	pic_open();
	assert_int_equal(machine_pic_acknowledge(&machine), 0x27);
	out8(0x20, 0x0b);
	assert_int_equal(in8(0x20), 0);
}

static void rotation_makes_the_served_pin_last(void **state)
{
	(void)state;
	pic_open();
	pulse(3);
	assert_int_equal(take(), 0x23);
	out8(0x20, 0xa0); /* rotate on non-specific end */
	pulse(3);
	pulse(7);
	assert_int_equal(take(), 0x27);
	out8(0x20, 0x20);
	assert_int_equal(take(), 0x23);
}

static void automatic_end_leaves_nothing_in_service(void **state)
{
	static const uint8_t words[] = { 0x11, 0x20, 0x04, 0x03 };

	(void)state;
	pic_open();
	for (uint16_t i = 0; i < 4; i++)
		out8(i ? 0x21 : 0x20, words[i]);
	out8(0x21, 0);
	pulse(5);
	assert_int_equal(take(), 0x25);
	pulse(6);
	assert_int_equal(take(), 0x26);
}

static void poll_reads_acknowledge(void **state)
{
	(void)state;
	pic_open();
	pulse(6);
	out8(0x20, 0x0c);
	assert_int_equal(in8(0x20), 0x86);
	out8(0x20, 0x0c);
	assert_int_equal(in8(0x20), 0);
}

static void any_order_of_words_is_survived(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 200000; i++) {
		uint32_t random = i * 2654435761u;
		static const uint16_t ports[] = { 0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1 };

		out8(ports[random % 6], (uint8_t)(random >> 8));
		machine_irq_set(&machine, random >> 16 & 15, random >> 20 & 1);
		if (random >> 21 & 1)
			take();
		if (random >> 22 & 1)
			in8(ports[(random >> 23) % 6]);
	}
	fixture_teardown(state);
	fixture_setup(state);
	vectors_follow_icw2(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(vectors_follow_icw2),
		TEST(the_lower_pin_goes_first_and_blocks_the_higher),
		TEST(mask_holds_and_keeps),
		TEST(level_pin_asks_again_until_it_falls),
		TEST(nothing_pending_is_told_as_spurious),
		TEST(rotation_makes_the_served_pin_last),
		TEST(automatic_end_leaves_nothing_in_service),
		TEST(poll_reads_acknowledge),
		TEST(any_order_of_words_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
