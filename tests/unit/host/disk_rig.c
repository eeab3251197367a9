/* SPDX-License-Identifier: Apache-2.0 */
/* See disk_rig.h. */
#include "tests/unit/host/disk_rig.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "include/assert.h"
#include "tests/unit/host/dma.h"
#include "tests/unit/host/mmio.h"
#include "tests/unit/host/pci.h"
#include "tests/unit/host/time.h"

#define WAIT_POLLS 50000

struct disk_rig disk_rig;

void disk_rig_reset(void)
{
	host_dma_reset();
	host_mmio_reset();
	host_pci_reset();
	host_time_set_ns(NS_PER_S);
	for (uint32_t i = 0; i < DISK_RIG_MEDIUM_SIZE; i++)
		disk_rig.medium[i] = (uint8_t)(i * 7 + i / 512 * 13);
	disk_rig.log[0] = 0;
	disk_rig.hold = false;
	disk_rig.gone = false;
	ASSERT(dma_allocate(&disk_rig.buffer, DISK_RIG_BUFFER_SIZE, 4096) == 0);
}

void disk_rig_note(const char *kind, uint64_t sector, uint32_t sector_count)
{
	size_t length = strlen(disk_rig.log);

	if (sector == DISK_RIG_NONE)
		snprintf(disk_rig.log + length, sizeof(disk_rig.log) - length, "%s ", kind);
	else
		snprintf(disk_rig.log + length, sizeof(disk_rig.log) - length, "%s%llu+%u ", kind,
			 (unsigned long long)sector, sector_count);
}

bool disk_rig_copy(uint64_t medium_offset, uint64_t physical, uint64_t size, bool to_medium)
{
	void *memory = host_dma_at(physical, size);

	if (!memory || !range_fits(medium_offset, size, DISK_RIG_MEDIUM_SIZE))
		return false;
	if (to_medium)
		memcpy(disk_rig.medium + medium_offset, memory, size);
	else
		memcpy(memory, disk_rig.medium + medium_offset, size);
	return true;
}

uint8_t *disk_rig_data(uint64_t offset)
{
	return (uint8_t *)disk_rig.buffer.address + offset;
}

struct disk_request disk_rig_request(const struct disk_device *device, enum disk_operation operation,
				     uint64_t sector, uint32_t sector_count, uint64_t offset)
{
	struct disk_request request = { .operation = operation,
					.sector = sector,
					.sector_count = sector_count };

	if (operation == DISK_FLUSH)
		return request;
	request.segment_count = 1;
	request.segments[0].physical = disk_rig.buffer.physical + offset;
	request.segments[0].size = sector_count * device->identity.sector_size;
	return request;
}

void disk_rig_submit(struct disk_device *device, struct disk_request *request)
{
	ASSERT(device->ops->submit(device, request) == 0);
	device->ops->start(device);
}

struct disk_request *disk_rig_wait(struct disk_device *device)
{
	for (uint32_t i = 0; i < WAIT_POLLS; i++) {
		struct disk_request *request = device->ops->poll(device);

		if (request)
			return request;
	}
	return NULL;
}

int disk_rig_run(struct disk_device *device, struct disk_request *request)
{
	disk_rig_submit(device, request);
	ASSERT(disk_rig_wait(device) == request);
	return request->status;
}

/* A request over several pages, with both ends inside a page. */
static struct disk_request scattered(const struct disk_device *device, enum disk_operation operation)
{
	struct disk_request request =
		disk_rig_request(device, operation, 5, 3 * 4096 / device->identity.sector_size, 0);

	request.segment_count = 4;
	request.segments[0] = (struct disk_segment){ disk_rig.buffer.physical + 0x0800, 0x800 };
	request.segments[1] = (struct disk_segment){ disk_rig.buffer.physical + 0x5000, 0x1000 };
	request.segments[2] = (struct disk_segment){ disk_rig.buffer.physical + 0x3000, 0x1000 };
	request.segments[3] = (struct disk_segment){ disk_rig.buffer.physical + 0x9000, 0x800 };
	return request;
}

