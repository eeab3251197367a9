/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a server whose own invariant is broken: say why, touch nothing more. */
#include "include/assert.h"

#include <stdio.h>
#include <string.h>

#include "kernel/port_io.h"

static void emergency_write(const char *text)
{
	for (; *text; text++)
		port_write8(0x3f8, (uint8_t)*text);
}

_Noreturn void assert_failed(const char *expression, const char *file, int line)
{
	char text[256];

	snprintf(text, sizeof(text), "\r\nfail-stop: %s:%d: ASSERT(%s)\r\n", file, line, expression);
	emergency_write(text);
	for (;;)
		__asm__ volatile("cli; hlt");
}
