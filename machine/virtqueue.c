/* SPDX-License-Identifier: Apache-2.0 */
/* The device's side of a split virtqueue; see virtqueue.h. Section numbers are of Virtual I/O Device 1.1. */
#include "machine/virtqueue.h"

#include <errno.h>
#include <string.h>

#include "include/byte_order.h"
#include "include/trace.h"

TRACE_FILE("machine", TRACE_INFO);

/* 2.6.5: the descriptor. */
struct descriptor {
	uint64_t gpa;
	uint32_t size;
	uint16_t flags;
	uint16_t next;
};
BUILD_ASSERT(sizeof(struct descriptor) == 16);

#define DESCRIPTOR_NEXT UINT16_C(1)
#define DESCRIPTOR_WRITE UINT16_C(2)
#define DESCRIPTOR_INDIRECT UINT16_C(4)

/* 2.6.6 and 2.6.8: flags, index, ring of `size` entries, event index. */
#define DRIVER_FLAGS 0
#define DRIVER_INDEX 2
#define DRIVER_RING 4
#define DRIVER_NO_INTERRUPT UINT16_C(1)
#define DEVICE_INDEX 2
#define DEVICE_RING 4
#define DEVICE_ENTRY_SIZE 8

static uint64_t driver_area_size(const struct machine_virtqueue *queue)
{
	return DRIVER_RING + 2 * (uint64_t)queue->size + 2;
}

static uint64_t device_area_size(const struct machine_virtqueue *queue)
{
	return DEVICE_RING + DEVICE_ENTRY_SIZE * (uint64_t)queue->size + 2;
}

static const uint8_t *driver_area(const struct machine_virtqueue *queue, const struct guest_memory *memory)
{
	return guest_memory_at(memory, queue->driver_gpa, driver_area_size(queue));
}

static uint8_t *device_area(const struct machine_virtqueue *queue, const struct guest_memory *memory)
{
	return guest_memory_to_write(memory, queue->device_gpa, device_area_size(queue));
}

void machine_virtqueue_reset(struct machine_virtqueue *queue, uint16_t size_max)
{
	memset(queue, 0, sizeof(*queue));
	queue->size_max = size_max;
	queue->size = size_max;
	queue->msix_vector = MACHINE_VIRTQUEUE_NO_VECTOR;
}

bool machine_virtqueue_check(const struct machine_virtqueue *queue, const struct guest_memory *memory)
{
	return is_power_of_two(queue->size) && queue->size <= queue->size_max &&
	       is_aligned(queue->descriptors_gpa, 16) && is_aligned(queue->driver_gpa, 2) &&
	       is_aligned(queue->device_gpa, 4) &&
	       guest_memory_at(memory, queue->descriptors_gpa, 16 * (uint64_t)queue->size) &&
	       driver_area(queue, memory) && device_area(queue, memory);
}

/* Adds one descriptor's memory to the chain: readable before writable (2.6.4.2). */
static int chain_add(struct machine_virtqueue_chain *chain, const struct guest_memory *memory,
		     const struct descriptor *descriptor)
{
	uint32_t count = chain->readable_count + chain->writable_count;

	if (count == MACHINE_VIRTQUEUE_SEGMENT_MAX)
		return trace_error(-EINVAL);
	if (!guest_memory_at(memory, descriptor->gpa, descriptor->size))
		return trace_error(-EINVAL);
	if (descriptor->flags & DESCRIPTOR_WRITE) {
		chain->writable_count++;
		chain->writable_size += descriptor->size;
	} else {
		if (chain->writable_count)
			return trace_error(-EINVAL);
		chain->readable_count++;
		chain->readable_size += descriptor->size;
	}
	chain->segments[count] =
		(struct machine_virtqueue_segment){ .gpa = descriptor->gpa, .size = descriptor->size };
	return 0;
}

/* Walks a table of `count` descriptors from `index`; a loop ends at `count` steps. */
static int chain_walk(struct machine_virtqueue_chain *chain, const struct guest_memory *memory,
		      const uint8_t *table, uint32_t count, uint32_t index)
{
	for (uint32_t step = 0; step < count; step++) {
		struct descriptor descriptor;
		int error;

		if (index >= count)
			return trace_error(-EINVAL);
		memcpy(&descriptor, table + 16 * (uint64_t)index, sizeof(descriptor));
		if (descriptor.flags & DESCRIPTOR_INDIRECT)
			return trace_error(-EINVAL); /* in a table or behind others: 2.6.5.3.1 */
		error = chain_add(chain, memory, &descriptor);
		if (error)
			return error;
		if (!(descriptor.flags & DESCRIPTOR_NEXT))
			return 0;
		index = descriptor.next;
	}
	return trace_error(-EINVAL);
}

/* 2.6.5.3: the whole chain may lie in a table of its own. */
static int chain_walk_indirect(struct machine_virtqueue_chain *chain, const struct guest_memory *memory,
			       const struct descriptor *outer)
{
	const uint8_t *table = guest_memory_at(memory, outer->gpa, outer->size);

	if (!table || outer->size == 0 || outer->size % 16 != 0 || (outer->flags & DESCRIPTOR_NEXT))
		return trace_error(-EINVAL);
	return chain_walk(chain, memory, table, outer->size / 16, 0);
}

int machine_virtqueue_chain_read(const struct machine_virtqueue *queue, const struct guest_memory *memory,
				 uint16_t head, struct machine_virtqueue_chain *chain)
{
	const uint8_t *table = guest_memory_at(memory, queue->descriptors_gpa, 16 * (uint64_t)queue->size);
	struct descriptor first;

	chain->head = head;
	chain->readable_count = 0;
	chain->writable_count = 0;
	chain->readable_size = 0;
	chain->writable_size = 0;
	if (!table || head >= queue->size)
		return trace_error(-EINVAL);
	memcpy(&first, table + 16 * (uint64_t)head, sizeof(first));
	if (first.flags & DESCRIPTOR_INDIRECT)
		return chain_walk_indirect(chain, memory, &first);
	return chain_walk(chain, memory, table, queue->size, head);
}

