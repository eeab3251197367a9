/* SPDX-License-Identifier: Apache-2.0 */
/* include/: bits, ring, byte order, CRC-32C. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "include/bits.h"
#include "include/byte_order.h"
#include "include/crc32c.h"
#include "include/ring.h"

static void crc32c_known_values(void **state)
{
	uint8_t zeros[32] = { 0 };
	uint8_t ones[32];
	uint8_t counting[32];

	(void)state;
	memset(ones, 0xff, sizeof(ones));
	for (uint8_t i = 0; i < 32; i++)
		counting[i] = i;
	/* RFC 3720, appendix B.4. */
	assert_int_equal(crc32c(0, zeros, 32), 0x8a9136aa);
	assert_int_equal(crc32c(0, ones, 32), 0x62a8ab43);
	assert_int_equal(crc32c(0, counting, 32), 0x46dd794e);
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	/* In two parts at every cut: the same. */
	for (size_t cut = 0; cut <= 32; cut++)
		assert_int_equal(crc32c(crc32c(0, counting, cut), counting + cut, 32 - cut), 0x46dd794e);
}

/* Where the processor has no instruction for it, this compares the tables with themselves. */
static void crc32c_either_way(void **state)
{
	uint8_t bytes[300];

	(void)state;
	for (uint32_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 151 + i / 7);
	for (uint32_t start = 0; start < 9; start++)
		for (uint32_t size = 0; start + size <= sizeof(bytes); size++)
			assert_int_equal(crc32c(start, bytes + start, size),
					 crc32c_by_tables(start, bytes + start, size));
}

static void ring_runs_through_the_wrap(void **state)
{
	struct ring ring;

	(void)state;
	ring_init(&ring, 4);
	ring.producer = ring.consumer = UINT32_MAX - 1;
	assert_true(ring_empty(&ring));
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(ring_head(&ring), (UINT32_MAX - 1 + i) % 4);
		ring_produce(&ring);
	}
	assert_true(ring_full(&ring));
	assert_int_equal(ring_fill(&ring), 4);
	assert_int_equal(ring_tail(&ring), 2);
	for (uint32_t i = 0; i < 4; i++)
		ring_consume(&ring);
	assert_true(ring_empty(&ring));
	assert_int_equal(ring_space(&ring), 4);
}

static void range_fits_never_wraps(void **state)
{
	(void)state;
	assert_true(range_fits(0, 0, 0));
	assert_true(range_fits(10, 90, 100));
	assert_false(range_fits(10, 91, 100));
	assert_false(range_fits(UINT64_MAX, 2, 100));
	assert_false(range_fits(2, UINT64_MAX, 100));
	assert_false(range_fits(101, 0, 100));
}

static void byte_order_round_trips(void **state)
{
	uint8_t bytes[9] = { 0 };

	(void)state;
	store_be32(bytes + 1, 0x01020304);
	assert_int_equal(bytes[1], 1);
	assert_int_equal(bytes[4], 4);
	assert_int_equal(load_be32(bytes + 1), 0x01020304);
	assert_int_equal(load_le32(bytes + 1), 0x04030201);
	store_be16(bytes, 0xabcd);
	assert_int_equal(load_le16(bytes), 0xcdab);
	store_le64(bytes + 1, UINT64_C(0x1122334455667788));
	assert_true(load_be64(bytes + 1) == UINT64_C(0x8877665544332211));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crc32c_known_values),	      cmocka_unit_test(crc32c_either_way),
		cmocka_unit_test(ring_runs_through_the_wrap), cmocka_unit_test(range_fits_never_wraps),
		cmocka_unit_test(byte_order_round_trips),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
