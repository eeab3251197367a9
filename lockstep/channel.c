/* SPDX-License-Identifier: Apache-2.0 */
/* Streams over two links; see channel.h. */
#include "lockstep/channel.h"

#include <string.h>

#include "include/assert.h"
#include "include/trace.h"

TRACE_FILE("lockstep", TRACE_INFO);

/* ---- rings of bytes addressed by stream offset ---- */

static void ring_put(uint8_t *ring, uint64_t ring_size, uint64_t offset, const uint8_t *from, uint64_t size)
{
	uint64_t at = offset & (ring_size - 1);
	uint64_t first = min_u64(size, ring_size - at);

	if (size == 0)
		return; /* and `from` may be NULL */
	memcpy(ring + at, from, first);
	if (first < size)
		memcpy(ring, from + first, size - first);
}

static void ring_get(const uint8_t *ring, uint64_t ring_size, uint64_t offset, uint8_t *to, uint64_t size)
{
	uint64_t at = offset & (ring_size - 1);
	uint64_t first = min_u64(size, ring_size - at);

	memcpy(to, ring + at, first);
	if (first < size)
		memcpy(to + first, ring, size - first);
}

/* ---- life ---- */

void channel_init(struct channel *channel, const struct channel_config *config,
		  const struct channel_buffers buffers[WIRE_STREAM_COUNT], uint64_t now_ns)
{
	memset(channel, 0, sizeof(*channel));
	for (uint32_t i = 0; i < WIRE_STREAM_COUNT; i++) {
		ASSERT(is_power_of_two(buffers[i].send_size));
		ASSERT(is_power_of_two(buffers[i].receive_size));
		channel->senders[i].buffer = buffers[i].send;
		channel->senders[i].size = buffers[i].send_size;
		channel->receivers[i].buffer = buffers[i].receive;
		channel->receivers[i].size = buffers[i].receive_size;
	}
	channel_restart(channel, config, now_ns);
}

void channel_restart(struct channel *channel, const struct channel_config *config, uint64_t now_ns)
{
	ASSERT(config->incarnation != 0);
	channel->config = *config;
	channel->peer = 0; /* not forgotten: it may go on as it is, we are the ones who are new */
	for (uint32_t i = 0; i < WIRE_LINK_COUNT; i++) /* the first HELLO goes out at once */
		channel->hello_sent_ns[i] = now_ns - config->link.heartbeat_ns;
	channel_connect(channel, 0, now_ns);
}

bool channel_is_news(const struct channel *channel, uint64_t peer)
{
	return peer != channel->peer && peer > channel->forgotten;
}

void channel_connect(struct channel *channel, uint64_t peer, uint64_t now_ns)
{
	if (channel->peer != 0 && channel->peer != peer)
		channel->forgotten = max_u64(channel->forgotten, channel->peer);
	channel->peer = peer;
	for (uint32_t i = 0; i < WIRE_LINK_COUNT; i++)
		link_init(&channel->links[i], &channel->config.link, now_ns);
	for (uint32_t i = 0; i < WIRE_STREAM_COUNT; i++) {
		struct channel_sender *sender = &channel->senders[i];
		struct channel_receiver *receiver = &channel->receivers[i];

		sender->acknowledged = 0;
		sender->sent = 0;
		sender->written = 0;
		sender->limit = 0;
		sender->lost_first = 0;
		sender->lost_count = 0;
		receiver->received = 0;
		receiver->consumed = 0;
		receiver->ahead_count = 0;
	}
	channel->limit_grew = true;
}

/* ---- sending ---- */

uint64_t channel_write_room(const struct channel *channel, enum wire_stream stream)
{
	const struct channel_sender *sender = &channel->senders[stream];

	return sender->size - (sender->written - sender->acknowledged);
}

uint64_t channel_write(struct channel *channel, enum wire_stream stream, const uint8_t *bytes, uint64_t size)
{
	struct channel_sender *sender = &channel->senders[stream];
	uint64_t taken = min_u64(size, channel_write_room(channel, stream));

	ring_put(sender->buffer, sender->size, sender->written, bytes, taken);
	sender->written += taken;
	return taken;
}

