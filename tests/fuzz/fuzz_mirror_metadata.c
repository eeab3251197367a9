/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A state partition that anybody may have written. The input is one byte of options
 * and the beginning of a copy, zeros behind it; with OPTION_MEND its checksum is put
 * right first, and OPTION_SECOND makes the other copy from it. Whatever is accepted
 * is used as the rest of the mirror does.
 */
#include <string.h>

#include "include/byte_order.h"
#include "include/crc32c.h"
#include "mirror/metadata.h"
#include "mirror/region_map.h"
#include "tests/fuzz/fuzz.h"

#define OPTION_MEND 0x01
#define OPTION_SECOND 0x02 /* the other copy is the same, numbered one lower; else blank */
#define OPTION_LOST 0x04   /* the other copy cannot be read */

static uint8_t copies[METADATA_COPY_COUNT][METADATA_SIZE];

static void mend(uint8_t *copy)
{
	uint32_t size = load_le32(copy + offsetof(struct metadata, size));

	if (size < offsetof(struct metadata, pair_identity) || size > METADATA_SIZE)
		return;
	store_le32(copy + offsetof(struct metadata, crc32c), 0);
	store_le32(copy + offsetof(struct metadata, crc32c), crc32c(0, copy, size));
}

static void check_good(struct metadata *metadata, const struct metadata_choice *choice)
{
	struct metadata again;
	uint64_t offset;

	FUZZ_CHECK(metadata->pair_identity != 0 && metadata->server <= 1);
	FUZZ_CHECK(metadata->era_count <= METADATA_HISTORY_MAX);
	for (uint32_t i = 0; i < MIRROR_SET_MAX; i++) {
		const struct metadata_set *set = &metadata->sets[i];

		if (set->identity == 0)
			continue;
		FUZZ_CHECK(set->dirty_map_offset >= METADATA_MAPS_OFFSET);
		FUZZ_CHECK(set->dirty_map_offset + set->map_size > set->dirty_map_offset);
		FUZZ_CHECK(set->map_size == region_map_size(set->sector_count));
		FUZZ_CHECK(strnlen(set->serials[0], MIRROR_TEXT_SIZE) < MIRROR_TEXT_SIZE);
		FUZZ_CHECK(strnlen(set->serials[1], MIRROR_TEXT_SIZE) < MIRROR_TEXT_SIZE);
	}
	/* The next record goes over the other copy, and is believed. */
	offset = metadata_seal(metadata);
	FUZZ_CHECK(offset / METADATA_COPY_DISTANCE != choice->copy || metadata->sequence == 0);
	if (metadata->sequence != 0)
		FUZZ_CHECK(metadata_decode((const uint8_t *)metadata, &again) == METADATA_GOOD);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t options = size > 0 ? data[0] : 0;
	const uint8_t *given[METADATA_COPY_COUNT];
	struct metadata_choice choice;
	struct metadata metadata;
	uint64_t sequence;
	uint32_t place;

	memset(copies, 0, sizeof(copies));
	if (size > 1)
		memcpy(copies[0], data + 1, min_u64(size - 1, METADATA_SIZE));
	sequence = load_le64(copies[0] + offsetof(struct metadata, sequence));
	place = (uint32_t)(sequence % METADATA_COPY_COUNT);
	if (place)
		memcpy(copies[1], copies[0], METADATA_SIZE);
	if (options & OPTION_SECOND) {
		memcpy(copies[1 - place], copies[place], METADATA_SIZE);
		store_le64(copies[1 - place] + offsetof(struct metadata, sequence), sequence - 1);
		mend(copies[1 - place]);
	} else if (place) {
		memset(copies[0], 0, METADATA_SIZE);
	}
	if (options & OPTION_MEND)
		mend(copies[place]);
	given[place] = copies[place];
	given[1 - place] = options & OPTION_LOST ? NULL : copies[1 - place];

	memset(&choice, 0xee, sizeof(choice));
	metadata_choose(given, 0, 0, &metadata, &choice);
	fuzz_verdict(choice.verdict == METADATA_GOOD);
	FUZZ_CHECK(choice.verdict < METADATA_VERDICT_COUNT);
	FUZZ_CHECK(choice.reason[0] != '\0' &&
		   strnlen(choice.reason, sizeof(choice.reason)) < sizeof(choice.reason));
	if (choice.verdict == METADATA_GOOD)
		check_good(&metadata, &choice);
	return 0;
}
