/* SPDX-License-Identifier: Apache-2.0 */
/*
 * drivers/nvme.c against a small NVM Express controller with one or two
 * namespaces on the rig's medium. The model follows NVMe 1.4, except where a test
 * tells it not to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

/* The driver itself, so that each test can have it as it is after power-on. */
#include "drivers/nvme.c"
#include "tests/unit/host/disk_rig.h"
#include "tests/unit/host/dma.h"
#include "tests/unit/host/mmio.h"
#include "tests/unit/host/pci.h"
#include "tests/unit/host/time.h"

#define BAR_BASE 0xfe000000u
#define BAR_SIZE 0x2000u
#define STRIDE 8u /* not the usual 4 */

struct model_queue {
	uint64_t commands, completions;
	uint32_t entries, head, tail, completion_tail, completion_head;
	uint16_t phase;
	bool exists;
};

static struct model {
	const struct pci_device *pci;
	uint32_t configuration, status, admin_sizes;
	uint64_t admin_commands, admin_completions;
	struct model_queue queues[2];
	uint32_t entries_max;
	uint32_t namespace_count;
	uint32_t sector_size;
	uint8_t transfer_max_log2;
	bool has_list;	     /* of namespaces; false: an NVMe 1.0 controller */
	uint64_t bad_sector; /* commands that touch it fail */
	bool reverse;	     /* answered in reverse order */
	bool sticky_ready;   /* CSTS.RDY never goes away */
	bool never_ready;
	bool fail_create;
	bool cache_off;
	bool no_features; /* does not know GET FEATURES */
	uint32_t disables;
	bool lies; /* the status register reads as anything now and then */
} model;

static struct disk_device devices[4];
static struct disk_device *disk;

/* ---- The model ---- */

static void complete(uint32_t queue_index, uint16_t id, uint32_t code, uint32_t result)
{
	struct model_queue *queue = &model.queues[queue_index];
	struct nvme_completion *entry = host_dma_at(queue->completions + queue->completion_tail * 16, 16);

	assert_non_null(entry);
	/* A ring that runs over would overwrite what the driver has not taken. */
	assert_int_not_equal((queue->completion_tail + 1) % queue->entries, queue->completion_head);
	entry->result = result;
	entry->submission_head = (uint16_t)queue->head;
	entry->submission_queue = (uint16_t)queue_index;
	entry->id = id;
	entry->status = (uint16_t)(code << 1 | queue->phase);
	if (++queue->completion_tail == queue->entries) {
		queue->completion_tail = 0;
		queue->phase ^= 1;
	}
}

static void identify_controller(uint8_t *data)
{
	memcpy(data + NVME_CONTROLLER_SERIAL, "NV-0042             ", 20);
	memset(data + NVME_CONTROLLER_MODEL, ' ', 40);
	memcpy(data + NVME_CONTROLLER_MODEL, "Model of a controller", 21);
	data[NVME_CONTROLLER_TRANSFER_MAX] = model.transfer_max_log2;
	store_le32(data + NVME_CONTROLLER_NAMESPACE_COUNT, model.namespace_count);
	data[NVME_CONTROLLER_WRITE_CACHE] = 1;
}

static void identify_namespace(uint8_t *data)
{
	store_le64(data + NVME_NAMESPACE_SIZE, DISK_RIG_MEDIUM_SIZE / model.sector_size);
	data[NVME_NAMESPACE_FORMAT] = 2;
	store_le32(data + NVME_NAMESPACE_FORMATS + 8, (uint32_t)__builtin_ctz(model.sector_size) << 16);
}

static uint32_t admin_identify(const struct nvme_command *command)
{
	uint8_t *data = host_dma_at(command->prp1, 4096);

	assert_non_null(data);
	assert_true(is_aligned(command->prp1, 4096));
	switch (command->dword10) {
	case NVME_IDENTIFY_CONTROLLER:
		identify_controller(data);
		return 0;
	case NVME_IDENTIFY_NAMESPACE:
		assert_true(command->namespace_id >= 1 && command->namespace_id <= model.namespace_count);
		identify_namespace(data);
		return 0;
	case NVME_IDENTIFY_NAMESPACE_LIST:
		if (!model.has_list)
			return 2;
		for (uint32_t i = 0; i < model.namespace_count; i++)
			store_le32(data + 4 * i, i + 1);
		return 0;
	default:
		return 2;
	}
}

