/* SPDX-License-Identifier: Apache-2.0 */
/* Frames held back, in a ring; see held_output.h. */
#include "nic/held_output.h"

#include <string.h>

#include "include/assert.h"

/* Before each frame's bytes. One that does not fit before the ring's end begins at its start. */
struct frame_header {
	uint64_t stamp;
	uint32_t port;
	uint32_t size; /* SKIP: the rest of the ring is unused */
};

#define SKIP UINT32_MAX

BUILD_ASSERT(HELD_OUTPUT_HEADER == sizeof(struct frame_header));

void held_output_init(struct held_output *held, uint8_t *buffer, uint64_t size)
{
	ASSERT(is_power_of_two(size) && size >= 2 * HELD_OUTPUT_FRAME_MAX);
	memset(held, 0, sizeof(*held));
	held->buffer = buffer;
	held->size = size;
}

void held_output_restart(struct held_output *held, uint64_t number)
{
	held->first = held->end;
	held->stamped = held->end;
	held->number = number;
	held->count = 0;
	held->elsewhere = 0;
}

static struct frame_header *header_at(const struct held_output *held, uint64_t offset)
{
	return (struct frame_header *)(held->buffer + (offset & (held->size - 1)));
}

static uint64_t until_ring_end(const struct held_output *held, uint64_t offset)
{
	return held->size - (offset & (held->size - 1));
}

uint64_t held_output_room(const struct held_output *held)
{
	uint64_t room = held->size - (held->end - held->first);
	uint64_t behind = min_u64(room, until_ring_end(held, held->end));

	return max_u64(behind, room - behind);
}

/* Room for `needed` bytes in one piece, perhaps behind a skipped rest. */
static bool make_room(struct held_output *held, uint64_t needed)
{
	uint64_t rest = until_ring_end(held, held->end);
	uint64_t room = held->size - (held->end - held->first);

	if (rest >= needed)
		return room >= needed;
	if (room < rest + needed)
		return false;
	header_at(held, held->end)->size = SKIP;
	held->end += rest;
	if (held->count == 0)
		held->first = held->end;
	return true;
}

bool held_output_put(struct held_output *held, uint32_t port, const uint8_t *data, uint32_t size)
{
	struct frame_header *header;
	bool has_room;

	if (size > HELD_OUTPUT_FRAME_MAX)
		return false;
	has_room = make_room(held, HELD_OUTPUT_ROOM(size));
	ASSERT(has_room);
	held->number++;
	header = header_at(held, held->end);
	*header = (struct frame_header){ .stamp = HELD_OUTPUT_NO_STAMP, .port = port, .size = size };
	memcpy(header + 1, data, size);
	held->end += HELD_OUTPUT_ROOM(size);
	held->count++;
	return true;
}

void held_output_stamp(struct held_output *held, uint64_t stamp)
{
	held->stamped = max_u64(held->stamped, held->first);
	while (held->stamped < held->end) {
		struct frame_header *header = header_at(held, held->stamped);

		if (header->size == SKIP) {
			held->stamped += until_ring_end(held, held->stamped);
			continue;
		}
		header->stamp = stamp;
		held->stamped += HELD_OUTPUT_ROOM(header->size);
	}
}

/* The rest of a ring is skipped when a frame lies behind it, so when `count` is not 0. */
static void skip_rest(struct held_output *held)
{
	if (held->count > 0 && header_at(held, held->first)->size == SKIP)
		held->first += until_ring_end(held, held->first);
}

bool held_output_first(const struct held_output *held, struct held_frame *frame)
{
	const struct frame_header *header = header_at(held, held->first);

	if (held->count == 0)
		return false;
	*frame = (struct held_frame){
		.stamp = header->stamp,
		.port = header->port,
		.size = header->size,
		.data = (const uint8_t *)(header + 1),
	};
	return true;
}

void held_output_drop(struct held_output *held)
{
	ASSERT(held->count > 0);
	held->first += HELD_OUTPUT_ROOM(header_at(held, held->first)->size);
	held->count--;
	skip_rest(held);
}

void held_output_left_elsewhere(struct held_output *held, uint64_t number)
{
	held->elsewhere = max_u64(held->elsewhere, number);
}

bool held_output_first_gone(const struct held_output *held, struct held_frame *frame)
{
	return held_output_left(held) < held->elsewhere && held_output_first(held, frame);
}
