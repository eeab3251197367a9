/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DMA memory for host tests: one static pool whose "physical" addresses are far
 * from the pointers, so that mixing the two up is found at once. Between two
 * buffers lies a poisoned gap: AddressSanitizer stops whoever runs over an end.
 */
#ifndef TESTS_UNIT_HOST_DMA_H
#define TESTS_UNIT_HOST_DMA_H

#include "kernel/dma.h"

#define HOST_DMA_POOL_SIZE (32 * MIB)
#define HOST_DMA_PHYSICAL UINT64_C(0x1200000000) /* above 4 GiB: a lost upper half shows */

/* Empties the pool: every test begins with it. Also ends host_dma_fail_after(). */
void host_dma_reset(void);

/* The allocation after `count` more good ones answers -ENOMEM, and so do all later ones. */
void host_dma_fail_after(uint32_t count);

/* What the device model sees at `physical`; NULL when it is not wholly inside one buffer. */
void *host_dma_at(uint64_t physical, uint64_t size);

/* Bytes given out so far, and buffers. */
uint64_t host_dma_used(void);
uint32_t host_dma_buffer_count(void);

#endif
