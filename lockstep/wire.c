/* SPDX-License-Identifier: Apache-2.0 */
/* Sealing and checking frames; see wire.h. */
#include "lockstep/wire.h"

#include <string.h>

#include "include/assert.h"
#include "include/crc32c.h"

uint64_t wire_seal(uint8_t *frame, const struct wire_header *header)
{
	struct wire_header sealed = *header;
	uint64_t size = sizeof(sealed) + (uint64_t)header->size;

	ASSERT(header->size <= WIRE_PAYLOAD_MAX);
	sealed.magic = WIRE_MAGIC;
	sealed.version = WIRE_VERSION;
	sealed.crc32c = 0;
	sealed.crc32c = crc32c(crc32c(0, &sealed, sizeof(sealed)), frame + sizeof(sealed), header->size);
	memcpy(frame, &sealed, sizeof(sealed));
	return size;
}

static bool checksum_is_right(const uint8_t *frame, const struct wire_header *header)
{
	struct wire_header unsealed = *header;

	unsealed.crc32c = 0;
	return header->crc32c ==
	       crc32c(crc32c(0, &unsealed, sizeof(unsealed)), frame + sizeof(unsealed), header->size);
}

/* What a sound peer never sends. */
static bool fields_are_sound(const struct wire_header *header)
{
	if (header->kind != WIRE_HELLO && header->kind != WIRE_PACKET)
		return false;
	if (header->link >= WIRE_LINK_COUNT || header->stream >= WIRE_STREAM_COUNT)
		return false;
	if (header->sender == 0 || header->number == 0)
		return false;
	if (header->kind == WIRE_HELLO)
		return header->size == 0 && header->limit[0] <= 1;
	return header->receiver != 0 && header->offset <= UINT64_MAX - header->size;
}

enum wire_fault wire_check(const uint8_t *frame, uint64_t size, uint64_t pair, struct wire_header *header)
{
	if (size < sizeof(*header))
		return WIRE_SHORT;
	memcpy(header, frame, sizeof(*header));
	if (header->magic != WIRE_MAGIC)
		return WIRE_MAGIC_WRONG;
	if (header->size > WIRE_PAYLOAD_MAX || size < sizeof(*header) + header->size)
		return WIRE_SHORT;
	if (!checksum_is_right(frame, header))
		return WIRE_CHECKSUM;
	if (header->pair != pair && pair != WIRE_PAIR_ANY)
		return WIRE_STRANGER; /* `pair` has its place in every version */
	if (header->version != WIRE_VERSION)
		return WIRE_VERSION_WRONG;
	return fields_are_sound(header) ? WIRE_GOOD : WIRE_FIELD;
}

const char *wire_fault_name(enum wire_fault fault)
{
	static const char *const names[WIRE_FAULT_COUNT] = {
		[WIRE_GOOD] = "good",
		[WIRE_SHORT] = "shorter than it says",
		[WIRE_MAGIC_WRONG] = "not Yoke's",
		[WIRE_CHECKSUM] = "checksum wrong",
		[WIRE_VERSION_WRONG] = "another protocol version",
		[WIRE_STRANGER] = "of another pair",
		[WIRE_FIELD] = "a field outside its range",
	};

	return names[fault];
}
