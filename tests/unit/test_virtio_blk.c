/* SPDX-License-Identifier: Apache-2.0 */
/*
 * drivers/virtio_blk.c against a small virtio block device on the rig's medium.
 * The model follows the specification (Virtual I/O Device 1.2), except where a
 * test tells it not to. virtqueue.c has its own test for bad rings.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

/* The driver itself, so that each test can have it as it is after power-on. */
#include "drivers/virtio_blk.c"
#include "drivers/virtio_pci_reg.h"
#include "tests/unit/host/disk_rig.h"
#include "tests/unit/host/dma.h"
#include "tests/unit/host/mmio.h"
#include "tests/unit/host/pci.h"
#include "tests/unit/host/time.h"

#define BAR_BASE 0xfd000000u
#define BAR_SIZE 0x3000u
#define COMMON 0x0000u
#define NOTIFY 0x1000u
#define CONFIG 0x2000u

static struct model {
	const struct pci_device *pci;
	uint64_t offered;
	uint64_t accepted;
	uint32_t offered_select, accepted_select;
	uint8_t status;
	uint16_t queue_size_max, queue_size;
	bool enabled;
	uint64_t descriptors, available, used;
	uint16_t available_seen;
	uint8_t config[64];

	uint32_t sector_size;
	uint64_t bad_sector; /* requests that touch it fail */
	uint32_t deaf;	     /* so many doorbells are not heard */
	bool sticky;	     /* a reset never ends */
	bool loses_flush;    /* after a reset, the device offers less than before */
	bool short_read;     /* says that it wrote less than it should */
	uint8_t odd_status;  /* not 0: given as status of each request */
	bool no_id;
	uint32_t resets;
	bool lies; /* registers read as anything now and then */
} model;

static struct disk_device devices[2];
static struct disk_device *disk;

/* ---- The model ---- */

struct chain {
	uint16_t head;
	uint32_t count;
	struct virtqueue_descriptor descriptors[DISK_SEGMENT_MAX + 2];
};

static void take_chain(uint16_t head, struct chain *chain)
{
	const struct virtqueue_descriptor *table = host_dma_at(model.descriptors, 16u * model.queue_size);
	uint16_t index = head;

	chain->head = head;
	chain->count = 0;
	do {
		assert_true(index < model.queue_size);
		assert_true(chain->count < DISK_SEGMENT_MAX + 2);
		chain->descriptors[chain->count++] = table[index];
		index = table[index].next;
	} while (chain->descriptors[chain->count - 1].flags & 1);
}

static void answer(const struct chain *chain, uint8_t status, uint32_t written)
{
	struct virtqueue_used *used = host_dma_at(model.used, 4 + 8u * model.queue_size);
	uint8_t *status_byte = host_dma_at(chain->descriptors[chain->count - 1].physical, 1);

	*status_byte = model.odd_status ? model.odd_status : status;
	used->ring[used->index % model.queue_size] = (struct virtqueue_used_entry){ chain->head, written };
	used->index++;
}

/* Moves the data; returns its size. */
static uint32_t move_data(const struct chain *chain, uint64_t offset, bool write)
{
	uint32_t done = 0;

	for (uint32_t i = 1; i + 1 < chain->count; i++) {
		const struct virtqueue_descriptor *descriptor = &chain->descriptors[i];

		assert_int_equal((descriptor->flags & 2) != 0, !write);
		assert_true(disk_rig_copy(offset + done, descriptor->physical, descriptor->size, write));
		done += descriptor->size;
	}
	return done;
}

