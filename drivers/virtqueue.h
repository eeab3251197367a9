/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver's side of a split virtqueue (Virtual I/O Device 1.2, 2.7). A request
 * is a chain of descriptors, named by its first one, its *head*: 0..size-1. The
 * caller keeps whatever belongs to a request in an array of its own by head.
 *
 *	add ... add, publish (one index store for all), notify when told to
 *	take ... take: chains come back in any order
 *
 * The device is not trusted: what it must not change (links, sizes, who owns
 * which chain) is kept in private memory and never read back from the ring.
 */
#ifndef DRIVERS_VIRTQUEUE_H
#define DRIVERS_VIRTQUEUE_H

#include "include/bits.h"
#include "kernel/dma.h"

#define VIRTQUEUE_SIZE_MAX 256

struct virtqueue_segment {
	uint64_t physical;
	uint32_t size; /* bytes */
};

struct virtqueue_descriptor {
	uint64_t physical;
	uint32_t size;
	uint16_t flags;
	uint16_t next;
};
BUILD_ASSERT(sizeof(struct virtqueue_descriptor) == 16);

struct virtqueue_available {
	uint16_t flags;
	uint16_t index; /* entries ever made available, modulo 2^16 */
	uint16_t ring[];
};
BUILD_ASSERT(offsetof(struct virtqueue_available, ring) == 4);

struct virtqueue_used_entry {
	uint32_t head;
	uint32_t size; /* bytes the device wrote into the chain */
};

struct virtqueue_used {
	uint16_t flags;
	uint16_t index; /* entries ever used, modulo 2^16 */
	struct virtqueue_used_entry ring[];
};
BUILD_ASSERT(offsetof(struct virtqueue_used, ring) == 4);

/* What we know of a descriptor, or of the chain that it heads. */
struct virtqueue_state {
	uint16_t next;		   /* within a chain, or within the free list */
	uint16_t descriptor_count; /* of the chain it heads; 0: heads none */
	uint32_t writable_size;	   /* bytes that the device may write into that chain */
};

struct virtqueue {
	uint32_t size; /* descriptors; a power of two */
	uint32_t size_allocated;
	struct dma_buffer memory;

	/* In DMA memory, shared with the device. */
	struct virtqueue_descriptor *descriptors; /* we write, it reads */
	struct virtqueue_available *available;	  /* we write, it reads */
	volatile struct virtqueue_used *used;	  /* it writes, we read */

	/* Free-running, modulo 2^16 as in the rings. */
	uint16_t added;	    /* chains ever added */
	uint16_t published; /* of those, what the device was shown */
	uint16_t used_seen; /* the device's used index when last read */
	uint16_t taken;	    /* chains ever taken back */

	uint16_t free_first;
	uint16_t free_count;
	struct virtqueue_state states[VIRTQUEUE_SIZE_MAX];
};

/*
 * Makes an empty queue of `size` descriptors (a power of two up to
 * VIRTQUEUE_SIZE_MAX). The first call takes the memory; later ones, after a
 * device reset, forget every chain and may not be larger. Returns 0, -ENOMEM,
 * -EINVAL for a bad size.
 */
int virtqueue_init(struct virtqueue *queue, uint32_t size);

/* Where the device finds the three parts. */
uint64_t virtqueue_descriptors_physical(const struct virtqueue *queue);
uint64_t virtqueue_available_physical(const struct virtqueue *queue);
uint64_t virtqueue_used_physical(const struct virtqueue *queue);

/*
 * Adds a chain: first `readable_count` segments that the device reads, then
 * `writable_count` that it writes; one at least. Returns its head, or -EAGAIN when
 * there are not enough free descriptors. Not seen by the device until publish.
 */
int virtqueue_add(struct virtqueue *queue, const struct virtqueue_segment *segments, uint32_t readable_count,
		  uint32_t writable_count);

/* The head that the next virtqueue_add() returns; only when free_count is not 0. */
static inline uint16_t virtqueue_next_head(const struct virtqueue *queue)
{
	return queue->free_first;
}

/* Shows all added chains to the device. Returns true when it wants a notification. */
bool virtqueue_publish(struct virtqueue *queue);

/*
 * Takes back one finished chain: 1 with its head and the bytes that the device
 * says it wrote (never more than it could), 0 when there is none, -EIO when the
 * device named a chain that it does not have (a chain added but not yet published
 * passes: harmless, the count still bounds it), finished more chains than it was
 * given or wrote more than it may: only a device reset and virtqueue_init() help.
 */
int virtqueue_take(struct virtqueue *queue, uint16_t *head, uint32_t *written_size);

/* Chains that the device has or could have. */
static inline uint32_t virtqueue_in_flight(const struct virtqueue *queue)
{
	return (uint16_t)(queue->added - queue->taken);
}

#endif
