/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio devices against a small driver that lives in this file. The PCI
 * framework is stood in for, so that a sent MSI-X vector can be counted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "include/byte_order.h"
#include "machine/machine.h"

#define MEMORY_SIZE (16 * MIB)
#define QUEUE_COUNT_MAX 2

/* Where the driver keeps things in guest memory; one page stride a queue. */
#define DESCRIPTORS(queue) (0x10000 + (queue)*0x10000)
#define DRIVER(queue) (DESCRIPTORS(queue) + 0x4000)
#define DEVICE(queue) (DESCRIPTORS(queue) + 0x8000)
#define BUFFERS 0x100000
#define TABLE 0x80000

#define DESCRIPTOR_NEXT 1
#define DESCRIPTOR_WRITE 2
#define DESCRIPTOR_INDIRECT 4

#define COMMON 0x0000
#define DEVICE_CONFIGURATION 0x2000

static uint8_t memory_bytes[MEMORY_SIZE];
static uint8_t output_bytes[MACHINE_OUTPUT_DATA_MAX];
static struct guest_memory memory;
static struct machine machine;
static struct machine_output output;
static uint32_t msix_sent[MACHINE_PCI_MSIX_MAX];
static uint32_t functions_added;
static bool is_master;
static uint16_t available[QUEUE_COUNT_MAX];

/* ---- the PCI framework's part ---- */

uint32_t machine_pci_function_add(struct machine *m, uint8_t devfn,
				  const struct machine_pci_identity *identity)
{
	(void)m;
	assert_int_equal(devfn, MACHINE_PCI_DEVFN(MACHINE_PCI_VIRTIO_SLOT_FIRST + functions_added, 0));
	assert_int_equal(identity->vendor, 0x1af4);
	return 100 + functions_added++;
}

void machine_pci_bar_add(struct machine *m, uint32_t function, uint32_t bar, uint32_t size, bool is_port)
{
	(void)m;
	(void)function;
	assert_int_equal(bar, is_port ? 1 : 0);
	assert_true(is_power_of_two(size));
}

uint8_t machine_pci_capability_add(struct machine *m, uint32_t function, uint8_t id, const void *body,
				   uint32_t size)
{
	(void)m;
	(void)function;
	assert_int_equal(id, 9);
	assert_int_equal(((const uint8_t *)body)[0], size);
	/* 4.1.4: all in memory but the bells. */
	assert_int_equal(((const uint8_t *)body)[2], ((const uint8_t *)body)[1] == 2 ? 1 : 0);
	return 0x40;
}

void machine_pci_msix_add(struct machine *m, uint32_t function, uint32_t count, uint32_t bar,
			  uint32_t table_offset, uint32_t pending_offset)
{
	(void)m;
	(void)function;
	(void)bar;
	assert_true(count <= MACHINE_PCI_MSIX_MAX);
	assert_true(table_offset < pending_offset);
}

bool machine_pci_msix_enabled(const struct machine *m, uint32_t function)
{
	(void)m;
	(void)function;
	return true;
}

void machine_pci_msix_send(struct machine *m, uint32_t function, uint32_t vector)
{
	(void)m;
	(void)function;
	msix_sent[vector]++;
}

void machine_pci_intx_set(struct machine *m, uint32_t function, bool level)
{
	(void)m;
	(void)function;
	assert_false(level);
}

bool machine_pci_is_master(const struct machine *m, uint32_t function)
{
	(void)m;
	(void)function;
	return is_master;
}

/* ---- the driver's part ---- */

static void descriptor_set(uint64_t table, uint32_t index, uint64_t gpa, uint32_t size, uint16_t flags,
			   uint16_t next)
{
	uint8_t *at = memory_bytes + table + 16 * (uint64_t)index;

	store_le64(at, gpa);
	store_le32(at + 8, size);
	store_le16(at + 12, flags);
	store_le16(at + 14, next);
}

static void make_available(uint32_t queue, uint16_t head, uint32_t queue_size)
{
	store_le16(memory_bytes + DRIVER(queue) + 4 + 2 * (available[queue] % queue_size), head);
	store_le16(memory_bytes + DRIVER(queue) + 2, ++available[queue]);
}

