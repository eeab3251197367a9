/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio over PCI, modern transport (Virtual I/O Device 1.2, 4.1). The device
 * says by vendor capabilities in which BAR and where its structures lie; every
 * such claim is checked against the BAR's size before it is used.
 */
#include "drivers/virtio_pci.h"

#include <errno.h>
#include <string.h>

#include "drivers/virtio_pci_reg.h"
#include "include/trace.h"
#include "kernel/time.h"

TRACE_FILE("virtio", TRACE_INFO);

#define CONFIG_READ_TRIES 16

static uint8_t common_read8(const struct virtio_pci *device, uint32_t offset)
{
	return mmio_read8(&device->common.bar, device->common.offset + offset);
}

static uint16_t common_read16(const struct virtio_pci *device, uint32_t offset)
{
	return mmio_read16(&device->common.bar, device->common.offset + offset);
}

static uint32_t common_read32(const struct virtio_pci *device, uint32_t offset)
{
	return mmio_read32(&device->common.bar, device->common.offset + offset);
}

static void common_write16(const struct virtio_pci *device, uint32_t offset, uint16_t value)
{
	mmio_write16(&device->common.bar, device->common.offset + offset, value);
}

static void common_write32(const struct virtio_pci *device, uint32_t offset, uint32_t value)
{
	mmio_write32(&device->common.bar, device->common.offset + offset, value);
}

/* 64-bit fields are written as two halves (4.1.3.1). */
static void common_write64(const struct virtio_pci *device, uint32_t offset, uint64_t value)
{
	common_write32(device, offset, (uint32_t)value);
	common_write32(device, offset + 4, (uint32_t)(value >> 32));
}

static void status_write(const struct virtio_pci *device, uint8_t status)
{
	mmio_write8(&device->common.bar, device->common.offset + VIRTIO_DEVICE_STATUS, status);
}

/* Adds a bit to the device status; the driver never clears single bits (2.1.1). */
static uint8_t status_add(const struct virtio_pci *device, uint8_t bit)
{
	status_write(device, (uint8_t)(common_read8(device, VIRTIO_DEVICE_STATUS) | bit));
	return common_read8(device, VIRTIO_DEVICE_STATUS);
}

/* The structure that the capability at `position` points to. */
static int region_map(const struct pci_device *pci, uint8_t position, struct virtio_region *region)
{
	uint8_t bar = pci_read8(pci, position + VIRTIO_CAPABILITY_BAR);
	uint32_t offset = pci_read32(pci, position + VIRTIO_CAPABILITY_OFFSET);
	uint32_t size = pci_read32(pci, position + VIRTIO_CAPABILITY_SIZE);
	int status;

	if (bar >= PCI_BAR_COUNT || size == 0 || !is_aligned(offset, 4))
		return trace_error(-EIO);
	status = pci_map_bar(pci, bar, (uint64_t)offset + size, &region->bar);
	if (status)
		return trace_error(-EIO);
	region->offset = offset;
	region->size = size;
	return 0;
}

/* Takes the capability at `position` if it is the first of a type that we use (4.1.4.1). */
static int capability_take(struct virtio_pci *device, uint8_t position)
{
	const struct pci_device *pci = device->pci;
	uint8_t length = pci_read8(pci, position + VIRTIO_CAPABILITY_LENGTH);
	struct virtio_region *region;

	switch (pci_read8(pci, position + VIRTIO_CAPABILITY_TYPE)) {
	case VIRTIO_CAPABILITY_COMMON:
		region = &device->common;
		break;
	case VIRTIO_CAPABILITY_NOTIFY:
		region = &device->notify;
		break;
	case VIRTIO_CAPABILITY_DEVICE:
		region = &device->device;
		break;
	default:
		return 0;
	}
	if (region->size != 0)
		return 0;
	if (length < VIRTIO_CAPABILITY_MULTIPLIER || position > 256 - VIRTIO_CAPABILITY_MULTIPLIER)
		return trace_error(-EIO);
	if (region == &device->notify) {
		if (length < VIRTIO_CAPABILITY_MULTIPLIER + 4 ||
		    position > 256 - VIRTIO_CAPABILITY_MULTIPLIER - 4)
			return trace_error(-EIO);
		device->notify_multiplier = pci_read32(pci, position + VIRTIO_CAPABILITY_MULTIPLIER);
	}
	return region_map(pci, position, region);
}

