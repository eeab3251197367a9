/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel as an ELF64 file: whether it is one that may be started, and its
 * way to where it runs. Pure: the UEFI loader and host tests use it. (Multiboot
 * loaders read the ELF file themselves.)
 */
#ifndef BOOT_KERNEL_IMAGE_H
#define BOOT_KERNEL_IMAGE_H

#include "include/bits.h"

/* Far more than the image and its bss; a header that claims more is damaged. */
#define KERNEL_IMAGE_SIZE_MAX (64 * MIB)
#define KERNEL_IMAGE_ALIGNMENT (2 * MIB)

struct kernel_image {
	uint64_t entry;	      /* virtual address of the 64-bit entry */
	uint64_t memory_size; /* bytes to set aside, bss included */
};

/*
 * Checks every field that kernel_image_place() and the jump rely on. Returns
 * NULL and fills `image` when all is well, otherwise what is wrong with the file.
 */
const char *kernel_image_check(const void *file, uint64_t file_size, struct kernel_image *image);

/*
 * Copies a checked file's segments to `memory`, which has image->memory_size
 * bytes, and zeroes the rest of it.
 */
void kernel_image_place(const void *file, const struct kernel_image *image, void *memory);

#endif
