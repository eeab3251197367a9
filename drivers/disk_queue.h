/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests under way at a disk, the same for every driver: what is refused at the
 * door, which tag a request gets, when it is out of time, how it ends and how it
 * comes back to the caller.
 *
 * A driver owns one queue per hardware queue. Behind it may be several disks
 * (NVMe namespaces): each request knows its own.
 *
 *     disk_queue_add -> (device works) -> disk_queue_finish -> disk_finished_take
 */
#ifndef DRIVERS_DISK_QUEUE_H
#define DRIVERS_DISK_QUEUE_H

#include "drivers/disk.h"

struct disk_queue {
	struct disk_request *requests[DISK_QUEUE_DEPTH_MAX]; /* by tag */
	uint64_t busy;					     /* tags under way, one bit each */
	uint64_t timed_out;				     /* of these, the ones that ran out of time */
	uint32_t depth;					     /* tags are 0 .. depth - 1 */
	uint64_t deadline_ns;				     /* no request is out of time before this */
};

/* Empties the queue; `depth` is 1 .. DISK_QUEUE_DEPTH_MAX. */
void disk_queue_init(struct disk_queue *queue, uint32_t depth);

/*
 * Takes `request` for `device`: checks it against the disk and the rules of
 * drivers/disk.h, gives it a free tag and a deadline. Errors as disk_ops.submit.
 */
int disk_queue_add(struct disk_queue *queue, struct disk_device *device, struct disk_request *request);

/* The request under way with `tag`, or NULL: tags often come from a device. */
struct disk_request *disk_queue_request(const struct disk_queue *queue, uint32_t tag);

/*
 * The device says that the request is done. Does it still owe a flush, because it
 * is a write-through on a disk that cannot do so in one command? Then true, once:
 * the driver sends a flush under the same tag, and the deadline starts again.
 */
bool disk_queue_owes_flush(struct disk_queue *queue, struct disk_request *request);

/* Ends the request with `tag`, which is under way. Its whole range is in doubt when status is not 0. */
void disk_queue_finish(struct disk_queue *queue, uint32_t tag, int status);

/* The same when the device named the first sector that failed. Ignored when outside the request. */
void disk_queue_finish_at(struct disk_queue *queue, uint32_t tag, int status, uint64_t failed_sector);

/*
 * Ends everything under way: -ETIMEDOUT for what disk_queue_expire() found,
 * `status` for the rest. Only when the device can no longer reach the memory.
 */
void disk_queue_finish_all(struct disk_queue *queue, int status);

/* Has any request run out of time by `now_ns`? Remembers which. */
bool disk_queue_expire(struct disk_queue *queue, uint64_t now_ns);

/* The next finished request of this disk, in the order they finished, or NULL. */
struct disk_request *disk_finished_take(struct disk_device *device);

/* Does the PCI function still answer? False after a surprise removal. */
bool disk_is_present(const struct disk_device *device);

/*
 * Copies the `size` characters of a fixed-size text field into `text`: blanks at
 * both ends go, what cannot be printed becomes '?', a NUL ends it early.
 */
void disk_text_copy(char text[DISK_TEXT_SIZE], const uint8_t *field, uint32_t size);

#endif
