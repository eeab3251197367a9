/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nested page tables: guest-physical to server-physical, APM 2, 15.25. All of the
 * guest's memory is mapped writable at start, in 2 MiB pages where both addresses
 * allow it, so the guest never waits for a page and no event's delivery is ever
 * interrupted by one. What is not mapped is a device, or nothing: an exit.
 *
 * Accessed and dirty bits are set from the start, so that the processor never writes
 * them while the guest runs. QEMU 7.2 does not get that right in one case: a store that
 * sets a nested dirty bit and changes the very next instruction leaves the old one to
 * be executed. When clean pages are looked for (a join), that is to be remembered.
 *
 * Tables come from a pool that is taken once; mapping a guest with N GiB needs N + 2
 * of them, and one more for each 2 MiB that is mapped in 4 KiB pieces.
 */
#include <errno.h>
#include <string.h>

#include "include/assert.h"
#include "include/trace.h"
#include "kernel/page_map.h"
#include "kernel/pages.h"
#include "kernel/svm/svm.h"

TRACE_FILE("svm", TRACE_INFO);

#define ENTRY_COUNT 512
#define ENTRY_PRESENT BIT(0)
#define ENTRY_WRITE BIT(1)
#define ENTRY_USER BIT(2) /* nested walks are user accesses: 15.25.5 */
#define ENTRY_LARGE BIT(7)
#define ENTRY_ADDRESS UINT64_C(0x000ffffffffff000)
#define ENTRY_ACCESSED BIT(5)
#define ENTRY_DIRTY BIT(6)
#define ENTRY_RIGHTS (ENTRY_PRESENT | ENTRY_WRITE | ENTRY_USER | ENTRY_ACCESSED | ENTRY_DIRTY)

#define LEVEL_TOP 3 /* 3: 512 GiB an entry, 2: 1 GiB, 1: 2 MiB, 0: 4 KiB */
#define LEVEL_LARGE 1
#define LEVEL_SHIFT(level) (12 + 9 * (level))
#define GPA_LIMIT (UINT64_C(1) << 48)

#define TABLE_COUNT 128

static uint64_t pool_physical;
static uint32_t pool_used;

static uint64_t *table_pointer(uint64_t physical)
{
	return pages_pointer(physical & ENTRY_ADDRESS);
}

/* Physical address of an empty table, 0 when the pool is used up. */
static uint64_t table_take(void)
{
	uint64_t physical;

	if (pool_used == TABLE_COUNT)
		return 0;
	physical = pool_physical + pool_used++ * PAGE_SIZE;
	memset(table_pointer(physical), 0, PAGE_SIZE);
	return physical;
}

uint64_t svm_npt_init(void)
{
	if (!pool_physical)
		pool_physical = pages_allocate(TABLE_COUNT, PAGE_SIZE);
	if (!pool_physical)
		return 0;
	svm_npt_clear();
	return pool_physical;
}

void svm_npt_clear(void)
{
	uint64_t root;

	pool_used = 0;
	root = table_take();
	ASSERT(root == pool_physical);
}

static int map_page(uint64_t gpa, uint64_t hpa, uint32_t level)
{
	uint64_t *table = table_pointer(pool_physical);

	for (uint32_t at = LEVEL_TOP; at > level; at--) {
		uint64_t *entry = &table[(gpa >> LEVEL_SHIFT(at)) % ENTRY_COUNT];

		ASSERT(!(*entry & ENTRY_LARGE));
		if (!*entry) {
			uint64_t physical = table_take();

			if (!physical)
				return trace_error(-ENOMEM);
			*entry = physical | ENTRY_RIGHTS;
		}
		table = table_pointer(*entry);
	}
	table[(gpa >> LEVEL_SHIFT(level)) % ENTRY_COUNT] = hpa | ENTRY_RIGHTS | (level ? ENTRY_LARGE : 0);
	return 0;
}

int svm_npt_map(uint64_t gpa, uint64_t hpa, uint64_t size)
{
	ASSERT(is_aligned(gpa | hpa | size, PAGE_SIZE));
	ASSERT(range_fits(gpa, size, GPA_LIMIT));
	while (size) {
		bool large = is_aligned(gpa | hpa, LARGE_PAGE_SIZE) && size >= LARGE_PAGE_SIZE;
		uint64_t step = large ? LARGE_PAGE_SIZE : PAGE_SIZE;
		int result = map_page(gpa, hpa, large ? LEVEL_LARGE : 0);

		if (result)
			return result;
		gpa += step;
		hpa += step;
		size -= step;
	}
	return 0;
}
