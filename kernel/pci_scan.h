/* SPDX-License-Identifier: Apache-2.0 */
/* The start-up's side of pci.h: how configuration space is reached. */
#ifndef KERNEL_PCI_SCAN_H
#define KERNEL_PCI_SCAN_H

#include "kernel/acpi.h"

/*
 * Memory-mapped configuration space, when ACPI names one for segment 0; else, and
 * for buses it does not cover, mechanism 1 is used. Before pci_init().
 */
void pci_use_segments(const struct acpi_info *acpi);

/* "memory-mapped" or "mechanism 1". */
const char *pci_access_name(void);

#endif
