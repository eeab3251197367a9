/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checked reading of a GUID partition table: signature, sizes, both checksums,
 * and each partition inside the disk and apart from the others, before anything is
 * believed. There are two copies, header and entries each: behind the MBR in sector 0,
 * and at the end, with the header in the last sector.
 */
#include "kernel/gpt.h"

#include <stdio.h>
#include <string.h>

#include "include/assert.h"
#include "include/byte_order.h"

/* The header, in sector 1 or the last one (table 5-5). */
#define HEADER_SIZE 12
#define HEADER_CRC 16
#define HEADER_OWN_SECTOR 24
#define HEADER_FIRST_USABLE 40
#define HEADER_LAST_USABLE 48
#define HEADER_ENTRIES_SECTOR 72
#define HEADER_ENTRY_COUNT 80
#define HEADER_ENTRY_SIZE 84
#define HEADER_ENTRIES_CRC 88
#define HEADER_SIZE_MIN 92

/* An entry (table 5-6). */
#define ENTRY_FIRST 32
#define ENTRY_LAST 40
#define ENTRY_SIZE_MIN 128

#define MBR_ENTRY_TYPE(entry) (446 + 16 * (entry) + 4)
#define MBR_TYPE_PROTECTIVE 0xee /* "the rest is a GPT's" (5.2.3) */
#define MBR_SIGNATURE 510

/* One of the two, as read. */
struct copy {
	const uint8_t *bytes;
	uint64_t size;
	uint32_t sector_size;
	uint64_t sector_count;	/* of the disk */
	uint64_t first_sector;	/* that `bytes` begin with */
	uint64_t header_sector; /* where the header is */
};

/* CRC-32 of IEEE 802.3, reflected, four bits at a time. */
static uint32_t crc32_ieee(uint32_t crc, const uint8_t *bytes, uint64_t size)
{
	static const uint32_t table[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
		0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
		0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};

	crc = ~crc;
	for (uint64_t i = 0; i < size; i++) {
		crc = (crc >> 4) ^ table[(crc ^ bytes[i]) & 15];
		crc = (crc >> 4) ^ table[(crc ^ (bytes[i] >> 4)) & 15];
	}
	return ~crc;
}

bool gpt_is_blank(const uint8_t *bytes, uint64_t size)
{
	for (uint64_t i = 0; i < size; i++)
		if (bytes[i] != 0)
			return false;
	return true;
}

static bool is_protective(const uint8_t *mbr)
{
	for (uint32_t i = 0; i < 4; i++)
		if (mbr[MBR_ENTRY_TYPE(i)] == MBR_TYPE_PROTECTIVE)
			return true;
	return false;
}

static enum gpt_content content_without_header(const uint8_t *head, uint64_t size, char *reason)
{
	if (gpt_is_blank(head, size)) {
		snprintf(reason, GPT_REASON_SIZE, "empty: its first %lu bytes are zero", (unsigned long)size);
		return GPT_BLANK;
	}
	if (load_le16(head + MBR_SIGNATURE) != 0xaa55) {
		snprintf(reason, GPT_REASON_SIZE, "data without a partition table");
		return GPT_UNKNOWN;
	}
	if (is_protective(head)) {
		snprintf(reason, GPT_REASON_SIZE, "GPT: the MBR promises one, and there is no header");
		return GPT_DAMAGED;
	}
	snprintf(reason, GPT_REASON_SIZE, "a foreign partition table (MBR), no GPT");
	return GPT_FOREIGN_TABLE;
}

static const uint8_t *header_of(const struct copy *copy)
{
	return copy->bytes + (copy->header_sector - copy->first_sector) * copy->sector_size;
}

static bool has_header(const struct copy *copy)
{
	return memcmp(header_of(copy), "EFI PART", 8) == 0;
}