static void check_scattered(struct disk_device *device)
{
	struct disk_request request = scattered(device, DISK_READ);
	const uint8_t *from = disk_rig.medium + 5 * device->identity.sector_size;

	memset(disk_rig_data(0), 0xee, 64 * KIB);
	ASSERT(disk_rig_run(device, &request) == 0);
	ASSERT(memcmp(disk_rig_data(0x0800), from, 0x800) == 0);
	ASSERT(memcmp(disk_rig_data(0x5000), from + 0x800, 0x1000) == 0);
	ASSERT(memcmp(disk_rig_data(0x3000), from + 0x1800, 0x1000) == 0);
	ASSERT(memcmp(disk_rig_data(0x9000), from + 0x2800, 0x800) == 0);
	ASSERT(disk_rig_data(0x1000)[0] == 0xee);
	ASSERT(disk_rig_data(0x9800)[0] == 0xee);
}

/* The largest request that there may be, beginning inside a page. */
static void check_largest(struct disk_device *device)
{
	uint32_t size = device->identity.transfer_max;
	struct disk_request request =
		disk_rig_request(device, DISK_WRITE, 3, size / device->identity.sector_size, 0x200);

	for (uint32_t i = 0; i < size; i++)
		disk_rig_data(0x200)[i] = (uint8_t)(i ^ i >> 8);
	ASSERT(disk_rig_run(device, &request) == 0);
	ASSERT(memcmp(disk_rig.medium + 3 * device->identity.sector_size, disk_rig_data(0x200), size) == 0);
	memset(disk_rig_data(0), 0, size + 0x1000);
	request = disk_rig_request(device, DISK_READ, 3, size / device->identity.sector_size, 0x200);
	ASSERT(disk_rig_run(device, &request) == 0);
	ASSERT(memcmp(disk_rig.medium + 3 * device->identity.sector_size, disk_rig_data(0x200), size) == 0);
}

void disk_rig_check_transfers(struct disk_device *device)
{
	struct disk_statistics before = device->statistics;
	struct disk_request last =
		disk_rig_request(device, DISK_READ, device->identity.sector_count - 1, 1, 0);
	struct disk_request flush = disk_rig_request(device, DISK_FLUSH, 0, 0, 0);

	check_scattered(device);
	check_largest(device);
	ASSERT(disk_rig_run(device, &last) == 0);
	ASSERT(disk_rig_run(device, &flush) == 0);
	ASSERT(device->statistics.reads == before.reads + 3);
	ASSERT(device->statistics.writes == before.writes + 1);
	ASSERT(device->statistics.flushes == before.flushes + 1);
	ASSERT(device->statistics.write_bytes == before.write_bytes + device->identity.transfer_max);
	ASSERT(device->statistics.errors == before.errors);
	ASSERT(device->statistics.device_faults == before.device_faults);
}

static void check_refused(struct disk_device *device, struct disk_request request, int status)
{
	ASSERT(device->ops->submit(device, &request) == status);
}