int virtio_pci_probe(struct virtio_pci *device, const struct pci_device *pci, uint16_t type,
		     uint16_t transitional_id)
{
	uint8_t position = 0;
	int status;

	if (pci->vendor != VIRTIO_PCI_VENDOR)
		return -ENODEV;
	if (pci->device != VIRTIO_PCI_DEVICE_MODERN + type && pci->device != transitional_id)
		return -ENODEV;

	memset(device, 0, sizeof(*device));
	device->pci = pci;
	/* The kernel's search ends by itself on a looping list: positions only grow in number. */
	for (uint32_t i = 0; i < 64; i++) {
		position = pci_find_capability(pci, VIRTIO_CAPABILITY_ID, position);
		if (position == 0)
			break;
		status = capability_take(device, position);
		if (status)
			return status;
	}
	if (device->common.size == 0 && pci->device == transitional_id)
		return trace_error(-ENOTSUP);
	if (device->common.size < VIRTIO_COMMON_SIZE || device->notify.size < 2)
		return trace_error(-EIO);
	pci_enable(pci);
	return 0;
}

void virtio_pci_begin_reset(struct virtio_pci *device)
{
	status_write(device, 0);
}

bool virtio_pci_is_reset(struct virtio_pci *device)
{
	/* The reset is done when the status reads 0 (4.1.4.3.2). */
	if (common_read8(device, VIRTIO_DEVICE_STATUS) != 0)
		return false;
	pci_enable(device->pci);
	return true;
}

int virtio_pci_reset(struct virtio_pci *device)
{
	uint64_t deadline_ns = time_now_ns() + VIRTIO_RESET_TIMEOUT_MS * NS_PER_MS;

	virtio_pci_begin_reset(device);
	while (!virtio_pci_is_reset(device)) {
		if (time_reached(deadline_ns))
			return trace_error(-ETIMEDOUT);
	}
	return 0;
}

static uint64_t features_offered(const struct virtio_pci *device)
{
	uint64_t offered;

	common_write32(device, VIRTIO_DEVICE_FEATURE_SELECT, 1);
	offered = (uint64_t)common_read32(device, VIRTIO_DEVICE_FEATURE) << 32;
	common_write32(device, VIRTIO_DEVICE_FEATURE_SELECT, 0);
	return offered | common_read32(device, VIRTIO_DEVICE_FEATURE);
}

int virtio_pci_negotiate(struct virtio_pci *device, uint64_t wanted, uint64_t required)
{
	uint64_t offered;

	status_add(device, VIRTIO_STATUS_ACKNOWLEDGE);
	status_add(device, VIRTIO_STATUS_DRIVER);
	offered = features_offered(device);
	required |= VIRTIO_FEATURE_VERSION_1;
	if ((offered & required) != required) {
		status_add(device, VIRTIO_STATUS_FAILED);
		return trace_error(-ENOTSUP);
	}
	device->features = offered & (wanted | required);
	common_write32(device, VIRTIO_DRIVER_FEATURE_SELECT, 0);
	common_write32(device, VIRTIO_DRIVER_FEATURE, (uint32_t)device->features);
	common_write32(device, VIRTIO_DRIVER_FEATURE_SELECT, 1);
	common_write32(device, VIRTIO_DRIVER_FEATURE, (uint32_t)(device->features >> 32));
	/* The bit reads back only when the device can work with this set (3.1.1, step 6). */
	if (!(status_add(device, VIRTIO_STATUS_FEATURES_OK) & VIRTIO_STATUS_FEATURES_OK)) {
		status_add(device, VIRTIO_STATUS_FAILED);
		return trace_error(-EIO);
	}
	common_write16(device, VIRTIO_CONFIG_VECTOR, VIRTIO_NO_VECTOR);
	return 0;
}

