/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes in the state partition; see state_partition.h. Wiring: between the drivers and who remembers. */
#include "kernel/state_partition.h"

#include <errno.h>
#include <string.h>

#include "include/assert.h"
#include "include/trace.h"
#include "kernel/dma.h"

TRACE_FILE("state", TRACE_INFO);

#define SWEPT_MAX 3 /* times that a write is tried again which another request's reset swept away */

enum write_state {
	WRITE_NONE,
	WRITE_WAITING, /* the disk takes no more at present */
	WRITE_UNDER_WAY,
	WRITE_ENDED,
};

static struct {
	struct disk_device *disk; /* NULL: there is no partition */
	uint64_t first_sector;
	uint64_t size;
	struct dma_buffer buffer;
	enum write_state state;
	uint32_t swept_count;
	int status;
	struct disk_request request;
} partition;

int state_partition_open(struct disk_device *disk, uint64_t first_sector, uint64_t sector_count)
{
	int error = dma_allocate(&partition.buffer, STATE_WRITE_SIZE_MAX, STATE_ALIGNMENT);

	if (error)
		return error;
	partition.disk = disk;
	partition.first_sector = first_sector;
	partition.size = sector_count * disk->identity.sector_size;
	return 0;
}

uint64_t state_partition_size(void)
{
	return partition.size;
}

static void check_range(uint64_t offset, uint64_t size)
{
	ASSERT(is_aligned(offset | size, STATE_ALIGNMENT));
	ASSERT(size <= STATE_WRITE_SIZE_MAX);
	ASSERT(range_fits(offset, size, partition.size));
}

static uint64_t sector_at(uint64_t offset)
{
	return partition.first_sector + offset / partition.disk->identity.sector_size;
}

int state_partition_read(uint64_t offset, void *to, uint64_t size)
{
	int error;

	check_range(offset, size);
	error = disk_read_and_wait(partition.disk, sector_at(offset),
				   (uint32_t)(size / partition.disk->identity.sector_size),
				   partition.buffer.physical);
	if (!error)
		memcpy(to, partition.buffer.address, size);
	return error;
}

static void end(int status)
{
	partition.state = WRITE_ENDED;
	partition.status = status;
	if (status)
		trace(TRACE_ERROR, "the state partition cannot be written: error %d", status);
}

static void submit(void)
{
	int error = partition.disk->ops->submit(partition.disk, &partition.request);

	partition.state = error == -EAGAIN ? WRITE_WAITING : WRITE_UNDER_WAY;
	if (error && error != -EAGAIN)
		end(error);
	else if (!error)
		partition.disk->ops->start(partition.disk);
}

void state_partition_write(uint64_t offset, const void *bytes, uint64_t size)
{
	struct disk_request *request = &partition.request;

	check_range(offset, size);
	ASSERT(partition.state == WRITE_NONE);
	memcpy(partition.buffer.address, bytes, size);
	memset(request, 0, sizeof(*request));
	request->operation = DISK_WRITE;
	request->write_through = true;
	request->sector = sector_at(offset);
	request->sector_count = (uint32_t)(size / partition.disk->identity.sector_size);
	request->segment_count = 1;
	request->segments[0] =
		(struct disk_segment){ .physical = partition.buffer.physical, .size = (uint32_t)size };
	partition.swept_count = 0;
	submit();
}

static void take_back(void)
{
	int status = partition.request.status;

	if (status != -ECANCELED || ++partition.swept_count > SWEPT_MAX)
		end(status);
	else
		partition.state = WRITE_WAITING;
}

bool state_partition_poll(int *status)
{
	if (partition.state == WRITE_UNDER_WAY &&
	    partition.disk->ops->poll(partition.disk) == &partition.request)
		take_back();
	if (partition.state == WRITE_WAITING)
		submit();
	if (partition.state != WRITE_ENDED)
		return false;
	partition.state = WRITE_NONE;
	*status = partition.status;
	return true;
}
