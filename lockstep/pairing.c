/* SPDX-License-Identifier: Apache-2.0 */
/* Two new servers become a pair; see pairing.h. */
#include "lockstep/pairing.h"

#include <string.h>

#include "include/assert.h"

void pairing_init(struct pairing *pairing, uint32_t server, uint64_t incarnation, uint64_t heartbeat_ns,
		  uint64_t now_ns)
{
	ASSERT(server <= 1);
	ASSERT(incarnation != 0);
	memset(pairing, 0, sizeof(*pairing));
	pairing->server = server;
	pairing->incarnation = incarnation;
	pairing->heartbeat_ns = heartbeat_ns;
	for (uint32_t link = 0; link < WIRE_LINK_COUNT; link++)
		pairing->hello_sent_ns[link] = now_ns - heartbeat_ns; /* the first goes out at once */
}

enum pairing_event pairing_receive(const struct pairing *pairing, const uint8_t *frame, uint64_t size,
				   uint64_t *identity)
{
	struct wire_header header;

	if (wire_check(frame, size, WIRE_PAIR_ANY, &header) != WIRE_GOOD || header.kind != WIRE_HELLO ||
	    header.sender == pairing->incarnation)
		return PAIRING_NOTHING;
	if (header.limit[0] == pairing->server)
		return PAIRING_NAMESAKE;
	if (header.pair != WIRE_PAIR_NONE) {
		*identity = header.pair;
		return PAIRING_ADOPT;
	}
	return pairing->server == 0 ? PAIRING_DRAW : PAIRING_NOTHING;
}

uint64_t pairing_transmit(struct pairing *pairing, uint32_t link, uint64_t now_ns, uint8_t *frame)
{
	struct wire_header header = {
		.kind = WIRE_HELLO,
		.link = (uint8_t)link,
		.pair = WIRE_PAIR_NONE,
		.sender = pairing->incarnation,
		.limit = { pairing->server },
	};

	if (now_ns - pairing->hello_sent_ns[link] < pairing->heartbeat_ns)
		return 0;
	pairing->hello_sent_ns[link] = now_ns;
	header.number = ++pairing->hello_count;
	return wire_seal(frame, &header);
}
