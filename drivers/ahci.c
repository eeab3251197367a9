/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks behind a Serial ATA AHCI adapter (AHCI 1.3.1). Each port with a disk is
 * one disk_device and lives on its own; a port is a small state machine that poll
 * moves on, so neither a reset nor a disk that does not answer makes anyone wait:
 *
 *     STOPPING -> COMRESET -> LINKING -> SETTLING -> IDENTIFYING -> READY
 *         |                                              ^            ^ |
 *         +-- a plain command failed --------------------+            | |
 *         +-- a queued command failed --> READING_LOG ----------------+ |
 *         ^                                                             |
 *         +----- an error, a time-out, a link that came and went -------+
 *
 * Start-up is the same walk, only with somebody waiting for its end.
 *
 * A slot is the request's tag. `pending` slots are built but not given to the
 * adapter, `active` ones are. Queued (NCQ) and plain commands must not be active
 * together: a flush waits until the disk has nothing else to do.
 *
 * Register accesses are what costs (each is a trip over the bus, or an exit to a
 * device model), so completion is first seen in memory: the adapter stores the
 * frame that ends commands in the received-frames area. Only then, or when
 * nothing has been seen there for a millisecond, are registers read. The frame is
 * no more than a hint; which commands are done, PxSACT and PxCI say. A register
 * that says more than the frame is believed only while the link is up: an adapter
 * that was pulled out may read as zeros, which would mean that all is done.
 *
 * When a queued command fails, the disk drops all of them, names the culprit in
 * its error log (ACS-4, 9.14) and refuses everything until that was read or the
 * link is reset. The others are given again. If the log is no help they are given
 * one at a time, so that the culprit fails alone. After a plain command failed, an
 * IDENTIFY clears the error from the disk's status, and shows that it still works.
 *
 * Memory of a request is handed back only when the port's engine has stopped.
 */
#include "drivers/ahci_reg.h"

#include <errno.h>
#include <string.h>

#include "drivers/disk_drivers.h"
#include "drivers/disk_queue.h"
#include "include/assert.h"
#include "include/trace.h"
#include "kernel/dma.h"
#include "kernel/time.h"

TRACE_FILE("disk", TRACE_INFO);

#define AHCI_CONTROLLER_MAX 4

#define AHCI_HANDOFF_TIMEOUT_MS 2000 /* 10.6.3: a busy BIOS gets two seconds */
#define AHCI_RESET_TIMEOUT_MS 1000   /* 10.4.3 */
#define AHCI_STOP_TIMEOUT_MS 500     /* 10.1.2 */
#define AHCI_COMRESET_US 1000	     /* 10.4.2: at least this long */
#define AHCI_PRESENCE_MS 20	     /* a disk answers COMRESET within 10 ms (Serial ATA 3.4, 8.4) */
#define AHCI_LINK_TIMEOUT_MS 1000
#define AHCI_SETTLE_TIMEOUT_MS 10000 /* spinning up */
#define AHCI_LOOK_BUSY_MS 1	     /* registers are read this often at least ... */
#define AHCI_LOOK_IDLE_MS 100	     /* ... and this often with nothing under way */

#define AHCI_SLOT_UNKNOWN UINT32_MAX

enum ahci_state {
	AHCI_READY,
	AHCI_STOPPING,	  /* the engine was told to stop; `after_stop` says what for */
	AHCI_COMRESET,	  /* the link is held in reset */
	AHCI_LINKING,	  /* ... and comes up again */
	AHCI_SETTLING,	  /* the disk is getting ready */
	AHCI_IDENTIFYING, /* it says who it is */
	AHCI_READING_LOG, /* it says which command failed */
	AHCI_GONE,
};

enum ahci_after_stop {
	AHCI_THEN_RECOVER, /* a command failed */
	AHCI_THEN_RESET,
	AHCI_THEN_LEAVE, /* removed or closed */
};

struct ahci_controller {
	const struct pci_device *pci;
	struct mmio registers;
	uint32_t capabilities;
};

struct ahci_port {
	struct ahci_controller *controller;
	struct disk_device *device;
	uint32_t index; /* of the port in the adapter */
	struct dma_buffer buffer;
	struct ahci_memory *memory;

	enum ahci_state state;
	enum ahci_after_stop after_stop;
	int leave_status;	    /* of the requests when leaving */
	uint64_t state_deadline_ns; /* when the state has lasted too long */
	uint64_t look_ns;	    /* when registers are to be read next, whatever memory shows */

	bool identified; /* the disk is known; another one in its place is refused */
	bool has_ncq;
	bool has_log;
	uint32_t internal_slot; /* for our own commands */

