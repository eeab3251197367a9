/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's disks; see guest_disk.h. Wiring: between machine/ and drivers/.
 *
 * A request goes to the disk's mirror set in the order in which the guest made it.
 * When the set says so it is done on this server's disk (kernel/mirror_disk.h), perhaps
 * more than once (what could not be read is written anew). It leaves the list when the
 * set has finished it and the guest has been told:
 *
 *     take -> NEW -> IN_SET -> FINISHED -> input
 *
 * The set orders what overlaps, and says when the disk may be written (mirror/set.h).
 *
 * In a pair each server does each request on its own disk. The leader's answer is an
 * input in the log, a read's with a checksum instead of data; the follower answers from
 * its own disk when the log says so, and waits for that disk if it must. A read of its
 * own stays UNCHECKED until the log has the leader's checksum: if that differs, the set
 * hears of a read that failed, and has the data from the other disk.
 *
 * Data goes through pages of DMA memory of the disk's own. They hold twice what a
 * machine has under way at most, so that a guest that resets its disk with all of
 * it under way can go on. One that does it over and over stands still until there is
 * room. Guest memory is never within a device's reach.
 */
#include "kernel/guest_disk.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "include/assert.h"
#include "include/trace.h"
#include "kernel/dma.h"
#include "kernel/mirror_disk.h"
#include "kernel/mirror_service.h"
#include "kernel/page_map.h"
#include "kernel/time.h"
#include "machine/digest.h"

TRACE_FILE("guest", TRACE_INFO);

#define SECTOR_SIZE MIRROR_SECTOR_SIZE
/* At worst each request has a page that it hardly uses. */
#define LIFE_PAGE_MAX (MACHINE_DISK_SIZE_UNDER_WAY_MAX / PAGE_SIZE + MACHINE_DISK_REQUEST_MAX)
#define REQUEST_PAGE_MAX (MACHINE_DISK_TRANSFER_MAX / PAGE_SIZE)
/* A life of the guest's, the one before it, and what was told last. */
#define PAGE_COUNT (2 * LIFE_PAGE_MAX + REQUEST_PAGE_MAX)
#define REQUEST_MAX (2 * MACHINE_DISK_REQUEST_MAX + 1)
#define NO_REQUEST UINT32_MAX
/* An answer waits so long for others, while the guest runs and more are under way. */
#define TOGETHER_NS (50 * NS_PER_US)

enum request_state {
	REQUEST_NEW,	   /* the set has no room for it yet */
	REQUEST_IN_SET,	   /* the set decides, or the disk does what it decided */
	REQUEST_UNCHECKED, /* follower: our read has ended, what the leader read is not known */
	REQUEST_FINISHED,
};

struct request {
	enum request_state state;
	bool stale;	    /* of a former life of the guest: nobody waits for the answer */
	bool checked;	    /* follower: our disk has read what the leader's has */
	uint32_t number;    /* the machine's */
	uint32_t operation; /* enum machine_disk_operation */
	int error;	    /* 0: none */
	uint32_t next;	    /* in the list, or of the free ones; NO_REQUEST: last */
	uint32_t page_count;
	/* Not zeroed: what is needed of them is written. */
	struct mirror_disk_job job; /* its range and its slot in the set; done when the set says so */
	uint16_t pages[REQUEST_PAGE_MAX];
};

struct guest_disk {
	uint32_t index;
	bool used; /* the guest has such a disk */
	struct dma_buffer pages;
	struct dma_buffer zeroes; /* a page of them */
	uint16_t free_pages[PAGE_COUNT];
	uint32_t free_page_count;

	struct request requests[REQUEST_MAX];
	uint32_t free_request;
	uint32_t request_count; /* in the list */
	uint32_t first;
	uint32_t last;
	uint32_t first_new;	 /* NEW ones are the last in the list */
	uint32_t finished_count; /* FINISHED ones */
	uint64_t finished_ns;	 /* when the first of them was */
	bool telling;		 /* them, one after the other, to the last */
	uint32_t told;		 /* its data was given out by the last guest_disk_input() */

	uint64_t errors;
};

static struct guest_disk disks[MACHINE_DISK_MAX];
static uint32_t disks_end; /* behind the last that the guest has */
static bool follows;
static uint8_t gathered[MACHINE_DISK_TRANSFER_MAX];

/* ---- memory ---- */

static uint8_t *page_at(const struct guest_disk *disk, uint32_t page)
{
	return (uint8_t *)disk->pages.address + page * PAGE_SIZE;
}

