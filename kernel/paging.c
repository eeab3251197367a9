/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Page tables: four levels, built once at start-up, in memory from pages.h.
 *
 * The direct map holds what the loader's map calls RAM we may look at (free,
 * loaded, ACPI tables), in the largest pages that fit; firmware's reserved
 * ranges and holes stay out, so that a stray pointer faults instead of touching
 * a device. MMIO is mapped with PCD and PWT, which selects PAT entry 3:
 * uncached, as the processor resets it (APM 2, 7.8.2).
 */
#include "kernel/paging.h"

#include <errno.h>
#include <string.h>

#include "include/assert.h"
#include "include/memory_layout.h"
#include "include/trace.h"
#include "kernel/cpu.h"
#include "kernel/pages.h"

TRACE_FILE("memory", TRACE_INFO);

#define LEVEL_BITS 9
#define LEVEL_ENTRIES 512
#define LEVEL_4K 0
#define LEVEL_2M 1
#define LEVEL_1G 2
#define LEVEL_TOP 3

#define RIGHTS_DATA (PAGE_WRITE | PAGE_NO_EXECUTE)
#define RIGHTS_CONSTANTS PAGE_NO_EXECUTE
#define RIGHTS_CODE UINT64_C(0)
#define RIGHTS_MMIO (PAGE_WRITE | PAGE_NO_EXECUTE | PAGE_CACHE_DISABLE | PAGE_WRITE_THROUGH)

#define EFER 0xc0000080
#define EFER_NXE BIT(11)
#define CPUID_EXTENDED_FEATURES 0x80000001
#define CPUID_EDX_1GIB_PAGES BIT(26)

/* The first page of the MMIO map: the window of paging_read_physical(). */
#define WINDOW_ADDRESS MMIO_MAP_BASE
#define MMIO_FIRST (MMIO_MAP_BASE + LARGE_PAGE_SIZE)

extern char kernel_start[];
extern char kernel_constants[];
extern char kernel_data[];
extern char kernel_end[];

static uint64_t *top_table;
static uint64_t *window_entry;
static int level_max; /* the largest page the processor has */
static uint64_t mmio_next = MMIO_FIRST;
static uint64_t stack_next = STACK_MAP_BASE;
static bool active;

static uint64_t level_size(int level)
{
	return PAGE_SIZE << (LEVEL_BITS * level);
}

static uint32_t level_index(uint64_t address, int level)
{
	return (uint32_t)(address >> (12 + LEVEL_BITS * level)) & (LEVEL_ENTRIES - 1);
}

static uint64_t *table_of(uint64_t entry)
{
	return pages_pointer(entry & PAGE_ADDRESS_MASK);
}

/* The entry for `address` at `level`, with the tables above it made as needed; NULL: no memory. */
static uint64_t *make_entry(uint64_t address, int level)
{
	uint64_t *table = top_table;

	for (int at = LEVEL_TOP; at > level; at--) {
		uint64_t *entry = &table[level_index(address, at)];

		if (!(*entry & PAGE_PRESENT)) {
			uint64_t physical = pages_allocate(1, PAGE_SIZE);

			if (physical == 0)
				return NULL;
			*entry = physical | PAGE_PRESENT | PAGE_WRITE;
		}
		ASSERT(!(*entry & PAGE_LARGE));
		table = table_of(*entry);
	}
	return &table[level_index(address, level)];
}

static int largest_level(uint64_t address, uint64_t physical, uint64_t size)
{
	int level = level_max;

	while (level > LEVEL_4K &&
	       (!is_aligned(address | physical, level_size(level)) || size < level_size(level)))
		level--;
	return level;
}

/* All three page-aligned; nothing may be mapped there yet. */
static int map_range(uint64_t address, uint64_t physical, uint64_t size, uint64_t rights)
{
	while (size > 0) {
		int level = largest_level(address, physical, size);
		uint64_t *entry = make_entry(address, level);

		if (!entry)
			return trace_error(-ENOMEM);
		ASSERT(*entry == 0);
		*entry = physical | rights | PAGE_PRESENT | (level > LEVEL_4K ? PAGE_LARGE : 0);
		address += level_size(level);
		physical += level_size(level);
		size -= level_size(level);
	}
	return 0;
}

