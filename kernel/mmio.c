/* SPDX-License-Identifier: Apache-2.0 */
/* Device registers in memory: one volatile access each, offset checked. */
#include "kernel/mmio.h"

#include "include/assert.h"

/* clang-format off */
#define DEFINE_ACCESS(bits)                                                                              \
	uint##bits##_t mmio_read##bits(const struct mmio *region, uint64_t offset)                       \
	{                                                                                                \
		ASSERT(range_fits(offset, bits / 8, region->size));                                      \
		return *(const volatile uint##bits##_t *)(region->base + offset);                        \
	}                                                                                                \
	void mmio_write##bits(const struct mmio *region, uint64_t offset, uint##bits##_t value)          \
	{                                                                                                \
		ASSERT(range_fits(offset, bits / 8, region->size));                                      \
		*(volatile uint##bits##_t *)(region->base + offset) = value;                             \
	}
/* clang-format on */

DEFINE_ACCESS(8)
DEFINE_ACCESS(16)
DEFINE_ACCESS(32)
DEFINE_ACCESS(64)
