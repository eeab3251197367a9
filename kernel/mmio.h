/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Access to device registers in memory. Functions, not macros: the hypervisor
 * links kernel/mmio.c, the host tests link a device model with the same names,
 * and the drivers are the same objects in both.
 *
 * Every access is uncached, happens once and in program order with other
 * accesses of this file. An offset outside the region is our bug: ASSERT.
 */
#ifndef KERNEL_MMIO_H
#define KERNEL_MMIO_H

#include "include/bits.h"

struct mmio {
	uintptr_t base; /* where the region is mapped; opaque to drivers */
	uint64_t size;	/* bytes */
};

uint8_t mmio_read8(const struct mmio *region, uint64_t offset);
uint16_t mmio_read16(const struct mmio *region, uint64_t offset);
uint32_t mmio_read32(const struct mmio *region, uint64_t offset);
uint64_t mmio_read64(const struct mmio *region, uint64_t offset);
void mmio_write8(const struct mmio *region, uint64_t offset, uint8_t value);
void mmio_write16(const struct mmio *region, uint64_t offset, uint16_t value);
void mmio_write32(const struct mmio *region, uint64_t offset, uint32_t value);
void mmio_write64(const struct mmio *region, uint64_t offset, uint64_t value);

/*
 * Orders ring memory against the device. On x86 stores are seen in order and
 * loads are not passed by older loads, so the first two only keep the compiler
 * honest; the names say what each place needs.
 */
static inline void dma_write_barrier(void)
{
	__asm__ volatile("" ::: "memory");
}

static inline void dma_read_barrier(void)
{
	__asm__ volatile("" ::: "memory");
}

/* A store before a later load: the one order that x86 does not keep by itself. */
static inline void dma_full_barrier(void)
{
	__asm__ volatile("mfence" ::: "memory");
}

#endif
