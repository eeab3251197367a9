/* SPDX-License-Identifier: Apache-2.0 */
/*
 * drivers/virtio_net.c and drivers/virtio_pci.c against a model of the device that
 * reads its queues through "physical" addresses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "drivers/net.h"
#include "drivers/virtio_net_reg.h"
#include "drivers/virtio_pci.h"
#include "drivers/virtio_pci_reg.h"
#include "include/byte_order.h"
#include "tests/unit/host/dma.h"
#include "tests/unit/host/mmio.h"
#include "tests/unit/host/net_rig.h"
#include "tests/unit/host/pci.h"
#include "tests/unit/host/time.h"

/* One BAR: common at 0, device configuration at 0x1000, doorbells at 0x2000. */
#define BAR_BASE 0xfe000000u
#define BAR_SIZE 0x4000
#define DEVICE_CONFIG 0x1000
#define NOTIFY 0x2000
#define NOTIFY_MULTIPLIER 4
#define QUEUES 3
#define HEADER 12

static const uint8_t own_mac[6] = { 0x52, 0x54, 0x00, 0xab, 0xcd, 0xef };

struct model_queue {
	uint16_t size;
	uint16_t enabled;
	uint64_t parts[3]; /* descriptors, available, used */
	uint16_t seen;	   /* place in the available ring */
	uint32_t doorbells;
};

static struct {
	uint64_t offered;
	uint64_t accepted;
	uint32_t feature_select, driver_select;
	uint8_t status;
	uint8_t generation;
	uint16_t queue_select;
	uint16_t queue_size_max;
	struct model_queue queues[QUEUES];
	uint8_t config[24];
	bool refuses_features;
	bool never_resets;
	bool generation_runs;
	bool control_fails;  /* answers every command with an error */
	uint8_t rx_modes[3]; /* promiscuous, all multicast, all unicast */
} model;

static struct pci_device *pci;
static struct net_device *port;

static struct virtqueue_available *available_of(struct model_queue *queue)
{
	return host_dma_at(queue->parts[1], 4u + 2u * queue->size);
}

static struct virtqueue_used *used_of(struct model_queue *queue)
{
	return host_dma_at(queue->parts[2], 4u + 8u * queue->size);
}

static struct virtqueue_descriptor *descriptor_of(struct model_queue *queue, uint32_t index)
{
	return (struct virtqueue_descriptor *)host_dma_at(queue->parts[0], 16u * queue->size) + index;
}

static int queue_next(struct model_queue *queue)
{
	if (!queue->enabled || queue->seen == available_of(queue)->index)
		return -1;
	assert_true(host_pci_is_master(pci));
	return available_of(queue)->ring[queue->seen++ % queue->size];
}

static void queue_finish(struct model_queue *queue, uint32_t head, uint32_t size)
{
	struct virtqueue_used *used = used_of(queue);

	used->ring[used->index % queue->size] = (struct virtqueue_used_entry){ head, size };
	used->index++;
}

static void model_transmit(void)
{
	struct model_queue *queue = &model.queues[VIRTIO_NET_QUEUE_TRANSMIT];
	static const uint8_t zeros[HEADER];
	int head;

	while (!net_rig.hangs && (head = queue_next(queue)) >= 0) {
		struct virtqueue_descriptor *descriptor = descriptor_of(queue, (uint32_t)head);
		uint8_t *bytes = host_dma_at(descriptor->physical, descriptor->size);

		assert_non_null(bytes);
		assert_int_equal(descriptor->flags, 0);
		assert_memory_equal(bytes, zeros, HEADER);
		net_rig_note_sent(bytes + HEADER, descriptor->size - HEADER);
		queue_finish(queue, (uint32_t)head, 0);
	}
}

static void model_control(void)
{
	struct model_queue *queue = &model.queues[VIRTIO_NET_QUEUE_CONTROL];
	int head;

	while (!net_rig.hangs && (head = queue_next(queue)) >= 0) {
		struct virtqueue_descriptor *first = descriptor_of(queue, (uint32_t)head);
		struct virtqueue_descriptor *second = descriptor_of(queue, first->next);
		struct virtqueue_descriptor *third = descriptor_of(queue, second->next);
		uint8_t *command = host_dma_at(first->physical, first->size);
		uint8_t *answer = host_dma_at(third->physical, third->size);

		assert_int_equal(first->size, 2);
		assert_int_equal(second->size, 1);
		assert_int_equal(third->flags, 2);
		assert_int_equal(command[0], VIRTIO_NET_CONTROL_RX);
		assert_in_range(command[1], 0, 2);
		model.rx_modes[command[1]] = *(uint8_t *)host_dma_at(second->physical, 1);
		*answer = model.control_fails;
		queue_finish(queue, (uint32_t)head, 1);
	}
}

