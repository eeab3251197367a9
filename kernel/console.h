/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's console: text lines to and single characters from a serial port.
 * Output goes into a ring that is emptied as fast as the port takes it, so that
 * nobody waits for 115200 baud; what does not fit is dropped and counted.
 *
 * Until console_attach() the port is COM1 as the firmware left it, so that the
 * very first line is seen. The same plain way out serves a fail-stop.
 */
#ifndef KERNEL_CONSOLE_H
#define KERNEL_CONSOLE_H

#include "include/bits.h"

#define CONSOLE_COM1 0x3f8
#define CONSOLE_LINE_MAX 512 /* bytes of one console_printf() */

/* A serial port, wired by main.c to its driver. None of the three may wait. */
struct console_port {
	bool (*can_transmit)(void);
	void (*transmit)(uint8_t character);
	bool (*receive)(uint8_t *character);
};

/* Output and input by `port` from now on; it must stay valid. `io_port`: its first port, for a fail-stop. */
void console_attach(const struct console_port *port, uint16_t io_port);

/* Puts text out; each '\n' becomes "\r\n". Never waits. */
void console_write(const char *text, uint64_t size);
void console_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * A whole line of the server's own (trace), without newline. Once there is a
 * command line, its writer puts the line where it does not tear what is typed.
 */
void console_line(const char *line);
void console_set_line_writer(void (*writer)(const char *line));

/* Moves what the port takes; true when something was moved. Called by the main loop. */
bool console_poll(void);

/* One typed character; false when there is none. */
bool console_receive(uint8_t *character);

/* Waits until all is out, at most about 100 ms a character. Before power-off. */
void console_flush(void);

/*
 * For a fail-stop: straight to the port, waiting for it, behind what the ring
 * still holds. Uses nothing that could itself be broken: no driver, no clock.
 */
void console_emergency_write(const char *text);

#endif
