/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fw_cfg (the interface is described in QEMU's docs/specs/fw_cfg.rst; the loader
 * script in its bios-linker-loader). Numbers in the directory and in DMA
 * descriptors are big-endian, those in items little-endian.
 */
#include "machine/fw_cfg.h"

#include <string.h>

#include "include/assert.h"
#include "include/byte_order.h"
#include "machine/acpi_tables.h"
#include "machine/machine.h"
#include "machine/memory_map.h"
#include "machine/smbios.h"

enum {
	ITEM_SIGNATURE = 0x00,
	ITEM_ID = 0x01,
	ITEM_PROCESSOR_COUNT = 0x05,
	ITEM_BOOT_MENU = 0x0e,
	ITEM_PROCESSOR_MAX = 0x0f,
	ITEM_DIRECTORY = 0x19,
	ITEM_FILE_FIRST = 0x20,
};

#define ID_TRADITIONAL 1
#define ID_DMA 2
/* Bit 14 asked for writing once. Bit 15 makes an item of the architecture's own, which are others: here,
 * none. */
#define SELECTOR_MASK 0xbfff

#define DIRECTORY_ENTRY_SIZE 64
#define FILE_NAME_SIZE 56

#define DMA_ERROR UINT32_C(1)
#define DMA_READ UINT32_C(2)
#define DMA_SKIP UINT32_C(4)
#define DMA_SELECT UINT32_C(8)
#define DMA_WRITE UINT32_C(16)
#define DMA_DESCRIPTOR_SIZE 16

#define LOADER_ALLOCATE 1
#define LOADER_POINTER 2
#define LOADER_CHECKSUM 3
#define LOADER_ENTRY_SIZE 128
#define ZONE_HIGH 1
#define ZONE_BIOS 2
#define RSDP_FILE "etc/acpi/rsdp"
#define TABLES_FILE "etc/acpi/tables"

/* ---- contents ---- */

/* Begins an item of `size` bytes; returns where they go. */
static uint8_t *item_add(struct machine_fw_cfg *fw_cfg, uint32_t selector, uint32_t size)
{
	struct machine_fw_cfg_item *item = &fw_cfg->items[fw_cfg->item_count];

	ASSERT(fw_cfg->item_count < ARRAY_SIZE(fw_cfg->items));
	ASSERT(size <= MACHINE_FW_CFG_BLOB_SIZE - fw_cfg->blob_size);
	item->selector = selector;
	item->offset = fw_cfg->blob_size;
	item->size = size;
	fw_cfg->item_count++;
	fw_cfg->blob_size += size;
	return fw_cfg->blob + item->offset;
}

static void item_add16(struct machine_fw_cfg *fw_cfg, uint32_t selector, uint16_t value)
{
	store_le16(item_add(fw_cfg, selector, 2), value);
}

/* A file: its bytes as an item of its own, its name in the directory, which is the first item. */
static uint8_t *file_add(struct machine_fw_cfg *fw_cfg, const char *name, uint32_t size)
{
	uint8_t *directory = fw_cfg->blob + fw_cfg->items[0].offset;
	uint32_t index = load_be32(directory);
	uint8_t *entry = directory + 4 + index * DIRECTORY_ENTRY_SIZE;

	ASSERT(index < MACHINE_FW_CFG_FILE_MAX);
	ASSERT(strlen(name) < FILE_NAME_SIZE);
	store_be32(entry, size);
	store_be16(entry + 4, (uint16_t)(ITEM_FILE_FIRST + index));
	memcpy(entry + 8, name, strlen(name));
	store_be32(directory, index + 1);
	return item_add(fw_cfg, ITEM_FILE_FIRST + index, size);
}

struct script {
	uint8_t *at;
};

static uint8_t *script_add(struct script *script, uint32_t command, const char *file)
{
	uint8_t *entry = script->at;

	store_le32(entry, command);
	memcpy(entry + 4, file, strlen(file));
	script->at += LOADER_ENTRY_SIZE;
	return entry + 4 + FILE_NAME_SIZE;
}

static void script_allocate(struct script *script, const char *file, uint32_t alignment, uint8_t zone)
{
	uint8_t *rest = script_add(script, LOADER_ALLOCATE, file);

	store_le32(rest, alignment);
	rest[4] = zone;
}

/* Adds the address of TABLES_FILE to the pointer in `file`. */
static void script_pointer(struct script *script, const char *file, uint32_t offset, uint32_t size)
{
	uint8_t *rest = script_add(script, LOADER_POINTER, file);

	memcpy(rest, TABLES_FILE, sizeof(TABLES_FILE));
	store_le32(rest + FILE_NAME_SIZE, offset);
	rest[FILE_NAME_SIZE + 4] = (uint8_t)size;
}

