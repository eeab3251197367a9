/* SPDX-License-Identifier: Apache-2.0 */
/* mirror/region_map.c and intent.c: what counts as durable, torn blocks, and how rarely blocks are written.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "include/random.h"
#include "mirror/intent.h"

#define REGIONS 100000
#define SECTORS (REGIONS * MIRROR_REGION_SECTORS - 5) /* the last region is not whole */
#define BLOCKS 4
#define SECOND UINT64_C(1000000000)

static struct region_map map;
static struct region_map loaded;
static uint8_t disk[BLOCKS * REGION_MAP_BLOCK_SIZE];
static void *memory;
static void *loaded_memory;
static uint64_t random_state = 88172645463325252;

static uint64_t random_below(uint64_t limit)
{
	return (random_next(&random_state) >> 11) % limit;
}

static int begin(void **state)
{
	(void)state;
	memory = malloc(region_map_memory_size(SECTORS));
	loaded_memory = malloc(region_map_memory_size(SECTORS));
	region_map_init(&map, 42, SECTORS, memory);
	memset(disk, 0, sizeof(disk));
	assert_int_equal(region_map_size(SECTORS), sizeof(disk));
	return 0;
}

static int end(void **state)
{
	(void)state;
	free(memory);
	free(loaded_memory);
	return 0;
}

static uint32_t write_all(void)
{
	uint8_t bytes[REGION_MAP_BLOCK_SIZE];
	uint32_t count = 0;
	int64_t block;

	while ((block = region_map_take_block(&map, bytes)) >= 0) {
		memcpy(disk + (uint64_t)block * sizeof(bytes), bytes, sizeof(bytes));
		region_map_block_written(&map, (uint64_t)block, bytes, true);
		count++;
	}
	return count;
}

static void load(uint64_t identity)
{
	region_map_init(&loaded, identity, SECTORS, loaded_memory);
	for (uint64_t i = 0; i < BLOCKS; i++)
		region_map_load_block(&loaded, i, disk + i * REGION_MAP_BLOCK_SIZE);
}

static void bits_survive(void **state)
{
	static const uint64_t regions[] = { 0, 63, 64, 4031, 4032, 32255, 32256, REGIONS - 1 };

	(void)state;
	region_map_format(&map);
	for (uint32_t i = 0; i < ARRAY_SIZE(regions); i++)
		assert_int_equal(region_map_set_range(&map, regions[i], 1), 1);
	assert_int_equal(region_map_set_range(&map, 60, 10), 8);
	assert_false(region_map_is_durable(&map, 0, 1));
	assert_int_equal(write_all(), BLOCKS);
	assert_true(region_map_is_durable(&map, 60, 10));
	assert_false(region_map_is_durable(&map, 60, 11));
	load(42);
	assert_int_equal(loaded.damaged_sectors, 0);
	assert_int_equal(loaded.set_count, ARRAY_SIZE(regions) + 8);
	for (uint64_t region = 0; region < REGIONS; region++)
		assert_int_equal(region_map_get(&map, region), region_map_get(&loaded, region));
	assert_int_equal(region_map_next(&loaded, 70), 4031);
	assert_int_equal(region_map_next(&loaded, 32257), REGIONS - 1);
	assert_int_equal(region_map_next(&loaded, REGIONS), REGIONS);
}

static void only_changed_blocks_are_written(void **state)
{
	(void)state;
	region_map_format(&map);
	write_all();
	region_map_set_range(&map, 40000, 100);
	assert_int_equal(write_all(), 1);
	region_map_set_range(&map, 40000, 50);
	assert_int_equal(write_all(), 0);
	region_map_set_range(&map, REGION_MAP_BLOCK_REGIONS - 1, 2);
	assert_int_equal(write_all(), 2);
	region_map_clear(&map, 40000);
	region_map_clear(&map, 40000);
	assert_int_equal(write_all(), 1);
}