static uint16_t used_index(uint32_t queue)
{
	return load_le16(memory_bytes + DEVICE(queue) + 2);
}

static uint32_t used_written(uint32_t queue, uint32_t entry)
{
	return load_le32(memory_bytes + DEVICE(queue) + 4 + 8 * (uint64_t)entry + 4);
}

static uint64_t common_read(uint32_t device, uint32_t offset, uint32_t size)
{
	return machine_virtio_read(&machine, device, COMMON + offset, size);
}

static void common_write(uint32_t device, uint32_t offset, uint32_t size, uint64_t value)
{
	machine_virtio_write(&machine, &memory, device, COMMON + offset, size, value);
}

static void notify(uint32_t device, uint32_t queue)
{
	machine_virtio_notify(&machine, device, 4 * queue);
}

static bool take(void)
{
	output.buffer = output_bytes;
	return machine_virtio_output_take(&machine, &memory, &output);
}

/* The driver's initialization, Virtual I/O Device 1.1, 3.1.1. */
static void device_start(uint32_t device, uint64_t features)
{
	uint64_t queue_count = common_read(device, 0x12, 2);

	common_write(device, 0x14, 1, 0);
	common_write(device, 0x14, 1, 3);
	common_write(device, 0x08, 4, 0);
	common_write(device, 0x0c, 4, features & UINT32_MAX);
	common_write(device, 0x08, 4, 1);
	common_write(device, 0x0c, 4, (features | MACHINE_VIRTIO_F_VERSION_1) >> 32);
	common_write(device, 0x14, 1, 3 | MACHINE_VIRTIO_STATUS_FEATURES_OK);
	assert_int_equal(common_read(device, 0x14, 1), 11);
	for (uint32_t queue = 0; queue < queue_count; queue++) {
		memset(memory_bytes + DESCRIPTORS(queue), 0, 0x10000);
		available[queue] = 0;
		common_write(device, 0x16, 2, queue);
		common_write(device, 0x1a, 2, queue + 1);
		common_write(device, 0x20, 8, DESCRIPTORS(queue));
		common_write(device, 0x28, 4, DRIVER(queue));
		common_write(device, 0x2c, 4, 0);
		common_write(device, 0x30, 8, DEVICE(queue));
		common_write(device, 0x1c, 2, 1);
		assert_int_equal(common_read(device, 0x1c, 2), 1);
	}
	common_write(device, 0x14, 1, 15);
	assert_int_equal(common_read(device, 0x14, 1), 15);
	memset(msix_sent, 0, sizeof(msix_sent));
}

/* Device 0 is a disk, 1 a network port, 2 the console, 3 the entropy source. */
#define DISK 0
#define NET 1
#define CONSOLE 2
#define RNG 3

static int set_up(void **state)
{
	(void)state;
	memset(&machine, 0, sizeof(machine));
	memset(memory_bytes, 0, sizeof(memory_bytes));
	functions_added = 0;
	is_master = true;
	guest_memory_init(&memory, memory_bytes, MEMORY_SIZE, 0);
	machine.config.disk_count = 1;
	machine.config.disks[0].sector_count = 2048;
	memcpy(machine.config.disks[0].serial, "YOKE-DISK-1", 11);
	machine.config.net_port_count = 1;
	machine.config.has_virtio_console = 1;
	memcpy(machine.config.net_ports[0].mac, "\x52\x54\x00\x12\x34\x56", 6);
	machine_virtio_init(&machine);
	assert_int_equal(machine.virtio.device_count, 4);
	return 0;
}

/* Header, data, status in descriptors 3i, 3i+1, 3i+2. */
static uint16_t disk_request(uint32_t index, uint32_t type, uint64_t sector, uint32_t size)
{
	uint16_t head = (uint16_t)(3 * index);
	uint64_t header = BUFFERS + index * 0x20000;
	uint16_t data_flags = type == 0 || type == 8 ? DESCRIPTOR_WRITE : 0;

	store_le32(memory_bytes + header, type);
	store_le64(memory_bytes + header + 8, sector);
	memory_bytes[header + 16] = 0xee;
	descriptor_set(DESCRIPTORS(0), head, header, 16, DESCRIPTOR_NEXT, (uint16_t)(head + (size ? 1 : 2)));
	descriptor_set(DESCRIPTORS(0), head + 1, header + 0x1000, size, DESCRIPTOR_NEXT | data_flags,
		       (uint16_t)(head + 2));
	descriptor_set(DESCRIPTORS(0), head + 2, header + 16, 1, DESCRIPTOR_WRITE, 0);
	make_available(0, head, 128);
	return head;
}

