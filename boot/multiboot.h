/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what a Multiboot loader hands over to our boot_info. Follows the
 * Multiboot Specification 0.6.96, section 3.3, and 2.0, section 3.6.
 */
#ifndef BOOT_MULTIBOOT_H
#define BOOT_MULTIBOOT_H

#include "include/boot_info.h"

#define MULTIBOOT1_LOADER_MAGIC 0x2badb002
#define MULTIBOOT2_LOADER_MAGIC 0x36d76289

/* Physical memory [0, size) as it can be read here: below 4 GiB at boot, an array in a host test. */
struct multiboot_memory {
	const uint8_t *bytes;
	uint64_t size;
};

/*
 * Adds to `info`, which handover_begin() has prepared, what the loader told:
 * `magic` is its EAX, `information` its EBX. An unknown magic adds nothing, so
 * that boot_info_check() then refuses a boot_info without memory by name.
 */
void multiboot_read(const struct multiboot_memory *memory, uint32_t magic, uint32_t information,
		    struct boot_info *info);

/*
 * Called once by start.S in 64-bit mode on the boot page tables; `tsc` is the
 * TSC at entry. Returns the kernel's one boot_info.
 */
const struct boot_info *multiboot_boot_info(uint32_t magic, uint32_t information, uint64_t tsc);

#endif
