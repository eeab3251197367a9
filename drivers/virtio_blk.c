/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtual disks: virtio-blk over modern PCI (Virtual I/O Device 1.2, 5.2). One
 * ring. A request is a chain
 *
 *     header (what, where) | data segments | status byte (written by the device)
 *
 * whose header and status byte are the tag's. poll moves the device on:
 *
 *     READY -> RESETTING -> READY, or GONE
 *
 * The device has no force-unit-access: a write-through is a write and, when that
 * is done, a flush under the same tag. Without the flush feature there is no cache
 * and nothing to flush (5.2.6.2).
 *
 * Memory of a request is handed back only when the device has answered, is reset,
 * or can no longer master the bus.
 */
#include "drivers/virtio_blk_reg.h"

#include <errno.h>
#include <string.h>

#include "drivers/disk_drivers.h"
#include "drivers/disk_queue.h"
#include "drivers/virtio_pci.h"
#include "include/assert.h"
#include "include/byte_order.h"
#include "include/trace.h"
#include "kernel/dma.h"
#include "kernel/time.h"

TRACE_FILE("disk", TRACE_INFO);

#define VIRTIO_BLK_QUEUE 0
/*
 * How often the device status is read, and the doorbell rung again while requests
 * are under way: an emulator that does not keep our memory barriers (QEMU 7.2's TCG
 * with one processor) may have missed the moment in which it mattered.
 */
#define VIRTIO_BLK_LOOK_MS 100

#define VIRTIO_BLK_WANTED                                                                                    \
	(VIRTIO_BLK_FEATURE_SIZE_MAX | VIRTIO_BLK_FEATURE_SEGMENT_MAX | VIRTIO_BLK_FEATURE_READ_ONLY |       \
	 VIRTIO_BLK_FEATURE_BLOCK_SIZE | VIRTIO_BLK_FEATURE_FLUSH | VIRTIO_BLK_FEATURE_TOPOLOGY |            \
	 VIRTIO_BLK_FEATURE_CACHE_MODE)

enum virtio_blk_state {
	VIRTIO_BLK_READY,
	VIRTIO_BLK_RESETTING,
	VIRTIO_BLK_GONE,
};

struct virtio_blk {
	struct disk_device *device;
	struct virtio_pci transport;
	struct virtio_queue ring;
	struct dma_buffer buffer;
	struct virtio_blk_memory *memory;

	enum virtio_blk_state state;
	uint64_t state_deadline_ns;
	uint64_t look_ns; /* when the device status is to be read next */

	struct disk_queue queue;
	uint8_t tags[VIRTQUEUE_SIZE_MAX]; /* by head of chain */
};

static struct virtio_blk virtio_blk_disks[DISK_DEVICE_MAX];
static uint32_t virtio_blk_count;

static uint64_t virtio_blk_physical(const struct virtio_blk *disk, const volatile void *address)
{
	return disk->buffer.physical +
	       (uint64_t)((const volatile char *)address - (const char *)disk->buffer.address);
}

/* ---- Reset ---- */

/* Ends the disk's life; the device must not be able to reach memory any more. */
static void virtio_blk_retire(struct virtio_blk *disk, int status)
{
	pci_disable(disk->transport.pci);
	disk->state = VIRTIO_BLK_GONE;
	disk->device->gone = true;
	disk_queue_finish_all(&disk->queue, status);
	trace(status == -ECANCELED ? TRACE_INFO : TRACE_WARNING, "virtio-blk: the disk is %s",
	      status == -ECANCELED ? "closed" : "gone");
}

static void virtio_blk_begin_reset(struct virtio_blk *disk)
{
	disk->device->statistics.resets++;
	trace(TRACE_WARNING, "virtio-blk: reset");
	virtio_pci_begin_reset(&disk->transport);
	disk->state = VIRTIO_BLK_RESETTING;
	disk->state_deadline_ns = time_now_ns() + VIRTIO_RESET_TIMEOUT_MS * NS_PER_MS;
}

