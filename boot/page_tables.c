/* SPDX-License-Identifier: Apache-2.0 */
/* Four-level page tables: AMD64 manual volume 2, section 5.3. See page_tables.h. */
#include "boot/page_tables.h"

#include <string.h>

#include "include/memory_layout.h"

#define PAGE_PRESENT BIT(0)
#define PAGE_WRITE BIT(1)
#define PAGE_LARGE BIT(7)
#define PAGE_TABLE (PAGE_PRESENT | PAGE_WRITE)
#define PAGE_2M (PAGE_PRESENT | PAGE_WRITE | PAGE_LARGE)

#define PML4_INDEX(address) (((uint64_t)(address) >> 39) & 511)
#define PDPT_INDEX(address) (((uint64_t)(address) >> 30) & 511)

void page_tables_build(struct page_tables *tables, uint64_t tables_physical, uint64_t kernel_physical,
		       uint64_t kernel_size)
{
	uint64_t pdpt = tables_physical + offsetof(struct page_tables, pdpt);
	uint64_t pdpt_image = tables_physical + offsetof(struct page_tables, pdpt_image);
	uint64_t directory_image = tables_physical + offsetof(struct page_tables, directory_image);

	memset(tables, 0, sizeof(*tables));
	tables->pml4[0] = pdpt | PAGE_TABLE;
	tables->pml4[PML4_INDEX(DIRECT_MAP_BASE)] = pdpt | PAGE_TABLE;
	tables->pml4[PML4_INDEX(KERNEL_VIRTUAL_BASE)] = pdpt_image | PAGE_TABLE;
	tables->pdpt_image[PDPT_INDEX(KERNEL_VIRTUAL_BASE)] = directory_image | PAGE_TABLE;
	for (uint64_t gib = 0; gib < 4; gib++) {
		uint64_t directory = tables_physical + offsetof(struct page_tables, directory) + gib * 4096;

		tables->pdpt[gib] = directory | PAGE_TABLE;
		for (uint64_t i = 0; i < 512; i++)
			tables->directory[gib][i] = (gib * GIB + i * 2 * MIB) | PAGE_2M;
	}
	for (uint64_t offset = 0; offset < kernel_size; offset += 2 * MIB)
		tables->directory_image[offset / (2 * MIB)] = (kernel_physical + offset) | PAGE_2M;
}