uint64_t channel_acknowledged(const struct channel *channel, enum wire_stream stream)
{
	return channel->senders[stream].acknowledged;
}

static void lost_add(struct channel *channel, const struct link_lost *lost)
{
	for (uint32_t i = 0; i < lost->count; i++) {
		struct channel_sender *sender = &channel->senders[lost->pieces[i].stream];

		/* Every piece was in flight once, on one link: there is room for all of them. */
		ASSERT(sender->lost_count < CHANNEL_LOST_MAX);
		sender->lost[(sender->lost_first + sender->lost_count++) % CHANNEL_LOST_MAX] =
			lost->pieces[i];
	}
}

/* A link is asked for frames all the time, and mostly there is nothing: so that is found out quickly. */
static bool has_pieces(const struct channel_sender *sender)
{
	return sender->lost_count > 0 || sender->sent < min_u64(sender->written, sender->limit);
}

/* What to send of a stream next: the lost first, then the new. False: nothing. */
static bool next_piece(struct channel *channel, uint32_t stream, struct link_piece *piece)
{
	struct channel_sender *sender = &channel->senders[stream];
	uint64_t end = min_u64(sender->written, sender->limit);

	while (sender->lost_count > 0) {
		*piece = sender->lost[sender->lost_first];
		sender->lost_first = (sender->lost_first + 1) % CHANNEL_LOST_MAX;
		sender->lost_count--;
		/* Not there by another way meanwhile? */
		if (piece->offset + piece->size > sender->acknowledged) {
			channel->bytes_sent_again += piece->size;
			return true;
		}
	}
	if (sender->sent >= end)
		return false;
	piece->stream = stream;
	piece->offset = sender->sent;
	piece->size = (uint32_t)min_u64(end - sender->sent, WIRE_PAYLOAD_MAX);
	sender->sent += piece->size;
	return true;
}

/* Not while the other link has less under way: an owner that empties us over one link would never use the other. */
static bool may_carry_bulk(const struct channel *channel, const struct link *link)
{
	for (uint32_t i = 0; i < WIRE_LINK_COUNT; i++) {
		const struct link *other = &channel->links[i];

		if (link_can_carry(other) && link->in_flight >= other->in_flight + CHANNEL_RUN)
			return false;
	}
	return true;
}

static bool choose_piece(struct channel *channel, const struct link *link, struct link_piece *piece)
{
	if (!link_can_carry(link))
		return false;
	for (uint32_t stream = 0; stream < WIRE_STREAM_COUNT; stream++) {
		if (!has_pieces(&channel->senders[stream]))
			continue;
		if (stream >= WIRE_STREAM_URGENT_COUNT && !may_carry_bulk(channel, link))
			return false;
		if (next_piece(channel, stream, piece))
			return true;
	}
	return false;
}

static uint64_t transmit_hello(struct channel *channel, uint32_t link, uint64_t now_ns, uint8_t *frame)
{
	struct wire_header header = {
		.kind = WIRE_HELLO,
		.link = (uint8_t)link,
		.pair = channel->config.pair,
		.sender = channel->config.incarnation,
		.offset = channel->config.generation,
		.limit = { channel->config.server },
	};

	if (now_ns - channel->hello_sent_ns[link] < channel->config.link.heartbeat_ns)
		return 0;
	channel->hello_sent_ns[link] = now_ns;
	header.number = ++channel->hello_count;
	return wire_seal(frame, &header);
}

static NOINLINE uint64_t transmit_packet(struct channel *channel, uint32_t link, uint64_t now_ns,
					 bool elicits, const struct link_piece *piece, uint8_t *frame)
{
	const struct channel_sender *sender = &channel->senders[piece->stream];
	struct wire_header header = {
		.kind = WIRE_PACKET,
		.link = (uint8_t)link,
		.stream = (uint8_t)piece->stream,
		.size = (uint16_t)piece->size,
		.offset = piece->offset,
		.pair = channel->config.pair,
		.sender = channel->config.incarnation,
		.receiver = channel->peer,
	};

	ring_get(sender->buffer, sender->size, piece->offset, frame + sizeof(header), piece->size);
	channel->limit_grew = false;
	for (uint32_t i = 0; i < WIRE_STREAM_COUNT; i++) {
		header.received[i] = channel->receivers[i].received;
		header.limit[i] = channel->receivers[i].consumed + channel->receivers[i].size;
	}
	link_send(&channel->links[link], now_ns, elicits, piece, &header);
	return wire_seal(frame, &header);
}

