/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filling a struct boot_info, the same for every way of booting. Pure: also runs
 * in the UEFI loader and in host tests. What does not fit is left out and
 * counted, never written past an end.
 */
#ifndef BOOT_HANDOVER_H
#define BOOT_HANDOVER_H

#include "include/boot_info.h"

/* Empties `info` and fills in what makes it one; `tsc` is the TSC at the first instruction of ours. */
void handover_begin(struct boot_info *info, uint64_t tsc);

/* Where the image is, and that its memory is in use. */
void handover_set_kernel(struct boot_info *info, uint64_t physical, uint64_t size);

/*
 * Copies a text that ends at a NUL or after `size_max` bytes to a field of
 * BOOT_TEXT_SIZE bytes; too long a one is cut.
 */
void handover_set_text(char *to, const char *from, uint64_t size_max);

/*
 * Appends a text to the command line, with a space between. QEMU, iPXE and the
 * UEFI shell put the loaded file's name in front: a first word that ends in
 * ".elf", ".elf32" or ".efi" is left out.
 */
void handover_add_options(struct boot_info *info, const char *from, uint64_t size_max);

/*
 * The same for UEFI load options, which are UTF-16. Options that are not
 * printable ASCII are not a text but some firmware's data: they change nothing.
 */
void handover_add_load_options(struct boot_info *info, const uint16_t *from, uint64_t count);

/* Adds a range; one that continues the range added last, of the same kind, makes that one longer. */
void handover_add_memory(struct boot_info *info, uint64_t base, uint64_t size, uint64_t kind);

/*
 * Adds a file and marks its memory as in use. `path` ends at a NUL, at a space
 * (what follows are a Multiboot module's arguments) or after `path_size_max`
 * bytes; the file's name is what comes after its last slash.
 */
void handover_add_file(struct boot_info *info, uint64_t base, uint64_t size, const char *path,
		       uint64_t path_size_max);

#endif
