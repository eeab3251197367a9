/* SPDX-License-Identifier: Apache-2.0 */
/* The page allocator: page_map's arithmetic, zeroing, and the count of who has what. */
#include "kernel/pages.h"

#include <string.h>

#include "include/assert.h"
#include "include/memory_layout.h"

static struct page_map map;
static struct pages_usage used;
static uint64_t limit = 4 * GIB;
static bool closed;

void pages_init(const struct boot_info *boot)
{
	page_map_init(&map, boot->memory, boot->memory_range_count);
	used.total_size = map.free_size + boot->kernel_size;
	used.hypervisor_size = boot->kernel_size;
}

void pages_direct_map_ready(void)
{
	limit = BIT(52);
}

uint64_t pages_allocate(uint64_t count, uint64_t alignment)
{
	uint64_t physical;

	ASSERT(!closed);
	physical = page_map_take_lowest(&map, count * PAGE_SIZE, alignment, limit);
	if (physical == 0)
		return 0;
	memset(pages_pointer(physical), 0, count * PAGE_SIZE);
	used.hypervisor_size += count * PAGE_SIZE;
	return physical;
}

uint64_t pages_allocate_guest(void)
{
	uint64_t physical;

	ASSERT(!closed);
	physical = page_map_take_highest(&map, LARGE_PAGE_SIZE, LARGE_PAGE_SIZE, limit);
	if (physical != 0)
		used.guest_size += LARGE_PAGE_SIZE;
	return physical;
}

void pages_close(void)
{
	closed = true;
}

void *pages_pointer(uint64_t physical)
{
	return (void *)(DIRECT_MAP_BASE + physical);
}

void pages_usage(struct pages_usage *usage)
{
	*usage = used;
	usage->free_size = map.free_size;
}
