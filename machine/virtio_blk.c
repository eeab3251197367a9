/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disk (Virtual I/O Device 1.1, section 5.2): one queue. A request is a 16-byte
 * header, data, and one status byte at the end of the writable part.
 *
 * A request that must go outside becomes an output numbered by the head of its
 * chain, and the chain is walked anew when the completion comes: nothing of it
 * needs to be kept but that it is under way. Whatever the guest does to the
 * descriptors meanwhile is checked again and is its own loss.
 *
 * Reads and writes of MACHINE_DISK_SIZE_UNDER_WAY_MAX bytes are under way at most;
 * the others wait in the guest's own ring, and a completion fetches them. So the
 * memory that a write is copied to outside is bounded, and where the guest is made
 * to wait follows from the log alone.
 */
#include "machine/virtio.h"

#include <errno.h>
#include <string.h>

#include "include/byte_order.h"
#include "machine/machine.h"

#define QUEUE_REQUEST 0
#define QUEUE_SIZE MACHINE_DISK_REQUEST_MAX

#define F_SIZE_MAX BIT(1)
#define F_SEGMENT_MAX BIT(2)
#define F_READ_ONLY BIT(5)
#define F_BLOCK_SIZE BIT(6)
#define F_FLUSH BIT(9)
#define F_DISCARD BIT(13)
#define F_WRITE_ZEROES BIT(14)

/* 5.2.4: the configuration structure. */
#define CONFIGURATION_CAPACITY 0
#define CONFIGURATION_SIZE_MAX 8
#define CONFIGURATION_SEGMENT_MAX 12
#define CONFIGURATION_BLOCK_SIZE 20
#define CONFIGURATION_DISCARD_SECTORS 36
#define CONFIGURATION_DISCARD_SEGMENTS 40
#define CONFIGURATION_DISCARD_ALIGNMENT 44
#define CONFIGURATION_ZEROES_SECTORS 48
#define CONFIGURATION_ZEROES_SEGMENTS 52
#define CONFIGURATION_ZEROES_MAY_UNMAP 56
#define CONFIGURATION_SIZE 60

/* 5.2.6: request header and types. */
#define HEADER_SIZE 16
#define HEADER_TYPE 0
#define HEADER_SECTOR 8
#define TYPE_READ 0
#define TYPE_WRITE 1
#define TYPE_FLUSH 4
#define TYPE_GET_ID 8
#define TYPE_DISCARD 11
#define TYPE_WRITE_ZEROES 13

#define STATUS_OK UINT8_C(0)
#define STATUS_ERROR UINT8_C(1)
#define STATUS_UNSUPPORTED UINT8_C(2)

/* 5.2.6: the one range of a discard or write-zeroes. */
#define RANGE_SIZE 16
#define RANGE_SECTOR 0
#define RANGE_COUNT 8
#define RANGE_FLAGS 12
#define RANGE_UNMAP BIT(0)

/* A request's number: generation, then the chain's head. */
#define REQUEST_HEAD_BITS 8
#define REQUEST_HEAD_MASK ((UINT32_C(1) << REQUEST_HEAD_BITS) - 1)
#define REQUEST_GENERATION_MASK (UINT32_MAX >> REQUEST_HEAD_BITS)
BUILD_ASSERT(QUEUE_SIZE <= 1 << REQUEST_HEAD_BITS);

#define SECTOR_SIZE UINT32_C(512) /* of the protocol, whatever the disk's are */
#define LARGE_SECTOR_SIZE UINT32_C(4096)
/*
 * A transfer of MACHINE_DISK_TRANSFER_MAX in segments of at most a page: what
 * drivers make of these two limits never exceeds the transfer.
 */
#define SEGMENT_SIZE_MAX 4096
#define RANGE_SECTORS_MAX (UINT32_C(4) << 20) /* 2 GiB a discard */

BUILD_ASSERT(MACHINE_DISK_SEGMENT_MAX *SEGMENT_SIZE_MAX == MACHINE_DISK_TRANSFER_MAX);
BUILD_ASSERT(MACHINE_DISK_SEGMENT_MAX + 2 <= MACHINE_VIRTQUEUE_SEGMENT_MAX);
BUILD_ASSERT(QUEUE_SIZE <= MACHINE_VIRTQUEUE_SIZE_MAX);

struct request {
	uint32_t type;
	uint64_t sector;
	struct machine_virtqueue_chain chain;
};

