/* SPDX-License-Identifier: Apache-2.0 */
/* Nested page tables: those taken at start are enough for the guest, however large it is, and not many more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/page_map.h"
#include "kernel/pages.h"
#include "kernel/svm/svm.h"
#include "kernel/vcpu.h"
#include "machine/guest_memory.h"

#define HPA_BASE (UINT64_C(1) << 40) /* of the guest's memory, which nobody touches */

static bool is_memory_left;
static uint64_t taken; /* pages */
static void *pieces[16];
static uint32_t piece_count;

uint64_t pages_allocate(uint64_t count, uint64_t alignment)
{
	if (!is_memory_left)
		return 0;
	assert_true(piece_count < ARRAY_SIZE(pieces));
	pieces[piece_count] = aligned_alloc(alignment, count * PAGE_SIZE);
	assert_non_null(pieces[piece_count]);
	taken += count;
	return (uintptr_t)pieces[piece_count++];
}

void *pages_pointer(uint64_t physical)
{
	return (void *)(uintptr_t)physical;
}

/* As kernel/guest.c does it. */
static void map_all(const struct guest_memory *memory)
{
	uint64_t total = guest_memory_total(memory);

	for (uint64_t offset = 0; offset < total; offset += LARGE_PAGE_SIZE)
		assert_int_equal(svm_npt_map(guest_memory_gpa(memory, offset), HPA_BASE + offset,
					     min_u64(LARGE_PAGE_SIZE, total - offset)),
				 0);
}

/* What is mapped has its dirty bits set from the start. */
static bool is_mapped(uint64_t gpa)
{
	uint64_t dirty[VCPU_DIRTY_WORDS];

	svm_npt_take_dirty(align_down(gpa, LARGE_PAGE_SIZE), dirty);
	return dirty[gpa % LARGE_PAGE_SIZE / PAGE_SIZE / 64] >> gpa / PAGE_SIZE % 64 & 1;
}

static void a_guest_of_any_size_is_mapped(void **state)
{
	static const uint64_t sizes[] = { 16 * MIB,  512 * MIB, 3 * GIB,   3 * GIB + 2 * MIB,
					  120 * GIB, 511 * GIB, 512 * GIB, 1024 * GIB };

	(void)state;
	is_memory_left = true;
	for (uint32_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct guest_memory memory;
		uint64_t total;

		guest_memory_init(&memory, NULL, sizes[i], GUEST_FIRMWARE_SIZE_MAX);
		total = guest_memory_total(&memory);
		taken = 0;
		assert_int_not_equal(svm_npt_init(total), 0);
		assert_true(taken <= sizes[i] / GIB + 20);
		for (uint32_t times = 0; times < 2; times++) { /* at each power-on */
			svm_npt_clear();
			map_all(&memory);
		}
		assert_true(is_mapped(0));
		assert_true(is_mapped(guest_memory_gpa(&memory, sizes[i] - PAGE_SIZE)));
		assert_true(is_mapped(guest_memory_gpa(&memory, total - PAGE_SIZE)));
		assert_false(is_mapped(GUEST_MEMORY_LOW_MAX));
	}
}

static void a_server_without_the_memory_says_so(void **state)
{
	(void)state;
	is_memory_left = false;
	assert_int_equal(svm_npt_init(GIB), 0);
}

static int free_all(void **state)
{
	(void)state;
	while (piece_count > 0)
		free(pieces[--piece_count]);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_server_without_the_memory_says_so),
		cmocka_unit_test(a_guest_of_any_size_is_mapped),
	};

	return cmocka_run_group_tests_name("npt", tests, NULL, free_all);
}
