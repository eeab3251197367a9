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
	[MESSAGE_TRAIL] = { sizeof(struct message_trail), MESSAGE_DATA_MAX, false },
	[MESSAGE_PAGE] = { sizeof(struct message_page), MESSAGE_DATA_MAX, true },
	[MESSAGE_PAGES_ZERO] = { sizeof(struct message_pages_zero), 0, true },
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

static int page_decode(const uint8_t *body, uint32_t size, uint32_t page_size, struct message_pages *pages)
{
	struct message_page page;

	if (size != sizeof(page) + page_size)
		return trace_error(-EINVAL);
	memcpy(&page, body, sizeof(page));
	*pages = (struct message_pages){ .first = page.index, .count = 1, .data = body + sizeof(page) };
	return 0;
}

static int pages_zero_decode(const uint8_t *body, struct message_pages *pages)
{
	struct message_pages_zero zero;

	memcpy(&zero, body, sizeof(zero));
	*pages = (struct message_pages){ .first = zero.first, .count = zero.count };
	return zero.count ? 0 : trace_error(-EINVAL);
}

int message_pages_decode(const uint8_t *message, uint64_t page_count, uint32_t page_size,
			 struct message_pages *pages)
{
	const uint8_t *body = message + sizeof(struct message_header);
	struct message_header header;
	int error;

	memcpy(&header, message, sizeof(header));
	if (header.type == MESSAGE_PAGE)
		error = page_decode(body, header.size, page_size, pages);
	else if (header.type == MESSAGE_PAGES_ZERO)
		error = pages_zero_decode(body, pages);
	else
		error = trace_error(-EINVAL);
	if (error)
		return error;
	return range_fits(pages->first, pages->count, page_count) ? 0 : trace_error(-EINVAL);
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