/* A map that was never written, is another set's, or cannot be read: copy too much, never too little. */
static void what_is_not_ours_counts_as_all_set(void **state)
{
	(void)state;
	load(42);
	assert_int_equal(loaded.set_count, REGIONS);
	assert_false(region_map_is_durable(&loaded, 5, 1));
	region_map_format(&map);
	write_all();
	load(43);
	assert_int_equal(loaded.set_count, REGIONS);
	load(42);
	assert_int_equal(loaded.set_count, 0);
	disk[3 * 512 + 100] ^= 1;
	load(42);
	assert_int_equal(loaded.set_count, REGION_MAP_SECTOR_REGIONS);
	assert_true(region_map_get(&loaded, 3 * REGION_MAP_SECTOR_REGIONS));
	memcpy(disk + 512, disk, 512); /* a sector in another's place */
	load(42);
	assert_int_equal(loaded.set_count, 2 * REGION_MAP_SECTOR_REGIONS);
	region_map_init(&loaded, 42, SECTORS, loaded_memory);
	region_map_load_block(&loaded, 1, NULL);
	assert_int_equal(loaded.set_count, REGION_MAP_BLOCK_REGIONS);
}

/*
 * Random setting and clearing, with block writes that end late, fail, and tear at a
 * sector. Whatever is on disk then, a bit that was called durable is set there.
 */
static void durable_means_on_disk_whatever_happens(void **state)
{
	uint8_t bytes[BLOCKS][REGION_MAP_BLOCK_SIZE];
	bool writing[BLOCKS] = { false };

	(void)state;
	region_map_format(&map);
	write_all();
	for (uint32_t step = 0; step < 6000; step++) {
		uint64_t region = random_below(BLOCKS * 8) * 3900 % REGIONS;
		uint64_t block = random_below(BLOCKS);
		uint8_t one[REGION_MAP_BLOCK_SIZE];
		int64_t taken;

		switch (random_below(5)) {
		case 0:
			region_map_set_range(&map, region, min_u64(1 + random_below(3), REGIONS - region));
			break;
		case 1:
			region_map_clear(&map, region);
			break;
		case 2:
			taken = region_map_take_block(&map, one);
			if (taken < 0)
				break;
			assert_false(writing[taken]);
			writing[taken] = true;
			memcpy(bytes[taken], one, sizeof(one));
			break;
		default: /* a piece of a write under way reaches the disk, and it may end */
			if (!writing[block])
				break;
			for (uint64_t i = 0; i < 8; i++)
				if (random_below(2))
					memcpy(disk + block * sizeof(one) + i * 512, bytes[block] + i * 512,
					       512);
			if (random_below(2))
				break;
			writing[block] = false;
			if (random_below(3)) {
				memcpy(disk + block * sizeof(one), bytes[block], sizeof(one));
				region_map_block_written(&map, block, bytes[block], true);
			} else {
				region_map_block_written(&map, block, bytes[block], false);
			}
			break;
		}
		if (step % 20)
			continue;
		load(42);
		assert_int_equal(loaded.damaged_sectors, 0);
		for (uint64_t i = 0; i < REGIONS; i += 1)
			if (region_map_get(&map, i) && region_map_is_durable(&map, i, 1))
				assert_true(region_map_get(&loaded, i));
	}
}

static void union_loses_nothing(void **state)
{
	(void)state;
	load(42);
	region_map_init(&loaded, 43, SECTORS, loaded_memory);
	region_map_set_range(&loaded, 10, 5);
	region_map_set_range(&loaded, 99990, 10);
	region_map_set_range(&map, 12, 10);
	write_all();
	region_map_merge(&map, &loaded);
	assert_int_equal(map.set_count, 12 + 10);
	assert_false(region_map_is_durable(&map, 10, 1)); /* until it is written */
	assert_int_equal(write_all(), 2);
	assert_true(region_map_is_durable(&map, 10, 12));
}

/* ---- the write-intent map ---- */

static struct intent intent;
static void *intent_memory;

static void intent_begin(void)
{
	intent_memory = malloc(intent_memory_size(SECTORS));
	intent_init(&intent, 7, SECTORS, intent_memory);
}

static void intent_flush_blocks(void)
{
	uint8_t bytes[REGION_MAP_BLOCK_SIZE];
	int64_t block;

	while ((block = region_map_take_block(&intent.map, bytes)) >= 0)
		region_map_block_written(&intent.map, (uint64_t)block, bytes, true);
}

