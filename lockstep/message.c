/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of messages by one table; see message.h. */
#include "lockstep/message.h"

#include <errno.h>
#include <string.h>

#include "include/crc32c.h"
#include "include/trace.h"
#include "lockstep/wire.h"

TRACE_FILE("lockstep", TRACE_INFO);

static const struct {
	uint32_t size;	   /* of the fixed part */
	uint32_t data_max; /* bytes that may follow it */
	bool is_bulk;
} types[MESSAGE_TYPE_COUNT] = {
	[MESSAGE_IDENTITY] = { sizeof(struct message_identity), 0, false },
	[MESSAGE_REFUSE] = { sizeof(struct message_text), 0, false },
	[MESSAGE_JOIN_BEGIN] = { sizeof(struct message_join_begin), 0, false },
	[MESSAGE_JOIN_READY] = { 0, 0, false },
	[MESSAGE_DIVERGED] = { sizeof(struct message_text), 0, false },
	[MESSAGE_RELEASED] = { sizeof(struct message_released), 0, false },
	[MESSAGE_PROGRESS] = { sizeof(struct message_progress), 0, false },
	[MESSAGE_PAGE] = { sizeof(struct message_page), MESSAGE_DATA_MAX, true },
	[MESSAGE_PAGE_ZERO] = { sizeof(struct message_page), 0, true },
	[MESSAGE_STATE] = { sizeof(struct message_state), MESSAGE_DATA_MAX, true },
	[MESSAGE_JOIN_END] = { sizeof(struct message_join_end), 0, true },
};

int64_t message_check(const uint8_t *bytes, uint64_t size, bool is_bulk)
{
	struct message_header header;

	if (size < sizeof(header))
		return 0;
	memcpy(&header, bytes, sizeof(header));
	if (header.type == 0 || header.type >= MESSAGE_TYPE_COUNT || types[header.type].is_bulk != is_bulk)
		return trace_error(-EINVAL);
	if (header.size < types[header.type].size ||
	    header.size - types[header.type].size > types[header.type].data_max)
		return trace_error(-EINVAL);
	return size < sizeof(header) + header.size ? 0 : (int64_t)(sizeof(header) + header.size);
}

static uint32_t beacon_checksum(const struct message_beacon_frame *frame)
{
	struct message_beacon_frame unsealed = *frame;

	unsealed.crc32c = 0;
	return crc32c(0, &unsealed, sizeof(unsealed));
}

void message_beacon_seal(const struct message_beacon *beacon, struct message_beacon_frame *frame)
{
	memset(frame, 0, sizeof(*frame));
	frame->magic = MESSAGE_BEACON_MAGIC;
	frame->version = WIRE_VERSION;
	frame->beacon = *beacon;
	frame->crc32c = beacon_checksum(frame);
}

bool message_beacon_check(const uint8_t *bytes, uint64_t size, struct message_beacon *beacon)
{
	struct message_beacon_frame frame;

	if (size < sizeof(frame))
		return false;
	memcpy(&frame, bytes, sizeof(frame));
	if (frame.magic != MESSAGE_BEACON_MAGIC || frame.crc32c != beacon_checksum(&frame) ||
	    frame.version != WIRE_VERSION)
		return false;
	*beacon = frame.beacon;
	return true;
}
