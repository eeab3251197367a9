/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what a Multiboot loader hands over to our boot_info. Follows the
 * Multiboot Specification 0.6.96, section 3.3, and 2.0, section 3.6.
 */
#ifndef BOOT_MULTIBOOT_H
#define BOOT_MULTIBOOT_H

#include "include/boot_info.h"

/*
 * Called once by start.S in 64-bit mode on the boot page tables. `magic` is the
 * loader's EAX, `information` its EBX, `tsc` the TSC at entry. Returns the
 * kernel's one boot_info; an unknown magic yields one with no memory, which
 * boot_info_check() then refuses by name.
 */
const struct boot_info *multiboot_boot_info(uint32_t magic, uint32_t information, uint64_t tsc);

#endif
