/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Split virtqueue, driver's side (Virtual I/O Device 1.2, 2.7). One piece of DMA
 * memory holds the three parts:
 *
 *	0                 16 * size          + 4 + 2 * size, rounded up to 64
 *	| descriptors ... | available ring   | used ring (4 + 8 * size) |
 *
 * All counters run freely modulo 2^16; a slot is counter % size. The invariant
 * taken <= used_seen <= published <= added (in that circle) is what makes a
 * device's index believable or not.
 */
#include "drivers/virtqueue.h"

#include <errno.h>
#include <string.h>

#include "include/assert.h"
#include "include/trace.h"
#include "kernel/mmio.h"

TRACE_FILE("virtio", TRACE_INFO);

#define DESCRIPTOR_NEXT 1	 /* flags: `next` is valid (2.7.5) */
#define DESCRIPTOR_WRITE 2	 /* flags: the device writes */
#define AVAILABLE_NO_INTERRUPT 1 /* 2.7.6: we poll */
#define USED_NO_NOTIFY 1	 /* 2.7.8: it polls just now */

#define RING_ALIGNMENT 64

static uint64_t available_offset(uint32_t size)
{
	return size * sizeof(struct virtqueue_descriptor);
}

static uint64_t used_offset(uint32_t size)
{
	return align_up(available_offset(size) + sizeof(struct virtqueue_available) + size * sizeof(uint16_t),
			RING_ALIGNMENT);
}

static uint64_t memory_size(uint32_t size)
{
	return used_offset(size) + sizeof(struct virtqueue_used) + size * sizeof(struct virtqueue_used_entry);
}

int virtqueue_init(struct virtqueue *queue, uint32_t size)
{
	int status;

	if (!is_power_of_two(size) || size > VIRTQUEUE_SIZE_MAX)
		return trace_error(-EINVAL);
	if (queue->size_allocated == 0) {
		status = dma_allocate(&queue->memory, memory_size(size), 4096);
		if (status)
			return status;
		queue->size_allocated = size;
	}
	if (size > queue->size_allocated)
		return trace_error(-EINVAL);

	memset(queue->memory.address, 0, queue->memory.size);
	queue->size = size;
	queue->descriptors = queue->memory.address;
	queue->available = (void *)((char *)queue->memory.address + available_offset(size));
	queue->used = (void *)((char *)queue->memory.address + used_offset(size));
	queue->available->flags = AVAILABLE_NO_INTERRUPT;

	queue->added = queue->published = queue->used_seen = queue->taken = 0;
	queue->free_first = 0;
	queue->free_count = (uint16_t)size;
	memset(queue->states, 0, sizeof(queue->states));
	for (uint32_t i = 0; i < size; i++)
		queue->states[i].next = (uint16_t)(i + 1);
	return 0;
}

uint64_t virtqueue_descriptors_physical(const struct virtqueue *queue)
{
	return queue->memory.physical;
}

uint64_t virtqueue_available_physical(const struct virtqueue *queue)
{
	return queue->memory.physical + available_offset(queue->size);
}

uint64_t virtqueue_used_physical(const struct virtqueue *queue)
{
	return queue->memory.physical + used_offset(queue->size);
}

int virtqueue_add(struct virtqueue *queue, const struct virtqueue_segment *segments, uint32_t readable_count,
		  uint32_t writable_count)
{
	uint32_t count = readable_count + writable_count;
	uint16_t head = queue->free_first;
	uint16_t index = head;
	uint32_t writable_size = 0;

	ASSERT(count > 0);
	if (count > queue->free_count)
		return -EAGAIN;
	for (uint32_t i = 0; i < count; i++) {
		struct virtqueue_descriptor *descriptor = &queue->descriptors[index];
		uint16_t next = queue->states[index].next;
		uint16_t flags = i + 1 < count ? DESCRIPTOR_NEXT : 0;

		if (i >= readable_count) {
			flags |= DESCRIPTOR_WRITE;
			writable_size += segments[i].size;
		}
		descriptor->physical = segments[i].physical;
		descriptor->size = segments[i].size;
		descriptor->flags = flags;
		descriptor->next = next;
		index = next;
	}
	queue->free_first = index;
	queue->free_count = (uint16_t)(queue->free_count - count);
	queue->states[head].descriptor_count = (uint16_t)count;
	queue->states[head].writable_size = writable_size;
	queue->available->ring[queue->added & (queue->size - 1)] = head;
	queue->added++;
	return head;
}

bool virtqueue_publish(struct virtqueue *queue)
{
	if (queue->published == queue->added)
		return false;
	/* The descriptors and ring entries before the index that makes them valid (2.7.13.3). */
	dma_write_barrier();
	*(volatile uint16_t *)&queue->available->index = queue->added;
	queue->published = queue->added;
	/*
	 * The index before reading the flag: else the device could go to sleep
	 * between our old look at the flag and its own last look at the index.
	 */
	dma_full_barrier();
	return !(queue->used->flags & USED_NO_NOTIFY);
}

/* Puts the chain at `head` back on the free list. */
static void chain_free(struct virtqueue *queue, uint16_t head)
{
	struct virtqueue_state *state = &queue->states[head];
	uint16_t last = head;

	for (uint32_t i = 1; i < state->descriptor_count; i++)
		last = queue->states[last].next;
	queue->states[last].next = queue->free_first;
	queue->free_first = head;
	queue->free_count = (uint16_t)(queue->free_count + state->descriptor_count);
	state->descriptor_count = 0;
}

int virtqueue_take(struct virtqueue *queue, uint16_t *head, uint32_t *written_size)
{
	const volatile struct virtqueue_used_entry *entry;
	uint32_t entry_head;
	uint32_t entry_size;

	if (queue->used_seen == queue->taken) {
		uint16_t used = queue->used->index;

		if (used == queue->taken)
			return 0;
		if ((uint16_t)(used - queue->taken) > (uint16_t)(queue->published - queue->taken))
			return trace_error(-EIO);
		queue->used_seen = used;
		/* The index before the entries that it makes valid (2.7.14). */
		dma_read_barrier();
	}
	entry = &queue->used->ring[queue->taken & (queue->size - 1)];
	entry_head = entry->head;
	entry_size = entry->size;
	if (entry_head >= queue->size || queue->states[entry_head].descriptor_count == 0)
		return trace_error(-EIO);
	if (entry_size > queue->states[entry_head].writable_size)
		return trace_error(-EIO);
	chain_free(queue, (uint16_t)entry_head);
	queue->taken++;
	*head = (uint16_t)entry_head;
	*written_size = entry_size;
	return 1;
}
