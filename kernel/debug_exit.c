/* SPDX-License-Identifier: Apache-2.0 */
/* The bench's way to end a server. */
#include "kernel/debug_exit.h"

#include <stdbool.h>

#include "kernel/port_io.h"

#define DEBUG_EXIT_PORT 0xf4

static bool enabled;

void debug_exit_enable(void)
{
	enabled = true;
}

void debug_exit(enum debug_exit_value value)
{
	if (enabled)
		port_write8(DEBUG_EXIT_PORT, (uint8_t)value);
}
