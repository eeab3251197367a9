/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hypervisor's own address space, drawn in docs/MEMORY.md. No page is both
 * writable and executable, not even through two addresses: the image's code and
 * constants are read-only in the direct map too. Page 0 and the page below each
 * stack are not mapped. All mapping happens at start-up.
 */
#ifndef KERNEL_PAGING_H
#define KERNEL_PAGING_H

#include "include/boot_info.h"
#include "kernel/mmio.h"

/* Bits of a page-table entry (AMD64 Architecture Programmer's Manual 2, 5.4). */
#define PAGE_PRESENT BIT(0)
#define PAGE_WRITE BIT(1)
#define PAGE_WRITE_THROUGH BIT(3)
#define PAGE_CACHE_DISABLE BIT(4)
#define PAGE_LARGE BIT(7)
#define PAGE_NO_EXECUTE BIT(63)
#define PAGE_ADDRESS_MASK UINT64_C(0x000ffffffffff000)

/* Builds the final tables from the checked memory map and switches to them. Returns 0 or -ENOMEM. */
int paging_init(const struct boot_info *boot);

/* Maps device registers uncached, at any alignment. size 0 in `region`: no memory left. */
void paging_map_mmio(uint64_t physical, uint64_t size, struct mmio *region);

/*
 * A stack of `size` bytes (whole pages) with an unmapped page below. Returns its
 * top, or NULL when there is no memory left.
 */
void *paging_allocate_stack(uint64_t size);

/* Is `address` in the unmapped page below a stack? */
bool paging_is_stack_guard(uint64_t address);

/*
 * Maps one 2 MiB page of the guest's memory as the `index`-th of the window at
 * GUEST_MAP_BASE. Returns 0 or -ENOMEM.
 */
int paging_map_guest(uint64_t index, uint64_t physical);

/*
 * Copies from any physical memory, also what the map does not call RAM (firmware
 * tables): through the direct map or a read-only window. Never for device
 * registers. False when [physical, physical + size) is not a physical range.
 */
bool paging_read_physical(uint64_t physical, void *to, uint64_t size);

/*
 * How `address` is mapped: false when it is not; else its physical address and
 * the rights that hold along the whole walk (PAGE_WRITE, PAGE_NO_EXECUTE).
 */
bool paging_lookup(uint64_t address, uint64_t *physical, uint64_t *rights);

#endif
