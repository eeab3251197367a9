/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first bytes of a disk that anybody may have written. The input is one byte
 * of options and then the disk's beginning; with OPTION_MEND both checksums of a
 * partition table are put right first, so that what is behind them is reached.
 */
#include <string.h>

#include "include/byte_order.h"
#include "kernel/gpt.h"
#include "tests/fuzz/fuzz.h"

#define OPTION_MEND 0x01
#define OPTION_LARGE_SECTORS 0x02
#define DISK_SECTOR_COUNT 131072

static uint8_t head[GPT_HEAD_SIZE];
static struct gpt gpt;

static uint32_t crc32_slow(const uint8_t *bytes, size_t size)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < size; i++) {
		crc ^= bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return ~crc;
}

static void checksums_mend(size_t size, uint32_t sector_size)
{
	uint8_t *header = head + sector_size;
	uint64_t entries_at = load_le64(header + 72) * sector_size;
	uint64_t entries_size = (uint64_t)load_le32(header + 80) * load_le32(header + 84);
	uint32_t header_size = load_le32(header + 12);

	if (entries_size < 4096 && load_le64(header + 72) < 64 && range_fits(entries_at, entries_size, size))
		store_le32(header + 88, crc32_slow(head + entries_at, entries_size));
	if (header_size < 92 || header_size > sector_size)
		return;
	store_le32(header + 16, 0);
	store_le32(header + 16, crc32_slow(header, header_size));
}

static void check_good(uint64_t last_sector)
{
	FUZZ_CHECK(gpt.partition_count <= GPT_PARTITION_MAX);
	for (uint32_t i = 0; i < gpt.partition_count; i++) {
		const struct gpt_partition *partition = &gpt.partitions[i];

		/* Inside the disk. */
		FUZZ_CHECK(partition->sector_count > 0);
		FUZZ_CHECK(range_fits(partition->first_sector, partition->sector_count, last_sector + 1));
		FUZZ_CHECK(!gpt_is_blank(partition->type, GPT_GUID_SIZE));
		FUZZ_CHECK(gpt_find(&gpt, partition->type) != NULL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t options = size > 0 ? data[0] : 0;
	uint32_t sector_size = options & OPTION_LARGE_SECTORS ? 4096 : 512;
	size_t head_size = size > 0 ? min_u64(size - 1, GPT_HEAD_SIZE) : 0;
	char reason[GPT_REASON_SIZE];
	enum gpt_content content;

	memset(reason, 0xee, sizeof(reason));
	if (head_size > 0)
		memcpy(head, data + 1, head_size);
	if (head_size >= 2 * (size_t)sector_size && (options & OPTION_MEND))
		checksums_mend(head_size, sector_size);
	/* Given as it came, its end where the input ends, unless it was changed here. */
	content = gpt_parse(options & OPTION_MEND || size == 0 ? head : data + 1, head_size, sector_size,
			    DISK_SECTOR_COUNT, &gpt, reason);
	fuzz_verdict(content == GPT_GOOD);
	if (content == GPT_GOOD) {
		check_good(DISK_SECTOR_COUNT - 1);
		return 0;
	}
	FUZZ_CHECK(content <= GPT_UNKNOWN);
	FUZZ_CHECK(reason[0] != '\0' && strnlen(reason, sizeof(reason)) < sizeof(reason));
	for (const char *at = reason; *at != '\0'; at++)
		FUZZ_CHECK(*at >= ' ' && *at <= '~');
	return 0;
}
