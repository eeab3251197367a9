/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registers of the 16550 (National Semiconductor PC16550D, June 1995, table II),
 * as offsets from its first I/O port; only what uart16550.c uses.
 */
#ifndef DRIVERS_UART16550_REG_H
#define DRIVERS_UART16550_REG_H

#define UART_RECEIVE 0		/* receiver buffer, read (8.0) */
#define UART_TRANSMIT 0		/* transmitter holding, write */
#define UART_DIVISOR_LOW 0	/* with LINE_CONTROL_DIVISOR set (8.3) */
#define UART_DIVISOR_HIGH 1
#define UART_INTERRUPT_ENABLE 1 /* (8.7) */
#define UART_IDENTITY 2		/* interrupt identity, read (8.6) */
#define   UART_IDENTITY_FIFO 0xc0 /* both bits: a FIFO that works */
#define UART_FIFO_CONTROL 2	/* write (8.5) */
#define   UART_FIFO_ENABLE BIT(0)
#define   UART_FIFO_RESET_RECEIVE BIT(1)
#define   UART_FIFO_RESET_TRANSMIT BIT(2)
#define UART_LINE_CONTROL 3	/* (8.1) */
#define   UART_LINE_CONTROL_8N1 0x03
#define   UART_LINE_CONTROL_DIVISOR BIT(7)
#define UART_MODEM_CONTROL 4	/* (8.8) */
#define   UART_MODEM_CONTROL_DTR BIT(0)
#define   UART_MODEM_CONTROL_RTS BIT(1)
#define   UART_MODEM_CONTROL_OUT2 BIT(3)
#define   UART_MODEM_CONTROL_LOOPBACK BIT(4)
#define UART_LINE_STATUS 5	/* (8.4) */
#define   UART_LINE_STATUS_READY BIT(0)	   /* a character waits */
#define   UART_LINE_STATUS_OVERRUN BIT(1)  /* cleared by reading */
#define   UART_LINE_STATUS_PARITY BIT(2)   /* of the character that waits, as the two below */
#define   UART_LINE_STATUS_FRAMING BIT(3)
#define   UART_LINE_STATUS_BREAK BIT(4)
#define   UART_LINE_STATUS_EMPTY BIT(5)	   /* the whole transmit FIFO is empty */
#define   UART_LINE_STATUS_ABSENT 0xff	   /* no chip drives the bus */
#define UART_SCRATCH 7		/* (8.10) */

#define UART_CLOCK_BAUD 115200 /* rate at divisor 1 with the PC's 1.8432 MHz clock (8.3) */
#define UART_FIFO_SIZE 16

#endif
