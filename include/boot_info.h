/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every way of booting (Multiboot2 by GRUB, Multiboot 1 by QEMU and iPXE,
 * the UEFI loader) hands to kernel_main. Plain data; all addresses are physical
 * and none of what they point to lies in memory that the map calls free.
 * The receiver checks it with boot_info_check() before it believes any of it.
 */
#ifndef INCLUDE_BOOT_INFO_H
#define INCLUDE_BOOT_INFO_H

#include "include/bits.h"

#define BOOT_INFO_MAGIC UINT64_C(0x4f464e49454b4f59) /* "YOKEINFO" */
#define BOOT_INFO_VERSION 1

#define BOOT_MEMORY_RANGE_MAX 256
#define BOOT_FILE_MAX 8
#define BOOT_TEXT_SIZE 256

enum boot_memory_kind {
	BOOT_MEMORY_FREE = 1,	   /* RAM the kernel may use */
	BOOT_MEMORY_RESERVED = 2,  /* firmware, devices: do not touch */
	BOOT_MEMORY_ACPI = 3,	   /* ACPI tables: read, may be reclaimed after */
	BOOT_MEMORY_ACPI_NVS = 4,  /* ACPI non-volatile: do not touch */
	BOOT_MEMORY_DEFECTIVE = 5, /* RAM the firmware found broken */
	BOOT_MEMORY_LOADED = 6,	   /* RAM holding the kernel, this structure or a boot file */
};

struct boot_memory_range {
	uint64_t base; /* bytes, physical */
	uint64_t size; /* bytes, not 0 */
	uint64_t kind; /* enum boot_memory_kind */
};

/* A file that the loader put into memory: yoke.conf, a guest kernel, firmware. */
struct boot_file {
	uint64_t base;		   /* physical */
	uint64_t size;		   /* bytes */
	char name[BOOT_TEXT_SIZE]; /* without folder, NUL-terminated: "yoke.conf" */
};

enum boot_framebuffer_format {
	BOOT_FRAMEBUFFER_NONE = 0,
	BOOT_FRAMEBUFFER_RGB = 1, /* byte 0 red, 1 green, 2 blue */
	BOOT_FRAMEBUFFER_BGR = 2,
	BOOT_FRAMEBUFFER_TEXT = 3, /* 16-bit VGA text cells */
};

struct boot_framebuffer {
	uint64_t base;	/* physical */
	uint32_t width; /* pixels, or characters for TEXT */
	uint32_t height;
	uint32_t pitch; /* bytes from one line to the next */
	uint32_t bits_per_pixel;
	uint32_t format; /* enum boot_framebuffer_format */
	uint32_t reserved;
};

struct boot_info {
	uint64_t magic;	  /* BOOT_INFO_MAGIC */
	uint32_t version; /* BOOT_INFO_VERSION */
	uint32_t size;	  /* sizeof(struct boot_info) */

	uint64_t kernel_physical; /* where the image's first byte was put, 2 MiB aligned */
	uint64_t kernel_size;	  /* bytes, with bss */
	uint64_t rsdp;		  /* ACPI root pointer, 0: look in the BIOS area */
	uint64_t firmware_tsc;	  /* TSC when the loader's (or start.S's) first instruction ran */

	char loader[BOOT_TEXT_SIZE];	   /* "GRUB 2.06", "Yoke UEFI loader", ... */
	char command_line[BOOT_TEXT_SIZE]; /* options that override yoke.conf */

	struct boot_framebuffer framebuffer;

	uint32_t memory_range_count;
	uint32_t memory_ranges_left_out; /* did not fit below */
	uint32_t file_count;
	uint32_t files_left_out; /* did not fit below */
	struct boot_memory_range
		memory[BOOT_MEMORY_RANGE_MAX]; /* any order, may overlap: boot_info_check sorts */
	struct boot_file files[BOOT_FILE_MAX];
};

BUILD_ASSERT(sizeof(struct boot_memory_range) == 24);
BUILD_ASSERT(sizeof(struct boot_file) == 16 + BOOT_TEXT_SIZE);
BUILD_ASSERT(sizeof(struct boot_framebuffer) == 32);
BUILD_ASSERT(offsetof(struct boot_info, memory) == 48 + 2 * BOOT_TEXT_SIZE + 32 + 16);

#endif