static uint32_t execute_admin(const struct nvme_command *command)
{
	struct model_queue *io = &model.queues[1];

	switch (command->opcode) {
	case NVME_GET_FEATURES:
		assert_int_equal(command->dword10, NVME_FEATURE_WRITE_CACHE);
		return model.no_features ? 2 : 0;
	case NVME_IDENTIFY:
		return admin_identify(command);
	case NVME_CREATE_COMPLETION_QUEUE:
		assert_int_equal(command->dword10 & 0xffff, 1);
		assert_int_equal(command->dword11, 1); /* contiguous, no interrupts */
		memset(io, 0, sizeof(*io));
		io->entries = (command->dword10 >> 16) + 1;
		assert_true(io->entries <= model.entries_max);
		io->completions = command->prp1;
		io->phase = 1;
		return model.fail_create ? 6 : 0;
	case NVME_CREATE_SUBMISSION_QUEUE:
		assert_int_equal(command->dword10, (io->entries - 1) << 16 | 1);
		assert_int_equal(command->dword11, 1 << 16 | 1);
		io->commands = command->prp1;
		io->exists = true;
		return 0;
	default:
		fail_msg("admin command 0x%x", command->opcode);
		return 1;
	}
}

/* Walks the pages as 4.3 says. */
static void move_data(const struct nvme_command *command, uint64_t medium_offset, uint64_t size, bool write)
{
	uint64_t page = command->prp1;
	const uint64_t *list = NULL;
	uint64_t done = min_u64(4096 - page % 4096, size);
	uint32_t index = 0;

	assert_true(disk_rig_copy(medium_offset, page, done, write));
	if (size - done > 4096) {
		list = host_dma_at(command->prp2, 8);
		assert_true(is_aligned(command->prp2, 8));
	}
	while (done < size) {
		uint64_t part = min_u64(size - done, 4096);

		if (list) {
			list = host_dma_at(command->prp2 + 8 * index, 8);
			assert_true((command->prp2 % 4096 + 8 * index) < 4096);
			page = *list;
			index++;
		} else {
			page = command->prp2;
		}
		assert_true(is_aligned(page, 4096));
		assert_true(disk_rig_copy(medium_offset + done, page, part, write));
		done += part;
	}
}

static uint32_t execute(const struct nvme_command *command)
{
	uint64_t sector = command->dword10 | (uint64_t)command->dword11 << 32;
	uint32_t count = (command->dword12 & 0xffff) + 1;
	bool write = command->opcode == NVME_WRITE;

	assert_true(command->namespace_id >= 1 && command->namespace_id <= model.namespace_count);
	if (command->opcode == NVME_FLUSH) {
		disk_rig_note("F", DISK_RIG_NONE, 0);
		return 0;
	}
	assert_true(write || command->opcode == NVME_READ);
	if (model.bad_sector >= sector && model.bad_sector - sector < count)
		return 0x281; /* unrecovered read error */
	move_data(command, sector * model.sector_size, (uint64_t)count * model.sector_size, write);
	disk_rig_note(!write ? "R" : command->dword12 & NVME_FORCE_UNIT_ACCESS ? "WF" : "W", sector, count);
	return 0;
}

static void run_queue(uint32_t index)
{
	struct model_queue *queue = &model.queues[index];
	struct nvme_command taken[NVME_ENTRIES_MAX];
	uint32_t count = 0;

	if (index == 1 && disk_rig.hold)
		return;
	for (; queue->head != queue->tail; queue->head = (queue->head + 1) % queue->entries) {
		const struct nvme_command *command = host_dma_at(queue->commands + queue->head * 64, 64);

		assert_non_null(command);
		taken[count++] = *command;
	}
	for (uint32_t i = 0; i < count; i++) {
		const struct nvme_command *command = &taken[model.reverse && index == 1 ? count - 1 - i : i];

		complete(index, command->id, index == 0 ? execute_admin(command) : execute(command),
			 !model.cache_off);
	}
}

