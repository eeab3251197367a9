/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One CS link; see link.h. Loss is found as QUIC does it (RFC 9002, section 6):
 * packets have numbers of their own on each link and are never sent again under the
 * same number, so an acknowledgement is never ambiguous and two links of different
 * speed do not look like loss.
 */
#include "lockstep/link.h"

#include <string.h>

#include "include/assert.h"
#include "include/trace.h"

TRACE_FILE("lockstep", TRACE_INFO);

#define NS_PER_US UINT64_C(1000)
#define ACK_BITS 64

void link_init(struct link *link, const struct link_config *config, uint64_t now_ns)
{
	memset(link, 0, sizeof(*link));
	ASSERT(config->timeout_ns > config->heartbeat_ns);
	link->config = *config;
	link->state = LINK_TESTING;
	link->next_number = 1;
	link->oldest_number = 1;
	link->last_asked_ns = now_ns;
	link->last_heard_ns = now_ns;
}

static struct link_packet *packet_of(struct link *link, uint64_t number)
{
	return &link->packets[number % LINK_PACKET_MAX];
}

bool link_has_room(const struct link *link)
{
	return link->next_number - link->oldest_number < LINK_PACKET_MAX;
}

bool link_can_carry(const struct link *link)
{
	return link->state == LINK_GOOD && link_has_room(link);
}

/* RFC 9002, 6.2.1: what an answer takes at the worst; before the first measurement, a heartbeat. */
static uint64_t answer_time_ns(const struct link *link)
{
	if (link->round_trip_ns == 0)
		return link->config.heartbeat_ns;
	return max_u64(link->round_trip_ns + 4 * link->round_trip_variation_ns + link->config.ack_delay_ns,
		       link->config.heartbeat_ns / 4);
}

bool link_must_send(const struct link *link, uint64_t now_ns, bool *elicits)
{
	bool probe_due = now_ns - link->last_asked_ns >= link->config.heartbeat_ns;
	bool ack_due = link->ack_owed && now_ns - link->ack_owed_since_ns >= link->config.ack_delay_ns;

	/* An unanswered packet is asked about again after the time an answer takes. */
	if (link->in_flight > 0 && now_ns - link->last_asked_ns >= answer_time_ns(link))
		probe_due = true;
	/* While testing one probe at a time: the next goes out when the last is answered or lost. */
	if (link->state == LINK_TESTING && link->in_flight == 0 && link->test_passed > 0)
		probe_due = true;
	*elicits = probe_due && link_has_room(link);
	return *elicits || ack_due;
}

void link_send(struct link *link, uint64_t now_ns, bool elicits, const struct link_piece *piece,
	       struct wire_header *header)
{
	header->number = link->next_number++;
	header->flags = elicits ? WIRE_FLAG_ELICITS : 0;
	header->ack = link->highest_received;
	header->ack_bits = link->received_bits;
	header->ack_delay_us =
		link->highest_received
			? (uint32_t)min_u64((now_ns - link->highest_received_ns) / NS_PER_US, UINT32_MAX)
			: 0;
	link->ack_owed = false;
	link->sent++;
	if (!elicits) {
		if (link->in_flight == 0)
			link->oldest_number = link->next_number;
		return;
	}
	ASSERT(link->next_number - link->oldest_number <= LINK_PACKET_MAX);
	link->last_asked_ns = now_ns;
	*packet_of(link, header->number) =
		(struct link_packet){ .number = header->number, .sent_ns = now_ns, .piece = *piece };
	link->in_flight++;
}

/* ---- what was sent ---- */

static void oldest_advance(struct link *link)
{
	while (link->oldest_number < link->next_number &&
	       packet_of(link, link->oldest_number)->number != link->oldest_number)
		link->oldest_number++;
}

static void forget(struct link *link, struct link_packet *packet)
{
	ASSERT(link->in_flight > 0);
	packet->number = 0;
	link->in_flight--;
}

static void declare_lost(struct link *link, struct link_packet *packet, struct link_lost *lost)
{
	link->lost++;
	link->test_passed = 0;
	if (packet->piece.size > 0) {
		ASSERT(lost->count < LINK_PACKET_MAX);
		lost->pieces[lost->count++] = packet->piece;
	}
	forget(link, packet);
}

/* RFC 6298, section 2. */
static void round_trip_sample(struct link *link, uint64_t sample_ns)
{
	uint64_t difference = sample_ns > link->round_trip_ns ? sample_ns - link->round_trip_ns
							      : link->round_trip_ns - sample_ns;

	if (link->round_trip_ns == 0) {
		link->round_trip_ns = max_u64(sample_ns, 1);
		link->round_trip_variation_ns = sample_ns / 2;
		return;
	}
	link->round_trip_variation_ns = (3 * link->round_trip_variation_ns + difference) / 4;
	link->round_trip_ns = max_u64((7 * link->round_trip_ns + sample_ns) / 8, 1);
}

static void acknowledge(struct link *link, uint64_t now_ns, uint64_t number, uint64_t delay_ns,
			bool is_highest)
{
	struct link_packet *packet = packet_of(link, number);

	if (number == 0 || packet->number != number)
		return;
	if (is_highest) {
		uint64_t elapsed_ns = now_ns - packet->sent_ns;

		round_trip_sample(link, elapsed_ns - min_u64(delay_ns, elapsed_ns));
	}
	link->answered_ns = max_u64(link->answered_ns, packet->sent_ns);
	forget(link, packet);
	link->test_passed++;
}