uint64_t channel_transmit(struct channel *channel, uint32_t link_index, uint64_t now_ns, uint8_t *frame)
{
	struct link *link = &channel->links[link_index];
	struct link_piece piece = { 0 };
	bool elicits = true;

	if (channel->peer == 0)
		return transmit_hello(channel, link_index, now_ns, frame);
	if (!choose_piece(channel, link, &piece) && !link_must_send(link, now_ns, &elicits)) {
		if (!channel->limit_grew || link->state != LINK_GOOD)
			return 0;
		elicits = link_has_room(link);
	}
	return transmit_packet(channel, link_index, now_ns, elicits, &piece, frame);
}

/* ---- receiving ---- */

/* Joins [start, end) into the ranges ahead of the gap; false: too many of them. */
static bool ahead_add(struct channel_receiver *receiver, uint64_t start, uint64_t end)
{
	struct channel_range *ranges = receiver->ahead;
	uint32_t first = 0;
	uint32_t last;

	while (first < receiver->ahead_count && ranges[first].end < start)
		first++;
	last = first; /* ranges [first, last) touch the new one */
	while (last < receiver->ahead_count && ranges[last].start <= end) {
		start = min_u64(start, ranges[last].start);
		end = max_u64(end, ranges[last].end);
		last++;
	}
	if (first == last && receiver->ahead_count == CHANNEL_GAP_MAX)
		return false;
	memmove(&ranges[first + 1], &ranges[last], (receiver->ahead_count - last) * sizeof(ranges[0]));
	receiver->ahead_count += 1 - (last - first);
	ranges[first] = (struct channel_range){ .start = start, .end = end };
	return true;
}

/* Moves `received` over what has become gapless. */
static void gap_close(struct channel_receiver *receiver)
{
	uint32_t closed = 0;

	while (closed < receiver->ahead_count && receiver->ahead[closed].start <= receiver->received) {
		receiver->received = max_u64(receiver->received, receiver->ahead[closed].end);
		closed++;
	}
	receiver->ahead_count -= closed;
	memmove(receiver->ahead, receiver->ahead + closed,
		receiver->ahead_count * sizeof(receiver->ahead[0]));
}

/* Stores a piece; false when it cannot be kept, and then must not be acknowledged. */
static bool store(struct channel_receiver *receiver, uint64_t offset, const uint8_t *payload, uint64_t size)
{
	uint64_t end = offset + size;

	if (size == 0 || end <= receiver->received)
		return true;
	if (end > receiver->consumed + receiver->size)
		return false;
	if (offset < receiver->received) {
		payload += receiver->received - offset;
		offset = receiver->received;
	}
	if (offset > receiver->received && !ahead_add(receiver, offset, end))
		return false;
	ring_put(receiver->buffer, receiver->size, offset, payload, end - offset);
	if (offset == receiver->received)
		receiver->received = end;
	gap_close(receiver);
	return true;
}

/* The peer's word on our streams; it may be older than what we know. */
static bool take_progress(struct channel *channel, const struct wire_header *header)
{
	for (uint32_t i = 0; i < WIRE_STREAM_COUNT; i++) {
		if (header->received[i] > channel->senders[i].sent)
			return false; /* it has what we never sent */
	}
	for (uint32_t i = 0; i < WIRE_STREAM_COUNT; i++) {
		struct channel_sender *sender = &channel->senders[i];

		sender->acknowledged = max_u64(sender->acknowledged, header->received[i]);
		sender->limit = max_u64(sender->limit, header->limit[i]);
	}
	return true;
}