/* Puts a frame into the next receive buffer. Returns false when there is none. */
static bool model_receive(const uint8_t *bytes, uint32_t size)
{
	struct model_queue *queue = &model.queues[VIRTIO_NET_QUEUE_RECEIVE];
	struct virtqueue_descriptor *descriptor;
	uint8_t *buffer;
	int head = queue_next(queue);

	if (head < 0)
		return false;
	descriptor = descriptor_of(queue, (uint32_t)head);
	assert_int_equal(descriptor->flags, 2);
	assert_true(HEADER + size <= descriptor->size);
	buffer = host_dma_at(descriptor->physical, descriptor->size);
	assert_non_null(buffer);
	memset(buffer, 0xee, HEADER);
	memcpy(buffer + HEADER, bytes, size);
	queue_finish(queue, (uint32_t)head, HEADER + size);
	return true;
}

static void model_reset(void)
{
	if (model.never_resets)
		return;
	model.status = 0;
	model.accepted = 0;
	memset(model.queues, 0, sizeof(model.queues));
	memset(model.rx_modes, 0, sizeof(model.rx_modes));
	model.rx_modes[0] = 1; /* promiscuous */
	for (uint32_t i = 0; i < QUEUES; i++)
		model.queues[i].size = model.queue_size_max;
}

static void set_status(uint8_t value)
{
	if (value == 0) {
		model_reset();
		return;
	}
	if (model.refuses_features)
		value &= (uint8_t)~VIRTIO_STATUS_FEATURES_OK;
	if (value & VIRTIO_STATUS_FEATURES_OK)
		assert_int_equal(model.accepted & ~model.offered, 0);
	model.status = value;
}

static uint64_t common_read(uint32_t offset)
{
	struct model_queue *queue = &model.queues[model.queue_select % QUEUES];

	switch (offset) {
	case VIRTIO_DEVICE_FEATURE:
		return (uint32_t)(model.offered >> (32 * model.feature_select));
	case VIRTIO_QUEUE_COUNT:
		return QUEUES;
	case VIRTIO_DEVICE_STATUS:
		return model.status;
	case VIRTIO_CONFIG_GENERATION:
		return model.generation_runs ? model.generation++ : model.generation;
	case VIRTIO_QUEUE_SIZE:
		return queue->size;
	case VIRTIO_QUEUE_NOTIFY_OFFSET:
		return model.queue_select;
	}
	fail_msg("read of common register 0x%x", offset);
	return 0;
}

static void common_write(uint32_t offset, uint64_t value)
{
	struct model_queue *queue = &model.queues[model.queue_select % QUEUES];
	uint32_t shift = 32 * (model.driver_select & 1);

	switch (offset) {
	case VIRTIO_DEVICE_FEATURE_SELECT:
		model.feature_select = (uint32_t)value & 1;
		return;
	case VIRTIO_DRIVER_FEATURE_SELECT:
		model.driver_select = (uint32_t)value & 1;
		return;
	case VIRTIO_DRIVER_FEATURE:
		model.accepted = (model.accepted & ~(UINT64_C(0xffffffff) << shift)) | value << shift;
		return;
	case VIRTIO_DEVICE_STATUS:
		set_status((uint8_t)value);
		return;
	case VIRTIO_QUEUE_SELECT:
		model.queue_select = (uint16_t)value;
		return;
	case VIRTIO_QUEUE_SIZE:
		assert_true(value <= model.queue_size_max);
		queue->size = (uint16_t)value;
		return;
	case VIRTIO_QUEUE_ENABLE:
		queue->enabled = (uint16_t)value;
		return;
	case VIRTIO_CONFIG_VECTOR:
	case VIRTIO_QUEUE_VECTOR:
		assert_int_equal(value, VIRTIO_NO_VECTOR);
		return;
	}
	if (offset >= VIRTIO_QUEUE_DESCRIPTORS && offset < VIRTIO_COMMON_SIZE) {
		uint64_t *part = &queue->parts[(offset - VIRTIO_QUEUE_DESCRIPTORS) / 8];

		*part = offset & 4 ? (uint32_t)*part | value << 32 : value;
		return;
	}
	fail_msg("write to common register 0x%x", offset);
}