static uint8_t disk_status(uint32_t index)
{
	return memory_bytes[BUFFERS + index * 0x20000 + 16];
}

static void disk_complete(uint32_t request, uint32_t status, const void *data, uint32_t size)
{
	struct machine_input input = { .kind = MACHINE_INPUT_DISK_COMPLETION,
				       .request = request,
				       .status = status,
				       .data = data,
				       .size = size };

	assert_true(machine_virtio_input(&machine, &memory, &input));
}

static void disk_reads_writes_and_flushes(void **state)
{
	static uint8_t data[1024];
	uint32_t write_request;

	(void)state;
	memset(data, 0x5a, sizeof(data));
	device_start(DISK, 0);
	disk_request(0, 1, 7, 1024);
	disk_request(1, 0, 2046, 1024);
	disk_request(2, 4, 0, 0);
	assert_false(take()); /* nobody rang yet */
	notify(DISK, 0);
	assert_true(take());
	assert_int_equal(output.kind, MACHINE_OUTPUT_DISK);
	assert_int_equal(output.disk.operation, MACHINE_DISK_WRITE);
	assert_int_equal(output.disk.sector, 7);
	assert_int_equal(output.disk.sector_count, 2);
	assert_int_equal(output.disk.segment_count, 1);
	assert_int_equal(output.disk.segments[0].gpa, BUFFERS + 0x1000);
	assert_int_equal(output.disk.segments[0].size, 1024);
	write_request = output.disk.request;
	assert_true(take());
	assert_int_equal(output.disk.operation, MACHINE_DISK_READ);
	disk_complete(output.disk.request, MACHINE_DISK_OK, data, sizeof(data));
	assert_int_equal(disk_status(1), 0);
	assert_memory_equal(memory_bytes + BUFFERS + 0x20000 + 0x1000, data, sizeof(data));
	assert_int_equal(used_index(0), 1);
	assert_int_equal(used_written(0, 0), 1025);
	assert_int_equal(msix_sent[1], 1);
	assert_true(take());
	assert_int_equal(output.disk.operation, MACHINE_DISK_FLUSH);
	disk_complete(output.disk.request, MACHINE_DISK_OK, NULL, 0);
	assert_int_equal(disk_status(0), 0xee); /* the write is still under way */
	disk_complete(write_request, MACHINE_DISK_ERROR, NULL, 0);
	assert_int_equal(disk_status(0), 1);
	assert_false(take());
	assert_int_equal(used_index(0), 3);
}

/* How a request is laid out in descriptors is the driver's to choose (2.6.4). */
static void disk_takes_a_header_in_pieces(void **state)
{
	static const uint32_t sizes[] = { 3, 8, 5 };
	uint8_t header[16] = { 0 };
	uint32_t taken = 0;

	(void)state;
	device_start(DISK, 0);
	store_le32(header, 1);
	store_le64(header + 8, 300);
	for (uint16_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		uint64_t gpa = BUFFERS + UINT64_C(0x2000) * i;

		memcpy(memory_bytes + gpa, header + taken, sizes[i]);
		descriptor_set(DESCRIPTORS(0), i, gpa, sizes[i], DESCRIPTOR_NEXT, (uint16_t)(i + 1));
		taken += sizes[i];
	}
	descriptor_set(DESCRIPTORS(0), 3, BUFFERS + 0x8000, 512, DESCRIPTOR_NEXT, 4);
	descriptor_set(DESCRIPTORS(0), 4, BUFFERS + 0x9000, 1, DESCRIPTOR_WRITE, 0);
	make_available(0, 0, 128);
	notify(DISK, 0);
	assert_true(take());
	assert_int_equal(output.disk.operation, MACHINE_DISK_WRITE);
	assert_int_equal(output.disk.sector, 300);
	assert_int_equal(output.disk.segment_count, 1);
	assert_int_equal(output.disk.segments[0].gpa, BUFFERS + 0x8000);
}