static void write_configuration(uint32_t value)
{
	bool was_enabled = (model.configuration & NVME_CC_ENABLE) != 0;

	model.configuration = value;
	if (value & NVME_CC_SHUTDOWN)
		model.status |= 2u << 2;
	if (was_enabled && !(value & NVME_CC_ENABLE)) {
		model.disables++;
		model.queues[1].exists = false;
		disk_rig.hold = false;
		if (!model.sticky_ready)
			model.status = 0;
	} else if (!was_enabled && (value & NVME_CC_ENABLE) && !model.never_ready) {
		assert_int_equal(value >> 16 & 0xff, 0x46);
		assert_int_equal(value >> 4 & 0xfff, 0);
		memset(&model.queues[0], 0, sizeof(model.queues[0]));
		model.queues[0] = (struct model_queue){ .commands = model.admin_commands,
							.completions = model.admin_completions,
							.entries = (model.admin_sizes & 0xfff) + 1,
							.phase = 1,
							.exists = true };
		assert_true(is_aligned(model.admin_commands | model.admin_completions, 4096));
		model.status = 1;
	}
}

static void write_doorbell(uint32_t index, uint32_t value)
{
	struct model_queue *queue = &model.queues[index / 2];

	assert_true(index < 4);
	assert_true(queue->exists);
	assert_true(value < queue->entries);
	if (index % 2 == 1) {
		queue->completion_head = value;
		return;
	}
	queue->tail = value;
	run_queue(index / 2);
}

static uint64_t model_read(void *context, uint64_t offset, uint32_t width)
{
	(void)context;
	if (disk_rig.gone)
		return UINT64_MAX >> (64 - 8 * width);
	if (model.lies && disk_rig_random(10) == 0)
		return disk_rig_random(2) ? disk_rig_random(UINT32_MAX) : BIT(disk_rig_random(32));
	switch (offset) {
	case NVME_CAP:
		assert_int_equal(width, 8);
		return (model.entries_max - 1) | UINT64_C(2) << 24 | UINT64_C(1) << 32 | BIT(37);
	case NVME_CC:
		return model.configuration;
	case NVME_CSTS:
		return model.status;
	default:
		fail_msg("read of register 0x%llx", (unsigned long long)offset);
		return 0;
	}
}

static void model_write(void *context, uint64_t offset, uint64_t value, uint32_t width)
{
	(void)context;
	(void)width;
	if (disk_rig.gone)
		return;
	if (offset >= NVME_DOORBELLS)
		write_doorbell((uint32_t)(offset - NVME_DOORBELLS) / STRIDE, (uint32_t)value);
	else if (offset == NVME_CC)
		write_configuration((uint32_t)value);
	else if (offset == NVME_AQA)
		model.admin_sizes = (uint32_t)value;
	else if (offset == NVME_ASQ)
		model.admin_commands = value;
	else if (offset == NVME_ACQ)
		model.admin_completions = value;
	else
		assert_int_equal(offset, NVME_INTMS);
}

/* ---- Set up ---- */

static void power_on(uint32_t sector_size, uint32_t namespace_count)
{
	disk_rig_reset();
	memset(&model, 0, sizeof(model));
	memset(nvme_controllers, 0, sizeof(nvme_controllers));
	nvme_controller_count = 0;
	nvme_device_count = 0;
	model.sector_size = sector_size;
	model.namespace_count = namespace_count;
	model.entries_max = 2048;
	model.has_list = true;
	model.bad_sector = DISK_RIG_NONE;
}

static int probe(void)
{
	struct pci_device *pci = host_pci_add(0x1b36, 0x0010);
	struct host_mmio_model registers = { BAR_BASE, BAR_SIZE, NULL, model_read, model_write };

	pci->class_code = 1;
	pci->subclass = 8;
	pci->interface = 2;
	pci->bars[NVME_BAR] = (struct pci_bar){ .base = BAR_BASE, .size = BAR_SIZE };
	host_mmio_register(&registers);
	model.pci = pci;
	disk = &devices[0];
	return nvme_ops.probe(devices, 4, pci);
}

static void start(uint32_t sector_size)
{
	power_on(sector_size, 1);
	assert_int_equal(probe(), 1);
}

