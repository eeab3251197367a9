/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page tables on which the UEFI loader enters the kernel, as
 * include/kernel_header.h promises: memory below 4 GiB in 2 MiB pages both one
 * to one and at DIRECT_MAP_BASE, and the image at KERNEL_VIRTUAL_BASE. They last
 * until kernel/paging.c has built the real ones, hence everything is writable
 * and executable. start.S builds the same for Multiboot in 32-bit code.
 */
#ifndef BOOT_PAGE_TABLES_H
#define BOOT_PAGE_TABLES_H

#include "include/bits.h"

struct page_tables {
	uint64_t pml4[512];
	uint64_t pdpt[512]; /* the first 4 GiB, reached by two entries of pml4 */
	uint64_t directory[4][512];
	uint64_t pdpt_image[512];
	uint64_t directory_image[512];
};

BUILD_ASSERT(sizeof(struct page_tables) == 8 * 4096);

/*
 * Fills `tables`, which lie page-aligned at `tables_physical` below 4 GiB.
 * `kernel_physical` is 2 MiB aligned, `kernel_size` at most 1 GiB.
 */
void page_tables_build(struct page_tables *tables, uint64_t tables_physical, uint64_t kernel_physical,
		       uint64_t kernel_size);

#endif