static void bit_goes_only_after_both_have_flushed(void **state)
{
	uint64_t now = SECOND;

	(void)state;
	intent_begin();
	assert_false(intent_begin_write(&intent, 5, 1, now));
	assert_false(intent_may_write(&intent, 5, 1));
	intent_flush_blocks();
	assert_true(intent_may_write(&intent, 5, 1));
	now += 2 * INTENT_IDLE_NS;
	assert_true(intent_round_is_due(&intent, now));
	intent_round_begin(&intent, now);
	assert_true(intent_begin_write(&intent, 5, 1, now)); /* written again meanwhile */
	now += 2 * INTENT_IDLE_NS;
	intent_round_end(&intent, now);
	assert_true(region_map_get(&intent.map, 5));
	now += INTENT_ROUND_NS;
	intent_round_begin(&intent, now);
	intent_round_abort(&intent, now); /* the flush failed */
	assert_true(region_map_get(&intent.map, 5));
	now += INTENT_ROUND_NS;
	intent_round_begin(&intent, now);
	intent_touch(&intent, 5, 1); /* begun before, not finished */
	intent_round_end(&intent, now);
	assert_true(region_map_get(&intent.map, 5));
	now += INTENT_ROUND_NS;
	intent_round_begin(&intent, now);
	assert_true(intent_round_end(&intent, now) > 0);
	assert_int_equal(intent.map.set_count, 0);
	assert_false(intent_may_write(&intent, 5, 1)); /* not even before the clearing is on disk */
	free(intent_memory);
}

enum load { LOAD_HOT, LOAD_RANDOM, LOAD_SEQUENTIAL, LOAD_BURSTS };

/* Runs `count` writes at 5,000 a second; returns how many blocks of the map they cost. */
static uint64_t blocks_of_load(enum load kind, uint64_t count, uint64_t *now)
{
	uint64_t before = intent.map.blocks_written;

	for (uint64_t i = 0; i < count; i++) {
		uint64_t region = i % 30;

		if (kind == LOAD_RANDOM)
			region = random_below(REGIONS);
		else if (kind == LOAD_SEQUENTIAL)
			region = i * 2 % REGIONS;
		else if (kind == LOAD_BURSTS)
			region = random_below(10) * 9000 + i / 20000 * 500 % 9000;
		*now += SECOND / 5000;
		if (!intent_begin_write(&intent, region, min_u64(2, REGIONS - region), *now)) {
			intent_flush_blocks();
			assert_true(intent_may_write(&intent, region, min_u64(2, REGIONS - region)));
		}
		if (intent_round_is_due(&intent, *now)) {
			intent_round_begin(&intent, *now);
		} else if (intent.in_round && i % 700 == 0) {
			intent_round_end(&intent, *now);
			intent_flush_blocks();
		}
	}
	return intent.map.blocks_written - before;
}

static void steady_load_costs_under_one_block_in_a_thousand_writes(void **state)
{
	(void)state;
	for (int kind = LOAD_HOT; kind <= LOAD_BURSTS; kind++) {
		uint64_t now = SECOND;
		uint64_t blocks;

		intent_begin();
		blocks_of_load((enum load)kind, 20000, &now);
		blocks = blocks_of_load((enum load)kind, 500000, &now);
		print_message("load %d: %lu blocks for 500000 writes, %lu bits stay\n", kind, blocks,
			      intent.map.set_count);
		assert_true(blocks < 500);
		if (kind == LOAD_HOT)
			assert_true(intent.map.set_count < REGION_MAP_SECTOR_REGIONS);
		/* When nobody writes any more, nothing stays. */
		now += INTENT_IDLE_NS + INTENT_ROUND_NS;
		if (intent.in_round)
			intent_round_abort(&intent, 0);
		assert_true(intent_round_is_due(&intent, now));
		intent_round_begin(&intent, now);
		intent_round_end(&intent, now);
		assert_int_equal(intent.map.set_count, 0);
		free(intent_memory);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(bits_survive, begin, end),
		cmocka_unit_test_setup_teardown(only_changed_blocks_are_written, begin, end),
		cmocka_unit_test_setup_teardown(what_is_not_ours_counts_as_all_set, begin, end),
		cmocka_unit_test_setup_teardown(durable_means_on_disk_whatever_happens, begin, end),
		cmocka_unit_test_setup_teardown(union_loses_nothing, begin, end),
		cmocka_unit_test(bit_goes_only_after_both_have_flushed),
		cmocka_unit_test(steady_load_costs_under_one_block_in_a_thousand_writes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
