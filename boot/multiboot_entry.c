/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multiboot in the image itself: where its memory is seen and its boot_info
 * lies. Runs on start.S's page tables, with RAM below 4 GiB at DIRECT_MAP_BASE;
 * Multiboot loaders put everything there.
 */
#include "boot/handover.h"
#include "boot/multiboot.h"
#include "include/memory_layout.h"

extern char kernel_start[];
extern char kernel_end[];

const struct boot_info *multiboot_boot_info(uint32_t magic, uint32_t information, uint64_t tsc)
{
	static struct boot_info info;
	const struct multiboot_memory memory = { .bytes = (const uint8_t *)DIRECT_MAP_BASE, .size = 4 * GIB };

	handover_begin(&info, tsc);
	handover_set_kernel(&info, KERNEL_PHYSICAL_DEFAULT, (uint64_t)(kernel_end - kernel_start));
	multiboot_read(&memory, magic, information, &info);
	return &info;
}
