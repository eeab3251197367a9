/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests under way at a disk; see disk_queue.h.
 *
 * Tags are bits of one word, so "is there room" and "which is free" are one
 * instruction each. Deadlines are looked at lazily: deadline_ns is a lower bound
 * for all of them, and only when it has passed are the requests looked through.
 */
#include "drivers/disk_queue.h"

#include <errno.h>
#include <string.h>

#include "include/assert.h"
#include "include/trace.h"
#include "kernel/dma.h"
#include "kernel/time.h"

TRACE_FILE("disk", TRACE_INFO);

#define PCI_VENDOR 0x00
#define PCI_VENDOR_NONE 0xffff /* what a read finds where nothing is */

void disk_queue_init(struct disk_queue *queue, uint32_t depth)
{
	ASSERT(depth > 0);
	ASSERT(depth <= DISK_QUEUE_DEPTH_MAX);
	memset(queue, 0, sizeof(*queue));
	queue->depth = depth;
	queue->deadline_ns = UINT64_MAX;
}

/* The segments: DMA memory, page by page but at both ends, and as long as the sectors. */
static int disk_check_segments(const struct disk_identity *identity, const struct disk_request *request)
{
	uint64_t total = 0;

	if (request->segment_count == 0 || request->segment_count > identity->segment_max)
		return trace_error(-EINVAL);
	for (uint32_t i = 0; i < request->segment_count; i++) {
		const struct disk_segment *segment = &request->segments[i];

		if (segment->size == 0 || !is_aligned(segment->physical | segment->size, 512))
			return trace_error(-EINVAL);
		if (i > 0 && !is_aligned(segment->physical, DISK_SEGMENT_ALIGNMENT))
			return trace_error(-EINVAL);
		if (i + 1 < request->segment_count &&
		    !is_aligned(segment->physical + segment->size, DISK_SEGMENT_ALIGNMENT))
			return trace_error(-EINVAL);
		if (!dma_owns(segment->physical, segment->size))
			return trace_error(-EINVAL);
		total += segment->size;
	}
	if (total != (uint64_t)request->sector_count * identity->sector_size ||
	    total > identity->transfer_max)
		return trace_error(-EINVAL);
	return 0;
}

static int disk_check(const struct disk_device *device, const struct disk_request *request)
{
	const struct disk_identity *identity = &device->identity;

	switch (request->operation) {
	case DISK_FLUSH:
		return request->segment_count == 0 ? 0 : trace_error(-EINVAL);
	case DISK_WRITE:
		if (identity->read_only)
			return trace_error(-EROFS);
		break;
	case DISK_READ:
		break;
	default:
		return trace_error(-EINVAL);
	}
	if (!range_fits(request->sector, request->sector_count, identity->sector_count))
		return trace_error(-EINVAL);
	return disk_check_segments(identity, request);
}

static void disk_queue_set_deadline(struct disk_queue *queue, struct disk_request *request)
{
	request->deadline_ns = time_now_ns() + DISK_TIMEOUT_MS * NS_PER_MS;
	queue->deadline_ns = min_u64(queue->deadline_ns, request->deadline_ns);
}

int disk_queue_add(struct disk_queue *queue, struct disk_device *device, struct disk_request *request)
{
	uint64_t free_tags = ~queue->busy;
	uint32_t tag;
	int status;

	if (device->gone)
		return -ENODEV;
	status = disk_check(device, request);
	if (status != 0)
		return status;
	tag = free_tags == 0 ? queue->depth : (uint32_t)__builtin_ctzll(free_tags);
	if (tag >= queue->depth)
		return -EAGAIN; /* not traced: a full queue is what a busy caller aims at */

	request->device = device;
	request->next = NULL;
	request->tag = tag;
	request->flushing = false;
	request->status = 0;
	request->failed_sector = 0;
	request->failed_sector_count = 0;
	queue->requests[tag] = request;
	queue->busy |= BIT(tag);
	disk_queue_set_deadline(queue, request);
	return 0;
}

struct disk_request *disk_queue_request(const struct disk_queue *queue, uint32_t tag)
{
	if (tag >= queue->depth || !(queue->busy & BIT(tag)))
		return NULL;
	return queue->requests[tag];
}

bool disk_queue_owes_flush(struct disk_queue *queue, struct disk_request *request)
{
	const struct disk_identity *identity = &request->device->identity;

	if (request->operation != DISK_WRITE || !request->write_through || request->flushing)
		return false;
	if (identity->has_write_through || !identity->has_write_cache)
		return false;
	request->flushing = true;
	disk_queue_set_deadline(queue, request);
	return true;
}