/* ---- Start-up ---- */

static void identity_is_read(void **state)
{
	(void)state;
	start(512);
	assert_string_equal(disk->identity.serial, "NV-0042");
	assert_string_equal(disk->identity.model, "Model of a controller");
	assert_int_equal(disk->unit, 1);
	assert_int_equal(disk->identity.sector_size, 512);
	assert_int_equal(disk->identity.sector_count, DISK_RIG_MEDIUM_SIZE / 512);
	assert_int_equal(disk->identity.queue_depth, 64);
	assert_int_equal(disk->identity.transfer_max, DISK_TRANSFER_MAX);
	assert_true(disk->identity.has_write_cache);
	assert_true(disk->identity.has_write_through);
}

static void the_cache_may_be_off(void **state)
{
	(void)state;
	power_on(512, 1);
	model.cache_off = true;
	assert_int_equal(probe(), 1);
	assert_false(disk->identity.has_write_cache);

	power_on(512, 1);
	model.cache_off = true;
	model.no_features = true;
	assert_int_equal(probe(), 1);
	assert_true(disk->identity.has_write_cache);
}

static void namespaces_are_disks(void **state)
{
	struct disk_request first, second;

	(void)state;
	power_on(512, 2);
	assert_int_equal(probe(), 2);
	assert_string_equal(devices[0].identity.serial, "NV-0042:1");
	assert_string_equal(devices[1].identity.serial, "NV-0042:2");
	/* Each gets its own requests back, whoever polls first. */
	first = disk_rig_request(&devices[0], DISK_READ, 0, 1, 0);
	second = disk_rig_request(&devices[1], DISK_READ, 0, 1, 4096);
	disk_rig_submit(&devices[0], &first);
	disk_rig_submit(&devices[1], &second);
	assert_ptr_equal(disk_rig_wait(&devices[1]), &second);
	assert_ptr_equal(disk_rig_wait(&devices[0]), &first);
	/* The controller works until the last is closed. */
	devices[0].ops->close(&devices[0]);
	assert_int_equal(devices[0].ops->submit(&devices[0], &first), -ENODEV);
	assert_int_equal(disk_rig_run(&devices[1], &second), 0);
	devices[1].ops->close(&devices[1]);
	assert_int_equal(NVME_CSTS_SHUTDOWN(model.status), NVME_SHUTDOWN_DONE);
	assert_false(host_pci_is_master(model.pci));
}

static void old_controllers_have_no_list(void **state)
{
	(void)state;
	power_on(512, 2);
	model.has_list = false;
	assert_int_equal(probe(), 2);
}

static void a_running_controller_is_taken_over(void **state)
{
	(void)state;
	power_on(512, 1);
	model.configuration = 0x460001;
	model.status = 1;
	assert_int_equal(probe(), 1);
	assert_int_equal(model.disables, 1);
}

static void useless_controllers_are_refused(void **state)
{
	(void)state;
	power_on(512, 1);
	model.never_ready = true;
	assert_true(probe() < 0);
	assert_false(host_pci_is_master(model.pci));

	power_on(512, 1);
	model.fail_create = true;
	assert_true(probe() < 0);
	assert_false(host_pci_is_master(model.pci));

	power_on(2048, 1);
	assert_int_equal(probe(), 0);

	power_on(512, 1);
	host_dma_fail_after(0);
	assert_int_equal(probe(), -ENOMEM);

	power_on(512, 1);
	disk_rig.gone = true;
	assert_true(probe() < 0);
}

static void small_limits_are_kept(void **state)
{
	struct disk_request request;

	(void)state;
	power_on(512, 1);
	model.entries_max = 2;
	model.transfer_max_log2 = 3;
	assert_int_equal(probe(), 1);
	assert_int_equal(disk->identity.queue_depth, 1);
	assert_int_equal(disk->identity.transfer_max, 32 * KIB);
	request = disk_rig_request(disk, DISK_READ, 0, 65, 0);
	assert_int_equal(disk->ops->submit(disk, &request), -EINVAL);
	disk_rig_check_transfers(disk);
	disk_rig_check_full_queue(disk);

	power_on(512, 1);
	model.entries_max = 64;
	assert_int_equal(probe(), 1);
	assert_int_equal(disk->identity.queue_depth, 48);
	disk_rig_check_full_queue(disk);
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
	disk_rig_check_work(disk);
}

