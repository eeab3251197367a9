/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's memory map in the format of INT 15h E820, for both ways of starting a guest. */
#ifndef MACHINE_MEMORY_MAP_H
#define MACHINE_MEMORY_MAP_H

#include "include/bits.h"

struct machine;

#define MACHINE_MEMORY_RANGE_MAX 8
#define MACHINE_MEMORY_RANGE_SIZE 20 /* bytes of an entry as the guest sees it */

enum machine_boot_way {
	MACHINE_BOOT_FIRMWARE, /* which adds what it uses below 1 MiB itself */
	MACHINE_BOOT_DIRECT,
};

struct machine_memory_range {
	uint64_t start;
	uint64_t end;
	uint32_t is_ram;
	uint32_t reserved;
};

/* Fills `ranges` (MACHINE_MEMORY_RANGE_MAX); returns how many there are. */
uint32_t machine_memory_map(const struct machine *machine, enum machine_boot_way way,
			    struct machine_memory_range *ranges);

/* Writes a range as the 20 bytes of an E820 entry. */
void machine_memory_range_put(uint8_t *at, const struct machine_memory_range *range);

#endif
