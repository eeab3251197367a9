/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device registers in host tests: a device model registers its region under the
 * address that a BAR names, and gets every access. An access outside all
 * regions, across an end or unaligned ends the test: no driver may do that.
 */
#ifndef TESTS_UNIT_HOST_MMIO_H
#define TESTS_UNIT_HOST_MMIO_H

#include "kernel/mmio.h"

#define HOST_MMIO_REGION_MAX 16

struct host_mmio_model {
	uint64_t base; /* as in the BAR */
	uint64_t size; /* bytes */
	void *context;
	/* `width` is 1, 2, 4 or 8 bytes. */
	uint64_t (*read)(void *context, uint64_t offset, uint32_t width);
	void (*write)(void *context, uint64_t offset, uint64_t value, uint32_t width);
};

/* Forgets all regions and zeroes the counts. */
void host_mmio_reset(void);
void host_mmio_register(const struct host_mmio_model *model);

/* Accesses since the reset: a test can hold a driver to few of them. */
uint64_t host_mmio_read_count(void);
uint64_t host_mmio_write_count(void);

#endif
