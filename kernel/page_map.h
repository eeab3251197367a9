/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which physical memory is free, as a list of ranges: the arithmetic below the
 * page allocator (pages.h). Memory is taken at start-up and never given back, so
 * there is no free list to corrupt. Pure: also compiled for the host's tests.
 */
#ifndef KERNEL_PAGE_MAP_H
#define KERNEL_PAGE_MAP_H

#include "include/boot_info.h"

#define PAGE_SIZE UINT64_C(4096)
#define LARGE_PAGE_SIZE (2 * MIB)
#define PAGE_MAP_RANGE_MAX 512
/* The first MiB belongs to the firmware and to starting further processors. */
#define PAGE_MAP_FIRST (1 * MIB)

struct page_range {
	uint64_t base; /* physical, page-aligned */
	uint64_t size; /* bytes, a multiple of PAGE_SIZE; never 0 */
};

struct page_map {
	uint32_t count;
	struct page_range ranges[PAGE_MAP_RANGE_MAX]; /* ascending, disjoint */
	uint64_t free_size;			      /* bytes in all ranges */
};

/* Takes the whole free pages above PAGE_MAP_FIRST out of a sorted, checked memory map. */
void page_map_init(struct page_map *map, const struct boot_memory_range *memory, uint32_t memory_count);

/*
 * Takes `size` bytes (raised to whole pages) aligned to `alignment` (a power of
 * two, PAGE_SIZE or more) that end at or below `limit`. The lowest place, or the
 * highest one. Returns the physical address, or 0 when there is no such place.
 */
uint64_t page_map_take_lowest(struct page_map *map, uint64_t size, uint64_t alignment, uint64_t limit);
uint64_t page_map_take_highest(struct page_map *map, uint64_t size, uint64_t alignment, uint64_t limit);

#endif