/* 2.6.7.2: ring for the very next one. Nothing runs between this store and the guest. */
static void rest(struct machine_virtqueue *queue, uint8_t *device)
{
	if (queue->event_index)
		store_le16(device + DEVICE_RING + DEVICE_ENTRY_SIZE * (uint64_t)queue->size,
			   queue->available_seen);
	queue->notified = 0;
}

void machine_virtqueue_rest(struct machine_virtqueue *queue, const struct guest_memory *memory)
{
	const uint8_t *driver = driver_area(queue, memory);
	uint8_t *device = device_area(queue, memory);

	if (driver && device && load_le16(driver + DRIVER_INDEX) == queue->available_seen)
		rest(queue, device);
}

int machine_virtqueue_take(struct machine_virtqueue *queue, const struct guest_memory *memory,
			   struct machine_virtqueue_chain *chain)
{
	const uint8_t *driver = driver_area(queue, memory);
	uint8_t *device = device_area(queue, memory);
	uint16_t waiting;
	uint16_t slot = queue->available_seen & (uint16_t)(queue->size - 1);

	if (!driver || !device)
		return trace_error(-EINVAL);
	waiting = (uint16_t)(load_le16(driver + DRIVER_INDEX) - queue->available_seen);
	if (waiting > queue->size)
		return trace_error(-EINVAL); /* more than the ring holds */
	if (waiting == 0) {
		rest(queue, device);
		return 0;
	}
	queue->available_seen++;
	if (machine_virtqueue_chain_read(queue, memory, load_le16(driver + DRIVER_RING + 2 * (uint64_t)slot),
					 chain))
		return -EINVAL;
	return 1;
}

int machine_virtqueue_put(struct machine_virtqueue *queue, const struct guest_memory *memory, uint16_t head,
			  uint32_t written)
{
	uint8_t *device = device_area(queue, memory);
	uint8_t *entry;

	if (!device)
		return trace_error(-EINVAL);
	entry = device + DEVICE_RING +
		DEVICE_ENTRY_SIZE * (uint64_t)(queue->used_written & (queue->size - 1));
	store_le32(entry, head);
	store_le32(entry + 4, written);
	queue->used_written++;
	return 0;
}

int machine_virtqueue_publish(const struct machine_virtqueue *queue, const struct guest_memory *memory)
{
	uint8_t *device = device_area(queue, memory);

	if (!device)
		return trace_error(-EINVAL);
	store_le16(device + DEVICE_INDEX, queue->used_written);
	return 0;
}

bool machine_virtqueue_wants_interrupt(struct machine_virtqueue *queue, const struct guest_memory *memory)
{
	const uint8_t *driver = driver_area(queue, memory);
	uint16_t before = queue->used_signalled;
	uint16_t event;

	if (!driver || before == queue->used_written)
		return false;
	queue->used_signalled = queue->used_written;
	if (!queue->event_index)
		return !(load_le16(driver + DRIVER_FLAGS) & DRIVER_NO_INTERRUPT);
	/* 2.6.7.2: was the entry that the driver named among those just written? */
	event = load_le16(driver + DRIVER_RING + 2 * (uint64_t)queue->size);
	return (uint16_t)(queue->used_written - event - 1) < (uint16_t)(queue->used_written - before);
}

/* Copies between `bytes` and segments [first, first + count), `offset` bytes into them. */
static uint64_t segments_copy(const struct machine_virtqueue_segment *segments, uint32_t count,
			      const struct guest_memory *memory, uint64_t offset, uint8_t *bytes,
			      uint64_t size, bool into_guest)
{
	uint64_t copied = 0;

	for (uint32_t i = 0; i < count && copied < size; i++) {
		uint64_t piece;

		if (offset >= segments[i].size) {
			offset -= segments[i].size;
			continue;
		}
		piece = min_u64(segments[i].size - offset, size - copied);
		if (into_guest ? !guest_memory_write(memory, segments[i].gpa + offset, bytes + copied, piece)
			       : !guest_memory_read(memory, segments[i].gpa + offset, bytes + copied, piece))
			break;
		copied += piece;
		offset = 0;
	}
	return copied;
}

const uint8_t *machine_virtqueue_readable_at(const struct machine_virtqueue_chain *chain,
					     const struct guest_memory *memory, uint64_t offset,
					     uint64_t size)
{
	for (uint32_t i = 0; i < chain->readable_count; i++) {
		const struct machine_virtqueue_segment *segment = &chain->segments[i];

		if (offset < segment->size)
			return range_fits(offset, size, segment->size)
				       ? guest_memory_at(memory, segment->gpa + offset, size)
				       : NULL;
		offset -= segment->size;
	}
	return NULL;
}

uint64_t machine_virtqueue_read(const struct machine_virtqueue_chain *chain,
				const struct guest_memory *memory, uint64_t offset, void *to, uint64_t size)
{
	return segments_copy(chain->segments, chain->readable_count, memory, offset, to, size, false);
}

uint64_t machine_virtqueue_write(const struct machine_virtqueue_chain *chain,
				 const struct guest_memory *memory, uint64_t offset, const void *from,
				 uint64_t size)
{
	/* into_guest only reads `from`; the cast spares a twin of segments_copy. */
	return segments_copy(chain->segments + chain->readable_count, chain->writable_count, memory, offset,
			     (uint8_t *)(uintptr_t)from, size, true);
}