/* The queue's size: ours or the device's, whichever is smaller; 0 when the device's makes no sense. */
static uint32_t queue_size(const struct virtio_pci *device, uint32_t size_max)
{
	uint32_t size = common_read16(device, VIRTIO_QUEUE_SIZE);

	if (!is_power_of_two(size))
		return 0;
	return (uint32_t)min_u64(size, size_max);
}

int virtio_pci_setup_queue(struct virtio_pci *device, struct virtio_queue *queue, uint16_t index,
			   uint32_t size_max)
{
	uint64_t notify_offset;
	uint32_t size;
	int status;

	if (index >= common_read16(device, VIRTIO_QUEUE_COUNT))
		return trace_error(-ENOENT);
	common_write16(device, VIRTIO_QUEUE_SELECT, index);
	if (common_read16(device, VIRTIO_QUEUE_SIZE) == 0)
		return trace_error(-ENOENT);
	size = queue_size(device, size_max);
	notify_offset =
		(uint64_t)common_read16(device, VIRTIO_QUEUE_NOTIFY_OFFSET) * device->notify_multiplier;
	if (size == 0 || !range_fits(notify_offset, 2, device->notify.size) || !is_aligned(notify_offset, 2))
		return trace_error(-EIO);
	status = virtqueue_init(&queue->ring, size);
	if (status)
		return status;
	queue->index = index;
	queue->notify_offset = device->notify.offset + (uint32_t)notify_offset;

	common_write16(device, VIRTIO_QUEUE_SIZE, (uint16_t)size);
	common_write16(device, VIRTIO_QUEUE_VECTOR, VIRTIO_NO_VECTOR);
	common_write64(device, VIRTIO_QUEUE_DESCRIPTORS, virtqueue_descriptors_physical(&queue->ring));
	common_write64(device, VIRTIO_QUEUE_AVAILABLE, virtqueue_available_physical(&queue->ring));
	common_write64(device, VIRTIO_QUEUE_USED, virtqueue_used_physical(&queue->ring));
	common_write16(device, VIRTIO_QUEUE_ENABLE, 1);
	return 0;
}

void virtio_pci_start(struct virtio_pci *device)
{
	status_add(device, VIRTIO_STATUS_DRIVER_OK);
}

int virtio_pci_stop(struct virtio_pci *device)
{
	int status = virtio_pci_reset(device);

	pci_disable(device->pci);
	return status;
}

void virtio_pci_notify(struct virtio_pci *device, const struct virtio_queue *queue)
{
	mmio_write16(&device->notify.bar, queue->notify_offset, queue->index);
}

bool virtio_pci_is_broken(struct virtio_pci *device)
{
	/* A device that is gone reads as all ones, which has the bit too. */
	return (common_read8(device, VIRTIO_DEVICE_STATUS) & VIRTIO_STATUS_NEEDS_RESET) != 0;
}

int virtio_pci_read_config(struct virtio_pci *device, uint32_t offset, void *to, uint32_t size)
{
	uint8_t *bytes = to;

	if (!range_fits(offset, size, device->device.size))
		return trace_error(-EIO);
	for (uint32_t i = 0; i < CONFIG_READ_TRIES; i++) {
		uint8_t generation = common_read8(device, VIRTIO_CONFIG_GENERATION);

		/* Byte by byte is always right: fields have all widths and alignments (4.1.3.1). */
		for (uint32_t at = 0; at < size; at++)
			bytes[at] = mmio_read8(&device->device.bar, device->device.offset + offset + at);
		if (common_read8(device, VIRTIO_CONFIG_GENERATION) == generation)
			return 0;
	}
	return trace_error(-EIO);
}