	struct disk_queue queue;
	uint32_t pending;
	uint32_t active;
	uint32_t queued;	/* of both, the NCQ commands */
	bool plain_was_last;	/* so that flushes and NCQ commands take turns */
	bool one_by_one;	/* looking for the one that fails */
	bool keep_requests;	/* on this walk back to READY: they are given again there */
	uint32_t failed_slot;	/* ... but this one failed; AHCI_SLOT_UNKNOWN: not known, or none */
	uint64_t failed_sector; /* of it, when the disk named one */
};

static struct ahci_controller ahci_controllers[AHCI_CONTROLLER_MAX];
static uint32_t ahci_controller_count;
static struct ahci_port ahci_ports[DISK_DEVICE_MAX];
static uint32_t ahci_port_count;

static uint32_t ahci_read32(const struct ahci_port *port, uint64_t offset)
{
	return mmio_read32(&port->controller->registers, AHCI_PORT((uint64_t)port->index) + offset);
}

static void ahci_write32(const struct ahci_port *port, uint64_t offset, uint64_t value)
{
	mmio_write32(&port->controller->registers, AHCI_PORT((uint64_t)port->index) + offset,
		     (uint32_t)value);
}

static void ahci_write_address(const struct ahci_port *port, uint64_t offset, uint64_t physical)
{
	ahci_write32(port, offset, physical & UINT32_MAX);
	ahci_write32(port, offset + 4, physical >> 32);
}

static uint64_t ahci_physical(const struct ahci_port *port, const void *address)
{
	return port->buffer.physical + (uint64_t)((const char *)address - (const char *)port->buffer.address);
}

static void ahci_enter(struct ahci_port *port, enum ahci_state state, uint64_t timeout_ms)
{
	port->state = state;
	port->state_deadline_ns = time_now_ns() + timeout_ms * NS_PER_MS;
}

/* Registers that say nothing but what happened since: start with a clean slate. */
static void ahci_clear_status(const struct ahci_port *port)
{
	ahci_write32(port, AHCI_PxSERR, UINT32_MAX);
	ahci_write32(port, AHCI_PxIS, UINT32_MAX);
	port->memory->received.device_to_host.type = 0;
	port->memory->received.set_device_bits.type = 0;
}

/* ---- Building commands ---- */

static void ahci_build_header(struct ahci_port *port, uint32_t slot, uint32_t segment_count, bool write)
{
	struct ahci_header *header = &port->memory->headers[slot];

	header->flags = (uint16_t)(AHCI_HEADER_FRAME_DWORDS | (write ? AHCI_HEADER_WRITE : 0));
	header->segment_count = (uint16_t)segment_count;
	header->transferred = 0;
	header->table = ahci_physical(port, &port->memory->tables[slot]);
}

static void ahci_build_segment(struct ahci_segment *segment, uint64_t physical, uint32_t size)
{
	segment->physical = physical;
	segment->reserved = 0;
	segment->size = size - 1;
}

/* Puts the request's command, or the flush that it still owes, into its slot. */
static void ahci_build_request(struct ahci_port *port, const struct disk_request *request)
{
	struct ahci_table *table = &port->memory->tables[request->tag];
	bool force_unit_access = request->write_through && port->device->identity.has_write_through &&
				 request->operation == DISK_WRITE;

	port->queued &= ~(uint32_t)BIT(request->tag);
	port->pending |= (uint32_t)BIT(request->tag);
	if (request->operation == DISK_FLUSH || request->flushing) {
		ahci_build_header(port, request->tag, 0, false);
		ata_build_flush(&table->command);
		return;
	}
	ahci_build_header(port, request->tag, request->segment_count, request->operation == DISK_WRITE);
	for (uint32_t i = 0; i < request->segment_count; i++)
		ahci_build_segment(&table->segments[i], request->segments[i].physical,
				   request->segments[i].size);
	if (port->has_ncq) {
		port->queued |= (uint32_t)BIT(request->tag);
		ata_build_queued(&table->command, request, request->tag, force_unit_access);
	} else {
		ata_build_transfer(&table->command, request, force_unit_access);
	}
}

/* Which of the pending slots may be given to the adapter now? */
static uint32_t ahci_choose(const struct ahci_port *port)
{
	uint32_t plain = port->pending & ~port->queued;
	uint32_t queued = port->pending & port->queued;
	bool idle = port->active == 0;

	if (port->one_by_one)
		return idle ? port->pending & -port->pending : 0;
	if (!port->has_ncq)
		return plain; /* the adapter works through them in turn */
	if (plain == 0)
		return port->active & ~port->queued ? 0 : queued;
	if (!idle)
		return 0; /* let the queued ones run dry */
	return port->plain_was_last && queued ? queued : plain & -plain;
}