static void virtio_blk_fault(struct virtio_blk *disk, const char *what)
{
	disk->device->statistics.device_faults++;
	trace(TRACE_WARNING, "virtio-blk: %s", what);
	virtio_blk_begin_reset(disk);
}

/* From a device that is reset to one that works. The features are those of the first time. */
static int virtio_blk_bring_up(struct virtio_blk *disk, uint64_t wanted)
{
	int status = virtio_pci_negotiate(&disk->transport, wanted, 0);

	if (status == 0)
		status = virtio_pci_setup_queue(&disk->transport, &disk->ring, VIRTIO_BLK_QUEUE,
						VIRTQUEUE_SIZE_MAX);
	if (status != 0)
		return status;
	virtio_pci_start(&disk->transport);
	disk->state = VIRTIO_BLK_READY;
	disk->look_ns = time_now_ns() + VIRTIO_BLK_LOOK_MS * NS_PER_MS;
	return 0;
}

static void virtio_blk_step_resetting(struct virtio_blk *disk)
{
	uint64_t features = disk->transport.features;

	if (!disk_is_present(disk->device)) {
		virtio_blk_retire(disk, -ENODEV);
		return;
	}
	if (!virtio_pci_is_reset(&disk->transport)) {
		if (time_reached(disk->state_deadline_ns))
			virtio_blk_retire(disk, -ENODEV);
		return;
	}
	disk_queue_finish_all(&disk->queue, -ECANCELED);
	if (virtio_blk_bring_up(disk, features) != 0 || disk->transport.features != features)
		virtio_blk_retire(disk, -ENODEV);
}

/* ---- READY ---- */

/* Puts the request, or the flush that it still owes, into the ring. -EAGAIN: no room for its segments now. */
static int virtio_blk_build(struct virtio_blk *disk, const struct disk_request *request)
{
	struct virtqueue_segment chain[DISK_SEGMENT_MAX + 2];
	struct virtio_blk_header *header = &disk->memory->headers[request->tag];
	bool flush = request->operation == DISK_FLUSH || request->flushing;
	bool read = request->operation == DISK_READ;
	uint32_t count = flush ? 0 : request->segment_count;
	int head;

	header->type = flush ? VIRTIO_BLK_FLUSH : read ? VIRTIO_BLK_IN : VIRTIO_BLK_OUT;
	header->reserved = 0;
	header->sector =
		flush ? 0 : request->sector * (disk->device->identity.sector_size / VIRTIO_BLK_UNIT_SIZE);
	disk->memory->statuses[request->tag] = VIRTIO_BLK_UNANSWERED;

	chain[0] = (struct virtqueue_segment){ virtio_blk_physical(disk, header), sizeof(*header) };
	for (uint32_t i = 0; i < count; i++)
		chain[1 + i] = (struct virtqueue_segment){ request->segments[i].physical,
							   request->segments[i].size };
	chain[1 + count] =
		(struct virtqueue_segment){ virtio_blk_physical(disk, &disk->memory->statuses[request->tag]),
					    1 };
	head = virtqueue_add(&disk->ring.ring, chain, read ? 1 : 1 + count, read ? 1 + count : 1);
	if (head < 0)
		return head;
	disk->tags[head] = (uint8_t)request->tag;
	return 0;
}

static void virtio_blk_ring_doorbell(struct virtio_blk *disk)
{
	if (virtqueue_publish(&disk->ring.ring))
		virtio_pci_notify(&disk->transport, &disk->ring);
}

/* The device is done with the request. False: its answer makes no sense. */
static bool virtio_blk_complete(struct virtio_blk *disk, struct disk_request *request, uint32_t written_size)
{
	uint8_t status = disk->memory->statuses[request->tag];
	uint64_t size = (uint64_t)request->sector_count * disk->device->identity.sector_size;
	int built;

	if (status == VIRTIO_BLK_IO_ERROR || status == VIRTIO_BLK_UNSUPPORTED) {
		disk_queue_finish(&disk->queue, request->tag, -EIO);
		return true;
	}
	/* A read that did not fill its memory would hand out what was there before. */
	if (status != VIRTIO_BLK_OK || (request->operation == DISK_READ && written_size != size + 1))
		return false;
	if (!disk_queue_owes_flush(&disk->queue, request)) {
		disk_queue_finish(&disk->queue, request->tag, 0);
		return true;
	}
	/* The write's own descriptors have just come back, so there is room for the flush's two. */
	built = virtio_blk_build(disk, request);
	ASSERT(built == 0);
	return true;
}