static void disk_tells_serial_and_refuses_bad_ranges(void **state)
{
	(void)state;
	device_start(DISK, 0);
	disk_request(0, 8, 0, 20);
	disk_request(1, 0, 2047, 1024); /* ends one sector behind the disk */
	disk_request(2, 1, UINT64_MAX, 512);
	disk_request(3, 1, 0, 100); /* no whole sector */
	disk_request(4, 77, 0, 512);
	notify(DISK, 0);
	assert_false(take());
	assert_memory_equal(memory_bytes + BUFFERS + 0x1000, "YOKE-DISK-1\0\0\0\0\0\0\0\0\0", 20);
	assert_int_equal(disk_status(0), 0);
	assert_int_equal(disk_status(1), 1);
	assert_int_equal(disk_status(2), 1);
	assert_int_equal(disk_status(3), 1);
	assert_int_equal(disk_status(4), 2);
	assert_int_equal(used_index(0), 5);
	assert_int_equal(common_read(DISK, 0x14, 1), 15); /* errors, but no broken queue */
}

/* 5.2.4: the block size is told; the unit of sector numbers stays 512 bytes. */
static void disk_of_large_sectors_does_whole_ones(void **state)
{
	uint8_t *range = memory_bytes + BUFFERS + 6 * 0x20000 + 0x1000;

	(void)state;
	machine.config.disks[0].large_sectors = 1;
	device_start(DISK, 0);
	assert_int_equal(machine_virtio_read(&machine, DISK, DEVICE_CONFIGURATION + 0x14, 4), 4096);
	disk_request(0, 1, 16, 4096);
	disk_request(1, 0, 16, 8192);
	disk_request(2, 0, 12, 4096);
	disk_request(3, 1, 16, 512);
	disk_request(4, 1, 16, 4608);
	notify(DISK, 0);
	assert_true(take());
	assert_int_equal(output.disk.sector, 16);
	assert_int_equal(output.disk.sector_count, 8);
	assert_true(take());
	assert_int_equal(output.disk.sector_count, 16);
	assert_false(take());
	for (uint32_t i = 2; i < 5; i++)
		assert_int_equal(disk_status(i), 1);
	store_le64(range, 8);
	store_le32(range + 8, 4);
	disk_request(6, 13, 0, 16);
	notify(DISK, 0);
	assert_false(take());
	assert_int_equal(disk_status(6), 1);
	store_le32(range + 8, 8);
	disk_request(6, 13, 0, 16);
	notify(DISK, 0);
	assert_true(take());
	assert_int_equal(output.disk.operation, MACHINE_DISK_WRITE_ZEROES);
	assert_int_equal(output.disk.sector_count, 8);
}

static void disk_answer_to_an_older_request_is_dropped(void **state)
{
	uint32_t old_request;

	(void)state;
	device_start(DISK, 0);
	disk_request(0, 0, 0, 512);
	notify(DISK, 0);
	assert_true(take());
	old_request = output.disk.request;
	device_start(DISK, 0); /* the driver resets; its first request has the same head again */
	disk_request(0, 0, 8, 512);
	notify(DISK, 0);
	assert_true(take());
	assert_int_not_equal(output.disk.request, old_request);
	disk_complete(old_request, MACHINE_DISK_OK, "stale", 5);
	assert_int_equal(disk_status(0), 0xee);
	assert_int_equal(used_index(0), 0);
	disk_complete(output.disk.request, MACHINE_DISK_OK, "fresh", 5);
	assert_int_equal(disk_status(0), 0);
	assert_memory_equal(memory_bytes + BUFFERS + 0x1000, "fresh", 5);
}

