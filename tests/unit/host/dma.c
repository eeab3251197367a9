/* SPDX-License-Identifier: Apache-2.0 */
/* DMA memory for host tests: see dma.h. */
#include "tests/unit/host/dma.h"

#include <errno.h>
#include <sanitizer/asan_interface.h>
#include <string.h>

#define GAP_SIZE UINT64_C(128)
#define BUFFER_COUNT_MAX 4096

static _Alignas(2 * 1024 * 1024) uint8_t pool[HOST_DMA_POOL_SIZE];
static struct dma_buffer buffers[BUFFER_COUNT_MAX];
static uint32_t buffer_count;
static uint64_t pool_used;
static uint32_t allocations_left = UINT32_MAX;

void host_dma_reset(void)
{
	ASAN_UNPOISON_MEMORY_REGION(pool, sizeof(pool));
	memset(pool, 0xa5, pool_used);
	ASAN_POISON_MEMORY_REGION(pool, sizeof(pool));
	buffer_count = 0;
	pool_used = 0;
	allocations_left = UINT32_MAX;
}

void host_dma_fail_after(uint32_t count)
{
	allocations_left = count;
}

int dma_allocate(struct dma_buffer *buffer, uint64_t size, uint64_t alignment)
{
	uint64_t start = align_up(pool_used + GAP_SIZE, max_u64(alignment, 64));

	if (allocations_left == 0 || buffer_count == BUFFER_COUNT_MAX ||
	    !range_fits(start, size, sizeof(pool)))
		return -ENOMEM;
	if (allocations_left != UINT32_MAX)
		allocations_left--;
	if (buffer_count == 0)
		ASAN_POISON_MEMORY_REGION(pool, sizeof(pool));
	ASAN_UNPOISON_MEMORY_REGION(pool + start, size);
	memset(pool + start, 0, size);
	*buffer = (struct dma_buffer){ .address = pool + start,
				       .physical = HOST_DMA_PHYSICAL + start,
				       .size = size };
	buffers[buffer_count++] = *buffer;
	pool_used = start + size;
	return 0;
}

bool dma_owns(uint64_t physical, uint64_t size)
{
	return host_dma_at(physical, size) != NULL;
}

void *host_dma_at(uint64_t physical, uint64_t size)
{
	for (uint32_t i = 0; i < buffer_count; i++) {
		const struct dma_buffer *buffer = &buffers[i];

		if (physical >= buffer->physical &&
		    range_fits(physical - buffer->physical, size, buffer->size))
			return (uint8_t *)buffer->address + (physical - buffer->physical);
	}
	return NULL;
}

uint64_t host_dma_used(void)
{
	return pool_used;
}

uint32_t host_dma_buffer_count(void)
{
	return buffer_count;
}