static bool kind_is_mapped(uint64_t kind)
{
	return kind == BOOT_MEMORY_FREE || kind == BOOT_MEMORY_LOADED || kind == BOOT_MEMORY_ACPI;
}

/* [base, end) at DIRECT_MAP_BASE, with the image's code and constants (one range of it) read-only. */
static int map_direct(uint64_t base, uint64_t end, uint64_t fixed_base, uint64_t fixed_end)
{
	uint64_t cuts[4] = { base, min_u64(max_u64(base, fixed_base), end),
			     min_u64(max_u64(base, fixed_end), end), end };

	for (int i = 0; i < 3; i++) {
		int error = map_range(DIRECT_MAP_BASE + cuts[i], cuts[i], cuts[i + 1] - cuts[i],
				      i == 1 ? RIGHTS_CONSTANTS : RIGHTS_DATA);
		if (error)
			return error;
	}
	return 0;
}

/*
 * Ranges are widened to whole pages, and neighbours joined as far as they go, so
 * that a page shared by two is mapped once and large pages come about.
 */
static int map_memory(const struct boot_info *boot)
{
	uint64_t fixed_end = boot->kernel_physical + (uint64_t)(kernel_data - kernel_start);
	uint64_t base = 0;
	uint64_t end = 0;

	for (uint32_t i = 0; i < boot->memory_range_count; i++) {
		const struct boot_memory_range *range = &boot->memory[i];
		uint64_t range_end = align_up(range->base + range->size, PAGE_SIZE);
		int error;

		if (!kind_is_mapped(range->kind))
			continue;
		if (align_down(range->base, PAGE_SIZE) <= end) {
			end = max_u64(end, range_end);
			continue;
		}
		error = map_direct(base, end, boot->kernel_physical, fixed_end);
		if (error)
			return error;
		base = align_down(range->base, PAGE_SIZE);
		end = range_end;
	}
	return map_direct(base, end, boot->kernel_physical, fixed_end);
}

static int map_image(uint64_t physical)
{
	const struct {
		const char *start;
		const char *end;
		uint64_t rights;
	} parts[] = {
		{ kernel_start, kernel_constants, RIGHTS_CODE },
		{ kernel_constants, kernel_data, RIGHTS_CONSTANTS },
		{ kernel_data, kernel_end, RIGHTS_DATA },
	};
	int error = 0;

	for (size_t i = 0; i < ARRAY_SIZE(parts) && !error; i++)
		error = map_range((uint64_t)parts[i].start,
				  physical + (uint64_t)(parts[i].start - kernel_start),
				  (uint64_t)(parts[i].end - parts[i].start), parts[i].rights);
	return error;
}

int paging_init(const struct boot_info *boot)
{
	uint64_t top_physical = pages_allocate(1, PAGE_SIZE);
	int error;

	if (top_physical == 0)
		return trace_error(-ENOMEM);
	top_table = pages_pointer(top_physical);
	level_max = cpu_id(CPUID_EXTENDED_FEATURES, 0).edx & CPUID_EDX_1GIB_PAGES ? LEVEL_1G : LEVEL_2M;
	error = map_memory(boot);
	if (!error)
		error = map_image(boot->kernel_physical);
	if (error)
		return error;
	window_entry = make_entry(WINDOW_ADDRESS, LEVEL_4K);
	if (!window_entry)
		return trace_error(-ENOMEM);
	cpu_write_msr(EFER, cpu_read_msr(EFER) | EFER_NXE);
	cpu_write_cr0(cpu_read_cr0() | CR0_WRITE_PROTECT);
	cpu_write_cr3(top_physical);
	active = true;
	pages_direct_map_ready();
	return 0;
}

