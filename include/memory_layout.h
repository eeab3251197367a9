/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hypervisor's virtual addresses; docs/MEMORY.md draws them. Also read by
 * assembly and the linker script, so plain numbers only.
 */
#ifndef INCLUDE_MEMORY_LAYOUT_H
#define INCLUDE_MEMORY_LAYOUT_H

/* All RAM, physical address p at DIRECT_MAP_BASE + p; writable, never executable. */
#define DIRECT_MAP_BASE 0xffff800000000000
/* Device registers, uncached, handed out upwards. */
#define MMIO_MAP_BASE 0xffffa00000000000
/* The guest's memory as one piece, guest-physical holes left out. */
#define GUEST_MAP_BASE 0xffffb00000000000
/* Stacks, each with an unmapped page below. */
#define STACK_MAP_BASE 0xffffc00000000000
/* The image, wherever the loader put it: virtual = KERNEL_VIRTUAL_BASE + offset in the image. */
#define KERNEL_VIRTUAL_BASE 0xffffffff80000000
/* Where loaders that cannot relocate (Multiboot) put the image. */
#define KERNEL_PHYSICAL_DEFAULT 0x200000

#endif
