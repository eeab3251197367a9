/* SPDX-License-Identifier: Apache-2.0 */
/* The start-up's side of dma.h: takes the pool, and tells how much of it is used. */
#ifndef KERNEL_DMA_POOL_H
#define KERNEL_DMA_POOL_H

#include "include/bits.h"

/* Eight ports with jumbo rings and eight disks with full queues fit. */
#define DMA_POOL_SIZE (32 * MIB)

/* Takes the pool, zeroed. Once, before the first driver. Returns 0 or -ENOMEM. */
int dma_init(void);

/* Bytes given out so far. */
uint64_t dma_pool_used(void);

#endif
