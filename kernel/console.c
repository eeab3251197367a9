/* SPDX-License-Identifier: Apache-2.0 */
/* The server's console: an output ring over a serial port, and its input. */
#include "kernel/console.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "include/ring.h"
#include "kernel/port_io.h"

#define OUTPUT_SIZE 65536u

/* 16550: registers that the plain way needs (datasheet PC16550D, 8.1). */
#define UART_DATA 0
#define UART_LINE_STATUS 5
#define UART_LINE_STATUS_RECEIVED 0x01
#define UART_LINE_STATUS_TRANSMIT_EMPTY 0x20
#define UART_LINE_STATUS_IDLE 0x40 /* not even a character half sent */
#define UART_NOT_THERE 0xff

/* A port read takes about a microsecond, a character at 9600 baud about a millisecond. */
#define TRANSMIT_POLLS_MAX 100000

static uint16_t plain_port = CONSOLE_COM1;
static struct ring output = { .size = OUTPUT_SIZE };
static uint8_t output_bytes[OUTPUT_SIZE];
static uint64_t dropped; /* characters since the last time that was told */

static bool plain_can_transmit(void)
{
	return (port_read8(plain_port + UART_LINE_STATUS) & UART_LINE_STATUS_TRANSMIT_EMPTY) != 0;
}

static bool plain_is_idle(void)
{
	return (port_read8(plain_port + UART_LINE_STATUS) & UART_LINE_STATUS_IDLE) != 0;
}

static void plain_transmit(uint8_t character)
{
	port_write8(plain_port + UART_DATA, character);
}

static bool plain_receive(uint8_t *character)
{
	uint8_t status = port_read8(plain_port + UART_LINE_STATUS);

	if (status == UART_NOT_THERE || !(status & UART_LINE_STATUS_RECEIVED))
		return false;
	*character = port_read8(plain_port + UART_DATA);
	return true;
}

static const struct console_port plain = {
	.can_transmit = plain_can_transmit,
	.transmit = plain_transmit,
	.receive = plain_receive,
};

static const struct console_port *port = &plain;

void console_attach(const struct console_port *new_port, uint16_t io_port)
{
	console_flush();
	port = new_port;
	plain_port = io_port;
}

static void put_byte(char byte)
{
	if (ring_full(&output)) {
		dropped++;
		return;
	}
	output_bytes[ring_head(&output)] = (uint8_t)byte;
	ring_produce(&output);
}

static void put_text(const char *text, uint64_t size)
{
	for (uint64_t i = 0; i < size; i++) {
		if (text[i] == '\n')
			put_byte('\r');
		put_byte(text[i]);
	}
}

bool console_poll(void)
{
	bool moved = false;

	while (!ring_empty(&output) && port->can_transmit()) {
		port->transmit(output_bytes[ring_tail(&output)]);
		ring_consume(&output);
		moved = true;
	}
	if (dropped > 0 && ring_space(&output) > OUTPUT_SIZE / 2) {
		char text[64];
		int length = snprintf(text, sizeof(text), "\n(%lu characters lost here)\n",
				      (unsigned long)dropped);

		dropped = 0;
		put_text(text, (uint64_t)length);
	}
	return moved;
}

void console_write(const char *text, uint64_t size)
{
	put_text(text, size);
	console_poll();
}

void console_printf(const char *format, ...)
{
	char text[CONSOLE_LINE_MAX];
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (length > 0)
		console_write(text, min_u64((uint64_t)length, sizeof(text) - 1));
}

static void write_plain_line(const char *line)
{
	console_printf("%s\n", line);
}

static void (*line_writer)(const char *line) = write_plain_line;

void console_line(const char *line)
{
	line_writer(line);
}

void console_set_line_writer(void (*writer)(const char *line))
{
	line_writer = writer;
}

bool console_receive(uint8_t *character)
{
	return port->receive(character);
}

static void emergency_put(uint8_t character)
{
	for (uint32_t polls = 0; polls < TRANSMIT_POLLS_MAX && !plain_can_transmit(); polls++)
		;
	plain_transmit(character);
}

void console_flush(void)
{
	while (!ring_empty(&output)) {
		emergency_put(output_bytes[ring_tail(&output)]);
		ring_consume(&output);
	}
	/* A power-off or reset right after this would take what the FIFO still holds. */
	for (uint32_t polls = 0; polls < TRANSMIT_POLLS_MAX && !plain_is_idle(); polls++)
		;
}

void console_emergency_write(const char *text)
{
	/* The counters are read without ring.h's checks: those would end in here again. */
	while (output.producer != output.consumer)
		emergency_put(output_bytes[output.consumer++ % OUTPUT_SIZE]);
	for (; *text; text++) {
		if (*text == '\n')
			emergency_put('\r');
		emergency_put((uint8_t)*text);
	}
}