/* Takes back what is done. False: the device said something that makes no sense. */
static bool virtio_blk_collect(struct virtio_blk *disk)
{
	uint32_t written_size;
	uint16_t head;
	int found;

	while ((found = virtqueue_take(&disk->ring.ring, &head, &written_size)) > 0) {
		struct disk_request *request = disk_queue_request(&disk->queue, disk->tags[head]);

		ASSERT(request != NULL); /* the ring knows which chains are out */
		if (!virtio_blk_complete(disk, request, written_size))
			return false;
	}
	if (found < 0)
		return false;
	virtio_blk_ring_doorbell(disk); /* flushes that writes owe */
	return true;
}

static void virtio_blk_look(struct virtio_blk *disk)
{
	if (!disk_is_present(disk->device))
		virtio_blk_retire(disk, -ENODEV);
	else if (virtio_pci_is_broken(&disk->transport))
		virtio_blk_fault(disk, "the device wants a reset");
	else if (disk->queue.busy)
		virtio_pci_notify(&disk->transport, &disk->ring); /* should the doorbell have been lost */
}

static void virtio_blk_watch(struct virtio_blk *disk)
{
	uint64_t now_ns;

	if (disk->queue.busy && !virtio_blk_collect(disk)) {
		virtio_blk_fault(disk, "an answer that makes no sense");
		return;
	}
	now_ns = time_now_ns();
	if (now_ns >= disk->look_ns) {
		disk->look_ns = now_ns + VIRTIO_BLK_LOOK_MS * NS_PER_MS;
		virtio_blk_look(disk);
	}
	if (disk->state == VIRTIO_BLK_READY && disk_queue_expire(&disk->queue, now_ns))
		virtio_blk_begin_reset(disk);
}

static void virtio_blk_step(struct virtio_blk *disk)
{
	switch (disk->state) {
	case VIRTIO_BLK_READY:
		virtio_blk_watch(disk);
		break;
	case VIRTIO_BLK_RESETTING:
		virtio_blk_step_resetting(disk);
		break;
	case VIRTIO_BLK_GONE:
		break;
	}
}

/* ---- The verbs ---- */

static int virtio_blk_submit(struct disk_device *device, struct disk_request *request)
{
	struct virtio_blk *disk = device->driver;
	int status;

	if (!device->gone && disk->state != VIRTIO_BLK_READY)
		return -EAGAIN;
	/* Looked at first, so that a request is either all in or not at all. */
	if (request->segment_count <= DISK_SEGMENT_MAX &&
	    request->segment_count + 2 > disk->ring.ring.free_count)
		return device->gone ? -ENODEV : -EAGAIN;
	status = disk_queue_add(&disk->queue, device, request);
	if (status != 0)
		return status;
	if (request->operation == DISK_FLUSH && !device->identity.has_write_cache) {
		disk_queue_finish(&disk->queue, request->tag, 0);
		return 0;
	}
	status = virtio_blk_build(disk, request);
	ASSERT(status == 0);
	return 0;
}

static void virtio_blk_start(struct disk_device *device)
{
	struct virtio_blk *disk = device->driver;

	if (disk->state == VIRTIO_BLK_READY)
		virtio_blk_ring_doorbell(disk);
}

static struct disk_request *virtio_blk_poll(struct disk_device *device)
{
	if (!device->finished_first) {
		virtio_blk_start(device);
		virtio_blk_step(device->driver);
	}
	return disk_finished_take(device);
}

static int virtio_blk_reset(struct disk_device *device)
{
	struct virtio_blk *disk = device->driver;

	if (device->gone)
		return -ENODEV;
	if (disk->state == VIRTIO_BLK_READY)
		virtio_blk_begin_reset(disk);
	return 0;
}

