/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one server remembers of its pair and its mirror sets: one record in the state
 * partition of its boot disk. The mirrored disks themselves hold no metadata.
 *
 *     0        first copy of the record       METADATA_SIZE
 *     64 KiB   second copy                    METADATA_SIZE
 *     128 KiB  maps: of each set a dirty map, then a write-intent map (region_map.h)
 *
 * A new record goes over the older copy, numbered one higher, and is in force when
 * that write is durable. The checksum covers all of it: a torn write leaves a copy
 * that is not believed, beside the one before it, which is. The disk is told to write
 * through (or is flushed) before anything that depends on the record happens.
 *
 * Little-endian, the same in memory as on disk.
 */
#ifndef MIRROR_METADATA_H
#define MIRROR_METADATA_H

#include "mirror/mirror.h"

#define METADATA_MAGIC UINT64_C(0x54415453454b4f59) /* "YOKESTAT" */
#define METADATA_VERSION 1
#define METADATA_SIZE (8 * KIB)
#define METADATA_COPY_COUNT 2
#define METADATA_COPY_DISTANCE (64 * KIB)
#define METADATA_MAPS_OFFSET (128 * KIB)
#define METADATA_HISTORY_MAX 64
#define METADATA_FAULT_MAX 16
#define METADATA_REASON_SIZE 128

/*
 * One stretch of the pair's life in which the disks were written. Two servers were
 * together in those that both remember with equal number and token; the token is
 * drawn at random by who begins the era, so that two eras which both servers began
 * alone are never taken for one.
 */
struct metadata_era {
	uint64_t generation;
	uint64_t token;
	uint8_t alone;	    /* one server wrote alone */
	uint8_t changed;    /* ALONE: some disk was written; durable before the first write */
	uint8_t server;	    /* ALONE: who, 0: a, 1: b */
	uint8_t overridden; /* an administrator made it go on, not knowing of the other */
	uint8_t reserved[4];
};

/* Laid out as lockstep/pair.h's struct pair_durable, and opaque here. */
struct metadata_pair {
	uint64_t generation;
	uint8_t state;
	uint8_t was_leader;
	uint8_t reserved[6];
};

/* Is a remirror of all regions, that an administrator asked for, under way? Each server remembers it. */
enum metadata_full_copy {
	METADATA_FULL_NONE,
	METADATA_FULL_BEGINS,  /* the dirty map is not durable yet: all regions are to be copied */
	METADATA_FULL_GOES_ON, /* what is left is in the dirty map */
	METADATA_FULL_COUNT,
};

struct metadata_set {
	uint64_t identity;		   /* 0: no such set */
	uint64_t sector_count;		   /* of the set: the smaller disk's */
	char serials[2][MIRROR_TEXT_SIZE]; /* of a's and of b's disk; "" when not known */
	uint64_t disk_sector_counts[2];
	uint8_t disk_states[2];	      /* enum mirror_disk_state, of a's and of b's disk as we know it */
	uint8_t full_copy;	      /* enum metadata_full_copy */
	uint8_t remirror_source;      /* 0: a, 1: b; where a disk is REMIRRORING */
	uint32_t verified_unreadable; /* as below: regions that one disk could not read */
	uint64_t remirror_total; /* regions that it began with: its progress is what the dirty map still holds
				  */
	uint64_t dirty_map_offset; /* bytes from the partition's start */
	uint64_t intent_map_offset;
	uint64_t map_size;	      /* bytes, of each of the two */
	uint64_t verified_time_s;     /* when the last whole verify ended; the server's clock, 0: never */
	uint64_t verified_mismatches; /* of that pass */
};

enum metadata_fault_kind {
	METADATA_FAULT_NONE,
	METADATA_FAULT_READ,
	METADATA_FAULT_WRITE,
	METADATA_FAULT_FLUSH,
	METADATA_FAULT_TIMEOUT,
	METADATA_FAULT_GONE,
	METADATA_FAULT_MISMATCH,
	METADATA_FAULT_KIND_COUNT,
};

/* A fault that stays shown until it is repaired, also across restarts. */
struct metadata_fault {
	uint64_t time_s;
	uint64_t sector; /* the first one */
	uint32_t count;	 /* how often since */
	uint8_t set;	 /* index */
	uint8_t server;	 /* 0: a, 1: b: whose disk */
	uint8_t kind;	 /* enum metadata_fault_kind */
	uint8_t reserved;
};

struct metadata {
	/* These five stay where they are in every version. */
	uint64_t magic;
	uint32_t version;
	uint32_t crc32c;   /* of `size` bytes, with this field 0 */
	uint64_t sequence; /* 1, 2, 3 ...: the higher one is in force */
	uint32_t size;	   /* METADATA_SIZE */
	uint32_t reserved;

	uint64_t pair_identity; /* drawn at random when the pair was made; not 0 */
	uint8_t server;		/* 0: a, 1: b */
	uint8_t reserved2[3];
	uint32_t era_count;
	struct metadata_pair pair;
	struct metadata_era history[METADATA_HISTORY_MAX]; /* oldest first */
	struct metadata_set sets[MIRROR_SET_MAX];
	struct metadata_fault faults[METADATA_FAULT_MAX];
	/*
	 * Of the server, counted at each start and never below its clock in seconds: each start
	 * has a number that was never used before.
	 */
	uint64_t starts;
	/*
	 * Of each set, from its making on: 1: the guest reads and writes whole sectors of 4096
	 * bytes, so that disks of such may hold it. 0: of 512, as all sets once did.
	 */
	uint8_t large_sectors[MIRROR_SET_MAX];
	uint8_t reserved3[METADATA_SIZE - 72 - MIRROR_SET_MAX - METADATA_HISTORY_MAX * 24 -
			  MIRROR_SET_MAX * 184 - METADATA_FAULT_MAX * 24];
};

