/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of the mirror's messages: sizes by one table, then fields by type; see message.h. */
#include "mirror/message.h"

#include <errno.h>
#include <string.h>

#include "include/assert.h"
#include "include/trace.h"

TRACE_FILE("mirror", TRACE_INFO);

#define HEADER_SIZE sizeof(struct mirror_message_header)

enum data_rule {
	DATA_NONE,
	DATA_RECORD,  /* METADATA_SIZE bytes */
	DATA_BLOCK,   /* REGION_MAP_BLOCK_SIZE bytes */
	DATA_SECTORS, /* as many as the range says */
	DATA_REGION,  /* the region's bytes: the last one of a disk may be short */
	DATA_ANSWER,  /* whole sectors, at least one: the asker knows how many */
};

static const struct {
	uint32_t size; /* of the fixed part */
	enum data_rule rule;
} types[MIRROR_MESSAGE_TYPE_COUNT] = {
	[MIRROR_MESSAGE_METADATA] = { sizeof(struct mirror_message_metadata), DATA_RECORD },
	[MIRROR_MESSAGE_MAP] = { sizeof(struct mirror_message_map), DATA_BLOCK },
	[MIRROR_MESSAGE_MAPS_END] = { 0, DATA_NONE },
	[MIRROR_MESSAGE_KEEP] = { sizeof(struct mirror_message_keep), DATA_NONE },
	[MIRROR_MESSAGE_STATES] = { sizeof(struct mirror_message_states), DATA_NONE },
	[MIRROR_MESSAGE_KEPT] = { sizeof(struct mirror_message_kept), DATA_NONE },
	[MIRROR_MESSAGE_WRITE] = { sizeof(struct mirror_message_io), DATA_SECTORS },
	[MIRROR_MESSAGE_READ] = { sizeof(struct mirror_message_io), DATA_NONE },
	[MIRROR_MESSAGE_FLUSH] = { sizeof(struct mirror_message_io), DATA_NONE },
	[MIRROR_MESSAGE_DONE] = { sizeof(struct mirror_message_done), DATA_NONE },
	[MIRROR_MESSAGE_DATA] = { sizeof(struct mirror_message_done), DATA_ANSWER },
	[MIRROR_MESSAGE_OFFER] = { sizeof(struct mirror_message_offer), DATA_NONE },
	[MIRROR_MESSAGE_STAMP] = { sizeof(struct mirror_message_stamp), DATA_NONE },
	[MIRROR_MESSAGE_COPY] = { sizeof(struct mirror_message_copy), DATA_REGION },
	[MIRROR_MESSAGE_LEAVE] = { sizeof(struct mirror_message_copy), DATA_NONE },
	[MIRROR_MESSAGE_HISTORY] = { 0, DATA_RECORD },
	[MIRROR_MESSAGE_PROGRESS] = { sizeof(struct mirror_message_progress), DATA_NONE },
	[MIRROR_MESSAGE_FAILED] = { sizeof(struct mirror_message_progress), DATA_NONE },
	[MIRROR_MESSAGE_COMPARE] = { sizeof(struct mirror_message_compare), DATA_NONE },
	[MIRROR_MESSAGE_FETCH] = { sizeof(struct mirror_message_copy), DATA_NONE },
	[MIRROR_MESSAGE_VERIFY] = { 0, DATA_NONE },
	[MIRROR_MESSAGE_VERIFIED] = { sizeof(struct mirror_message_verified), DATA_NONE },
};

static bool is_of_a_set(uint8_t type)
{
	return type != MIRROR_MESSAGE_METADATA && type != MIRROR_MESSAGE_HISTORY;
}

uint64_t mirror_message_fixed_size(uint8_t type)
{
	return type == 0 || type >= MIRROR_MESSAGE_TYPE_COUNT ? 0 : HEADER_SIZE + types[type].size;
}

uint64_t mirror_message_seal(struct mirror_message *message, uint64_t data_size)
{
	uint64_t fixed_size = mirror_message_fixed_size(message->header.type);

	ASSERT(fixed_size != 0);
	ASSERT(data_size <= MIRROR_MESSAGE_DATA_MAX);
	message->header.reserved = 0;
	message->header.size = (uint32_t)(fixed_size - HEADER_SIZE + data_size);
	return fixed_size;
}

uint64_t mirror_message_data_size(const struct mirror_message *message)
{
	return message->header.size - types[message->header.type].size;
}

static bool io_is_sound(const struct mirror_message *message, uint64_t sector_count)
{
	const struct mirror_message_io *io = &message->io;

	if (io->id >= MIRROR_MESSAGE_ASKED_MAX)
		return false;
	if (message->header.type == MIRROR_MESSAGE_FLUSH)
		return io->sector == 0 && io->sector_count == 0;
	return io->sector_count != 0 && io->sector_count <= MIRROR_REGION_SECTORS &&
	       range_fits(io->sector, io->sector_count, sector_count);
}

