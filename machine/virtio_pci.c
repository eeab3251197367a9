/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all virtio devices share: the modern PCI transport. Section numbers are of
 * Virtual I/O Device 1.1.
 */
#include "machine/virtio.h"

#include <string.h>

#include "include/assert.h"
#include "include/byte_order.h"
#include "include/trace.h"
#include "machine/machine.h"

BUILD_ASSERT(ARRAY_SIZE(((struct machine_virtio *)0)->link_up) == MACHINE_NET_PORT_MAX);

TRACE_FILE("machine", TRACE_INFO);

#define VENDOR_VIRTIO 0x1af4

#define REGION_COMMON 0x0000
#define REGION_INTERRUPT 0x1000
#define REGION_DEVICE 0x2000
#define REGION_MSIX_TABLE 0x3000
#define REGION_MSIX_PENDING 0x4000
#define REGION_SIZE 0x1000
#define NOTIFY_MULTIPLIER 4
BUILD_ASSERT(MACHINE_VIRTIO_QUEUE_MAX *NOTIFY_MULTIPLIER <= MACHINE_VIRTIO_PORT_BAR_SIZE);

/* 4.1.4: types of the vendor capability. */
#define CAPABILITY_VENDOR 0x09
#define CAPABILITY_COMMON 1
#define CAPABILITY_NOTIFY 2
#define CAPABILITY_INTERRUPT 3
#define CAPABILITY_DEVICE 4

/* 4.1.4.3: the common configuration structure. */
#define COMMON_DEVICE_FEATURE_SELECT 0x00
#define COMMON_DEVICE_FEATURE 0x04
#define COMMON_DRIVER_FEATURE_SELECT 0x08
#define COMMON_DRIVER_FEATURE 0x0c
#define COMMON_MSIX_CONFIG 0x10
#define COMMON_NUM_QUEUES 0x12
#define COMMON_DEVICE_STATUS 0x14
#define COMMON_CONFIG_GENERATION 0x15
#define COMMON_QUEUE_SELECT 0x16
#define COMMON_QUEUE_SIZE 0x18
#define COMMON_QUEUE_MSIX_VECTOR 0x1a
#define COMMON_QUEUE_ENABLE 0x1c
#define COMMON_QUEUE_NOTIFY_OFF 0x1e
#define COMMON_QUEUE_DESC 0x20
#define COMMON_QUEUE_DRIVER 0x28
#define COMMON_QUEUE_DEVICE 0x30

#define INTERRUPT_QUEUE UINT8_C(1)
#define INTERRUPT_CONFIGURATION UINT8_C(2)

static const struct machine_virtio_ops *const kinds[MACHINE_VIRTIO_KIND_COUNT] = {
	[MACHINE_VIRTIO_NET] = &machine_virtio_net_ops,
	[MACHINE_VIRTIO_BLK] = &machine_virtio_blk_ops,
	[MACHINE_VIRTIO_CONSOLE] = &machine_virtio_console_ops,
	[MACHINE_VIRTIO_RNG] = &machine_virtio_rng_ops,
};

static const struct machine_virtio_ops *ops_of(const struct machine_virtio_device *device)
{
	return kinds[device->kind];
}

/* ---- set-up ---- */

/* Sizes are with the id and next bytes. */
static void capability_add(struct machine *machine, uint32_t function, uint8_t type, uint32_t offset)
{
	uint8_t body[14] = { 16, type, MACHINE_VIRTIO_BAR };

	store_le32(body + 6, offset);
	store_le32(body + 10, REGION_SIZE);
	machine_pci_capability_add(machine, function, CAPABILITY_VENDOR, body, 16);
}

static void notify_capability_add(struct machine *machine, uint32_t function)
{
	uint8_t body[18] = { 20, CAPABILITY_NOTIFY, MACHINE_VIRTIO_PORT_BAR };

	store_le32(body + 10, MACHINE_VIRTIO_PORT_BAR_SIZE);
	store_le32(body + 14, NOTIFY_MULTIPLIER);
	machine_pci_capability_add(machine, function, CAPABILITY_VENDOR, body, 20);
}