static void execute(const struct chain *chain)
{
	const struct virtio_blk_header *header = host_dma_at(chain->descriptors[0].physical, 16);
	uint64_t offset = header->sector * 512;
	bool write = header->type == VIRTIO_BLK_OUT;
	uint32_t size = 0;

	assert_int_equal(chain->descriptors[0].size, 16);
	assert_int_equal(chain->descriptors[chain->count - 1].size, 1);
	assert_int_equal(chain->descriptors[chain->count - 1].flags & 2, 2);
	switch (header->type) {
	case VIRTIO_BLK_GET_ID:
		assert_int_equal(chain->descriptors[1].size, VIRTIO_BLK_ID_SIZE);
		memcpy(host_dma_at(chain->descriptors[1].physical, 20), "virt 7\0ignored", 14);
		answer(chain, model.no_id ? VIRTIO_BLK_UNSUPPORTED : VIRTIO_BLK_OK, 21);
		return;
	case VIRTIO_BLK_FLUSH:
		assert_true(model.accepted & VIRTIO_BLK_FEATURE_FLUSH);
		assert_int_equal(chain->count, 2);
		disk_rig_note("F", DISK_RIG_NONE, 0);
		answer(chain, VIRTIO_BLK_OK, 1);
		return;
	case VIRTIO_BLK_IN:
	case VIRTIO_BLK_OUT:
		for (uint32_t i = 1; i + 1 < chain->count; i++)
			size += chain->descriptors[i].size;
		if (model.bad_sector * model.sector_size >= offset &&
		    model.bad_sector * model.sector_size - offset < size) {
			answer(chain, VIRTIO_BLK_IO_ERROR, 1);
			return;
		}
		move_data(chain, offset, write);
		disk_rig_note(write ? "W" : "R", offset / model.sector_size, size / model.sector_size);
		answer(chain, VIRTIO_BLK_OK, write ? 1 : size + 1 - (model.short_read ? 512 : 0));
		return;
	default:
		fail_msg("request type %u", header->type);
	}
}

static void run_queue(void)
{
	struct virtqueue_available *available = host_dma_at(model.available, 4 + 2u * model.queue_size);
	struct chain chain;

	if (disk_rig.hold)
		return;
	while (model.available_seen != available->index) {
		take_chain(available->ring[model.available_seen++ % model.queue_size], &chain);
		execute(&chain);
	}
}

static void write_status(uint8_t status)
{
	if (status != 0) {
		model.status = status;
		return;
	}
	if (model.sticky)
		return;
	if (model.status != 0) {
		model.resets++;
		disk_rig.hold = false;
	}
	model.status = 0;
	model.enabled = false;
	model.available_seen = 0;
	model.queue_size = model.queue_size_max;
	if (model.loses_flush && model.resets > 0)
		model.offered &= ~VIRTIO_BLK_FEATURE_FLUSH;
}

static uint64_t read_common(uint32_t offset)
{
	switch (offset) {
	case VIRTIO_DEVICE_FEATURE:
		return model.offered >> (32 * model.offered_select) & UINT32_MAX;
	case VIRTIO_DEVICE_STATUS:
		return model.status;
	case VIRTIO_CONFIG_GENERATION:
		return 3;
	case VIRTIO_QUEUE_COUNT:
		return 1;
	case VIRTIO_QUEUE_SIZE:
		return model.queue_size;
	case VIRTIO_QUEUE_NOTIFY_OFFSET:
		return 0;
	default:
		fail_msg("read of common register 0x%x", offset);
		return 0;
	}
}

static void set_half(uint64_t *address, bool upper, uint64_t value)
{
	uint32_t shift = upper ? 32 : 0;

	*address = (*address & ~((uint64_t)UINT32_MAX << shift)) | value << shift;
}

static void write_common(uint32_t offset, uint64_t value)
{
	switch (offset) {
	case VIRTIO_DEVICE_FEATURE_SELECT:
		model.offered_select = (uint32_t)value;
		break;
	case VIRTIO_DRIVER_FEATURE_SELECT:
		model.accepted_select = (uint32_t)value;
		break;
	case VIRTIO_DRIVER_FEATURE:
		set_half(&model.accepted, model.accepted_select == 1, value);
		break;
	case VIRTIO_DEVICE_STATUS:
		write_status((uint8_t)value);
		break;
	case VIRTIO_QUEUE_SIZE:
		model.queue_size = (uint16_t)value;
		break;
	case VIRTIO_QUEUE_ENABLE:
		model.enabled = true;
		break;
	case VIRTIO_QUEUE_DESCRIPTORS:
	case VIRTIO_QUEUE_DESCRIPTORS + 4:
		set_half(&model.descriptors, offset != VIRTIO_QUEUE_DESCRIPTORS, value);
		break;
	case VIRTIO_QUEUE_AVAILABLE:
	case VIRTIO_QUEUE_AVAILABLE + 4:
		set_half(&model.available, offset != VIRTIO_QUEUE_AVAILABLE, value);
		break;
	case VIRTIO_QUEUE_USED:
	case VIRTIO_QUEUE_USED + 4:
		set_half(&model.used, offset != VIRTIO_QUEUE_USED, value);
		break;
	default:
		break; /* vectors, queue select */
	}
}