static bool done_is_sound(const struct mirror_message *message)
{
	const struct mirror_message_done *done = &message->done;

	if (done->id >= MIRROR_MESSAGE_ASKED_MAX || done->outcome >= MIRROR_OUTCOME_COUNT)
		return false;
	if (message->header.type == MIRROR_MESSAGE_DATA && done->outcome != MIRROR_OUTCOME_GOOD)
		return false;
	return done->outcome == MIRROR_OUTCOME_ERROR
		       ? done->error != 0 && done->error < MIRROR_MESSAGE_ERROR_MAX
		       : done->error == 0;
}

static bool fields_are_sound(const struct mirror_message *message, uint64_t sector_count)
{
	switch (message->header.type) {
	case MIRROR_MESSAGE_METADATA:
		return message->metadata.runs <= 1;
	case MIRROR_MESSAGE_MAP:
		return message->map.kind < MIRROR_MAP_KIND_COUNT &&
		       message->map.block < region_map_size(sector_count) / REGION_MAP_BLOCK_SIZE;
	case MIRROR_MESSAGE_KEEP:
		return message->keep.server <= 1;
	case MIRROR_MESSAGE_STATES:
		return message->states.states[0] < MIRROR_DISK_STATE_COUNT &&
		       message->states.states[1] < MIRROR_DISK_STATE_COUNT && message->states.repeats <= 1;
	case MIRROR_MESSAGE_WRITE:
	case MIRROR_MESSAGE_READ:
	case MIRROR_MESSAGE_FLUSH:
		return io_is_sound(message, sector_count);
	case MIRROR_MESSAGE_DONE:
	case MIRROR_MESSAGE_DATA:
		return done_is_sound(message);
	case MIRROR_MESSAGE_OFFER:
		return message->offer.id < MIRROR_MESSAGE_ASKED_MAX && message->offer.compare <= 1 &&
		       message->offer.region < mirror_region_count(sector_count);
	case MIRROR_MESSAGE_STAMP:
		return message->stamp.id < MIRROR_MESSAGE_ASKED_MAX && message->stamp.compared <= 1;
	case MIRROR_MESSAGE_COPY:
	case MIRROR_MESSAGE_LEAVE:
	case MIRROR_MESSAGE_FETCH:
		return message->copy.id < MIRROR_MESSAGE_ASKED_MAX &&
		       message->copy.region < mirror_region_count(sector_count);
	case MIRROR_MESSAGE_COMPARE:
		return message->compare.id < MIRROR_MESSAGE_ASKED_MAX &&
		       message->compare.region < mirror_region_count(sector_count);
	default:
		return true;
	}
}

/* Once the fields are known to be sound. */
static bool data_is_sound(const struct mirror_message *message, uint64_t sector_count)
{
	uint64_t size = mirror_message_data_size(message);

	switch (types[message->header.type].rule) {
	case DATA_RECORD:
		return size == METADATA_SIZE;
	case DATA_BLOCK:
		return size == REGION_MAP_BLOCK_SIZE;
	case DATA_SECTORS:
		return size == message->io.sector_count * MIRROR_SECTOR_SIZE;
	case DATA_REGION:
		return size == mirror_region_sectors(sector_count, message->copy.region) * MIRROR_SECTOR_SIZE;
	case DATA_ANSWER:
		return size != 0 && size % MIRROR_SECTOR_SIZE == 0 && size <= MIRROR_MESSAGE_DATA_MAX;
	default:
		return size == 0;
	}
}

int64_t mirror_message_check(const uint8_t *bytes, uint64_t size,
			     const uint64_t sector_counts[MIRROR_SET_MAX], struct mirror_message *message)
{
	uint64_t fixed_size;
	uint64_t sector_count;

	if (size < HEADER_SIZE)
		return 0;
	memset(message, 0, sizeof(*message));
	memcpy(&message->header, bytes, HEADER_SIZE);
	fixed_size = mirror_message_fixed_size(message->header.type);
	if (fixed_size == 0 || message->header.set >= MIRROR_SET_MAX ||
	    HEADER_SIZE + (uint64_t)message->header.size < fixed_size)
		return trace_error(-EINVAL);
	sector_count = sector_counts[message->header.set];
	if (is_of_a_set(message->header.type) ? sector_count == 0 : message->header.set != 0)
		return trace_error(-EINVAL);
	if (size < fixed_size)
		return 0;
	memcpy(message, bytes, fixed_size);
	if (!fields_are_sound(message, sector_count) || !data_is_sound(message, sector_count))
		return trace_error(-EINVAL);
	return (int64_t)fixed_size;
}
