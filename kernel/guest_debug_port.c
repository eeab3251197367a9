/* SPDX-License-Identifier: Apache-2.0 */
/* The firmware's debug output; see guest_debug_port.h. */
#include "kernel/guest_debug_port.h"

#include "include/trace.h"

TRACE_FILE("firmware", TRACE_INFO);

#define LINE_SIZE 120

static char line[LINE_SIZE];
static uint32_t length;

static void end_line(void)
{
	line[length] = '\0';
	if (length > 0)
		trace(TRACE_DEBUG, "%s", line);
	length = 0;
}

void guest_debug_port_take(const uint8_t *bytes, uint64_t size)
{
	for (uint64_t i = 0; i < size; i++) {
		if (bytes[i] == '\n' || length == LINE_SIZE - 1)
			end_line();
		if (bytes[i] >= ' ' && bytes[i] <= '~')
			line[length++] = (char)bytes[i];
	}
}