static void function_add(struct machine *machine, struct machine_virtio_device *device, uint32_t slot)
{
	const struct machine_virtio_ops *ops = ops_of(device);
	const struct machine_pci_identity identity = {
		.vendor = VENDOR_VIRTIO,
		.device = ops->device_id,
		.subsystem_vendor = VENDOR_VIRTIO,
		.subsystem = ops->device_id,
		.class_code = ops->class_code,
		.revision = 1, /* 4.1.2.1: not transitional */
		.interrupt_pin = 1,
	};

	device->function = machine_pci_function_add(machine, MACHINE_PCI_DEVFN(slot, 0), &identity);
	machine_pci_bar_add(machine, device->function, MACHINE_VIRTIO_BAR, MACHINE_VIRTIO_BAR_SIZE, false);
	machine_pci_bar_add(machine, device->function, MACHINE_VIRTIO_PORT_BAR, MACHINE_VIRTIO_PORT_BAR_SIZE,
			    true);
	capability_add(machine, device->function, CAPABILITY_COMMON, REGION_COMMON);
	capability_add(machine, device->function, CAPABILITY_INTERRUPT, REGION_INTERRUPT);
	capability_add(machine, device->function, CAPABILITY_DEVICE, REGION_DEVICE);
	notify_capability_add(machine, device->function);
	machine_pci_msix_add(machine, device->function, 1 + (uint32_t)ops->queue_count, MACHINE_VIRTIO_BAR,
			     REGION_MSIX_TABLE, REGION_MSIX_PENDING);
}

/* 2.1 and 2.4: as the driver finds it after writing 0 to the status. */
static void device_reset(struct machine *machine, struct machine_virtio_device *device)
{
	const struct machine_virtio_ops *ops = ops_of(device);

	device->status = 0;
	device->interrupt_status = 0;
	device->queue_selected = 0;
	device->configuration_vector = MACHINE_VIRTQUEUE_NO_VECTOR;
	device->device_features_selected = 0;
	device->driver_features_selected = 0;
	device->driver_features = 0;
	for (uint32_t queue = 0; queue < MACHINE_VIRTIO_QUEUE_MAX; queue++)
		machine_virtqueue_reset(&device->queues[queue], ops->queue_sizes[queue]);
	ops->reset(machine, device);
	machine_pci_intx_set(machine, device->function, false);
}

static void device_add(struct machine *machine, enum machine_virtio_kind kind, uint32_t unit)
{
	struct machine_virtio *virtio = &machine->virtio;
	struct machine_virtio_device *device = &virtio->devices[virtio->device_count];
	uint32_t slot = MACHINE_PCI_VIRTIO_SLOT_FIRST + virtio->device_count;

	ASSERT(virtio->device_count < MACHINE_VIRTIO_DEVICE_MAX);
	virtio->device_count++;
	device->kind = (uint8_t)kind;
	device->unit = (uint8_t)unit;
	device->queue_count = ops_of(device)->queue_count;
	function_add(machine, device, slot);
	device_reset(machine, device);
}

void machine_virtio_init(struct machine *machine)
{
	memset(machine->virtio.devices, 0, sizeof(machine->virtio.devices));
	machine->virtio.device_count = 0;
	machine->virtio.rung = 0;
	for (uint32_t disk = 0; disk < machine->config.disk_count; disk++)
		device_add(machine, MACHINE_VIRTIO_BLK, disk);
	for (uint32_t port = 0; port < machine->config.net_port_count; port++)
		device_add(machine, MACHINE_VIRTIO_NET, port);
	if (machine->config.has_virtio_console)
		device_add(machine, MACHINE_VIRTIO_CONSOLE, 0);
	device_add(machine, MACHINE_VIRTIO_RNG, 0);
}

uint32_t machine_virtio_find(const struct machine *machine, uint32_t function)
{
	uint32_t index = 0;

	while (index < machine->virtio.device_count && machine->virtio.devices[index].function != function)
		index++;
	return index < machine->virtio.device_count ? index : MACHINE_VIRTIO_DEVICE_MAX;
}

