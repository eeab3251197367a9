/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 16550A (National PC16550D datasheet). Sending takes no time: the transmitter is
 * always empty, and each byte is an output at once. Receiving tells of a byte
 * below the trigger level by the character time-out at once, too, so that nothing
 * in here depends on time.
 */
#include "machine/uart.h"

#include <string.h>

#include "machine/machine.h"

enum {
	REGISTER_DATA,
	REGISTER_INTERRUPT_ENABLE,
	REGISTER_INTERRUPT_IDENTITY, /* written: FIFO control */
	REGISTER_LINE_CONTROL,
	REGISTER_MODEM_CONTROL,
	REGISTER_LINE_STATUS,
	REGISTER_MODEM_STATUS,
	REGISTER_SCRATCH,
};

#define ENABLE_RECEIVE 0x01
#define ENABLE_TRANSMIT 0x02
#define ENABLE_LINE 0x04

#define IDENTITY_NONE 0x01
#define IDENTITY_TRANSMIT 0x02
#define IDENTITY_RECEIVE 0x04
#define IDENTITY_LINE 0x06
#define IDENTITY_TIMEOUT 0x0c
#define IDENTITY_FIFO 0xc0

#define FIFO_ENABLE 0x01
#define FIFO_CLEAR_RECEIVE 0x02

#define LINE_CONTROL_DIVISOR 0x80

#define MODEM_CONTROL_OUT2 0x08 /* lets the interrupt out on a PC */
#define MODEM_CONTROL_LOOP 0x10

#define LINE_STATUS_READY 0x01
#define LINE_STATUS_OVERRUN 0x02
#define LINE_STATUS_EMPTY 0x60 /* holding and shift register */

#define MODEM_STATUS_CONNECTED 0xb0 /* CTS, DSR, DCD */

void machine_uart_reset(struct machine *machine)
{
	memset(&machine->uart, 0, sizeof(machine->uart));
	machine->uart.divisor = 12;
}

static uint32_t receive_limit(const struct machine_uart *uart)
{
	return (uart->fifo_control & FIFO_ENABLE) ? MACHINE_UART_FIFO_SIZE : 1;
}

static uint8_t interrupt_identity(const struct machine_uart *uart)
{
	static const uint8_t trigger_levels[4] = { 1, 4, 8, 14 };
	bool fifo = (uart->fifo_control & FIFO_ENABLE) != 0;

	if ((uart->interrupt_enable & ENABLE_LINE) && uart->overrun)
		return IDENTITY_LINE;
	if ((uart->interrupt_enable & ENABLE_RECEIVE) && uart->receive_count) {
		if (!fifo || uart->receive_count >= trigger_levels[uart->fifo_control >> 6])
			return IDENTITY_RECEIVE;
		return IDENTITY_TIMEOUT;
	}
	if ((uart->interrupt_enable & ENABLE_TRANSMIT) && uart->transmit_interrupt)
		return IDENTITY_TRANSMIT;
	return IDENTITY_NONE;
}

static void interrupt_update(struct machine *machine)
{
	const struct machine_uart *uart = &machine->uart;
	bool wanted = interrupt_identity(uart) != IDENTITY_NONE;

	machine_irq_set(machine, MACHINE_UART_IRQ, wanted && (uart->modem_control & MODEM_CONTROL_OUT2));
}

void machine_uart_receive(struct machine *machine, uint8_t byte)
{
	struct machine_uart *uart = &machine->uart;

	if (uart->receive_count >= receive_limit(uart)) {
		uart->overrun = 1;
	} else {
		uart->receive_fifo[(uart->receive_first + uart->receive_count) % MACHINE_UART_FIFO_SIZE] =
			byte;
		uart->receive_count++;
	}
	interrupt_update(machine);
}

uint32_t machine_uart_space(const struct machine *machine)
{
	const struct machine_uart *uart = &machine->uart;
	uint32_t limit = receive_limit(uart);

	if (uart->modem_control & MODEM_CONTROL_LOOP)
		return 0;
	return uart->receive_count < limit ? limit - uart->receive_count : 0;
}

static uint8_t data_read(struct machine_uart *uart)
{
	uint8_t byte;

	if (uart->receive_count == 0)
		return 0;
	byte = uart->receive_fifo[uart->receive_first];
	uart->receive_first = (uint8_t)((uart->receive_first + 1) % MACHINE_UART_FIFO_SIZE);
	uart->receive_count--;
	return byte;
}

