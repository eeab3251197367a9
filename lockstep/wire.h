/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the two servers say to each other on the wire. One header on every frame,
 * little-endian, guarded by CRC-32C over header and payload; docs/PROTOCOL.md draws
 * it. A frame that is short, long, of another version, pair or kind, or whose
 * checksum is wrong is counted and dropped by wire_check().
 */
#ifndef LOCKSTEP_WIRE_H
#define LOCKSTEP_WIRE_H

#include "include/bits.h"

#define WIRE_ETHERTYPE 0x88b5		/* IEEE 802: local experimental 1 */
#define WIRE_MAGIC UINT32_C(0x454b4f59) /* "YOKE" */
#define WIRE_VERSION 1

#define WIRE_LINK_COUNT 2 /* cs1, cs2 */
#define WIRE_STREAM_COUNT 4
#define WIRE_STREAM_URGENT_COUNT 2 /* the first of them: small and urgent; the others are bulk */

/* The identity of a pair that a server speaks of which has none yet (pairing.h). */
#define WIRE_PAIR_NONE 0
#define WIRE_PAIR_ANY UINT64_MAX /* for wire_check(): whichever */

/* In the order in which they are served. */
enum wire_stream {
	WIRE_STREAM_CONTROL, /* messages: who we are, what we do (message.h) */
	WIRE_STREAM_LOG,     /* records and nothing else: its offset stamps outputs */
	WIRE_STREAM_DISK,    /* mirrored disks: words and blocks (mirror/) */
	WIRE_STREAM_BULK,    /* memory of a join */
};

enum wire_kind {
	WIRE_HELLO = 1, /* "here I am": no peer known yet; never acknowledged */
	WIRE_PACKET,	/* acknowledgements, and perhaps a piece of a stream */
};

#define WIRE_FLAG_ELICITS UINT8_C(1) /* to be acknowledged: carries data, or asks whether we live */

struct wire_header {
	uint32_t magic;
	uint16_t version;
	uint8_t kind; /* enum wire_kind */
	uint8_t flags;
	uint32_t crc32c;       /* of the frame from `magic`, with this field 0 */
	uint8_t link;	       /* the sender's number of this link: crossed cables show */
	uint8_t stream;	       /* enum wire_stream, where size > 0 */
	uint16_t size;	       /* bytes of payload */
	uint64_t pair;	       /* identity of the pair */
	uint64_t sender;       /* incarnation of the sender: new at each start */
	uint64_t receiver;     /* incarnation the sender believes to talk to; 0 in HELLO */
	uint64_t number;       /* of this packet on this link: 1, 2, 3 ... */
	uint64_t ack;	       /* highest number received on this link, 0: none */
	uint64_t ack_bits;     /* bit i: number ack - 1 - i was received too */
	uint32_t ack_delay_us; /* how long `ack` has been held back */
	uint32_t reserved;
	uint64_t received[WIRE_STREAM_COUNT]; /* bytes of each stream received without a gap */
	/* Bytes of each stream there is room for; HELLO, [0]: 0 server a, 1 b. */
	uint64_t limit[WIRE_STREAM_COUNT];
	uint64_t offset; /* of the payload in its stream; HELLO: the sender's generation */
};

BUILD_ASSERT(sizeof(struct wire_header) == 144);
BUILD_ASSERT(offsetof(struct wire_header, pair) == 16);
BUILD_ASSERT(offsetof(struct wire_header, received) == 72);
BUILD_ASSERT(offsetof(struct wire_header, offset) == 136);

#define WIRE_FRAME_MAX 1500 /* header and payload, behind the Ethernet header */
#define WIRE_PAYLOAD_MAX (WIRE_FRAME_MAX - sizeof(struct wire_header))

enum wire_fault {
	WIRE_GOOD,
	WIRE_SHORT, /* shorter than its header, or than the header says */
	WIRE_MAGIC_WRONG,
	WIRE_CHECKSUM,
	WIRE_VERSION_WRONG, /* of our pair, but another version */
	WIRE_STRANGER,	    /* another pair */
	WIRE_FIELD,	    /* a field outside its range */
	WIRE_FAULT_COUNT,
};

/*
 * Writes the header into `frame` (WIRE_FRAME_MAX bytes), before its payload, which is there
 * already; with magic, version and checksum filled in. Returns the frame's size.
 */
uint64_t wire_seal(uint8_t *frame, const struct wire_header *header);

/*
 * Checks `size` bytes and copies the header out; padding behind the payload is allowed.
 * `pair`: whose frames are taken, or WIRE_PAIR_ANY.
 */
enum wire_fault wire_check(const uint8_t *frame, uint64_t size, uint64_t pair, struct wire_header *header);

/* "checksum wrong" ... */
const char *wire_fault_name(enum wire_fault fault);

#endif
