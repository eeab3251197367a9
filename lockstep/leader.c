/* SPDX-License-Identifier: Apache-2.0 */
/* The leader's side of the log; see leader.h. Twin of follower.c. */
#include "lockstep/leader.h"

#include <string.h>

#include "include/assert.h"

void leader_init(struct leader *leader, const struct position *position, uint64_t time_ns)
{
	memset(leader, 0, sizeof(*leader));
	leader->codec.exits = position->exits;
	leader->codec.steps = position->steps;
	leader->codec.time_ns = time_ns;
}

static uint64_t put(struct leader *leader, const struct record *record, uint8_t *bytes)
{
	uint64_t size =
		record_encode(&leader->codec, record, bytes, RECORD_HEADER_MAX + (uint64_t)record->size);

	ASSERT(size > 0);
	leader->written += size + (record->data ? 0 : record->size);
	leader->records++;
	return size;
}

uint64_t leader_value(struct leader *leader, const struct position *exit, uint32_t source, uint64_t time_ns,
		      uint8_t *bytes)
{
	uint64_t size = record_encode_value(&leader->codec, source, exit, time_ns, bytes);

	leader->written += size;
	leader->records++;
	return size;
}

uint64_t leader_input(struct leader *leader, const struct position *position, uint64_t time_ns,
		      const struct record_input *input, const uint8_t *data, uint32_t size, uint8_t *bytes)
{
	const struct record record = {
		.kind = RECORD_INPUT,
		.position = *position,
		.time_ns = time_ns,
		.input = *input,
		.data = data,
		.size = size,
	};

	return put(leader, &record, bytes);
}

uint64_t leader_horizon(struct leader *leader, const struct position *position, uint8_t *bytes)
{
	const struct record record = { .kind = RECORD_HORIZON, .position = *position };

	return put(leader, &record, bytes);
}

uint64_t leader_check(struct leader *leader, const struct position *position, uint64_t digest, uint8_t *bytes)
{
	const struct record record = { .kind = RECORD_CHECK, .position = *position, .digest = digest };

	return put(leader, &record, bytes);
}

uint64_t leader_control(struct leader *leader, const struct position *position, uint32_t decision,
			uint64_t argument, uint8_t *bytes)
{
	const struct record record = {
		.kind = RECORD_CONTROL, .source = decision, .position = *position, .digest = argument
	};

	return put(leader, &record, bytes);
}
