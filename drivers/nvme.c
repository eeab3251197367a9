/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks behind an NVM Express controller (NVMe 1.4): one admin queue pair, one I/O
 * queue pair, polled. Each namespace is one disk_device; they share the queues and
 * are reset together. The controller is a small state machine that poll moves on:
 *
 *     DISABLING -> ENABLING -> CREATING_COMPLETIONS -> CREATING_SUBMISSIONS -> READY
 *         ^                                                                      |
 *         +---- out of time, fatal status, an answer that makes no sense --------+
 *
 * Start-up is the same walk, only with somebody waiting for its end.
 *
 * A request costs a share of one register write: submit fills ring entries, start
 * rings one doorbell for all of them; completions are seen in memory by their
 * phase bit, and the head doorbell is written once for a quarter of the ring. The
 * depth leaves room for the entries whose return the controller does not know of
 * yet, so neither ring can run over.
 *
 * A command's id is its tag and a generation, so that an answer to a request that
 * is already over is told from one that is awaited.
 *
 * Memory of a request is handed back only when the controller has answered, is
 * disabled, or can no longer master the bus.
 */
#include "drivers/nvme_reg.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "drivers/disk_drivers.h"
#include "drivers/disk_queue.h"
#include "include/assert.h"
#include "include/byte_order.h"
#include "include/trace.h"
#include "kernel/dma.h"
#include "kernel/time.h"

TRACE_FILE("disk", TRACE_INFO);

#define NVME_CONTROLLER_MAX DISK_DEVICE_MAX
#define NVME_IO_QUEUE 1
#define NVME_LOOK_MS 100 /* how often the status register is read */
#define NVME_ADMIN_TIMEOUT_MS DISK_TIMEOUT_MS
#define NVME_SHUTDOWN_TIMEOUT_MS 1000

BUILD_ASSERT(DISK_QUEUE_DEPTH_MAX <= 256); /* a tag is the lower half of a command's id */

enum nvme_state {
	NVME_DISABLING,
	NVME_ENABLING,
	NVME_CREATING_COMPLETIONS,
	NVME_CREATING_SUBMISSIONS,
	NVME_READY,
	NVME_GONE,
};

struct nvme_ring {
	struct nvme_command *commands;
	volatile struct nvme_completion *completions;
	uint32_t index;	  /* 0: admin, 1: I/O */
	uint32_t entries; /* of each of the two */
	uint32_t tail;	  /* next command goes here */
	uint32_t tail_rung;
	uint32_t head;	      /* next completion comes here */
	uint32_t head_unrung; /* completions taken that the controller does not know of */
	uint16_t phase;	      /* of new completions: changes with each round */
};

struct nvme_controller {
	const struct pci_device *pci;
	struct mmio registers;
	uint64_t capabilities;
	struct dma_buffer buffer;
	struct nvme_memory *memory;

	enum nvme_state state;
	uint64_t state_deadline_ns;
	uint64_t look_ns; /* when the status register is to be read next */

	struct nvme_ring admin;
	struct nvme_ring io;
	struct disk_queue queue;
	uint8_t generations[DISK_QUEUE_DEPTH_MAX]; /* by tag */

	struct disk_device *devices; /* one a namespace */
	uint32_t device_count;
};

static struct nvme_controller nvme_controllers[NVME_CONTROLLER_MAX];
static uint32_t nvme_controller_count;
static uint32_t nvme_device_count;

static void nvme_enter(struct nvme_controller *controller, enum nvme_state state, uint64_t timeout_ms)
{
	controller->state = state;
	controller->state_deadline_ns = time_now_ns() + timeout_ms * NS_PER_MS;
}

static uint32_t nvme_status(const struct nvme_controller *controller)
{
	return mmio_read32(&controller->registers, NVME_CSTS);
}

static uint64_t nvme_physical(const struct nvme_controller *controller, const volatile void *address)
{
	return controller->buffer.physical +
	       (uint64_t)((const volatile char *)address - (const char *)controller->buffer.address);
}

/* ---- Rings ---- */

static void nvme_ring_init(struct nvme_ring *ring)
{
	memset(ring->commands, 0, ring->entries * sizeof(ring->commands[0]));
	memset((void *)(uintptr_t)ring->completions, 0, ring->entries * sizeof(ring->completions[0]));
	ring->tail = 0;
	ring->tail_rung = 0;
	ring->head = 0;
	ring->head_unrung = 0;
	ring->phase = NVME_STATUS_PHASE;
}

