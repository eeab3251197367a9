/* SPDX-License-Identifier: Apache-2.0 */
/* The pool of memory that devices may reach: one contiguous piece, handed out upwards. */
#include "kernel/dma.h"

#include <errno.h>

#include "include/assert.h"
#include "include/trace.h"
#include "kernel/dma_pool.h"
#include "kernel/pages.h"

TRACE_FILE("memory", TRACE_INFO);

#define ALIGNMENT_MIN 64

static uint64_t pool_base;
static uint64_t pool_used;

int dma_init(void)
{
	pool_base = pages_allocate(DMA_POOL_SIZE / PAGE_SIZE, LARGE_PAGE_SIZE);
	return pool_base != 0 ? 0 : trace_error(-ENOMEM);
}

int dma_allocate(struct dma_buffer *buffer, uint64_t size, uint64_t alignment)
{
	uint64_t offset;

	ASSERT(size > 0);
	ASSERT(is_power_of_two(alignment) && alignment <= LARGE_PAGE_SIZE);
	offset = align_up(pool_used, max_u64(alignment, ALIGNMENT_MIN));
	if (pool_base == 0 || !range_fits(offset, size, DMA_POOL_SIZE))
		return trace_error(-ENOMEM);
	pool_used = offset + size;
	buffer->physical = pool_base + offset;
	buffer->address = pages_pointer(buffer->physical);
	buffer->size = size;
	return 0;
}

bool dma_owns(uint64_t physical, uint64_t size)
{
	return physical >= pool_base && range_fits(physical - pool_base, size, pool_used);
}

uint64_t dma_pool_used(void)
{
	return pool_used;
}