/* Is the header as it was written? */
static bool is_header_whole(const struct copy *copy, char *reason)
{
	const uint8_t *header = header_of(copy);
	uint32_t header_size = load_le32(header + HEADER_SIZE);
	uint8_t start[HEADER_SIZE_MIN];
	uint32_t crc;

	if (header_size < HEADER_SIZE_MIN || header_size > copy->sector_size) {
		snprintf(reason, GPT_REASON_SIZE, "GPT: header size %u makes no sense", header_size);
		return false;
	}
	/* The sum is made with its own field taken as 0 (5.3.2). */
	memcpy(start, header, sizeof(start));
	memset(start + HEADER_CRC, 0, 4);
	crc = crc32_ieee(0, start, sizeof(start));
	crc = crc32_ieee(crc, header + HEADER_SIZE_MIN, header_size - HEADER_SIZE_MIN);
	if (crc != load_le32(header + HEADER_CRC))
		snprintf(reason, GPT_REASON_SIZE, "GPT: wrong header checksum");
	else if (load_le64(header + HEADER_OWN_SECTOR) != copy->header_sector)
		snprintf(reason, GPT_REASON_SIZE, "GPT: the header says it is in sector %lu, and is in %lu",
			 (unsigned long)load_le64(header + HEADER_OWN_SECTOR),
			 (unsigned long)copy->header_sector);
	else
		return true;
	return false;
}

/* Does it say what can be on this disk, and what we can read? */
static bool is_header_sensible(const struct copy *copy, char *reason)
{
	const uint8_t *header = header_of(copy);
	uint32_t count = load_le32(header + HEADER_ENTRY_COUNT);
	uint32_t entry_size = load_le32(header + HEADER_ENTRY_SIZE);

	if (load_le64(header + HEADER_LAST_USABLE) >= copy->sector_count ||
	    load_le64(header + HEADER_FIRST_USABLE) > load_le64(header + HEADER_LAST_USABLE))
		snprintf(reason, GPT_REASON_SIZE,
			 "GPT: made for a larger disk: usable sectors %lu to %lu, the disk has %lu",
			 (unsigned long)load_le64(header + HEADER_FIRST_USABLE),
			 (unsigned long)load_le64(header + HEADER_LAST_USABLE),
			 (unsigned long)copy->sector_count);
	else if (count == 0 || count > GPT_PARTITION_MAX || entry_size < ENTRY_SIZE_MIN ||
		 entry_size > 4096 || !is_power_of_two(entry_size))
		snprintf(reason, GPT_REASON_SIZE, "GPT: %u entries of %u bytes are not supported", count,
			 entry_size);
	else
		return true;
	return false;
}

/* Where the entries are; NULL when they are not all within the copy, clear of MBR and header. */
static const uint8_t *find_entries(const struct copy *copy, char *reason)
{
	const uint8_t *header = header_of(copy);
	uint64_t size =
		(uint64_t)load_le32(header + HEADER_ENTRY_COUNT) * load_le32(header + HEADER_ENTRY_SIZE);
	uint64_t sectors = (size + copy->sector_size - 1) / copy->sector_size;
	uint64_t sector = load_le64(header + HEADER_ENTRIES_SECTOR);
	bool is_first = copy->header_sector == 1;
	uint64_t begin = is_first ? 2 : copy->first_sector;
	uint64_t end = is_first ? copy->size / copy->sector_size : copy->header_sector;

	if (sector >= begin && sector <= end && range_fits(sector - begin, sectors, end - begin))
		return copy->bytes + (sector - copy->first_sector) * copy->sector_size;
	snprintf(reason, GPT_REASON_SIZE, "GPT: entries in sector %lu are not where they are looked for",
		 (unsigned long)sector);
	return NULL;
}

/* The index of a partition with a sector of `first` to `last`; gpt->partition_count: there is none. */
static uint32_t find_overlap(const struct gpt *gpt, uint64_t first, uint64_t last)
{
	uint32_t i;

	for (i = 0; i < gpt->partition_count; i++) {
		const struct gpt_partition *partition = &gpt->partitions[i];

		if (first < partition->first_sector + partition->sector_count &&
		    partition->first_sector <= last)
			break;
	}
	return i;
}

