/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The class "disk": what every disk driver offers, polled, under the same verbs.
 * Several requests may be under way; they finish in any order. Every request
 * finishes: with data, with an error and the range that failed, or by time-out
 * and reset of the device. Removal is an error like any other.
 *
 * One processor runs everything: no driver is re-entered.
 */
#ifndef DRIVERS_DISK_H
#define DRIVERS_DISK_H

#include "include/bits.h"
#include "kernel/pci.h"

#define DISK_DEVICE_MAX 8 /* of each driver */
#define DISK_SEGMENT_MAX 32
#define DISK_SEGMENT_ALIGNMENT (4 * KIB)
#define DISK_TRANSFER_MAX (128 * KIB) /* bytes of one request; identity.transfer_max may be less */
#define DISK_QUEUE_DEPTH_MAX 64
#define DISK_TEXT_SIZE 48
#define DISK_TIMEOUT_MS 5000 /* a request unanswered so long means the device hangs */

enum disk_operation {
	DISK_READ,
	DISK_WRITE,
	DISK_FLUSH, /* all writes finished before it was submitted become durable */
};

/*
 * Memory of one request: from dma_allocate(). Together the segments are the
 * request's sectors, no more and no less. As NVMe's page lists want it, and so
 * that no caller works with one kind of disk only, in every driver: each
 * segment's address and size are multiples of 512, each but the first begins on a
 * DISK_SEGMENT_ALIGNMENT boundary, and each but the last ends on one.
 */
struct disk_segment {
	uint64_t physical;
	uint32_t size; /* bytes */
};

struct disk_device;

struct disk_request {
	/* Filled by the caller; not touched between submit and its return by poll. */
	enum disk_operation operation;
	bool write_through; /* a write is durable when it completes (FUA, or write + flush inside) */
	uint64_t sector;    /* first, in the disk's sector size; ignored by a flush */
	uint32_t sector_count;
	uint32_t segment_count; /* 0 for a flush */
	struct disk_segment segments[DISK_SEGMENT_MAX];

	/*
	 * Filled by the driver when poll hands the request back. status: 0, -EIO (the
	 * medium), -ETIMEDOUT (hung; the device was reset), -ENODEV (gone), -ECANCELED
	 * (another request's reset swept it away; it may or may not have happened).
	 */
	int status;
	uint64_t failed_sector; /* when status is not 0: the range that is in doubt */
	uint32_t failed_sector_count;

	/* The driver's own while it is under way. */
	struct disk_device *device;
	struct disk_request *next; /* in the list of finished ones */
	uint64_t deadline_ns;
	uint32_t tag;
	bool flushing; /* the write is done, the flush that makes it durable is under way */
};

struct disk_identity {
	char serial[DISK_TEXT_SIZE]; /* trimmed, NUL-terminated; "" when the disk has none */
	char model[DISK_TEXT_SIZE];
	uint64_t sector_count;
	uint32_t sector_size; /* bytes: 512 or 4096 */
	uint32_t physical_sector_size;
	uint32_t queue_depth;  /* requests that may be under way */
	uint32_t transfer_max; /* bytes of one request, at most DISK_TRANSFER_MAX */
	uint32_t segment_max;  /* segments of one request, at most DISK_SEGMENT_MAX */
	bool has_write_cache;  /* flush matters */
	bool has_write_through;
	bool read_only;
};

struct disk_statistics {
	uint64_t reads;
	uint64_t writes;
	uint64_t flushes;
	uint64_t read_bytes;
	uint64_t write_bytes;
	uint64_t errors;
	uint64_t timeouts;
	uint64_t resets;
	uint64_t device_faults; /* answers that make no sense */
};

struct disk_ops {
	const char *name; /* "ahci", "nvme", "virtio-blk" */

	/*
	 * Is `pci` one of ours? Then set up what is behind it and return how many
	 * disks there are (an AHCI controller has several), at most `device_max`,
	 * each entry of `devices` with identity filled. -ENODEV: not ours. Other
	 * errors: ours, but it does not work. Start-up only.
	 */
	int (*probe)(struct disk_device *devices, uint32_t device_max, const struct pci_device *pci);

	/*
	 * Begins to bring a hung or failed disk back: every request under way ends
	 * with -ECANCELED through poll, once the device can no longer reach its
	 * memory. poll carries the reset through; until it is over submit answers
	 * -EAGAIN, and if it fails the disk is gone. Disks behind one NVMe controller
	 * are reset together. Returns 0 or -ENODEV.
	 */
	int (*reset)(struct disk_device *device);

	/*
	 * Stops the disk for good: the device can no longer reach memory. Requests
	 * under way end with -ECANCELED through poll. Waits, at most a second. Disks
	 * behind one NVMe controller share its queues: the last one closed ends it.
	 */
	void (*close)(struct disk_device *device);

	/*
	 * Takes a request, which stays with the driver until poll hands it back. The
	 * device may not see it before start(). Returns 0; -EAGAIN when queue_depth
	 * requests are under way, their segments fill the device's ring, or the
	 * device is being reset (poll, try again); -EINVAL for a range outside the
	 * disk, memory that is not DMA memory or segments against the rules above;
	 * -EROFS for a write to a read-only disk; -ENODEV when the disk is gone.
	 */
	int (*submit)(struct disk_device *device, struct disk_request *request);

	/* One doorbell for all requests submitted since the last one. poll does it too. */
	void (*start)(struct disk_device *device);

	/*
	 * One finished request, or NULL. Also finds the ones out of time: call it
	 * often. One slow device never makes it wait.
	 */
	struct disk_request *(*poll)(struct disk_device *device);
};

struct disk_device {
	const struct disk_ops *ops;
	const struct pci_device *pci;
	uint32_t unit; /* AHCI port, NVMe namespace */
	void *driver;  /* the driver's own state */
	struct disk_identity identity;
	bool gone; /* removed, closed, or a reset failed: everything answers -ENODEV */
	struct disk_statistics statistics;
	struct disk_request *finished_first; /* waiting for poll to hand them back */
	struct disk_request *finished_last;
};

/*
 * Every disk found, in bus order. disk_probe_all() runs once at start-up, after
 * pci_init(), and tries each driver on each PCI device. Returns how many.
 */
uint32_t disk_probe_all(void);
uint32_t disk_device_count(void);
struct disk_device *disk_device_at(uint32_t index);

/*
 * Reads `sector_count` sectors to `physical`, DMA memory as of a request's one segment.
 * Start-up only, with nothing else under way: waits, but the drivers end every request
 * in their own time. Returns 0 or the error.
 */
int disk_read_and_wait(struct disk_device *disk, uint64_t sector, uint32_t sector_count, uint64_t physical);

#endif