static void data_write(struct machine *machine, uint8_t value)
{
	struct machine_uart *uart = &machine->uart;

	uart->transmit_interrupt = 1;
	if (uart->modem_control & MODEM_CONTROL_LOOP)
		machine_uart_receive(machine, value);
	else
		machine_byte_queue_put(&machine->serial_output, value);
}

/* In loop mode the outputs DTR, RTS, OUT1, OUT2 come back as DSR, CTS, RI, DCD. */
static uint8_t modem_status(const struct machine_uart *uart)
{
	uint8_t control = uart->modem_control;

	if (!(control & MODEM_CONTROL_LOOP))
		return MODEM_STATUS_CONNECTED;
	return (uint8_t)((control & 0x0c) << 4 | (control & 0x02) << 3 | (control & 0x01) << 5);
}

/* Drivers ask for it before each byte, so nothing more is done than must be. */
static uint8_t line_status_read(struct machine *machine)
{
	struct machine_uart *uart = &machine->uart;
	uint8_t status = LINE_STATUS_EMPTY;

	if (uart->receive_count)
		status |= LINE_STATUS_READY;
	if (uart->overrun) {
		status |= LINE_STATUS_OVERRUN;
		uart->overrun = 0;
		interrupt_update(machine);
	}
	return status;
}

static uint8_t identity_read(struct machine_uart *uart)
{
	uint8_t identity = interrupt_identity(uart);

	if (identity == IDENTITY_TRANSMIT)
		uart->transmit_interrupt = 0;
	if (uart->fifo_control & FIFO_ENABLE)
		identity |= IDENTITY_FIFO;
	return identity;
}

static uint8_t register_read(struct machine_uart *uart, uint32_t offset)
{
	bool divisor = (uart->line_control & LINE_CONTROL_DIVISOR) != 0;

	switch (offset) {
	case REGISTER_DATA:
		return divisor ? (uint8_t)uart->divisor : data_read(uart);
	case REGISTER_INTERRUPT_ENABLE:
		return divisor ? (uint8_t)(uart->divisor >> 8) : uart->interrupt_enable;
	case REGISTER_INTERRUPT_IDENTITY:
		return identity_read(uart);
	case REGISTER_LINE_CONTROL:
		return uart->line_control;
	case REGISTER_MODEM_CONTROL:
		return uart->modem_control;
	case REGISTER_MODEM_STATUS:
		return modem_status(uart);
	default:
		return uart->scratch;
	}
}

uint8_t machine_uart_port_read(struct machine *machine, uint32_t offset)
{
	uint8_t value;

	if (offset == REGISTER_LINE_STATUS)
		return line_status_read(machine);
	value = register_read(&machine->uart, offset);
	interrupt_update(machine);
	return value;
}

static void fifo_control_write(struct machine_uart *uart, uint8_t value)
{
	if ((value ^ uart->fifo_control) & FIFO_ENABLE || value & FIFO_CLEAR_RECEIVE) {
		uart->receive_count = 0;
		uart->receive_first = 0;
	}
	uart->fifo_control = (value & FIFO_ENABLE) ? value & 0xc9 : 0;
}

static void interrupt_enable_write(struct machine_uart *uart, uint8_t value)
{
	/* Enabling THR-empty tells of an empty THR at once. */
	if ((value & ENABLE_TRANSMIT) && !(uart->interrupt_enable & ENABLE_TRANSMIT))
		uart->transmit_interrupt = 1;
	uart->interrupt_enable = value & 0x0f;
}

void machine_uart_port_write(struct machine *machine, uint32_t offset, uint8_t value)
{
	struct machine_uart *uart = &machine->uart;
	bool divisor = (uart->line_control & LINE_CONTROL_DIVISOR) != 0;

	switch (offset) {
	case REGISTER_DATA:
		if (divisor)
			uart->divisor = (uint16_t)((uart->divisor & 0xff00) | value);
		else
			data_write(machine, value);
		break;
	case REGISTER_INTERRUPT_ENABLE:
		if (divisor)
			uart->divisor = (uint16_t)((uart->divisor & 0x00ff) | value << 8);
		else
			interrupt_enable_write(uart, value);
		break;
	case REGISTER_INTERRUPT_IDENTITY:
		fifo_control_write(uart, value);
		break;
	case REGISTER_LINE_CONTROL:
		uart->line_control = value;
		break;
	case REGISTER_MODEM_CONTROL:
		uart->modem_control = value & 0x1f;
		break;
	case REGISTER_SCRATCH:
		uart->scratch = value;
		break;
	default: /* the status registers */
		break;
	}
	interrupt_update(machine);
}