static uint64_t model_read(void *context, uint64_t offset, uint32_t width)
{
	(void)context;
	if (disk_rig.gone)
		return UINT64_MAX >> (64 - 8 * width);
	if (model.lies && disk_rig_random(10) == 0)
		return disk_rig_random(2) ? disk_rig_random(UINT32_MAX) : BIT(disk_rig_random(32));
	if (offset >= CONFIG) {
		assert_int_equal(width, 1);
		return model.config[offset - CONFIG];
	}
	return read_common((uint32_t)offset);
}

static void model_write(void *context, uint64_t offset, uint64_t value, uint32_t width)
{
	(void)context;
	(void)width;
	if (disk_rig.gone)
		return;
	if (offset < NOTIFY) {
		write_common((uint32_t)offset, value);
		return;
	}
	assert_true(model.lies || offset == NOTIFY);
	assert_true(model.lies || (model.status == 15 && model.enabled));
	if (model.deaf > 0)
		model.deaf--;
	else
		run_queue();
}

/* ---- Set up ---- */

static void add_capability(uint8_t at, uint8_t type, uint32_t offset, uint32_t size)
{
	uint8_t capability[20] = { VIRTIO_CAPABILITY_ID, 0, 20, type, 4 };

	store_le32(capability + 8, offset);
	store_le32(capability + 12, size);
	store_le32(capability + 16, 4);
	host_pci_add_capability(model.pci, at, capability, sizeof(capability));
}

static void power_on(uint32_t sector_size)
{
	disk_rig_reset();
	memset(&model, 0, sizeof(model));
	memset(virtio_blk_disks, 0, sizeof(virtio_blk_disks));
	virtio_blk_count = 0;
	model.offered = VIRTIO_FEATURE_VERSION_1 | VIRTIO_BLK_FEATURE_FLUSH | VIRTIO_BLK_FEATURE_BLOCK_SIZE |
			VIRTIO_BLK_FEATURE_SEGMENT_MAX | VIRTIO_BLK_FEATURE_TOPOLOGY | BIT(28);
	model.queue_size_max = 256;
	model.sector_size = sector_size;
	model.bad_sector = DISK_RIG_NONE / 8192;
	store_le64(model.config, DISK_RIG_MEDIUM_SIZE / 512);
	store_le32(model.config + VIRTIO_BLK_CONFIG_SEGMENT_MAX, 254);
	store_le32(model.config + VIRTIO_BLK_CONFIG_BLOCK_SIZE, sector_size);
	model.config[VIRTIO_BLK_CONFIG_PHYSICAL] = sector_size == 512 ? 3 : 0;
}

static int probe(void)
{
	struct pci_device *pci =
		host_pci_add(VIRTIO_PCI_VENDOR, VIRTIO_PCI_DEVICE_MODERN + VIRTIO_TYPE_BLOCK);
	struct host_mmio_model registers = { BAR_BASE, BAR_SIZE, NULL, model_read, model_write };

	pci->bars[4] = (struct pci_bar){ .base = BAR_BASE, .size = BAR_SIZE };
	model.pci = pci;
	add_capability(0x40, VIRTIO_CAPABILITY_COMMON, COMMON, 0x40);
	add_capability(0x60, VIRTIO_CAPABILITY_NOTIFY, NOTIFY, 0x1000);
	add_capability(0x80, VIRTIO_CAPABILITY_DEVICE, CONFIG, sizeof(model.config));
	host_mmio_register(&registers);
	disk = &devices[0];
	return virtio_blk_ops.probe(devices, 2, pci);
}

static void start(uint32_t sector_size)
{
	power_on(sector_size);
	assert_int_equal(probe(), 1);
}

/* ---- Start-up ---- */

static void identity_is_read(void **state)
{
	(void)state;
	start(512);
	assert_string_equal(disk->identity.serial, "virt 7");
	assert_int_equal(disk->identity.sector_size, 512);
	assert_int_equal(disk->identity.physical_sector_size, 4096);
	assert_int_equal(disk->identity.sector_count, DISK_RIG_MEDIUM_SIZE / 512);
	assert_int_equal(disk->identity.queue_depth, 64);
	assert_true(disk->identity.has_write_cache);
	assert_false(disk->identity.has_write_through);
	assert_false(disk->identity.read_only);
	/* What we did not ask for we did not get. */
	assert_int_equal(model.accepted & BIT(28), 0);

	power_on(512);
	model.no_id = true;
	assert_int_equal(probe(), 1);
	assert_string_equal(disk->identity.serial, "");
}

