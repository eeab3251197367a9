/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checked form of what a loader handed over (include/boot_info.h). Nothing
 * else in the hypervisor looks at the loader's own structure. Pure: no clock, no
 * device, also compiled for the host's tests and fuzzers.
 */
#ifndef KERNEL_BOOT_INFO_H
#define KERNEL_BOOT_INFO_H

#include "include/boot_info.h"

#define BOOT_INFO_REASON_SIZE 160
#define BOOT_PHYSICAL_LIMIT (UINT64_C(1) << 52) /* no x86-64 address reaches further */
#define BOOT_OPTION_SIZE 64

/*
 * Checks `from` and writes its tidy copy into `to`: memory ranges sorted by
 * address, without overlap (the worse kind wins), neighbours of one kind joined;
 * the image and each boot file lie wholly in BOOT_MEMORY_LOADED; every string
 * ends within its array and is printable. Returns false with the first thing
 * wrong in `reason`; `to` is then not to be used. The two must not overlap.
 */
bool boot_info_check(const struct boot_info *from, struct boot_info *to, char reason[BOOT_INFO_REASON_SIZE]);

/*
 * Looks for the word `name` or `name=VALUE` among the space-separated options of
 * `command_line`; the last one wins. Copies VALUE ("" for the bare word) and
 * returns true when it is there; a VALUE of BOOT_OPTION_SIZE or more is cut.
 */
bool boot_option(const char *command_line, const char *name, char value[BOOT_OPTION_SIZE]);

/* The boot file called `name`, or NULL. */
const struct boot_file *boot_file_find(const struct boot_info *info, const char *name);

/* "free", "reserved" ... */
const char *boot_memory_kind_name(uint64_t kind);

#endif