static void script_checksum(struct script *script, const char *file, uint32_t at, uint32_t start,
			    uint32_t size)
{
	uint8_t *rest = script_add(script, LOADER_CHECKSUM, file);

	store_le32(rest, at);
	store_le32(rest + 4, start);
	store_le32(rest + 8, size);
}

static void acpi_add(struct machine *machine)
{
	struct machine_fw_cfg *fw_cfg = &machine->fw_cfg;
	struct machine_acpi_layout layout;
	struct script script;
	uint8_t *block = file_add(fw_cfg, TABLES_FILE, MACHINE_ACPI_SIZE_MAX);
	uint8_t *rsdp = file_add(fw_cfg, RSDP_FILE, MACHINE_ACPI_RSDP_SIZE);

	machine_acpi_build(machine, block, rsdp, &layout);
	script.at = file_add(fw_cfg, "etc/table-loader",
			     (6 + layout.pointer_count + layout.table_count) * LOADER_ENTRY_SIZE);
	script_allocate(&script, RSDP_FILE, 16, ZONE_BIOS);
	script_allocate(&script, TABLES_FILE, MACHINE_ACPI_ALIGNMENT, ZONE_HIGH);
	for (uint32_t i = 0; i < layout.pointer_count; i++)
		script_pointer(&script, TABLES_FILE, layout.pointers[i].offset, layout.pointers[i].size);
	for (uint32_t i = 0; i < layout.table_count; i++)
		script_checksum(&script, TABLES_FILE, layout.tables[i].offset + MACHINE_ACPI_CHECKSUM,
				layout.tables[i].offset, layout.tables[i].size);
	script_pointer(&script, RSDP_FILE, MACHINE_ACPI_RSDP_RSDT, 4);
	script_pointer(&script, RSDP_FILE, MACHINE_ACPI_RSDP_XSDT, 8);
	script_checksum(&script, RSDP_FILE, MACHINE_ACPI_RSDP_CHECKSUM, 0, MACHINE_ACPI_RSDP_CHECKED);
	script_checksum(&script, RSDP_FILE, MACHINE_ACPI_RSDP_EXTENDED_CHECKSUM, 0, MACHINE_ACPI_RSDP_SIZE);
}

static void memory_map_add(struct machine *machine)
{
	struct machine_memory_range ranges[MACHINE_MEMORY_RANGE_MAX];
	uint32_t count = machine_memory_map(machine, MACHINE_BOOT_FIRMWARE, ranges);
	uint8_t *at = file_add(&machine->fw_cfg, "etc/e820", count * MACHINE_MEMORY_RANGE_SIZE);

	for (uint32_t i = 0; i < count; i++)
		machine_memory_range_put(at + i * MACHINE_MEMORY_RANGE_SIZE, &ranges[i]);
}

static void smbios_add(struct machine *machine)
{
	uint8_t tables[MACHINE_SMBIOS_SIZE_MAX];
	uint8_t anchor[MACHINE_SMBIOS_ANCHOR_SIZE];
	uint32_t size = machine_smbios_build(machine, tables, anchor);

	memcpy(file_add(&machine->fw_cfg, "etc/smbios/smbios-tables", size), tables, size);
	memcpy(file_add(&machine->fw_cfg, "etc/smbios/smbios-anchor", sizeof(anchor)), anchor,
	       sizeof(anchor));
}

void machine_fw_cfg_reset(struct machine *machine)
{
	static const char boot_order[] = "/pci@i0cf8/scsi@2/disk@0,0\n"; /* the first disk: slot 2 */
	struct machine_fw_cfg *fw_cfg = &machine->fw_cfg;

	memset(fw_cfg, 0, sizeof(*fw_cfg));
	item_add(fw_cfg, ITEM_DIRECTORY, 4 + MACHINE_FW_CFG_FILE_MAX * DIRECTORY_ENTRY_SIZE);
	memcpy(item_add(fw_cfg, ITEM_SIGNATURE, 4), "QEMU", 4); /* the interface's name, whoever offers it */
	store_le32(item_add(fw_cfg, ITEM_ID, 4), ID_TRADITIONAL | ID_DMA);
	item_add16(fw_cfg, ITEM_PROCESSOR_COUNT, 1);
	item_add16(fw_cfg, ITEM_PROCESSOR_MAX, 1);
	item_add16(fw_cfg, ITEM_BOOT_MENU, 0);
	memory_map_add(machine);
	acpi_add(machine);
	smbios_add(machine);
	memcpy(file_add(fw_cfg, "bootorder", sizeof(boot_order)), boot_order, sizeof(boot_order));
	store_le16(file_add(fw_cfg, "etc/sercon-port", 2), MACHINE_UART_PORT);
}

