/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How two servers come to be one pair: a server whose state partition is new has no
 * identity of a pair (WIRE_PAIR_NONE) and is no pair's server yet. It says HELLO on
 * its CS links and listens:
 *
 *     the other one has an identity    that one is adopted: a boot disk was replaced
 *     neither has one                  server a draws one at random, b adopts it
 *     the other one has our letter     nothing: told, and an administrator mends it
 *
 * What was adopted or drawn is durable before struct pair begins with it, and never
 * changes. Servers that have an identity hear nobody else (wire_check). A dedicated
 * cable is the proof that the other server belongs to this one. Pure.
 */
#ifndef LOCKSTEP_PAIRING_H
#define LOCKSTEP_PAIRING_H

#include "include/bits.h"
#include "lockstep/wire.h"

enum pairing_event {
	PAIRING_NOTHING,
	PAIRING_ADOPT,	  /* the other server's identity: make it ours, durably */
	PAIRING_DRAW,	  /* both are new and we are a: draw one, not 0 nor UINT64_MAX, and make it durable */
	PAIRING_NAMESAKE, /* the other server has our letter */
};

struct pairing {
	uint32_t server; /* 0: a, 1: b */
	uint64_t incarnation;
	uint64_t heartbeat_ns;
	uint64_t hello_count;
	uint64_t hello_sent_ns[WIRE_LINK_COUNT];
};

/* `incarnation` as in struct channel_config; `heartbeat_ns` between HELLOs of a link. */
void pairing_init(struct pairing *pairing, uint32_t server, uint64_t incarnation, uint64_t heartbeat_ns,
		  uint64_t now_ns);

/* A frame from a CS link, behind its Ethernet header. Fills `identity` when the answer is ADOPT. */
enum pairing_event pairing_receive(const struct pairing *pairing, const uint8_t *frame, uint64_t size,
				   uint64_t *identity);

/* The next frame for `link`, written into `frame` (WIRE_FRAME_MAX bytes); its size, or 0: nothing now. */
uint64_t pairing_transmit(struct pairing *pairing, uint32_t link, uint64_t now_ns, uint8_t *frame);

#endif
