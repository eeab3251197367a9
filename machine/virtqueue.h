/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device's side of a split virtqueue (Virtual I/O Device 1.1, section 2.6)
 * in the guest's memory. Everything read from there is hostile input: addresses,
 * indices, lengths and loops are checked, and what is wrong makes the call answer
 * -EINVAL, after which the device asks for a reset.
 */
#ifndef MACHINE_VIRTQUEUE_H
#define MACHINE_VIRTQUEUE_H

#include "include/bits.h"
#include "machine/guest_memory.h"

#define MACHINE_VIRTQUEUE_SIZE_MAX 256
#define MACHINE_VIRTQUEUE_SEGMENT_MAX 68 /* of one chain: a disk transfer and some more */
#define MACHINE_VIRTQUEUE_NO_VECTOR UINT16_C(0xffff)

struct machine_virtqueue {
	uint64_t descriptors_gpa; /* table of 16-byte descriptors */
	uint64_t driver_gpa;	  /* available ring, written by the driver */
	uint64_t device_gpa;	  /* used ring, written by us */
	uint16_t size;		  /* entries; a power of two */
	uint16_t size_max;	  /* what the device offers; 0: no such queue */
	uint16_t msix_vector;	  /* MACHINE_VIRTQUEUE_NO_VECTOR: none */
	uint16_t available_seen;  /* free-running: chains taken */
	uint16_t used_written;	  /* free-running: chains given back */
	uint16_t used_signalled;  /* used_written when the driver was last interrupted */
	uint8_t enabled;
	uint8_t notified;    /* the driver rang; not all is taken yet */
	uint8_t event_index; /* VIRTIO_F_EVENT_IDX was negotiated */
	uint8_t reserved;
};

struct machine_virtqueue_segment {
	uint64_t gpa; /* checked: [gpa, gpa + size) is guest memory */
	uint32_t size;
};

/* One request of the driver: first what we may read, then what we may write. */
struct machine_virtqueue_chain {
	uint16_t head;
	uint32_t readable_count;
	uint32_t writable_count;
	uint64_t readable_size; /* bytes */
	uint64_t writable_size;
	/* Readable, then writable. */
	struct machine_virtqueue_segment segments[MACHINE_VIRTQUEUE_SEGMENT_MAX];
};

/* To power-on: not enabled, `size_max` offered. */
void machine_virtqueue_reset(struct machine_virtqueue *queue, uint16_t size_max);

/* Are the three areas aligned (section 2.6) and all guest memory? Asked when the driver enables the queue. */
bool machine_virtqueue_check(const struct machine_virtqueue *queue, const struct guest_memory *memory);

/* Takes the next chain: 1, 0 when there is none, -EINVAL for one that is broken. */
int machine_virtqueue_take(struct machine_virtqueue *queue, const struct guest_memory *memory,
			   struct machine_virtqueue_chain *chain);

/* Reads the chain that begins at `head` again, for a request that was taken before. 0 or -EINVAL. */
int machine_virtqueue_chain_read(const struct machine_virtqueue *queue, const struct guest_memory *memory,
				 uint16_t head, struct machine_virtqueue_chain *chain);

/*
 * Gives a chain back with `written` bytes filled in; the driver sees it, and all
 * before it, after machine_virtqueue_publish(). 0 or -EINVAL when the used ring is
 * no memory any more.
 */
int machine_virtqueue_put(struct machine_virtqueue *queue, const struct guest_memory *memory, uint16_t head,
			  uint32_t written);
int machine_virtqueue_publish(const struct machine_virtqueue *queue, const struct guest_memory *memory);

/* After machine_virtqueue_publish: does the driver want an interrupt? Asking counts as giving it. */
bool machine_virtqueue_wants_interrupt(struct machine_virtqueue *queue, const struct guest_memory *memory);

/*
 * After a take: if that was the last chain, the driver rings for the next one, as after a take
 * that finds none, which need not be tried then.
 */
void machine_virtqueue_rest(struct machine_virtqueue *queue, const struct guest_memory *memory);

/*
 * Where [offset, offset + size) of the readable part is, when that is in one piece; else NULL.
 * What is there stays until the guest runs again.
 */
const uint8_t *machine_virtqueue_readable_at(const struct machine_virtqueue_chain *chain,
					     const struct guest_memory *memory, uint64_t offset,
					     uint64_t size);

/*
 * Copies out of the readable, or into the writable part, `offset` bytes into it.
 * Returns the bytes copied, less than `size` when the part is shorter.
 */
uint64_t machine_virtqueue_read(const struct machine_virtqueue_chain *chain,
				const struct guest_memory *memory, uint64_t offset, void *to, uint64_t size);
uint64_t machine_virtqueue_write(const struct machine_virtqueue_chain *chain,
				 const struct guest_memory *memory, uint64_t offset, const void *from,
				 uint64_t size);

#endif