/* Gives the adapter what may be given. */
static void ahci_issue(struct ahci_port *port)
{
	uint32_t chosen;

	if (port->state != AHCI_READY || port->pending == 0)
		return;
	chosen = ahci_choose(port);
	if (chosen == 0)
		return;
	if (port->active == 0)
		port->look_ns = time_now_ns() + AHCI_LOOK_BUSY_MS * NS_PER_MS;
	port->pending &= ~chosen;
	port->active |= chosen;
	port->plain_was_last = (chosen & port->queued) == 0;
	dma_write_barrier(); /* headers and tables before the registers that make them live */
	if (chosen & port->queued)
		ahci_write32(port, AHCI_PxSACT, chosen);
	ahci_write32(port, AHCI_PxCI, chosen);
}

/* Starts one of our own commands, with port->memory->data as its data. */
static void ahci_issue_internal(struct ahci_port *port, enum ahci_state state)
{
	struct ahci_table *table = &port->memory->tables[port->internal_slot];

	memset(port->memory->data, 0, sizeof(port->memory->data));
	ahci_build_header(port, port->internal_slot, 1, false);
	ahci_build_segment(&table->segments[0], ahci_physical(port, port->memory->data), ATA_SECTOR_SIZE);
	if (state == AHCI_READING_LOG)
		ata_build_error_log(&table->command);
	else
		ata_build_identify(&table->command);
	ahci_enter(port, state, DISK_TIMEOUT_MS);
	dma_write_barrier(); /* as in ahci_issue */
	ahci_write32(port, AHCI_PxCI, BIT(port->internal_slot));
}

/* Is our own command over? 0: yes, with all its data; -EAGAIN: not yet; -EIO: it failed. */
static int ahci_internal_result(struct ahci_port *port)
{
	if (ahci_read32(port, AHCI_PxIS) & AHCI_PxIS_TASK_FILE)
		return -EIO; /* not traced: asking for a log that a disk does not have is no fault */
	if (ahci_read32(port, AHCI_PxCI) & BIT(port->internal_slot))
		return -EAGAIN;
	dma_read_barrier(); /* the register before the data that it vouches for */
	if (port->memory->headers[port->internal_slot].transferred != ATA_SECTOR_SIZE)
		return trace_error(-EIO);
	return 0;
}

/* ---- Leaving READY ---- */

/* Tells the engine to stop, for whatever comes after. 10.1.2: commands given are forgotten. */
static void ahci_stop(struct ahci_port *port, enum ahci_after_stop after_stop)
{
	uint32_t command = ahci_read32(port, AHCI_PxCMD);

	ahci_write32(port, AHCI_PxCMD, command & ~AHCI_PxCMD_START);
	port->after_stop = after_stop;
	ahci_enter(port, AHCI_STOPPING, AHCI_STOP_TIMEOUT_MS);
}

static void ahci_begin_reset(struct ahci_port *port, bool keep_requests)
{
	port->device->statistics.resets++;
	port->keep_requests = keep_requests;
	trace(TRACE_WARNING, "ahci port %u: reset", port->index);
	ahci_stop(port, AHCI_THEN_RESET);
}

static void ahci_fault(struct ahci_port *port, const char *what)
{
	port->device->statistics.device_faults++;
	trace(TRACE_WARNING, "ahci port %u: %s", port->index, what);
	ahci_begin_reset(port, false);
}

/* Ends the port's life; the engine no longer reaches memory. */
static void ahci_retire(struct ahci_port *port, int status)
{
	port->state = AHCI_GONE;
	port->device->gone = true;
	port->pending = 0;
	port->active = 0;
	disk_queue_finish_all(&port->queue, status);
	trace(status == -ECANCELED ? TRACE_INFO : TRACE_WARNING, "ahci port %u: the disk is %s", port->index,
	      status == -ECANCELED ? "closed" : "gone");
}

static void ahci_leave(struct ahci_port *port, int status)
{
	port->device->gone = true;
	port->leave_status = status;
	if (disk_is_present(port->device))
		ahci_stop(port, AHCI_THEN_LEAVE);
	else
		ahci_retire(port, status);
}

/* An engine that does not stop may write where it was told to: take the bus away from the whole adapter. */
static void ahci_cut_off(struct ahci_port *port)
{
	struct ahci_controller *controller = port->controller;

	trace(TRACE_ERROR, "ahci port %u: the engine does not stop; the adapter is cut off", port->index);
	pci_disable(controller->pci);
	ahci_retire(port, -ENODEV);
	for (uint32_t i = 0; i < ahci_port_count; i++)
		if (ahci_ports[i].controller == controller && ahci_ports[i].state != AHCI_GONE)
			ahci_retire(&ahci_ports[i], -ENODEV);
}