static void disk_count(struct disk_device *device, const struct disk_request *request)
{
	struct disk_statistics *statistics = &device->statistics;
	uint64_t size = (uint64_t)request->sector_count * device->identity.sector_size;

	if (request->status != 0) {
		statistics->errors++;
		return;
	}
	switch (request->operation) {
	case DISK_READ:
		statistics->reads++;
		statistics->read_bytes += size;
		break;
	case DISK_WRITE:
		statistics->writes++;
		statistics->write_bytes += size;
		break;
	case DISK_FLUSH:
		statistics->flushes++;
		break;
	}
}

void disk_queue_finish_at(struct disk_queue *queue, uint32_t tag, int status, uint64_t failed_sector)
{
	struct disk_request *request = disk_queue_request(queue, tag);
	struct disk_device *device;
	uint64_t skipped;

	ASSERT(request != NULL);
	device = request->device;
	queue->busy &= ~BIT(tag);
	queue->timed_out &= ~BIT(tag);
	queue->requests[tag] = NULL;
	if (queue->busy == 0)
		queue->deadline_ns = UINT64_MAX;

	request->status = status;
	if (status != 0) {
		skipped = failed_sector - request->sector;
		if (request->operation != DISK_READ || skipped >= request->sector_count)
			skipped = 0; /* of a failed write nothing is sure */
		request->failed_sector = request->sector + skipped;
		request->failed_sector_count = request->sector_count - (uint32_t)skipped;
		trace(TRACE_WARNING, "%s unit %u: %s of sector %llu + %u failed: %d", device->ops->name,
		      device->unit,
		      request->operation == DISK_READ	 ? "read"
		      : request->operation == DISK_WRITE ? "write"
							 : "flush",
		      (unsigned long long)request->failed_sector, request->failed_sector_count, status);
	}
	disk_count(device, request);

	request->next = NULL;
	if (device->finished_last)
		device->finished_last->next = request;
	else
		device->finished_first = request;
	device->finished_last = request;
}

void disk_queue_finish(struct disk_queue *queue, uint32_t tag, int status)
{
	struct disk_request *request = disk_queue_request(queue, tag);

	ASSERT(request != NULL);
	disk_queue_finish_at(queue, tag, status, request->sector);
}

void disk_queue_finish_all(struct disk_queue *queue, int status)
{
	while (queue->busy) {
		uint32_t tag = (uint32_t)__builtin_ctzll(queue->busy);

		disk_queue_finish(queue, tag, queue->timed_out & BIT(tag) ? -ETIMEDOUT : status);
	}
}

bool disk_queue_expire(struct disk_queue *queue, uint64_t now_ns)
{
	if (now_ns < queue->deadline_ns)
		return false;
	queue->deadline_ns = UINT64_MAX;
	for (uint64_t rest = queue->busy; rest; rest &= rest - 1) {
		uint32_t tag = (uint32_t)__builtin_ctzll(rest);
		struct disk_request *request = queue->requests[tag];

		if (now_ns >= request->deadline_ns) {
			queue->timed_out |= BIT(tag);
			request->device->statistics.timeouts++;
		} else {
			queue->deadline_ns = min_u64(queue->deadline_ns, request->deadline_ns);
		}
	}
	return queue->timed_out != 0;
}

struct disk_request *disk_finished_take(struct disk_device *device)
{
	struct disk_request *request = device->finished_first;

	if (!request)
		return NULL;
	device->finished_first = request->next;
	if (!device->finished_first)
		device->finished_last = NULL;
	request->next = NULL;
	return request;
}

bool disk_is_present(const struct disk_device *device)
{
	return pci_read16(device->pci, PCI_VENDOR) != PCI_VENDOR_NONE;
}

void disk_text_copy(char text[DISK_TEXT_SIZE], const uint8_t *field, uint32_t size)
{
	uint32_t first = 0;
	uint32_t end = 0;

	ASSERT(size < DISK_TEXT_SIZE);
	while (end < size && field[end] != 0)
		end++;
	while (first < end && field[first] == ' ')
		first++;
	while (end > first && field[end - 1] == ' ')
		end--;
	for (uint32_t i = first; i < end; i++)
		text[i - first] = (char)(field[i] >= 0x20 && field[i] < 0x7f ? field[i] : '?');
	text[end - first] = 0;
}