void disk_rig_check_refusals(struct disk_device *device)
{
	uint64_t end = device->identity.sector_count;
	uint32_t size = device->identity.sector_size;
	struct disk_request request;

	/* Ranges: past the end, around the end, around 2^64, none at all. */
	check_refused(device, disk_rig_request(device, DISK_READ, end, 1, 0), -EINVAL);
	check_refused(device, disk_rig_request(device, DISK_READ, end - 1, 2, 0), -EINVAL);
	check_refused(device, disk_rig_request(device, DISK_WRITE, UINT64_MAX, 2, 0), -EINVAL);
	check_refused(device, disk_rig_request(device, DISK_READ, 0, 0, 0), -EINVAL);
	check_refused(device, disk_rig_request(device, DISK_READ, 0, DISK_TRANSFER_MAX / size + 1, 0),
		      -EINVAL);

	/* Memory: not ours, half ours, not as much as the sectors, crooked. */
	request = disk_rig_request(device, DISK_READ, 0, 1, 0);
	request.segments[0].physical = 0x1000;
	check_refused(device, request, -EINVAL);
	request = disk_rig_request(device, DISK_READ, 0, 2, 0);
	request.segments[0].physical = disk_rig.buffer.physical + DISK_RIG_BUFFER_SIZE - size;
	check_refused(device, request, -EINVAL);
	request = disk_rig_request(device, DISK_READ, 0, 2, 0);
	request.segments[0].size = size;
	check_refused(device, request, -EINVAL);
	request = disk_rig_request(device, DISK_READ, 0, 1, 2);
	check_refused(device, request, -EINVAL);
	request = scattered(device, DISK_WRITE);
	request.segments[1].physical += 0x200;
	check_refused(device, request, -EINVAL);
	request = scattered(device, DISK_WRITE);
	request.segments[0].size -= 0x200;
	request.segments[3].size += 0x200;
	check_refused(device, request, -EINVAL);
	request = scattered(device, DISK_WRITE);
	request.segment_count = DISK_SEGMENT_MAX + 1;
	check_refused(device, request, -EINVAL);
	request = scattered(device, DISK_WRITE);
	request.segment_count = 0;
	check_refused(device, request, -EINVAL);

	/* A flush with data, and an operation that does not exist. */
	request = disk_rig_request(device, DISK_READ, 0, 1, 0);
	request.operation = DISK_FLUSH;
	check_refused(device, request, -EINVAL);
	request.operation = (enum disk_operation)7;
	check_refused(device, request, -EINVAL);
	ASSERT(disk_rig_wait(device) == NULL);
}

void disk_rig_check_full_queue(struct disk_device *device)
{
	static struct disk_request requests[DISK_QUEUE_DEPTH_MAX + 1];
	uint32_t depth = device->identity.queue_depth;
	uint64_t returned = 0;

	for (uint32_t i = 0; i <= depth; i++)
		requests[i] = disk_rig_request(device, DISK_READ, i, 1, i * 4096);
	for (uint32_t round = 0; round < 5; round++) {
		for (uint32_t i = 0; i < depth; i++)
			ASSERT(device->ops->submit(device, &requests[i]) == 0);
		ASSERT(device->ops->submit(device, &requests[depth]) == -EAGAIN);
		device->ops->start(device);
		returned = 0;
		for (uint32_t i = 0; i < depth; i++) {
			struct disk_request *request = disk_rig_wait(device);

			ASSERT(request != NULL);
			ASSERT(request->status == 0);
			ASSERT(!(returned & BIT(request - requests)));
			returned |= BIT(request - requests);
		}
		ASSERT(disk_rig_wait(device) == NULL);
		for (uint32_t i = 0; i < depth; i++)
			ASSERT(memcmp(disk_rig_data(i * 4096),
				      disk_rig.medium + i * device->identity.sector_size,
				      device->identity.sector_size) == 0);
	}
}

void disk_rig_check_work(struct disk_device *device)
{
	disk_rig_check_transfers(device);
	disk_rig_check_refusals(device);
	disk_rig_check_full_queue(device);
}

static struct disk_request held;

void disk_rig_hold_request(struct disk_device *device)
{
	disk_rig.hold = true;
	held = disk_rig_request(device, DISK_READ, 0, 8, 0);
	disk_rig_submit(device, &held);
}

void disk_rig_check_held_request(struct disk_device *device, int status)
{
	host_time_advance_ns(200 * NS_PER_MS);
	ASSERT(disk_rig_wait(device) == &held);
	ASSERT(held.status == status);
}