/*
 * A command failed and the adapter waits for us (6.2.2). Which one is known when
 * it was alone, and for plain commands from PxCMD.CCS.
 */
static void ahci_begin_recovery(struct ahci_port *port)
{
	uint32_t slot = AHCI_SLOT_UNKNOWN;

	if (port->active && is_power_of_two(port->active)) {
		slot = (uint32_t)__builtin_ctz(port->active);
	} else if (port->active & ~port->queued) {
		slot = AHCI_PxCMD_SLOT(ahci_read32(port, AHCI_PxCMD));
		if (!(port->active & BIT(slot))) {
			ahci_fault(port, "an error in a slot that was not given");
			return;
		}
	}
	port->failed_slot = slot;
	port->failed_sector = UINT64_MAX;
	port->keep_requests = true;
	ahci_stop(port, AHCI_THEN_RECOVER);
}

/* ---- READY: what is done, what failed, is the disk still there ---- */

/*
 * Has the adapter stored a frame that ends commands? Takes note of it, so that it
 * is seen once. `named` gets the slots that it speaks of. Should a frame arrive
 * between our look and the cleared byte, it is lost as a hint only: registers are
 * read after this, and again soon.
 */
static bool ahci_heard(struct ahci_port *port, uint32_t *named, bool *failed)
{
	struct ahci_received *received = &port->memory->received;
	bool heard = false;

	if (received->set_device_bits.type == ATA_FIS_SET_DEVICE_BITS) {
		*failed |= (received->set_device_bits.status & ATA_STATUS_ERROR) != 0;
		*named |= received->set_device_bits_active;
		received->set_device_bits.type = 0;
		heard = true;
	}
	if (received->device_to_host.type == ATA_FIS_DEVICE_TO_HOST) {
		*failed |= (received->device_to_host.status & ATA_STATUS_ERROR) != 0;
		if (is_power_of_two(port->active & ~port->queued))
			*named |= port->active & ~port->queued;
		received->device_to_host.type = 0;
		heard = true;
	}
	return heard;
}

/* The adapter is done with `slot`, without error. */
static void ahci_complete(struct ahci_port *port, uint32_t slot)
{
	struct disk_request *request = disk_queue_request(&port->queue, slot);
	bool plain = !(port->queued & BIT(slot));
	uint64_t size = (uint64_t)request->sector_count * port->device->identity.sector_size;

	port->active &= ~(uint32_t)BIT(slot);
	/* Plain transfers come with a count of bytes. A short one did not do what it says. */
	if (plain && request->operation != DISK_FLUSH && !request->flushing &&
	    port->memory->headers[slot].transferred != size) {
		port->device->statistics.device_faults++;
		disk_queue_finish(&port->queue, slot, trace_error(-EIO));
	} else if (disk_queue_owes_flush(&port->queue, request)) {
		ahci_build_request(port, request);
	} else {
		disk_queue_finish(&port->queue, slot, 0);
	}
	if (port->active == 0 && port->pending == 0)
		port->one_by_one = false;
}

static uint32_t ahci_detection(const struct ahci_port *port)
{
	return AHCI_PxSSTS_DETECTION(ahci_read32(port, AHCI_PxSSTS));
}

/*
 * Takes back what is done. Queued and plain commands are never active together:
 * one read tells. What no frame has named takes a second read.
 */
static void ahci_collect(struct ahci_port *port, uint32_t named)
{
	uint32_t done;

	if (port->active == 0)
		return;
	done = port->active & ~ahci_read32(port, port->active & port->queued ? AHCI_PxSACT : AHCI_PxCI);
	if ((done & ~named) && ahci_detection(port) != AHCI_DETECTION_UP)
		return;	    /* ahci_look() sees to it */
	dma_read_barrier(); /* the register before the data that it vouches for */
	for (; done; done &= done - 1)
		ahci_complete(port, (uint32_t)__builtin_ctz(done));
}

/* Reads what only registers tell: errors, and whether the disk is still there. */
static void ahci_look(struct ahci_port *port)
{
	uint32_t status = ahci_read32(port, AHCI_PxIS);
	uint32_t detection = ahci_detection(port);

	if (detection == AHCI_DETECTION_NO_LINK)
		ahci_fault(port, "the link was lost");
	else if (detection != AHCI_DETECTION_UP)
		ahci_leave(port, -ENODEV);
	else if (status & (AHCI_PxIS_CONNECT | AHCI_PxIS_PHY))
		ahci_fault(port, "the link went and came back");
	else if (status & (AHCI_PxIS_INTERFACE | AHCI_PxIS_HOST_DATA | AHCI_PxIS_HOST_FATAL))
		ahci_fault(port, "the adapter reports a fatal error");
	else if (status & AHCI_PxIS_TASK_FILE)
		ahci_begin_recovery(port);
}

