/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's disks; see guest_disk.h. Wiring: between machine/ and drivers/.
 *
 * A request waits in the disk's list in the order in which the guest made it, is
 * given to the disk in pieces, one at a time, and leaves the list when its answer
 * has been told:
 *
 *     take -> WAITING -> UNDER_WAY -> (next piece: WAITING) -> FINISHED -> input
 *
 * A request that overlaps an earlier one, when either writes, waits for it: what
 * the disk holds at last must not hang on which was quicker, since the other
 * server's disk has to hold the same.
 *
 * Data goes through pages of DMA memory of the disk's own. They hold twice what a
 * machine has under way at most, so that a guest that resets its disk with all of
 * it under way can go on. One that does it over and over runs out of pages, and is
 * told of errors. Guest memory is never within a device's reach.
 */
#include "kernel/guest_disk.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "include/assert.h"
#include "include/trace.h"
#include "kernel/dma.h"
#include "kernel/page_map.h"

TRACE_FILE("guest", TRACE_INFO);

#define SECTOR_SIZE 512
#define PAGE_COUNT (2 * MACHINE_DISK_SIZE_UNDER_WAY_MAX / PAGE_SIZE)
#define REQUEST_PAGE_MAX (MACHINE_DISK_TRANSFER_MAX / PAGE_SIZE)
#define REQUEST_MAX (2 * MACHINE_DISK_REQUEST_MAX)
#define REFUSED_MAX MACHINE_DISK_REQUEST_MAX
#define SWEPT_MAX 3 /* times that a request is tried again which another one's reset swept away */
#define NO_REQUEST UINT32_MAX

enum request_state {
	REQUEST_WAITING,
	REQUEST_UNDER_WAY, /* a piece of it is with the disk */
	REQUEST_FINISHED,
};

struct request {
	enum request_state state;
	bool stale;	    /* of a former life of the guest: nobody waits for the answer */
	uint32_t number;    /* the machine's */
	uint32_t operation; /* enum machine_disk_operation */
	uint64_t sector;    /* of 512 bytes */
	uint64_t sector_count;
	uint64_t sectors_done;
	uint32_t swept_count;
	int error;     /* of a piece; 0: none */
	uint32_t next; /* in the list, or of the free ones; NO_REQUEST: last */
	uint32_t page_count;
	uint16_t pages[REQUEST_PAGE_MAX];
	struct disk_request disk; /* the piece */
};

struct guest_disk {
	struct disk_device *device; /* NULL: the guest has no such disk */
	struct dma_buffer pages;
	struct dma_buffer zeroes; /* one piece of them */
	uint32_t piece_size;	  /* bytes */
	uint16_t free_pages[PAGE_COUNT];
	uint32_t free_page_count;

	struct request requests[REQUEST_MAX];
	uint32_t free_request;
	uint32_t first;
	uint32_t last;
	uint32_t finished_count; /* FINISHED ones in the list */
	uint32_t told;		 /* its data was given out by the last guest_disk_input() */

	/* Numbers to be told as errors. The newest: of an older one the machine has forgotten. */
	uint32_t refused[REFUSED_MAX];
	uint32_t refused_count;

	uint64_t errors;
};

static struct guest_disk disks[MACHINE_DISK_MAX];
static uint8_t gathered[MACHINE_DISK_TRANSFER_MAX];

/* ---- memory ---- */

static uint8_t *page_at(const struct guest_disk *disk, uint32_t page)
{
	return (uint8_t *)disk->pages.address + page * PAGE_SIZE;
}

