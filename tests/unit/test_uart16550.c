/* SPDX-License-Identifier: Apache-2.0 */
/* drivers/uart16550.c against a model of the chip, sound and faulty. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "drivers/uart.h"
#include "kernel/port_io.h"

#define PORT 0x2f8

/* The chip. */
static struct {
	bool absent;	    /* nothing answers */
	bool scratch_stuck; /* something answers that is no UART */
	bool no_loopback;
	bool no_fifo;
	bool stuck;	      /* the transmitter never empties */
	uint32_t empty_after; /* line status reads until the transmit FIFO is empty again */

	uint8_t scratch;
	uint8_t line_control;
	uint8_t modem_control;
	uint8_t interrupt_enable;
	uint8_t fifo_control;
	uint16_t divisor;
	bool overrun;

	uint8_t received[64]; /* waiting to be fetched */
	uint8_t errors[64];   /* line status bits of each */
	uint32_t received_count;
	uint32_t fetched_count;

	uint8_t sent[256];
	uint32_t sent_count;
	uint32_t filled;     /* in the transmit FIFO now */
	uint32_t filled_max; /* most that were ever in it */
	uint32_t countdown;
	uint32_t reads;
	uint32_t line_status_reads;
} chip;

static uint8_t chip_line_status(void)
{
	uint8_t status = 0;

	chip.line_status_reads++;
	if (chip.filled > 0 && !chip.stuck && chip.countdown > 0 && --chip.countdown == 0)
		chip.filled = 0;
	if (chip.filled == 0)
		status |= 0x60;
	if (chip.fetched_count < chip.received_count)
		status |= (uint8_t)(0x01 | chip.errors[chip.fetched_count]);
	if (chip.overrun)
		status |= 0x02;
	chip.overrun = false;
	return status;
}

uint8_t port_read8(uint16_t port)
{
	chip.reads++;
	assert_in_range(port, PORT, PORT + 7);
	if (chip.absent)
		return 0xff;
	switch (port - PORT) {
	case 0:
		return chip.line_control & 0x80 ? (uint8_t)chip.divisor : chip.received[chip.fetched_count++];
	case 2:
		return (chip.fifo_control & 1) && !chip.no_fifo ? 0xc1 : 0x01;
	case 5:
		return chip_line_status();
	case 7:
		return chip.scratch_stuck ? 0x5a : chip.scratch;
	default:
		fail_msg("read of register %d", port - PORT);
		return 0;
	}
}

static void chip_transmit(uint8_t value)
{
	if (chip.modem_control & 0x10) {
		if (!chip.no_loopback)
			chip.received[chip.received_count++] = value;
		return;
	}
	chip.sent[chip.sent_count++] = value;
	chip.countdown = chip.empty_after;
	if (++chip.filled > chip.filled_max)
		chip.filled_max = chip.filled;
}

void port_write8(uint16_t port, uint8_t value)
{
	assert_in_range(port, PORT, PORT + 7);
	switch (port - PORT) {
	case 0:
		if (chip.line_control & 0x80)
			chip.divisor = (uint16_t)((chip.divisor & 0xff00) | value);
		else
			chip_transmit(value);
		break;
	case 1:
		if (chip.line_control & 0x80)
			chip.divisor = (uint16_t)((chip.divisor & 0xff) | value << 8);
		else
			chip.interrupt_enable = value;
		break;
	case 2:
		chip.fifo_control = value;
		break;
	case 3:
		chip.line_control = value;
		break;
	case 4:
		chip.modem_control = value;
		break;
	case 7:
		chip.scratch = value;
		break;
	default:
		fail_msg("write of register %d", port - PORT);
	}
}

static struct uart uart;

static int set_up(void **state)
{
	(void)state;
	memset(&chip, 0, sizeof(chip));
	chip.empty_after = 3;
	chip.interrupt_enable = 0x0f;
	return 0;
}

static void open_good(void)
{
	assert_int_equal(uart_init(&uart, PORT, 115200), 0);
	assert_true(uart.present);
	/* The loopback test's character is not left behind. */
	assert_int_equal(chip.fetched_count, chip.received_count);
	chip.received_count = chip.fetched_count = 0;
}

static void init_sets_the_line(void **state)
{
	(void)state;
	assert_int_equal(uart_init(&uart, PORT, 9600), 0);
	assert_int_equal(chip.divisor, 12);
	assert_int_equal(chip.line_control, 0x03);
	assert_int_equal(chip.interrupt_enable, 0);
	assert_int_equal(chip.modem_control, 0x0b);
	assert_int_equal(chip.fifo_control & 1, 1);
	assert_int_equal(uart.fifo_size, 16);
	assert_int_equal(chip.sent_count, 0);
	assert_int_equal(uart_init(&uart, PORT, 300), 0);
	assert_int_equal(chip.divisor, 384);
}

static void wrong_rates_are_refused(void **state)
{
	static const uint32_t rates[] = { 0, 1, 110, 9601, 115201, 230400, UINT32_MAX };

	(void)state;
	for (uint32_t i = 0; i < ARRAY_SIZE(rates); i++)
		assert_int_equal(uart_init(&uart, PORT, rates[i]), -EINVAL);
	assert_int_equal(chip.reads, 0);
}

static void silent_uart(void)
{
	uint8_t character;

	assert_false(uart.present);
	assert_true(uart_can_transmit(&uart));
	uart_transmit(&uart, 'x');
	uart_flush(&uart, "text", 4);
	assert_false(uart_receive(&uart, &character));
	assert_int_equal(chip.sent_count, 0);
	assert_int_equal(uart.overruns, 0);
}