static void completions_in_any_order(void **state)
{
	(void)state;
	start(512);
	model.reverse = true;
	disk_rig_check_full_queue(disk);
}

static void a_request_costs_one_doorbell_and_a_bit(void **state)
{
	struct disk_request request;
	uint64_t before;

	(void)state;
	start(512);
	request = disk_rig_request(disk, DISK_READ, 8, 8, 0);
	before = host_mmio_read_count() + host_mmio_write_count();
	for (uint32_t i = 0; i < 320; i++)
		assert_int_equal(disk_rig_run(disk, &request), 0);
	/* 320 tails, 10 heads, and a look at the status now and then. */
	assert_in_range(host_mmio_read_count() + host_mmio_write_count() - before, 330, 332);
}

static void write_through_is_force_unit_access(void **state)
{
	struct disk_request request;

	(void)state;
	start(512);
	request = disk_rig_request(disk, DISK_WRITE, 16, 8, 0);
	request.write_through = true;
	assert_int_equal(disk_rig_run(disk, &request), 0);
	request.write_through = false;
	assert_int_equal(disk_rig_run(disk, &request), 0);
	request = disk_rig_request(disk, DISK_FLUSH, 0, 0, 0);
	assert_int_equal(disk_rig_run(disk, &request), 0);
	assert_string_equal(disk_rig.log, "WF16+8 W16+8 F ");
}

/* ---- Errors ---- */

static void an_error_is_the_commands_own(void **state)
{
	struct disk_request good, bad;

	(void)state;
	start(512);
	model.bad_sector = 19;
	good = disk_rig_request(disk, DISK_READ, 8, 8, 0);
	bad = disk_rig_request(disk, DISK_READ, 16, 8, 4096);
	disk_rig_submit(disk, &good);
	disk_rig_submit(disk, &bad);
	assert_non_null(disk_rig_wait(disk));
	assert_non_null(disk_rig_wait(disk));
	assert_int_equal(good.status, 0);
	assert_int_equal(bad.status, -EIO);
	assert_int_equal(bad.failed_sector, 16);
	assert_int_equal(bad.failed_sector_count, 8);
	assert_int_equal(disk->statistics.errors, 1);
	assert_int_equal(disk->statistics.resets, 0);
}

/* One request is held; the device then says something wrong, and must be reset. */
static void check_nonsense(uint16_t id_change, uint32_t queue_index)
{
	struct disk_request request, after;
	struct model_queue *io = &model.queues[1];
	struct nvme_completion *entry;

	start(512);
	disk_rig.hold = true;
	request = disk_rig_request(disk, DISK_READ, 0, 8, 0);
	disk_rig_submit(disk, &request);
	io->head = io->tail;
	entry = host_dma_at(io->completions + io->completion_tail * 16, 16);
	entry->submission_queue = (uint16_t)queue_index;
	entry->id = (uint16_t)(((const struct nvme_command *)host_dma_at(io->commands, 64))->id + id_change);
	entry->status = io->phase;
	assert_ptr_equal(disk_rig_wait(disk), &request);
	assert_int_equal(request.status, -ECANCELED);
	assert_int_equal(disk->statistics.device_faults, 1);
	assert_int_equal(disk->statistics.resets, 1);
	assert_int_equal(model.disables, 1);
	assert_null(disk_rig_wait(disk));
	after = disk_rig_request(disk, DISK_READ, 0, 8, 0);
	assert_int_equal(disk_rig_run(disk, &after), 0);
}

static void nonsense_resets_the_controller(void **state)
{
	(void)state;
	check_nonsense(1, 1);	   /* a tag that is not under way */
	check_nonsense(0xff, 1);   /* a tag that cannot be */
	check_nonsense(0x0100, 1); /* the tag of an earlier request */
	check_nonsense(0, 2);	   /* another queue */
	check_nonsense(0, 0);
}