static void virtio_blk_close(struct disk_device *device)
{
	struct virtio_blk *disk = device->driver;

	if (device->gone)
		return;
	(void)virtio_pci_stop(&disk->transport); /* cuts the device off, answer or not */
	virtio_blk_retire(disk, -ECANCELED);
}

/* ---- Start-up ---- */

static int virtio_blk_read32(struct virtio_blk *disk, uint32_t offset, uint32_t *value)
{
	uint8_t bytes[4];
	int status = virtio_pci_read_config(&disk->transport, offset, bytes, sizeof(bytes));

	*value = status == 0 ? load_le32(bytes) : 0;
	return status;
}

/* How many segments, and of which size: what the device's limits leave of ours. */
static int virtio_blk_read_limits(struct virtio_blk *disk)
{
	struct disk_identity *identity = &disk->device->identity;
	uint64_t features = disk->transport.features;
	uint32_t size_max = DISK_TRANSFER_MAX;
	uint32_t segment_max = DISK_SEGMENT_MAX;
	int status = 0;

	if (features & VIRTIO_BLK_FEATURE_SIZE_MAX)
		status = virtio_blk_read32(disk, VIRTIO_BLK_CONFIG_SIZE_MAX, &size_max);
	if (status == 0 && (features & VIRTIO_BLK_FEATURE_SEGMENT_MAX))
		status = virtio_blk_read32(disk, VIRTIO_BLK_CONFIG_SEGMENT_MAX, &segment_max);
	if (status != 0)
		return status;
	/* A segment that the device takes at once: any request then respects size_max by itself. */
	identity->transfer_max = (uint32_t)min_u64(size_max, DISK_TRANSFER_MAX);
	identity->segment_max =
		(uint32_t)min_u64(segment_max, min_u64(DISK_SEGMENT_MAX, disk->ring.ring.size - 2));
	if (identity->transfer_max < identity->sector_size || identity->segment_max == 0)
		return trace_error(-EIO);
	return 0;
}

static int virtio_blk_read_identity(struct virtio_blk *disk)
{
	struct disk_identity *identity = &disk->device->identity;
	uint64_t features = disk->transport.features;
	uint32_t block_size = VIRTIO_BLK_UNIT_SIZE;
	uint8_t capacity[8];
	uint8_t exponent = 0;
	uint8_t writeback = 1;
	int status;

	status = virtio_pci_read_config(&disk->transport, VIRTIO_BLK_CONFIG_CAPACITY, capacity,
					sizeof(capacity));
	if (status == 0 && (features & VIRTIO_BLK_FEATURE_BLOCK_SIZE))
		status = virtio_blk_read32(disk, VIRTIO_BLK_CONFIG_BLOCK_SIZE, &block_size);
	if (status == 0 && (features & VIRTIO_BLK_FEATURE_TOPOLOGY))
		status = virtio_pci_read_config(&disk->transport, VIRTIO_BLK_CONFIG_PHYSICAL, &exponent, 1);
	if (status == 0 && (features & VIRTIO_BLK_FEATURE_CACHE_MODE))
		status = virtio_pci_read_config(&disk->transport, VIRTIO_BLK_CONFIG_WRITEBACK, &writeback, 1);
	if (status != 0)
		return status;
	if (block_size != 512 && block_size != 4096)
		return trace_error(-EINVAL);
	identity->sector_size = block_size;
	identity->physical_sector_size = block_size << (exponent & 0xf);
	identity->sector_count = load_le64(capacity) / (block_size / VIRTIO_BLK_UNIT_SIZE);
	/* 5.2.6.2: with the flush feature there is a cache, unless the device says that it is off. */
	identity->has_write_cache = (features & VIRTIO_BLK_FEATURE_FLUSH) && writeback;
	identity->has_write_through = false;
	identity->read_only = (features & VIRTIO_BLK_FEATURE_READ_ONLY) != 0;
	memcpy(identity->model, "virtio-blk", sizeof("virtio-blk"));
	if (identity->sector_count == 0)
		return trace_error(-EIO);
	/* Three descriptors are a request in one segment. */
	identity->queue_depth = (uint32_t)min_u64(max_u64(disk->ring.ring.size / 3, 1), DISK_QUEUE_DEPTH_MAX);
	return virtio_blk_read_limits(disk);
}

