/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the servers say to each other besides the log: messages on the control
 * stream, pages and state on the bulk stream of a join, and beacons on the paths
 * besides the CS links. All little-endian and fixed; what comes in is checked by
 * message_check() against one table of sizes before anyone acts on it.
 */
#ifndef LOCKSTEP_MESSAGE_H
#define LOCKSTEP_MESSAGE_H

#include "include/bits.h"
#include "include/position.h"

#define MESSAGE_TEXT_SIZE 64

enum message_type {
	/* control stream */
	MESSAGE_IDENTITY = 1, /* struct message_identity: first, from both sides */
	MESSAGE_REFUSE,	      /* struct message_text: we cannot be a pair, and why */
	MESSAGE_JOIN_BEGIN,   /* struct message_join_begin: the source will send its guest */
	MESSAGE_JOIN_READY,   /* none: the target has all of it, durably knows that it is in duplex */
	MESSAGE_DIVERGED,     /* struct message_text: the follower stopped, and why */
	MESSAGE_RELEASED,     /* struct message_released: outputs that left the building */
	MESSAGE_PROGRESS,     /* struct message_progress: where the follower is */
	MESSAGE_TRAIL,	      /* struct message_trail, then its fields: one's own state at a failed check */
	/* bulk stream */
	MESSAGE_PAGE,	    /* struct message_page, then the page's bytes */
	MESSAGE_PAGES_ZERO, /* struct message_pages_zero: a run of pages that hold nothing but zeros */
	MESSAGE_STATE,	    /* struct message_state, then bytes of the state */
	MESSAGE_JOIN_END,   /* struct message_join_end: that was all; here the log begins */
	MESSAGE_TYPE_COUNT,
};

struct message_header {
	uint8_t type; /* enum message_type */
	uint8_t reserved[3];
	uint32_t size; /* bytes of what follows */
};

/* What must be equal on both servers, and what each remembers. */
struct message_identity {
	char build[MESSAGE_TEXT_SIZE];	      /* version of the hypervisor */
	char processor[MESSAGE_TEXT_SIZE];    /* vendor, family, model, stepping, features */
	char step_counter[MESSAGE_TEXT_SIZE]; /* "icount, exact"; "none" cannot do duplex */
	uint64_t memory_size;
	uint64_t machine_digest; /* of the guest's configuration: memory, disks, ports */
	uint64_t ask_time_ns;	 /* each reckons with how soon the other takes it for dead */
	uint64_t generation;
	uint8_t durable; /* enum pair_durable_state */
	uint8_t role;	 /* enum pair_role */
	uint8_t server;	 /* 0: a, 1: b */
	uint8_t was_leader;
	uint8_t has_guest; /* a guest that stopped, in memory */
	uint8_t hardware_faults;
	uint8_t step_counter_exact;
	uint8_t disks_current; /* they hold all that its guest was told is safe, as far as it knows itself */
};

struct message_text {
	char text[MESSAGE_TEXT_SIZE];
};

struct message_join_begin {
	uint64_t log_base; /* where its log will begin: what lies before is of a duplex that ended */
};

struct message_released {
	uint64_t number; /* of outputs, counted from the guest's power-on, that have left */
};

struct message_progress {
	uint64_t exits;
	uint64_t time_ns;
};

/* Behind it `field_count` digests of 8 bytes; 0: the sender has no entry for that check. */
struct message_trail {
	uint64_t number; /* of the check, in this duplex */
	struct position position;
	uint64_t digest;
	uint32_t field_count;
	uint32_t reserved;
};

struct message_page {
	uint64_t index;
};

struct message_pages_zero {
	uint64_t first; /* index */
	uint64_t count; /* at least 1 */
};

struct message_state {
	uint64_t offset;
};

struct message_join_end {
	struct position position;
	uint64_t time_ns;
	uint64_t digest;
	uint64_t disk_base; /* what the disk stream brought below here belongs to the state sent */
	uint64_t generation;
};

BUILD_ASSERT(sizeof(struct message_header) == 8);
BUILD_ASSERT(sizeof(struct message_identity) == 3 * MESSAGE_TEXT_SIZE + 40);
BUILD_ASSERT(sizeof(struct message_join_end) == 64);
BUILD_ASSERT(sizeof(struct message_trail) == 56);
BUILD_ASSERT(sizeof(struct message_pages_zero) == 16);

/* Data behind a page's, state's or trail's own structure, at most. */
#define MESSAGE_DATA_MAX 4096
#define MESSAGE_SIZE_MAX (sizeof(struct message_header) + sizeof(struct message_identity) + MESSAGE_DATA_MAX)

/* A word on a path besides the CS links: "I live, and this is what I do". */
struct message_beacon {
	uint64_t pair;
	uint64_t generation;
	uint64_t incarnation;
	uint8_t server;
	uint8_t claim; /* enum arbiter_claim */
	uint8_t asks;  /* an answer is wanted at once */
	uint8_t reserved[5];
};
BUILD_ASSERT(sizeof(struct message_beacon) == 32);

/* As it stands in a frame of its own, behind an Ethernet header of WIRE_ETHERTYPE. */
#define MESSAGE_BEACON_MAGIC UINT32_C(0x424b4f59) /* "YOKB" */
struct message_beacon_frame {
	uint32_t magic;
	uint32_t crc32c;  /* of the whole, with this field 0 */
	uint16_t version; /* WIRE_VERSION */
	uint8_t reserved[6];
	struct message_beacon beacon;
};
BUILD_ASSERT(sizeof(struct message_beacon_frame) == 48);

void message_beacon_seal(const struct message_beacon *beacon, struct message_beacon_frame *frame);

/* Is this one of ours, whole? `size` bytes behind the Ethernet header; padding is allowed. */
bool message_beacon_check(const uint8_t *bytes, uint64_t size, struct message_beacon *beacon);

/*
 * Is this a message that may stand on stream `is_bulk`? Returns the whole message's
 * size with its header, 0 when `size` bytes do not hold all of it yet, or -EINVAL.
 */
int64_t message_check(const uint8_t *bytes, uint64_t size, bool is_bulk);

/* Pages that a message of a join brings. */
struct message_pages {
	uint64_t first; /* index */
	uint64_t count;
	const uint8_t *data; /* of one page, in the message; NULL: all zero */
};

/*
 * What a PAGE or PAGES_ZERO that message_check() let pass brings to a guest of
 * `page_count` pages of `page_size` bytes. Returns 0, or -EINVAL: another type, a page
 * that is not whole, or one outside the guest.
 */
int message_pages_decode(const uint8_t *message, uint64_t page_count, uint32_t page_size,
			 struct message_pages *pages);

#endif