static void a_completion_told_twice_is_noticed(void **state)
{
	struct disk_request request;

	(void)state;
	start(512);
	request = disk_rig_request(disk, DISK_READ, 0, 8, 0);
	assert_int_equal(disk_rig_run(disk, &request), 0);
	complete(1, nvme_id(0, nvme_controllers[0].generations[0]), 0, 0);
	disk_rig.hold = true;
	disk_rig_submit(disk, &request); /* the same tag again */
	assert_ptr_equal(disk_rig_wait(disk), &request);
	assert_int_equal(request.status, -ECANCELED);
	assert_int_equal(disk->statistics.device_faults, 1);
}

/* ---- Hanging, resets, removal ---- */

static void a_hung_controller_is_reset(void **state)
{
	(void)state;
	start(512);
	disk_rig_check_time_out(disk);
	assert_null(disk_rig_wait(disk));
	disk_rig_check_full_queue(disk);
}

static void requests_stay_until_the_controller_is_quiet(void **state)
{
	(void)state;
	start(512);
	model.sticky_ready = true;
	disk_rig_check_no_reset(disk);
}

static void a_fatal_status_resets_the_controller(void **state)
{
	(void)state;
	start(512);
	disk_rig_hold_request(disk);
	model.status |= NVME_CSTS_FATAL;
	disk_rig_check_held_request(disk, -ECANCELED);
	assert_int_equal(disk->statistics.device_faults, 1);
	assert_null(disk_rig_wait(disk));
	assert_false(disk->gone);
	disk_rig_check_transfers(disk);
}

static void a_controller_that_does_not_come_back_is_gone(void **state)
{
	(void)state;
	start(512);
	model.never_ready = true;
	assert_int_equal(disk->ops->reset(disk), 0);
	assert_null(disk_rig_wait(disk));
	assert_false(disk->gone);
	host_time_advance_ns(2 * NS_PER_S);
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
}

/* Completions out of nowhere, requests left alone; the status register lies by itself. */
static void lie(void)
{
	struct nvme_controller *controller = &nvme_controllers[0];
	volatile struct nvme_completion *entry =
		&controller->io
			 .completions[(controller->io.head + disk_rig_random(2)) % controller->io.entries];

	disk_rig.hold = disk_rig_random(4) == 0;
	if (disk_rig_random(4) == 0) {
		entry->submission_queue = (uint16_t)disk_rig_random(3);
		entry->id = disk_rig_random(2) ? (uint16_t)disk_rig_random(65536)
					       : nvme_id(disk_rig_random(8), (uint8_t)disk_rig_random(4));
		entry->status = (uint16_t)disk_rig_random(65536);
	}
	if (disk_rig_random(64) == 0)
		controller->memory->admin_completions[disk_rig_random(NVME_ADMIN_ENTRIES)].status ^= 1;
}

static void a_lying_controller_is_survived(void **state)
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
		cmocka_unit_test(the_cache_may_be_off),
		cmocka_unit_test(namespaces_are_disks),
		cmocka_unit_test(old_controllers_have_no_list),
		cmocka_unit_test(a_running_controller_is_taken_over),
		cmocka_unit_test(useless_controllers_are_refused),
		cmocka_unit_test(small_limits_are_kept),
		cmocka_unit_test(transfers),
		cmocka_unit_test(transfers_with_large_sectors),
		cmocka_unit_test(completions_in_any_order),
		cmocka_unit_test(a_request_costs_one_doorbell_and_a_bit),
		cmocka_unit_test(write_through_is_force_unit_access),
		cmocka_unit_test(an_error_is_the_commands_own),
		cmocka_unit_test(nonsense_resets_the_controller),
		cmocka_unit_test(a_completion_told_twice_is_noticed),
		cmocka_unit_test(a_hung_controller_is_reset),
		cmocka_unit_test(requests_stay_until_the_controller_is_quiet),
		cmocka_unit_test(a_fatal_status_resets_the_controller),
		cmocka_unit_test(a_controller_that_does_not_come_back_is_gone),
		cmocka_unit_test(removal_is_an_error),
		cmocka_unit_test(closing_hands_everything_back),
		cmocka_unit_test(a_lying_controller_is_survived),
	};

	return cmocka_run_group_tests_name("nvme", tests, NULL, NULL);
}