/* RFC 9002, 6.1: lost, when later ones have arrived: either several, or long enough ago. */
static bool was_overtaken(const struct link *link, uint64_t now_ns, const struct link_packet *packet,
			  uint64_t ack)
{
	return ack - packet->number >= LINK_REORDER_MAX ||
	       now_ns - packet->sent_ns >= link->round_trip_ns + link->round_trip_ns / 8;
}

static void take_acknowledgements(struct link *link, uint64_t now_ns, const struct wire_header *header,
				  struct link_lost *lost)
{
	if (header->ack >= link->next_number)
		return; /* of packets we never sent: a peer's fault, seen by nobody else */
	acknowledge(link, now_ns, header->ack, header->ack_delay_us * NS_PER_US, true);
	/* Most of what a packet acknowledges is known from those before it, and below the oldest in flight. */
	for (uint32_t i = 0; i < ACK_BITS && header->ack > link->oldest_number + i; i++)
		if ((header->ack_bits >> i) & 1)
			acknowledge(link, now_ns, header->ack - 1 - i, 0, false);
	for (uint64_t number = link->oldest_number; number < header->ack; number++) {
		struct link_packet *packet = packet_of(link, number);

		if (packet->number == number && was_overtaken(link, now_ns, packet, header->ack))
			declare_lost(link, packet, lost);
	}
	oldest_advance(link);
	if (link->state == LINK_TESTING && link->test_passed >= link->config.test_count) {
		link->state = LINK_GOOD;
		trace(TRACE_INFO, "link good: round trip %lu us",
		      (unsigned long)(link->round_trip_ns / NS_PER_US));
	}
}

/* ---- what was received ---- */

/* Notes the number; false when it was noted before or is too old to tell. */
static bool note_received(struct link *link, uint64_t now_ns, uint64_t number)
{
	uint64_t behind;

	if (number > link->highest_received) {
		uint64_t ahead = number - link->highest_received;

		link->received_bits = ahead >= ACK_BITS ? 0 : link->received_bits << ahead;
		if (link->highest_received && ahead <= ACK_BITS)
			link->received_bits |= BIT(ahead - 1);
		link->highest_received = number;
		link->highest_received_ns = now_ns;
		return true;
	}
	behind = link->highest_received - number;
	if (behind == 0 || behind > ACK_BITS || ((link->received_bits >> (behind - 1)) & 1)) {
		link->duplicates++;
		return false;
	}
	link->received_bits |= BIT(behind - 1);
	return true;
}

bool link_receive(struct link *link, uint64_t now_ns, const struct wire_header *header,
		  struct link_lost *lost)
{
	bool is_new = note_received(link, now_ns, header->number);

	link->last_heard_ns = max_u64(link->last_heard_ns, now_ns);
	/* A duplicate of something that elicits means that our acknowledgement was lost: owed again. */
	if ((header->flags & WIRE_FLAG_ELICITS) && !link->ack_owed) {
		link->ack_owed = true;
		link->ack_owed_since_ns = now_ns;
	}
	take_acknowledgements(link, now_ns, header, lost);
	return is_new;
}

void link_tick(struct link *link, uint64_t now_ns, struct link_lost *lost)
{
	uint64_t patience_ns =
		link->state == LINK_TESTING ? 2 * answer_time_ns(link) : link->config.timeout_ns;

	/* Two failures have one cure: the peer is not heard, or heard but what we send is not answered. */
	if (link->in_flight == 0)
		oldest_advance(link);
	if (link->in_flight > 0 && now_ns - packet_of(link, link->oldest_number)->sent_ns < patience_ns)
		return;
	if (link->in_flight == 0 && now_ns - link->last_heard_ns < link->config.timeout_ns)
		return;
	if (link->state == LINK_GOOD) {
		trace(TRACE_WARNING, "link failed: nothing heard or answered for %lu ms",
		      (unsigned long)(link->config.timeout_ns / (1000 * NS_PER_US)));
		link->state = LINK_TESTING;
		link->failures++;
	}
	link->test_passed = 0;
	for (uint64_t number = link->oldest_number; number < link->next_number; number++)
		if (packet_of(link, number)->number == number)
			declare_lost(link, packet_of(link, number), lost);
	oldest_advance(link);
}

uint64_t link_next_deadline_ns(const struct link *link)
{
	uint64_t deadline_ns = link->last_asked_ns +
			       (link->in_flight ? min_u64(answer_time_ns(link), link->config.heartbeat_ns)
						: link->config.heartbeat_ns);

	if (link->ack_owed)
		deadline_ns = min_u64(deadline_ns, link->ack_owed_since_ns + link->config.ack_delay_ns);
	return min_u64(deadline_ns, link->last_heard_ns + link->config.timeout_ns);
}

const char *link_state_name(enum link_state state)
{
	static const char *const names[LINK_STATE_COUNT] = {
		[LINK_TESTING] = "failed", [LINK_GOOD] = "good"
	};

	return names[state];
}
