/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Yoke takes from ACPI's static tables (ACPI 6.4, 5.2): RSDP, XSDT or RSDT,
 * FADT, MADT, MCFG, and of the DSDT only the soft-off state. No AML is run. A
 * table's length, checksum and counts are checked before anything in it is
 * believed; one that is wrong is left out, counted and told.
 *
 * Memory is read through an accessor, so the same object parses the host tests'
 * and the fuzzer's blobs.
 */
#ifndef KERNEL_ACPI_H
#define KERNEL_ACPI_H

#include "include/bits.h"

#define ACPI_CPU_MAX 64
#define ACPI_SEGMENT_MAX 8
#define ACPI_TABLE_MAX 128
#define ACPI_PROBLEM_SIZE 120

/* Copies `size` bytes at `physical`; false when that is not readable memory. */
struct acpi_memory {
	bool (*read)(void *context, uint64_t physical, void *to, uint64_t size);
	void *context;
};

/* A generic address (5.2.3.2). */
enum acpi_space {
	ACPI_SPACE_MEMORY = 0,
	ACPI_SPACE_PORT = 1,
	ACPI_SPACE_PCI = 2,
};
struct acpi_register {
	uint8_t space;
	uint8_t bit_width;
	uint64_t address;
};

/* A piece of memory-mapped PCI configuration space (MCFG). */
struct acpi_segment {
	uint64_t base; /* of bus 0 */
	uint16_t segment;
	uint8_t bus_first;
	uint8_t bus_last;
};

struct acpi_info {
	bool present; /* a good RSDP and root table were found */
	char oem[7];
	uint8_t revision; /* of the RSDP: 0 is ACPI 1.0, 2 is 2.0 and later */
	uint32_t table_count;

	bool has_fadt;
	uint16_t pm_timer_port; /* 0: there is none */
	uint16_t pm1a_control_port;
	uint16_t pm1b_control_port; /* 0: there is none */
	uint16_t smi_command_port;  /* 0: always in ACPI mode */
	uint8_t acpi_enable;	    /* what to write there */
	bool has_reset;
	struct acpi_register reset;
	uint8_t reset_value;
	bool has_soft_off;
	uint8_t soft_off_type_a; /* SLP_TYP of \_S5 */
	uint8_t soft_off_type_b;

	bool has_madt;
	bool has_legacy_pic;
	uint64_t local_apic_address;
	uint32_t cpu_count; /* enabled processors; the first ACPI_CPU_MAX of them below */
	uint32_t cpu_apic_ids[ACPI_CPU_MAX];
	uint32_t io_apic_count;

	uint32_t segment_count;
	struct acpi_segment segments[ACPI_SEGMENT_MAX];

	uint32_t problem_count;
	char problem[ACPI_PROBLEM_SIZE]; /* the first one */
};

/*
 * Reads the tables from the root pointer at `rsdp`, or from where the BIOS keeps
 * it when that is 0. Returns 0; -ENOENT when there is no ACPI; -EINVAL when its
 * root is broken (then info->problem says how). Never fails for less.
 */
int acpi_parse(const struct acpi_memory *memory, uint64_t rsdp, struct acpi_info *info);

#endif
