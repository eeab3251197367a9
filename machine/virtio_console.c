/* SPDX-License-Identifier: Apache-2.0 */
/* Console with one port (Virtual I/O Device 1.1, section 5.3): queue 0 receives, queue 1 transmits. */
#include "machine/virtio.h"

#include <errno.h>

#include "machine/machine.h"

#define QUEUE_RECEIVE 0
#define QUEUE_TRANSMIT 1
#define QUEUE_SIZE 64

#define OUTPUT_SIZE_MAX (4 * KIB) /* of one chain; longer ones lose their end */

static uint64_t console_features(const struct machine *machine, const struct machine_virtio_device *device)
{
	(void)machine;
	(void)device;
	return 0;
}

static void console_reset(struct machine *machine, struct machine_virtio_device *device)
{
	(void)machine;
	(void)device;
}

static uint32_t console_configuration(const struct machine *machine,
				      const struct machine_virtio_device *device, uint8_t *bytes)
{
	(void)machine;
	(void)device;
	(void)bytes;
	return 0;
}

static int console_output_take(struct machine *machine, struct machine_virtio_device *device,
			       const struct guest_memory *memory, struct machine_output *output)
{
	struct machine_virtqueue *queue = &device->queues[QUEUE_TRANSMIT];
	struct machine_virtqueue_chain chain;

	device->queues[QUEUE_RECEIVE].notified = 0; /* new buffers; input will find them */
	while (queue->notified) {
		int taken = machine_virtqueue_take(queue, memory, &chain);

		if (taken <= 0)
			return taken;
		output->kind = MACHINE_OUTPUT_VIRTIO_CONSOLE;
		output->index = device->unit;
		output->data = output->buffer;
		output->size =
			(uint32_t)machine_virtqueue_read(&chain, memory, 0, output->buffer, OUTPUT_SIZE_MAX);
		if (machine_virtio_finish(machine, device, memory, QUEUE_TRANSMIT, chain.head, 0))
			return -EINVAL;
		if (output->size)
			return 1;
	}
	return 0;
}

/* What finds no buffer is lost, as on a serial line without flow control. */
static int console_input(struct machine *machine, struct machine_virtio_device *device,
			 const struct guest_memory *memory, const struct machine_input *input)
{
	struct machine_virtqueue *queue = &device->queues[QUEUE_RECEIVE];
	struct machine_virtqueue_chain chain;
	uint32_t done = 0;

	if (!machine_virtio_is_live(machine, device) || !queue->enabled)
		return 0;
	while (done < input->size) {
		uint32_t piece;
		int taken = machine_virtqueue_take(queue, memory, &chain);

		if (taken <= 0)
			return taken;
		piece = (uint32_t)machine_virtqueue_write(&chain, memory, 0, input->data + done,
							  input->size - done);
		if (piece == 0)
			return -EINVAL; /* a receive buffer without room */
		done += piece;
		if (machine_virtio_finish(machine, device, memory, QUEUE_RECEIVE, chain.head, piece))
			return -EINVAL;
	}
	return 0;
}

const struct machine_virtio_ops machine_virtio_console_ops = {
	.name = "virtio-console",
	.device_id = 0x1043,
	.class_code = 0x078000, /* other communication controller */
	.queue_count = 2,
	.queue_sizes = { QUEUE_SIZE, QUEUE_SIZE },
	.features = console_features,
	.reset = console_reset,
	.configuration = console_configuration,
	.output_take = console_output_take,
	.input = console_input,
};