static const struct machine_disk_config *disk_of(const struct machine *machine,
						 const struct machine_virtio_device *device)
{
	return &machine->config.disks[device->unit];
}

/* Bytes of the least that is read or written. */
static uint32_t block_size(const struct machine_disk_config *config)
{
	return config->large_sectors ? LARGE_SECTOR_SIZE : SECTOR_SIZE;
}

static uint64_t blk_features(const struct machine *machine, const struct machine_virtio_device *device)
{
	return F_SIZE_MAX | F_SEGMENT_MAX | F_BLOCK_SIZE | F_FLUSH | F_DISCARD | F_WRITE_ZEROES |
	       (disk_of(machine, device)->read_only ? F_READ_ONLY : 0);
}

/*
 * Requests under way stay so outside. Their completions, which carry the old
 * generation, will be dropped, also when the new driver uses the same heads.
 */
static void blk_reset(struct machine *machine, struct machine_virtio_device *device)
{
	memset(&device->blk, 0, sizeof(device->blk));
	device->blk.generation = ++machine->virtio.disk_generation & REQUEST_GENERATION_MASK;
}

static uint32_t blk_configuration(const struct machine *machine, const struct machine_virtio_device *device,
				  uint8_t *bytes)
{
	store_le64(bytes + CONFIGURATION_CAPACITY, disk_of(machine, device)->sector_count);
	store_le32(bytes + CONFIGURATION_SIZE_MAX, SEGMENT_SIZE_MAX);
	store_le32(bytes + CONFIGURATION_SEGMENT_MAX, MACHINE_DISK_SEGMENT_MAX);
	store_le32(bytes + CONFIGURATION_BLOCK_SIZE, block_size(disk_of(machine, device)));
	store_le32(bytes + CONFIGURATION_DISCARD_SECTORS, RANGE_SECTORS_MAX);
	store_le32(bytes + CONFIGURATION_DISCARD_SEGMENTS, 1);
	store_le32(bytes + CONFIGURATION_DISCARD_ALIGNMENT, 8);
	store_le32(bytes + CONFIGURATION_ZEROES_SECTORS, RANGE_SECTORS_MAX);
	store_le32(bytes + CONFIGURATION_ZEROES_SEGMENTS, 1);
	bytes[CONFIGURATION_ZEROES_MAY_UNMAP] = 1;
	return CONFIGURATION_SIZE;
}

static int finish(struct machine *machine, struct machine_virtio_device *device,
		  const struct guest_memory *memory, const struct machine_virtqueue_chain *chain,
		  uint8_t status, uint64_t data_size)
{
	machine_virtqueue_write(chain, memory, chain->writable_size - 1, &status, 1);
	return machine_virtio_finish(machine, device, memory, QUEUE_REQUEST, chain->head,
				     (uint32_t)data_size + 1);
}

/* Bytes of data between header and status. */
static uint64_t data_size(const struct request *request, bool is_read)
{
	return is_read ? request->chain.writable_size - 1 : request->chain.readable_size - HEADER_SIZE;
}

/* Guest memory of a read or write, without header and status. False: more pieces than an output holds. */
static bool collect_segments(const struct request *request, bool is_read, struct machine_disk_request *disk)
{
	const struct machine_virtqueue_chain *chain = &request->chain;
	uint32_t first = is_read ? chain->readable_count : 0;
	uint32_t count = is_read ? chain->writable_count : chain->readable_count;
	uint64_t skip = is_read ? 0 : HEADER_SIZE;
	uint64_t left = data_size(request, is_read);

	disk->segment_count = 0;
	for (uint32_t i = first; i < first + count && left > 0; i++) {
		uint64_t offset = min_u64(skip, chain->segments[i].size);
		uint64_t size = min_u64(chain->segments[i].size - offset, left);

		skip -= offset;
		if (size == 0)
			continue;
		if (disk->segment_count == MACHINE_DISK_SEGMENT_MAX)
			return false;
		disk->segments[disk->segment_count++] =
			(struct machine_disk_segment){ .gpa = chain->segments[i].gpa + offset,
						       .size = (uint32_t)size };
		left -= size;
	}
	return true;
}

/* Inside the disk, and not a part of what is one sector there: nothing can be written less than whole. */
static bool range_is_good(const struct machine_disk_config *config, uint64_t sector, uint64_t sector_count)
{
	return range_fits(sector, sector_count, config->sector_count) &&
	       is_aligned(sector | sector_count, block_size(config) / SECTOR_SIZE);
}