void paging_map_mmio(uint64_t physical, uint64_t size, struct mmio *region)
{
	uint64_t base = align_down(physical, PAGE_SIZE);
	uint64_t whole = align_up(physical + size, PAGE_SIZE) - base;
	/* The same place within a large page as the device has, so that large pages fit. */
	uint64_t address = align_up(mmio_next, LARGE_PAGE_SIZE) + (base & (LARGE_PAGE_SIZE - 1));

	ASSERT(active);
	region->base = 0;
	region->size = 0;
	if (map_range(address, base, whole, RIGHTS_MMIO))
		return;
	mmio_next = address + whole;
	region->base = address + (physical - base);
	region->size = size;
}

void *paging_allocate_stack(uint64_t size)
{
	uint64_t physical = pages_allocate(size / PAGE_SIZE, PAGE_SIZE);
	uint64_t bottom = stack_next + PAGE_SIZE; /* behind the guard page */

	ASSERT(active && is_aligned(size, PAGE_SIZE));
	if (physical == 0 || map_range(bottom, physical, size, RIGHTS_DATA))
		return NULL;
	stack_next = bottom + size;
	return (void *)stack_next;
}

/* Stacks follow each other: an address among them that is not mapped is a guard page. */
bool paging_is_stack_guard(uint64_t address)
{
	uint64_t physical;
	uint64_t rights;

	return address >= STACK_MAP_BASE && address < stack_next &&
	       !paging_lookup(address, &physical, &rights);
}

int paging_map_guest(uint64_t index, uint64_t physical)
{
	ASSERT(active && is_aligned(physical, LARGE_PAGE_SIZE));
	return map_range(GUEST_MAP_BASE + index * LARGE_PAGE_SIZE, physical, LARGE_PAGE_SIZE, RIGHTS_DATA);
}

bool paging_lookup(uint64_t address, uint64_t *physical, uint64_t *rights)
{
	const uint64_t *table = top_table;

	*rights = PAGE_WRITE;
	if (!active || (address >> 47 != 0 && address >> 47 != 0x1ffff))
		return false;
	for (int level = LEVEL_TOP; level >= LEVEL_4K; level--) {
		uint64_t entry = table[level_index(address, level)];

		if (!(entry & PAGE_PRESENT))
			return false;
		*rights = (*rights & entry & PAGE_WRITE) | ((*rights | entry) & PAGE_NO_EXECUTE);
		if (level == LEVEL_4K || (entry & PAGE_LARGE)) {
			uint64_t offset = address & (level_size(level) - 1);

			*physical = (entry & PAGE_ADDRESS_MASK & ~(level_size(level) - 1)) + offset;
			return true;
		}
		table = table_of(entry);
	}
	return false;
}

/* Firmware's tables often lie in memory it calls reserved, which the direct map leaves out. */
static void read_window(uint64_t physical, void *to, uint64_t size)
{
	*window_entry = align_down(physical, PAGE_SIZE) | PAGE_PRESENT | PAGE_NO_EXECUTE;
	cpu_invalidate_page(WINDOW_ADDRESS);
	memcpy(to, (const uint8_t *)WINDOW_ADDRESS + physical % PAGE_SIZE, size);
	*window_entry = 0;
	cpu_invalidate_page(WINDOW_ADDRESS);
}

bool paging_read_physical(uint64_t physical, void *to, uint64_t size)
{
	uint8_t *at = to;

	ASSERT(active);
	if (!range_fits(physical, size, cpu_physical_limit()))
		return false;
	while (size > 0) {
		uint64_t piece = min_u64(size, PAGE_SIZE - physical % PAGE_SIZE);
		uint64_t found;
		uint64_t rights;

		if (paging_lookup(DIRECT_MAP_BASE + physical, &found, &rights))
			memcpy(at, pages_pointer(physical), piece);
		else
			read_window(physical, at, piece);
		physical += piece;
		at += piece;
		size -= piece;
	}
	return true;
}