static uint64_t model_read(void *context, uint64_t offset, uint32_t width)
{
	(void)context;
	if (offset < VIRTIO_COMMON_SIZE)
		return common_read((uint32_t)offset);
	assert_int_equal(width, 1);
	assert_in_range(offset, DEVICE_CONFIG, DEVICE_CONFIG + sizeof(model.config) - 1);
	return model.config[offset - DEVICE_CONFIG];
}

static void model_write(void *context, uint64_t offset, uint64_t value, uint32_t width)
{
	(void)context;
	if (offset < VIRTIO_COMMON_SIZE) {
		common_write((uint32_t)offset, value);
		return;
	}
	assert_int_equal(width, 2);
	assert_int_equal(offset, NOTIFY + NOTIFY_MULTIPLIER * value);
	assert_true(model.status & VIRTIO_STATUS_DRIVER_OK);
	model.queues[value].doorbells++;
	if (value == VIRTIO_NET_QUEUE_TRANSMIT)
		model_transmit();
	if (value == VIRTIO_NET_QUEUE_CONTROL)
		model_control();
}

static void add_capability(uint8_t at, uint8_t type, uint32_t offset, uint32_t size)
{
	uint8_t capability[20] = { VIRTIO_CAPABILITY_ID, 0, 20, type, 4 };

	store_le32(capability + VIRTIO_CAPABILITY_OFFSET, offset);
	store_le32(capability + VIRTIO_CAPABILITY_SIZE, size);
	store_le32(capability + VIRTIO_CAPABILITY_MULTIPLIER, NOTIFY_MULTIPLIER);
	host_pci_add_capability(pci, at, capability, sizeof(capability));
}

static void put_on_bus(uint16_t device_id, uint64_t features)
{
	net_rig_reset(model_transmit, model_receive);
	memset(&model, 0, sizeof(model));
	model.offered = features | VIRTIO_FEATURE_VERSION_1;
	model.queue_size_max = 256;
	memcpy(model.config, own_mac, 6);
	model.config[VIRTIO_NET_CONFIG_STATUS] = VIRTIO_NET_STATUS_LINK_UP;
	store_le16(model.config + VIRTIO_NET_CONFIG_MTU, 9000);
	store_le32(model.config + VIRTIO_NET_CONFIG_SPEED, UINT32_MAX);
	model_reset();
	pci = host_pci_add(VIRTIO_PCI_VENDOR, device_id);
	pci->bars[4] = (struct pci_bar){ .base = BAR_BASE, .size = BAR_SIZE, .is_64bit = true };
	host_mmio_register(&(struct host_mmio_model){ BAR_BASE, BAR_SIZE, NULL, model_read, model_write });
	add_capability(0x40, VIRTIO_CAPABILITY_NOTIFY, NOTIFY, 0x1000);
	add_capability(0x60, VIRTIO_CAPABILITY_DEVICE, DEVICE_CONFIG, sizeof(model.config));
	add_capability(0x80, VIRTIO_CAPABILITY_COMMON, 0, VIRTIO_COMMON_SIZE);
}

#define FEATURES_ALL                                                                                         \
	(VIRTIO_NET_FEATURE_MTU | VIRTIO_NET_FEATURE_MAC | VIRTIO_NET_FEATURE_STATUS |                       \
	 VIRTIO_NET_FEATURE_CONTROL | VIRTIO_NET_FEATURE_CONTROL_RX | VIRTIO_NET_FEATURE_CONTROL_EXTRA |     \
	 VIRTIO_NET_FEATURE_SPEED | BIT(15) | BIT(28) | BIT(29))

static void probe(uint64_t features)
{
	put_on_bus(0x1041, features);
	net_rig_probe();
	port = net_rig.port;
}

static void probe_all_features(void)
{
	probe(FEATURES_ALL);
}

static int setup(void **state)
{
	(void)state;
	probe_all_features();
	net_rig_open(NET_FRAME_SIZE_JUMBO);
	return 0;
}

