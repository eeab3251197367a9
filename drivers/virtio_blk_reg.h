/* SPDX-License-Identifier: Apache-2.0 */
/* The virtio block device (Virtual I/O Device 1.2, 5.2), as far as we use it. */
#ifndef DRIVERS_VIRTIO_BLK_REG_H
#define DRIVERS_VIRTIO_BLK_REG_H

#include "drivers/disk.h"
#include "include/bits.h"

/* Features, 5.2.3. */
#define VIRTIO_BLK_FEATURE_SIZE_MAX BIT(1)    /* size_max is valid */
#define VIRTIO_BLK_FEATURE_SEGMENT_MAX BIT(2) /* seg_max is valid */
#define VIRTIO_BLK_FEATURE_READ_ONLY BIT(5)
#define VIRTIO_BLK_FEATURE_BLOCK_SIZE BIT(6) /* blk_size is valid */
#define VIRTIO_BLK_FEATURE_FLUSH BIT(9)	     /* there is a cache, and a command that flushes it */
#define VIRTIO_BLK_FEATURE_TOPOLOGY BIT(10)  /* physical_block_exp is valid */
#define VIRTIO_BLK_FEATURE_CACHE_MODE BIT(11) /* writeback is valid */

/* Configuration, 5.2.4: offsets. */
#define VIRTIO_BLK_CONFIG_CAPACITY 0	/* 64 bits, in 512 bytes whatever the block size is */
#define VIRTIO_BLK_CONFIG_SIZE_MAX 8	/* 32 bits: bytes of one segment */
#define VIRTIO_BLK_CONFIG_SEGMENT_MAX 12 /* 32 bits: data segments of one request */
#define VIRTIO_BLK_CONFIG_BLOCK_SIZE 20 /* 32 bits */
#define VIRTIO_BLK_CONFIG_PHYSICAL 24	/* 8 bits: log2 of blocks in a physical block */
#define VIRTIO_BLK_CONFIG_WRITEBACK 32	/* 8 bits: 0: writes are durable when they are done */

#define VIRTIO_BLK_UNIT_SIZE 512 /* bytes: what capacity and a request's sector count */

enum virtio_blk_type {
	VIRTIO_BLK_IN = 0,
	VIRTIO_BLK_OUT = 1,
	VIRTIO_BLK_FLUSH = 4,
	VIRTIO_BLK_GET_ID = 8,
};

enum virtio_blk_status {
	VIRTIO_BLK_OK = 0,
	VIRTIO_BLK_IO_ERROR = 1,
	VIRTIO_BLK_UNSUPPORTED = 2,
	VIRTIO_BLK_UNANSWERED = 0xff, /* ours, put there before the device sees the request */
};

/* First, read-only part of a request, 5.2.6. */
struct virtio_blk_header {
	uint32_t type;
	uint32_t reserved;
	uint64_t sector; /* in units of VIRTIO_BLK_UNIT_SIZE */
};
BUILD_ASSERT(sizeof(struct virtio_blk_header) == 16);

#define VIRTIO_BLK_ID_SIZE 20

/* All memory of one device beside its ring, in one piece. */
struct virtio_blk_memory {
	struct virtio_blk_header headers[DISK_QUEUE_DEPTH_MAX];
	volatile uint8_t statuses[DISK_QUEUE_DEPTH_MAX];
	uint8_t id[VIRTIO_BLK_ID_SIZE];
};

#endif
