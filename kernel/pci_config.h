/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is read out of PCI configuration space, apart from how it is reached: BAR
 * sizes and the capability list (PCI Local Bus 3.0, 6.2.5.1 and 6.7). Pure: also
 * compiled for the host's tests.
 */
#ifndef KERNEL_PCI_CONFIG_H
#define KERNEL_PCI_CONFIG_H

#include "kernel/pci.h"

#define PCI_CONFIG_SIZE 256

/* What a BAR pair held, and what it read back after all ones were written to it. */
struct pci_bar_probe {
	uint32_t low;
	uint32_t low_mask;
	uint32_t high; /* of the next BAR; only looked at for a 64-bit one */
	uint32_t high_mask;
};

/*
 * Works out one BAR. Returns how many BAR slots it takes: 1, or 2 for a 64-bit
 * one. bar->size stays 0 when there is none or when what was read makes no sense.
 */
uint32_t pci_bar_decode(const struct pci_bar_probe *probe, struct pci_bar *bar);

/* As pci_find_capability(), in a copy of the first PCI_CONFIG_SIZE bytes. */
uint8_t pci_capability_find(const uint8_t config[PCI_CONFIG_SIZE], uint8_t id, uint8_t after);

#endif