static void probe_takes_modern_and_transitional_ids(void **state)
{
	(void)state;
	put_on_bus(0x1041, FEATURES_ALL);
	assert_int_equal(net_probe_all(), 1);
	put_on_bus(0x1000, FEATURES_ALL);
	assert_int_equal(net_probe_all(), 1);
	assert_memory_equal(net_device_at(0)->mac, own_mac, 6);
	assert_int_equal(net_device_at(0)->frame_size_max, NET_FRAME_SIZE_JUMBO);
	assert_false(host_pci_is_master(pci));
	put_on_bus(0x1042, FEATURES_ALL);
	assert_int_equal(net_probe_all(), 0);
}

static void probe_takes_the_limit_of_a_smaller_mtu(void **state)
{
	(void)state;
	put_on_bus(0x1041, FEATURES_ALL);
	store_le16(model.config + VIRTIO_NET_CONFIG_MTU, 4000);
	assert_int_equal(net_probe_all(), 1);
	assert_int_equal(net_device_at(0)->frame_size_max, 4014);
	store_le16(model.config + VIRTIO_NET_CONFIG_MTU, 65535);
	assert_int_equal(net_probe_all(), 1);
	assert_int_equal(net_device_at(0)->frame_size_max, NET_FRAME_SIZE_JUMBO);
	store_le16(model.config + VIRTIO_NET_CONFIG_MTU, 1000);
	assert_int_equal(net_probe_all(), 0);
}

static void probe_refuses_devices_it_cannot_trust(void **state)
{
	(void)state;
	put_on_bus(0x1041, FEATURES_ALL & ~VIRTIO_NET_FEATURE_MAC);
	assert_int_equal(net_probe_all(), 0);
	put_on_bus(0x1041, FEATURES_ALL);
	model.offered &= ~VIRTIO_FEATURE_VERSION_1;
	assert_int_equal(net_probe_all(), 0);
	put_on_bus(0x1041, FEATURES_ALL);
	model.refuses_features = true;
	assert_int_equal(net_probe_all(), 0);
	put_on_bus(0x1041, FEATURES_ALL);
	model.never_resets = true;
	model.status = VIRTIO_STATUS_DRIVER_OK;
	assert_int_equal(net_probe_all(), 0);
	put_on_bus(0x1041, FEATURES_ALL);
	model.generation_runs = true;
	assert_int_equal(net_probe_all(), 0);
	put_on_bus(0x1041, FEATURES_ALL);
	memset(model.config, 0, 6);
	assert_int_equal(net_probe_all(), 0);
	put_on_bus(0x1041, FEATURES_ALL);
	assert_int_equal(net_probe_all(), 1);
}

static void probe_checks_each_structure_against_its_bar(void **state)
{
	static const uint8_t capabilities[] = { 0x40, 0x60, 0x80 };

	(void)state;
	for (uint32_t i = 0; i < ARRAY_SIZE(capabilities); i++) {
		uint8_t *capability;

		put_on_bus(0x1041, FEATURES_ALL);
		capability = host_pci_config(pci) + capabilities[i];
		store_le32(capability + VIRTIO_CAPABILITY_OFFSET, UINT32_MAX - 3);
		assert_int_equal(net_probe_all(), 0);
		store_le32(capability + VIRTIO_CAPABILITY_OFFSET, 0);
		store_le32(capability + VIRTIO_CAPABILITY_SIZE, BAR_SIZE + 1);
		assert_int_equal(net_probe_all(), 0);
		store_le32(capability + VIRTIO_CAPABILITY_SIZE, 1);
		assert_int_equal(net_probe_all(), 0);
		put_on_bus(0x1041, FEATURES_ALL);
		capability[VIRTIO_CAPABILITY_BAR] = 6;
		assert_int_equal(net_probe_all(), 0);
		capability[VIRTIO_CAPABILITY_BAR] = 1;
		assert_int_equal(net_probe_all(), 0);
		put_on_bus(0x1041, FEATURES_ALL);
		capability[VIRTIO_CAPABILITY_LENGTH] = 8;
		assert_int_equal(net_probe_all(), 0);
	}
	/* A list that runs in a circle. */
	put_on_bus(0x1041, FEATURES_ALL);
	host_pci_config(pci)[0x40 + 1] = 0x40;
	host_pci_config(pci)[0x60 + 1] = 0x60;
	host_pci_config(pci)[0x80 + 1] = 0x80;
	assert_int_equal(net_probe_all(), 0);
}

