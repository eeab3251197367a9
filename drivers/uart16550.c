/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The 16550 and what behaves like it (National Semiconductor PC16550D). Whether a
 * chip is there is found out in two steps: the scratch register keeps what is
 * written, and a character comes back in loopback. A port that passes the first
 * and not the second is something else, and is left alone.
 *
 * The transmit FIFO is filled 16 characters at a time whenever it is empty: one
 * read of the line status, which is slow, serves 16 characters.
 */
#include <errno.h>

#include "drivers/uart.h"
#include "drivers/uart16550_reg.h"
#include "include/trace.h"
#include "kernel/port_io.h"

TRACE_FILE("uart", TRACE_INFO);

/*
 * A read over the low-pin-count bus takes about a microsecond, so this is about
 * 100 ms: 16 characters at 1600 baud. In QEMU it is quicker and never needed.
 */
#define WAIT_READS_MAX 100000

#define LOOPBACK_CHARACTER 0xa6

static uint8_t uart_read(const struct uart *uart, uint16_t offset)
{
	return port_read8((uint16_t)(uart->port + offset));
}

static void uart_write(const struct uart *uart, uint16_t offset, uint64_t value)
{
	port_write8((uint16_t)(uart->port + offset), (uint8_t)value);
}

/* Every read of the line status goes through here: reading clears the overrun bit. */
static uint8_t uart_line_status(struct uart *uart)
{
	uint8_t status = uart_read(uart, UART_LINE_STATUS);

	/* No 16550 sets all eight: the chip was taken out, or the bus is dead. */
	if (status == UART_LINE_STATUS_ABSENT)
		return 0;
	if (status & UART_LINE_STATUS_OVERRUN)
		uart->overruns++;
	return status;
}

static bool uart_has_scratch(const struct uart *uart)
{
	static const uint8_t patterns[] = { 0x5a, 0xa5 };

	for (uint32_t i = 0; i < ARRAY_SIZE(patterns); i++) {
		uart_write(uart, UART_SCRATCH, patterns[i]);
		if (uart_read(uart, UART_SCRATCH) != patterns[i])
			return false;
	}
	return true;
}

/* With the line already set up: does a character come back inside the chip? */
static bool uart_loops_back(struct uart *uart)
{
	bool came_back = false;

	uart_write(uart, UART_MODEM_CONTROL, UART_MODEM_CONTROL_LOOPBACK);
	uart_write(uart, UART_TRANSMIT, LOOPBACK_CHARACTER);
	for (uint32_t reads = 0; reads < WAIT_READS_MAX && !came_back; reads++)
		came_back = uart_line_status(uart) & UART_LINE_STATUS_READY;
	return came_back && uart_read(uart, UART_RECEIVE) == LOOPBACK_CHARACTER;
}

static void uart_set_line(const struct uart *uart)
{
	uint32_t divisor = UART_CLOCK_BAUD / uart->rate_baud;

	uart_write(uart, UART_INTERRUPT_ENABLE, 0);
	uart_write(uart, UART_LINE_CONTROL, UART_LINE_CONTROL_DIVISOR);
	uart_write(uart, UART_DIVISOR_LOW, divisor & 0xff);
	uart_write(uart, UART_DIVISOR_HIGH, divisor >> 8);
	uart_write(uart, UART_LINE_CONTROL, UART_LINE_CONTROL_8N1);
	uart_write(uart, UART_FIFO_CONTROL,
		   UART_FIFO_ENABLE | UART_FIFO_RESET_RECEIVE | UART_FIFO_RESET_TRANSMIT);
}

int uart_init(struct uart *uart, uint16_t port, uint32_t rate_baud)
{
	*uart = (struct uart){ .port = port, .rate_baud = rate_baud, .fifo_size = 1 };
	if (rate_baud == 0 || UART_CLOCK_BAUD % rate_baud != 0 || UART_CLOCK_BAUD / rate_baud > UINT16_MAX)
		return trace_error(-EINVAL);
	if (!uart_has_scratch(uart))
		return trace_error(-ENODEV);
	uart_set_line(uart);
	if (!uart_loops_back(uart)) {
		uart_write(uart, UART_MODEM_CONTROL, 0);
		return trace_error(-ENODEV);
	}
	/* Both bits, or it is a 16550 without A, whose FIFO loses characters. */
	if ((uart_read(uart, UART_IDENTITY) & UART_IDENTITY_FIFO) == UART_IDENTITY_FIFO)
		uart->fifo_size = UART_FIFO_SIZE;
	else
		uart_write(uart, UART_FIFO_CONTROL, 0);
	/* OUT2 gates the interrupt line on PCs; some terminals and chips want it set all the same. */
	uart_write(uart, UART_MODEM_CONTROL,
		   UART_MODEM_CONTROL_DTR | UART_MODEM_CONTROL_RTS | UART_MODEM_CONTROL_OUT2);
	uart->present = true;
	return 0;
}

bool uart_can_transmit(struct uart *uart)
{
	if (!uart->present)
		return true;
	if (uart->space == 0 && (uart_line_status(uart) & UART_LINE_STATUS_EMPTY))
		uart->space = uart->fifo_size;
	return uart->space > 0;
}

void uart_transmit(struct uart *uart, uint8_t character)
{
	if (!uart->present)
		return;
	if (uart->space > 0)
		uart->space--;
	uart_write(uart, UART_TRANSMIT, character);
}

uint64_t uart_transmit_some(struct uart *uart, const uint8_t *bytes, uint64_t size)
{
	uint64_t sent = 0;

	while (sent < size && uart_can_transmit(uart))
		uart_transmit(uart, bytes[sent++]);
	return sent;
}

bool uart_receive(struct uart *uart, uint8_t *character)
{
	/* Broken characters come one at a time out of a FIFO of 16: the bound only guards against a mad chip.
	 */
	for (uint32_t i = 0; uart->present && i < UART_FIFO_SIZE; i++) {
		uint8_t status = uart_line_status(uart);

		if (!(status & UART_LINE_STATUS_READY))
			return false;
		*character = uart_read(uart, UART_RECEIVE);
		if (!(status & (UART_LINE_STATUS_PARITY | UART_LINE_STATUS_FRAMING | UART_LINE_STATUS_BREAK)))
			return true;
		uart->line_errors++;
	}
	return false;
}

void uart_flush(struct uart *uart, const char *text, uint64_t size)
{
	for (uint64_t i = 0; i < size; i++) {
		uint32_t reads = 0;

		while (!uart_can_transmit(uart)) {
			if (++reads == WAIT_READS_MAX) {
				uart->unsent += size - i;
				return;
			}
		}
		uart_transmit(uart, (uint8_t)text[i]);
	}
}
