/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ATA command set as far as a disk needs it (ACS-4): building the frames that
 * carry commands (Serial ATA 3.4, 10.5), and reading what the disk says about
 * itself and about a failed queued command. Pure: no registers, no time.
 */
#ifndef DRIVERS_ATA_H
#define DRIVERS_ATA_H

#include "drivers/disk.h"

#define ATA_SECTOR_SIZE 512 /* of IDENTIFY data and log pages, whatever the disk's own is */

/* Bits of the status register, and of the status byte in a received frame. */
#define ATA_STATUS_ERROR 0x01
#define ATA_STATUS_DATA_REQUEST 0x08
#define ATA_STATUS_DEVICE_FAULT 0x20
#define ATA_STATUS_BUSY 0x80

/* Frame types, first byte. */
#define ATA_FIS_HOST_TO_DEVICE 0x27
#define ATA_FIS_DEVICE_TO_HOST 0x34
#define ATA_FIS_SET_DEVICE_BITS 0xa1

/* Register - Host to Device frame. */
struct ata_command {
	uint8_t type;
	uint8_t flags; /* bit 7: command, not control */
	uint8_t command;
	uint8_t features;
	uint8_t lba_low[3];
	uint8_t device;
	uint8_t lba_high[3];
	uint8_t features_high;
	uint8_t count;
	uint8_t count_high;
	uint8_t isochronous;
	uint8_t control;
	uint8_t reserved[4];
};
BUILD_ASSERT(sizeof(struct ata_command) == 20);
BUILD_ASSERT(offsetof(struct ata_command, device) == 7);
BUILD_ASSERT(offsetof(struct ata_command, count) == 12);

struct ata_identity {
	struct disk_identity disk; /* without queue_depth and limits, which depend on the controller */
	bool has_ncq;
	uint32_t ncq_depth; /* 1 .. 32 */
	bool has_log;	    /* READ LOG EXT, where the disk names a queued command that failed */
};

/*
 * Reads the 512 bytes that IDENTIFY DEVICE gave. Returns 0; -EIO when they cannot
 * be right (checksum, sizes); -EINVAL for a disk that is too old (no LBA48, no
 * DMA) or has sectors of neither 512 nor 4096 bytes.
 */
int ata_identity_parse(struct ata_identity *identity, const uint8_t data[ATA_SECTOR_SIZE]);

/*
 * Reads log page 10h, NCQ Command Error. True: the queued command `tag` failed at
 * `lba`. False: the page tells nothing or is damaged.
 */
bool ata_error_log_parse(const uint8_t data[ATA_SECTOR_SIZE], uint32_t *tag, uint64_t *lba);

/* Fill in a command; the whole frame is written. */
void ata_build_identify(struct ata_command *command);
void ata_build_error_log(struct ata_command *command);
void ata_build_flush(struct ata_command *command);
/* READ or WRITE DMA EXT, WRITE DMA FUA EXT; sector_count is 1 .. 65535. */
void ata_build_transfer(struct ata_command *command, const struct disk_request *request,
			bool force_unit_access);
/* READ or WRITE FPDMA QUEUED, with `tag`. */
void ata_build_queued(struct ata_command *command, const struct disk_request *request, uint32_t tag,
		      bool force_unit_access);

#endif