BUILD_ASSERT(sizeof(struct metadata_era) == 24);
BUILD_ASSERT(sizeof(struct metadata_pair) == 16);
BUILD_ASSERT(sizeof(struct metadata_set) == 184);
BUILD_ASSERT(sizeof(struct metadata_fault) == 24);
BUILD_ASSERT(offsetof(struct metadata, crc32c) == 12);
BUILD_ASSERT(offsetof(struct metadata, pair_identity) == 32);
BUILD_ASSERT(offsetof(struct metadata, history) == 64);
BUILD_ASSERT(sizeof(struct metadata) == METADATA_SIZE);

/* What a copy, or the partition as a whole, turned out to be. */
enum metadata_verdict {
	METADATA_GOOD,
	METADATA_MISSING,      /* no state partition, or it cannot be read, or it is too small */
	METADATA_BLANK,	       /* all zeros: a new partition, may be initialised */
	METADATA_UNFINISHED,   /* the very first write was torn: nothing was ever in force, may be initialised
				*/
	METADATA_FOREIGN,      /* something else is there */
	METADATA_OLDER,	       /* of a version that this build no longer reads */
	METADATA_NEWER,	       /* of a version that this build does not know yet */
	METADATA_CORRUPT,      /* ours, and damaged */
	METADATA_OTHER_PAIR,   /* whole, of another pair */
	METADATA_OTHER_SERVER, /* whole, of this pair's other server: boot disks are swapped */
	METADATA_VERDICT_COUNT,
};

struct metadata_choice {
	enum metadata_verdict verdict;
	uint32_t copy;			   /* GOOD: which is in force */
	bool copy_lost;			   /* GOOD: the other one is damaged: a torn write, or a bad sector */
	char reason[METADATA_REASON_SIZE]; /* one line for a person */
};

/* Only these may be written over without an administrator's word. */
static inline bool metadata_may_initialise(enum metadata_verdict verdict)
{
	return verdict == METADATA_BLANK || verdict == METADATA_UNFINISHED;
}

/* A first record. `pair_identity` 0: not drawn yet, and never sealed so. `server` 0 or 1. */
void metadata_init(struct metadata *metadata, uint64_t pair_identity, uint32_t server);

/*
 * Numbers the record one higher than `sequence` ever was and puts the checksum in;
 * returns at which byte of the partition it is to be written: over the older copy.
 */
uint64_t metadata_seal(struct metadata *metadata);

/* One copy: METADATA_SIZE bytes, any content. BLANK, FOREIGN, OLDER, NEWER, CORRUPT or GOOD. */
enum metadata_verdict metadata_decode(const uint8_t *bytes, struct metadata *metadata);

/*
 * Which of the two copies is in force? `copies[i]` NULL: cannot be read. `expected_pair`
 * 0: any. Fills `metadata` when GOOD, OTHER_PAIR or OTHER_SERVER. Writes nothing anywhere.
 */
void metadata_choose(const uint8_t *const copies[METADATA_COPY_COUNT], uint64_t expected_pair,
		     uint32_t expected_server, struct metadata *metadata, struct metadata_choice *choice);

/*
 * Adds a set of `sector_count` sectors behind the maps that are there. Returns its
 * index; -ENOSPC: no room in the record, or in `partition_size` bytes; -EEXIST.
 */
int metadata_set_add(struct metadata *metadata, uint64_t identity, uint64_t sector_count,
		     uint64_t partition_size);

/* A new era begins; the oldest is forgotten when there is no room. */
void metadata_era_begin(struct metadata *metadata, const struct metadata_era *era);
static inline struct metadata_era *metadata_era_now(struct metadata *metadata)
{
	return metadata->era_count ? &metadata->history[metadata->era_count - 1] : NULL;
}

/*
 * Remembers a fault. Returns true when it is a new one, which is an event; a repeated
 * one is counted only. With no room the oldest place goes.
 */
bool metadata_fault_add(struct metadata *metadata, const struct metadata_fault *fault);
/* Repaired: forgets that disk's faults of `kinds`, a bit of each kind. Returns how many there were. */
uint32_t metadata_fault_clear(struct metadata *metadata, uint32_t set, uint32_t server, uint32_t kinds);
#define METADATA_FAULT_ALL UINT32_MAX

/* "all zeros" ... */
const char *metadata_verdict_name(enum metadata_verdict verdict);

/*
 * Is the disk in the bay the one that the set remembers for `server`? NULL when it is,
 * or when the set knows none yet; else a reason that names what is there: too small, of larger
 * sectors, the other server's, another set's, or unknown. `own` is the server's index.
 */
#define METADATA_DISK_NEW "this disk is new here: `disk remirror` copies all of the set onto it"
const char *metadata_disk_refusal(const struct metadata *metadata, uint32_t set, uint32_t own,
				  const char *serial, uint64_t sector_count, bool large_sectors);
/* Of a disk that is refused: could it take the place of the one that was there? It is no other set's and has room. */
bool metadata_disk_may_replace(const struct metadata *metadata, uint32_t set, uint32_t own,
			       const char *serial, uint64_t sector_count, bool large_sectors);

#endif