static void take_pages(struct guest_disk *disk, struct request *request, uint64_t size)
{
	uint32_t count = (uint32_t)(align_up(size, PAGE_SIZE) / PAGE_SIZE);

	ASSERT(count <= REQUEST_PAGE_MAX);
	ASSERT(count <= disk->free_page_count); /* guest_disk_has_room() */
	request->page_count = count;
	for (uint32_t i = 0; i < count; i++)
		request->pages[i] = disk->free_pages[--disk->free_page_count];
}

/* Backwards, so that what was in one run is taken as one again. */
static void give_pages_back(struct guest_disk *disk, struct request *request)
{
	for (uint32_t i = request->page_count; i > 0; i--)
		disk->free_pages[disk->free_page_count++] = request->pages[i - 1];
	request->page_count = 0;
}

static struct request *take_request(struct guest_disk *disk)
{
	struct request *request;

	ASSERT(disk->free_request != NO_REQUEST); /* guest_disk_has_room() */
	request = &disk->requests[disk->free_request];
	disk->free_request = request->next;
	memset(request, 0, offsetof(struct request, job));
	request->next = NO_REQUEST;
	return request;
}

static void give_request_back(struct guest_disk *disk, struct request *request)
{
	give_pages_back(disk, request);
	request->next = disk->free_request;
	disk->free_request = (uint32_t)(request - disk->requests);
}

static struct request *request_at(struct guest_disk *disk, uint32_t index)
{
	return index == NO_REQUEST ? NULL : &disk->requests[index];
}

static struct request *request_of(struct mirror_disk_job *job)
{
	return (struct request *)((uint8_t *)job - offsetof(struct request, job));
}

/* Jobs want whole pages but for the end. */
static void add_memory(struct mirror_disk_job *job, uint64_t offset, uint64_t size)
{
	const struct guest_disk *disk = &disks[job->disk];
	const struct request *request = request_of(job);

	for (uint64_t at = offset; at < offset + size; at += PAGE_SIZE)
		mirror_disk_add(job,
				request->page_count
					? disk->pages.physical + request->pages[at / PAGE_SIZE] * PAGE_SIZE
					: disk->zeroes.physical,
				min_u64(PAGE_SIZE, offset + size - at));
}

/* For the link: up to the end of the page. */
static uint8_t *request_data(uint32_t index, uint64_t tag, uint64_t offset, uint64_t *size)
{
	const struct guest_disk *disk = &disks[index];
	const struct request *request = &disk->requests[tag];

	*size = min_u64(*size, PAGE_SIZE - offset % PAGE_SIZE);
	if (request->page_count == 0)
		return disk->zeroes.address;
	return page_at(disk, request->pages[offset / PAGE_SIZE]) + offset % PAGE_SIZE;
}

static void append(struct guest_disk *disk, struct request *request)
{
	uint32_t index = (uint32_t)(request - disk->requests);

	if (disk->last == NO_REQUEST)
		disk->first = index;
	else
		disk->requests[disk->last].next = index;
	disk->last = index;
	if (disk->first_new == NO_REQUEST)
		disk->first_new = index;
	disk->request_count++;
}

/* Takes the request behind `before` (NULL: the first) out of the list. */
static void unlink_request(struct guest_disk *disk, struct request *before, struct request *request)
{
	if (before)
		before->next = request->next;
	else
		disk->first = request->next;
	if (request->next == NO_REQUEST)
		disk->last = before ? (uint32_t)(before - disk->requests) : NO_REQUEST;
	disk->request_count--;
}

bool guest_disk_has_room(void)
{
	for (uint32_t index = 0; index < disks_end; index++) {
		const struct guest_disk *disk = &disks[index];

		if (disk->used &&
		    (disk->free_page_count < LIFE_PAGE_MAX || disk->request_count > MACHINE_DISK_REQUEST_MAX))
			return false;
	}
	return true;
}

/* ---- start ---- */

static void init_lists(struct guest_disk *disk)
{
	disk->first = NO_REQUEST;
	disk->last = NO_REQUEST;
	disk->first_new = NO_REQUEST;
	disk->told = NO_REQUEST;
	disk->free_request = 0;
	for (uint32_t i = 0; i < REQUEST_MAX; i++)
		disk->requests[i].next = i + 1 < REQUEST_MAX ? i + 1 : NO_REQUEST;
	disk->free_page_count = PAGE_COUNT;
	for (uint32_t i = 0; i < PAGE_COUNT; i++)
		disk->free_pages[i] = (uint16_t)(PAGE_COUNT - 1 - i);
}

static uint64_t device_size(const struct disk_device *device)
{
	return device ? device->identity.sector_count * device->identity.sector_size : 0;
}