static void queue_sizes_and_doorbells_are_checked(void **state)
{
	struct net_open options = { .frame_size_max = NET_FRAME_SIZE_STANDARD };
	static const uint16_t bad_sizes[] = { 0, 3, 255 };

	(void)state;
	for (uint32_t i = 0; i < ARRAY_SIZE(bad_sizes); i++) {
		probe_all_features();
		model.queue_size_max = bad_sizes[i];
		assert_int_equal(net_reset(port), 0);
		assert_int_equal(port->ops->open(port, &options), bad_sizes[i] ? -EIO : -ENOENT);
		assert_false(host_pci_is_master(pci));
	}
	put_on_bus(0x1041, FEATURES_ALL);
	store_le32(host_pci_config(pci) + 0x40 + VIRTIO_CAPABILITY_SIZE, 4);
	assert_int_equal(net_probe_all(), 1);
	port = net_device_at(0);
	assert_int_equal(net_reset(port), 0);
	assert_int_equal(port->ops->open(port, &options), -EIO);
}

static void open_negotiates_only_what_it_uses(void **state)
{
	(void)state;
	assert_true(model.status & VIRTIO_STATUS_DRIVER_OK);
	assert_true(model.accepted & VIRTIO_FEATURE_VERSION_1);
	assert_int_equal(model.accepted & (BIT(15) | BIT(28) | BIT(29)), 0);
	assert_int_equal(model.rx_modes[0], 0);
	assert_int_equal(model.rx_modes[1], 0);
	assert_int_equal(model.rx_modes[2], 0);
	net_rig_open_with(&(struct net_open){ .frame_size_max = NET_FRAME_SIZE_JUMBO, .promiscuous = true });
	assert_int_equal(model.rx_modes[0], 0);
	assert_int_equal(model.rx_modes[1], 0);
	assert_int_equal(model.rx_modes[2], 1);
	net_rig_open_with(&(struct net_open){ .frame_size_max = NET_FRAME_SIZE_JUMBO, .multicast = true });
	assert_int_equal(model.rx_modes[0], 0);
	assert_int_equal(model.rx_modes[1], 1);
	assert_int_equal(model.rx_modes[2], 0);
}

static void open_tells_when_memory_is_used_up(void **state)
{
	(void)state;
	net_rig_check_memory_used_up(probe_all_features, 6);
}

static void open_fails_when_the_filter_cannot_be_set(void **state)
{
	struct net_open options = { .frame_size_max = NET_FRAME_SIZE_JUMBO };
	uint64_t before_ns;

	(void)state;
	model.control_fails = true;
	assert_int_equal(net_reset(port), 0);
	assert_int_equal(port->ops->open(port, &options), -EIO);
	model.control_fails = false;
	net_rig.hangs = true;
	before_ns = host_time_peek_ns();
	assert_int_equal(net_reset(port), 0);
	assert_int_equal(port->ops->open(port, &options), -ETIMEDOUT);
	assert_in_range(host_time_peek_ns() - before_ns, 200 * NS_PER_MS, 300 * NS_PER_MS);
	assert_false(host_pci_is_master(pci));
	net_rig.hangs = false;
	net_rig_open(NET_FRAME_SIZE_JUMBO);
}

static void pieces_leave_as_one_frame(void **state)
{
	static const uint32_t sizes[3] = { 14, 5000, 4000 };

	(void)state;
	net_rig_check_pieces(sizes, 3);
	assert_int_equal(net_rig_send(13, 0), -EMSGSIZE);
	assert_int_equal(net_rig_send(9015, 0), -EMSGSIZE);
}

static void frames_can_be_built_in_place(void **state)
{
	(void)state;
	net_rig_check_built_in_place();
}

static void full_ring_says_again_and_recovers(void **state)
{
	(void)state;
	net_rig_check_full_ring(256);
}

