/* SPDX-License-Identifier: Apache-2.0 */
/* Free physical memory as a short sorted list of ranges. */
#include "kernel/page_map.h"

#include <string.h>

#include "include/assert.h"

void page_map_init(struct page_map *map, const struct boot_memory_range *memory, uint32_t memory_count)
{
	memset(map, 0, sizeof(*map));
	for (uint32_t i = 0; i < memory_count && map->count < PAGE_MAP_RANGE_MAX; i++) {
		uint64_t base = align_up(max_u64(memory[i].base, PAGE_MAP_FIRST), PAGE_SIZE);
		uint64_t end = align_down(memory[i].base + memory[i].size, PAGE_SIZE);

		if (memory[i].kind != BOOT_MEMORY_FREE || base >= end)
			continue;
		ASSERT(map->count == 0 ||
		       base >= map->ranges[map->count - 1].base + map->ranges[map->count - 1].size);
		map->ranges[map->count++] = (struct page_range){ .base = base, .size = end - base };
		map->free_size += end - base;
	}
}

static void remove_range(struct page_map *map, uint32_t index)
{
	map->count--;
	memmove(&map->ranges[index], &map->ranges[index + 1], (map->count - index) * sizeof(map->ranges[0]));
}

/*
 * Cuts [base, base + size) out of range `index`. False when that would make one
 * range more than there is room for.
 */
static bool cut_range(struct page_map *map, uint32_t index, uint64_t base, uint64_t size)
{
	struct page_range *range = &map->ranges[index];
	uint64_t before = base - range->base;
	uint64_t after = range->size - before - size;

	ASSERT(range_fits(before, size, range->size));
	if (before > 0 && after > 0) {
		if (map->count == PAGE_MAP_RANGE_MAX)
			return false;
		memmove(range + 1, range, (map->count - index) * sizeof(*range));
		map->count++;
		range[1] = (struct page_range){ .base = base + size, .size = after };
		range->size = before;
	} else if (before > 0) {
		range->size = before;
	} else if (after > 0) {
		*range = (struct page_range){ .base = base + size, .size = after };
	} else {
		remove_range(map, index);
	}
	map->free_size -= size;
	return true;
}

uint64_t page_map_take_lowest(struct page_map *map, uint64_t size, uint64_t alignment, uint64_t limit)
{
	size = align_up(size, PAGE_SIZE);
	ASSERT(size > 0);
	ASSERT(is_power_of_two(alignment) && alignment >= PAGE_SIZE);
	for (uint32_t i = 0; i < map->count; i++) {
		const struct page_range *range = &map->ranges[i];
		uint64_t base = align_up(range->base, alignment);

		if (range_fits(base, size, limit) && base >= range->base &&
		    range_fits(base - range->base, size, range->size) && cut_range(map, i, base, size))
			return base;
	}
	return 0;
}

uint64_t page_map_take_highest(struct page_map *map, uint64_t size, uint64_t alignment, uint64_t limit)
{
	size = align_up(size, PAGE_SIZE);
	ASSERT(size > 0);
	ASSERT(is_power_of_two(alignment) && alignment >= PAGE_SIZE);
	for (uint32_t i = map->count; i-- > 0;) {
		const struct page_range *range = &map->ranges[i];
		uint64_t end = min_u64(range->base + range->size, limit);
		uint64_t base;

		if (end < size)
			continue;
		base = align_down(end - size, alignment);
		if (base >= range->base && cut_range(map, i, base, size))
			return base;
	}
	return 0;
}