const char *guest_disk_open(uint32_t index, struct disk_device *device, uint64_t size, bool large_sectors,
			    struct machine_disk_config *machine)
{
	struct guest_disk *disk = &disks[index];
	struct mirror_service_geometry geometry = { .sector_count =
							    (size ? size : device_size(device)) / SECTOR_SIZE,
						    .large_sectors = large_sectors };
	const char *wrong = mirror_service_open_disk(index, device, &geometry);

	ASSERT(index < MACHINE_DISK_MAX);
	if (wrong)
		return wrong;
	if (!disk->pages.address && (dma_allocate(&disk->pages, PAGE_COUNT * PAGE_SIZE, PAGE_SIZE) ||
				     dma_allocate(&disk->zeroes, PAGE_SIZE, PAGE_SIZE)))
		return "no memory is left for its requests";
	init_lists(disk);
	disk->index = index;
	disk->used = true;
	disks_end = (uint32_t)max_u64(disks_end, index + 1);
	machine->sector_count = geometry.sector_count;
	machine->large_sectors = geometry.large_sectors;
	machine->read_only = device && device->identity.read_only;
	return NULL;
}

bool guest_disk_is_remembered(uint32_t index)
{
	return mirror_service_remembers_disk(index);
}

void guest_disk_restart(void)
{
	for (uint32_t index = 0; index < disks_end; index++) {
		struct guest_disk *disk = &disks[index];
		struct request *request;

		if (!disk->used)
			continue;
		for (request = request_at(disk, disk->first); request;
		     request = request_at(disk, request->next))
			request->stale = true;
	}
}

/* ---- from the guest ---- */

/* The machine has checked that the segments are guest memory. */
static void copy_in(const struct guest_disk *disk, struct request *request,
		    const struct machine_disk_request *from, const struct guest_memory *memory)
{
	uint64_t at = 0;

	for (uint32_t i = 0; i < from->segment_count; i++) {
		uint64_t gpa = from->segments[i].gpa;
		uint64_t left = from->segments[i].size;

		while (left > 0) {
			uint64_t size = min_u64(left, PAGE_SIZE - at % PAGE_SIZE);
			bool copied = guest_memory_read(
				memory, gpa, page_at(disk, request->pages[at / PAGE_SIZE]) + at % PAGE_SIZE,
				size);

			ASSERT(copied);
			gpa += size;
			at += size;
			left -= size;
		}
	}
	ASSERT(at == request->job.sector_count * SECTOR_SIZE);
}

static bool needs_pages(uint32_t operation)
{
	return operation == MACHINE_DISK_READ || operation == MACHINE_DISK_WRITE;
}

/* ---- the mirror set ---- */

static void finish(struct guest_disk *disk, struct request *request, int error)
{
	request->state = REQUEST_FINISHED;
	request->error = error;
	if (disk->finished_count++ == 0)
		disk->finished_ns = time_now_ns();
}

static enum mirror_operation mirror_operation_of(const struct request *request)
{
	switch (request->operation) {
	case MACHINE_DISK_READ:
		return MIRROR_READ;
	case MACHINE_DISK_FLUSH:
		return MIRROR_FLUSH;
	default:
		return MIRROR_WRITE;
	}
}

/* False: it has no room now. */
static bool submit_to_set(struct guest_disk *disk, struct request *request)
{
	int slot;

	/* A discard is a hint (Virtio 1.1, 5.2.6.2): the blocks keep their data, on both servers alike. */
	if (request->operation == MACHINE_DISK_DISCARD) {
		finish(disk, request, 0);
		return true;
	}
	slot = mirror_engine_submit(mirror_service_engine(), disk->index, mirror_operation_of(request),
				    request->job.sector, (uint32_t)request->job.sector_count,
				    (uint64_t)(request - disk->requests));
	if (slot == -EAGAIN)
		return false;
	ASSERT(slot >= 0); /* the machine has checked the range */
	request->job.slot = (uint32_t)slot;
	request->state = REQUEST_IN_SET;
	return true;
}

/* In the order in which the guest made them: both servers' sets number them alike. */
static void give_to_set(struct guest_disk *disk)
{
	struct request *request;

	while ((request = request_at(disk, disk->first_new)) != NULL && submit_to_set(disk, request))
		disk->first_new = request->next;
}

/* Its answer has its place in the guest's stream, or nobody waits for it. */
static void leave_set(struct guest_disk *disk, const struct request *request)
{
	if (request->operation != MACHINE_DISK_DISCARD)
		mirror_engine_release(mirror_service_engine(), disk->index, request->job.slot);
}

