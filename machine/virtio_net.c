/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network port (Virtual I/O Device 1.1, section 5.1): queue 0 receives, queue 1
 * transmits. No offloads: the guest makes and checks its own checksums, so that
 * what crosses the machine's border is a plain Ethernet frame.
 */
#include "machine/virtio.h"

#include <errno.h>
#include <string.h>

#include "include/byte_order.h"
#include "machine/machine.h"

#define QUEUE_RECEIVE 0
#define QUEUE_TRANSMIT 1
#define QUEUE_SIZE 256

#define F_MAC BIT(5)
#define F_MERGE BIT(15) /* a frame may fill several receive chains */
#define F_STATUS BIT(16)
#define STATUS_LINK_UP UINT16_C(1)

/* 5.1.6: before each frame, in both directions. */
#define HEADER_SIZE 12
#define HEADER_BUFFER_COUNT 10

#define FRAME_SIZE_MIN 14
#define FRAME_SIZE_MAX 9018 /* jumbo, with one VLAN tag */

static uint64_t net_features(const struct machine *machine, const struct machine_virtio_device *device)
{
	(void)machine;
	(void)device;
	return F_MAC | F_MERGE | F_STATUS;
}

/* The counters outlive the driver. */
static void net_reset(struct machine *machine, struct machine_virtio_device *device)
{
	(void)machine;
	(void)device;
}

static uint32_t net_configuration(const struct machine *machine, const struct machine_virtio_device *device,
				  uint8_t *bytes)
{
	memcpy(bytes, machine->config.net_ports[device->unit].mac, MACHINE_MAC_SIZE);
	store_le16(bytes + 6, machine->virtio.link_up[device->unit] ? STATUS_LINK_UP : 0);
	return 8;
}

/* Most frames lie in one piece, and need not be copied. */
static void frame_put(const struct machine_virtqueue_chain *chain, const struct guest_memory *memory,
		      uint32_t size, struct machine_output *output)
{
	output->size = size;
	output->data = machine_virtqueue_readable_at(chain, memory, HEADER_SIZE, size);
	if (output->data)
		return;
	output->data = output->buffer;
	output->size = (uint32_t)machine_virtqueue_read(chain, memory, HEADER_SIZE, output->buffer, size);
}

static int net_output_take(struct machine *machine, struct machine_virtio_device *device,
			   const struct guest_memory *memory, struct machine_output *output)
{
	struct machine_virtqueue *queue = &device->queues[QUEUE_TRANSMIT];
	struct machine_virtqueue_chain chain;
	int taken;

	device->queues[QUEUE_RECEIVE].notified = 0; /* new buffers; a frame will find them */
	while (queue->notified) {
		uint64_t size;

		taken = machine_virtqueue_take(queue, memory, &chain);
		if (taken <= 0)
			return taken;
		size = chain.readable_size - min_u64(chain.readable_size, HEADER_SIZE);
		if (size >= FRAME_SIZE_MIN && size <= FRAME_SIZE_MAX) {
			output->kind = MACHINE_OUTPUT_FRAME;
			output->index = device->unit;
			frame_put(&chain, memory, (uint32_t)size, output);
			machine_virtqueue_rest(queue, memory);
			return machine_virtio_finish(machine, device, memory, QUEUE_TRANSMIT, chain.head, 0)
				       ? -EINVAL
				       : 1;
		}
		device->net.transmit_dropped++;
		if (machine_virtio_finish(machine, device, memory, QUEUE_TRANSMIT, chain.head, 0))
			return -EINVAL;
	}
	return 0;
}

/*
 * Fills receive chains with header and frame. With F_MERGE as many as it needs;
 * the first one's header tells their number, so it is written last.
 */
static int net_receive(struct machine *machine, struct machine_virtio_device *device,
		       const struct guest_memory *memory, const uint8_t *frame, uint32_t size)
{
	struct machine_virtqueue *queue = &device->queues[QUEUE_RECEIVE];
	const struct machine_virtqueue before = *queue;
	struct machine_virtqueue_chain first;
	uint8_t header[HEADER_SIZE] = { 0 };
	uint16_t buffer_count = 0;
	uint32_t done = 0;

	while (buffer_count == 0 || done < size) {
		struct machine_virtqueue_chain chain;
		uint64_t offset = buffer_count == 0 ? HEADER_SIZE : 0;
		uint32_t piece;
		int taken = machine_virtqueue_take(queue, memory, &chain);

		if (taken < 0)
			return taken;
		if (taken == 0 || (buffer_count == 1 && !machine_virtio_has(device, F_MERGE))) {
			/* No room for all of it: nothing was published yet, take it all back; the frame is lost. */
			queue->available_seen = before.available_seen;
			queue->used_written = before.used_written;
			device->net.receive_dropped++;
			return 0;
		}
		if (chain.writable_size <= offset)
			return -EINVAL; /* 5.1.6.3.1: a buffer holds at least the header */
		piece = (uint32_t)machine_virtqueue_write(&chain, memory, offset, frame + done, size - done);
		done += piece;
		if (buffer_count == 0)
			first = chain;
		buffer_count++;
		if (machine_virtqueue_put(queue, memory, chain.head, (uint32_t)offset + piece))
			return -EINVAL;
	}
	store_le16(header + HEADER_BUFFER_COUNT, buffer_count);
	machine_virtqueue_write(&first, memory, 0, header, sizeof(header));
	return machine_virtio_publish(machine, device, memory, QUEUE_RECEIVE);
}

static int net_input(struct machine *machine, struct machine_virtio_device *device,
		     const struct guest_memory *memory, const struct machine_input *input)
{
	if (input->kind == MACHINE_INPUT_LINK) {
		uint8_t *link_up = &machine->virtio.link_up[device->unit];

		if (*link_up != (input->value != 0)) {
			*link_up = input->value != 0;
			machine_virtio_configuration_changed(machine, device);
		}
		return 0;
	}
	if (!machine_virtio_is_live(machine, device) || !device->queues[QUEUE_RECEIVE].enabled ||
	    input->size < FRAME_SIZE_MIN || input->size > FRAME_SIZE_MAX) {
		device->net.receive_dropped++;
		return 0;
	}
	return net_receive(machine, device, memory, input->data, input->size);
}

const struct machine_virtio_ops machine_virtio_net_ops = {
	.name = "virtio-net",
	.device_id = 0x1041,
	.class_code = 0x020000, /* Ethernet controller */
	.queue_count = 2,
	.queue_sizes = { QUEUE_SIZE, QUEUE_SIZE },
	.features = net_features,
	.reset = net_reset,
	.configuration = net_configuration,
	.output_take = net_output_take,
	.input = net_input,
};
