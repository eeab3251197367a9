/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One bit for each 64 KiB region of a mirrored disk, in the state partition. Two of
 * them for each set: the dirty map (regions that the other disk lacks) and the
 * write-intent map (regions that are being written in duplex, intent.h).
 *
 *     block, 4 KiB, written as a whole      8 map sectors of 512 bytes
 *     map sector                            CRC-32C (4), index (4), 4032 bits
 *
 * Each map sector stands for itself: after a torn write of a block each is the old
 * one or the new one. One that is damaged, or of another map, counts as all ones: at
 * worst more is copied than needed.
 *
 * The map in memory runs ahead of the one on disk. A set bit counts only when it is
 * durable (region_map_is_durable), whatever happens to writes that are under way; so
 * a caller sets bits, has the changed blocks written, and only then writes the region.
 *
 *     region_map_set_range ---> region_map_take_block ---> disk ---> region_map_block_written
 *
 * Memory comes from the owner for ever; no other pointers.
 */
#ifndef MIRROR_REGION_MAP_H
#define MIRROR_REGION_MAP_H

#include "mirror/mirror.h"

#define REGION_MAP_BLOCK_SIZE (4 * KIB)
#define REGION_MAP_SECTOR_HEADER 8
#define REGION_MAP_SECTOR_REGIONS (8 * (MIRROR_SECTOR_SIZE - REGION_MAP_SECTOR_HEADER))
#define REGION_MAP_BLOCK_SECTORS (REGION_MAP_BLOCK_SIZE / MIRROR_SECTOR_SIZE)
#define REGION_MAP_BLOCK_REGIONS (REGION_MAP_BLOCK_SECTORS * REGION_MAP_SECTOR_REGIONS)
#define REGION_MAP_SECTOR_COUNT_MAX (BIT(46) / MIRROR_SECTOR_SIZE) /* disks up to 64 TiB */

BUILD_ASSERT(REGION_MAP_SECTOR_REGIONS == 4032);
BUILD_ASSERT(REGION_MAP_BLOCK_REGIONS % 64 == 0);

struct region_map {
	uint64_t identity; /* of this map: of another one's sectors the checksum is wrong */
	uint64_t region_count;
	uint64_t block_count;
	uint64_t set_count;	  /* bits that are set in `bits` */
	uint64_t pending_count;	  /* blocks that are changed or being written */
	uint64_t next_block;	  /* where take_block looks first: each gets its turn */
	uint64_t damaged_sectors; /* counted by region_map_load_block */
	uint64_t blocks_written;
	/* The owner's memory. */
	uint64_t *bits;	   /* as it should be */
	uint64_t *durable; /* set here: surely set on disk */
	uint8_t *states;   /* for each block: REGION_MAP_CHANGED, REGION_MAP_WRITING */
};

/* Bytes on disk of the map of a disk of `sector_count` sectors. */
uint64_t region_map_size(uint64_t sector_count);
/* Bytes of memory that the owner gives, aligned to 8. */
uint64_t region_map_memory_size(uint64_t sector_count);

/* All bits clear, no block known to be on disk: all are to be loaded, or written. */
void region_map_init(struct region_map *map, uint64_t identity, uint64_t sector_count, void *memory);
/* A new map: every block is to be written. */
void region_map_format(struct region_map *map);
/* A block as read from disk; `bytes` NULL: it could not be read. Each block once, after init. */
void region_map_load_block(struct region_map *map, uint64_t block, const uint8_t *bytes);

bool region_map_get(const struct region_map *map, uint64_t region);
/* Returns how many bits were not set before. */
uint64_t region_map_set_range(struct region_map *map, uint64_t first, uint64_t count);
void region_map_clear(struct region_map *map, uint64_t region);
void region_map_clear_all(struct region_map *map);
/* Are all these bits set, and surely so on disk? Then the regions may be written. */
bool region_map_is_durable(const struct region_map *map, uint64_t first, uint64_t count);
/* Is the map in memory, as a whole, the one on disk? */
static inline bool region_map_is_settled(const struct region_map *map)
{
	return map->pending_count == 0;
}

/* Adds all bits of `from`, a map of the same number of regions. */
void region_map_merge(struct region_map *map, const struct region_map *from);
/* The first set region at or behind `from`; region_count: none. */
uint64_t region_map_next(const struct region_map *map, uint64_t from);

/*
 * A block that is to be written and is not being written now: fills `bytes`
 * (REGION_MAP_BLOCK_SIZE) and returns its index, -ENOENT when there is none. It goes
 * to byte index * REGION_MAP_BLOCK_SIZE of the map, durably. `bytes` is kept until
 * region_map_block_written.
 */
int64_t region_map_take_block(struct region_map *map, uint8_t *bytes);
/* A block as it should be, for somebody else; false: nothing is set in it. */
bool region_map_get_block(const struct region_map *map, uint64_t block, uint8_t *bytes);
/* Is map sector `index` as a map of the same identity holds it? Else all of it counts as set. */
bool region_map_sector_is_sound(const struct region_map *map, uint64_t index, const uint8_t *sector);
/* The write of `bytes` ended, or failed and will be tried again: then nobody knows what is on disk. */
void region_map_block_written(struct region_map *map, uint64_t block, const uint8_t *bytes, bool good);

#endif