static bool take_pages(struct guest_disk *disk, struct request *request, uint64_t size)
{
	uint32_t count = (uint32_t)(align_up(size, PAGE_SIZE) / PAGE_SIZE);

	ASSERT(count <= REQUEST_PAGE_MAX);
	if (count > disk->free_page_count)
		return false;
	request->page_count = count;
	for (uint32_t i = 0; i < count; i++)
		request->pages[i] = disk->free_pages[--disk->free_page_count];
	return true;
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

	if (disk->free_request == NO_REQUEST)
		return NULL;
	request = &disk->requests[disk->free_request];
	disk->free_request = request->next;
	memset(request, 0, offsetof(struct request, pages));
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

static void append(struct guest_disk *disk, struct request *request)
{
	uint32_t index = (uint32_t)(request - disk->requests);

	if (disk->last == NO_REQUEST)
		disk->first = index;
	else
		disk->requests[disk->last].next = index;
	disk->last = index;
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
}

/* ---- start ---- */

static const char *check_device(const struct disk_device *device)
{
	if (device->gone)
		return "it does not answer";
	if (device->identity.sector_size != SECTOR_SIZE)
		return "its sectors are not of 512 bytes; this version can show the guest no other";
	return NULL;
}

static void init_lists(struct guest_disk *disk)
{
	disk->first = NO_REQUEST;
	disk->last = NO_REQUEST;
	disk->told = NO_REQUEST;
	disk->free_request = 0;
	for (uint32_t i = 0; i < REQUEST_MAX; i++)
		disk->requests[i].next = i + 1 < REQUEST_MAX ? i + 1 : NO_REQUEST;
	disk->free_page_count = PAGE_COUNT;
	for (uint32_t i = 0; i < PAGE_COUNT; i++)
		disk->free_pages[i] = (uint16_t)(PAGE_COUNT - 1 - i);
}

const char *guest_disk_open(uint32_t index, struct disk_device *device, uint64_t size,
			    struct machine_disk_config *machine)
{
	struct guest_disk *disk = &disks[index];
	const struct disk_identity *identity = &device->identity;
	const char *wrong = check_device(device);

	ASSERT(index < MACHINE_DISK_MAX);
	if (wrong)
		return wrong;
	/* A page a segment at worst. */
	disk->piece_size = (uint32_t)align_down(
		min_u64(identity->transfer_max, identity->segment_max * PAGE_SIZE), PAGE_SIZE);
	if (disk->piece_size == 0)
		return "it takes no transfer of a page";
	if (!disk->pages.address && (dma_allocate(&disk->pages, PAGE_COUNT * PAGE_SIZE, PAGE_SIZE) ||
				     dma_allocate(&disk->zeroes, disk->piece_size, PAGE_SIZE)))
		return "no memory is left for its requests";
	init_lists(disk);
	disk->device = device;
	machine->sector_count = size ? size / SECTOR_SIZE : identity->sector_count;
	machine->read_only = identity->read_only;
	return NULL;
}

void guest_disk_restart(void)
{
	for (uint32_t index = 0; index < MACHINE_DISK_MAX; index++) {
		struct guest_disk *disk = &disks[index];
		struct request *request;

		if (!disk->device)
			continue;
		for (request = request_at(disk, disk->first); request;
		     request = request_at(disk, request->next))
			request->stale = true;
		disk->refused_count = 0;
	}
}

/* ---- from the guest ---- */

static void refuse(struct guest_disk *disk, uint32_t number)
{
	if (disk->refused_count == REFUSED_MAX) {
		disk->refused_count--;
		memmove(disk->refused, disk->refused + 1, sizeof(disk->refused) - sizeof(disk->refused[0]));
	}
	disk->refused[disk->refused_count++] = number;
}

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
	ASSERT(at == request->sector_count * SECTOR_SIZE);
}

static bool needs_pages(uint32_t operation)
{
	return operation == MACHINE_DISK_READ || operation == MACHINE_DISK_WRITE;
}