/* False when a partition lies outside the usable sectors or over another one. */
static bool read_entries(const uint8_t *header, const uint8_t *entries, struct gpt *gpt, char *reason)
{
	uint32_t count = load_le32(header + HEADER_ENTRY_COUNT);
	uint32_t entry_size = load_le32(header + HEADER_ENTRY_SIZE);
	uint8_t numbers[GPT_PARTITION_MAX]; /* of the partitions, for people: entries count from 1 */

	gpt->partition_count = 0;
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *entry = entries + (uint64_t)i * entry_size;
		struct gpt_partition *partition = &gpt->partitions[gpt->partition_count];
		uint64_t first = load_le64(entry + ENTRY_FIRST);
		uint64_t last = load_le64(entry + ENTRY_LAST);
		uint32_t other;

		if (gpt_is_blank(entry, GPT_GUID_SIZE)) /* unused */
			continue;
		if (first > last || first < load_le64(header + HEADER_FIRST_USABLE) ||
		    last > load_le64(header + HEADER_LAST_USABLE)) {
			snprintf(reason, GPT_REASON_SIZE,
				 "GPT: partition %u, sectors %lu to %lu, makes no sense", i + 1,
				 (unsigned long)first, (unsigned long)last);
			return false;
		}
		other = find_overlap(gpt, first, last);
		if (other < gpt->partition_count) {
			snprintf(reason, GPT_REASON_SIZE, "GPT: partitions %u and %u overlap", numbers[other],
				 i + 1);
			return false;
		}
		memcpy(partition->type, entry, GPT_GUID_SIZE);
		partition->first_sector = first;
		partition->sector_count = last - first + 1;
		numbers[gpt->partition_count++] = (uint8_t)(i + 1);
	}
	return true;
}

static enum gpt_content parse_copy(const struct copy *copy, struct gpt *gpt, char *reason)
{
	const uint8_t *header = header_of(copy);
	const uint8_t *entries;
	uint64_t size;

	if (!is_header_whole(copy, reason))
		return GPT_DAMAGED;
	if (!is_header_sensible(copy, reason))
		return GPT_BROKEN;
	entries = find_entries(copy, reason);
	if (!entries)
		return GPT_BROKEN;
	size = (uint64_t)load_le32(header + HEADER_ENTRY_COUNT) * load_le32(header + HEADER_ENTRY_SIZE);
	if (crc32_ieee(0, entries, size) != load_le32(header + HEADER_ENTRIES_CRC)) {
		snprintf(reason, GPT_REASON_SIZE, "GPT: wrong checksum of the entries");
		return GPT_DAMAGED;
	}
	return read_entries(header, entries, gpt, reason) ? GPT_GOOD : GPT_BROKEN;
}

enum gpt_content gpt_parse(const uint8_t *head, uint64_t size, uint32_t sector_size, uint64_t sector_count,
			   struct gpt *gpt, char reason[GPT_REASON_SIZE])
{
	const struct copy copy = { head, size, sector_size, sector_count, .header_sector = 1 };

	memset(gpt, 0, sizeof(*gpt));
	reason[0] = '\0';
	if (sector_size < 512 || size < 2ull * sector_size) {
		snprintf(reason, GPT_REASON_SIZE, "too small for a partition table");
		return GPT_UNKNOWN;
	}
	return has_header(&copy) ? parse_copy(&copy, gpt, reason)
				 : content_without_header(head, size, reason);
}

enum gpt_content gpt_parse_backup(const uint8_t *tail, uint64_t size, uint32_t sector_size,
				  uint64_t sector_count, struct gpt *gpt, char reason[GPT_REASON_SIZE])
{
	const struct copy copy = { tail,
				   size,
				   sector_size,
				   sector_count,
				   .first_sector = sector_count - size / sector_size,
				   .header_sector = sector_count - 1 };

	ASSERT(size >= sector_size);
	ASSERT(size / sector_size <= sector_count);
	memset(gpt, 0, sizeof(*gpt));
	reason[0] = '\0';
	if (has_header(&copy))
		return parse_copy(&copy, gpt, reason);
	snprintf(reason, GPT_REASON_SIZE, "GPT: there is no header in the disk's last sector");
	return GPT_DAMAGED;
}

const struct gpt_partition *gpt_find(const struct gpt *gpt, const uint8_t type[GPT_GUID_SIZE])
{
	for (uint32_t i = 0; i < gpt->partition_count; i++)
		if (memcmp(gpt->partitions[i].type, type, GPT_GUID_SIZE) == 0)
			return &gpt->partitions[i];
	return NULL;
}