/* The next free entry, zeroed. The caller knows that there is one. */
static struct nvme_command *nvme_ring_next(struct nvme_ring *ring)
{
	struct nvme_command *command = &ring->commands[ring->tail];

	ring->tail = ring->tail + 1 == ring->entries ? 0 : ring->tail + 1;
	memset(command, 0, sizeof(*command));
	return command;
}

static void nvme_ring_start(struct nvme_controller *controller, struct nvme_ring *ring)
{
	if (ring->tail_rung == ring->tail)
		return;
	ring->tail_rung = ring->tail;
	dma_write_barrier(); /* commands and page lists before the doorbell */
	mmio_write32(&controller->registers, NVME_TAIL_DOORBELL(controller->capabilities, ring->index),
		     ring->tail);
}

/* Takes the next completion, if there is one. */
static bool nvme_ring_take(struct nvme_controller *controller, struct nvme_ring *ring,
			   struct nvme_completion *completion)
{
	volatile struct nvme_completion *entry = &ring->completions[ring->head];
	uint16_t status = entry->status;

	if ((status & NVME_STATUS_PHASE) != ring->phase)
		return false;
	dma_read_barrier(); /* the phase before the rest of the entry, and the data it vouches for */
	completion->result = entry->result;
	completion->submission_queue = entry->submission_queue;
	completion->id = entry->id;
	completion->status = status;
	if (++ring->head == ring->entries) {
		ring->head = 0;
		ring->phase ^= NVME_STATUS_PHASE;
	}
	if (++ring->head_unrung >= ring->entries / 4) {
		ring->head_unrung = 0;
		mmio_write32(&controller->registers,
			     NVME_HEAD_DOORBELL(controller->capabilities, ring->index), ring->head);
	}
	return true;
}

/* ---- Admin commands, one at a time ---- */

static struct nvme_command *nvme_admin_next(struct nvme_controller *controller, enum nvme_admin_opcode opcode)
{
	struct nvme_command *command = nvme_ring_next(&controller->admin);

	command->opcode = (uint8_t)opcode;
	command->id = (uint16_t)controller->admin.tail;
	return command;
}

/*
 * Is the command sent last over? 0: well, with its result; -EAGAIN: not yet; -EIO:
 * it failed; -EPROTO: not our command.
 */
static int nvme_admin_result(struct nvme_controller *controller, uint32_t *result)
{
	struct nvme_completion completion;

	if (!nvme_ring_take(controller, &controller->admin, &completion))
		return -EAGAIN;
	if (completion.id != controller->admin.tail || completion.submission_queue != 0)
		return trace_error(-EPROTO);
	*result = completion.result;
	if (NVME_STATUS_CODE(completion.status) == 0)
		return 0;
	trace(TRACE_WARNING, "nvme: admin command failed, status 0x%x", NVME_STATUS_CODE(completion.status));
	return trace_error(-EIO);
}

/* Sends the admin command built last and waits for its end: start-up only. */
static int nvme_admin_run(struct nvme_controller *controller, uint32_t *result)
{
	uint64_t deadline_ns = time_now_ns() + NVME_ADMIN_TIMEOUT_MS * NS_PER_MS;
	int status;

	nvme_ring_start(controller, &controller->admin);
	do {
		status = nvme_admin_result(controller, result);
	} while (status == -EAGAIN && !time_reached(deadline_ns));
	return status == -EAGAIN ? trace_error(-ETIMEDOUT) : status;
}

/* IDENTIFY into controller->memory->data. */
static int nvme_identify(struct nvme_controller *controller, enum nvme_identify_kind kind,
			 uint32_t namespace_id)
{
	struct nvme_command *command = nvme_admin_next(controller, NVME_IDENTIFY);
	uint32_t result;

	memset(controller->memory->data, 0, NVME_IDENTIFY_SIZE);
	command->namespace_id = namespace_id;
	command->prp1 = nvme_physical(controller, controller->memory->data);
	command->dword10 = (uint32_t)kind;
	return nvme_admin_run(controller, &result);
}