void disk_rig_check_time_out(struct disk_device *device)
{
	struct disk_request younger = disk_rig_request(device, DISK_WRITE, 8, 8, 4096);

	disk_rig_hold_request(device);
	host_time_advance_ns(3 * NS_PER_S);
	disk_rig_submit(device, &younger);
	ASSERT(disk_rig_wait(device) == NULL);
	host_time_advance_ns(2 * NS_PER_S);
	ASSERT(disk_rig_wait(device) == &held);
	ASSERT(disk_rig_wait(device) == &younger);
	ASSERT(held.status == -ETIMEDOUT);
	ASSERT(held.failed_sector_count == 8);
	ASSERT(younger.status == -ECANCELED);
	ASSERT(device->statistics.timeouts == 1);
	ASSERT(device->statistics.resets == 1);
}

void disk_rig_check_no_reset(struct disk_device *device)
{
	struct disk_request *finished = NULL;

	disk_rig_hold_request(device);
	host_time_advance_ns(6 * NS_PER_S);
	for (uint32_t i = 0; i < 1000; i++) {
		ASSERT(device->ops->poll(device) == NULL);
		ASSERT(host_pci_is_master(device->pci));
	}
	ASSERT(device->ops->submit(device, &held) == -EAGAIN);
	for (uint32_t i = 0; i < 40 && !finished; i++) {
		host_time_advance_ns(100 * NS_PER_MS);
		finished = disk_rig_wait(device);
		ASSERT(!finished == host_pci_is_master(device->pci));
	}
	ASSERT(finished == &held);
	ASSERT(held.status == -ETIMEDOUT);
	ASSERT(device->gone);
	ASSERT(device->ops->submit(device, &held) == -ENODEV);
	ASSERT(device->ops->reset(device) == -ENODEV);
}

void disk_rig_check_removal(struct disk_device *device)
{
	disk_rig_hold_request(device);
	disk_rig.gone = true;
	memset(host_pci_config(device->pci), 0xff, 64);
	disk_rig_check_held_request(device, -ENODEV);
	ASSERT(device->gone);
	ASSERT(device->ops->submit(device, &held) == -ENODEV);
	ASSERT(device->ops->reset(device) == -ENODEV);
}

void disk_rig_check_close(struct disk_device *device)
{
	disk_rig_hold_request(device);
	device->ops->close(device);
	ASSERT(device->ops->poll(device) == &held);
	ASSERT(held.status == -ECANCELED);
	device->ops->close(device);
}

static uint64_t random_state;

void disk_rig_seed(uint64_t seed)
{
	random_state = seed * 2 + 1;
}

uint32_t disk_rig_random(uint32_t limit)
{
	random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(random_state >> 33) % limit;
}

static struct disk_request random_request(const struct disk_device *device)
{
	static const enum disk_operation operations[] = { DISK_READ, DISK_READ, DISK_WRITE, DISK_FLUSH };
	enum disk_operation operation = operations[disk_rig_random(4)];
	struct disk_request request = disk_rig_request(device, operation, disk_rig_random(256),
						       1 + disk_rig_random(8), 4096 * disk_rig_random(16));

	request.write_through = operation == DISK_WRITE && disk_rig_random(2);
	return request;
}

void disk_rig_check_survives(struct disk_device *device, void (*lie)(void))
{
	struct disk_request requests[8];
	bool under_way[8] = { false };
	uint32_t count = 0;

	/* Requests for a while, then as long as it takes to get them back: a few time-outs and resets. */
	for (uint32_t step = 0; step < 300 || count > 0; step++) {
		uint32_t index = disk_rig_random(8);
		struct disk_request *finished;

		ASSERT(step < 3000);
		if (step < 300 && !under_way[index] && disk_rig_random(4) == 0) {
			requests[index] = random_request(device);
			under_way[index] = device->ops->submit(device, &requests[index]) == 0;
			count += under_way[index];
		}
		lie();
		finished = device->ops->poll(device);
		if (finished) {
			ASSERT(finished >= requests && finished < requests + 8);
			ASSERT(under_way[finished - requests]);
			under_way[finished - requests] = false;
			count--;
		}
		host_time_advance_ns(disk_rig_random(50) * NS_PER_MS);
	}
}
