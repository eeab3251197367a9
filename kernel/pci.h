/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI: what is on the bus, and configuration space (PCI Local Bus 3.0; PCI
 * Express Base 7.2.2 for the memory-mapped way, used when ACPI's MCFG names it).
 * All devices are found once at start-up, with BARs sized, interrupts (INTx, MSI,
 * MSI-X) and bus mastering off. Drivers switch bus mastering on by pci_enable().
 */
#ifndef KERNEL_PCI_H
#define KERNEL_PCI_H

#include "include/bits.h"
#include "kernel/mmio.h"

#define PCI_DEVICE_MAX 128
#define PCI_BAR_COUNT 6

struct pci_address {
	uint8_t bus;
	uint8_t device;	  /* 0..31 */
	uint8_t function; /* 0..7 */
};

struct pci_bar {
	uint64_t base; /* physical address, or port number */
	uint64_t size; /* bytes; 0: not there (also the upper half of a 64-bit BAR) */
	bool is_port;
	bool is_64bit;
};

struct pci_device {
	struct pci_address address;
	uint16_t vendor;
	uint16_t device;
	uint16_t subsystem_vendor;
	uint16_t subsystem;
	uint8_t class_code; /* base class */
	uint8_t subclass;
	uint8_t interface; /* programming interface */
	uint8_t revision;
	uint8_t header_type; /* without the multi-function bit */
	struct pci_bar bars[PCI_BAR_COUNT];
};

/* Finds all devices. Once, at start-up, after ACPI (for MCFG). Returns their count. */
uint32_t pci_init(void);

/* The index-th device found, in bus order; index < pci_init()'s count. */
const struct pci_device *pci_device_at(uint32_t index);
uint32_t pci_device_count(void);

uint8_t pci_read8(const struct pci_device *device, uint16_t offset);
uint16_t pci_read16(const struct pci_device *device, uint16_t offset);
uint32_t pci_read32(const struct pci_device *device, uint16_t offset);
void pci_write8(const struct pci_device *device, uint16_t offset, uint8_t value);
void pci_write16(const struct pci_device *device, uint16_t offset, uint16_t value);
void pci_write32(const struct pci_device *device, uint16_t offset, uint32_t value);

/*
 * Offset of the first capability `id` after offset `after` (0: from the start),
 * or 0 when there is none. A looping or out-of-range list ends the search.
 */
uint8_t pci_find_capability(const struct pci_device *device, uint8_t id, uint8_t after);

/* Memory decoding and bus mastering on; INTx stays off. */
void pci_enable(const struct pci_device *device);
/* Bus mastering off: the device can no longer reach memory. */
void pci_disable(const struct pci_device *device);

/*
 * Maps memory BAR `bar` uncached into `region`. Returns 0, -ENODEV when the BAR
 * is not there, is a port or is smaller than `minimum_size`. Start-up only.
 */
int pci_map_bar(const struct pci_device *device, uint32_t bar, uint64_t minimum_size, struct mmio *region);

/* Writes "00:03.0" and a NUL into `text`. */
#define PCI_ADDRESS_TEXT_SIZE 8
void pci_address_format(struct pci_address address, char text[PCI_ADDRESS_TEXT_SIZE]);

#endif
