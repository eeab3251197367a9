/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ACPI tables that describe the virtual server (ACPI 6.4, chapter 5): FACS,
 * DSDT, FADT, MADT, RSDT, XSDT, and the RSDP apart. Built as one block with
 * addresses relative to its start; whoever places it (the direct boot, or SeaBIOS
 * by the loader script in fw_cfg) adds the base to each pointer and then fills in
 * the checksums.
 */
#ifndef MACHINE_ACPI_TABLES_H
#define MACHINE_ACPI_TABLES_H

#include "include/bits.h"

struct machine;

#define MACHINE_ACPI_SIZE_MAX 4096
#define MACHINE_ACPI_ALIGNMENT 64
#define MACHINE_ACPI_RSDP_SIZE 36
#define MACHINE_ACPI_TABLE_MAX 8
#define MACHINE_ACPI_POINTER_MAX 12

struct machine_acpi_table {
	uint32_t offset;
	uint32_t size;
};

struct machine_acpi_pointer {
	uint32_t offset; /* of the pointer in the block */
	uint32_t size;	 /* 4 or 8 bytes */
};

struct machine_acpi_layout {
	uint32_t size;	      /* of the block */
	uint32_t table_count; /* tables with a checksum at their byte 9 */
	uint32_t pointer_count;
	uint32_t rsdt; /* offsets */
	uint32_t xsdt;
	struct machine_acpi_table tables[MACHINE_ACPI_TABLE_MAX];
	struct machine_acpi_pointer pointers[MACHINE_ACPI_POINTER_MAX];
};

#define MACHINE_ACPI_CHECKSUM 9

/* Offsets in the RSDP; its two pointers are to the block. */
#define MACHINE_ACPI_RSDP_CHECKSUM 8
#define MACHINE_ACPI_RSDP_CHECKED 20 /* bytes under the first checksum */
#define MACHINE_ACPI_RSDP_RSDT 16
#define MACHINE_ACPI_RSDP_XSDT 24
#define MACHINE_ACPI_RSDP_EXTENDED_CHECKSUM 32

/* Builds the block into `block` (MACHINE_ACPI_SIZE_MAX bytes, zeroed) and its RSDP into `rsdp`. */
void machine_acpi_build(const struct machine *machine, uint8_t *block, uint8_t *rsdp,
			struct machine_acpi_layout *layout);

/* Moves block and RSDP to guest-physical `base` of the block: pointers and checksums become final. */
void machine_acpi_place(uint8_t *block, uint8_t *rsdp, const struct machine_acpi_layout *layout,
			uint64_t base);

#endif