/* What is over the limit stays in the ring until an answer makes room. */
static void disk_has_so_much_under_way(void **state)
{
	static uint8_t data[64 * KIB];
	uint32_t count = 0;

	(void)state;
	device_start(DISK, 0);
	for (uint32_t i = 0; i < 20; i++)
		disk_request(i, 0, 0, sizeof(data));
	notify(DISK, 0);
	while (take())
		count++;
	assert_int_equal(count,
			 (MACHINE_DISK_SIZE_UNDER_WAY_MAX - MACHINE_DISK_TRANSFER_MAX) / sizeof(data) + 1);
	assert_false(machine_output_pending(&machine)); /* nothing moves before an answer comes */
	disk_complete(output.disk.request, MACHINE_DISK_OK, data, sizeof(data));
	assert_true(machine_output_pending(&machine));
	assert_true(take());
	assert_false(take());
	device_start(DISK, 0);
	disk_request(0, 0, 0, sizeof(data));
	assert_false(machine_output_pending(&machine));
	notify(DISK, 0);
	assert_true(machine_output_pending(&machine));
	assert_true(take()); /* a reset begins anew */
}

static void disk_discards_one_checked_range(void **state)
{
	uint8_t *range = memory_bytes + BUFFERS + 0x1000;

	(void)state;
	device_start(DISK, 0);
	disk_request(0, 11, 0, 16);
	store_le64(range, 100);
	store_le32(range + 8, 50);
	notify(DISK, 0);
	assert_true(take());
	assert_int_equal(output.disk.operation, MACHINE_DISK_DISCARD);
	assert_int_equal(output.disk.sector, 100);
	assert_int_equal(output.disk.sector_count, 50);
	disk_complete(output.disk.request, MACHINE_DISK_UNSUPPORTED, NULL, 0);
	assert_int_equal(disk_status(0), 2);
	store_le32(range + 12, 1); /* unmap is no flag of a discard */
	disk_request(0, 11, 0, 16);
	notify(DISK, 0);
	assert_false(take());
	assert_int_equal(disk_status(0), 2);
}

static void indirect_tables_and_event_index(void **state)
{
	(void)state;
	device_start(DISK, MACHINE_VIRTIO_F_INDIRECT | MACHINE_VIRTIO_F_EVENT_INDEX);
	store_le32(memory_bytes + BUFFERS, 4); /* flush */
	descriptor_set(TABLE, 0, BUFFERS, 16, DESCRIPTOR_NEXT, 1);
	descriptor_set(TABLE, 1, BUFFERS + 16, 1, DESCRIPTOR_WRITE, 0);
	descriptor_set(DESCRIPTORS(0), 5, TABLE, 32, DESCRIPTOR_INDIRECT, 0);
	store_le16(memory_bytes + DRIVER(0) + 4 + 2 * 128, 1); /* used event: interrupt at the second */
	make_available(0, 5, 128);
	notify(DISK, 0);
	assert_true(take());
	assert_int_equal(output.disk.operation, MACHINE_DISK_FLUSH);
	/* Drained: the device asks for a bell at index 1, the next, and is not asked again before. */
	assert_int_equal(load_le16(memory_bytes + DEVICE(0) + 4 + 8 * 128), 1);
	assert_false(machine_output_pending(&machine));
	assert_false(take());
	disk_complete(output.disk.request, MACHINE_DISK_OK, NULL, 0);
	assert_int_equal(msix_sent[1], 0);
	make_available(0, 5, 128);
	notify(DISK, 0);
	assert_true(take());
	disk_complete(output.disk.request, MACHINE_DISK_OK, NULL, 0);
	assert_int_equal(msix_sent[1], 1);
}

