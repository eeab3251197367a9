/* SPDX-License-Identifier: Apache-2.0 */
/* A bit for each region, in memory and on disk; see region_map.h. */
#include "mirror/region_map.h"

#include <errno.h>
#include <string.h>

#include "include/assert.h"
#include "include/byte_order.h"
#include "include/crc32c.h"

#define REGION_MAP_CHANGED UINT8_C(1)
#define REGION_MAP_WRITING UINT8_C(2)

#define BLOCK_WORDS (REGION_MAP_BLOCK_REGIONS / 64)
#define SECTOR_WORDS (REGION_MAP_SECTOR_REGIONS / 64)

BUILD_ASSERT(REGION_MAP_SECTOR_REGIONS % 64 == 0);

static uint64_t block_count_of(uint64_t sector_count)
{
	return (mirror_region_count(sector_count) + REGION_MAP_BLOCK_REGIONS - 1) / REGION_MAP_BLOCK_REGIONS;
}

uint64_t region_map_size(uint64_t sector_count)
{
	return block_count_of(sector_count) * REGION_MAP_BLOCK_SIZE;
}

uint64_t region_map_memory_size(uint64_t sector_count)
{
	return block_count_of(sector_count) * (2 * BLOCK_WORDS * sizeof(uint64_t) + 8);
}

void region_map_init(struct region_map *map, uint64_t identity, uint64_t sector_count, void *memory)
{
	ASSERT(sector_count > 0);
	ASSERT(sector_count <= REGION_MAP_SECTOR_COUNT_MAX);
	memset(map, 0, sizeof(*map));
	map->identity = identity;
	map->region_count = mirror_region_count(sector_count);
	map->block_count = block_count_of(sector_count);
	map->bits = memory;
	map->durable = map->bits + map->block_count * BLOCK_WORDS;
	map->states = (uint8_t *)(map->durable + map->block_count * BLOCK_WORDS);
	memset(memory, 0, region_map_memory_size(sector_count));
}

static void block_mark(struct region_map *map, uint64_t block)
{
	if (map->states[block] == 0)
		map->pending_count++;
	map->states[block] |= REGION_MAP_CHANGED;
}

void region_map_format(struct region_map *map)
{
	for (uint64_t block = 0; block < map->block_count; block++)
		block_mark(map, block);
}

bool region_map_get(const struct region_map *map, uint64_t region)
{
	ASSERT(region < map->region_count);
	return map->bits[region / 64] & BIT(region % 64);
}

/* The bits of word `word` that belong to [first, end). */
static uint64_t word_mask(uint64_t word, uint64_t first, uint64_t end)
{
	uint64_t mask = UINT64_MAX;

	if (first > word * 64)
		mask &= UINT64_MAX << (first - word * 64);
	if (end < (word + 1) * 64)
		mask &= BIT(end - word * 64) - 1;
	return mask;
}

uint64_t region_map_set_range(struct region_map *map, uint64_t first, uint64_t count)
{
	uint64_t added_total = 0;

	ASSERT(range_fits(first, count, map->region_count));
	for (uint64_t word = first / 64; word * 64 < first + count; word++) {
		uint64_t added = word_mask(word, first, first + count) & ~map->bits[word];

		if (added == 0)
			continue;
		map->bits[word] |= added;
		added_total += (uint64_t)__builtin_popcountll(added);
		block_mark(map, word / BLOCK_WORDS);
	}
	map->set_count += added_total;
	return added_total;
}

void region_map_clear(struct region_map *map, uint64_t region)
{
	if (!region_map_get(map, region))
		return;
	map->bits[region / 64] &= ~BIT(region % 64);
	map->set_count--;
	block_mark(map, region / REGION_MAP_BLOCK_REGIONS);
}

void region_map_clear_all(struct region_map *map)
{
	for (uint64_t region = region_map_next(map, 0); region < map->region_count;
	     region = region_map_next(map, region + 1))
		region_map_clear(map, region);
}

bool region_map_is_durable(const struct region_map *map, uint64_t first, uint64_t count)
{
	ASSERT(range_fits(first, count, map->region_count));
	for (uint64_t word = first / 64; word * 64 < first + count; word++)
		if (word_mask(word, first, first + count) & ~(map->durable[word] & map->bits[word]))
			return false;
	return true;
}

void region_map_merge(struct region_map *map, const struct region_map *from)
{
	ASSERT(map->region_count == from->region_count);
	for (uint64_t word = 0; word < map->block_count * BLOCK_WORDS; word++) {
		uint64_t added = from->bits[word] & ~map->bits[word];

		if (added == 0)
			continue;
		map->bits[word] |= added;
		map->set_count += (uint64_t)__builtin_popcountll(added);
		block_mark(map, word / BLOCK_WORDS);
	}
}

uint64_t region_map_next(const struct region_map *map, uint64_t from)
{
	for (uint64_t word = from / 64; from < map->region_count && word * 64 < map->region_count; word++) {
		uint64_t found = map->bits[word] & word_mask(word, from, map->region_count);

		if (found)
			return word * 64 + (uint64_t)__builtin_ctzll(found);
	}
	return map->region_count;
}

