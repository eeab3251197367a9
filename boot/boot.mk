# SPDX-License-Identifier: Apache-2.0
# From firmware to kernel_main.

# Part of the kernel's own ELF file, beside start.S.
BOOT_KERNEL_SOURCES := boot/handover.c boot/multiboot.c boot/multiboot_entry.c
# Pure enough to be tested on the host.
BOOT_HOST_SOURCES := boot/handover.c boot/kernel_image.c boot/multiboot.c boot/page_tables.c
