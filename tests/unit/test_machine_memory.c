/* SPDX-License-Identifier: Apache-2.0 */
/* machine/guest_memory.c: every address the guest can name, and the processor's reset state. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "include/vcpu_state.h"
#include "machine/guest_memory.h"

/* Never touched: only addresses are computed. */
static uint8_t *const base = (uint8_t *)(uintptr_t)0x10000000000;

static void small_memory_is_all_low(void **state)
{
	struct guest_memory memory;

	(void)state;
	guest_memory_init(&memory, base, 64 * MIB, 256 * KIB);
	assert_true(memory.low_size == 64 * MIB && memory.high_size == 0);
	assert_ptr_equal(guest_memory_at(&memory, 0, 1), base);
	assert_ptr_equal(guest_memory_at(&memory, 64 * MIB - 4, 4), base + 64 * MIB - 4);
	assert_null(guest_memory_at(&memory, 64 * MIB - 4, 5));
	assert_null(guest_memory_at(&memory, 64 * MIB, 1));
	assert_null(guest_memory_at(&memory, 4 * GIB, 1));
	assert_ptr_equal(guest_memory_at(&memory, 4 * GIB - 256 * KIB, 256 * KIB), base + 64 * MIB);
	assert_null(guest_memory_at(&memory, 4 * GIB - 256 * KIB - 1, 2));
	assert_null(guest_memory_at(&memory, 4 * GIB - 1, 2));
}

static void large_memory_goes_on_above_4_gib(void **state)
{
	struct guest_memory memory;

	(void)state;
	guest_memory_init(&memory, base, 5 * GIB, 256 * KIB);
	assert_true(memory.low_size == 3 * GIB && memory.high_size == 2 * GIB);
	assert_ptr_equal(guest_memory_at(&memory, 4 * GIB, 8), base + 3 * GIB);
	assert_ptr_equal(guest_memory_at(&memory, 6 * GIB - 8, 8), base + 5 * GIB - 8);
	assert_null(guest_memory_at(&memory, 6 * GIB - 8, 9));
	assert_null(guest_memory_at(&memory, 3 * GIB - 1, 2));
	assert_ptr_equal(guest_memory_at(&memory, 4 * GIB - 1, 1), base + 5 * GIB + 256 * KIB - 1);
}

static void nothing_wraps(void **state)
{
	struct guest_memory memory;

	(void)state;
	guest_memory_init(&memory, base, 64 * MIB, 0);
	assert_null(guest_memory_at(&memory, UINT64_MAX, 2));
	assert_null(guest_memory_at(&memory, 4096, UINT64_MAX));
	assert_null(guest_memory_at(&memory, UINT64_MAX, UINT64_MAX));
	assert_null(guest_memory_at(&memory, 4 * GIB - 1, 1));
}

static void offsets_and_addresses_agree(void **state)
{
	struct guest_memory memory;
	const uint64_t gpas[] = { 0, 3 * GIB - 1, 4 * GIB, 5 * GIB - 1, 4 * GIB - 1, 4 * GIB - 256 * KIB };

	(void)state;
	guest_memory_init(&memory, base, 4 * GIB, 256 * KIB);
	for (size_t i = 0; i < ARRAY_SIZE(gpas); i++) {
		const uint8_t *at = guest_memory_at(&memory, gpas[i], 1);

		assert_non_null(at);
		assert_true(guest_memory_gpa(&memory, (uint64_t)(at - base)) == gpas[i]);
	}
}

static void copies_are_all_or_nothing(void **state)
{
	static uint8_t bytes[16 * 1024 * 1024];
	struct guest_memory memory;
	uint8_t out[4] = { 9, 9, 9, 9 };

	(void)state;
	guest_memory_init(&memory, bytes, sizeof(bytes), 0);
	assert_true(guest_memory_write(&memory, 0x1000, "abcd", 4));
	assert_memory_equal(bytes + 0x1000, "abcd", 4);
	assert_false(guest_memory_write(&memory, sizeof(bytes) - 2, "abcd", 4));
	assert_int_equal(bytes[sizeof(bytes) - 2], 0);
	assert_false(guest_memory_read(&memory, sizeof(bytes) - 2, out, 4));
	assert_int_equal(out[0], 9);
	assert_true(guest_memory_read(&memory, 0x1002, out, 2));
	assert_memory_equal(out, "cd", 2);
}

static void reset_starts_16_bytes_below_4_gib(void **state)
{
	struct vcpu_state vcpu;

	(void)state;
	memset(&vcpu, 0xa5, sizeof(vcpu));
	vcpu_state_reset(&vcpu);
	assert_true(vcpu.segments[VCPU_CS].base + vcpu.rip == 4 * GIB - 16);
	assert_true(vcpu.rflags == 2);
	assert_true(vcpu.cr0 == 0x60000010);
	assert_int_equal(vcpu.reserved[0], 0);
	assert_int_equal(vcpu.xsave[24], 0x80);
	assert_int_equal(vcpu.xsave[25], 0x1f);
}

static void what_we_write_is_noted(void **state)
{
	static uint8_t bytes[64 * 1024];
	static uint64_t written[(16 * MIB + 256 * KIB) / GUEST_MEMORY_PAGE_SIZE / 64 + 1];
	static uint8_t ram[16 * MIB + 256 * KIB];
	struct guest_memory memory;

	(void)state;
	guest_memory_init(&memory, ram, 16 * MIB, 256 * KIB);
	assert_true(guest_memory_write(&memory, 0x1000, bytes, 8)); /* nobody asks */
	memory.written = written;
	assert_true(guest_memory_read(&memory, 0x2000, bytes, 8));
	assert_non_null(guest_memory_at(&memory, 0x3000, 8));
	assert_non_null(guest_memory_to_write(&memory, 0x4000, 0));
	for (uint32_t i = 0; i < ARRAY_SIZE(written); i++)
		assert_true(written[i] == 0);
	assert_true(guest_memory_write(&memory, 63 * 4096 + 4095, bytes,
				       2)); /* over the end of a page, and of a word */
	assert_true(written[0] == BIT(63));
	assert_true(written[1] == BIT(0));
	assert_non_null(guest_memory_to_write(&memory, 0x100000, 64 * 1024));
	assert_true(written[4] == 0xffff);
	assert_non_null(guest_memory_to_write(&memory, 4 * GIB - 4096, 4096)); /* the firmware's last page */
	assert_true(written[16 * MIB / 4096 / 64] == BIT(63)); /* 64 pages of it, behind the RAM */
	assert_false(guest_memory_write(&memory, 16 * MIB - 4, bytes, 8));
	assert_true(written[16 * MIB / 4096 / 64 - 1] == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_memory_is_all_low),
		cmocka_unit_test(large_memory_goes_on_above_4_gib),
		cmocka_unit_test(nothing_wraps),
		cmocka_unit_test(offsets_and_addresses_agree),
		cmocka_unit_test(copies_are_all_or_nothing),
		cmocka_unit_test(reset_starts_16_bytes_below_4_gib),
		cmocka_unit_test(what_we_write_is_noted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