/* Turns a read or write into an output; the status that refuses it otherwise. */
static uint8_t transfer_prepare(const struct machine_disk_config *config, const struct request *request,
				bool is_read, struct machine_disk_request *disk)
{
	uint64_t size = data_size(request, is_read);

	if (size == 0 || size % SECTOR_SIZE != 0 || size > MACHINE_DISK_TRANSFER_MAX)
		return STATUS_ERROR;
	if (!range_is_good(config, request->sector, size / SECTOR_SIZE))
		return STATUS_ERROR;
	if (!is_read && config->read_only)
		return STATUS_ERROR;
	disk->operation = is_read ? MACHINE_DISK_READ : MACHINE_DISK_WRITE;
	disk->sector = request->sector;
	disk->sector_count = size / SECTOR_SIZE;
	return collect_segments(request, is_read, disk) ? STATUS_OK : STATUS_ERROR;
}

static uint8_t range_prepare(const struct machine_disk_config *config, const struct request *request,
			     const struct guest_memory *memory, struct machine_disk_request *disk)
{
	uint8_t range[RANGE_SIZE];
	uint32_t flags;

	if (request->chain.readable_size != HEADER_SIZE + RANGE_SIZE ||
	    machine_virtqueue_read(&request->chain, memory, HEADER_SIZE, range, sizeof(range)) !=
		    sizeof(range))
		return STATUS_ERROR;
	disk->sector = load_le64(range + RANGE_SECTOR);
	disk->sector_count = load_le32(range + RANGE_COUNT);
	flags = load_le32(range + RANGE_FLAGS);
	if (disk->sector_count == 0 || disk->sector_count > RANGE_SECTORS_MAX ||
	    !range_is_good(config, disk->sector, disk->sector_count) || config->read_only)
		return STATUS_ERROR;
	/* 5.2.6.2: unknown flags, or unmap on a discard, are not supported. */
	if (flags & ~(request->type == TYPE_WRITE_ZEROES ? RANGE_UNMAP : 0))
		return STATUS_UNSUPPORTED;
	disk->operation = request->type == TYPE_DISCARD ? MACHINE_DISK_DISCARD : MACHINE_DISK_WRITE_ZEROES;
	disk->may_unmap = flags & RANGE_UNMAP ? 1 : 0;
	return STATUS_OK;
}

/* STATUS_OK with `disk` filled for what goes outside; else the status to answer with. */
static uint8_t request_prepare(const struct machine_disk_config *config, const struct request *request,
			       const struct guest_memory *memory, struct machine_disk_request *disk)
{
	memset(disk, 0, offsetof(struct machine_disk_request, segments));
	switch (request->type) {
	case TYPE_READ:
		return transfer_prepare(config, request, true, disk);
	case TYPE_WRITE:
		return transfer_prepare(config, request, false, disk);
	case TYPE_FLUSH:
		disk->operation = MACHINE_DISK_FLUSH;
		return STATUS_OK;
	case TYPE_DISCARD:
	case TYPE_WRITE_ZEROES:
		return range_prepare(config, request, memory, disk);
	default:
		return STATUS_UNSUPPORTED;
	}
}

/* 5.2.6: reads the header and demands room for the status. 0 or -EINVAL. */
static int request_read(const struct guest_memory *memory, struct request *request)
{
	const uint8_t *header = machine_virtqueue_readable_at(&request->chain, memory, 0, HEADER_SIZE);
	uint8_t gathered[HEADER_SIZE];

	if (request->chain.writable_size == 0)
		return -EINVAL;
	if (!header) {
		if (machine_virtqueue_read(&request->chain, memory, 0, gathered, sizeof(gathered)) !=
		    sizeof(gathered))
			return -EINVAL;
		header = gathered;
	}
	request->type = load_le32(header + HEADER_TYPE);
	request->sector = load_le64(header + HEADER_SECTOR);
	return 0;
}

/* Answered from the configuration, without going outside. */
static int identify(struct machine *machine, struct machine_virtio_device *device,
		    const struct guest_memory *memory, const struct request *request)
{
	uint64_t size = min_u64(MACHINE_SERIAL_SIZE, request->chain.writable_size - 1);

	machine_virtqueue_write(&request->chain, memory, 0, disk_of(machine, device)->serial, size);
	return finish(machine, device, memory, &request->chain, STATUS_OK, size);
}

