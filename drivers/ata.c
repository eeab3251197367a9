/* SPDX-License-Identifier: Apache-2.0 */
/* The ATA command set; see ata.h. Section numbers are ACS-4's. */
#include "drivers/ata.h"

#include <errno.h>
#include <string.h>

#include "drivers/disk_queue.h"
#include "include/assert.h"
#include "include/byte_order.h"
#include "include/trace.h"

TRACE_FILE("disk", TRACE_INFO);

enum ata_opcode {
	ATA_READ_DMA_EXT = 0x25,       /* 7.21 */
	ATA_READ_LOG_EXT = 0x2f,       /* 7.24 */
	ATA_WRITE_DMA_EXT = 0x35,      /* 7.58 */
	ATA_WRITE_DMA_FUA_EXT = 0x3d,  /* 7.59 */
	ATA_READ_FPDMA_QUEUED = 0x60,  /* 7.23 */
	ATA_WRITE_FPDMA_QUEUED = 0x61, /* 7.60 */
	ATA_FLUSH_CACHE_EXT = 0xea,    /* 7.11 */
	ATA_IDENTIFY_DEVICE = 0xec,    /* 7.13 */
};

#define ATA_LOG_NCQ_ERROR 0x10

#define ATA_DEVICE_LBA 0x40
#define ATA_DEVICE_FUA 0x80 /* queued commands only */

/* Words of the IDENTIFY DEVICE data, 7.13.6. */
enum ata_identify_word {
	ATA_WORD_SERIAL = 10,	     /* 10 words */
	ATA_WORD_MODEL = 27,	     /* 20 words */
	ATA_WORD_CAPABILITIES = 49,  /* bit 8 DMA, bit 9 LBA */
	ATA_WORD_QUEUE_DEPTH = 75,   /* 4:0 depth - 1 */
	ATA_WORD_SATA = 76,	     /* bit 8 NCQ */
	ATA_WORD_COMMANDS_1 = 82,    /* bit 5 write cache */
	ATA_WORD_COMMANDS_2 = 83,    /* bit 10 LBA48, bit 13 FLUSH CACHE EXT; valid when 15:14 = 01 */
	ATA_WORD_COMMANDS_3 = 84,    /* bit 5 general purpose logs, bit 6 FUA; valid when 15:14 = 01 */
	ATA_WORD_ENABLED_1 = 85,     /* bit 5 write cache */
	ATA_WORD_SECTOR_COUNT = 100, /* 4 words */
	ATA_WORD_SECTOR_SIZE =
		106, /* 3:0 log2(logical sectors in a physical), bit 12 long; valid when 15:14 = 01 */
	ATA_WORD_LOGICAL_SIZE = 117, /* 2 words: words in a logical sector, when long */
	ATA_WORD_INTEGRITY = 255,    /* 7:0 0xa5 when 15:8 is a checksum */
};

static uint16_t ata_word(const uint8_t *data, enum ata_identify_word word)
{
	return load_le16(data + 2 * word);
}

/* Texts hold two characters a word, the first in the upper byte. */
static void ata_text(char text[DISK_TEXT_SIZE], const uint8_t *data, enum ata_identify_word word,
		     uint32_t size)
{
	uint8_t swapped[DISK_TEXT_SIZE];

	ASSERT(size < DISK_TEXT_SIZE);
	for (uint32_t i = 0; i < size; i++)
		swapped[i] = data[2 * (uint32_t)word + (i ^ 1)];
	disk_text_copy(text, swapped, size);
}

static bool ata_checksum_is_zero(const uint8_t data[ATA_SECTOR_SIZE])
{
	uint8_t sum = 0;

	for (uint32_t i = 0; i < ATA_SECTOR_SIZE; i++)
		sum = (uint8_t)(sum + data[i]);
	return sum == 0;
}

static bool ata_word_is_valid(uint16_t word)
{
	return (word & 0xc000) == 0x4000;
}

static int ata_parse_sizes(struct disk_identity *disk, const uint8_t *data)
{
	uint16_t layout = ata_word(data, ATA_WORD_SECTOR_SIZE);
	uint64_t size = 512;

	disk->sector_count = load_le64(data + 2 * ATA_WORD_SECTOR_COUNT);
	if (ata_word_is_valid(layout) && (layout & BIT(12)))
		size = 2 * (uint64_t)load_le32(data + 2 * ATA_WORD_LOGICAL_SIZE);
	if (size != 512 && size != 4096)
		return trace_error(-EINVAL);
	disk->sector_size = (uint32_t)size;
	disk->physical_sector_size = disk->sector_size;
	if (ata_word_is_valid(layout) && (layout & BIT(13)))
		disk->physical_sector_size <<= layout & 0xf;
	/* 48 bits of LBA are all that a command can name. */
	if (disk->sector_count == 0 || disk->sector_count > BIT(48))
		return trace_error(-EIO);
	return 0;
}

