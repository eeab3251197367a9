/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first or last bytes of a disk that anybody may have written. The input is one
 * byte of options and then the disk's beginning, with OPTION_BACKUP its end; with
 * OPTION_MEND both checksums of a partition table are put right first, so that what
 * is behind them is reached.
 */
#include <string.h>

#include "include/byte_order.h"
#include "kernel/gpt.h"
#include "tests/fuzz/fuzz.h"

#define OPTION_MEND 0x01
#define OPTION_LARGE_SECTORS 0x02
#define OPTION_BACKUP 0x04
#define DISK_SECTOR_COUNT 131072

static uint8_t end[GPT_COPY_SIZE]; /* of the disk, the first or the last one */
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

/* `header` and what `first_sector` begins, `size` bytes of it, are in `end`. */
static void checksums_mend(uint8_t *header, uint64_t first_sector, size_t size, uint32_t sector_size)
{
	uint64_t entries_at = (load_le64(header + 72) - first_sector) * sector_size;
	uint64_t entries_size = (uint64_t)load_le32(header + 80) * load_le32(header + 84);
	uint32_t header_size = load_le32(header + 12);

	if (entries_size < 4096 && load_le64(header + 72) - first_sector < 64 &&
	    range_fits(entries_at, entries_size, size))
		store_le32(header + 88, crc32_slow(end + entries_at, entries_size));
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

		/* Inside the disk, apart from the others. */
		FUZZ_CHECK(partition->sector_count > 0);
		FUZZ_CHECK(range_fits(partition->first_sector, partition->sector_count, last_sector + 1));
		for (uint32_t j = 0; j < i; j++)
			FUZZ_CHECK(gpt.partitions[j].first_sector >=
					   partition->first_sector + partition->sector_count ||
				   partition->first_sector >=
					   gpt.partitions[j].first_sector + gpt.partitions[j].sector_count);
		FUZZ_CHECK(!gpt_is_blank(partition->type, GPT_GUID_SIZE));
		FUZZ_CHECK(gpt_find(&gpt, partition->type) != NULL);
	}
}

static enum gpt_content parse_backup(uint8_t options, const uint8_t *bytes, size_t size, uint32_t sector_size,
				     char *reason)
{
	enum gpt_content content;

	size -= size % sector_size;
	if (size == 0) {
		memset(end, 0, sector_size);
		bytes = end;
		size = sector_size;
	}
	if (options & OPTION_MEND)
		checksums_mend(end + size - sector_size, DISK_SECTOR_COUNT - size / sector_size, size,
			       sector_size);
	content = gpt_parse_backup(options & OPTION_MEND ? end : bytes, size, sector_size, DISK_SECTOR_COUNT,
				   &gpt, reason);
	FUZZ_CHECK(content == GPT_GOOD || content == GPT_DAMAGED || content == GPT_BROKEN);
	return content;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t options = size > 0 ? data[0] : 0;
	uint32_t sector_size = options & OPTION_LARGE_SECTORS ? 4096 : 512;
	size_t end_size = size > 0 ? min_u64(size - 1, GPT_COPY_SIZE) : 0;
	char reason[GPT_REASON_SIZE];
	enum gpt_content content;

	memset(reason, 0xee, sizeof(reason));
	if (end_size > 0)
		memcpy(end, data + 1, end_size);
	if (options & OPTION_BACKUP) {
		content = parse_backup(options, data + 1, end_size, sector_size, reason);
	} else {
		if (end_size >= 2 * (size_t)sector_size && (options & OPTION_MEND))
			checksums_mend(end + sector_size, 0, end_size, sector_size);
		/* Given as it came, its end where the input ends, unless it was changed here. */
		content = gpt_parse(options & OPTION_MEND || size == 0 ? end : data + 1, end_size,
				    sector_size, DISK_SECTOR_COUNT, &gpt, reason);
	}
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