static bool is_under_way(const struct machine_virtio_device *device, uint32_t head)
{
	return (device->blk.under_way[head / 64] >> (head % 64)) & 1;
}

/* A request has gone outside: remembers what it takes there. */
static void begin(struct machine_virtio_device *device, uint32_t head,
		  const struct machine_disk_request *disk)
{
	bool is_transfer = disk->operation == MACHINE_DISK_READ || disk->operation == MACHINE_DISK_WRITE;

	device->blk.under_way[head / 64] |= BIT(head % 64);
	device->blk.sectors[head] = is_transfer ? (uint16_t)disk->sector_count : 0;
	device->blk.size_under_way += device->blk.sectors[head] * SECTOR_SIZE;
}

static void end(struct machine_virtio_device *device, uint32_t head)
{
	device->blk.under_way[head / 64] &= ~BIT(head % 64);
	device->blk.size_under_way -= device->blk.sectors[head] * SECTOR_SIZE;
	device->blk.sectors[head] = 0;
}

static bool has_room(const struct machine_virtio_device *device)
{
	return device->blk.size_under_way <= MACHINE_DISK_SIZE_UNDER_WAY_MAX - MACHINE_DISK_TRANSFER_MAX;
}

static int blk_output_take(struct machine *machine, struct machine_virtio_device *device,
			   const struct guest_memory *memory, struct machine_output *output)
{
	struct machine_virtqueue *queue = &device->queues[QUEUE_REQUEST];
	struct request request;

	while (queue->notified && has_room(device)) {
		uint8_t status;
		int error;
		int taken = machine_virtqueue_take(queue, memory, &request.chain);

		if (taken <= 0)
			return taken;
		if (is_under_way(device, request.chain.head) || request_read(memory, &request))
			return -EINVAL;
		if (request.type == TYPE_GET_ID) {
			error = identify(machine, device, memory, &request);
		} else {
			status = request_prepare(disk_of(machine, device), &request, memory, &output->disk);
			if (status == STATUS_OK) {
				begin(device, request.chain.head, &output->disk);
				machine_virtqueue_rest(queue, memory);
				output->disk.request =
					device->blk.generation << REQUEST_HEAD_BITS | request.chain.head;
				output->kind = MACHINE_OUTPUT_DISK;
				output->index = device->unit;
				output->size = 0;
				return 1;
			}
			error = finish(machine, device, memory, &request.chain, status, 0);
		}
		if (error)
			return error;
	}
	return 0;
}

static uint8_t status_of(uint32_t machine_status)
{
	switch (machine_status) {
	case MACHINE_DISK_OK:
		return STATUS_OK;
	case MACHINE_DISK_UNSUPPORTED:
		return STATUS_UNSUPPORTED;
	default:
		return STATUS_ERROR;
	}
}

static int blk_input(struct machine *machine, struct machine_virtio_device *device,
		     const struct guest_memory *memory, const struct machine_input *input)
{
	struct machine_virtqueue_chain chain;
	uint16_t head = input->request & REQUEST_HEAD_MASK;
	uint64_t written = 0;

	if (input->request >> REQUEST_HEAD_BITS != device->blk.generation || !is_under_way(device, head) ||
	    !machine_virtio_is_live(machine, device))
		return 0; /* the driver has reset the device since it asked */
	end(device, head);
	if (machine_virtqueue_chain_read(&device->queues[QUEUE_REQUEST], memory, head, &chain) ||
	    chain.writable_size == 0)
		return -EINVAL;
	if (input->status == MACHINE_DISK_OK)
		written = machine_virtqueue_write(&chain, memory, 0, input->data,
						  min_u64(input->size, chain.writable_size - 1));
	return finish(machine, device, memory, &chain, status_of(input->status), written);
}

const struct machine_virtio_ops machine_virtio_blk_ops = {
	.name = "virtio-blk",
	.device_id = 0x1042,
	.class_code = 0x010000, /* SCSI, as QEMU and the specification's examples have it */
	.queue_count = 1,
	.queue_sizes = { QUEUE_SIZE },
	.features = blk_features,
	.reset = blk_reset,
	.configuration = blk_configuration,
	.output_take = blk_output_take,
	.input = blk_input,
};
