/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI: finding devices and reaching their configuration space. Buses are those
 * that the firmware numbered: bus 0 (and 1 to 7 for the further functions of a
 * multi-function host bridge, PCI Local Bus 3.0), and whatever a bridge's
 * secondary bus number names; each is looked at once.
 *
 * At the end of the scan no device can interrupt, and none but bridges can reach
 * memory: firmware's drivers may have left bus mastering on.
 */
#include "kernel/pci.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "include/assert.h"
#include "include/trace.h"
#include "kernel/cpu.h"
#include "kernel/paging.h"
#include "kernel/pci_config.h"
#include "kernel/pci_scan.h"
#include "kernel/port_io.h"

TRACE_FILE("pci", TRACE_INFO);

/* Mechanism 1 (PCI Local Bus 3.0, 3.2.2.3.2). */
#define CONFIG_ADDRESS 0xcf8
#define CONFIG_ADDRESS_ENABLE 0x80000000u
#define CONFIG_DATA 0xcfc

#define CONFIG_VENDOR 0x00
#define CONFIG_COMMAND 0x04
#define COMMAND_PORT 0x0001
#define COMMAND_MEMORY 0x0002
#define COMMAND_BUS_MASTER 0x0004
#define COMMAND_INTX_DISABLE 0x0400
#define CONFIG_CLASS 0x08
#define CONFIG_HEADER_TYPE 0x0e
#define HEADER_TYPE_MASK 0x7f
#define HEADER_MULTI_FUNCTION 0x80
#define HEADER_DEVICE 0
#define HEADER_BRIDGE 1
#define CONFIG_BAR 0x10
#define CONFIG_SECONDARY_BUS 0x19
#define CONFIG_SUBSYSTEM_VENDOR 0x2c
#define CLASS_BRIDGE 0x06

#define CAPABILITY_MSI 0x05
#define CAPABILITY_MSIX 0x11
#define MSI_CONTROL 2
#define MSI_ENABLE 0x0001
#define MSIX_ENABLE 0x8000

#define BUS_COUNT 256

static struct pci_device devices[PCI_DEVICE_MAX];
static uint32_t device_count;
static uint8_t buses_seen[BUS_COUNT / 8];
static uint8_t bus_queue[BUS_COUNT];
static uint32_t bus_queue_count;

static struct mmio segment_map; /* size 0: mechanism 1 only */
static uint8_t segment_bus_first;
static uint8_t segment_bus_last;

void pci_use_segments(const struct acpi_info *acpi)
{
	for (uint32_t i = 0; i < acpi->segment_count; i++) {
		const struct acpi_segment *segment = &acpi->segments[i];

		if (segment->segment != 0)
			continue;
		segment_bus_first = segment->bus_first;
		segment_bus_last = segment->bus_last;
		paging_map_mmio(segment->base + segment->bus_first * MIB,
				(uint64_t)(segment->bus_last - segment->bus_first + 1) * MIB, &segment_map);
		return;
	}
}

const char *pci_access_name(void)
{
	return segment_map.size > 0 ? "memory-mapped" : "mechanism 1";
}

static bool is_mapped(struct pci_address address)
{
	return segment_map.size > 0 && address.bus >= segment_bus_first && address.bus <= segment_bus_last;
}

/* Enhanced configuration access (PCI Express Base 7.2.2): 4 KiB a function. */
static uint64_t mapped_offset(struct pci_address address, uint16_t offset)
{
	return (uint64_t)(address.bus - segment_bus_first) << 20 | (uint64_t)address.device << 15 |
	       (uint64_t)address.function << 12 | offset;
}

/* Selects the dword; returns the data port of the byte. */
static uint16_t select_port(struct pci_address address, uint16_t offset)
{
	port_write32(CONFIG_ADDRESS, CONFIG_ADDRESS_ENABLE | (uint32_t)address.bus << 16 |
					     (uint32_t)address.device << 11 |
					     (uint32_t)address.function << 8 | (offset & 0xfc));
	return (uint16_t)(CONFIG_DATA + (offset & 3));
}

