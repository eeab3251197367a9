/* SPDX-License-Identifier: Apache-2.0 */
/* COM1: a 16550A at ports 0x3f8..0x3ff, IRQ 4. */
#ifndef MACHINE_UART_H
#define MACHINE_UART_H

#include "include/bits.h"

struct machine;

#define MACHINE_UART_PORT 0x3f8
#define MACHINE_UART_IRQ 4
#define MACHINE_UART_FIFO_SIZE 16

struct machine_uart {
	uint16_t divisor;
	uint8_t interrupt_enable;
	uint8_t fifo_control;
	uint8_t line_control;
	uint8_t modem_control;
	uint8_t scratch;
	uint8_t overrun;	    /* LSR bit 1, until it is read */
	uint8_t transmit_interrupt; /* THR empty, not told yet */
	uint8_t receive_count;
	uint8_t receive_first;
	uint8_t reserved[5];
	uint8_t receive_fifo[MACHINE_UART_FIFO_SIZE];
};

void machine_uart_reset(struct machine *machine);

/* `offset` from the first port, 0..7. */
uint8_t machine_uart_port_read(struct machine *machine, uint32_t offset);
void machine_uart_port_write(struct machine *machine, uint32_t offset, uint8_t value);

/* A byte from outside; lost, and told to the guest as an overrun, when there is no room. */
void machine_uart_receive(struct machine *machine, uint8_t byte);

/* Bytes that there is room for now: the leader sends no more than this. */
uint32_t machine_uart_space(const struct machine *machine);

#endif
