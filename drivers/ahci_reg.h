/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registers and memory of a Serial ATA AHCI host bus adapter, as far as we use
 * them (AHCI 1.3.1). RO: read-only, RW1C: written ones clear.
 */
#ifndef DRIVERS_AHCI_REG_H
#define DRIVERS_AHCI_REG_H

#include "drivers/ata.h"
#include "include/bits.h"

#define AHCI_BAR 5
#define AHCI_PORT_COUNT 32
#define AHCI_SLOT_COUNT 32

/* Host registers, section 3.1. */
#define AHCI_CAP 0x00 /* capabilities, RO */
#define AHCI_CAP_SLOT_COUNT(cap) ((((cap) >> 8) & 0x1f) + 1)
#define AHCI_CAP_STAGGERED_SPIN_UP BIT(27)
#define AHCI_CAP_NCQ BIT(30)
#define AHCI_CAP_64BIT BIT(31)
#define AHCI_GHC 0x04 /* global control, RW */
#define AHCI_GHC_RESET BIT(0) /* reads 1 until the reset is done */
#define AHCI_GHC_ENABLE BIT(31)
#define AHCI_PI 0x0c /* ports implemented, RO, one bit each */
#define AHCI_CAP2 0x24 /* RO */
#define AHCI_CAP2_HANDOFF BIT(0)
#define AHCI_BOHC 0x28 /* BIOS/OS handoff, RW, section 10.6 */
#define AHCI_BOHC_BIOS_OWNED BIT(0)
#define AHCI_BOHC_OS_OWNED BIT(1)
#define AHCI_BOHC_BIOS_BUSY BIT(4)

/* Port registers, section 3.3: 0x80 bytes for each port from 0x100. */
#define AHCI_PORT(index) (0x100 + 0x80 * (index))
#define AHCI_PxCLB 0x00 /* command list base, RW, 1 KiB aligned; upper half in the next register */
#define AHCI_PxFB 0x08	/* received frames base, RW, 256-byte aligned; upper half in the next register */
#define AHCI_PxIS 0x10	/* interrupt status, RW1C */
#define AHCI_PxIS_CONNECT BIT(6)      /* PCS: a device was plugged in */
#define AHCI_PxIS_PHY BIT(22)	      /* PRCS: the link came or went */
#define AHCI_PxIS_INTERFACE BIT(27)   /* IFS: interface fatal */
#define AHCI_PxIS_HOST_DATA BIT(28)   /* HBDS: host bus data error */
#define AHCI_PxIS_HOST_FATAL BIT(29)  /* HBFS: host bus fatal */
#define AHCI_PxIS_TASK_FILE BIT(30)   /* TFES: a command failed */
#define AHCI_PxIE 0x14 /* interrupt enable, RW */
#define AHCI_PxCMD 0x18 /* command and status, RW */
#define AHCI_PxCMD_START BIT(0)
#define AHCI_PxCMD_SPIN_UP BIT(1)
#define AHCI_PxCMD_POWER_ON BIT(2)
#define AHCI_PxCMD_FRAMES_ENABLE BIT(4) /* FRE */
#define AHCI_PxCMD_SLOT(cmd) (((cmd) >> 8) & 0x1f) /* CCS: the slot being worked on */
#define AHCI_PxCMD_FRAMES_RUNNING BIT(14)  /* FR, RO */
#define AHCI_PxCMD_RUNNING BIT(15)	   /* CR, RO */
#define AHCI_PxCMD_ACTIVE (UINT64_C(1) << 28) /* ICC 31:28: wake the link up */
#define AHCI_PxTFD 0x20 /* task file, RO: 7:0 ATA status, 15:8 error */
#define AHCI_PxSIG 0x24 /* signature of the device, RO */
#define AHCI_PxSIG_DISK 0x00000101
#define AHCI_PxSSTS 0x28 /* link status, RO */
#define AHCI_PxSSTS_DETECTION(ssts) ((ssts) & 0xf)
#define AHCI_DETECTION_NONE 0
#define AHCI_DETECTION_NO_LINK 1 /* somebody is there, but the link is not up yet */
#define AHCI_DETECTION_UP 3
#define AHCI_PxSCTL 0x2c /* link control, RW */
#define AHCI_PxSCTL_RESET 0x301	 /* DET = 1: COMRESET; IPM = 3: no power saving of the link */
#define AHCI_PxSCTL_NORMAL 0x300
#define AHCI_PxSERR 0x30 /* link errors, RW1C */
#define AHCI_PxSACT 0x34 /* queued commands under way, one bit each; written ones set */
#define AHCI_PxCI 0x38	 /* commands given, one bit each; written ones set, cleared by the adapter */

#define AHCI_MMIO_SIZE(port_count) AHCI_PORT(port_count)

/* A slot of the command list, section 4.2.2. */
struct ahci_header {
	uint16_t flags;
	uint16_t segment_count;
	uint32_t transferred; /* bytes, by the adapter; not for queued commands */
	uint64_t table;	      /* physical, 128-byte aligned */
	uint32_t reserved[4];
};
#define AHCI_HEADER_FRAME_DWORDS 5 /* bits 4:0: size of the command's frame */
#define AHCI_HEADER_WRITE BIT(6)
BUILD_ASSERT(sizeof(struct ahci_header) == 32);

/* One piece of memory, section 4.2.3.3. */
struct ahci_segment {
	uint64_t physical;
	uint32_t reserved;
	uint32_t size; /* bytes - 1, odd, in 21:0 */
};
BUILD_ASSERT(sizeof(struct ahci_segment) == 16);
#define AHCI_SEGMENT_SIZE_MAX (4 * MIB)
BUILD_ASSERT(DISK_TRANSFER_MAX <= AHCI_SEGMENT_SIZE_MAX);

/* What a slot points to, section 4.2.3. */
struct ahci_table {
	struct ata_command command;
	uint8_t command_rest[44];
	uint8_t packet[16];
	uint8_t reserved[48];
	struct ahci_segment segments[DISK_SEGMENT_MAX];
};
BUILD_ASSERT(offsetof(struct ahci_table, segments) == 0x80);
BUILD_ASSERT(sizeof(struct ahci_table) % 128 == 0);

/* First bytes of a frame that ends commands. */
struct ahci_frame {
	uint8_t type;
	uint8_t flags;
	uint8_t status;
	uint8_t error;
};

/* Where received frames land, section 4.2.1. */
struct ahci_received {
	uint8_t dma_setup[0x20];
	uint8_t pio_setup[0x20];
	volatile struct ahci_frame device_to_host;
	uint8_t device_to_host_rest[0x14];
	volatile struct ahci_frame set_device_bits;
	volatile uint32_t set_device_bits_active; /* slots that are done */
	uint8_t unknown[0xa0];
};
BUILD_ASSERT(sizeof(struct ahci_received) == 0x100);
BUILD_ASSERT(offsetof(struct ahci_received, device_to_host) == 0x40);
BUILD_ASSERT(offsetof(struct ahci_received, set_device_bits) == 0x58);

/* All memory of one port, in one piece. */
struct ahci_memory {
	struct ahci_header headers[AHCI_SLOT_COUNT];
	struct ahci_received received;
	uint8_t data[ATA_SECTOR_SIZE]; /* of IDENTIFY DEVICE and the error log */
	uint8_t padding[0x100];
	struct ahci_table tables[AHCI_SLOT_COUNT];
};
#define AHCI_MEMORY_ALIGNMENT (4 * KIB)
BUILD_ASSERT(offsetof(struct ahci_memory, received) % 256 == 0);
BUILD_ASSERT(offsetof(struct ahci_memory, tables) % 128 == 0);

#endif
