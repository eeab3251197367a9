/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lies on a disk: a GUID partition table (UEFI 2.10, chapter 5.3), another
 * table, nothing, or something unknown. Read only; nothing here ever writes. Pure:
 * also compiled for the host's tests and fuzzers.
 */
#ifndef KERNEL_GPT_H
#define KERNEL_GPT_H

#include "include/bits.h"

#define GPT_PARTITION_MAX 128
#define GPT_GUID_SIZE 16
#define GPT_REASON_SIZE 120
/* Bytes of either end of a disk that hold a copy of its table: header, 128 entries, sectors of 4096 too. */
#define GPT_COPY_SIZE (32 * KIB)

enum gpt_content {
	GPT_GOOD,	   /* a GPT whose checksums are right */
	GPT_BLANK,	   /* zeros */
	GPT_FOREIGN_TABLE, /* an MBR partition table or boot sector, no GPT */
	GPT_DAMAGED,	   /* it was a GPT: its second copy may be whole; the reason tells what is wrong */
	GPT_BROKEN,	   /* a GPT as it was written, but it makes no sense: the reason tells where */
	GPT_UNKNOWN,	   /* data of no kind we know */
};

struct gpt_partition {
	uint8_t type[GPT_GUID_SIZE];
	uint64_t first_sector;
	uint64_t sector_count;
};

struct gpt {
	uint32_t partition_count;
	struct gpt_partition partitions[GPT_PARTITION_MAX];
};

/*
 * Looks at the first `size` bytes (at least two sectors, GPT_COPY_SIZE is enough)
 * of a disk of `sector_count` sectors. For GPT_GOOD fills `gpt`; for all others
 * writes what was found into `reason`.
 */
enum gpt_content gpt_parse(const uint8_t *head, uint64_t size, uint32_t sector_size, uint64_t sector_count,
			   struct gpt *gpt, char reason[GPT_REASON_SIZE]);

/*
 * The same for the second copy, in the disk's last `size` bytes, whole sectors and at
 * most all of the disk. Only for a disk whose first copy is GPT_DAMAGED: what looks like
 * a table at the end of any other is a leftover (5.3.2). GPT_GOOD, GPT_DAMAGED or
 * GPT_BROKEN.
 */
enum gpt_content gpt_parse_backup(const uint8_t *tail, uint64_t size, uint32_t sector_size,
				  uint64_t sector_count, struct gpt *gpt, char reason[GPT_REASON_SIZE]);

/* The first partition of this type, or NULL. */
const struct gpt_partition *gpt_find(const struct gpt *gpt, const uint8_t type[GPT_GUID_SIZE]);

/* Are these bytes all zero? */
bool gpt_is_blank(const uint8_t *bytes, uint64_t size);

#endif