/* Jumbo frames stop at 256 KiB under way, long before the ring is full. */
static void bytes_under_way_are_bounded(void **state)
{
	(void)state;
	net_rig.hangs = true;
	for (uint32_t i = 0; i < 29; i++)
		assert_int_equal(net_rig_send(NET_FRAME_SIZE_JUMBO, 0), 0);
	assert_int_equal(net_rig_send(NET_FRAME_SIZE_JUMBO, 0), -EAGAIN);
	assert_int_equal(net_rig_send(60, 0), 0);
	port->ops->transmit_flush(port);
	net_rig.hangs = false;
	model_transmit();
	assert_int_equal(port->ops->poll_tx(port), 30);
	for (uint32_t i = 0; i < 29; i++)
		assert_int_equal(net_rig_send(NET_FRAME_SIZE_JUMBO, 0), 0);
	assert_int_equal(net_rig_send(NET_FRAME_SIZE_JUMBO, 0), -EAGAIN);
	net_rig_open(NET_FRAME_SIZE_JUMBO);
	assert_int_equal(net_rig_send(NET_FRAME_SIZE_JUMBO, 0), 0);
}

static void one_doorbell_for_a_batch(void **state)
{
	uint32_t before = model.queues[VIRTIO_NET_QUEUE_TRANSMIT].doorbells;

	(void)state;
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(net_rig_send(60, (uint8_t)i), 0);
	port->ops->transmit_flush(port);
	port->ops->transmit_flush(port);
	assert_int_equal(model.queues[VIRTIO_NET_QUEUE_TRANSMIT].doorbells - before, 1);
}

/* Through the 16-bit index's wrap in both directions, all sizes. */
static void frames_pass_through_the_index_wrap(void **state)
{
	static uint8_t bytes[NET_RIG_FRAME_MAX];
	struct net_frame frame;

	(void)state;
	memcpy(bytes, own_mac, 6);
	for (uint32_t round = 0; round < 70000; round++) {
		uint32_t size = 14 + (round * 37) % 300;

		store_le32(bytes + 8, round);
		assert_true(model_receive(bytes, size));
		assert_int_equal(port->ops->poll_rx(port, &frame), 1);
		assert_int_equal(frame.size, size);
		assert_int_equal(load_le32(frame.data + 8), round);
		assert_int_equal(net_rig_send(size, (uint8_t)round), 0);
		port->ops->transmit_flush(port);
		assert_int_equal(port->ops->poll_tx(port), 1);
	}
	assert_int_equal(net_rig.sent_count, 70000);
	assert_int_equal(port->statistics.device_faults, 0);
}

static void full_receive_ring_empties_in_order(void **state)
{
	static const uint8_t bytes[9014];

	(void)state;
	net_rig_check_receive_ring(256, 9014);
	/* All buffers but the one of the check's last frame are the device's again. */
	for (uint32_t i = 0; i < 255; i++)
		assert_true(model_receive(bytes, sizeof(bytes)));
	assert_false(model_receive(bytes, sizeof(bytes)));
}

/* The frame in the caller's hands stays as it is while the device fills all others. */
static void frame_in_hand_is_not_the_devices(void **state)
{
	uint8_t bytes[100] = { 0 };
	struct net_frame frame;

	(void)state;
	memcpy(bytes, own_mac, 6);
	bytes[50] = 1;
	assert_true(model_receive(bytes, sizeof(bytes)));
	assert_int_equal(port->ops->poll_rx(port, &frame), 1);
	bytes[50] = 2;
	while (model_receive(bytes, sizeof(bytes)))
		;
	assert_int_equal(frame.data[50], 1);
}

