/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the other server says of its mirrored disks, broken in any way. The input is
 * one byte of options and the bytes of the stream; with OPTION_MEND the size is put
 * right first, so that the fields behind it are reached. What is let through must be
 * safe to use as an index, a range and a size without another look.
 */
#include <string.h>

#include "mirror/message.h"
#include "tests/fuzz/fuzz.h"

#define OPTION_MEND 0x01
#define OPTION_DATA_SHIFT 1 /* MEND: so many sectors of data */

static const uint64_t sector_counts[MIRROR_SET_MAX] = { 1000, 0, UINT64_C(1) << 31, 1 };

static void mend(uint8_t *bytes, uint64_t size, uint8_t options)
{
	struct mirror_message message;

	if (size < sizeof(message.header) || mirror_message_fixed_size(bytes[0]) == 0)
		return;
	memcpy(&message.header, bytes, sizeof(message.header));
	mirror_message_seal(&message, (uint64_t)(options >> OPTION_DATA_SHIFT) * MIRROR_SECTOR_SIZE);
	memcpy(bytes, &message.header, sizeof(message.header));
}

static void check_fields(const struct mirror_message *message)
{
	uint64_t sector_count = sector_counts[message->header.set];
	uint64_t data_size = mirror_message_data_size(message);

	FUZZ_CHECK(message->header.set < MIRROR_SET_MAX);
	FUZZ_CHECK(data_size <= MIRROR_MESSAGE_DATA_MAX);
	switch (message->header.type) {
	case MIRROR_MESSAGE_WRITE:
		FUZZ_CHECK(data_size == message->io.sector_count * MIRROR_SECTOR_SIZE);
		FUZZ_CHECK(range_fits(message->io.sector, message->io.sector_count, sector_count));
		FUZZ_CHECK(message->io.id < MIRROR_MESSAGE_ASKED_MAX);
		break;
	case MIRROR_MESSAGE_READ:
		FUZZ_CHECK(range_fits(message->io.sector, message->io.sector_count, sector_count));
		FUZZ_CHECK(message->io.sector_count * MIRROR_SECTOR_SIZE <= MIRROR_MESSAGE_DATA_MAX);
		break;
	case MIRROR_MESSAGE_COPY:
		FUZZ_CHECK(range_fits(message->copy.region * MIRROR_REGION_SECTORS,
				      data_size / MIRROR_SECTOR_SIZE, sector_count));
		break;
	case MIRROR_MESSAGE_MAP:
		FUZZ_CHECK(range_fits(message->map.block * REGION_MAP_BLOCK_SIZE, data_size,
				      region_map_size(sector_count)));
		break;
	case MIRROR_MESSAGE_DONE:
		FUZZ_CHECK(message->done.id < MIRROR_MESSAGE_ASKED_MAX);
		FUZZ_CHECK((message->done.outcome == MIRROR_OUTCOME_ERROR) == (message->done.error != 0));
		break;
	default:
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t bytes[MIRROR_MESSAGE_FIXED_MAX] = { 0 };
	uint64_t given = size > 0 ? min_u64(size - 1, sizeof(bytes)) : 0;
	struct mirror_message message;
	int64_t result;

	if (given > 0)
		memcpy(bytes, data + 1, given);
	if (size > 0 && (data[0] & OPTION_MEND))
		mend(bytes, given, data[0]);
	result = mirror_message_check(bytes, given, sector_counts, &message);
	fuzz_verdict(result > 0);
	FUZZ_CHECK(result <= (int64_t)given);
	if (result > 0)
		check_fields(&message);
	return 0;
}