static void tell_set(struct guest_disk *disk, struct request *request, int error)
{
	request->state = REQUEST_IN_SET;
	mirror_engine_done(mirror_service_engine(), disk->index, request->job.slot, error);
}

/* What the set wanted has been done on our disk, or not. */
static void end_own(struct mirror_disk_job *job, int error)
{
	struct guest_disk *disk = &disks[job->disk];
	struct request *request = request_of(job);

	if (follows && job->operation == DISK_READ && !request->stale) {
		request->state = REQUEST_UNCHECKED;
		request->error = error;
	} else {
		tell_set(disk, request, error);
	}
}

static void act(const struct mirror_engine_action *action)
{
	struct guest_disk *disk = &disks[action->set];
	struct request *request = &disk->requests[action->tag];

	ASSERT(request->state == REQUEST_IN_SET);
	if (action->kind == MIRROR_ENGINE_FINISHED) {
		finish(disk, request, action->status);
		return;
	}
	request->job.operation = mirror_disk_operation(action->operation);
	mirror_disk_do(&request->job);
}

void guest_disk_take(uint32_t index, const struct machine_disk_request *from,
		     const struct guest_memory *memory)
{
	struct guest_disk *disk = &disks[index];
	struct request *request;

	ASSERT(index < MACHINE_DISK_MAX && disk->used);
	request = take_request(disk);
	request->number = from->request;
	request->operation = from->operation;
	request->job.disk = index;
	request->job.sector = from->sector;
	request->job.sector_count = from->sector_count;
	request->job.memory = add_memory;
	request->job.ended = end_own;
	if (needs_pages(from->operation))
		take_pages(disk, request, from->sector_count * SECTOR_SIZE);
	if (from->operation == MACHINE_DISK_WRITE)
		copy_in(disk, request, from, memory);
	append(disk, request);
	give_to_set(disk);
}

/* Answers that nobody waits for make room. */
static void drop_stale(struct guest_disk *disk)
{
	struct request *before = NULL;
	struct request *request = request_at(disk, disk->first);

	while (request && disk->finished_count > 0) {
		struct request *next = request_at(disk, request->next);

		if (request->state == REQUEST_FINISHED && request->stale) {
			unlink_request(disk, before, request);
			disk->finished_count--;
			leave_set(disk, request);
			give_request_back(disk, request);
		} else {
			before = request;
		}
		request = next;
	}
}

uint32_t guest_disk_under_way(void)
{
	uint32_t count = 0;

	for (uint32_t index = 0; index < disks_end; index++)
		count += disks[index].request_count;
	return count;
}

bool guest_disk_busy(void)
{
	return guest_disk_under_way() > 0;
}

static bool poll_disks(void)
{
	for (uint32_t index = 0; index < disks_end; index++) {
		struct guest_disk *disk = &disks[index];

		if (disk->request_count == 0)
			continue;
		drop_stale(disk);
		give_to_set(disk);
	}
	return guest_disk_busy();
}

/* ---- to the guest ---- */

/* A read's data in one piece: where it is when its pages are one run, else gathered. */
static const uint8_t *data_of(const struct guest_disk *disk, const struct request *request)
{
	uint32_t run = 1;

	while (run < request->page_count && request->pages[run] == request->pages[0] + run)
		run++;
	if (run == request->page_count)
		return page_at(disk, request->pages[0]);
	for (uint32_t i = 0; i < request->page_count; i++)
		memcpy(gathered + i * PAGE_SIZE, page_at(disk, request->pages[i]), PAGE_SIZE);
	return gathered;
}

static void fill_data(const struct guest_disk *disk, const struct request *request,
		      struct machine_input *input)
{
	if (input->status != MACHINE_DISK_OK || request->operation != MACHINE_DISK_READ)
		return;
	input->size = (uint32_t)(request->job.sector_count * SECTOR_SIZE);
	input->data = data_of(disk, request);
}

/* What was told before needs its pages no more. */
static void forget_told(struct guest_disk *disk)
{
	if (disk->told != NO_REQUEST)
		give_request_back(disk, &disk->requests[disk->told]);
	disk->told = NO_REQUEST;
}

/* `input` is the answer to the FINISHED request behind `before`. */
static void end_told(struct guest_disk *disk, struct request *before, struct request *request,
		     const struct machine_input *input)
{
	if (input->status != MACHINE_DISK_OK)
		disk->errors++;
	leave_set(disk, request);
	unlink_request(disk, before, request);
	disk->finished_count--;
	disk->told = (uint32_t)(request - disk->requests);
}