/* Each row breaks the rules in its own way; the device must ask for a reset and work after it. */
static void broken_queues_stop_the_device_only(void **state)
{
	(void)state;
	for (int row = 0; row < 9; row++) {
		device_start(DISK, MACHINE_VIRTIO_F_INDIRECT);
		disk_request(0, 0, 0, 512);
		switch (row) {
		case 0: /* a loop */
			descriptor_set(DESCRIPTORS(0), 2, BUFFERS + 16, 1, DESCRIPTOR_WRITE | DESCRIPTOR_NEXT,
				       1);
			break;
		case 1: /* outside memory */
			descriptor_set(DESCRIPTORS(0), 1, MEMORY_SIZE - 1, 512,
				       DESCRIPTOR_WRITE | DESCRIPTOR_NEXT, 2);
			break;
		case 2: /* wraps around */
			descriptor_set(DESCRIPTORS(0), 1, UINT64_MAX - 1, 512,
				       DESCRIPTOR_WRITE | DESCRIPTOR_NEXT, 2);
			break;
		case 3: /* readable behind writable */
			descriptor_set(DESCRIPTORS(0), 2, BUFFERS + 16, 1, 0, 0);
			break;
		case 4: /* next outside the table */
			descriptor_set(DESCRIPTORS(0), 1, BUFFERS, 512, DESCRIPTOR_WRITE | DESCRIPTOR_NEXT,
				       128);
			break;
		case 5: /* head outside the table */
			store_le16(memory_bytes + DRIVER(0) + 4, 9999);
			break;
		case 6: /* more available than there are entries */
			store_le16(memory_bytes + DRIVER(0) + 2, 129);
			break;
		case 7: /* an indirect table of no whole descriptor */
			descriptor_set(DESCRIPTORS(0), 0, TABLE, 17, DESCRIPTOR_INDIRECT, 0);
			break;
		default: /* a table inside a table */
			descriptor_set(TABLE, 0, TABLE, 16, DESCRIPTOR_INDIRECT, 0);
			descriptor_set(DESCRIPTORS(0), 0, TABLE, 16, DESCRIPTOR_INDIRECT, 0);
			break;
		}
		notify(DISK, 0);
		assert_false(take());
		assert_int_equal(common_read(DISK, 0x14, 1), 15 | MACHINE_VIRTIO_STATUS_NEEDS_RESET);
		assert_int_equal(machine.virtio.devices[DISK].faults, row + 1);
		notify(DISK, 0);
		assert_false(take());
	}
	device_start(DISK, 0);
	disk_request(0, 4, 0, 0);
	notify(DISK, 0);
	assert_true(take());
}

static void features_are_negotiated(void **state)
{
	(void)state;
	common_write(DISK, 0x00, 4, 1);
	assert_int_equal(common_read(DISK, 0x04, 4), 1); /* VERSION_1 */
	common_write(DISK, 0x00, 4, 7);
	assert_int_equal(common_read(DISK, 0x04, 4), 0);
	/* What was not offered, or no VERSION_1: FEATURES_OK stays clear. */
	common_write(DISK, 0x08, 4, 0);
	common_write(DISK, 0x0c, 4, 1);
	common_write(DISK, 0x14, 1, 11);
	assert_int_equal(common_read(DISK, 0x14, 1), 3);
	common_write(DISK, 0x0c, 4, 0);
	common_write(DISK, 0x14, 1, 11);
	assert_int_equal(common_read(DISK, 0x14, 1), 3);
	/* A vector or queue that is not there. */
	common_write(DISK, 0x10, 2, 2);
	assert_int_equal(common_read(DISK, 0x10, 2), 0xffff);
	common_write(DISK, 0x16, 2, 1);
	assert_int_equal(common_read(DISK, 0x18, 2), 0);
}

static void queue_must_lie_in_memory(void **state)
{
	(void)state;
	common_write(DISK, 0x20, 8, MEMORY_SIZE - 64);
	common_write(DISK, 0x28, 8, DRIVER(0));
	common_write(DISK, 0x30, 8, DEVICE(0));
	common_write(DISK, 0x1c, 2, 1);
	assert_int_equal(common_read(DISK, 0x1c, 2), 0);
	assert_true(common_read(DISK, 0x14, 1) & MACHINE_VIRTIO_STATUS_NEEDS_RESET);
}

static void frame_input(const void *data, uint32_t size)
{
	struct machine_input input = { .kind = MACHINE_INPUT_FRAME, .data = data, .size = size };

	assert_true(machine_virtio_input(&machine, &memory, &input));
}

