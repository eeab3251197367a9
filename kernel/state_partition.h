/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state partition on this server's boot disk, as bytes: read at start-up, written
 * while the main loop runs. A write that has ended is durable. What the bytes mean is
 * mirror/metadata.h's business.
 */
#ifndef KERNEL_STATE_PARTITION_H
#define KERNEL_STATE_PARTITION_H

#include "drivers/disk.h"

/* One write at most; it lies on whole sectors of any disk. */
#define STATE_WRITE_SIZE_MAX (8 * KIB)
#define STATE_ALIGNMENT (4 * KIB)

/*
 * Sectors are the disk's own; the range was checked against the disk's size. Start-up
 * only. Returns 0, or -ENOMEM.
 */
int state_partition_open(struct disk_device *disk, uint64_t first_sector, uint64_t sector_count);

/* Bytes; 0: this server has none. */
uint64_t state_partition_size(void);

/*
 * Copies `size` bytes (STATE_WRITE_SIZE_MAX at most) at `offset`, both multiples of
 * STATE_ALIGNMENT, within the partition. Start-up only: waits. Returns 0 or the disk's error.
 */
int state_partition_read(uint64_t offset, void *to, uint64_t size);

/*
 * Begins to write; the bytes are copied. One write at a time: not before the last one's
 * end was told by state_partition_poll(). Limits as for the read.
 */
void state_partition_write(uint64_t offset, const void *bytes, uint64_t size);

/* Main loop: true, with `status` (0 or the disk's error), once when the write has ended. */
bool state_partition_poll(int *status);

#endif