/* Seeded with what the sector is, so that one from elsewhere is not believed. */
static uint32_t sector_checksum(const struct region_map *map, const uint8_t *sector)
{
	uint32_t crc = crc32c(0, &map->identity, sizeof(map->identity));

	return crc32c(crc, sector + 4, MIRROR_SECTOR_SIZE - 4);
}

bool region_map_sector_is_sound(const struct region_map *map, uint64_t index, const uint8_t *sector)
{
	return load_le32(sector) == sector_checksum(map, sector) && load_le32(sector + 4) == index;
}

/* The last map sectors may stand for no region at all: `mask` is 0 there. */
static void sector_load(struct region_map *map, uint64_t index, const uint8_t *sector)
{
	uint64_t first = index * REGION_MAP_SECTOR_REGIONS;
	uint64_t *bits = map->bits + index * SECTOR_WORDS;
	bool good = sector && region_map_sector_is_sound(map, index, sector);

	if (!good)
		map->damaged_sectors++;
	for (uint64_t word = 0; word < SECTOR_WORDS; word++) {
		uint64_t begin = first + word * 64;
		uint64_t mask =
			begin < map->region_count ? word_mask(begin / 64, begin, map->region_count) : 0;

		bits[word] =
			mask & (good ? load_le64(sector + REGION_MAP_SECTOR_HEADER + word * 8) : UINT64_MAX);
		map->durable[index * SECTOR_WORDS + word] = good ? bits[word] : 0;
		map->set_count += (uint64_t)__builtin_popcountll(bits[word]);
	}
	if (!good)
		block_mark(map, index / REGION_MAP_BLOCK_SECTORS);
}

void region_map_load_block(struct region_map *map, uint64_t block, const uint8_t *bytes)
{
	ASSERT(block < map->block_count);
	for (uint64_t i = 0; i < REGION_MAP_BLOCK_SECTORS; i++)
		sector_load(map, block * REGION_MAP_BLOCK_SECTORS + i,
			    bytes ? bytes + i * MIRROR_SECTOR_SIZE : NULL);
}

static void block_seal(const struct region_map *map, uint64_t block, uint8_t *bytes)
{
	for (uint64_t i = 0; i < REGION_MAP_BLOCK_SECTORS; i++) {
		uint64_t index = block * REGION_MAP_BLOCK_SECTORS + i;
		uint8_t *sector = bytes + i * MIRROR_SECTOR_SIZE;

		memcpy(sector + REGION_MAP_SECTOR_HEADER, map->bits + index * SECTOR_WORDS,
		       SECTOR_WORDS * sizeof(uint64_t));
		store_le32(sector + 4, (uint32_t)index);
		store_le32(sector, sector_checksum(map, sector));
	}
}

bool region_map_get_block(const struct region_map *map, uint64_t block, uint8_t *bytes)
{
	uint64_t any = 0;

	ASSERT(block < map->block_count);
	for (uint64_t word = block * BLOCK_WORDS; word < (block + 1) * BLOCK_WORDS; word++)
		any |= map->bits[word];
	if (any)
		block_seal(map, block, bytes);
	return any;
}

/* From here on the disk may hold the old block or the new one: only bits in both are sure. */
static void block_doubt(struct region_map *map, uint64_t block)
{
	uint64_t *durable = map->durable + block * BLOCK_WORDS;
	const uint64_t *bits = map->bits + block * BLOCK_WORDS;

#pragma GCC unroll 8
	for (uint64_t word = 0; word < BLOCK_WORDS; word++)
		durable[word] &= bits[word];
}

int64_t region_map_take_block(struct region_map *map, uint8_t *bytes)
{
	if (map->pending_count == 0)
		return -ENOENT;
	for (uint64_t i = 0; i < map->block_count; i++) {
		uint64_t block = (map->next_block + i) % map->block_count;

		if (map->states[block] != REGION_MAP_CHANGED)
			continue;
		map->states[block] = REGION_MAP_WRITING;
		map->next_block = (block + 1) % map->block_count;
		block_seal(map, block, bytes);
		block_doubt(map, block);
		return (int64_t)block;
	}
	return -ENOENT;
}

void region_map_block_written(struct region_map *map, uint64_t block, const uint8_t *bytes, bool good)
{
	ASSERT(block < map->block_count);
	ASSERT(map->states[block] & REGION_MAP_WRITING);
	map->states[block] &= (uint8_t)~REGION_MAP_WRITING;
	if (good) {
		for (uint64_t i = 0; i < REGION_MAP_BLOCK_SECTORS; i++)
			memcpy(map->durable + block * BLOCK_WORDS + i * SECTOR_WORDS,
			       bytes + i * MIRROR_SECTOR_SIZE + REGION_MAP_SECTOR_HEADER,
			       SECTOR_WORDS * sizeof(uint64_t));
		map->blocks_written++;
	} else {
		map->states[block] |= REGION_MAP_CHANGED;
	}
	if (map->states[block] == 0)
		map->pending_count--;
}