static void net_sends_and_receives(void **state)
{
	static uint8_t frame[1514];

	(void)state;
	for (uint32_t i = 0; i < sizeof(frame); i++)
		frame[i] = (uint8_t)(i * 7);
	device_start(NET, BIT(5) | BIT(16));
	assert_memory_equal(&(uint64_t){ machine_virtio_read(&machine, NET, DEVICE_CONFIGURATION, 4) },
			    "\x52\x54\x00\x12", 4);
	/* Out: header and frame in two pieces. */
	memcpy(memory_bytes + BUFFERS + 12, frame, 100);
	descriptor_set(DESCRIPTORS(1), 0, BUFFERS, 20, DESCRIPTOR_NEXT, 1);
	descriptor_set(DESCRIPTORS(1), 1, BUFFERS + 20, 92, 0, 0);
	make_available(1, 0, 256);
	notify(NET, 1);
	assert_true(take());
	assert_int_equal(output.kind, MACHINE_OUTPUT_FRAME);
	assert_int_equal(output.size, 100);
	assert_memory_equal(output_bytes, frame, 100);
	assert_false(take());
	assert_int_equal(used_index(1), 1);
	/* In: no buffer, then one. */
	frame_input(frame, sizeof(frame));
	assert_int_equal(machine.virtio.devices[NET].net.receive_dropped, 1);
	descriptor_set(DESCRIPTORS(0), 0, BUFFERS, 2048, DESCRIPTOR_WRITE, 0);
	make_available(0, 0, 256);
	frame_input(frame, sizeof(frame));
	assert_int_equal(used_index(0), 1);
	assert_int_equal(used_written(0, 0), 1514 + 12);
	assert_int_equal(load_le16(memory_bytes + BUFFERS + 10), 1);
	assert_memory_equal(memory_bytes + BUFFERS + 12, frame, sizeof(frame));
	assert_int_equal(msix_sent[1], 1);
}

static void net_merges_receive_buffers_or_takes_none(void **state)
{
	static uint8_t frame[1000];

	(void)state;
	memset(frame, 0x77, sizeof(frame));
	device_start(NET, BIT(15));
	for (uint16_t i = 0; i < 2; i++) {
		descriptor_set(DESCRIPTORS(0), i, BUFFERS + i * UINT64_C(0x1000), 400, DESCRIPTOR_WRITE, 0);
		make_available(0, i, 256);
	}
	frame_input(frame, sizeof(frame)); /* needs three */
	assert_int_equal(used_index(0), 0);
	assert_int_equal(msix_sent[1], 0);
	descriptor_set(DESCRIPTORS(0), 2, BUFFERS + 0x2000, 400, DESCRIPTOR_WRITE, 0);
	make_available(0, 2, 256);
	frame_input(frame, sizeof(frame));
	assert_int_equal(used_index(0), 3);
	assert_int_equal(load_le16(memory_bytes + BUFFERS + 10), 3);
	assert_int_equal(used_written(0, 0), 400);
	assert_int_equal(used_written(0, 1), 400);
	assert_int_equal(used_written(0, 2), 212);
	assert_int_equal(msix_sent[1], 1);
}

static void link_changes_are_told_and_survive_a_reset(void **state)
{
	struct machine_input input = { .kind = MACHINE_INPUT_LINK, .value = 1 };

	(void)state;
	device_start(NET, BIT(16));
	common_write(NET, 0x10, 2, 0);
	assert_true(machine_virtio_input(&machine, &memory, &input));
	assert_int_equal(msix_sent[0], 1);
	assert_int_equal(machine_virtio_read(&machine, NET, DEVICE_CONFIGURATION + 6, 2), 1);
	assert_true(machine_virtio_input(&machine, &memory, &input)); /* no change, no interrupt */
	assert_int_equal(msix_sent[0], 1);
	functions_added = 0;
	machine_virtio_init(&machine);
	assert_int_equal(machine_virtio_read(&machine, NET, DEVICE_CONFIGURATION + 6, 2), 1);
}

static void entropy_is_asked_for_and_given(void **state)
{
	struct machine_input input = { .kind = MACHINE_INPUT_ENTROPY,
				       .data = (const uint8_t *)"random!!",
				       .size = 8 };

	(void)state;
	device_start(RNG, 0);
	descriptor_set(DESCRIPTORS(0), 0, BUFFERS, 8, DESCRIPTOR_WRITE, 0);
	descriptor_set(DESCRIPTORS(0), 1, BUFFERS + 64, 100000, DESCRIPTOR_WRITE, 0);
	make_available(0, 0, 16);
	make_available(0, 1, 16);
	notify(RNG, 0);
	assert_true(take());
	assert_int_equal(output.kind, MACHINE_OUTPUT_ENTROPY);
	assert_int_equal(output.value, 8);
	assert_false(take()); /* one at a time */
	assert_true(machine_virtio_input(&machine, &memory, &input));
	assert_memory_equal(memory_bytes + BUFFERS, "random!!", 8);
	assert_int_equal(used_written(0, 0), 8);
	assert_true(take());
	assert_int_equal(output.value, MACHINE_ENTROPY_MAX);
}