static void useless_devices_are_refused(void **state)
{
	(void)state;
	power_on(512);
	store_le32(model.config + VIRTIO_BLK_CONFIG_BLOCK_SIZE, 520);
	assert_int_equal(probe(), -EINVAL);
	assert_false(host_pci_is_master(model.pci));

	power_on(512);
	store_le64(model.config, 0);
	assert_int_equal(probe(), -EIO);

	power_on(512);
	model.offered &= ~VIRTIO_FEATURE_VERSION_1;
	assert_int_equal(probe(), -ENOTSUP);

	power_on(512);
	model.status = 15;
	model.sticky = true;
	assert_int_equal(probe(), -ETIMEDOUT);

	power_on(512);
	disk_rig.hold = true; /* does not even tell its serial number */
	assert_int_equal(probe(), -ETIMEDOUT);
	assert_false(host_pci_is_master(model.pci));

	for (uint32_t good = 0; good < 2; good++) {
		power_on(512);
		host_dma_fail_after(good);
		assert_int_equal(probe(), -ENOMEM);
		assert_false(host_pci_is_master(model.pci));
	}
}

static void small_limits_are_kept(void **state)
{
	struct disk_request request;

	(void)state;
	power_on(512);
	model.queue_size_max = 8;
	model.offered |= VIRTIO_BLK_FEATURE_SIZE_MAX;
	store_le32(model.config + VIRTIO_BLK_CONFIG_SIZE_MAX, 32 * KIB);
	assert_int_equal(probe(), 1);
	assert_int_equal(disk->identity.queue_depth, 2);
	assert_int_equal(disk->identity.segment_max, 6);
	request = disk_rig_request(disk, DISK_READ, 0, 65, 0);
	assert_int_equal(disk->ops->submit(disk, &request), -EINVAL);
	disk_rig_check_transfers(disk);
	disk_rig_check_full_queue(disk);
}

static void read_only_disks_refuse_writes(void **state)
{
	struct disk_request request;

	(void)state;
	power_on(512);
	model.offered |= VIRTIO_BLK_FEATURE_READ_ONLY;
	assert_int_equal(probe(), 1);
	assert_true(disk->identity.read_only);
	request = disk_rig_request(disk, DISK_WRITE, 0, 8, 0);
	assert_int_equal(disk->ops->submit(disk, &request), -EROFS);
	request.operation = DISK_READ;
	assert_int_equal(disk_rig_run(disk, &request), 0);
}

/* ---- Work ---- */

static void transfers(void **state)
{
	(void)state;
	start(512);
	disk_rig_check_work(disk);
}

static void transfers_with_large_sectors(void **state)
{
	(void)state;
	start(4096);
	assert_int_equal(disk->identity.sector_size, 4096);
	assert_int_equal(disk->identity.sector_count, DISK_RIG_MEDIUM_SIZE / 4096);
	disk_rig_check_work(disk);
}

static void a_request_costs_one_doorbell(void **state)
{
	struct disk_request request;
	uint64_t before;

	(void)state;
	start(512);
	request = disk_rig_request(disk, DISK_READ, 8, 8, 0);
	before = host_mmio_read_count() + host_mmio_write_count();
	for (uint32_t i = 0; i < 300; i++)
		assert_int_equal(disk_rig_run(disk, &request), 0);
	assert_in_range(host_mmio_read_count() + host_mmio_write_count() - before, 300, 302);
}

static void a_lost_doorbell_is_rung_again(void **state)
{
	struct disk_request request;

	(void)state;
	start(512);
	request = disk_rig_request(disk, DISK_READ, 8, 8, 0);
	model.deaf = 1;
	disk_rig_submit(disk, &request);
	assert_null(disk_rig_wait(disk));
	host_time_advance_ns(VIRTIO_BLK_LOOK_MS * NS_PER_MS);
	assert_ptr_equal(disk_rig_wait(disk), &request);
	assert_int_equal(request.status, 0);
	assert_int_equal(disk->statistics.resets, 0);
}

