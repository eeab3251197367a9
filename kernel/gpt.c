/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checked reading of a GUID partition table: signature, sizes, both checksums,
 * and each partition inside the disk, before anything is believed. Only the first
 * copy is read: a disk whose first copy is broken wants a person, not a guess.
 */
#include "kernel/gpt.h"

#include <stdio.h>
#include <string.h>

#include "include/byte_order.h"

/* The header, in sector 1 (table 5-5). */
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

#define MBR_SIGNATURE 510

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

static enum gpt_content content_without_header(const uint8_t *head, uint64_t size, char *reason)
{
	if (gpt_is_blank(head, size)) {
		snprintf(reason, GPT_REASON_SIZE, "empty: its first %lu bytes are zero", (unsigned long)size);
		return GPT_BLANK;
	}
	if (load_le16(head + MBR_SIGNATURE) == 0xaa55) {
		snprintf(reason, GPT_REASON_SIZE, "a foreign partition table (MBR), no GPT");
		return GPT_FOREIGN_TABLE;
	}
	snprintf(reason, GPT_REASON_SIZE, "data without a partition table");
	return GPT_UNKNOWN;
}

static bool check_header(const uint8_t *header, uint32_t sector_size, uint64_t sector_count, char *reason)
{
	uint32_t header_size = load_le32(header + HEADER_SIZE);
	uint8_t copy[HEADER_SIZE_MIN];
	uint32_t crc;

	if (header_size < HEADER_SIZE_MIN || header_size > sector_size) {
		snprintf(reason, GPT_REASON_SIZE, "GPT: header size %u makes no sense", header_size);
		return false;
	}
	/* The sum is made with its own field taken as 0 (5.3.2). */
	memcpy(copy, header, sizeof(copy));
	memset(copy + HEADER_CRC, 0, 4);
	crc = crc32_ieee(0, copy, sizeof(copy));
	crc = crc32_ieee(crc, header + HEADER_SIZE_MIN, header_size - HEADER_SIZE_MIN);
	if (crc != load_le32(header + HEADER_CRC))
		snprintf(reason, GPT_REASON_SIZE, "GPT: wrong header checksum");
	else if (load_le64(header + HEADER_OWN_SECTOR) != 1)
		snprintf(reason, GPT_REASON_SIZE, "GPT: the header says it is in sector %lu, and is in 1",
			 (unsigned long)load_le64(header + HEADER_OWN_SECTOR));
	else if (load_le64(header + HEADER_LAST_USABLE) >= sector_count ||
		 load_le64(header + HEADER_FIRST_USABLE) > load_le64(header + HEADER_LAST_USABLE))
		snprintf(reason, GPT_REASON_SIZE,
			 "GPT: made for a larger disk: usable sectors %lu to %lu, the disk has %lu",
			 (unsigned long)load_le64(header + HEADER_FIRST_USABLE),
			 (unsigned long)load_le64(header + HEADER_LAST_USABLE), (unsigned long)sector_count);
	else
		return true;
	return false;
}

/* Where the entries are in `head`; NULL when they are not all there or their sum is wrong. */
static const uint8_t *check_entries(const uint8_t *head, uint64_t size, uint32_t sector_size, char *reason)
{
	const uint8_t *header = head + sector_size;
	uint64_t sector = load_le64(header + HEADER_ENTRIES_SECTOR);
	uint32_t count = load_le32(header + HEADER_ENTRY_COUNT);
	uint32_t entry_size = load_le32(header + HEADER_ENTRY_SIZE);

	if (count == 0 || count > GPT_PARTITION_MAX || entry_size < ENTRY_SIZE_MIN || entry_size > 4096 ||
	    !is_power_of_two(entry_size))
		snprintf(reason, GPT_REASON_SIZE, "GPT: %u entries of %u bytes are not supported", count,
			 entry_size);
	else if (sector < 2 || sector > size / sector_size ||
		 !range_fits(sector * sector_size, (uint64_t)count * entry_size, size))
		snprintf(reason, GPT_REASON_SIZE,
			 "GPT: entries in sector %lu are not where they are looked for",
			 (unsigned long)sector);
	else if (crc32_ieee(0, head + sector * sector_size, (uint64_t)count * entry_size) !=
		 load_le32(header + HEADER_ENTRIES_CRC))
		snprintf(reason, GPT_REASON_SIZE, "GPT: wrong checksum of the entries");
	else
		return head + sector * sector_size;
	return NULL;
}

/* False when one partition lies outside the usable sectors. */
static bool read_entries(const uint8_t *header, const uint8_t *entries, struct gpt *gpt, char *reason)
{
	uint32_t count = load_le32(header + HEADER_ENTRY_COUNT);
	uint32_t entry_size = load_le32(header + HEADER_ENTRY_SIZE);

	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *entry = entries + (uint64_t)i * entry_size;
		struct gpt_partition *partition = &gpt->partitions[gpt->partition_count];
		uint64_t first = load_le64(entry + ENTRY_FIRST);
		uint64_t last = load_le64(entry + ENTRY_LAST);

		if (gpt_is_blank(entry, GPT_GUID_SIZE)) /* unused */
			continue;
		if (first > last || first < load_le64(header + HEADER_FIRST_USABLE) ||
		    last > load_le64(header + HEADER_LAST_USABLE)) {
			snprintf(reason, GPT_REASON_SIZE,
				 "GPT: partition %u, sectors %lu to %lu, makes no sense", i + 1,
				 (unsigned long)first, (unsigned long)last);
			return false;
		}
		memcpy(partition->type, entry, GPT_GUID_SIZE);
		partition->first_sector = first;
		partition->sector_count = last - first + 1;
		gpt->partition_count++;
	}
	return true;
}

enum gpt_content gpt_parse(const uint8_t *head, uint64_t size, uint32_t sector_size, uint64_t sector_count,
			   struct gpt *gpt, char reason[GPT_REASON_SIZE])
{
	const uint8_t *header = head + sector_size;
	const uint8_t *entries;

	memset(gpt, 0, sizeof(*gpt));
	reason[0] = '\0';
	if (sector_size < 512 || size < 2ull * sector_size) {
		snprintf(reason, GPT_REASON_SIZE, "too small for a partition table");
		return GPT_UNKNOWN;
	}
	if (memcmp(header, "EFI PART", 8) != 0)
		return content_without_header(head, size, reason);
	if (!check_header(header, sector_size, sector_count, reason))
		return GPT_BROKEN;
	entries = check_entries(head, size, sector_size, reason);
	if (!entries || !read_entries(header, entries, gpt, reason))
		return GPT_BROKEN;
	return GPT_GOOD;
}

const struct gpt_partition *gpt_find(const struct gpt *gpt, const uint8_t type[GPT_GUID_SIZE])
{
	for (uint32_t i = 0; i < gpt->partition_count; i++)
		if (memcmp(gpt->partitions[i].type, type, GPT_GUID_SIZE) == 0)
			return &gpt->partitions[i];
	return NULL;
}
