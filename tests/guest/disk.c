/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk at work, with tests/pair/test_disk.py in charge: it types commands at the
 * console, one a line, and looks at the image from outside. Sectors are the
 * disk's own; every 512 bytes of data are the pattern of their place and a seed.
 *
 *	write SECTOR COUNT SEED      starts a write
 *	through SECTOR COUNT SEED    ... a write-through
 *	read SECTOR COUNT SEED       starts a read, compared with the pattern
 *	flush                        starts a flush
 *	fill SECTOR COUNT SEED CHUNK DEPTH    writes all of it, CHUNK sectors a request,
 *	check SECTOR COUNT SEED CHUNK DEPTH   reads and compares, DEPTH requests at a time
 *	reset                        resets the disk
 *	status                       prints the counters
 *	end                          ends the test
 *
 * Started requests are numbered from 1. They end as they may:
 *
 *	disk: request 3 ended: status -5, failed 17+3, 0 wrong
 *
 * Options: disk=N (default 0).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/disk.h"
#include "kernel/console.h"
#include "kernel/dma.h"
#include "kernel/self_test.h"
#include "kernel/time.h"

#define SLOT_COUNT 40
#define UNIT_SIZE 512 /* bytes that one pattern covers */
#define LINE_SIZE 100
#define WORD_COUNT 6
#define TEST_TIME_MAX_NS (600 * NS_PER_S)

struct slot {
	struct disk_request request;
	struct dma_buffer buffer;
	uint32_t number; /* 0: free */
	uint64_t seed;
};

static struct {
	struct disk_device *disk;
	struct slot slots[SLOT_COUNT];
	uint32_t requests_started;
	char line[LINE_SIZE];
	uint32_t line_size;
	bool ended;
} test;

/* The same formula is in test_disk.py. */
static void pattern_write(uint64_t *words, uint64_t unit, uint64_t seed)
{
	for (uint32_t i = 0; i < UNIT_SIZE / 8; i++)
		words[i] =
			(unit + 1) * UINT64_C(0x9e3779b97f4a7c15) + seed + i * UINT64_C(0xd1342543de82ef95);
}

/* How many units of the slot's data are not what they should be. */
static uint32_t pattern_compare(const struct slot *slot)
{
	uint32_t units_per_sector = test.disk->identity.sector_size / UNIT_SIZE;
	uint32_t count = slot->request.sector_count * units_per_sector;
	uint64_t expected[UNIT_SIZE / 8];
	uint32_t wrong = 0;

	for (uint32_t i = 0; i < count; i++) {
		pattern_write(expected, slot->request.sector * units_per_sector + i, slot->seed);
		wrong += memcmp(expected, (const char *)slot->buffer.address + i * UNIT_SIZE, UNIT_SIZE) != 0;
	}
	return wrong;
}

static void pattern_fill(struct slot *slot)
{
	uint32_t units_per_sector = test.disk->identity.sector_size / UNIT_SIZE;
	uint32_t count = slot->request.sector_count * units_per_sector;

	for (uint32_t i = 0; i < count; i++)
		pattern_write((uint64_t *)slot->buffer.address + i * (UNIT_SIZE / 8),
			      slot->request.sector * units_per_sector + i, slot->seed);
}

static struct slot *slot_free(void)
{
	for (uint32_t i = 0; i < SLOT_COUNT; i++)
		if (test.slots[i].number == 0)
			return &test.slots[i];
	return NULL;
}

static struct slot *slot_of(struct disk_request *request)
{
	return CONTAINER_OF(request, struct slot, request);
}

/*
 * Half of the requests are two segments, the first of which begins and ends
 * inside a page or at its end, as segments may.
 */
static void set_segments(struct slot *slot, uint32_t size)
{
	struct disk_request *request = &slot->request;

	request->segments[0] = (struct disk_segment){ slot->buffer.physical, size };
	request->segment_count = 1;
	if (size > DISK_SEGMENT_ALIGNMENT && (test.requests_started & 1)) {
		request->segments[0].size = DISK_SEGMENT_ALIGNMENT;
		request->segments[1] = (struct disk_segment){ slot->buffer.physical + DISK_SEGMENT_ALIGNMENT,
							      size - (uint32_t)DISK_SEGMENT_ALIGNMENT };
		request->segment_count = 2;
	}
}

/* Submits; -EAGAIN is the caller's to repeat. */
static int start(enum disk_operation operation, bool through, uint64_t sector, uint32_t count, uint64_t seed)
{
	struct slot *slot = slot_free();
	int status;

	if (!slot)
		return -EAGAIN;
	memset(&slot->request, 0, sizeof(slot->request));
	slot->request.operation = operation;
	slot->request.write_through = through;
	slot->seed = seed;
	if (operation != DISK_FLUSH) {
		if (count > slot->buffer.size / test.disk->identity.sector_size)
			return -EINVAL;
		slot->request.sector = sector;
		slot->request.sector_count = count;
		set_segments(slot, count * test.disk->identity.sector_size);
		if (operation == DISK_WRITE)
			pattern_fill(slot);
		else
			memset(slot->buffer.address, 0, slot->buffer.size);
	}
	status = test.disk->ops->submit(test.disk, &slot->request);
	if (status == 0)
		slot->number = ++test.requests_started;
	return status;
}

static void start_and_tell(enum disk_operation operation, bool through, uint64_t sector, uint32_t count,
			   uint64_t seed)
{
	int status = start(operation, through, sector, count, seed);

	if (status == 0) {
		test.disk->ops->start(test.disk);
		console_printf("disk: request %u started\n", test.requests_started);
	} else {
		console_printf("disk: refused: %d\n", status);
	}
}