static void ahci_watch(struct ahci_port *port)
{
	uint64_t now_ns = time_now_ns();
	bool failed = false;
	uint32_t named = 0;
	bool heard = port->active && ahci_heard(port, &named, &failed);
	bool look = failed || now_ns >= port->look_ns;

	if (!heard && !look)
		return;
	ahci_collect(port, named);
	if (!look)
		return;
	port->look_ns = now_ns + (port->active ? AHCI_LOOK_BUSY_MS : AHCI_LOOK_IDLE_MS) * NS_PER_MS;
	ahci_look(port);
	if (port->state == AHCI_READY && disk_queue_expire(&port->queue, now_ns))
		ahci_begin_reset(port, false);
}

/* ---- The other states: each function moves on when it can ---- */

/* Both engines off; section 10.3.1 gives the order in which they start. */
static void ahci_start_engine(struct ahci_port *port)
{
	uint64_t command = ahci_read32(port, AHCI_PxCMD) & 0x0fffffff;

	ahci_clear_status(port);
	ahci_write32(port, AHCI_PxCMD, command | AHCI_PxCMD_FRAMES_ENABLE | AHCI_PxCMD_START);
}

/* Back to READY: the command that failed ends, the others are given again. */
static void ahci_resume(struct ahci_port *port)
{
	uint32_t slot = port->failed_slot;

	if (slot != AHCI_SLOT_UNKNOWN) {
		port->active &= ~(uint32_t)BIT(slot);
		disk_queue_finish_at(&port->queue, slot, -EIO, port->failed_sector);
	}
	port->failed_slot = AHCI_SLOT_UNKNOWN;
	port->one_by_one |= slot == AHCI_SLOT_UNKNOWN && port->active;
	port->pending |= port->active;
	port->active = 0;
	for (uint32_t rest = port->pending; rest; rest &= rest - 1)
		port->memory->headers[__builtin_ctz(rest)].transferred = 0;
	if (port->pending == 0)
		port->one_by_one = false;
	ahci_enter(port, AHCI_READY, 0);
	port->look_ns = 0;
}

/* The engine has stopped after an error. */
static void ahci_recover(struct ahci_port *port)
{
	bool queued = (port->active & port->queued) != 0;

	/* 6.2.2.1: a disk that is still busy is beyond a simple restart; without its log, so is a queue. */
	if ((ahci_read32(port, AHCI_PxTFD) & (ATA_STATUS_BUSY | ATA_STATUS_DATA_REQUEST)) ||
	    (queued && !port->has_log)) {
		ahci_begin_reset(port, true);
		return;
	}
	ahci_start_engine(port);
	ahci_issue_internal(port, queued ? AHCI_READING_LOG : AHCI_IDENTIFYING);
}

static void ahci_step_stopping(struct ahci_port *port)
{
	bool running = (ahci_read32(port, AHCI_PxCMD) & AHCI_PxCMD_RUNNING) != 0;

	if (running && !time_reached(port->state_deadline_ns))
		return;
	switch (port->after_stop) {
	case AHCI_THEN_RECOVER:
		if (running)
			ahci_begin_reset(port, true);
		else
			ahci_recover(port);
		return;
	case AHCI_THEN_LEAVE:
		if (running)
			ahci_cut_off(port);
		else
			ahci_retire(port, port->leave_status);
		return;
	case AHCI_THEN_RESET:
		/* COMRESET also helps an engine that hangs on its disk. */
		ahci_write32(port, AHCI_PxSCTL, AHCI_PxSCTL_RESET);
		ahci_enter(port, AHCI_COMRESET, 0);
		port->state_deadline_ns += AHCI_COMRESET_US * NS_PER_US;
		return;
	}
}

static void ahci_step_comreset(struct ahci_port *port)
{
	if (!time_reached(port->state_deadline_ns))
		return;
	ahci_write32(port, AHCI_PxSCTL, AHCI_PxSCTL_NORMAL);
	ahci_enter(port, AHCI_LINKING, AHCI_LINK_TIMEOUT_MS);
}

/* Waits for link and engine; then nothing reaches the requests' memory any more. */
static void ahci_step_linking(struct ahci_port *port)
{
	bool up = ahci_detection(port) == AHCI_DETECTION_UP;
	bool running = (ahci_read32(port, AHCI_PxCMD) & AHCI_PxCMD_RUNNING) != 0;

	if ((!up || running) && !time_reached(port->state_deadline_ns))
		return;
	if (running) {
		ahci_cut_off(port);
		return;
	}
	if (!up) {
		ahci_retire(port, -ENODEV);
		return;
	}
	if (!port->keep_requests) {
		port->pending = 0;
		port->active = 0;
		port->one_by_one = false;
		port->failed_slot = AHCI_SLOT_UNKNOWN;
		disk_queue_finish_all(&port->queue, -ECANCELED);
	}
	ahci_write32(port, AHCI_PxSERR, UINT32_MAX); /* lets the first frame into PxTFD and PxSIG */
	ahci_enter(port, AHCI_SETTLING, AHCI_SETTLE_TIMEOUT_MS);
}