/* ---- interrupts ---- */

static void interrupt(struct machine *machine, struct machine_virtio_device *device, uint8_t cause,
		      uint16_t vector)
{
	if (machine_pci_msix_enabled(machine, device->function)) {
		if (vector != MACHINE_VIRTQUEUE_NO_VECTOR)
			machine_pci_msix_send(machine, device->function, vector);
		return;
	}
	device->interrupt_status |= cause;
	machine_pci_intx_set(machine, device->function, true);
}

int machine_virtio_publish(struct machine *machine, struct machine_virtio_device *device,
			   const struct guest_memory *memory, uint32_t queue)
{
	int error = machine_virtqueue_publish(&device->queues[queue], memory);

	if (!error && machine_virtqueue_wants_interrupt(&device->queues[queue], memory))
		interrupt(machine, device, INTERRUPT_QUEUE, device->queues[queue].msix_vector);
	return error;
}

int machine_virtio_finish(struct machine *machine, struct machine_virtio_device *device,
			  const struct guest_memory *memory, uint32_t queue, uint16_t head, uint32_t written)
{
	int error = machine_virtqueue_put(&device->queues[queue], memory, head, written);

	return error ? error : machine_virtio_publish(machine, device, memory, queue);
}

void machine_virtio_configuration_changed(struct machine *machine, struct machine_virtio_device *device)
{
	device->configuration_generation++;
	if (device->status & MACHINE_VIRTIO_STATUS_DRIVER_OK)
		interrupt(machine, device, INTERRUPT_CONFIGURATION, device->configuration_vector);
}

/* 2.1.2: the driver broke the rules; the device waits for its reset. */
static void device_break(struct machine *machine, struct machine_virtio_device *device, const char *what)
{
	trace(TRACE_WARNING, "guest: %s %u: %s: device needs reset", ops_of(device)->name, device->unit,
	      what);
	device->faults++;
	device->status |= MACHINE_VIRTIO_STATUS_NEEDS_RESET;
	for (uint32_t queue = 0; queue < device->queue_count; queue++)
		device->queues[queue].notified = 0;
	machine_virtio_configuration_changed(machine, device);
}

bool machine_virtio_is_live(const struct machine *machine, const struct machine_virtio_device *device)
{
	return (device->status & MACHINE_VIRTIO_STATUS_DRIVER_OK) &&
	       !(device->status & MACHINE_VIRTIO_STATUS_NEEDS_RESET) &&
	       machine_pci_is_master(machine, device->function);
}

/* ---- common configuration (4.1.4.3) ---- */

static uint64_t offered_features(const struct machine *machine, const struct machine_virtio_device *device)
{
	return MACHINE_VIRTIO_F_VERSION_1 | MACHINE_VIRTIO_F_INDIRECT | MACHINE_VIRTIO_F_EVENT_INDEX |
	       ops_of(device)->features(machine, device);
}

static struct machine_virtqueue *selected_queue(struct machine_virtio_device *device)
{
	return device->queue_selected < device->queue_count ? &device->queues[device->queue_selected] : NULL;
}

/* The fields of the selected queue. A queue that is not there has size 0 (4.1.4.3.2). */
static uint64_t queue_field_read(struct machine_virtio_device *device, uint32_t offset)
{
	const struct machine_virtqueue *queue = selected_queue(device);

	if (!queue)
		return offset == COMMON_QUEUE_MSIX_VECTOR ? MACHINE_VIRTQUEUE_NO_VECTOR : 0;
	switch (offset) {
	case COMMON_QUEUE_SIZE:
		return queue->size;
	case COMMON_QUEUE_MSIX_VECTOR:
		return queue->msix_vector;
	case COMMON_QUEUE_ENABLE:
		return queue->enabled;
	case COMMON_QUEUE_NOTIFY_OFF:
		return device->queue_selected;
	case COMMON_QUEUE_DESC:
		return queue->descriptors_gpa;
	case COMMON_QUEUE_DESC + 4:
		return queue->descriptors_gpa >> 32;
	case COMMON_QUEUE_DRIVER:
		return queue->driver_gpa;
	case COMMON_QUEUE_DRIVER + 4:
		return queue->driver_gpa >> 32;
	case COMMON_QUEUE_DEVICE:
		return queue->device_gpa;
	case COMMON_QUEUE_DEVICE + 4:
		return queue->device_gpa >> 32;
	default:
		return 0;
	}
}