void guest_disk_take(uint32_t index, const struct machine_disk_request *from,
		     const struct guest_memory *memory)
{
	struct guest_disk *disk = &disks[index];
	struct request *request;

	ASSERT(index < MACHINE_DISK_MAX && disk->device);
	request = take_request(disk);
	if (!request) {
		refuse(disk, from->request);
		return;
	}
	request->number = from->request;
	request->operation = from->operation;
	request->sector = from->sector;
	request->sector_count = from->sector_count;
	if (needs_pages(from->operation) && !take_pages(disk, request, from->sector_count * SECTOR_SIZE)) {
		give_request_back(disk, request);
		refuse(disk, from->request);
		return;
	}
	if (from->operation == MACHINE_DISK_WRITE)
		copy_in(disk, request, from, memory);
	append(disk, request);
}

/* ---- to the disk and back ---- */

static bool writes(const struct request *request)
{
	return request->operation == MACHINE_DISK_WRITE || request->operation == MACHINE_DISK_WRITE_ZEROES;
}

static bool overlap(const struct request *a, const struct request *b)
{
	return (writes(a) || writes(b)) && a->sector < b->sector + b->sector_count &&
	       b->sector < a->sector + a->sector_count;
}

/* Must an unfinished request ahead of `request` be done first? A flush covers what is finished. */
static bool must_wait(struct guest_disk *disk, const struct request *request)
{
	struct request *earlier;

	for (earlier = request_at(disk, disk->first); earlier != request;
	     earlier = request_at(disk, earlier->next))
		if (earlier->state != REQUEST_FINISHED && overlap(earlier, request))
			return true;
	return false;
}

static void add_segment(struct disk_request *piece, uint64_t physical, uint32_t size)
{
	struct disk_segment *last = &piece->segments[piece->segment_count - 1];

	if (piece->segment_count > 0 && last->physical + last->size == physical)
		last->size += size;
	else
		piece->segments[piece->segment_count++] =
			(struct disk_segment){ .physical = physical, .size = size };
}

/* Memory of the piece at `done` bytes: a run of pages, since pieces are whole pages but for the last. */
static void add_segments(const struct guest_disk *disk, struct request *request, uint64_t done, uint64_t size)
{
	struct disk_request *piece = &request->disk;

	if (request->operation == MACHINE_DISK_WRITE_ZEROES) {
		add_segment(piece, disk->zeroes.physical, (uint32_t)size);
		return;
	}
	for (uint64_t at = 0; at < size; at += PAGE_SIZE)
		add_segment(piece, disk->pages.physical + request->pages[(done + at) / PAGE_SIZE] * PAGE_SIZE,
			    (uint32_t)min_u64(PAGE_SIZE, size - at));
}

static void make_piece(const struct guest_disk *disk, struct request *request)
{
	uint64_t done = request->sectors_done * SECTOR_SIZE;
	uint64_t size = min_u64(disk->piece_size, request->sector_count * SECTOR_SIZE - done);
	struct disk_request *piece = &request->disk;

	memset(piece, 0, offsetof(struct disk_request, segments));
	if (request->operation == MACHINE_DISK_FLUSH) {
		piece->operation = DISK_FLUSH;
		return;
	}
	piece->operation = request->operation == MACHINE_DISK_READ ? DISK_READ : DISK_WRITE;
	piece->sector = request->sector + request->sectors_done;
	piece->sector_count = (uint32_t)(size / SECTOR_SIZE);
	add_segments(disk, request, done, size);
}

static void finish(struct guest_disk *disk, struct request *request, int error)
{
	request->state = REQUEST_FINISHED;
	request->error = error;
	disk->finished_count++;
}

/* Gives the request's next piece to the disk. False: it takes no more at present. */
static bool submit(struct guest_disk *disk, struct request *request)
{
	int error;

	/* A discard is a hint (Virtio 1.1, 5.2.6.2): the blocks keep their data, on both servers alike. */
	if (request->operation == MACHINE_DISK_DISCARD) {
		finish(disk, request, 0);
		return true;
	}
	make_piece(disk, request);
	error = disk->device->ops->submit(disk->device, &request->disk);
	if (error == -EAGAIN)
		return false;
	if (error)
		finish(disk, request, error);
	else
		request->state = REQUEST_UNDER_WAY;
	return true;
}

