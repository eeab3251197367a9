/* SPDX-License-Identifier: Apache-2.0 */
/* Which regions may differ after a crash; see intent.h. */
#include "mirror/intent.h"

#include <string.h>

#include "include/assert.h"

#define WINDOW_MAX REGION_MAP_SECTOR_REGIONS
#define BUDGET_MAX (16 * INTENT_WRITES_PER_BLOCK)
/* Clearing costs a block, and most likely another one later to set bits again. */
#define CLEAR_COST (2 * INTENT_WRITES_PER_BLOCK)

static uint64_t touched_words(uint64_t sector_count)
{
	return (mirror_region_count(sector_count) + 63) / 64;
}

uint64_t intent_memory_size(uint64_t sector_count)
{
	return region_map_memory_size(sector_count) + touched_words(sector_count) * sizeof(uint64_t);
}

void intent_init(struct intent *intent, uint64_t identity, uint64_t sector_count, void *memory)
{
	memset(intent, 0, sizeof(*intent));
	region_map_init(&intent->map, identity, sector_count, memory);
	intent->touched = (uint64_t *)((uint8_t *)memory + region_map_memory_size(sector_count));
	memset(intent->touched, 0, touched_words(sector_count) * sizeof(uint64_t));
	intent->window = 1;
}

void intent_touch(struct intent *intent, uint64_t first, uint64_t count)
{
	ASSERT(range_fits(first, count, intent->map.region_count));
	for (uint64_t region = first; region < first + count; region++)
		intent->touched[region / 64] |= BIT(region % 64);
}

/* Takes from the budget what map blocks have cost since the last time. */
static void budget_settle(struct intent *intent)
{
	uint64_t blocks = intent->map.blocks_written - intent->blocks_paid;

	intent->blocks_paid = intent->map.blocks_written;
	intent->budget -= (int64_t)(blocks * INTENT_WRITES_PER_BLOCK);
}

/*
 * Sets missing bits and their neighbours behind them, for a load that goes upwards.
 * Twice as many each time that the budget does not cover the block this will cost.
 */
static void bits_set(struct intent *intent, uint64_t first, uint64_t count)
{
	uint64_t end = first + count;

	if (intent->budget < INTENT_WRITES_PER_BLOCK)
		intent->window = min_u64(2 * intent->window, WINDOW_MAX);
	else
		intent->window = max_u64(intent->window / 2, 1);
	end = min_u64(max_u64(end, first + intent->window), intent->map.region_count);
	region_map_set_range(&intent->map, first, end - first);
}

bool intent_begin_write(struct intent *intent, uint64_t first, uint64_t count, uint64_t now_ns)
{
	intent->writes++;
	intent->last_write_ns = now_ns;
	intent_touch(intent, first, count);
	budget_settle(intent);
	if (intent->budget < BUDGET_MAX)
		intent->budget++;
	if (region_map_is_durable(&intent->map, first, count))
		return true;
	for (uint64_t region = first; region < first + count; region++)
		if (!region_map_get(&intent->map, region)) {
			bits_set(intent, region, first + count - region);
			break;
		}
	return false;
}

bool intent_round_is_due(const struct intent *intent, uint64_t now_ns)
{
	bool idle = now_ns >= intent->last_write_ns + INTENT_IDLE_NS;

	if (intent->in_round || intent->map.set_count == 0 || now_ns < intent->round_ns + INTENT_ROUND_NS)
		return false;
	return idle || intent->budget >= CLEAR_COST;
}

void intent_round_begin(struct intent *intent, uint64_t now_ns)
{
	ASSERT(!intent->in_round);
	intent->in_round = true;
	intent->round_ns = now_ns;
	memset(intent->touched, 0, (intent->map.region_count + 63) / 64 * sizeof(uint64_t));
}

/* Clears what was not touched among the regions [region, end). Did any go? */
static bool block_clear(struct intent *intent, uint64_t region, uint64_t end)
{
	bool any = false;

	for (; region < end; region = region_map_next(&intent->map, region + 1)) {
		if (intent->touched[region / 64] & BIT(region % 64))
			continue;
		region_map_clear(&intent->map, region);
		any = true;
	}
	return any;
}

uint64_t intent_round_end(struct intent *intent, uint64_t now_ns)
{
	bool idle = now_ns >= intent->last_write_ns + INTENT_IDLE_NS;
	uint64_t before = intent->map.set_count;
	uint64_t region = region_map_next(&intent->map, 0);
	int64_t budget;

	ASSERT(intent->in_round);
	intent->in_round = false;
	intent->round_ns = now_ns;
	budget_settle(intent);
	for (budget = intent->budget; region < intent->map.region_count && (idle || budget >= CLEAR_COST);) {
		uint64_t block_end = (region / REGION_MAP_BLOCK_REGIONS + 1) * REGION_MAP_BLOCK_REGIONS;

		block_end = min_u64(block_end, intent->map.region_count);
		if (block_clear(intent, region, block_end))
			budget -= CLEAR_COST;
		region = region_map_next(&intent->map, block_end);
	}
	return before - intent->map.set_count;
}

void intent_round_abort(struct intent *intent, uint64_t now_ns)
{
	intent->in_round = false;
	intent->round_ns = now_ns;
}
