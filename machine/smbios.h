/* SPDX-License-Identifier: Apache-2.0 */
/* What the guest is told about its hardware's maker and identity (SMBIOS 2.8). */
#ifndef MACHINE_SMBIOS_H
#define MACHINE_SMBIOS_H

#include "include/bits.h"

struct machine;

#define MACHINE_SMBIOS_SIZE_MAX 256
#define MACHINE_SMBIOS_ANCHOR_SIZE 31
#define MACHINE_SMBIOS_ANCHOR_ADDRESS 24 /* offset of the tables' 32-bit address in the anchor */

/*
 * Builds the structures into `tables` (MACHINE_SMBIOS_SIZE_MAX bytes) and the entry
 * point into `anchor` (MACHINE_SMBIOS_ANCHOR_SIZE bytes), whose address and
 * checksums are for whoever places them. Returns the size of the structures.
 */
uint32_t machine_smbios_build(const struct machine *machine, uint8_t *tables, uint8_t *anchor);

/* Fills in address and checksums when the tables are at guest-physical `gpa`. */
void machine_smbios_place(uint8_t *anchor, uint32_t gpa);

#endif