static void ahci_step_settling(struct ahci_port *port)
{
	if (ahci_read32(port, AHCI_PxTFD) & (ATA_STATUS_BUSY | ATA_STATUS_DATA_REQUEST)) {
		if (time_reached(port->state_deadline_ns))
			ahci_leave(port, trace_error(-ENODEV));
		return;
	}
	if (ahci_read32(port, AHCI_PxSIG) != AHCI_PxSIG_DISK) {
		ahci_leave(port, -ENODEV); /* a CD drive, or a port multiplier */
		return;
	}
	ahci_start_engine(port);
	ahci_issue_internal(port, AHCI_IDENTIFYING);
}

/* Is this the disk that was here before the reset? */
static bool ahci_is_same_disk(const struct disk_identity *before, const struct disk_identity *now)
{
	return strcmp(before->serial, now->serial) == 0 && strcmp(before->model, now->model) == 0 &&
	       before->sector_count == now->sector_count && before->sector_size == now->sector_size;
}

/* Takes over what the disk and the adapter can do together. */
static void ahci_set_identity(struct ahci_port *port, const struct ata_identity *identity)
{
	struct disk_identity *disk = &port->device->identity;
	uint32_t slot_count = AHCI_CAP_SLOT_COUNT(port->controller->capabilities);
	uint32_t depth = slot_count > 1 ? slot_count - 1 : 1; /* the last slot is for our own commands */

	*disk = identity->disk;
	port->has_ncq = identity->has_ncq && (port->controller->capabilities & AHCI_CAP_NCQ);
	port->has_log = identity->has_log;
	if (port->has_ncq)
		depth = (uint32_t)min_u64(depth, identity->ncq_depth);
	disk->queue_depth = depth;
	disk->transfer_max = DISK_TRANSFER_MAX;
	disk->segment_max = DISK_SEGMENT_MAX;
	disk_queue_init(&port->queue, depth);
}

static void ahci_step_identifying(struct ahci_port *port)
{
	struct ata_identity identity;
	int status = ahci_internal_result(port);

	if (status == -EAGAIN && !time_reached(port->state_deadline_ns))
		return;
	if (status == 0)
		status = ata_identity_parse(&identity, port->memory->data);
	if (status == 0 && port->identified && !ahci_is_same_disk(&port->device->identity, &identity.disk)) {
		trace(TRACE_ERROR, "ahci port %u: another disk is in this place, serial \"%s\"", port->index,
		      identity.disk.serial);
		status = -ENODEV;
	}
	if (status != 0 && port->after_stop == AHCI_THEN_RECOVER) {
		ahci_begin_reset(port, true); /* not after a reset: that may help */
		return;
	}
	if (status != 0) {
		ahci_leave(port, trace_error(-ENODEV));
		return;
	}
	if (!port->identified)
		ahci_set_identity(port, &identity);
	port->identified = true;
	ahci_resume(port);
}

static void ahci_step_reading_log(struct ahci_port *port)
{
	int status = ahci_internal_result(port);
	uint32_t tag;
	uint64_t lba;

	if (status == -EAGAIN && !time_reached(port->state_deadline_ns))
		return;
	if (status != 0) {
		ahci_begin_reset(port, true);
		return;
	}
	if (ata_error_log_parse(port->memory->data, &tag, &lba) && (port->active & BIT(tag))) {
		port->failed_slot = tag;
		port->failed_sector = lba;
	} else {
		port->device->statistics.device_faults++;
	}
	ahci_resume(port);
}

static void ahci_step(struct ahci_port *port)
{
	switch (port->state) {
	case AHCI_READY:
		ahci_watch(port);
		break;
	case AHCI_STOPPING:
		ahci_step_stopping(port);
		break;
	case AHCI_COMRESET:
		ahci_step_comreset(port);
		break;
	case AHCI_LINKING:
		ahci_step_linking(port);
		break;
	case AHCI_SETTLING:
		ahci_step_settling(port);
		break;
	case AHCI_IDENTIFYING:
		ahci_step_identifying(port);
		break;
	case AHCI_READING_LOG:
		ahci_step_reading_log(port);
		break;
	case AHCI_GONE:
		break;
	}
}

/* ---- The verbs ---- */

