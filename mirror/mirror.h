/* SPDX-License-Identifier: Apache-2.0 */
/* Units and words that every part of the mirror shares; docs/MIRROR.md has the picture. */
#ifndef MIRROR_MIRROR_H
#define MIRROR_MIRROR_H

#include "include/bits.h"

#define MIRROR_SET_MAX 8		 /* mirror1 to mirror8 */
#define MIRROR_SECTOR_SIZE UINT64_C(512) /* bytes; the unit of every sector number in mirror/ */
#define MIRROR_LARGE_SECTOR_SIZE                                                                             \
	UINT64_C(4096) /* bytes; of disks whose sectors are not of MIRROR_SECTOR_SIZE */
#define MIRROR_LARGE_SECTOR_COUNT (MIRROR_LARGE_SECTOR_SIZE / MIRROR_SECTOR_SIZE)
#define MIRROR_REGION_SIZE (64 * KIB)
#define MIRROR_REGION_SECTORS (MIRROR_REGION_SIZE / MIRROR_SECTOR_SIZE)
#define MIRROR_TEXT_SIZE 48 /* serial numbers; as long as a disk driver's */

/* Whose disk, seen from one server. */
enum mirror_side {
	MIRROR_OWN,
	MIRROR_PEER,
	MIRROR_SIDE_COUNT,
};

/* One disk of a mirror set. Every change of it goes through mirror/set.c's table. */
enum mirror_disk_state {
	MIRROR_MISSING,	    /* not there, not answering, or another disk is in its place */
	MIRROR_GOOD,	    /* holds every write the guest was told is safe */
	MIRROR_REMIRRORING, /* gets new writes, and old ones from the other disk: not to be read */
	MIRROR_OUTDATED,    /* lacks writes that the other disk has */
	MIRROR_FAILED,	    /* had an error that was not repaired, or an administrator said so */
	MIRROR_DISK_STATE_COUNT,
};

static inline uint64_t mirror_region_count(uint64_t sector_count)
{
	return (sector_count + MIRROR_REGION_SECTORS - 1) / MIRROR_REGION_SECTORS;
}

/* Sectors of a region that is there: the last one of a disk may be short. */
static inline uint64_t mirror_region_sectors(uint64_t sector_count, uint64_t region)
{
	uint64_t left = sector_count - region * MIRROR_REGION_SECTORS;

	return left < MIRROR_REGION_SECTORS ? left : MIRROR_REGION_SECTORS;
}

#endif