int ata_identity_parse(struct ata_identity *identity, const uint8_t data[ATA_SECTOR_SIZE])
{
	uint16_t capabilities = ata_word(data, ATA_WORD_CAPABILITIES);
	uint16_t commands_2 = ata_word(data, ATA_WORD_COMMANDS_2);
	uint16_t commands_3 = ata_word(data, ATA_WORD_COMMANDS_3);
	uint16_t sata = ata_word(data, ATA_WORD_SATA);
	struct disk_identity *disk = &identity->disk;

	memset(identity, 0, sizeof(*identity));
	if ((ata_word(data, ATA_WORD_INTEGRITY) & 0xff) == 0xa5 && !ata_checksum_is_zero(data))
		return trace_error(-EIO);
	/* The large-disk commands and their flush are all we send. */
	if ((capabilities & (BIT(8) | BIT(9))) != (BIT(8) | BIT(9)))
		return trace_error(-EINVAL);
	if (!ata_word_is_valid(commands_2) || (commands_2 & (BIT(10) | BIT(13))) != (BIT(10) | BIT(13)))
		return trace_error(-EINVAL);

	ata_text(disk->serial, data, ATA_WORD_SERIAL, 20);
	ata_text(disk->model, data, ATA_WORD_MODEL, 40);
	disk->has_write_cache =
		(ata_word(data, ATA_WORD_COMMANDS_1) & ata_word(data, ATA_WORD_ENABLED_1) & BIT(5)) != 0;
	disk->has_write_through = ata_word_is_valid(commands_3) && (commands_3 & BIT(6));
	identity->has_log = ata_word_is_valid(commands_3) && (commands_3 & BIT(5));
	identity->has_ncq = sata != 0xffff && (sata & BIT(8));
	identity->ncq_depth = (ata_word(data, ATA_WORD_QUEUE_DEPTH) & 0x1fu) + 1;
	return ata_parse_sizes(disk, data);
}

bool ata_error_log_parse(const uint8_t data[ATA_SECTOR_SIZE], uint32_t *tag, uint64_t *lba)
{
	/* 9.14: byte 0 bit 7 says that the command that failed was not a queued one. */
	if (!ata_checksum_is_zero(data) || (data[0] & BIT(7)))
		return false;
	*tag = data[0] & 0x1f;
	*lba = (uint64_t)data[4] | (uint64_t)data[5] << 8 | (uint64_t)data[6] << 16 |
	       (uint64_t)data[8] << 24 | (uint64_t)data[9] << 32 | (uint64_t)data[10] << 40;
	return true;
}

static void ata_build(struct ata_command *command, enum ata_opcode opcode)
{
	memset(command, 0, sizeof(*command));
	command->type = ATA_FIS_HOST_TO_DEVICE;
	command->flags = 0x80;
	command->command = (uint8_t)opcode;
}

void ata_build_identify(struct ata_command *command)
{
	ata_build(command, ATA_IDENTIFY_DEVICE);
}

void ata_build_error_log(struct ata_command *command)
{
	ata_build(command, ATA_READ_LOG_EXT);
	command->lba_low[0] = ATA_LOG_NCQ_ERROR;
	command->count = 1;
}

void ata_build_flush(struct ata_command *command)
{
	ata_build(command, ATA_FLUSH_CACHE_EXT);
}

static void ata_set_lba(struct ata_command *command, uint64_t lba)
{
	for (uint32_t i = 0; i < 3; i++) {
		command->lba_low[i] = (uint8_t)(lba >> (8 * i));
		command->lba_high[i] = (uint8_t)(lba >> (24 + 8 * i));
	}
	command->device = ATA_DEVICE_LBA;
}

void ata_build_transfer(struct ata_command *command, const struct disk_request *request,
			bool force_unit_access)
{
	enum ata_opcode write = force_unit_access ? ATA_WRITE_DMA_FUA_EXT : ATA_WRITE_DMA_EXT;

	ASSERT(request->sector_count <= UINT16_MAX);
	ata_build(command, request->operation == DISK_READ ? ATA_READ_DMA_EXT : write);
	ata_set_lba(command, request->sector);
	command->count = (uint8_t)request->sector_count;
	command->count_high = (uint8_t)(request->sector_count >> 8);
}

void ata_build_queued(struct ata_command *command, const struct disk_request *request, uint32_t tag,
		      bool force_unit_access)
{
	ASSERT(request->sector_count <= UINT16_MAX);
	ata_build(command, request->operation == DISK_READ ? ATA_READ_FPDMA_QUEUED : ATA_WRITE_FPDMA_QUEUED);
	ata_set_lba(command, request->sector);
	if (force_unit_access)
		command->device |= ATA_DEVICE_FUA;
	/* Queued commands carry the count where others have features, and the tag where others have the
	 * count. */
	command->features = (uint8_t)request->sector_count;
	command->features_high = (uint8_t)(request->sector_count >> 8);
	command->count = (uint8_t)(tag << 3);
}
