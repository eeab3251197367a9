/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fw_cfg: how the guest's firmware (SeaBIOS) asks what machine it is on. Items are
 * selected by number at port 0x510 and read byte by byte at 0x511, or moved into
 * memory by the DMA interface at 0x514. Files have a directory (item 0x19):
 * memory map, boot order, ACPI tables with the script that links them, SMBIOS.
 * All of it follows from the configuration. Read only.
 */
#ifndef MACHINE_FW_CFG_H
#define MACHINE_FW_CFG_H

#include "include/bits.h"
#include "machine/guest_memory.h"

struct machine;

#define MACHINE_FW_CFG_PORT 0x510
#define MACHINE_FW_CFG_DMA_PORT 0x514
#define MACHINE_FW_CFG_FILE_MAX 8
#define MACHINE_FW_CFG_BLOB_SIZE 12288

struct machine_fw_cfg_item {
	uint32_t selector;
	uint32_t offset; /* in blob */
	uint32_t size;
	uint32_t reserved;
};

struct machine_fw_cfg {
	uint32_t selected;    /* item number */
	uint32_t offset;      /* of the next byte in it */
	uint64_t dma_address; /* upper half, until the lower one starts the transfer */
	uint32_t item_count;
	uint32_t blob_size;
	struct machine_fw_cfg_item items[MACHINE_FW_CFG_FILE_MAX + 8];
	uint8_t blob[MACHINE_FW_CFG_BLOB_SIZE];
};

void machine_fw_cfg_reset(struct machine *machine);

/* Ports 0x510..0x51b by offset; `size` 1, 2 or 4. */
uint32_t machine_fw_cfg_port_read(struct machine *machine, uint32_t offset, uint32_t size);
void machine_fw_cfg_port_write(struct machine *machine, const struct guest_memory *memory, uint32_t offset,
			       uint32_t size, uint32_t value);

#endif
