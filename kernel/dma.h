/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that devices may read and write: rings and buffers. Taken at start-up
 * only, never returned, from one bounded pool, so that what a device can reach
 * is known and small. The guest's memory is not part of it.
 */
#ifndef KERNEL_DMA_H
#define KERNEL_DMA_H

#include "include/bits.h"

struct dma_buffer {
	void *address;	   /* for us */
	uint64_t physical; /* for the device */
	uint64_t size;	   /* bytes */
};

/*
 * Takes `size` bytes, physically contiguous, zeroed, aligned to `alignment` (a
 * power of two up to 2 MiB, raised to 64 at least so that no two buffers share a
 * cache line). Start-up only. Returns 0, or -ENOMEM when the pool is used up.
 */
int dma_allocate(struct dma_buffer *buffer, uint64_t size, uint64_t alignment);

/*
 * Is all of [physical, physical + size) memory that dma_allocate() gave out?
 * Drivers check each segment of a request with it before a device sees it.
 */
bool dma_owns(uint64_t physical, uint64_t size);

#endif