/* A cache that can be switched may be off; a controller that does not say has it on. */
static int nvme_read_write_cache(struct nvme_controller *controller, bool *is_on)
{
	struct nvme_command *command = nvme_admin_next(controller, NVME_GET_FEATURES);
	uint32_t result = 0;
	int status;

	command->dword10 = NVME_FEATURE_WRITE_CACHE;
	status = nvme_admin_run(controller, &result);
	*is_on = status != 0 || (result & 1);
	return status == -EIO ? 0 : status;
}

/* 5.3, 5.4: both name the ring's memory, size and queue; interrupts stay off. */
static void nvme_create(struct nvme_controller *controller, enum nvme_admin_opcode opcode,
			const volatile void *memory, uint32_t completion_queue)
{
	struct nvme_command *command = nvme_admin_next(controller, opcode);

	command->prp1 = nvme_physical(controller, memory);
	command->dword10 = (controller->io.entries - 1) << 16 | NVME_IO_QUEUE;
	command->dword11 = completion_queue << 16 | (uint32_t)NVME_QUEUE_CONTIGUOUS;
	nvme_ring_start(controller, &controller->admin);
}

/* ---- Reset ---- */

/* Ends the controller's life; it must not be able to reach memory any more. */
static void nvme_retire(struct nvme_controller *controller, int status)
{
	pci_disable(controller->pci);
	controller->state = NVME_GONE;
	for (uint32_t i = 0; i < controller->device_count; i++)
		controller->devices[i].gone = true;
	disk_queue_finish_all(&controller->queue, status);
	trace(status == -ECANCELED ? TRACE_INFO : TRACE_WARNING, "nvme: the controller is %s",
	      status == -ECANCELED ? "closed" : "gone");
}

static void nvme_begin_disable(struct nvme_controller *controller)
{
	mmio_write32(&controller->registers, NVME_CC, 0);
	/* A controller that states no time-out gets the shortest that one could state. */
	nvme_enter(controller, NVME_DISABLING, max_u64(NVME_CAP_TIMEOUT_MS(controller->capabilities), 500));
}

static void nvme_begin_reset(struct nvme_controller *controller)
{
	for (uint32_t i = 0; i < controller->device_count; i++)
		controller->devices[i].statistics.resets++;
	trace(TRACE_WARNING, "nvme: reset");
	nvme_begin_disable(controller);
}

static void nvme_fault(struct nvme_controller *controller, const char *what)
{
	for (uint32_t i = 0; i < controller->device_count; i++)
		controller->devices[i].statistics.device_faults++;
	trace(TRACE_WARNING, "nvme: %s", what);
	nvme_begin_reset(controller);
}

/* 7.6.1: rings fresh and named, then enabled. */
static void nvme_enable(struct nvme_controller *controller)
{
	const struct mmio *registers = &controller->registers;

	nvme_ring_init(&controller->admin);
	nvme_ring_init(&controller->io);
	mmio_write32(registers, NVME_INTMS, UINT32_MAX);
	mmio_write32(registers, NVME_AQA, (NVME_ADMIN_ENTRIES - 1) << 16 | (NVME_ADMIN_ENTRIES - 1));
	mmio_write64(registers, NVME_ASQ, nvme_physical(controller, controller->admin.commands));
	mmio_write64(registers, NVME_ACQ, nvme_physical(controller, controller->admin.completions));
	dma_write_barrier(); /* the zeroed rings before the controller looks at them */
	mmio_write32(registers, NVME_CC, NVME_CC_ENABLE | NVME_CC_COMMAND_SIZE | NVME_CC_COMPLETION_SIZE);
	nvme_enter(controller, NVME_ENABLING, max_u64(NVME_CAP_TIMEOUT_MS(controller->capabilities), 500));
}

static void nvme_step_disabling(struct nvme_controller *controller)
{
	uint32_t status = nvme_status(controller);

	if (status == UINT32_MAX || (status & NVME_CSTS_READY)) {
		if (status == UINT32_MAX || time_reached(controller->state_deadline_ns))
			nvme_retire(controller, -ENODEV);
		return;
	}
	disk_queue_finish_all(&controller->queue, -ECANCELED);
	nvme_enable(controller);
}

