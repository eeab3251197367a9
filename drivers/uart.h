/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The class "serial port". uart16550.c is its one driver. Polled: receive and
 * transmit never wait, except uart_flush, which is for early boot and fail-stop.
 */
#ifndef DRIVERS_UART_H
#define DRIVERS_UART_H

#include "include/bits.h"

struct uart {
	uint16_t port;	    /* first I/O port, 0x3f8 for COM1 */
	uint32_t rate_baud; /* 115200 and whole fractions of it */
	bool present;	    /* a chip answered; all else does nothing without one */
	uint32_t fifo_size; /* characters the chip takes at once when its FIFO is empty: 1 or 16 */
	uint32_t space;	    /* characters it takes right now without being asked again */

	/* Counters, for the status of the console. */
	uint64_t overruns;    /* times the chip lost characters that we did not fetch in time */
	uint64_t line_errors; /* characters dropped because of a framing or parity error, or a break */
	uint64_t unsent;      /* characters of uart_flush() that the chip did not take in time */
};

/*
 * Sets 8N1 at `rate_baud`, FIFO on, interrupts off. Returns 0, -EINVAL for a rate
 * that 115200 is no multiple of, -ENODEV when no chip answers (`uart` may be used
 * nevertheless: nothing comes in, and what goes out is dropped).
 */
int uart_init(struct uart *uart, uint16_t port, uint32_t rate_baud);

/* Can a character be given without waiting? True without a chip: it would be dropped. */
bool uart_can_transmit(struct uart *uart);

/* Gives one character; only after uart_can_transmit(). */
void uart_transmit(struct uart *uart, uint8_t character);

/* Gives as many of `bytes` as the chip takes now; returns how many. */
uint64_t uart_transmit_some(struct uart *uart, const uint8_t *bytes, uint64_t size);

/* Takes one character into `character`; false when there is none. */
bool uart_receive(struct uart *uart, uint8_t *character);

/*
 * Writes all of `text`, waiting for the chip. The wait is bounded by a count of
 * register reads, about 100 ms a FIFO on real hardware: the clock may not run yet
 * in early boot, nor any more in a fail-stop. A chip that stays full that long
 * gets nothing more of this text.
 */
void uart_flush(struct uart *uart, const char *text, uint64_t size);

#endif
