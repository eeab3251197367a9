/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The class "serial port". uart16550.c is its one driver. Polled: receive and
 * transmit never wait, except uart_flush, which is for a fail-stop.
 */
#ifndef DRIVERS_UART_H
#define DRIVERS_UART_H

#include "include/bits.h"

struct uart {
	uint16_t port;	    /* first I/O port, 0x3f8 for COM1 */
	uint32_t rate_baud; /* 115200 and whole fractions of it */
	bool present;	    /* a chip answered */
	uint64_t overruns;  /* characters the chip lost */
};

/*
 * Sets 8N1 at `rate_baud`, FIFO on, interrupts off. Returns 0, -EINVAL for a rate
 * that 115200 is no multiple of, -ENODEV when no chip answers.
 */
int uart_init(struct uart *uart, uint16_t port, uint32_t rate_baud);

/* Can a character be given without waiting? */
bool uart_can_transmit(const struct uart *uart);

/* Gives one character; only after uart_can_transmit(). */
void uart_transmit(struct uart *uart, uint8_t character);

/* Takes one character into `character`; false when there is none. */
bool uart_receive(struct uart *uart, uint8_t *character);

/* Writes all of `text`, waiting at most 100 ms a character. For early boot and fail-stop. */
void uart_flush(struct uart *uart, const char *text, uint64_t size);

#endif
