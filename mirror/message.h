/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What two servers say to each other of their mirrored disks, on a stream of its own
 * that is reliable and in order: a header, a fixed part by type, and perhaps data.
 * Little-endian. mirror_message_check() is the one gate: what it lets through has the
 * size its type demands, and ranges, indexes and states that exist.
 *
 *     meeting        METADATA; of who is behind: MAP ..., MAPS_END   each tells what it remembers
 *                    KEEP                                an administrator's word on the direction
 *     disks          STATES -> KEPT                      changed, as one server sees both; durable there, too
 *     over the link  WRITE, READ, FLUSH -> DONE, DATA    on the other server's disk
 *     copying        OFFER -> STAMP, COPY -> DONE        one region, as of a request number
 *                    OFFER -> STAMP, LEAVE               it is the same on both
 *     verifying      COMPARE -> STAMP, LEAVE             one region in duplex: it is the same on both
 *                    COMPARE -> STAMP, COPY -> DONE      it is not: the leader's is right
 *                    COMPARE -> STAMP, FETCH -> DATA     the leader cannot read it
 *                    COMPARE -> DONE                     not now
 *                    VERIFY, VERIFIED                    the follower asks for a pass; the leader has ended one
 *     joining        HISTORY                             the eras, with the one that both are to begin
 *     duplex         FAILED, PROGRESS                    what has not been done here; up to which request all has ended
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
	MIRROR_MESSAGE_MAPS_END,     /* those were all the blocks of this set that are not zero */
	MIRROR_MESSAGE_KEEP,	     /* struct mirror_message_keep */
	MIRROR_MESSAGE_STATES,
	MIRROR_MESSAGE_KEPT,
	MIRROR_MESSAGE_WRITE,	/* struct mirror_message_io, then the data */
	MIRROR_MESSAGE_READ,	/* struct mirror_message_io */
	MIRROR_MESSAGE_FLUSH,	/* struct mirror_message_io, its range empty */
	MIRROR_MESSAGE_DONE,	/* struct mirror_message_done: of WRITE, FLUSH, COPY, or of a failed READ */
	MIRROR_MESSAGE_DATA,	/* struct mirror_message_done, then what READ asked for */
	MIRROR_MESSAGE_OFFER,	/* struct mirror_message_offer */
	MIRROR_MESSAGE_STAMP,	/* struct mirror_message_stamp */
	MIRROR_MESSAGE_COPY,	/* struct mirror_message_copy, then the region */
	MIRROR_MESSAGE_LEAVE,	/* struct mirror_message_copy: not to be copied */
	MIRROR_MESSAGE_HISTORY, /* the record */
	MIRROR_MESSAGE_PROGRESS,
	MIRROR_MESSAGE_FAILED, /* struct mirror_message_progress: of this one, before the PROGRESS that covers it */
	MIRROR_MESSAGE_COMPARE, /* struct mirror_message_compare */
	MIRROR_MESSAGE_FETCH,	/* struct mirror_message_copy: the region, unlocked by this */
	MIRROR_MESSAGE_VERIFY,
	MIRROR_MESSAGE_VERIFIED, /* struct mirror_message_verified */
	MIRROR_MESSAGE_TYPE_COUNT,
};

struct mirror_message_header {
	uint8_t type; /* enum mirror_message_type */
	uint8_t set;  /* index; 0 in METADATA and HISTORY */
	uint16_t reserved;
	uint32_t size; /* bytes of what follows */
};