static void filter_here_when_the_device_has_none(void **state)
{
	static const uint8_t to[4][6] = {
		{ 0x52, 0x54, 0x00, 0xab, 0xcd, 0xef },
		{ 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
		{ 0x52, 0x54, 0x00, 0xab, 0xcd, 0xee },
		{ 0x01, 0x00, 0x5e, 0, 0, 1 },
	};
	uint8_t bytes[60] = { 0 };
	struct net_frame frame;

	(void)state;
	for (uint32_t wanted = 0; wanted < 4; wanted++) {
		struct net_open options = { .frame_size_max = NET_FRAME_SIZE_STANDARD,
					    .promiscuous = wanted & 1,
					    .multicast = wanted & 2 };
		uint32_t more = (uint32_t)options.promiscuous + options.multicast;
		uint32_t count = 0;

		probe(VIRTIO_NET_FEATURE_MAC);
		net_rig_open_with(&options);
		for (uint32_t i = 0; i < 4; i++) {
			memcpy(bytes, to[i], 6);
			assert_true(model_receive(bytes, sizeof(bytes)));
		}
		while (port->ops->poll_rx(port, &frame) == 1)
			count++;
		assert_int_equal(count, 2 + more);
		assert_int_equal(port->statistics.rx_filtered, 2 - more);
	}
}

static void filter_here_what_the_device_cannot_be_told(void **state)
{
	struct net_open options = { .frame_size_max = NET_FRAME_SIZE_STANDARD, .promiscuous = true };
	uint8_t bytes[60] = { 0x01, 0x00, 0x5e, 0, 0, 1 };
	struct net_frame frame;

	(void)state;
	probe(FEATURES_ALL & ~VIRTIO_NET_FEATURE_CONTROL_EXTRA);
	net_rig_open_with(&options);
	assert_int_equal(model.rx_modes[0], 1);
	assert_true(model_receive(bytes, sizeof(bytes)));
	assert_int_equal(port->ops->poll_rx(port, &frame), 0);
	options.multicast = true;
	net_rig_open_with(&options);
	assert_int_equal(model.rx_modes[0], 1);
	assert_true(model_receive(bytes, sizeof(bytes)));
	assert_int_equal(port->ops->poll_rx(port, &frame), 1);
}

static void bad_receive_answers_are_faults(void **state)
{
	/* head, bytes: less than a header, more than the buffer, not a chain */
	static const struct virtqueue_used_entry bad[] = {
		{ 0, 11 }, { 0, 9027 }, { 256, 100 }, { UINT32_MAX, 100 }
	};

	(void)state;
	for (uint32_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct model_queue *queue = &model.queues[VIRTIO_NET_QUEUE_RECEIVE];

		setup(NULL);
		assert_int_equal(queue_next(queue), 0);
		queue_finish(queue, bad[i].head, bad[i].size);
		net_rig_check_fault();
	}
	setup(NULL);
	used_of(&model.queues[VIRTIO_NET_QUEUE_RECEIVE])->index = 257;
	net_rig_check_fault();
}

static void completion_nobody_asked_for_is_a_fault(void **state)
{
	(void)state;
	assert_int_equal(net_rig_send(60, 0), 0);
	queue_finish(&model.queues[VIRTIO_NET_QUEUE_TRANSMIT], 0, 0);
	assert_int_equal(port->ops->poll_tx(port), 0);
	net_rig_check_fault();
}

/* Random used entries, mostly with believable heads and sizes. */
static void lie(uint32_t round)
{
	for (uint32_t i = 0; i < 3; i++) {
		uint64_t random = net_rig_random();

		queue_finish(&model.queues[i % 2], (uint32_t)(random >> 33) % (round % 5 ? 256 : 300),
			     i % 2 ? 0 : (uint32_t)(random >> 20) % (round % 11 ? 9026 : 9100));
	}
}

static void nonsense_from_the_device_does_no_harm(void **state)
{
	(void)state;
	net_rig.hangs = true;
	net_rig_check_survives(lie);
}

static void short_frame_is_counted_and_dropped(void **state)
{
	uint8_t bytes[13] = { 0 };
	struct net_frame frame;

	(void)state;
	assert_true(model_receive(bytes, sizeof(bytes)));
	assert_int_equal(port->ops->poll_rx(port, &frame), 0);
	assert_int_equal(port->statistics.rx_errors, 1);
}

static void device_that_stops_sending_is_found(void **state)
{
	(void)state;
	net_rig_check_stall();
}

static void link_follows_the_device(void **state)
{
	struct net_link link;

	(void)state;
	port->ops->link(port, &link);
	assert_true(link.up);
	assert_int_equal(link.speed_mbit, 0);
	store_le32(model.config + VIRTIO_NET_CONFIG_SPEED, 10000);
	model.config[VIRTIO_NET_CONFIG_DUPLEX] = 1;
	port->ops->link(port, &link);
	assert_int_equal(link.speed_mbit, 10000);
	assert_true(link.full_duplex);
	model.config[VIRTIO_NET_CONFIG_STATUS] = 0;
	port->ops->link(port, &link);
	assert_false(link.up);
	model.status |= VIRTIO_STATUS_NEEDS_RESET;
	port->ops->link(port, &link);
	assert_false(link.up);
	net_rig_check_fault();
}

static void port_is_kept_open_without_waiting(void **state)
{
	struct net_open options = { .frame_size_max = NET_FRAME_SIZE_JUMBO };
	uint32_t polls = 0;

	(void)state;
	probe_all_features();
	assert_int_equal(net_keep_open(port, &options), 0);
	assert_int_equal(net_keep_open(port, &options), 0);
	assert_int_equal(port->statistics.resets, 1);
	/* Fails and hangs: each call is short, a time-out is told once, then comes a pause. */
	model.status |= VIRTIO_STATUS_NEEDS_RESET;
	port->ops->link(port, &(struct net_link){ 0 });
	assert_true(port->failed);
	model.never_resets = true;
	host_time_advance_ns(NS_PER_S);
	for (;; polls++) {
		uint64_t before_ns = host_time_peek_ns();
		int status = net_keep_open(port, &options);

		assert_in_range(host_time_peek_ns() - before_ns, 0, 20000);
		if (status == -ETIMEDOUT)
			break;
		assert_int_equal(status, -EAGAIN);
		assert_true(polls < 30);
		host_time_advance_ns(100 * NS_PER_MS);
	}
	assert_int_equal(port->statistics.resets, 2);
	model.never_resets = false;
	model.status = VIRTIO_STATUS_DRIVER_OK;
	while (net_keep_open(port, &options) == -EAGAIN)
		host_time_advance_ns(100 * NS_PER_MS);
	assert_true(port->opened);
	assert_false(port->failed);
	assert_int_equal(port->statistics.resets, 3);
}

static void reset_is_told_and_is_no_fault(void **state)
{
	(void)state;
	net_rig_check_reset_told();
}

static void reset_without_an_answer_times_out(void **state)
{
	(void)state;
	model.never_resets = true;
	assert_int_equal(net_reset(port), -ETIMEDOUT);
	assert_true(port->failed);
	port->ops->close(port);
	assert_false(host_pci_is_master(pci));
	model.never_resets = false;
	net_rig_open(NET_FRAME_SIZE_JUMBO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(probe_takes_modern_and_transitional_ids),
		cmocka_unit_test(probe_takes_the_limit_of_a_smaller_mtu),
		cmocka_unit_test(probe_refuses_devices_it_cannot_trust),
		cmocka_unit_test(probe_checks_each_structure_against_its_bar),
		cmocka_unit_test(queue_sizes_and_doorbells_are_checked),
		cmocka_unit_test_setup(open_negotiates_only_what_it_uses, setup),
		cmocka_unit_test(open_tells_when_memory_is_used_up),
		cmocka_unit_test_setup(open_fails_when_the_filter_cannot_be_set, setup),
		cmocka_unit_test_setup(pieces_leave_as_one_frame, setup),
		cmocka_unit_test_setup(frames_can_be_built_in_place, setup),
		cmocka_unit_test_setup(full_ring_says_again_and_recovers, setup),
		cmocka_unit_test_setup(bytes_under_way_are_bounded, setup),
		cmocka_unit_test_setup(one_doorbell_for_a_batch, setup),
		cmocka_unit_test_setup(frames_pass_through_the_index_wrap, setup),
		cmocka_unit_test_setup(full_receive_ring_empties_in_order, setup),
		cmocka_unit_test_setup(frame_in_hand_is_not_the_devices, setup),
		cmocka_unit_test(filter_here_when_the_device_has_none),
		cmocka_unit_test(filter_here_what_the_device_cannot_be_told),
		cmocka_unit_test(bad_receive_answers_are_faults),
		cmocka_unit_test_setup(completion_nobody_asked_for_is_a_fault, setup),
		cmocka_unit_test_setup(nonsense_from_the_device_does_no_harm, setup),
		cmocka_unit_test_setup(short_frame_is_counted_and_dropped, setup),
		cmocka_unit_test_setup(device_that_stops_sending_is_found, setup),
		cmocka_unit_test_setup(link_follows_the_device, setup),
		cmocka_unit_test(port_is_kept_open_without_waiting),
		cmocka_unit_test_setup(reset_is_told_and_is_no_fault, setup),
		cmocka_unit_test_setup(reset_without_an_answer_times_out, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