static void nvme_step_enabling(struct nvme_controller *controller)
{
	uint32_t status = nvme_status(controller);

	if (status == UINT32_MAX || (status & NVME_CSTS_FATAL)) {
		nvme_retire(controller, -ENODEV);
		return;
	}
	if (!(status & NVME_CSTS_READY)) {
		if (time_reached(controller->state_deadline_ns))
			nvme_retire(controller, -ENODEV);
		return;
	}
	nvme_create(controller, NVME_CREATE_COMPLETION_QUEUE, controller->io.completions, 0);
	nvme_enter(controller, NVME_CREATING_COMPLETIONS, NVME_ADMIN_TIMEOUT_MS);
}

static void nvme_step_creating(struct nvme_controller *controller)
{
	uint32_t result;
	int status = nvme_admin_result(controller, &result);

	if (status == -EAGAIN && !time_reached(controller->state_deadline_ns))
		return;
	if (status != 0) {
		nvme_retire(controller, -ENODEV);
		return;
	}
	if (controller->state == NVME_CREATING_COMPLETIONS) {
		nvme_create(controller, NVME_CREATE_SUBMISSION_QUEUE, controller->io.commands, NVME_IO_QUEUE);
		nvme_enter(controller, NVME_CREATING_SUBMISSIONS, NVME_ADMIN_TIMEOUT_MS);
		return;
	}
	nvme_enter(controller, NVME_READY, 0);
	controller->look_ns = time_now_ns() + NVME_LOOK_MS * NS_PER_MS;
}

/* ---- READY ---- */

static uint16_t nvme_id(uint32_t tag, uint8_t generation)
{
	return (uint16_t)((uint32_t)generation << 8 | tag);
}

/* One page at a time: the first in prp1, the second in prp2, more in a list (4.3). */
static void nvme_build_pages(struct nvme_controller *controller, struct nvme_command *command,
			     const struct disk_request *request)
{
	uint64_t *list = controller->memory->prp_lists[request->tag];
	uint32_t count = 0;

	command->prp1 = request->segments[0].physical;
	for (uint32_t i = 0; i < request->segment_count; i++) {
		uint64_t page = request->segments[i].physical;
		uint64_t end = page + request->segments[i].size;

		if (i == 0)
			page = align_down(page, NVME_PAGE_SIZE) + NVME_PAGE_SIZE;
		for (; page < end; page += NVME_PAGE_SIZE) {
			ASSERT(count < NVME_PRP_LIST_SIZE);
			list[count++] = page;
		}
	}
	if (count == 1)
		command->prp2 = list[0];
	else if (count > 1)
		command->prp2 = nvme_physical(controller, list);
}

static void nvme_build_request(struct nvme_controller *controller, const struct disk_request *request)
{
	struct nvme_command *command = nvme_ring_next(&controller->io);

	command->id = nvme_id(request->tag, ++controller->generations[request->tag]);
	command->namespace_id = request->device->unit;
	if (request->operation == DISK_FLUSH) {
		command->opcode = NVME_FLUSH;
		return;
	}
	command->opcode = request->operation == DISK_READ ? NVME_READ : NVME_WRITE;
	command->dword10 = (uint32_t)request->sector;
	command->dword11 = (uint32_t)(request->sector >> 32);
	command->dword12 = request->sector_count - 1;
	if (request->operation == DISK_WRITE && request->write_through)
		command->dword12 |= (uint32_t)NVME_FORCE_UNIT_ACCESS;
	nvme_build_pages(controller, command, request);
}

/* Takes back what is done. False: the controller said something that makes no sense. */
static bool nvme_collect(struct nvme_controller *controller)
{
	struct nvme_completion completion;

	while (nvme_ring_take(controller, &controller->io, &completion)) {
		uint32_t tag = completion.id & 0xff;
		uint32_t code = NVME_STATUS_CODE(completion.status);

		if (completion.submission_queue != NVME_IO_QUEUE ||
		    !disk_queue_request(&controller->queue, tag) ||
		    completion.id != nvme_id(tag, controller->generations[tag]))
			return false;
		if (code != 0)
			trace(TRACE_WARNING, "nvme: command failed, status 0x%x", code);
		disk_queue_finish(&controller->queue, tag, code == 0 ? 0 : -EIO);
	}
	return true;
}

