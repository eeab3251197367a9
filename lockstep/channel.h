/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reliable, ordered streams between the two servers, over both CS links at
 * once. Words and log go out on whichever good link asks for a frame first. Bulk is
 * spread: it goes over the link that has less under way, so a slow one gets less.
 * What is lost on one is sent again on either. One link less costs bandwidth only.
 * Streams are served in their order: words and log before bulk.
 *
 * Sans I/O. The owner gives each link's received frames to channel_receive(), takes
 * frames to send from channel_transmit() until it answers 0 for both links (one may
 * leave bulk to the other), and calls channel_tick() no later than
 * channel_next_deadline_ns().
 *
 * A channel talks to one incarnation of the peer. Until it knows one it says HELLO;
 * when the peer has restarted it says so and goes silent until channel_connect().
 */
#ifndef LOCKSTEP_CHANNEL_H
#define LOCKSTEP_CHANNEL_H

#include "include/bits.h"
#include "lockstep/link.h"
#include "lockstep/wire.h"

#define CHANNEL_GAP_MAX 64 /* pieces received ahead of a gap */
/*
 * So many more frames than the other a link may have under way with bulk. What one link
 * carries in a row is one piece ahead of a gap, however much later the other's arrives.
 */
#define CHANNEL_RUN 16
BUILD_ASSERT(LINK_PACKET_MAX / CHANNEL_RUN <= CHANNEL_GAP_MAX / 2);
#define CHANNEL_LOST_MAX (WIRE_LINK_COUNT * LINK_PACKET_MAX)

struct channel_config {
	uint64_t pair;	      /* identity of the pair */
	uint64_t incarnation; /* of this server's start: counted durably, above all it ever used, not 0 */
	uint64_t generation;  /* told in HELLO: what this server durably knows (pair.h) */
	uint32_t server;      /* likewise: 0 a, 1 b */
	struct link_config link;
};

/* Memory of one stream, the owner's; both sizes powers of two. */
struct channel_buffers {
	uint8_t *send;
	uint64_t send_size;
	uint8_t *receive;
	uint64_t receive_size;
};

/* Offsets are bytes since the stream began, counted for ever. */
struct channel_sender {
	uint8_t *buffer;
	uint64_t size;
	uint64_t acknowledged; /* the peer has it all below */
	uint64_t sent;	       /* handed to a link at least once */
	uint64_t written;
	uint64_t limit; /* the peer has room below */
	uint32_t lost_first;
	uint32_t lost_count;
	struct link_piece lost[CHANNEL_LOST_MAX]; /* a ring */
};

struct channel_receiver {
	uint8_t *buffer;
	uint64_t size;
	uint64_t received; /* without a gap */
	uint64_t consumed;
	uint32_t ahead_count;
	struct channel_range {
		uint64_t start;
		uint64_t end;
	} ahead[CHANNEL_GAP_MAX]; /* beyond the gap; ascending, apart */
};

struct channel {
	struct channel_config config;
	uint64_t peer;	    /* incarnation; 0: none known */
	uint64_t forgotten; /* incarnations up to this one are not listened to: late frames of former peers */
	struct link links[WIRE_LINK_COUNT];
	struct channel_sender senders[WIRE_STREAM_COUNT];
	struct channel_receiver receivers[WIRE_STREAM_COUNT];
	uint64_t hello_sent_ns[WIRE_LINK_COUNT];
	uint64_t hello_count;
	bool limit_grew; /* the peer may be waiting for room: tell it */

	uint64_t faults[WIRE_FAULT_COUNT]; /* frames dropped, by reason */
	uint64_t misdirected;		   /* for another incarnation of ours, or of another peer's */
	uint64_t unstorable;		   /* beyond our limit or with too many gaps */
	uint64_t bytes_sent_again;
};

enum channel_event {
	CHANNEL_NOTHING,
	CHANNEL_PEER_FOUND,	/* `peer` says hello: channel_connect() */
	CHANNEL_PEER_RESTARTED, /* it has forgotten all: what was in the streams is gone */
};

void channel_init(struct channel *channel, const struct channel_config *config,
		  const struct channel_buffers buffers[WIRE_STREAM_COUNT], uint64_t now_ns);

/* A new incarnation of ours, with nobody yet; the buffers and the forgotten peers stay. */
void channel_restart(struct channel *channel, const struct channel_config *config, uint64_t now_ns);

/*
 * Begins all streams anew, with incarnation `peer` of the other server; 0: with
 * nobody. The peer until now is not listened to again: it must restart to come back.
 */
void channel_connect(struct channel *channel, uint64_t peer, uint64_t now_ns);

struct channel_peer {
	uint64_t incarnation;
	uint64_t generation; /* RESTARTED: what its HELLO tells; FOUND: may be 0, its identity will tell */
};

/* A frame from link `link`, behind its Ethernet header. `peer` is filled when the event is not NOTHING. */
enum channel_event channel_receive(struct channel *channel, uint32_t link, uint64_t now_ns,
				   const uint8_t *frame, uint64_t size, struct channel_peer *peer);

/* The next frame for `link`, written into `frame` (WIRE_FRAME_MAX bytes); its size, or 0: nothing now. */
uint64_t channel_transmit(struct channel *channel, uint32_t link, uint64_t now_ns, uint8_t *frame);

void channel_tick(struct channel *channel, uint64_t now_ns);
uint64_t channel_next_deadline_ns(const struct channel *channel);

/* Puts up to `size` bytes into a stream; returns how many there was room for. */
uint64_t channel_write(struct channel *channel, enum wire_stream stream, const uint8_t *bytes, uint64_t size);
uint64_t channel_write_room(const struct channel *channel, enum wire_stream stream);

/* Takes up to `size` bytes that have come in order; returns how many. */
uint64_t channel_read(struct channel *channel, enum wire_stream stream, uint8_t *bytes, uint64_t size);

/* Bytes of a stream that the peer holds in its memory: what output commit goes by. */
uint64_t channel_acknowledged(const struct channel *channel, enum wire_stream stream);

/* Is `peer` an incarnation that we neither talk to nor have ever talked to? */
bool channel_is_news(const struct channel *channel, uint64_t peer);

/* How many links are good. */
uint32_t channel_good_links(const struct channel *channel);

#endif