static void no_chip_is_found_out(void **state)
{
	(void)state;
	chip.absent = true;
	assert_int_equal(uart_init(&uart, PORT, 115200), -ENODEV);
	silent_uart();
}

static void something_else_is_found_out(void **state)
{
	(void)state;
	chip.scratch_stuck = true;
	assert_int_equal(uart_init(&uart, PORT, 115200), -ENODEV);
	silent_uart();
}

static void a_chip_that_does_not_loop_back_is_found_out(void **state)
{
	(void)state;
	chip.no_loopback = true;
	assert_int_equal(uart_init(&uart, PORT, 115200), -ENODEV);
	silent_uart();
	assert_true(chip.reads < 200000);
	assert_int_equal(chip.modem_control, 0);
}

static void transmit_fills_the_fifo_and_no_more(void **state)
{
	static const char text[] = "The quick brown fox jumps over the lazy dog, and once more.";

	(void)state;
	open_good();
	chip.line_status_reads = 0;
	uart_flush(&uart, text, strlen(text));
	assert_int_equal(chip.sent_count, strlen(text));
	assert_memory_equal(chip.sent, text, strlen(text));
	assert_int_equal(chip.filled_max, 16);
	/* Four FIFOs full: the first needs one look, the others wait for the model's three. */
	assert_int_equal(chip.line_status_reads, 1 + 3 * 3);
	assert_int_equal(uart.unsent, 0);
}

static void without_fifo_one_at_a_time(void **state)
{
	(void)state;
	chip.no_fifo = true;
	open_good();
	assert_int_equal(uart.fifo_size, 1);
	assert_int_equal(chip.fifo_control, 0);
	uart_flush(&uart, "abc", 3);
	assert_int_equal(chip.sent_count, 3);
	assert_int_equal(chip.filled_max, 1);
}

static void can_transmit_never_waits(void **state)
{
	(void)state;
	open_good();
	chip.stuck = true;
	for (uint32_t i = 0; i < 16; i++) {
		assert_true(uart_can_transmit(&uart));
		uart_transmit(&uart, 'x');
	}
	chip.reads = 0;
	assert_false(uart_can_transmit(&uart));
	assert_int_equal(chip.reads, 1);
}

static void flush_gives_up_on_a_stuck_chip(void **state)
{
	static char text[4096];

	(void)state;
	open_good();
	chip.stuck = true;
	chip.reads = 0;
	memset(text, 'x', sizeof(text));
	uart_flush(&uart, text, sizeof(text));
	assert_int_equal(chip.sent_count, 16);
	assert_int_equal(uart.unsent, sizeof(text) - 16);
	/* One bounded wait for all of it, not one a character. */
	assert_true(chip.reads < 200000);
}

static void receive_takes_what_is_there(void **state)
{
	uint8_t character;

	(void)state;
	open_good();
	assert_false(uart_receive(&uart, &character));
	memcpy(chip.received, "hi", 2);
	chip.received_count = 2;
	chip.overrun = true;
	assert_true(uart_receive(&uart, &character));
	assert_int_equal(character, 'h');
	assert_true(uart_receive(&uart, &character));
	assert_int_equal(character, 'i');
	assert_false(uart_receive(&uart, &character));
	assert_int_equal(uart.overruns, 1);
}

/* An overrun that shows while we only want to transmit is counted as well. */
static void overruns_are_counted_wherever_they_show(void **state)
{
	(void)state;
	open_good();
	chip.overrun = true;
	assert_true(uart_can_transmit(&uart));
	assert_int_equal(uart.overruns, 1);
}

static void broken_characters_are_dropped_and_counted(void **state)
{
	uint8_t character;

	(void)state;
	open_good();
	memcpy(chip.received, "\0a?b?", 5);
	chip.errors[0] = 0x10 | 0x08; /* a break */
	chip.errors[2] = 0x08;	      /* framing */
	chip.errors[4] = 0x04;	      /* parity */
	chip.received_count = 5;
	assert_true(uart_receive(&uart, &character));
	assert_int_equal(character, 'a');
	assert_true(uart_receive(&uart, &character));
	assert_int_equal(character, 'b');
	assert_false(uart_receive(&uart, &character));
	assert_int_equal(uart.line_errors, 3);
}

/* A chip that goes away reads as all ones: no endless input, no overruns, no character sent into the void. */
static void a_chip_that_vanishes_is_silent(void **state)
{
	uint8_t character;

	(void)state;
	open_good();
	chip.absent = true;
	assert_false(uart_receive(&uart, &character));
	assert_false(uart_can_transmit(&uart));
	assert_int_equal(uart.overruns, 0);
	uart_flush(&uart, "text", 4);
	assert_int_equal(uart.unsent, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(init_sets_the_line, set_up),
		cmocka_unit_test_setup(wrong_rates_are_refused, set_up),
		cmocka_unit_test_setup(no_chip_is_found_out, set_up),
		cmocka_unit_test_setup(something_else_is_found_out, set_up),
		cmocka_unit_test_setup(a_chip_that_does_not_loop_back_is_found_out, set_up),
		cmocka_unit_test_setup(transmit_fills_the_fifo_and_no_more, set_up),
		cmocka_unit_test_setup(without_fifo_one_at_a_time, set_up),
		cmocka_unit_test_setup(can_transmit_never_waits, set_up),
		cmocka_unit_test_setup(flush_gives_up_on_a_stuck_chip, set_up),
		cmocka_unit_test_setup(receive_takes_what_is_there, set_up),
		cmocka_unit_test_setup(overruns_are_counted_wherever_they_show, set_up),
		cmocka_unit_test_setup(broken_characters_are_dropped_and_counted, set_up),
		cmocka_unit_test_setup(a_chip_that_vanishes_is_silent, set_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