static uint64_t common_read(struct machine *machine, struct machine_virtio_device *device, uint32_t offset)
{
	switch (offset) {
	case COMMON_DEVICE_FEATURE_SELECT:
		return device->device_features_selected;
	case COMMON_DEVICE_FEATURE:
		return device->device_features_selected > 1
			       ? 0
			       : offered_features(machine, device) >> (32 * device->device_features_selected);
	case COMMON_DRIVER_FEATURE_SELECT:
		return device->driver_features_selected;
	case COMMON_DRIVER_FEATURE:
		return device->driver_features_selected > 1
			       ? 0
			       : device->driver_features >> (32 * device->driver_features_selected);
	case COMMON_MSIX_CONFIG:
		return device->configuration_vector;
	case COMMON_NUM_QUEUES:
		return device->queue_count;
	case COMMON_DEVICE_STATUS:
		return device->status;
	case COMMON_CONFIG_GENERATION:
		return device->configuration_generation;
	case COMMON_QUEUE_SELECT:
		return device->queue_selected;
	default:
		return queue_field_read(device, offset);
	}
}

/* A vector that the function does not have reads back as none (4.1.5.1.2). */
static uint16_t checked_vector(const struct machine_virtio_device *device, uint64_t vector)
{
	return vector <= device->queue_count ? (uint16_t)vector : MACHINE_VIRTQUEUE_NO_VECTOR;
}

static void driver_features_write(struct machine_virtio_device *device, uint64_t value)
{
	uint32_t shift = 32 * device->driver_features_selected;

	/* 2.2.1: fixed once FEATURES_OK is set. */
	if (device->driver_features_selected > 1 || (device->status & MACHINE_VIRTIO_STATUS_FEATURES_OK))
		return;
	device->driver_features &= ~(UINT64_C(0xffffffff) << shift);
	device->driver_features |= (value & UINT64_C(0xffffffff)) << shift;
}

static void status_write(struct machine *machine, struct machine_virtio_device *device, uint8_t value)
{
	if (value == 0) {
		device_reset(machine, device);
		return;
	}
	/* 3.1.1 step 5: FEATURES_OK stays clear when the driver wants what was not offered, or legacy. */
	if ((value & MACHINE_VIRTIO_STATUS_FEATURES_OK) &&
	    !(device->status & MACHINE_VIRTIO_STATUS_FEATURES_OK) &&
	    ((device->driver_features & ~offered_features(machine, device)) ||
	     !machine_virtio_has(device, MACHINE_VIRTIO_F_VERSION_1)))
		value &= (uint8_t)~MACHINE_VIRTIO_STATUS_FEATURES_OK;
	device->status = (uint8_t)(value | (device->status & MACHINE_VIRTIO_STATUS_NEEDS_RESET));
}

static void queue_enable(struct machine *machine, struct machine_virtio_device *device,
			 const struct guest_memory *memory, struct machine_virtqueue *queue)
{
	if (!machine_virtqueue_check(queue, memory)) {
		device_break(machine, device, "queue outside memory, unaligned or of a wrong size");
		return;
	}
	queue->event_index = machine_virtio_has(device, MACHINE_VIRTIO_F_EVENT_INDEX);
	queue->enabled = 1;
}

static void address_write(uint64_t *address, uint32_t size, uint64_t value, bool is_high)
{
	if (size == 8)
		*address = value;
	else if (is_high)
		*address = (*address & UINT64_C(0xffffffff)) | value << 32;
	else
		*address = (*address & ~UINT64_C(0xffffffff)) | (value & UINT64_C(0xffffffff));
}