/*
 * A controller that gives up says so in its status register and nowhere else; one
 * that was pulled out reads as all ones, or is not ready.
 */
static void nvme_look(struct nvme_controller *controller)
{
	uint32_t status = nvme_status(controller);

	if (status == UINT32_MAX || !disk_is_present(&controller->devices[0]))
		nvme_retire(controller, -ENODEV);
	else if (status & NVME_CSTS_FATAL)
		nvme_fault(controller, "the controller reports a fatal error");
	else if (!(status & NVME_CSTS_READY))
		nvme_fault(controller, "the controller is not ready any more");
}

static void nvme_watch(struct nvme_controller *controller)
{
	uint64_t now_ns;

	if (controller->queue.busy && !nvme_collect(controller)) {
		nvme_fault(controller, "a completion that nobody asked for");
		return;
	}
	now_ns = time_now_ns();
	if (now_ns >= controller->look_ns) {
		controller->look_ns = now_ns + NVME_LOOK_MS * NS_PER_MS;
		nvme_look(controller);
	}
	if (controller->state == NVME_READY && disk_queue_expire(&controller->queue, now_ns))
		nvme_begin_reset(controller);
}

static void nvme_step(struct nvme_controller *controller)
{
	switch (controller->state) {
	case NVME_READY:
		nvme_watch(controller);
		break;
	case NVME_DISABLING:
		nvme_step_disabling(controller);
		break;
	case NVME_ENABLING:
		nvme_step_enabling(controller);
		break;
	case NVME_CREATING_COMPLETIONS:
	case NVME_CREATING_SUBMISSIONS:
		nvme_step_creating(controller);
		break;
	case NVME_GONE:
		break;
	}
}

/* ---- The verbs ---- */

static int nvme_submit(struct disk_device *device, struct disk_request *request)
{
	struct nvme_controller *controller = device->driver;
	int status;

	if (!device->gone && controller->state != NVME_READY)
		return -EAGAIN;
	status = disk_queue_add(&controller->queue, device, request);
	if (status == 0)
		nvme_build_request(controller, request);
	return status;
}

static void nvme_start(struct disk_device *device)
{
	struct nvme_controller *controller = device->driver;

	if (controller->state == NVME_READY)
		nvme_ring_start(controller, &controller->io);
}

static struct disk_request *nvme_poll(struct disk_device *device)
{
	if (!device->finished_first) {
		nvme_start(device);
		nvme_step(device->driver);
	}
	return disk_finished_take(device);
}

static int nvme_reset(struct disk_device *device)
{
	struct nvme_controller *controller = device->driver;

	if (device->gone)
		return -ENODEV;
	if (controller->state == NVME_READY)
		nvme_begin_reset(controller);
	return 0;
}

/* 7.6.2: tell the controller, so that its cache reaches the medium; then cut it off. */
static void nvme_shut_down(struct nvme_controller *controller)
{
	uint64_t deadline_ns = time_now_ns() + NVME_SHUTDOWN_TIMEOUT_MS * NS_PER_MS;

	mmio_write32(&controller->registers, NVME_CC,
		     mmio_read32(&controller->registers, NVME_CC) | NVME_CC_SHUTDOWN);
	while (NVME_CSTS_SHUTDOWN(nvme_status(controller)) != NVME_SHUTDOWN_DONE &&
	       !time_reached(deadline_ns))
		;
	nvme_retire(controller, -ECANCELED);
}

/* The namespaces share their queues: the last one closed shuts the controller down. */
static void nvme_close(struct disk_device *device)
{
	struct nvme_controller *controller = device->driver;

	if (controller->state == NVME_GONE)
		return;
	device->gone = true;
	for (uint32_t i = 0; i < controller->device_count; i++)
		if (!controller->devices[i].gone)
			return;
	nvme_shut_down(controller);
}

/* ---- Start-up ---- */

static int nvme_check_capabilities(const struct nvme_controller *controller)
{
	uint64_t capabilities = controller->capabilities;

	if (!(capabilities & NVME_CAP_NVM_COMMANDS) ||
	    NVME_CAP_PAGE_SIZE_MIN(capabilities) > NVME_PAGE_SIZE || NVME_CAP_ENTRIES(capabilities) < 2)
		return trace_error(-ENOTSUP);
	if (!range_fits(NVME_HEAD_DOORBELL(capabilities, NVME_IO_QUEUE), 4, controller->registers.size))
		return trace_error(-EIO);
	return 0;
}

