/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entropy source (Virtual I/O Device 1.1, section 5.4). The bytes come from
 * outside as a logged input, so both replicas give the guest the same ones. One
 * request is asked for at a time.
 */
#include "machine/virtio.h"

#include <errno.h>
#include <string.h>

#include "machine/machine.h"

#define QUEUE_REQUEST 0
#define QUEUE_SIZE 16

static uint64_t rng_features(const struct machine *machine, const struct machine_virtio_device *device)
{
	(void)machine;
	(void)device;
	return 0;
}

static void rng_reset(struct machine *machine, struct machine_virtio_device *device)
{
	(void)machine;
	memset(&device->rng, 0, sizeof(device->rng));
}

static uint32_t rng_configuration(const struct machine *machine, const struct machine_virtio_device *device,
				  uint8_t *bytes)
{
	(void)machine;
	(void)device;
	(void)bytes;
	return 0;
}

static int rng_output_take(struct machine *machine, struct machine_virtio_device *device,
			   const struct guest_memory *memory, struct machine_output *output)
{
	struct machine_virtqueue *queue = &device->queues[QUEUE_REQUEST];
	struct machine_virtqueue_chain chain;
	int taken;

	(void)machine;
	if (device->rng.waiting) {
		queue->notified = 0; /* looked at again when the entropy comes */
		return 0;
	}
	taken = machine_virtqueue_take(queue, memory, &chain);
	if (taken <= 0)
		return taken;
	if (chain.writable_size == 0)
		return -EINVAL; /* 5.4.6: a request is one writable buffer */
	device->rng.waiting = 1;
	device->rng.head = chain.head;
	device->rng.size = (uint32_t)min_u64(chain.writable_size, MACHINE_ENTROPY_MAX);
	output->kind = MACHINE_OUTPUT_ENTROPY;
	output->index = device->unit;
	output->value = device->rng.size;
	output->size = 0;
	return 1;
}

static int rng_input(struct machine *machine, struct machine_virtio_device *device,
		     const struct guest_memory *memory, const struct machine_input *input)
{
	struct machine_virtqueue *queue = &device->queues[QUEUE_REQUEST];
	struct machine_virtqueue_chain chain;
	uint32_t written;

	if (!device->rng.waiting || !machine_virtio_is_live(machine, device))
		return 0; /* the driver has reset the device since it asked */
	device->rng.waiting = 0;
	if (machine_virtqueue_chain_read(queue, memory, device->rng.head, &chain))
		return -EINVAL;
	written = (uint32_t)machine_virtqueue_write(&chain, memory, 0, input->data,
						    min_u64(input->size, device->rng.size));
	queue->notified = 1; /* more may be waiting */
	return machine_virtio_finish(machine, device, memory, QUEUE_REQUEST, chain.head, written);
}

const struct machine_virtio_ops machine_virtio_rng_ops = {
	.name = "virtio-rng",
	.device_id = 0x1044,
	.class_code = 0x00ff00, /* no class of its own */
	.queue_count = 1,
	.queue_sizes = { QUEUE_SIZE },
	.features = rng_features,
	.reset = rng_reset,
	.configuration = rng_configuration,
	.output_take = rng_output_take,
	.input = rng_input,
};