static void console_both_ways(void **state)
{
	struct machine_input input = { .kind = MACHINE_INPUT_VIRTIO_CONSOLE,
				       .data = (const uint8_t *)"hello",
				       .size = 5 };

	(void)state;
	device_start(CONSOLE, 0);
	memcpy(memory_bytes + BUFFERS, "login: ", 7);
	descriptor_set(DESCRIPTORS(1), 0, BUFFERS, 7, 0, 0);
	make_available(1, 0, 64);
	notify(CONSOLE, 1);
	assert_true(take());
	assert_int_equal(output.kind, MACHINE_OUTPUT_VIRTIO_CONSOLE);
	assert_memory_equal(output_bytes, "login: ", 7);
	descriptor_set(DESCRIPTORS(0), 0, BUFFERS + 100, 3, DESCRIPTOR_WRITE, 0);
	descriptor_set(DESCRIPTORS(0), 1, BUFFERS + 200, 3, DESCRIPTOR_WRITE, 0);
	make_available(0, 0, 64);
	make_available(0, 1, 64);
	assert_true(machine_virtio_input(&machine, &memory, &input));
	assert_memory_equal(memory_bytes + BUFFERS + 100, "hel", 3);
	assert_memory_equal(memory_bytes + BUFFERS + 200, "lo", 2);
	assert_int_equal(used_written(0, 1), 2);
}

static void nothing_moves_without_bus_mastering(void **state)
{
	(void)state;
	device_start(DISK, 0);
	disk_request(0, 4, 0, 0);
	is_master = false;
	notify(DISK, 0);
	assert_false(take());
	is_master = true;
	assert_false(take()); /* that bell is lost */
	notify(DISK, 0);
	is_master = false;
	assert_false(take());
	is_master = true;
	notify(DISK, 0);
	assert_true(take());
}

static void inputs_for_nobody_are_told(void **state)
{
	struct machine_input input = { .kind = MACHINE_INPUT_FRAME, .index = 3 };

	(void)state;
	assert_false(machine_virtio_input(&machine, &memory, &input));
	input.kind = 99;
	assert_false(machine_virtio_input(&machine, &memory, &input));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(disk_reads_writes_and_flushes, set_up),
		cmocka_unit_test_setup(disk_takes_a_header_in_pieces, set_up),
		cmocka_unit_test_setup(disk_tells_serial_and_refuses_bad_ranges, set_up),
		cmocka_unit_test_setup(disk_of_large_sectors_does_whole_ones, set_up),
		cmocka_unit_test_setup(disk_answer_to_an_older_request_is_dropped, set_up),
		cmocka_unit_test_setup(disk_has_so_much_under_way, set_up),
		cmocka_unit_test_setup(disk_discards_one_checked_range, set_up),
		cmocka_unit_test_setup(indirect_tables_and_event_index, set_up),
		cmocka_unit_test_setup(broken_queues_stop_the_device_only, set_up),
		cmocka_unit_test_setup(features_are_negotiated, set_up),
		cmocka_unit_test_setup(queue_must_lie_in_memory, set_up),
		cmocka_unit_test_setup(net_sends_and_receives, set_up),
		cmocka_unit_test_setup(net_merges_receive_buffers_or_takes_none, set_up),
		cmocka_unit_test_setup(link_changes_are_told_and_survive_a_reset, set_up),
		cmocka_unit_test_setup(entropy_is_asked_for_and_given, set_up),
		cmocka_unit_test_setup(console_both_ways, set_up),
		cmocka_unit_test_setup(nothing_moves_without_bus_mastering, set_up),
		cmocka_unit_test_setup(inputs_for_nobody_are_told, set_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