/* The serial number has a command of its own; a device that does not know it has none. Waits. */
static int virtio_blk_read_serial(struct virtio_blk *disk)
{
	struct virtqueue_segment chain[3];
	uint64_t deadline_ns = time_now_ns() + DISK_TIMEOUT_MS * NS_PER_MS;
	uint32_t written_size;
	uint16_t head;
	int found;

	disk->memory->headers[0] = (struct virtio_blk_header){ .type = VIRTIO_BLK_GET_ID };
	disk->memory->statuses[0] = VIRTIO_BLK_UNANSWERED;
	chain[0] = (struct virtqueue_segment){ virtio_blk_physical(disk, &disk->memory->headers[0]),
					       sizeof(struct virtio_blk_header) };
	chain[1] =
		(struct virtqueue_segment){ virtio_blk_physical(disk, disk->memory->id), VIRTIO_BLK_ID_SIZE };
	chain[2] = (struct virtqueue_segment){ virtio_blk_physical(disk, &disk->memory->statuses[0]), 1 };
	if (virtqueue_add(&disk->ring.ring, chain, 1, 2) < 0)
		return trace_error(-EIO);
	virtio_blk_ring_doorbell(disk);
	do {
		found = virtqueue_take(&disk->ring.ring, &head, &written_size);
	} while (found == 0 && !time_reached(deadline_ns));
	if (found <= 0)
		return trace_error(found == 0 ? -ETIMEDOUT : -EIO);
	if (disk->memory->statuses[0] == VIRTIO_BLK_OK)
		disk_text_copy(disk->device->identity.serial, disk->memory->id, VIRTIO_BLK_ID_SIZE);
	return 0;
}

static int virtio_blk_open(struct virtio_blk *disk)
{
	int status = virtio_pci_reset(&disk->transport);

	if (status == 0)
		status = dma_allocate(&disk->buffer, sizeof(*disk->memory), 64);
	if (status != 0)
		return status;
	disk->memory = disk->buffer.address;
	status = virtio_blk_bring_up(disk, VIRTIO_BLK_WANTED);
	if (status == 0)
		status = virtio_blk_read_identity(disk);
	if (status == 0)
		status = virtio_blk_read_serial(disk);
	if (status == 0)
		disk_queue_init(&disk->queue, disk->device->identity.queue_depth);
	return status;
}

static int virtio_blk_probe(struct disk_device *devices, uint32_t device_max, const struct pci_device *pci)
{
	struct virtio_blk *disk = &virtio_blk_disks[virtio_blk_count];
	struct virtio_pci transport;
	int status = virtio_pci_probe(&transport, pci, VIRTIO_TYPE_BLOCK, VIRTIO_PCI_TRANSITIONAL_BLOCK);

	if (status != 0)
		return status;
	if (virtio_blk_count == DISK_DEVICE_MAX || device_max == 0)
		return trace_error(-ENOMEM);
	memset(disk, 0, sizeof(*disk));
	memset(devices, 0, sizeof(*devices));
	devices->ops = &virtio_blk_ops;
	devices->pci = pci;
	devices->driver = disk;
	disk->device = devices;
	disk->transport = transport;
	status = virtio_blk_open(disk);
	if (status != 0) {
		(void)virtio_pci_stop(&disk->transport);
		return status;
	}
	virtio_blk_count++;
	return 1;
}

const struct disk_ops virtio_blk_ops = {
	.name = "virtio-blk",
	.probe = virtio_blk_probe,
	.reset = virtio_blk_reset,
	.close = virtio_blk_close,
	.submit = virtio_blk_submit,
	.start = virtio_blk_start,
	.poll = virtio_blk_poll,
};