/* The rings, and how many requests may be under way so that neither runs over. */
static int nvme_controller_init(struct nvme_controller *controller, const struct pci_device *pci)
{
	struct nvme_memory *memory;
	int status;

	memset(controller, 0, sizeof(*controller));
	controller->pci = pci;
	status = pci_map_bar(pci, NVME_BAR, NVME_DOORBELLS, &controller->registers);
	if (status != 0)
		return status;
	controller->capabilities = mmio_read64(&controller->registers, NVME_CAP);
	status = nvme_check_capabilities(controller);
	if (status != 0)
		return status;
	status = dma_allocate(&controller->buffer, sizeof(*memory), NVME_PAGE_SIZE);
	if (status != 0)
		return status;
	memory = controller->buffer.address;
	controller->memory = memory;
	controller->admin = (struct nvme_ring){ .commands = memory->admin_commands,
						.completions = memory->admin_completions,
						.index = 0,
						.entries = NVME_ADMIN_ENTRIES };
	controller->io =
		(struct nvme_ring){ .commands = memory->commands,
				    .completions = memory->completions,
				    .index = NVME_IO_QUEUE,
				    .entries = (uint32_t)min_u64(NVME_CAP_ENTRIES(controller->capabilities),
								 NVME_ENTRIES_MAX) };
	disk_queue_init(&controller->queue,
			(uint32_t)min_u64(controller->io.entries - max_u64(controller->io.entries / 4, 1),
					  DISK_QUEUE_DEPTH_MAX));
	return 0;
}

/* The walk from whatever firmware left to READY. */
static int nvme_bring_up(struct nvme_controller *controller)
{
	nvme_begin_disable(controller);
	while (controller->state != NVME_READY && controller->state != NVME_GONE)
		nvme_step(controller); /* each state has a deadline */
	return controller->state == NVME_READY ? 0 : trace_error(-ETIMEDOUT);
}

static int nvme_identify_controller(struct nvme_controller *controller, struct disk_identity *common)
{
	const uint8_t *data = controller->memory->data;
	int status = nvme_identify(controller, NVME_IDENTIFY_CONTROLLER, 0);
	uint8_t transfer_pages_log2;

	if (status != 0)
		return status;
	disk_text_copy(common->serial, data + NVME_CONTROLLER_SERIAL, NVME_CONTROLLER_SERIAL_SIZE);
	disk_text_copy(common->model, data + NVME_CONTROLLER_MODEL, NVME_CONTROLLER_MODEL_SIZE);
	common->has_write_cache = data[NVME_CONTROLLER_WRITE_CACHE] & 1;
	common->has_write_through = true; /* every controller has FUA */
	common->queue_depth = controller->queue.depth;
	common->segment_max = DISK_SEGMENT_MAX;
	common->transfer_max = DISK_TRANSFER_MAX;
	transfer_pages_log2 = data[NVME_CONTROLLER_TRANSFER_MAX];
	if (transfer_pages_log2 != 0 && transfer_pages_log2 < 20)
		common->transfer_max =
			(uint32_t)min_u64(DISK_TRANSFER_MAX, NVME_CAP_PAGE_SIZE_MIN(controller->capabilities)
								     << transfer_pages_log2);
	return 0;
}

/* One disk for namespace `id`. -ENODEV: not there; -EINVAL: a format that we do not use. */
static int nvme_identify_namespace(struct nvme_controller *controller, struct disk_device *device,
				   const struct disk_identity *common, uint32_t id)
{
	const uint8_t *data = controller->memory->data;
	struct disk_identity *identity = &device->identity;
	int status = nvme_identify(controller, NVME_IDENTIFY_NAMESPACE, id);
	uint32_t format;

	if (status != 0)
		return status;
	memset(device, 0, sizeof(*device));
	device->ops = &nvme_ops;
	device->pci = controller->pci;
	device->unit = id;
	device->driver = controller;
	*identity = *common;
	identity->sector_count = load_le64(data + NVME_NAMESPACE_SIZE);
	if (identity->sector_count == 0)
		return -ENODEV;
	identity->read_only = data[NVME_NAMESPACE_ATTRIBUTES] & 1;
	format = load_le32(data + NVME_NAMESPACE_FORMATS + 4 * (data[NVME_NAMESPACE_FORMAT] & 0xfu));
	if ((format & 0xffff) != 0)
		return trace_error(-EINVAL); /* metadata beside or within the blocks */
	if ((format >> 16 & 0xff) != 9 && (format >> 16 & 0xff) != 12)
		return trace_error(-EINVAL);
	identity->sector_size = UINT32_C(1) << (format >> 16 & 0xff);
	identity->physical_sector_size = identity->sector_size;
	return 0;
}