static void submit_waiting(struct guest_disk *disk)
{
	bool submitted = false;
	struct request *request;

	for (request = request_at(disk, disk->first); request; request = request_at(disk, request->next)) {
		if (request->state != REQUEST_WAITING || must_wait(disk, request))
			continue;
		if (!submit(disk, request))
			break;
		submitted = true;
	}
	if (submitted)
		disk->device->ops->start(disk->device);
}

static struct request *request_of(struct disk_request *piece)
{
	return (struct request *)((uint8_t *)piece - offsetof(struct request, disk));
}

static void take_back(struct guest_disk *disk, struct disk_request *piece)
{
	struct request *request = request_of(piece);

	ASSERT(request->state == REQUEST_UNDER_WAY);
	request->state = REQUEST_WAITING;
	if (piece->status == -ECANCELED && request->swept_count < SWEPT_MAX) {
		request->swept_count++;
		return;
	}
	if (piece->status) {
		finish(disk, request, piece->status);
		return;
	}
	request->sectors_done += piece->sector_count;
	if (request->operation == MACHINE_DISK_FLUSH || request->sectors_done == request->sector_count)
		finish(disk, request, 0);
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
			give_request_back(disk, request);
		} else {
			before = request;
		}
		request = next;
	}
}

static bool poll_disk(struct guest_disk *disk)
{
	struct disk_request *piece;

	if (!disk->device || disk->first == NO_REQUEST)
		return false;
	while ((piece = disk->device->ops->poll(disk->device)) != NULL)
		take_back(disk, piece);
	drop_stale(disk);
	submit_waiting(disk);
	return true;
}

bool guest_disk_poll(void)
{
	bool busy = false;

	for (uint32_t index = 0; index < MACHINE_DISK_MAX; index++)
		busy |= poll_disk(&disks[index]);
	return busy;
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

static void fill_input(struct guest_disk *disk, const struct request *request, struct machine_input *input)
{
	input->request = request->number;
	input->status = request->error ? MACHINE_DISK_ERROR : MACHINE_DISK_OK;
	if (request->error) {
		disk->errors++;
		return;
	}
	if (request->operation != MACHINE_DISK_READ)
		return;
	input->size = (uint32_t)(request->sector_count * SECTOR_SIZE);
	input->data = data_of(disk, request);
}

static bool input_of(struct guest_disk *disk, struct machine_input *input)
{
	struct request *before = NULL;
	struct request *request;

	if (disk->refused_count > 0) {
		input->request = disk->refused[--disk->refused_count];
		input->status = MACHINE_DISK_ERROR;
		disk->errors++;
		return true;
	}
	if (disk->finished_count == 0)
		return false;
	for (request = request_at(disk, disk->first); request; request = request_at(disk, request->next)) {
		if (request->state == REQUEST_FINISHED && !request->stale)
			break;
		before = request;
	}
	if (!request)
		return false;
	fill_input(disk, request, input);
	unlink_request(disk, before, request);
	disk->finished_count--;
	disk->told = (uint32_t)(request - disk->requests);
	return true;
}

bool guest_disk_input(struct machine_input *input)
{
	for (uint32_t index = 0; index < MACHINE_DISK_MAX; index++) {
		struct guest_disk *disk = &disks[index];

		if (!disk->device)
			continue;
		if (disk->told != NO_REQUEST)
			give_request_back(disk, &disk->requests[disk->told]);
		disk->told = NO_REQUEST;
		*input = (struct machine_input){ .kind = MACHINE_INPUT_DISK_COMPLETION, .index = index };
		if (input_of(disk, input))
			return true;
	}
	return false;
}

uint64_t guest_disk_errors(uint32_t index)
{
	ASSERT(index < MACHINE_DISK_MAX);
	return disks[index].errors;
}
