/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a loader of our own (the UEFI loader) needs to know of the image, at its
 * very beginning. The loader puts the image at any 2 MiB boundary, maps it at
 * KERNEL_VIRTUAL_BASE and all RAM below 4 GiB both one to one and at
 * DIRECT_MAP_BASE, and jumps to entry64 in 64-bit mode, interrupts off, with
 * RDI = physical address of a struct boot_info, which lies below 4 GiB.
 */
#ifndef INCLUDE_KERNEL_HEADER_H
#define INCLUDE_KERNEL_HEADER_H

#include "include/bits.h"

#define KERNEL_HEADER_MAGIC UINT64_C(0x4e52454b454b4f59) /* "YOKEKERN" */

struct kernel_header {
	uint64_t magic;
	uint64_t version;     /* BOOT_INFO_VERSION the kernel expects */
	uint64_t entry64;     /* virtual address */
	uint64_t memory_size; /* bytes from the image's start to the end of bss */
};

BUILD_ASSERT(sizeof(struct kernel_header) == 32);

#endif
