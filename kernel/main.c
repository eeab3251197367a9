/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The boot as a table of contents, and the one file that knows everybody.
 */
#include <stdio.h>
#include <string.h>

#include "include/boot_info.h"
#include "kernel/port_io.h"

extern const char yoke_version[];
void kernel_main(const struct boot_info *boot);

static void put(const char *text)
{
	for (; *text; text++)
		port_write8(0x3f8, (uint8_t)*text);
}

void kernel_main(const struct boot_info *boot)
{
	char line[256];

	snprintf(line, sizeof(line), "Yoke %s, loaded by %s at %#lx, %u memory ranges, %u files, \"%s\"\r\n", yoke_version, boot->loader,
		 (unsigned long)boot->kernel_physical, boot->memory_range_count, boot->file_count, boot->command_line);
	put(line);
	for (uint32_t i = 0; i < boot->memory_range_count; i++) {
		snprintf(line, sizeof(line), "%016lx %016lx %lu\r\n", (unsigned long)boot->memory[i].base, (unsigned long)boot->memory[i].size, (unsigned long)boot->memory[i].kind);
		put(line);
	}
	for (uint32_t i = 0; i < boot->file_count; i++) {
		put(boot->files[i].name);
		put("\r\n");
	}
	port_write8(0xf4, 0);
}