static void queue_field_write(struct machine *machine, struct machine_virtio_device *device,
			      const struct guest_memory *memory, uint32_t offset, uint32_t size,
			      uint64_t value)
{
	struct machine_virtqueue *queue = selected_queue(device);

	if (!queue)
		return;
	if (offset == COMMON_QUEUE_MSIX_VECTOR) {
		queue->msix_vector = checked_vector(device, value);
		return;
	}
	if (queue->enabled) /* 4.1.4.3.2: addresses and size are fixed from here on */
		return;
	switch (offset) {
	case COMMON_QUEUE_SIZE:
		queue->size = (uint16_t)value;
		break;
	case COMMON_QUEUE_ENABLE:
		if (value == 1)
			queue_enable(machine, device, memory, queue);
		break;
	case COMMON_QUEUE_DESC:
	case COMMON_QUEUE_DESC + 4:
		address_write(&queue->descriptors_gpa, size, value, offset != COMMON_QUEUE_DESC);
		break;
	case COMMON_QUEUE_DRIVER:
	case COMMON_QUEUE_DRIVER + 4:
		address_write(&queue->driver_gpa, size, value, offset != COMMON_QUEUE_DRIVER);
		break;
	case COMMON_QUEUE_DEVICE:
	case COMMON_QUEUE_DEVICE + 4:
		address_write(&queue->device_gpa, size, value, offset != COMMON_QUEUE_DEVICE);
		break;
	default:
		break;
	}
}

static void common_write(struct machine *machine, struct machine_virtio_device *device,
			 const struct guest_memory *memory, uint32_t offset, uint32_t size, uint64_t value)
{
	switch (offset) {
	case COMMON_DEVICE_FEATURE_SELECT:
		device->device_features_selected = (uint32_t)value;
		break;
	case COMMON_DRIVER_FEATURE_SELECT:
		device->driver_features_selected = (uint32_t)value;
		break;
	case COMMON_DRIVER_FEATURE:
		driver_features_write(device, value);
		break;
	case COMMON_MSIX_CONFIG:
		device->configuration_vector = checked_vector(device, value);
		break;
	case COMMON_DEVICE_STATUS:
		status_write(machine, device, (uint8_t)value);
		break;
	case COMMON_QUEUE_SELECT:
		device->queue_selected = (uint16_t)value;
		break;
	default:
		queue_field_write(machine, device, memory, offset, size, value);
		break;
	}
}

/* ---- BARs ---- */

static uint64_t interrupt_status_read(struct machine *machine, struct machine_virtio_device *device)
{
	uint8_t value = device->interrupt_status;

	device->interrupt_status = 0; /* 4.1.4.5: reading clears it and lowers the line */
	machine_pci_intx_set(machine, device->function, false);
	return value;
}

static uint64_t configuration_read(struct machine *machine, const struct machine_virtio_device *device,
				   uint32_t offset, uint32_t size)
{
	uint8_t bytes[MACHINE_VIRTIO_CONFIGURATION_MAX] = { 0 };
	uint32_t length = ops_of(device)->configuration(machine, device, bytes);
	uint64_t value = 0;

	if (range_fits(offset, size, length))
		memcpy(&value, bytes + offset, size);
	return value;
}

uint64_t machine_virtio_read(struct machine *machine, uint32_t index, uint32_t offset, uint32_t size)
{
	struct machine_virtio_device *device = &machine->virtio.devices[index];

	switch (align_down(offset, REGION_SIZE)) {
	case REGION_COMMON:
		return common_read(machine, device, offset - REGION_COMMON);
	case REGION_INTERRUPT:
		return offset == REGION_INTERRUPT ? interrupt_status_read(machine, device) : 0;
	case REGION_DEVICE:
		return configuration_read(machine, device, offset - REGION_DEVICE, size);
	default:
		return 0;
	}
}

static bool has_notified_queue(const struct machine_virtio_device *device)
{
	for (uint32_t queue = 0; queue < device->queue_count; queue++)
		if (device->queues[queue].notified)
			return true;
	return false;
}