/* ---- the ports ---- */

static const struct machine_fw_cfg_item *item_selected(const struct machine_fw_cfg *fw_cfg)
{
	for (uint32_t i = 0; i < fw_cfg->item_count; i++)
		if (fw_cfg->items[i].selector == fw_cfg->selected)
			return &fw_cfg->items[i];
	return NULL;
}

static void item_select(struct machine_fw_cfg *fw_cfg, uint32_t selector)
{
	fw_cfg->selected = selector & SELECTOR_MASK;
	fw_cfg->offset = 0;
}

/* The next byte of the item; zeroes behind its end, and of items there are not. */
static uint8_t byte_next(struct machine_fw_cfg *fw_cfg)
{
	const struct machine_fw_cfg_item *item = item_selected(fw_cfg);

	if (!item || fw_cfg->offset >= item->size)
		return 0;
	return fw_cfg->blob[item->offset + fw_cfg->offset++];
}

/* Copies `size` bytes of the item to guest memory, zeroes behind its end. */
static bool dma_read(struct machine_fw_cfg *fw_cfg, const struct guest_memory *memory, uint64_t gpa,
		     uint32_t size)
{
	const struct machine_fw_cfg_item *item = item_selected(fw_cfg);
	uint32_t left = item && fw_cfg->offset < item->size ? item->size - fw_cfg->offset : 0;
	uint32_t count = (uint32_t)min_u64(size, left);
	uint8_t *to = guest_memory_to_write(memory, gpa, size);

	if (!to)
		return false;
	if (count)
		memcpy(to, fw_cfg->blob + item->offset + fw_cfg->offset, count);
	memset(to + count, 0, size - count);
	fw_cfg->offset += count;
	return true;
}

static void dma_skip(struct machine_fw_cfg *fw_cfg, uint32_t size)
{
	const struct machine_fw_cfg_item *item = item_selected(fw_cfg);

	if (item)
		fw_cfg->offset = (uint32_t)min_u64((uint64_t)fw_cfg->offset + size, item->size);
}

/* Carries out the descriptor at `gpa`; its control word tells the end: 0, or the error bit. */
static void dma_run(struct machine *machine, const struct guest_memory *memory, uint64_t gpa)
{
	struct machine_fw_cfg *fw_cfg = &machine->fw_cfg;
	uint8_t *descriptor = guest_memory_to_write(memory, gpa, DMA_DESCRIPTOR_SIZE);
	uint32_t control;
	uint32_t size;
	bool good = true;

	if (!descriptor)
		return;
	control = load_be32(descriptor);
	size = load_be32(descriptor + 4);
	if (control & DMA_SELECT)
		item_select(fw_cfg, control >> 16);
	if (control & DMA_READ)
		good = dma_read(fw_cfg, memory, load_be64(descriptor + 8), size);
	else if (control & DMA_SKIP)
		dma_skip(fw_cfg, size);
	else if (control & DMA_WRITE)
		good = false;
	store_be32(descriptor, good ? 0 : DMA_ERROR);
}

uint32_t machine_fw_cfg_port_read(struct machine *machine, uint32_t offset, uint32_t size)
{
	static const uint8_t dma_signature[8] = { 'Q', 'E', 'M', 'U', ' ', 'C', 'F', 'G' };
	uint32_t dma = MACHINE_FW_CFG_DMA_PORT - MACHINE_FW_CFG_PORT;
	uint32_t value = 0;

	if (offset == 1)
		return byte_next(&machine->fw_cfg);
	for (uint32_t i = 0; i < size; i++)
		if (offset + i >= dma && offset + i < dma + 8)
			value |= (uint32_t)dma_signature[offset + i - dma] << i * 8;
	return value;
}

void machine_fw_cfg_port_write(struct machine *machine, const struct guest_memory *memory, uint32_t offset,
			       uint32_t size, uint32_t value)
{
	uint32_t dma = MACHINE_FW_CFG_DMA_PORT - MACHINE_FW_CFG_PORT;

	if (offset == 0 && size == 2) {
		item_select(&machine->fw_cfg, value);
	} else if (offset == dma && size == 4) {
		machine->fw_cfg.dma_address = (uint64_t)__builtin_bswap32(value) << 32;
	} else if (offset == dma + 4 && size == 4) {
		uint64_t gpa = machine->fw_cfg.dma_address | __builtin_bswap32(value);

		machine->fw_cfg.dma_address = 0;
		dma_run(machine, memory, gpa);
	}
}