/* Registers above 255 exist in mapped space only: reads elsewhere are all ones, as from a missing device. */
/* clang-format off */
#define DEFINE_ACCESS(bits)                                                                              \
	static uint##bits##_t config_read##bits(struct pci_address address, uint16_t offset)             \
	{                                                                                                \
		ASSERT(is_aligned(offset, bits / 8) && offset < 4096);                                   \
		if (is_mapped(address))                                                                  \
			return mmio_read##bits(&segment_map, mapped_offset(address, offset));            \
		if (offset >= PCI_CONFIG_SIZE)                                                           \
			return UINT##bits##_MAX;                                                         \
		return port_read##bits(select_port(address, offset));                                    \
	}                                                                                                \
	static void config_write##bits(struct pci_address address, uint16_t offset, uint##bits##_t value) \
	{                                                                                                \
		ASSERT(is_aligned(offset, bits / 8) && offset < 4096);                                   \
		if (is_mapped(address))                                                                  \
			mmio_write##bits(&segment_map, mapped_offset(address, offset), value);           \
		else if (offset < PCI_CONFIG_SIZE)                                                       \
			port_write##bits(select_port(address, offset), value);                           \
	}                                                                                                \
	uint##bits##_t pci_read##bits(const struct pci_device *device, uint16_t offset)                  \
	{                                                                                                \
		return config_read##bits(device->address, offset);                                       \
	}                                                                                                \
	void pci_write##bits(const struct pci_device *device, uint16_t offset, uint##bits##_t value)     \
	{                                                                                                \
		config_write##bits(device->address, offset, value);                                      \
	}
/* clang-format on */

DEFINE_ACCESS(8)
DEFINE_ACCESS(16)
DEFINE_ACCESS(32)

static void change_command(const struct pci_device *device, uint16_t clear, uint16_t set)
{
	uint16_t command = pci_read16(device, CONFIG_COMMAND);

	pci_write16(device, CONFIG_COMMAND, (uint16_t)((command & ~clear) | set));
}

/* Writes all ones, reads back, restores (6.2.5.1). Decoding is off meanwhile. */
static uint32_t probe_register(const struct pci_device *device, uint16_t offset, uint32_t *value)
{
	uint32_t mask;

	*value = pci_read32(device, offset);
	pci_write32(device, offset, UINT32_MAX);
	mask = pci_read32(device, offset);
	pci_write32(device, offset, *value);
	return mask;
}

static void size_bars(struct pci_device *device)
{
	uint16_t command = pci_read16(device, CONFIG_COMMAND);
	uint32_t index = 0;

	pci_write16(device, CONFIG_COMMAND, command & (uint16_t) ~(COMMAND_PORT | COMMAND_MEMORY));
	while (index < PCI_BAR_COUNT) {
		struct pci_bar_probe probe = { 0 };
		uint16_t offset = (uint16_t)(CONFIG_BAR + 4 * index);

		probe.low_mask = probe_register(device, offset, &probe.low);
		if (index + 1 < PCI_BAR_COUNT && (probe.low & 7) == 4)
			probe.high_mask = probe_register(device, (uint16_t)(offset + 4), &probe.high);
		index += pci_bar_decode(&probe, &device->bars[index]);
	}
	pci_write16(device, CONFIG_COMMAND, command);
}

static void silence_interrupts(const struct pci_device *device)
{
	uint8_t msi = pci_find_capability(device, CAPABILITY_MSI, 0);
	uint8_t msix = pci_find_capability(device, CAPABILITY_MSIX, 0);

	change_command(device, 0, COMMAND_INTX_DISABLE);
	if (msi)
		pci_write16(device, (uint16_t)(msi + MSI_CONTROL),
			    pci_read16(device, (uint16_t)(msi + MSI_CONTROL)) & (uint16_t)~MSI_ENABLE);
	if (msix)
		pci_write16(device, (uint16_t)(msix + MSI_CONTROL),
			    pci_read16(device, (uint16_t)(msix + MSI_CONTROL)) & (uint16_t)~MSIX_ENABLE);
}

static void queue_bus(uint8_t bus)
{
	if (buses_seen[bus / 8] & BIT(bus % 8))
		return;
	buses_seen[bus / 8] |= (uint8_t)BIT(bus % 8);
	bus_queue[bus_queue_count++] = bus;
}

static void read_header(struct pci_device *device)
{
	uint32_t class_revision = pci_read32(device, CONFIG_CLASS);

	device->device = pci_read16(device, CONFIG_VENDOR + 2);
	device->revision = (uint8_t)class_revision;
	device->interface = (uint8_t)(class_revision >> 8);
	device->subclass = (uint8_t)(class_revision >> 16);
	device->class_code = (uint8_t)(class_revision >> 24);
	device->header_type = pci_read8(device, CONFIG_HEADER_TYPE) & HEADER_TYPE_MASK;
}