static int ahci_submit(struct disk_device *device, struct disk_request *request)
{
	struct ahci_port *port = device->driver;
	int status;

	if (!device->gone && port->state != AHCI_READY)
		return -EAGAIN;
	status = disk_queue_add(&port->queue, device, request);
	if (status == 0)
		ahci_build_request(port, request);
	return status;
}

static void ahci_start(struct disk_device *device)
{
	ahci_issue(device->driver);
}

static struct disk_request *ahci_poll(struct disk_device *device)
{
	struct ahci_port *port = device->driver;

	if (!device->finished_first) {
		ahci_step(port);
		ahci_issue(port);
	}
	return disk_finished_take(device);
}

static int ahci_reset(struct disk_device *device)
{
	struct ahci_port *port = device->driver;

	if (device->gone)
		return -ENODEV;
	if (port->state == AHCI_READY || port->keep_requests)
		ahci_begin_reset(port, false);
	return 0;
}

static void ahci_close(struct disk_device *device)
{
	struct ahci_port *port = device->driver;

	if (!device->gone)
		ahci_leave(port, -ECANCELED);
	while (port->state != AHCI_GONE)
		ahci_step(port); /* STOPPING has a deadline, and leads to GONE */
	if (disk_is_present(device))
		ahci_write32(port, AHCI_PxCMD, ahci_read32(port, AHCI_PxCMD) & ~AHCI_PxCMD_FRAMES_ENABLE);
}

/* ---- Start-up ---- */

static int ahci_wait_clear(const struct ahci_controller *controller, uint64_t offset, uint64_t bits,
			   uint64_t timeout_ms)
{
	uint64_t deadline_ns = time_now_ns() + timeout_ms * NS_PER_MS;

	while (mmio_read32(&controller->registers, offset) & bits)
		if (time_reached(deadline_ns))
			return trace_error(-ETIMEDOUT);
	return 0;
}

/* 10.6.3: firmware that still uses the adapter is asked to let go. */
static int ahci_take_from_firmware(const struct ahci_controller *controller)
{
	if (!(mmio_read32(&controller->registers, AHCI_CAP2) & AHCI_CAP2_HANDOFF))
		return 0;
	mmio_write32(&controller->registers, AHCI_BOHC, AHCI_BOHC_OS_OWNED);
	return ahci_wait_clear(controller, AHCI_BOHC, AHCI_BOHC_BIOS_OWNED | AHCI_BOHC_BIOS_BUSY,
			       AHCI_HANDOFF_TIMEOUT_MS);
}

static int ahci_controller_init(struct ahci_controller *controller, const struct pci_device *pci)
{
	int status;

	controller->pci = pci;
	status = pci_map_bar(pci, AHCI_BAR, AHCI_MMIO_SIZE(1), &controller->registers);
	if (status != 0)
		return status;
	status = ahci_take_from_firmware(controller);
	if (status != 0)
		return status;
	mmio_write32(&controller->registers, AHCI_GHC, (uint32_t)AHCI_GHC_ENABLE);
	mmio_write32(&controller->registers, AHCI_GHC, (uint32_t)(AHCI_GHC_ENABLE | AHCI_GHC_RESET));
	status = ahci_wait_clear(controller, AHCI_GHC, AHCI_GHC_RESET, AHCI_RESET_TIMEOUT_MS);
	if (status != 0)
		return status;
	mmio_write32(&controller->registers, AHCI_GHC, (uint32_t)AHCI_GHC_ENABLE);
	controller->capabilities = mmio_read32(&controller->registers, AHCI_CAP);
	return 0;
}

/* The ports that exist and fit into the BAR. */
static uint32_t ahci_implemented(const struct ahci_controller *controller)
{
	uint32_t implemented = mmio_read32(&controller->registers, AHCI_PI);
	uint64_t room = (controller->registers.size - AHCI_PORT(0)) / 0x80;

	return room >= AHCI_PORT_COUNT ? implemented : implemented & (uint32_t)(BIT(room) - 1);
}

/*
 * Powers all links up, waits until whoever is there has answered, and returns the
 * ports with a link. All together, so that empty ports cost their wait once.
 */
