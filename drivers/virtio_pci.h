/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio devices on PCI, modern transport only (Virtual I/O Device 1.2, 4.1): what
 * virtio_net.c and virtio_blk.c share. The order of calls follows 3.1.1:
 *
 *	probe, reset, negotiate, setup_queue for each queue, start
 *	... virtqueue_*() and notify ...
 *	stop, and to use it again: from reset on
 */
#ifndef DRIVERS_VIRTIO_PCI_H
#define DRIVERS_VIRTIO_PCI_H

#include "drivers/virtqueue.h"
#include "include/bits.h"
#include "kernel/mmio.h"
#include "kernel/pci.h"

#define VIRTIO_PCI_VENDOR 0x1af4
#define VIRTIO_PCI_DEVICE_MODERN 0x1040 /* + the device type (4.1.2) */

#define VIRTIO_TYPE_NET 1
#define VIRTIO_TYPE_BLOCK 2
#define VIRTIO_PCI_TRANSITIONAL_NET 0x1000
#define VIRTIO_PCI_TRANSITIONAL_BLOCK 0x1001

#define VIRTIO_FEATURE_VERSION_1 BIT(32) /* always negotiated: no other rules are spoken here */

/* A structure of the device, which lies somewhere within a BAR. */
struct virtio_region {
	struct mmio bar;
	uint32_t offset;
	uint32_t size; /* bytes; 0: not there */
};

struct virtio_pci {
	const struct pci_device *pci;
	struct virtio_region common;
	struct virtio_region notify;
	struct virtio_region device; /* the device type's own configuration */
	uint32_t notify_multiplier;
	uint64_t features; /* negotiated */
};

/* A queue and where its doorbell is. */
struct virtio_queue {
	struct virtqueue ring;
	uint16_t index;
	uint32_t notify_offset; /* within the notify region's BAR */
};

/*
 * Is `pci` a virtio device of this type, under its modern or its transitional id?
 * Then finds and maps its structures. Returns 0; -ENODEV: not this type; -EIO:
 * it is, but its capabilities are missing or point outside its BARs; -ENOTSUP: it
 * only speaks the legacy interface. Start-up only.
 */
int virtio_pci_probe(struct virtio_pci *device, const struct pci_device *pci, uint16_t type,
		     uint16_t transitional_id);

/* Resets the device: it forgets queues and features. Returns 0 or -ETIMEDOUT. */
int virtio_pci_reset(struct virtio_pci *device);

/*
 * The same in two halves, for who must not wait: begin, then ask until it is true
 * or VIRTIO_RESET_TIMEOUT_MS have passed.
 */
#define VIRTIO_RESET_TIMEOUT_MS 1000 /* the specification gives no bound */
void virtio_pci_begin_reset(struct virtio_pci *device);
bool virtio_pci_is_reset(struct virtio_pci *device);

/*
 * After reset: accepts those of the features `wanted` that the device offers
 * (VERSION_1 comes by itself); the result is in device->features. Returns 0;
 * -ENOTSUP when one of `required` is not offered; -EIO when the device refuses.
 */
int virtio_pci_negotiate(struct virtio_pci *device, uint64_t wanted, uint64_t required);

/*
 * After negotiate: makes queue `index` ready with at most `size_max` descriptors
 * (a power of two). Returns 0; -ENOENT: the device has no such queue; -EIO: its size or
 * doorbell makes no sense; -ENOMEM. The first call takes the memory.
 */
int virtio_pci_setup_queue(struct virtio_pci *device, struct virtio_queue *queue, uint16_t index,
			   uint32_t size_max);

/* All queues are set up: the device works from here on. */
void virtio_pci_start(struct virtio_pci *device);

/*
 * Resets the device and takes away its way to memory, also when the reset gets no
 * answer. Returns 0 or -ETIMEDOUT.
 */
int virtio_pci_stop(struct virtio_pci *device);

/* Rings the doorbell of `queue`; after virtqueue_publish() returned true. */
void virtio_pci_notify(struct virtio_pci *device, const struct virtio_queue *queue);

/* Has the device given up (DEVICE_NEEDS_RESET, 2.1.2), or gone from the bus? */
bool virtio_pci_is_broken(struct virtio_pci *device);

/*
 * Reads `size` bytes of the device type's configuration at `offset` in one piece,
 * that is, not from two generations (2.5.1). Returns 0, -EIO when it lies outside
 * the structure or changes all the time.
 */
int virtio_pci_read_config(struct virtio_pci *device, uint32_t offset, void *to, uint32_t size);

#endif