/* The ids of the active namespaces; a controller older than NVMe 1.1 has no list, but counts from 1. */
static int nvme_list_namespaces(struct nvme_controller *controller, uint32_t ids[DISK_DEVICE_MAX])
{
	const uint8_t *data = controller->memory->data;
	uint32_t count =
		load_le32(data + NVME_CONTROLLER_NAMESPACE_COUNT); /* still the controller's structure */
	int status = nvme_identify(controller, NVME_IDENTIFY_NAMESPACE_LIST, 0);

	if (status != 0 && status != -EIO)
		return status;
	for (uint32_t i = 0; i < DISK_DEVICE_MAX; i++) {
		if (status == 0)
			ids[i] = load_le32(data + 4 * i);
		else
			ids[i] = i < count ? i + 1 : 0;
	}
	return 0;
}

/* Several namespaces have one serial number between them: tell them apart. */
static void nvme_name_namespaces(struct nvme_controller *controller)
{
	for (uint32_t i = 0; controller->device_count > 1 && i < controller->device_count; i++) {
		struct disk_device *device = &controller->devices[i];
		size_t length = strlen(device->identity.serial);

		snprintf(device->identity.serial + length, DISK_TEXT_SIZE - length, ":%u", device->unit);
	}
}

static int nvme_open_namespaces(struct nvme_controller *controller, struct disk_device *devices,
				uint32_t device_max)
{
	uint32_t ids[DISK_DEVICE_MAX];
	struct disk_identity common;
	int status;

	memset(&common, 0, sizeof(common));
	status = nvme_identify_controller(controller, &common);
	if (status == 0)
		status = nvme_list_namespaces(controller, ids);
	if (status == 0 && common.has_write_cache)
		status = nvme_read_write_cache(controller, &common.has_write_cache);
	if (status != 0)
		return status;
	controller->devices = devices;
	for (uint32_t i = 0; i < DISK_DEVICE_MAX && ids[i] != 0; i++) {
		if (controller->device_count == device_max || nvme_device_count == DISK_DEVICE_MAX)
			break;
		status = nvme_identify_namespace(controller, &devices[controller->device_count], &common,
						 ids[i]);
		if (status == -ETIMEDOUT || status == -EPROTO)
			return status;
		if (status != 0)
			continue;
		controller->device_count++;
		nvme_device_count++;
	}
	nvme_name_namespaces(controller);
	return (int)controller->device_count;
}

static bool nvme_is_ours(const struct pci_device *pci)
{
	/* Mass storage, non-volatile memory, NVM Express. */
	return pci->class_code == 0x01 && pci->subclass == 0x08 && pci->interface == 0x02;
}

static int nvme_probe(struct disk_device *devices, uint32_t device_max, const struct pci_device *pci)
{
	struct nvme_controller *controller = &nvme_controllers[nvme_controller_count];
	int status;

	if (!nvme_is_ours(pci))
		return -ENODEV;
	if (nvme_controller_count == NVME_CONTROLLER_MAX)
		return trace_error(-ENOMEM);
	pci_enable(pci);
	status = nvme_controller_init(controller, pci);
	if (status == 0)
		status = nvme_bring_up(controller);
	if (status == 0)
		status = nvme_open_namespaces(controller, devices, device_max);
	if (status <= 0) {
		pci_disable(pci);
		return status;
	}
	nvme_controller_count++;
	return status;
}

const struct disk_ops nvme_ops = {
	.name = "nvme",
	.probe = nvme_probe,
	.reset = nvme_reset,
	.close = nvme_close,
	.submit = nvme_submit,
	.start = nvme_start,
	.poll = nvme_poll,
};
