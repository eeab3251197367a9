/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page allocator. Everything is taken at start-up and stays taken; when the
 * start-up is over the allocator closes, and a later call is our own bug.
 *
 * The hypervisor's own memory is taken from the bottom, the guest's 2 MiB pages
 * from the top, so that both stay in few pieces.
 */
#ifndef KERNEL_PAGES_H
#define KERNEL_PAGES_H

#include "include/boot_info.h"
#include "kernel/page_map.h"

/* Reads the checked memory map. Once, before all others; needs RAM below 4 GiB at DIRECT_MAP_BASE. */
void pages_init(const struct boot_info *boot);

/*
 * All RAM can be reached at DIRECT_MAP_BASE from now on (paging_init says so);
 * before, only memory below 4 GiB is handed out.
 */
void pages_direct_map_ready(void);

/*
 * `count` 4 KiB pages for the hypervisor, contiguous, zeroed, aligned to
 * `alignment` (a power of two, PAGE_SIZE or more). Returns their physical
 * address, 0 when there is no memory left. Start-up only.
 */
uint64_t pages_allocate(uint64_t count, uint64_t alignment);

/* One 2 MiB page for the guest, not zeroed; 0 when there is none left. Start-up only. */
uint64_t pages_allocate_guest(void);

/* Start-up is over. */
void pages_close(void);

/* Where RAM at `physical` is seen by us. */
void *pages_pointer(uint64_t physical);

struct pages_usage {
	uint64_t total_size;	  /* bytes of RAM that the loader called free */
	uint64_t hypervisor_size; /* taken by pages_allocate(), and the image */
	uint64_t guest_size;
	uint64_t free_size;
};
void pages_usage(struct pages_usage *usage);

#endif
