/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI in host tests: devices that a test puts on the bus, each with 256 bytes of
 * configuration space that it may fill as it likes.
 */
#ifndef TESTS_UNIT_HOST_PCI_H
#define TESTS_UNIT_HOST_PCI_H

#include "kernel/pci.h"

#define HOST_PCI_CONFIG_SIZE 256

/* Takes all devices off the bus. */
void host_pci_reset(void);

/*
 * Adds a device with the given identity and no BARs; the caller fills `bars` and
 * the rest in what is returned.
 */
struct pci_device *host_pci_add(uint16_t vendor, uint16_t device);

/* The device's configuration space. */
uint8_t *host_pci_config(const struct pci_device *device);

/* Puts `size` bytes of `capability` at `offset` and links it in front of the list. */
void host_pci_add_capability(const struct pci_device *device, uint8_t offset, const void *capability,
			     uint8_t size);

/* May the device reach memory (pci_enable without pci_disable after it)? */
bool host_pci_is_master(const struct pci_device *device);

#endif