static enum channel_event receive_hello(struct channel *channel, const struct wire_header *header,
					struct channel_peer *peer)
{
	*peer = (struct channel_peer){ .incarnation = header->sender, .generation = header->offset };
	if (channel->peer == 0)
		return CHANNEL_PEER_FOUND;
	return header->sender == channel->peer ? CHANNEL_NOTHING : CHANNEL_PEER_RESTARTED;
}

static void receive_packet(struct channel *channel, struct link *link, uint64_t now_ns,
			   const struct wire_header *header, const uint8_t *payload)
{
	struct link_lost lost;

	if (!store(&channel->receivers[header->stream], header->offset, payload, header->size)) {
		channel->unstorable++;
		return;
	}
	if (!take_progress(channel, header)) {
		channel->faults[WIRE_FIELD]++;
		return;
	}
	lost.count = 0;
	link_receive(link, now_ns, header, &lost);
	lost_add(channel, &lost);
}

enum channel_event channel_receive(struct channel *channel, uint32_t link, uint64_t now_ns,
				   const uint8_t *frame, uint64_t size, struct channel_peer *peer)
{
	struct wire_header header;
	enum wire_fault fault = wire_check(frame, size, channel->config.pair, &header);

	if (fault != WIRE_GOOD) {
		channel->faults[fault]++;
		return CHANNEL_NOTHING;
	}
	/* Our own frame come back by a loop in the cabling, or one that was long under way. */
	if (header.sender == channel->config.incarnation || header.sender <= channel->forgotten) {
		channel->misdirected++;
		return CHANNEL_NOTHING;
	}
	channel->forgotten = header.sender - 1; /* a server's incarnations only grow: older ones are past */
	if (header.kind == WIRE_HELLO)
		return receive_hello(channel, &header, peer);
	if (header.receiver != channel->config.incarnation) {
		channel->misdirected++;
		return CHANNEL_NOTHING;
	}
	if (header.sender != channel->peer) {
		/* It knows us already; we, not having connected, learn of it by its first packet. */
		*peer = (struct channel_peer){ .incarnation = header.sender };
		if (channel->peer == 0)
			return CHANNEL_PEER_FOUND;
		channel->misdirected++;
		return CHANNEL_NOTHING;
	}
	receive_packet(channel, &channel->links[link], now_ns, &header, frame + sizeof(header));
	return CHANNEL_NOTHING;
}

uint64_t channel_read(struct channel *channel, enum wire_stream stream, uint8_t *bytes, uint64_t size)
{
	struct channel_receiver *receiver = &channel->receivers[stream];
	uint64_t taken = min_u64(size, receiver->received - receiver->consumed);
	uint64_t told = receiver->size / 2;

	if (taken == 0)
		return 0;
	ring_get(receiver->buffer, receiver->size, receiver->consumed, bytes, taken);
	/* Each half of the buffer that comes free is worth a packet of its own. */
	if ((receiver->consumed + taken) / told != receiver->consumed / told)
		channel->limit_grew = true;
	receiver->consumed += taken;
	return taken;
}

/* ---- time ---- */

void channel_tick(struct channel *channel, uint64_t now_ns)
{
	if (channel->peer == 0)
		return;
	for (uint32_t i = 0; i < WIRE_LINK_COUNT; i++) {
		struct link_lost lost;

		lost.count = 0;
		link_tick(&channel->links[i], now_ns, &lost);
		lost_add(channel, &lost);
	}
}

uint64_t channel_next_deadline_ns(const struct channel *channel)
{
	uint64_t deadline_ns = UINT64_MAX;

	for (uint32_t i = 0; i < WIRE_LINK_COUNT; i++)
		deadline_ns = min_u64(deadline_ns, channel->peer ? link_next_deadline_ns(&channel->links[i])
								 : channel->hello_sent_ns[i] +
									   channel->config.link.heartbeat_ns);
	return deadline_ns;
}

uint32_t channel_good_links(const struct channel *channel)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < WIRE_LINK_COUNT; i++)
		count += channel->links[i].state == LINK_GOOD;
	return count;
}