static uint32_t ahci_find_links(struct ahci_controller *controller)
{
	uint32_t implemented = ahci_implemented(controller);
	uint64_t presence_ns = time_now_ns() + AHCI_PRESENCE_MS * NS_PER_MS;
	uint64_t deadline_ns = time_now_ns() + AHCI_LINK_TIMEOUT_MS * NS_PER_MS;
	struct ahci_port port = { .controller = controller };
	uint32_t up;
	uint32_t coming;

	for (port.index = 0; port.index < AHCI_PORT_COUNT; port.index++)
		if (implemented & BIT(port.index))
			ahci_write32(&port, AHCI_PxCMD,
				     AHCI_PxCMD_SPIN_UP | AHCI_PxCMD_POWER_ON | AHCI_PxCMD_ACTIVE);
	do {
		up = 0;
		coming = 0;
		for (port.index = 0; port.index < AHCI_PORT_COUNT; port.index++) {
			uint32_t detection;

			if (!(implemented & BIT(port.index)))
				continue;
			detection = ahci_detection(&port);
			up |= detection == AHCI_DETECTION_UP ? (uint32_t)BIT(port.index) : 0;
			coming |= detection == AHCI_DETECTION_NO_LINK ? (uint32_t)BIT(port.index) : 0;
		}
		if (up == implemented || (coming == 0 && time_reached(presence_ns)))
			break;
	} while (!time_reached(deadline_ns));
	return up;
}

/* Memory once taken stays with the entry of ahci_ports: a CD drive in the way does not use it up. */
static int ahci_port_init(struct ahci_port *port, struct ahci_controller *controller,
			  struct disk_device *device, uint32_t index)
{
	struct dma_buffer buffer = port->buffer;

	if (!buffer.address) {
		int status = dma_allocate(&buffer, sizeof(struct ahci_memory), AHCI_MEMORY_ALIGNMENT);

		if (status != 0)
			return status;
	}
	if (buffer.physical + buffer.size > BIT(32) && !(controller->capabilities & AHCI_CAP_64BIT))
		return trace_error(-ENOMEM);
	memset(port, 0, sizeof(*port));
	port->buffer = buffer;
	port->memory = buffer.address;
	port->controller = controller;
	port->device = device;
	port->index = index;
	port->internal_slot = AHCI_CAP_SLOT_COUNT(controller->capabilities) - 1;
	port->failed_slot = AHCI_SLOT_UNKNOWN;
	port->after_stop = AHCI_THEN_RESET; /* as if the adapter's reset had been the port's own */
	disk_queue_init(&port->queue, 1);   /* until the disk is known */

	memset(device, 0, sizeof(*device));
	device->ops = &ahci_ops;
	device->pci = controller->pci;
	device->unit = index;
	device->driver = port;
	return 0;
}

/* Brings the disk behind a port with a link up. Returns 0, or why there is no use of it. */
static int ahci_port_open(struct ahci_port *port)
{
	ahci_write32(port, AHCI_PxIE, 0);
	ahci_write_address(port, AHCI_PxCLB, ahci_physical(port, port->memory->headers));
	ahci_write_address(port, AHCI_PxFB, ahci_physical(port, &port->memory->received));
	ahci_clear_status(port);
	ahci_write32(port, AHCI_PxCMD, ahci_read32(port, AHCI_PxCMD) | AHCI_PxCMD_FRAMES_ENABLE);
	ahci_enter(port, AHCI_SETTLING, AHCI_SETTLE_TIMEOUT_MS);
	while (port->state != AHCI_READY && port->state != AHCI_GONE)
		ahci_step(port); /* each state has a deadline */
	return port->state == AHCI_READY ? 0 : -ENODEV;
}

static bool ahci_is_ours(const struct pci_device *pci)
{
	/* Mass storage, Serial ATA, AHCI. */
	return pci->class_code == 0x01 && pci->subclass == 0x06 && pci->interface == 0x01;
}

static int ahci_probe(struct disk_device *devices, uint32_t device_max, const struct pci_device *pci)
{
	struct ahci_controller *controller = &ahci_controllers[ahci_controller_count];
	uint32_t count = 0;
	uint32_t links;
	int status;

	if (!ahci_is_ours(pci))
		return -ENODEV;
	if (ahci_controller_count == AHCI_CONTROLLER_MAX)
		return trace_error(-ENOMEM);
	pci_enable(pci);
	status = ahci_controller_init(controller, pci);
	if (status != 0) {
		pci_disable(pci);
		return status;
	}
	ahci_controller_count++;
	links = ahci_find_links(controller);
	for (; links && count < device_max && ahci_port_count < DISK_DEVICE_MAX; links &= links - 1) {
		struct ahci_port *port = &ahci_ports[ahci_port_count];

		status = ahci_port_init(port, controller, &devices[count], (uint32_t)__builtin_ctz(links));
		if (status != 0)
			break;
		if (ahci_port_open(port) != 0)
			continue;
		ahci_port_count++;
		count++;
	}
	if (count == 0)
		pci_disable(pci);
	return (int)count;
}

const struct disk_ops ahci_ops = {
	.name = "ahci",
	.probe = ahci_probe,
	.reset = ahci_reset,
	.close = ahci_close,
	.submit = ahci_submit,
	.start = ahci_start,
	.poll = ahci_poll,
};
