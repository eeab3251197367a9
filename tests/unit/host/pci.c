/* SPDX-License-Identifier: Apache-2.0 */
/* PCI in host tests: see pci.h. */
#include "tests/unit/host/pci.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "include/assert.h"
#include "include/byte_order.h"

#define COMMAND 0x04
#define COMMAND_MEMORY BIT(1)
#define COMMAND_MASTER BIT(2)
#define STATUS 0x06
#define STATUS_CAPABILITIES BIT(4)
#define CAPABILITIES 0x34

static struct pci_device devices[PCI_DEVICE_MAX];
static uint8_t config[PCI_DEVICE_MAX][HOST_PCI_CONFIG_SIZE];
static uint32_t device_count;

void host_pci_reset(void)
{
	device_count = 0;
	memset(devices, 0, sizeof(devices));
	memset(config, 0, sizeof(config));
}

struct pci_device *host_pci_add(uint16_t vendor, uint16_t device)
{
	struct pci_device *added = &devices[device_count];

	ASSERT(device_count < PCI_DEVICE_MAX);
	added->address.device = (uint8_t)(device_count % 32);
	added->address.bus = (uint8_t)(device_count / 32);
	added->vendor = vendor;
	added->device = device;
	store_le16(&config[device_count][0], vendor);
	store_le16(&config[device_count][2], device);
	device_count++;
	return added;
}

uint8_t *host_pci_config(const struct pci_device *device)
{
	ASSERT(device >= devices && device < devices + device_count);
	return config[device - devices];
}

void host_pci_add_capability(const struct pci_device *device, uint8_t offset, const void *capability,
			     uint8_t size)
{
	uint8_t *space = host_pci_config(device);

	ASSERT(range_fits(offset, size, HOST_PCI_CONFIG_SIZE));
	memcpy(space + offset, capability, size);
	space[offset + 1] = space[CAPABILITIES];
	space[CAPABILITIES] = offset;
	space[STATUS] = (uint8_t)(space[STATUS] | STATUS_CAPABILITIES);
}

bool host_pci_is_master(const struct pci_device *device)
{
	return (host_pci_config(device)[COMMAND] & COMMAND_MASTER) != 0;
}

uint32_t pci_device_count(void)
{
	return device_count;
}

const struct pci_device *pci_device_at(uint32_t index)
{
	ASSERT(index < device_count);
	return &devices[index];
}

uint8_t pci_read8(const struct pci_device *device, uint16_t offset)
{
	ASSERT(offset < HOST_PCI_CONFIG_SIZE);
	return host_pci_config(device)[offset];
}

uint16_t pci_read16(const struct pci_device *device, uint16_t offset)
{
	ASSERT(range_fits(offset, 2, HOST_PCI_CONFIG_SIZE) && is_aligned(offset, 2));
	return load_le16(host_pci_config(device) + offset);
}

uint32_t pci_read32(const struct pci_device *device, uint16_t offset)
{
	ASSERT(range_fits(offset, 4, HOST_PCI_CONFIG_SIZE) && is_aligned(offset, 4));
	return load_le32(host_pci_config(device) + offset);
}

void pci_write8(const struct pci_device *device, uint16_t offset, uint8_t value)
{
	ASSERT(offset < HOST_PCI_CONFIG_SIZE);
	host_pci_config(device)[offset] = value;
}

void pci_write16(const struct pci_device *device, uint16_t offset, uint16_t value)
{
	ASSERT(range_fits(offset, 2, HOST_PCI_CONFIG_SIZE) && is_aligned(offset, 2));
	store_le16(host_pci_config(device) + offset, value);
}

void pci_write32(const struct pci_device *device, uint16_t offset, uint32_t value)
{
	ASSERT(range_fits(offset, 4, HOST_PCI_CONFIG_SIZE) && is_aligned(offset, 4));
	store_le32(host_pci_config(device) + offset, value);
}

uint8_t pci_find_capability(const struct pci_device *device, uint8_t id, uint8_t after)
{
	const uint8_t *space = host_pci_config(device);
	uint8_t offset = after ? space[after + 1] : space[CAPABILITIES];

	for (uint32_t steps = 0; steps < 48 && offset >= 0x40; steps++) {
		offset &= 0xfc;
		if (space[offset] == id)
			return offset;
		offset = space[offset + 1];
	}
	return 0;
}

void pci_enable(const struct pci_device *device)
{
	host_pci_config(device)[COMMAND] |= COMMAND_MEMORY | COMMAND_MASTER;
}

void pci_disable(const struct pci_device *device)
{
	host_pci_config(device)[COMMAND] &= (uint8_t)~COMMAND_MASTER;
}

int pci_map_bar(const struct pci_device *device, uint32_t bar, uint64_t minimum_size, struct mmio *region)
{
	if (bar >= PCI_BAR_COUNT || device->bars[bar].size == 0 || device->bars[bar].is_port ||
	    device->bars[bar].size < minimum_size)
		return -ENODEV;
	*region = (struct mmio){ .base = device->bars[bar].base, .size = device->bars[bar].size };
	return 0;
}

void pci_address_format(struct pci_address address, char text[PCI_ADDRESS_TEXT_SIZE])
{
	snprintf(text, PCI_ADDRESS_TEXT_SIZE, "%02x:%02x.%x", (unsigned)address.bus,
		 (unsigned)(address.device & 31), (unsigned)(address.function & 7));
}
