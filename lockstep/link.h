/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One CS link: numbers its packets, learns from the acknowledgements which arrived,
 * how long a round trip takes and how much is lost, and judges whether the link may
 * carry data. Sans I/O: time comes in, frames are built elsewhere (channel.h).
 *
 *     TESTING  --test_count probes in a row answered-->  GOOD
 *     GOOD     --silent for timeout_ns------------------> TESTING
 *
 * A link in TESTING carries probes only, one at a time, so that a link that comes
 * back proves itself before anything depends on it.
 */
#ifndef LOCKSTEP_LINK_H
#define LOCKSTEP_LINK_H

#include "include/bits.h"
#include "lockstep/wire.h"

#define LINK_PACKET_MAX 512 /* in flight; a power of two */
#define LINK_REORDER_MAX 3  /* a packet is lost when one this much later has arrived */

enum link_state {
	LINK_TESTING,
	LINK_GOOD,
	LINK_STATE_COUNT,
};

struct link_config {
	uint64_t heartbeat_ns; /* a probe goes out when we have asked for no answer for so long */
	uint64_t timeout_ns;   /* the peer's silence that makes the link fail; several heartbeats */
	uint64_t ack_delay_ns; /* an acknowledgement waits this long for company */
	uint32_t test_count;   /* probes that a failed link must answer in a row */
};

/* A piece of a stream that a packet carries; size 0: a probe. */
struct link_piece {
	uint64_t offset;
	uint32_t size;
	uint32_t stream;
};

struct link_packet {
	uint64_t number; /* 0: slot is free */
	uint64_t sent_ns;
	struct link_piece piece;
};

/* Pieces found lost, for the channel to send again. */
struct link_lost {
	uint32_t count;
	struct link_piece pieces[LINK_PACKET_MAX];
};

struct link {
	struct link_config config;
	enum link_state state;

	/* sending */
	uint64_t next_number;
	uint64_t oldest_number; /* no packet below it is in flight */
	uint32_t in_flight;
	uint64_t last_asked_ns; /* when a packet that elicits was sent; acknowledgements alone ask nothing */
	struct link_packet packets[LINK_PACKET_MAX];
	uint64_t round_trip_ns;		  /* smoothed; 0: not measured */
	uint64_t round_trip_variation_ns; /* RFC 6298's RTTVAR */
	uint32_t test_passed;
	uint64_t answered_ns; /* when the newest acknowledged packet was sent: the peer lived then */

	/* receiving */
	uint64_t highest_received;
	uint64_t received_bits; /* bit i: highest_received - 1 - i */
	uint64_t highest_received_ns;
	uint64_t last_heard_ns;
	bool ack_owed;
	uint64_t ack_owed_since_ns;

	/* counters */
	uint64_t sent;
	uint64_t lost;
	uint64_t duplicates;
	uint64_t failures; /* GOOD -> TESTING */
};

/* A link at start-up or after the peer's restart: TESTING, nothing in flight. */
void link_init(struct link *link, const struct link_config *config, uint64_t now_ns);

/* May it carry data now? */
bool link_can_carry(const struct link *link);

/* Must a packet go out now though there is no data: an acknowledgement, or a probe (`elicits`)? */
bool link_must_send(const struct link *link, uint64_t now_ns, bool *elicits);

/*
 * A packet is being sent: fills the header's number, ack, ack_bits and ack_delay_us.
 * `elicits`: it is kept in flight with `piece` until acknowledged or lost; there must
 * be room (link_has_room).
 */
bool link_has_room(const struct link *link);
void link_send(struct link *link, uint64_t now_ns, bool elicits, const struct link_piece *piece,
	       struct wire_header *header);

/*
 * A packet came: takes its acknowledgements, adds pieces that these show lost to
 * `lost`. False: a duplicate, its payload is known already.
 */
bool link_receive(struct link *link, uint64_t now_ns, const struct wire_header *header,
		  struct link_lost *lost);

/* Time passes: a silent link fails, and all that was in flight on it is lost. */
void link_tick(struct link *link, uint64_t now_ns, struct link_lost *lost);

/* When link_tick() or link_must_send() has something to do at the latest. */
uint64_t link_next_deadline_ns(const struct link *link);

const char *link_state_name(enum link_state state);

#endif