/*
 * Answers told together are one interrupt, and one look at the clock where each would have had
 * its own. A guest that waits for them, with nothing else to do or nothing else under way, gets
 * them at once.
 */
static bool may_tell(struct guest_disk *disk, bool patient)
{
	if (!disk->telling)
		disk->telling = !patient || disk->finished_count == disk->request_count ||
				time_reached(disk->finished_ns + TOGETHER_NS);
	return disk->telling;
}

static bool input_of(struct guest_disk *disk, struct machine_input *input)
{
	struct request *before = NULL;
	struct request *request;

	for (request = request_at(disk, disk->first); request; request = request_at(disk, request->next)) {
		if (request->state == REQUEST_FINISHED && !request->stale)
			break;
		before = request;
	}
	if (!request)
		return false;
	input->request = request->number;
	input->status = request->error ? MACHINE_DISK_ERROR : MACHINE_DISK_OK;
	fill_data(disk, request, input);
	end_told(disk, before, request, input);
	return true;
}

bool guest_disk_input(struct machine_input *input, bool patient)
{
	for (uint32_t index = 0; index < disks_end; index++) {
		struct guest_disk *disk = &disks[index];

		if (!disk->used)
			continue;
		forget_told(disk);
		disk->telling &= disk->finished_count > 0;
		if (disk->finished_count == 0 || !may_tell(disk, patient))
			continue;
		*input = (struct machine_input){ .kind = MACHINE_INPUT_DISK_COMPLETION, .index = index };
		if (input_of(disk, input))
			return true;
	}
	return false;
}

/* ---- following ---- */

uint32_t guest_disk_checksum(const struct machine_input *input)
{
	uint64_t digest = digest_bytes(0, input->data, input->size);

	return (uint32_t)(digest ^ digest >> 32);
}

/* Is what we have read what the leader read? */
static bool is_same(const struct guest_disk *disk, const struct request *request,
		    const struct machine_input *input)
{
	struct machine_input own = { .status = MACHINE_DISK_OK };

	if (input->status != MACHINE_DISK_OK)
		return true; /* no data went to the guest */
	fill_data(disk, request, &own);
	return guest_disk_checksum(&own) == input->value;
}

static void check(struct guest_disk *disk, struct request *request, const struct machine_input *input)
{
	request->checked = !request->error && is_same(disk, request, input);
	if (!request->error && !request->checked)
		request->error = -EBADMSG;
	tell_set(disk, request, request->error);
}

int guest_disk_replay(struct machine_input *input)
{
	struct guest_disk *disk = &disks[input->index];
	struct request *before = NULL;
	struct request *request;

	if (input->index >= MACHINE_DISK_MAX || !disk->used)
		return -EILSEQ;
	forget_told(disk);
	request = request_at(disk, disk->first);
	while (request && (request->stale || request->number != input->request)) {
		before = request;
		request = request_at(disk, request->next);
	}
	if (!request)
		return -EILSEQ;
	if (request->state == REQUEST_UNCHECKED)
		check(disk, request, input);
	else if (request->state == REQUEST_IN_SET && input->status == MACHINE_DISK_OK)
		mirror_engine_peer_done(mirror_service_engine(), disk->index, request->job.slot);
	if (request->state != REQUEST_FINISHED)
		return -EAGAIN;
	if (input->status == MACHINE_DISK_OK &&
	    (request->error || !(request->checked || is_same(disk, request, input))))
		return -EILSEQ;
	fill_data(disk, request, input);
	end_told(disk, before, request, input);
	return 0;
}

/* Nobody knows better any more than our own disk. */
static void give_unchecked_to_set(struct guest_disk *disk)
{
	struct request *request = request_at(disk, disk->first);

	for (; request; request = request_at(disk, request->next))
		if (request->state == REQUEST_UNCHECKED)
			tell_set(disk, request, request->error);
}

void guest_disk_follow(bool now)
{
	if (follows == now)
		return;
	follows = now;
	for (uint32_t index = 0; index < disks_end && !follows; index++)
		if (disks[index].used)
			give_unchecked_to_set(&disks[index]);
}

/* ---- start and status ---- */

const char *guest_disk_init(void)
{
	static const struct mirror_service_guest service = { .poll = poll_disks,
							     .act = act,
							     .data = request_data };

	return mirror_service_set_guest(&service) ? "no memory is left for the mirror's buffers" : NULL;
}

uint64_t guest_disk_errors(uint32_t index)
{
	ASSERT(index < MACHINE_DISK_MAX);
	return disks[index].errors;
}