static void many_segments_fill_the_ring(void **state)
{
	static struct disk_request requests[16];
	uint32_t accepted = 0;

	(void)state;
	start(512);
	for (uint32_t i = 0; i < 16; i++) {
		requests[i] = disk_rig_request(disk, DISK_READ, 0, 256, 0);
		requests[i].segment_count = 32;
		for (uint32_t j = 0; j < 32; j++)
			requests[i].segments[j] =
				(struct disk_segment){ disk_rig.buffer.physical + 8192 * j, 4096 };
		if (disk->ops->submit(disk, &requests[i]) == 0)
			accepted++;
		else
			assert_int_equal(disk->ops->submit(disk, &requests[i]), -EAGAIN);
	}
	assert_int_equal(accepted, 256 / 34);
	for (uint32_t i = 0; i < accepted; i++)
		assert_int_equal(disk_rig_wait(disk)->status, 0);
	disk_rig_check_full_queue(disk);
}

static void write_through_is_write_and_flush(void **state)
{
	struct disk_request request;

	(void)state;
	start(512);
	request = disk_rig_request(disk, DISK_WRITE, 16, 8, 0);
	request.write_through = true;
	assert_int_equal(disk_rig_run(disk, &request), 0);
	assert_string_equal(disk_rig.log, "W16+8 F ");
	assert_int_equal(disk->statistics.writes, 1);
}

static void without_a_cache_there_is_nothing_to_flush(void **state)
{
	struct disk_request write, flush;

	(void)state;
	power_on(512);
	model.offered &= ~VIRTIO_BLK_FEATURE_FLUSH;
	assert_int_equal(probe(), 1);
	assert_false(disk->identity.has_write_cache);
	write = disk_rig_request(disk, DISK_WRITE, 16, 8, 0);
	write.write_through = true;
	assert_int_equal(disk_rig_run(disk, &write), 0);
	flush = disk_rig_request(disk, DISK_FLUSH, 0, 0, 0);
	assert_int_equal(disk_rig_run(disk, &flush), 0);
	assert_string_equal(disk_rig.log, "W16+8 ");
}

static void the_cache_may_be_off(void **state)
{
	(void)state;
	power_on(512);
	model.offered |= VIRTIO_BLK_FEATURE_CACHE_MODE;
	assert_int_equal(probe(), 1);
	assert_false(disk->identity.has_write_cache);

	power_on(512);
	model.offered |= VIRTIO_BLK_FEATURE_CACHE_MODE;
	model.config[VIRTIO_BLK_CONFIG_WRITEBACK] = 1;
	assert_int_equal(probe(), 1);
	assert_true(disk->identity.has_write_cache);
}

/* ---- Errors ---- */

static void an_error_is_the_requests_own(void **state)
{
	struct disk_request good, bad;

	(void)state;
	start(512);
	model.bad_sector = 19;
	good = disk_rig_request(disk, DISK_READ, 8, 8, 0);
	bad = disk_rig_request(disk, DISK_WRITE, 16, 8, 4096);
	bad.write_through = true;
	disk_rig_submit(disk, &good);
	disk_rig_submit(disk, &bad);
	assert_non_null(disk_rig_wait(disk));
	assert_non_null(disk_rig_wait(disk));
	assert_int_equal(good.status, 0);
	assert_int_equal(bad.status, -EIO);
	assert_int_equal(bad.failed_sector, 16);
	assert_int_equal(bad.failed_sector_count, 8);
	assert_string_equal(disk_rig.log, "R8+8 "); /* no flush after a write that failed */
}

/* The device's answer makes no sense: a reset, after which it works again. */
static void check_nonsense(void)
{
	struct disk_request request = disk_rig_request(disk, DISK_READ, 0, 8, 0);

	assert_int_equal(disk_rig_run(disk, &request), -ECANCELED);
	assert_int_equal(disk->statistics.device_faults, 1);
	assert_int_equal(model.resets, 1);
	model.odd_status = 0;
	model.short_read = false;
	assert_null(disk_rig_wait(disk));
	disk_rig_check_full_queue(disk);
}

static void nonsense_resets_the_device(void **state)
{
	struct virtqueue_used *used;

	(void)state;
	start(512);
	model.short_read = true;
	check_nonsense();
	start(512);
	model.odd_status = 77;
	check_nonsense();
	start(512);
	model.odd_status = VIRTIO_BLK_UNANSWERED;
	check_nonsense();
	/* A used index far ahead of what was given. */
	start(512);
	used = host_dma_at(model.used, 4);
	used->index = (uint16_t)(used->index + 100);
	check_nonsense();
}

