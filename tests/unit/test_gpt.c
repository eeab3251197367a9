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

static uint8_t head[GPT_HEAD_SIZE];
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

static void seal(void)
{
	uint8_t *header = head + sector_size;

	store_le32(header + 88, crc32_slow(head + 2 * sector_size, 128 * 128));
	store_le32(header + 16, 0);
	store_le32(header + 16, crc32_slow(header, 92));
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

static enum gpt_content parse(void)
{
	return gpt_parse(head, sizeof(head), sector_size, SECTOR_COUNT, &gpt, reason);
}

static void assert_broken(const char *part)
{
	assert_int_equal(parse(), GPT_BROKEN);
	if (!strstr(reason, part))
		fail_msg("reason is \"%s\", expected \"%s\" in it", reason, part);
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

static void broken_tables_are_told(void **state)
{
	(void)state;
	make_good(512);
	head[512 + 50]++;
	assert_broken("header checksum");
	make_good(512);
	head[1024 + 7]++;
	assert_broken("checksum of the entries");
	make_good(512);
	store_le32(head + 512 + 12, 600);
	seal();
	assert_broken("header size 600");
	make_good(512);
	store_le64(head + 512 + 24, 5);
	seal();
	assert_broken("in sector 5");
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_tables_are_read),
		cmocka_unit_test(other_contents_are_told_apart),
		cmocka_unit_test(broken_tables_are_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