static void set_up_function(struct pci_device *device)
{
	read_header(device);
	silence_interrupts(device);
	if (device->header_type == HEADER_BRIDGE) {
		queue_bus(pci_read8(device, CONFIG_SECONDARY_BUS));
	} else if (device->header_type == HEADER_DEVICE) {
		device->subsystem_vendor = pci_read16(device, CONFIG_SUBSYSTEM_VENDOR);
		device->subsystem = pci_read16(device, CONFIG_SUBSYSTEM_VENDOR + 2);
		/* Taking decoding from a host bridge can take memory away under our feet. */
		if (device->class_code != CLASS_BRIDGE) {
			change_command(device, COMMAND_BUS_MASTER, 0);
			size_bars(device);
		}
	}
}

/* True when a function answered there. */
static bool scan_function(struct pci_address address)
{
	uint16_t vendor = config_read16(address, CONFIG_VENDOR);
	struct pci_device *device;

	if (vendor == 0xffff || vendor == 0)
		return false;
	if (device_count == PCI_DEVICE_MAX) {
		trace(TRACE_WARNING, "more than %u devices: the rest is not used", PCI_DEVICE_MAX);
		return true;
	}
	device = &devices[device_count++];
	memset(device, 0, sizeof(*device));
	device->address = address;
	device->vendor = vendor;
	set_up_function(device);
	return true;
}

static void scan_bus(uint8_t bus)
{
	for (uint8_t number = 0; number < 32; number++) {
		struct pci_address address = { .bus = bus, .device = number };

		if (!scan_function(address) ||
		    !(config_read8(address, CONFIG_HEADER_TYPE) & HEADER_MULTI_FUNCTION))
			continue;
		for (address.function = 1; address.function < 8; address.function++)
			scan_function(address);
	}
}

/* A multi-function device 0 on bus 0 means one host bridge a function, each with the bus of its number. */
static void queue_host_buses(void)
{
	struct pci_address address = { 0 };

	queue_bus(0);
	if (!(config_read8(address, CONFIG_HEADER_TYPE) & HEADER_MULTI_FUNCTION))
		return;
	for (address.function = 1; address.function < 8; address.function++)
		if (config_read16(address, CONFIG_VENDOR) != 0xffff)
			queue_bus(address.function);
}

static bool address_is_before(struct pci_address a, struct pci_address b)
{
	return (a.bus << 8 | a.device << 3 | a.function) < (b.bus << 8 | b.device << 3 | b.function);
}

/* Bus order, whatever order the bridges were met in. */
static void sort_devices(void)
{
	for (uint32_t i = 1; i < device_count; i++) {
		struct pci_device device = devices[i];
		uint32_t at = i;

		for (; at > 0 && address_is_before(device.address, devices[at - 1].address); at--)
			devices[at] = devices[at - 1];
		devices[at] = device;
	}
}

uint32_t pci_init(void)
{
	ASSERT(device_count == 0);
	queue_host_buses();
	for (uint32_t i = 0; i < bus_queue_count; i++)
		scan_bus(bus_queue[i]);
	sort_devices();
	return device_count;
}

const struct pci_device *pci_device_at(uint32_t index)
{
	ASSERT(index < device_count);
	return &devices[index];
}

uint32_t pci_device_count(void)
{
	return device_count;
}

uint8_t pci_find_capability(const struct pci_device *device, uint8_t id, uint8_t after)
{
	uint32_t config[PCI_CONFIG_SIZE / 4];

	for (uint16_t i = 0; i < ARRAY_SIZE(config); i++)
		config[i] = pci_read32(device, (uint16_t)(4 * i));
	return pci_capability_find((const uint8_t *)config, id, after);
}

void pci_enable(const struct pci_device *device)
{
	change_command(device, 0, COMMAND_MEMORY | COMMAND_BUS_MASTER);
}

void pci_disable(const struct pci_device *device)
{
	change_command(device, COMMAND_BUS_MASTER, 0);
}

int pci_map_bar(const struct pci_device *device, uint32_t bar_index, uint64_t minimum_size,
		struct mmio *region)
{
	const struct pci_bar *bar = &device->bars[bar_index];

	ASSERT(bar_index < PCI_BAR_COUNT);
	if (bar->is_port || bar->base == 0 || bar->size < minimum_size || bar->size == 0)
		return trace_error(-ENODEV);
	if (!range_fits(bar->base, bar->size, cpu_physical_limit()))
		return trace_error(-ENODEV);
	paging_map_mmio(bar->base, bar->size, region);
	return region->size > 0 ? 0 : trace_error(-ENOMEM);
}

void pci_address_format(struct pci_address address, char text[PCI_ADDRESS_TEXT_SIZE])
{
	snprintf(text, PCI_ADDRESS_TEXT_SIZE, "%02x:%02x.%x", address.bus, address.device & 31,
		 address.function & 7);
}