/* ---- Hanging, resets, removal ---- */

static void a_hung_device_is_reset(void **state)
{
	(void)state;
	start(512);
	disk_rig_check_time_out(disk);
	assert_null(disk_rig_wait(disk));
	disk_rig_check_transfers(disk);
}

static void requests_stay_until_the_device_is_quiet(void **state)
{
	(void)state;
	start(512);
	model.sticky = true;
	disk_rig_check_no_reset(disk);
}

static void a_device_that_wants_a_reset_gets_it(void **state)
{
	(void)state;
	start(512);
	disk_rig_hold_request(disk);
	model.status |= VIRTIO_STATUS_NEEDS_RESET;
	disk_rig_check_held_request(disk, -ECANCELED);
	assert_null(disk_rig_wait(disk));
	disk_rig_check_transfers(disk);
}

/* A disk that lost its flush on the way would silently lose writes. */
static void a_device_that_comes_back_changed_is_gone(void **state)
{
	(void)state;
	start(512);
	model.loses_flush = true;
	assert_int_equal(disk->ops->reset(disk), 0);
	assert_null(disk_rig_wait(disk));
	assert_true(disk->gone);
	assert_false(host_pci_is_master(model.pci));
}

static void removal_is_an_error(void **state)
{
	(void)state;
	start(512);
	disk_rig_check_removal(disk);
}

static void closing_hands_everything_back(void **state)
{
	(void)state;
	start(512);
	disk_rig_check_close(disk);
	assert_false(host_pci_is_master(model.pci));
	assert_int_equal(model.status, 0);
}

/* Used entries out of nowhere, statuses that do not exist; registers lie by themselves. */
static void lie(void)
{
	struct virtqueue_used *used =
		host_dma_at(virtqueue_used_physical(&virtio_blk_disks[0].ring.ring), 4 + 8);

	disk_rig.hold = disk_rig_random(4) == 0;
	model.odd_status = disk_rig_random(16) == 0 ? (uint8_t)disk_rig_random(256) : 0;
	model.short_read = disk_rig_random(16) == 0;
	if (disk_rig_random(16) == 0)
		used->index = (uint16_t)(used->index + disk_rig_random(4));
	if (disk_rig_random(8) == 0)
		used->ring[disk_rig_random(model.queue_size)].head = disk_rig_random(300);
	if (disk_rig_random(8) == 0)
		used->ring[disk_rig_random(model.queue_size)].size = disk_rig_random(70000);
}

static void a_lying_device_is_survived(void **state)
{
	(void)state;
	for (uint32_t seed = 0; seed < 400; seed++) {
		start(512);
		disk_rig_seed(seed);
		model.lies = true;
		disk_rig_check_survives(disk, lie);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(identity_is_read),
		cmocka_unit_test(useless_devices_are_refused),
		cmocka_unit_test(small_limits_are_kept),
		cmocka_unit_test(read_only_disks_refuse_writes),
		cmocka_unit_test(transfers),
		cmocka_unit_test(transfers_with_large_sectors),
		cmocka_unit_test(a_request_costs_one_doorbell),
		cmocka_unit_test(a_lost_doorbell_is_rung_again),
		cmocka_unit_test(many_segments_fill_the_ring),
		cmocka_unit_test(write_through_is_write_and_flush),
		cmocka_unit_test(without_a_cache_there_is_nothing_to_flush),
		cmocka_unit_test(the_cache_may_be_off),
		cmocka_unit_test(an_error_is_the_requests_own),
		cmocka_unit_test(nonsense_resets_the_device),
		cmocka_unit_test(a_hung_device_is_reset),
		cmocka_unit_test(requests_stay_until_the_device_is_quiet),
		cmocka_unit_test(a_device_that_wants_a_reset_gets_it),
		cmocka_unit_test(a_device_that_comes_back_changed_is_gone),
		cmocka_unit_test(removal_is_an_error),
		cmocka_unit_test(closing_hands_everything_back),
		cmocka_unit_test(a_lying_device_is_survived),
	};

	return cmocka_run_group_tests_name("virtio_blk", tests, NULL, NULL);
}
