/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nested page tables: guest-physical to server-physical, APM 2, 15.25. All of the
 * guest's memory is mapped writable at start, in 2 MiB pages where both addresses
 * allow it, so the guest never waits for a page and no event's delivery is ever
 * interrupted by one. What is not mapped is a device, or nothing: an exit.
 *
 * Accessed and dirty bits are set from the start, so that the processor never writes
 * them while the guest runs in lockstep. QEMU 7.2 does not get that right in one case:
 * a store that sets a nested dirty bit and changes the very next instruction leaves the
 * old one to be executed.
 *
 * While a join copies the guest, its pages are tracked: large ones split into 4 KiB and
 * dirty bits cleared, so that the processor tells which it writes. Only the server that
 * runs the guest alone does so, and the other one gets whatever came of it.
 *
 * Tables come from a pool that is taken at start, as large as the guest needs it: a
 * table for each GiB, and one more for each 2 MiB that is mapped in 4 KiB pieces.
 * Tracking has a pool of its own, a table for each 2 MiB of the guest.
 */
#include <errno.h>
#include <string.h>

#include "include/assert.h"
#include "include/trace.h"
#include "kernel/page_map.h"
#include "kernel/pages.h"
#include "kernel/svm/svm.h"
#include "kernel/vcpu.h"

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

/* For what is mapped in 4 KiB pieces: a firmware; the guests of self-tests. */
#define SMALL_TABLE_COUNT 8

static uint64_t pool_physical;
static uint64_t pool_count;
static uint64_t pool_used;

/* Tables of split pages; one that stands there is one to be merged again. */
static uint64_t split_physical;
static uint32_t split_count;
static uint32_t split_used;

static uint64_t *table_pointer(uint64_t physical)
{
	return pages_pointer(physical & ENTRY_ADDRESS);
}

/* Physical address of an empty table, 0 when the pool is used up. */
static uint64_t table_take(void)
{
	uint64_t physical;

	if (pool_used == pool_count)
		return 0;
	physical = pool_physical + pool_used++ * PAGE_SIZE;
	memset(table_pointer(physical), 0, PAGE_SIZE);
	return physical;
}

/* Tables that have entries of `level`; the hole below 4 GiB is one of its GiBs. */
static uint64_t table_count(uint64_t guest_size, uint32_t level)
{
	uint64_t covered = UINT64_C(1) << LEVEL_SHIFT(level + 1);

	return align_up(guest_size + GIB, covered) / covered;
}

uint64_t svm_npt_init(uint64_t guest_size)
{
	uint64_t count = SMALL_TABLE_COUNT;

	for (uint32_t level = LEVEL_LARGE; level <= LEVEL_TOP; level++)
		count += table_count(guest_size, level);
	if (pool_count < count) {
		pool_physical = pages_allocate(count, PAGE_SIZE);
		pool_count = pool_physical ? count : 0;
	}
	if (!pool_physical)
		return 0;
	svm_npt_clear();
	return pool_physical;
}

void svm_npt_clear(void)
{
	uint64_t root;

	pool_used = 0;
	split_used = 0;
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

/* ---- which pages the guest writes ---- */

int svm_npt_reserve(uint64_t guest_size)
{
	uint64_t count = align_up(guest_size, LARGE_PAGE_SIZE) / LARGE_PAGE_SIZE;

	split_physical = pages_allocate(count, PAGE_SIZE);
	if (!split_physical)
		return trace_error(-ENOMEM);
	split_count = (uint32_t)count;
	return 0;
}

/* The entry for 2 MiB at `gpa`; NULL: nothing is mapped there. */
static uint64_t *directory_entry(uint64_t gpa)
{
	uint64_t *table = table_pointer(pool_physical);

	for (uint32_t level = LEVEL_TOP; level > LEVEL_LARGE; level--) {
		uint64_t entry = table[(gpa >> LEVEL_SHIFT(level)) % ENTRY_COUNT];

		if (!entry)
			return NULL;
		table = table_pointer(entry);
	}
	return &table[(gpa >> LEVEL_SHIFT(LEVEL_LARGE)) % ENTRY_COUNT];
}

/* A page for which the pool has no table is tracked as it is, all 2 MiB of it. */
static void split(uint64_t *entry)
{
	uint64_t physical = split_physical + split_used * PAGE_SIZE;
	uint64_t hpa = *entry & ENTRY_ADDRESS;
	uint64_t *table = table_pointer(physical);

	if (split_used == split_count)
		return;
	split_used++;
	for (uint64_t i = 0; i < ENTRY_COUNT; i++)
		table[i] = (hpa + i * PAGE_SIZE) | ENTRY_RIGHTS;
	*entry = physical | ENTRY_RIGHTS;
}

static bool is_split(uint64_t entry)
{
	uint64_t physical = entry & ENTRY_ADDRESS;

	return physical >= split_physical && physical < split_physical + split_count * PAGE_SIZE;
}

/* Dirty bits of 2 MiB are handed out in `dirty`, one a page, and set to `set` where a page is mapped. */
static void exchange_dirty(uint64_t *entry, bool set, uint64_t dirty[VCPU_DIRTY_WORDS])
{
	uint64_t *table = *entry & ENTRY_LARGE ? NULL : table_pointer(*entry);
	uint64_t bit = set ? ENTRY_DIRTY : 0;

	if (!table) {
		memset(dirty, *entry & ENTRY_DIRTY ? 0xff : 0, VCPU_DIRTY_WORDS * sizeof(dirty[0]));
		*entry = (*entry & ~ENTRY_DIRTY) | bit;
		return;
	}
	memset(dirty, 0, VCPU_DIRTY_WORDS * sizeof(dirty[0]));
	for (uint32_t i = 0; i < ENTRY_COUNT; i++) {
		if (!(table[i] & ENTRY_PRESENT))
			continue;
		dirty[i / 64] |= (uint64_t)((table[i] & ENTRY_DIRTY) != 0) << i % 64;
		table[i] = (table[i] & ~ENTRY_DIRTY) | bit;
	}
}

void svm_npt_take_dirty(uint64_t gpa, uint64_t *dirty)
{
	uint64_t *entry = directory_entry(gpa);

	ASSERT(is_aligned(gpa, LARGE_PAGE_SIZE));
	if (entry && *entry)
		exchange_dirty(entry, false, dirty);
	else
		memset(dirty, 0, VCPU_DIRTY_WORDS * sizeof(dirty[0]));
}

static void track_entry(uint64_t *entry, bool on)
{
	uint64_t dirty[VCPU_DIRTY_WORDS];

	if (on && (*entry & ENTRY_LARGE))
		split(entry);
	if (!on && is_split(*entry))
		*entry = (*table_pointer(*entry) & ENTRY_ADDRESS) | ENTRY_RIGHTS | ENTRY_LARGE;
	exchange_dirty(entry, !on, dirty);
}

/* Each entry for 2 MiB below `table`, whose own entries are of `level`. */
static void track_below(uint64_t *table, uint32_t level, bool on)
{
	for (uint32_t i = 0; i < ENTRY_COUNT; i++) {
		if (!table[i])
			continue;
		if (level == LEVEL_LARGE)
			track_entry(&table[i], on);
		else
			track_below(table_pointer(table[i]), level - 1, on);
	}
}

void svm_npt_track(bool on)
{
	track_below(table_pointer(pool_physical), LEVEL_TOP, on);
	if (!on)
		split_used = 0;
}