struct mirror_message_metadata {
	uint32_t meeting;     /* counted since the stream began: what follows belongs to this one */
	uint8_t disk_present; /* bit of each set: its disk is there, and the one that belongs there */
	uint8_t runs;	      /* 1: the guest runs here, and nowhere else */
	uint8_t reserved[2];
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

struct mirror_message_keep {
	uint8_t server; /* 0: a, 1: b: whose disk is right */
	uint8_t reserved[7];
};

struct mirror_message_states {
	uint8_t states[2]; /* enum mirror_disk_state, of a's and b's disk */
	uint8_t repeats;   /* 1: just what the other server said last */
	uint8_t reserved;
	uint32_t number; /* KEPT repeats it */
	uint32_t heard;	 /* number of the other server's last that was heard before this was said */
};

struct mirror_message_kept {
	uint32_t number;
	uint32_t reserved;
};

struct mirror_message_io {
	uint64_t sector;
	uint64_t number; /* of the guest's request; READ: the data as of it */
	uint32_t sector_count;
	uint32_t id;
};

/* What came of it. */
enum mirror_outcome {
	MIRROR_OUTCOME_GOOD,
	MIRROR_OUTCOME_AGAIN, /* of READ: a later request has begun to write there */
	MIRROR_OUTCOME_ERROR, /* of the disk: `error` */
	MIRROR_OUTCOME_COUNT,
};

struct mirror_message_done {
	uint32_t id;
	uint32_t outcome; /* enum mirror_outcome; DATA: GOOD */
	uint32_t error;	  /* ERROR: errno, positive, below MIRROR_MESSAGE_ERROR_MAX; else 0 */
	uint32_t reserved;
};

#define MIRROR_MESSAGE_ERROR_MAX 4096

struct mirror_message_offer {
	uint64_t region;
	uint32_t id;
	uint8_t compare; /* 1: the stamp is to carry a checksum */
	uint8_t reserved[3];
};

/* The region is locked: it holds all writes of requests up to `number`, and none of later ones. */
struct mirror_message_stamp {
	uint64_t number;
	uint32_t id;
	uint32_t crc32c;  /* of the region on this server's disk */
	uint8_t compared; /* 0: no checksum was asked for, or it cannot be read */
	uint8_t reserved[7];
};

struct mirror_message_copy {
	uint64_t region; /* the offered one, unlocked by this */
	uint32_t id;
	uint32_t reserved;
};

struct mirror_message_progress {
	uint64_t number;
};

/* To be locked with all writes of requests up to `number`, which are the guest's on both servers. */
struct mirror_message_compare {
	uint64_t region;
	uint64_t number;
	uint32_t id;
	uint32_t reserved;
};

struct mirror_message_verified {
	uint64_t mismatches; /* regions */
	uint64_t unreadable;
};

BUILD_ASSERT(sizeof(struct mirror_message_header) == 8);
BUILD_ASSERT(sizeof(struct mirror_message_metadata) == 8);
BUILD_ASSERT(sizeof(struct mirror_message_map) == 16);
BUILD_ASSERT(sizeof(struct mirror_message_keep) == 8);
BUILD_ASSERT(sizeof(struct mirror_message_states) == 12);
BUILD_ASSERT(sizeof(struct mirror_message_kept) == 8);
BUILD_ASSERT(sizeof(struct mirror_message_io) == 24);
BUILD_ASSERT(sizeof(struct mirror_message_done) == 16);
BUILD_ASSERT(sizeof(struct mirror_message_offer) == 16);
BUILD_ASSERT(sizeof(struct mirror_message_stamp) == 24);
BUILD_ASSERT(sizeof(struct mirror_message_copy) == 16);
BUILD_ASSERT(sizeof(struct mirror_message_progress) == 8);
BUILD_ASSERT(sizeof(struct mirror_message_compare) == 24);
BUILD_ASSERT(sizeof(struct mirror_message_verified) == 16);
BUILD_ASSERT(MIRROR_SET_MAX <= 8);

/* Header and fixed part, whatever the type. */
struct mirror_message {
	struct mirror_message_header header;
	union {
		struct mirror_message_metadata metadata;
		struct mirror_message_map map;
		struct mirror_message_keep keep;
		struct mirror_message_states states;
		struct mirror_message_kept kept;
		struct mirror_message_io io;
		struct mirror_message_done done;
		struct mirror_message_offer offer;
		struct mirror_message_stamp stamp;
		struct mirror_message_copy copy;
		struct mirror_message_progress progress;
		struct mirror_message_compare compare;
		struct mirror_message_verified verified;
	};
};

#define MIRROR_MESSAGE_FIXED_MAX sizeof(struct mirror_message)
#define MIRROR_MESSAGE_DATA_MAX MIRROR_REGION_SIZE
#define MIRROR_MESSAGE_MAX (MIRROR_MESSAGE_FIXED_MAX + MIRROR_MESSAGE_DATA_MAX)

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
