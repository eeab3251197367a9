/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lies on a disk, told by name. The good table is made here with zlib's
 * well-known CRC-32, written a second time bit by bit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "include/byte_order.h"
#include "kernel/gpt.h"

#define SECTOR_COUNT 131072u

static uint8_t head[GPT_COPY_SIZE];
static uint8_t tail[GPT_COPY_SIZE];
static uint32_t sector_size;
static struct gpt gpt;
static char reason[GPT_REASON_SIZE];
static const uint8_t type_a[GPT_GUID_SIZE] = { 1, 2, 3 };
static const uint8_t type_b[GPT_GUID_SIZE] = { 9, 9, 9 };

static uint32_t crc32_slow(const uint8_t *bytes, size_t size)
{
	uint32_t crc = 0xffffffff;

	for (size_t i = 0; i < size; i++) {
		crc ^= bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return ~crc;
}

static void seal_header(uint8_t *header)
{
	store_le32(header + 16, 0);
	store_le32(header + 16, crc32_slow(header, 92));
}

static void seal(void)
{
	store_le32(head + sector_size + 88, crc32_slow(head + 2 * sector_size, 128 * 128));
	seal_header(head + sector_size);
}

static void put_entry(uint32_t index, const uint8_t type[GPT_GUID_SIZE], uint64_t first, uint64_t last)
{
	uint8_t *entry = head + 2 * sector_size + 128 * index;

	memcpy(entry, type, GPT_GUID_SIZE);
	store_le64(entry + 32, first);
	store_le64(entry + 40, last);
}

static void make_good(uint32_t size)
{
	uint8_t *header;

	sector_size = size;
	memset(head, 0, sizeof(head));
	head[510] = 0x55;
	head[511] = 0xaa;
	header = head + sector_size;
	memcpy(header, "EFI PART", 8);
	store_le32(header + 8, 0x10000);
	store_le32(header + 12, 92);
	store_le64(header + 24, 1);
	store_le64(header + 32, SECTOR_COUNT - 1);
	store_le64(header + 40, 34);
	store_le64(header + 48, SECTOR_COUNT - 34);
	store_le64(header + 72, 2);
	store_le32(header + 80, 128);
	store_le32(header + 84, 128);
	put_entry(0, type_b, 2048, 4095);
	put_entry(3, type_a, 4096, 4096);
	seal();
}

static uint8_t *backup_header(void)
{
	return tail + sizeof(tail) - sector_size;
}

/* The second copy of what is in `head`, as it lies at the disk's end. */
static void make_backup(void)
{
	uint8_t *header = backup_header();

	memset(tail, 0, sizeof(tail));
	memcpy(header, head + sector_size, sector_size);
	memcpy(header - 128 * 128, head + 2 * sector_size, 128 * 128);
	store_le64(header + 24, SECTOR_COUNT - 1);
	store_le64(header + 32, 1);
	store_le64(header + 72, SECTOR_COUNT - 1 - 128 * 128 / sector_size);
	seal_header(header);
}

static enum gpt_content parse_backup(void)
{
	return gpt_parse_backup(tail, sizeof(tail), sector_size, SECTOR_COUNT, &gpt, reason);
}

static enum gpt_content parse(void)
{
	return gpt_parse(head, sizeof(head), sector_size, SECTOR_COUNT, &gpt, reason);
}

static void assert_reason(const char *part)
{
	if (!strstr(reason, part))
		fail_msg("reason is \"%s\", expected \"%s\" in it", reason, part);
}

static void assert_broken(const char *part)
{
	assert_int_equal(parse(), GPT_BROKEN);
	assert_reason(part);
}

static void assert_damaged(const char *part)
{
	assert_int_equal(parse(), GPT_DAMAGED);
	assert_reason(part);
}

static void good_tables_are_read(void **state)
{
	const struct gpt_partition *partition;

	(void)state;
	for (uint32_t size = 512; size <= 4096; size *= 8) {
		make_good(size);
		assert_int_equal(parse(), GPT_GOOD);
		assert_int_equal(gpt.partition_count, 2);
		partition = gpt_find(&gpt, type_a);
		assert_non_null(partition);
		assert_true(partition->first_sector == 4096 && partition->sector_count == 1);
		partition = gpt_find(&gpt, type_b);
		assert_true(partition->first_sector == 2048 && partition->sector_count == 2048);
		assert_null(gpt_find(&gpt, (const uint8_t *)"0123456789abcdef"));
	}
}

static void other_contents_are_told_apart(void **state)
{
	(void)state;
	sector_size = 512;
	memset(head, 0, sizeof(head));
	assert_int_equal(parse(), GPT_BLANK);
	head[510] = 0x55;
	head[511] = 0xaa;
	assert_int_equal(parse(), GPT_FOREIGN_TABLE);
	assert_non_null(strstr(reason, "MBR"));
	srand(1);
	for (size_t i = 0; i < sizeof(head); i++)
		head[i] = (uint8_t)rand();
	assert_int_equal(parse(), GPT_UNKNOWN);
	assert_int_equal(gpt_parse(head, 1000, 512, SECTOR_COUNT, &gpt, reason), GPT_UNKNOWN);
}

static void damage_is_told(void **state)
{
	(void)state;
	make_good(512);
	head[512 + 50]++;
	assert_damaged("header checksum");
	make_good(512);
	head[1024 + 7]++;
	assert_damaged("checksum of the entries");
	make_good(512);
	store_le32(head + 512 + 12, 600);
	seal();
	assert_damaged("header size 600");
	make_good(512);
	store_le64(head + 512 + 24, 5);
	seal();
	assert_damaged("in sector 5");
	make_good(512);
	head[446 + 4] = 0xee;
	memset(head + 512, 0, 512);
	assert_damaged("no header");
}

static void senseless_tables_are_told(void **state)
{
	(void)state;
	make_good(512);
	store_le64(head + 512 + 48, SECTOR_COUNT);
	seal();
	assert_broken("larger disk");
	make_good(512);
	store_le32(head + 512 + 80, 0xffffffff);
	seal();
	assert_broken("4294967295 entries");
	make_good(512);
	store_le64(head + 512 + 72, UINT64_MAX / 2);
	seal();
	assert_broken("not where they are looked for");
	make_good(512);
	put_entry(5, type_a, 4000, SECTOR_COUNT);
	seal();
	assert_broken("partition 6");
	make_good(512);
	put_entry(5, type_a, 5000, 4999);
	seal();
	assert_broken("partition 6");
}

/* One sector in common is enough, whichever comes first and however they lie. */
static void overlapping_partitions_are_refused(void **state)
{
	static const uint64_t ranges[][2] = { { 4095, 4095 }, { 1000, 2048 }, { 2100, 2200 }, { 34, 4095 } };

	(void)state;
	for (uint32_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		make_good(512);
		put_entry(5, type_a, ranges[i][0], ranges[i][1]);
		seal();
		assert_broken("partitions 1 and 6 overlap");
	}
	make_good(512);
	put_entry(5, type_a, 1000, 2047);
	put_entry(127, type_a, 4097, 4097);
	seal();
	assert_int_equal(parse(), GPT_GOOD);
	assert_int_equal(gpt.partition_count, 4);
}

static void the_backup_is_read(void **state)
{
	(void)state;
	for (uint32_t size = 512; size <= 4096; size *= 8) {
		make_good(size);
		make_backup();
		assert_int_equal(parse_backup(), GPT_GOOD);
		assert_int_equal(gpt.partition_count, 2);
		assert_true(gpt_find(&gpt, type_b)->first_sector == 2048);
		/* The smallest piece that holds it. */
		assert_int_equal(gpt_parse_backup(backup_header() - 128 * 128, 128 * 128 + size, size,
						  SECTOR_COUNT, &gpt, reason),
				 GPT_GOOD);
	}
}

static void a_bad_backup_is_told(void **state)
{
	(void)state;
	make_good(512);
	memset(tail, 0, sizeof(tail));
	assert_int_equal(parse_backup(), GPT_DAMAGED);
	assert_reason("no header in the disk's last sector");
	make_backup();
	backup_header()[50]++;
	assert_int_equal(parse_backup(), GPT_DAMAGED);
	assert_reason("header checksum");
	make_backup();
	(backup_header() - 128 * 128)[3]++;
	assert_int_equal(parse_backup(), GPT_DAMAGED);
	assert_reason("checksum of the entries");
	/* The first copy's header, put at the end. */
	make_backup();
	memcpy(backup_header(), head + 512, 512);
	assert_int_equal(parse_backup(), GPT_DAMAGED);
	assert_reason("says it is in sector 1, and is in 131071");
	/* Entries that begin before what was read, and ones that run into the header. */
	make_backup();
	assert_int_equal(gpt_parse_backup(backup_header() - 512, 1024, 512, SECTOR_COUNT, &gpt, reason),
			 GPT_BROKEN);
	assert_reason("not where they are looked for");
	make_backup();
	store_le64(backup_header() + 72, SECTOR_COUNT - 32);
	seal_header(backup_header());
	assert_int_equal(parse_backup(), GPT_BROKEN);
	assert_reason("not where they are looked for");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_tables_are_read),
		cmocka_unit_test(other_contents_are_told_apart),
		cmocka_unit_test(damage_is_told),
		cmocka_unit_test(senseless_tables_are_told),
		cmocka_unit_test(overlapping_partitions_are_refused),
		cmocka_unit_test(the_backup_is_read),
		cmocka_unit_test(a_bad_backup_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
