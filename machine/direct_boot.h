/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting a Linux kernel without firmware: a bzImage, an initrd and a command line
 * are put into the guest's memory, with what firmware would have left there (memory
 * map, ACPI tables, PCI addresses, memory types), and the processor is set to the
 * kernel's 64-bit entry, or its 32-bit one when that is all it has
 * (Documentation/x86/boot.rst of Linux).
 *
 *     0x06000  GDT              0x20000  command line
 *     0x07000  boot_params      0xe0000  RSDP, ACPI tables
 *     0x09000  page tables      0xf0000  SMBIOS
 *
 * the kernel where it prefers to be, the initrd as high as it may be
 */
#ifndef MACHINE_DIRECT_BOOT_H
#define MACHINE_DIRECT_BOOT_H

#include "include/bits.h"
#include "include/vcpu_state.h"
#include "machine/guest_memory.h"

struct machine;

struct machine_direct_boot {
	const uint8_t *kernel;
	uint64_t kernel_size;
	const uint8_t *initrd; /* NULL: none */
	uint64_t initrd_size;
	const char *command_line;
};

/*
 * Fills memory and `vcpu`. `machine` has just been initialised or reset, and the
 * guest's memory may hold anything. Returns NULL, or one line for a person that
 * says what is wrong; then the guest cannot be started.
 */
const char *machine_direct_boot(struct machine *machine, const struct guest_memory *memory,
				const struct machine_direct_boot *boot, struct vcpu_state *vcpu);

#endif
