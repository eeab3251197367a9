/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What two servers say to each other of their mirrored disks, on a stream of its own
 * that is reliable and in order: a header, a fixed part by type, and perhaps data.
 * Little-endian. mirror_message_check() is the one gate: what it lets through has the
 * size its type demands, and ranges, indexes and states that exist.
 *
 *     meeting        METADATA, MAP ..., MAPS_END         each tells all it remembers
 *     a disk         STATE                               changed, as its server or the leader sees it
 *     over the link  WRITE, READ, FLUSH  -> DONE, DATA   on the other server's disk
 *     copying        COMPARE, COPY       -> COPIED       one region, as of a request number
 *     duplex         PROGRESS                            up to which request all has ended here
 *
 * What asks for an answer carries an id of the asker's, at most MIRROR_MESSAGE_ASKED_MAX
 * of them at a time: so the answering side has room for all of them from the start.
 */
#ifndef MIRROR_MESSAGE_H
#define MIRROR_MESSAGE_H

#include "mirror/metadata.h"
#include "mirror/region_map.h"

#define MIRROR_MESSAGE_ASKED_MAX 32

enum mirror_message_type {
	MIRROR_MESSAGE_METADATA = 1, /* struct mirror_message_metadata, then the record */
	MIRROR_MESSAGE_MAP,	     /* struct mirror_message_map, then a block of it */
	MIRROR_MESSAGE_MAPS_END,     /* those were all the blocks, of all sets, that are not zero */
	MIRROR_MESSAGE_STATE,
	MIRROR_MESSAGE_WRITE, /* struct mirror_message_io, then the data */
	MIRROR_MESSAGE_READ,  /* struct mirror_message_io */
	MIRROR_MESSAGE_FLUSH, /* struct mirror_message_io, its range empty */
	MIRROR_MESSAGE_DONE, /* struct mirror_message_done: of WRITE, FLUSH, COPY, COMPARE, or of a failed READ */
	MIRROR_MESSAGE_DATA,	/* struct mirror_message_done, then what READ asked for */
	MIRROR_MESSAGE_COMPARE, /* struct mirror_message_copy */
	MIRROR_MESSAGE_COPY,	/* struct mirror_message_copy, then the region */
	MIRROR_MESSAGE_PROGRESS,
	MIRROR_MESSAGE_TYPE_COUNT,
};

struct mirror_message_header {
	uint8_t type; /* enum mirror_message_type */
	uint8_t set;  /* index; 0 in METADATA and MAPS_END */
	uint16_t reserved;
	uint32_t size; /* bytes of what follows */
};

struct mirror_message_metadata {
	uint8_t disk_present; /* bit of each set: its disk is there, and the one that belongs there */
	uint8_t reserved[7];
};

enum mirror_map_kind {
	MIRROR_MAP_DIRTY,
	MIRROR_MAP_INTENT,
	MIRROR_MAP_KIND_COUNT,
};

struct mirror_message_map {
	uint64_t block;
	uint8_t kind; /* enum mirror_map_kind */
	uint8_t reserved[7];
};

struct mirror_message_state {
	uint8_t server; /* 0: a, 1: b: whose disk */
	uint8_t state;	/* enum mirror_disk_state */
	uint8_t reserved[6];
};

struct mirror_message_io {
	uint64_t sector;
	uint64_t number; /* READ in duplex: the data as of this request of the guest; else 0 */
	uint32_t sector_count;
	uint32_t id;
};

/* What came of it. */
enum mirror_outcome {
	MIRROR_OUTCOME_GOOD,
	MIRROR_OUTCOME_DIFFERS, /* of COMPARE */
	MIRROR_OUTCOME_AGAIN,	/* of COPY and COMPARE: a later request has begun to write there */
	MIRROR_OUTCOME_ERROR,	/* of the disk: `error` */
	MIRROR_OUTCOME_COUNT,
};

struct mirror_message_done {
	uint32_t id;
	uint32_t outcome; /* enum mirror_outcome; DATA: GOOD */
	uint32_t error;	  /* ERROR: errno, positive, below MIRROR_MESSAGE_ERROR_MAX; else 0 */
	uint32_t reserved;
};

#define MIRROR_MESSAGE_ERROR_MAX 4096

struct mirror_message_copy {
	uint64_t region;
	uint64_t number; /* holds all writes of requests up to this one, and none of later ones */
	uint32_t id;
	uint32_t crc32c; /* COMPARE: of the region on the asker's disk */
};

struct mirror_message_progress {
	uint64_t number;
};

BUILD_ASSERT(sizeof(struct mirror_message_header) == 8);
BUILD_ASSERT(sizeof(struct mirror_message_metadata) == 8);
BUILD_ASSERT(sizeof(struct mirror_message_map) == 16);
BUILD_ASSERT(sizeof(struct mirror_message_state) == 8);
BUILD_ASSERT(sizeof(struct mirror_message_io) == 24);
BUILD_ASSERT(sizeof(struct mirror_message_done) == 16);
BUILD_ASSERT(sizeof(struct mirror_message_copy) == 24);
BUILD_ASSERT(sizeof(struct mirror_message_progress) == 8);
BUILD_ASSERT(MIRROR_SET_MAX <= 8);

/* Header and fixed part, whatever the type. */
struct mirror_message {
	struct mirror_message_header header;
	union {
		struct mirror_message_metadata metadata;
		struct mirror_message_map map;
		struct mirror_message_state state;
		struct mirror_message_io io;
		struct mirror_message_done done;
		struct mirror_message_copy copy;
		struct mirror_message_progress progress;
	};
};

#define MIRROR_MESSAGE_FIXED_MAX sizeof(struct mirror_message)
#define MIRROR_MESSAGE_DATA_MAX MIRROR_REGION_SIZE

/* Bytes of header and fixed part of a type; 0: no such type. */
uint64_t mirror_message_fixed_size(uint8_t type);

/* Fills in the header's size for `data_size` bytes of data behind it; returns the fixed part's bytes. */
uint64_t mirror_message_seal(struct mirror_message *message, uint64_t data_size);

/* Bytes of data behind a message that the check has let through. */
uint64_t mirror_message_data_size(const struct mirror_message *message);

/*
 * What comes next on the stream? Copies header and fixed part out and returns their
 * bytes; 0: `size` bytes do not hold them yet; -EINVAL: what no sound peer sends.
 * `sector_counts`: of each set, 0: there is none. Nothing has to be there of the data.
 */
int64_t mirror_message_check(const uint8_t *bytes, uint64_t size,
			     const uint64_t sector_counts[MIRROR_SET_MAX], struct mirror_message *message);

#endif