static void tell_ended(struct disk_request *request)
{
	struct slot *slot = slot_of(request);
	uint32_t wrong = request->operation == DISK_READ && request->status == 0 ? pattern_compare(slot) : 0;

	console_printf("disk: request %u ended: status %d, failed %lu+%u, %u wrong\n", slot->number,
		       request->status, request->failed_sector, request->failed_sector_count, wrong);
	slot->number = 0;
}

/* Works through a stretch with many requests at a time, and says how that went. */
static void work(enum disk_operation operation, uint64_t sector, uint64_t count, uint64_t seed,
		 uint32_t chunk, uint32_t depth)
{
	uint32_t under_way = 0;
	uint32_t failed = 0;
	uint32_t wrong = 0;
	uint64_t done = 0;

	while (done < count || under_way) {
		struct disk_request *request;
		int status = 0;

		while (done < count && under_way < depth && status == 0) {
			uint32_t part = (uint32_t)min_u64(chunk, count - done);

			status = start(operation, false, sector + done, part, seed);
			if (status != 0 && status != -EAGAIN) {
				console_printf("disk: work refused: %d\n", status);
				return;
			}
			done += status == 0 ? part : 0;
			under_way += status == 0;
		}
		test.disk->ops->start(test.disk);
		request = test.disk->ops->poll(test.disk);
		if (!request)
			continue;
		under_way--;
		failed += request->status != 0;
		if (operation == DISK_READ && request->status == 0)
			wrong += pattern_compare(slot_of(request));
		slot_of(request)->number = 0;
	}
	console_printf("disk: worked: %u failed, %u wrong\n", failed, wrong);
}

static void tell_status(void)
{
	const struct disk_statistics *s = &test.disk->statistics;

	console_printf(
		"disk: reads %lu writes %lu flushes %lu errors %lu timeouts %lu resets %lu device_faults %lu "
		"gone %u\n",
		s->reads, s->writes, s->flushes, s->errors, s->timeouts, s->resets, s->device_faults,
		test.disk->gone);
}

static void tell_identity(void)
{
	const struct disk_identity *identity = &test.disk->identity;

	console_printf("disk: %s serial \"%s\" sectors %lu of %u depth %u cache %u fua %u read_only %u\n",
		       test.disk->ops->name, identity->serial, identity->sector_count, identity->sector_size,
		       identity->queue_depth, identity->has_write_cache, identity->has_write_through,
		       identity->read_only);
}

/* Cuts the line into words; numbers are decimal, absent ones 0. */
static void obey(char *line)
{
	uint64_t numbers[WORD_COUNT] = { 0 };
	char *rest = strchr(line, ' ');

	for (uint32_t i = 0; rest && i < WORD_COUNT; i++) {
		*rest++ = 0;
		numbers[i] = strtoul(rest, NULL, 10);
		rest = strchr(rest, ' ');
	}
	if (strcmp(line, "write") == 0)
		start_and_tell(DISK_WRITE, false, numbers[0], (uint32_t)numbers[1], numbers[2]);
	else if (strcmp(line, "through") == 0)
		start_and_tell(DISK_WRITE, true, numbers[0], (uint32_t)numbers[1], numbers[2]);
	else if (strcmp(line, "read") == 0)
		start_and_tell(DISK_READ, false, numbers[0], (uint32_t)numbers[1], numbers[2]);
	else if (strcmp(line, "flush") == 0)
		start_and_tell(DISK_FLUSH, false, 0, 0, 0);
	else if (strcmp(line, "fill") == 0)
		work(DISK_WRITE, numbers[0], numbers[1], numbers[2], (uint32_t)numbers[3],
		     (uint32_t)numbers[4]);
	else if (strcmp(line, "check") == 0)
		work(DISK_READ, numbers[0], numbers[1], numbers[2], (uint32_t)numbers[3],
		     (uint32_t)numbers[4]);
	else if (strcmp(line, "reset") == 0)
		console_printf("disk: reset: %d\n", test.disk->ops->reset(test.disk));
	else if (strcmp(line, "status") == 0)
		tell_status();
	else if (strcmp(line, "end") == 0)
		test.ended = true;
	else
		console_printf("disk: unknown command\n");
}

static void take_characters(void)
{
	uint8_t character;

	while (console_receive(&character)) {
		if (character != '\r' && test.line_size < LINE_SIZE - 1) {
			test.line[test.line_size++] = (char)character;
			continue;
		}
		test.line[test.line_size] = 0;
		test.line_size = 0;
		obey(test.line);
	}
}

SELF_TEST(disk_server)
{
	uint64_t deadline_ns = time_now_ns() + TEST_TIME_MAX_NS;
	char value[BOOT_OPTION_SIZE];
	uint32_t index = self_test_option("disk", value) ? (uint32_t)strtoul(value, NULL, 10) : 0;

	SELF_TEST_CHECK(index < disk_device_count());
	test.disk = disk_device_at(index);
	for (uint32_t i = 0; i < SLOT_COUNT; i++)
		SELF_TEST_CHECK(dma_allocate(&test.slots[i].buffer, DISK_TRANSFER_MAX, 4096) == 0);
	tell_identity();
	while (!test.ended) {
		struct disk_request *request = test.disk->ops->poll(test.disk);

		if (request)
			tell_ended(request);
		take_characters();
		console_poll();
		SELF_TEST_CHECK(!time_reached(deadline_ns));
	}
	test.disk->ops->close(test.disk);
	SELF_TEST_CHECK(test.disk->gone);
	return 0;
}