/* Its queues are looked at next: machine_virtio_output_take(). */
static void ring(struct machine *machine, const struct machine_virtio_device *device)
{
	machine->virtio.rung |= UINT32_C(1) << (device - machine->virtio.devices);
}

void machine_virtio_notify(struct machine *machine, uint32_t index, uint32_t offset)
{
	struct machine_virtio_device *device = &machine->virtio.devices[index];
	uint32_t queue = offset / NOTIFY_MULTIPLIER;

	if (queue >= device->queue_count || !device->queues[queue].enabled ||
	    !machine_virtio_is_live(machine, device))
		return;
	device->queues[queue].notified = 1;
	ring(machine, device);
}

void machine_virtio_write(struct machine *machine, const struct guest_memory *memory, uint32_t index,
			  uint32_t offset, uint32_t size, uint64_t value)
{
	struct machine_virtio_device *device = &machine->virtio.devices[index];

	/* The other regions cannot be written. */
	if (align_down(offset, REGION_SIZE) == REGION_COMMON)
		common_write(machine, device, memory, offset - REGION_COMMON, size, value);
}

/* ---- inputs and outputs ---- */

static struct machine_virtio_device *device_of_input(struct machine *machine,
						     const struct machine_input *input)
{
	static const struct {
		uint32_t input_kind;
		uint8_t device_kind;
	} receivers[] = {
		{ MACHINE_INPUT_FRAME, MACHINE_VIRTIO_NET },
		{ MACHINE_INPUT_LINK, MACHINE_VIRTIO_NET },
		{ MACHINE_INPUT_DISK_COMPLETION, MACHINE_VIRTIO_BLK },
		{ MACHINE_INPUT_VIRTIO_CONSOLE, MACHINE_VIRTIO_CONSOLE },
		{ MACHINE_INPUT_ENTROPY, MACHINE_VIRTIO_RNG },
	};

	for (uint32_t row = 0; row < ARRAY_SIZE(receivers); row++) {
		if (receivers[row].input_kind != input->kind)
			continue;
		for (uint32_t i = 0; i < machine->virtio.device_count; i++) {
			struct machine_virtio_device *device = &machine->virtio.devices[i];

			if (device->kind == receivers[row].device_kind && device->unit == input->index)
				return device;
		}
	}
	return NULL;
}

bool machine_virtio_input(struct machine *machine, const struct guest_memory *memory,
			  const struct machine_input *input)
{
	struct machine_virtio_device *device = device_of_input(machine, input);

	if (!device)
		return false;
	if (ops_of(device)->input(machine, device, memory, input))
		device_break(machine, device, "broken queue");
	if (has_notified_queue(device))
		ring(machine, device);
	return true;
}

static bool device_output_take(struct machine *machine, struct machine_virtio_device *device,
			       const struct guest_memory *memory, struct machine_output *output)
{
	int taken;

	if (!has_notified_queue(device))
		return false;
	if (!machine_virtio_is_live(machine, device)) {
		/* Bus mastering went away since the bell: the bell is lost, as on hardware. */
		for (uint32_t queue = 0; queue < device->queue_count; queue++)
			device->queues[queue].notified = 0;
		return false;
	}
	taken = ops_of(device)->output_take(machine, device, memory, output);
	if (taken < 0)
		device_break(machine, device, "broken queue");
	return taken == 1;
}

/* A queue that stays notified waits for an input of its device, which rings again. */
bool machine_virtio_output_take(struct machine *machine, const struct guest_memory *memory,
				struct machine_output *output)
{
	struct machine_virtio *virtio = &machine->virtio;

	while (virtio->rung) {
		struct machine_virtio_device *device = &virtio->devices[__builtin_ctz(virtio->rung)];
		bool taken = device_output_take(machine, device, memory, output);

		if (!taken || !has_notified_queue(device))
			virtio->rung &= virtio->rung - 1;
		if (taken)
			return true;
	}
	return false;
}
