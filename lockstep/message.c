/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of messages by one table; see message.h. */
#include "lockstep/message.h"

#include <errno.h>
#include <string.h>

#include "include/trace.h"

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
	if (header.size < types[header.type].size || header.size - types[header.type].size > types[header.type].data_max)
		return trace_error(-EINVAL);
	return size < sizeof(header) + header.size ? 0 : (int64_t)(sizeof(header) + header.size);
}
