/* SPDX-License-Identifier: Apache-2.0 */
/* Page arithmetic: what is free, what is taken, and that no byte is taken twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/page_map.h"

static struct page_map map;

static void only_whole_free_pages_above_the_first_mib(void **state)
{
	const struct boot_memory_range memory[] = {
		{ 0, 0x9fc00, BOOT_MEMORY_FREE },
		{ 0xf0000, 0x10000, BOOT_MEMORY_RESERVED },
		{ 1 * MIB, 0x1800, BOOT_MEMORY_FREE },
		{ 1 * MIB + 0x1800, 0x1000, BOOT_MEMORY_LOADED },
		{ 1 * MIB + 0x2800, 0x10000, BOOT_MEMORY_FREE },
		{ 0x300000, 0xfff, BOOT_MEMORY_FREE },
	};

	(void)state;
	page_map_init(&map, memory, ARRAY_SIZE(memory));
	assert_int_equal(map.count, 2);
	assert_true(map.ranges[0].base == 1 * MIB && map.ranges[0].size == 0x1000);
	assert_true(map.ranges[1].base == 1 * MIB + 0x3000 && map.ranges[1].size == 0xf000);
	assert_true(map.free_size == 0x10000);
}

static void lowest_and_highest_respect_alignment_and_limit(void **state)
{
	const struct boot_memory_range memory[] = {
		{ 1 * MIB, 10 * MIB, BOOT_MEMORY_FREE },
		{ 4 * GIB, 5 * MIB, BOOT_MEMORY_FREE },
	};

	(void)state;
	page_map_init(&map, memory, ARRAY_SIZE(memory));
	assert_true(page_map_take_lowest(&map, 1, PAGE_SIZE, 4 * GIB) == 1 * MIB);
	assert_true(page_map_take_lowest(&map, 2 * MIB, 2 * MIB, 4 * GIB) == 2 * MIB);
	/* What alignment left out is still there. */
	assert_true(page_map_take_lowest(&map, 0xff000, PAGE_SIZE, 4 * GIB) == 1 * MIB + 0x1000);
	assert_true(page_map_take_highest(&map, 2 * MIB, 2 * MIB, UINT64_MAX) == 4 * GIB + 2 * MIB);
	assert_true(page_map_take_highest(&map, 2 * MIB, 2 * MIB, UINT64_MAX) == 4 * GIB);
	assert_true(page_map_take_highest(&map, 2 * MIB, 2 * MIB, UINT64_MAX) == 8 * MIB);
	assert_true(page_map_take_highest(&map, 2 * MIB, 2 * MIB, 7 * MIB) == 4 * MIB);
	assert_true(page_map_take_lowest(&map, 8 * MIB, PAGE_SIZE, UINT64_MAX) == 0);
	assert_true(page_map_take_highest(&map, 8 * MIB, PAGE_SIZE, UINT64_MAX) == 0);
	assert_true(map.free_size == 15 * MIB - 11 * MIB);
}

/* Takes until nothing is left, from a printed seed; marks every page, and counts. */
static void nothing_is_taken_twice(void **state)
{
	const struct boot_memory_range memory[] = {
		{ 1 * MIB, 7 * MIB, BOOT_MEMORY_FREE },
		{ 9 * MIB, 3 * MIB + 0x5000, BOOT_MEMORY_FREE },
		{ 16 * MIB, 16 * MIB, BOOT_MEMORY_FREE },
	};
	static uint8_t taken[32 * MIB / PAGE_SIZE];
	uint64_t free_size;

	(void)state;
	for (unsigned int seed = 1; seed <= 50; seed++) {
		srand(seed);
		memset(taken, 0, sizeof(taken));
		page_map_init(&map, memory, ARRAY_SIZE(memory));
		free_size = map.free_size;
		while (map.free_size > 0) {
			uint64_t size = PAGE_SIZE * (uint64_t)(1 + rand() % 64);
			uint64_t alignment = PAGE_SIZE << (rand() % 4);
			uint64_t base;

			if (size > map.free_size || map.count > PAGE_MAP_RANGE_MAX / 2) {
				size = PAGE_SIZE;
				alignment = PAGE_SIZE;
			}
			base = rand() % 2 ? page_map_take_lowest(&map, size, alignment, UINT64_MAX)
					  : page_map_take_highest(&map, size, alignment, UINT64_MAX);
			if (base == 0)
				base = page_map_take_lowest(&map, size = PAGE_SIZE, PAGE_SIZE, UINT64_MAX);
			assert_true(base != 0 && base % PAGE_SIZE == 0);
			for (uint64_t page = base / PAGE_SIZE; page < (base + size) / PAGE_SIZE; page++)
				assert_int_equal(taken[page]++, 0);
			free_size -= size;
			assert_true(free_size == map.free_size);
		}
		assert_int_equal(map.count, 0);
		for (uint64_t page = 0; page < ARRAY_SIZE(taken); page++) {
			uint64_t at = page * PAGE_SIZE;
			int in_memory = (at >= 1 * MIB && at < 8 * MIB) ||
					(at >= 9 * MIB && at < 12 * MIB + 0x5000) || at >= 16 * MIB;

			assert_int_equal(taken[page], in_memory);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_whole_free_pages_above_the_first_mib),
		cmocka_unit_test(lowest_and_highest_respect_alignment_and_limit),
		cmocka_unit_test(nothing_is_taken_twice),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
