/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast the disk drivers are: tests/bench/bench_disk.py compares them with
 * Linux's on the same devices. Each disk in turn, sequential 64 KiB and random
 * 4 KiB, one request at a time and 32, reads and writes, each for a while:
 *
 *	bench: nvme read random 4096 32: 12345 requests in 1000000 us, busy 900000 ns
 *
 * Busy leaves out the looks that found nothing. With `-icount shift=0` a nanosecond
 * is an instruction; without it, it is one by the wall clock.
 *
 * Writes go to the disk's first 64 MiB. Option: ms=N for each measurement (1000).
 */
#include <stdlib.h>
#include <string.h>

#include "drivers/disk.h"
#include "include/random.h"
#include "kernel/console.h"
#include "kernel/dma.h"
#include "kernel/self_test.h"
#include "kernel/time.h"

#define DEPTH_MAX 32
#define SPAN (64 * MIB)
#define SEQUENTIAL_SIZE (64 * KIB)
#define RANDOM_SIZE (4 * KIB)

struct bench_case {
	enum disk_operation operation;
	bool random;
	uint32_t size; /* bytes of a request */
	uint32_t depth;
};

static const struct bench_case bench_cases[] = {
	{ DISK_READ, false, SEQUENTIAL_SIZE, 1 },  { DISK_READ, false, SEQUENTIAL_SIZE, DEPTH_MAX },
	{ DISK_READ, true, RANDOM_SIZE, 1 },	   { DISK_READ, true, RANDOM_SIZE, DEPTH_MAX },
	{ DISK_WRITE, false, SEQUENTIAL_SIZE, 1 }, { DISK_WRITE, false, SEQUENTIAL_SIZE, DEPTH_MAX },
	{ DISK_WRITE, true, RANDOM_SIZE, 1 },	   { DISK_WRITE, true, RANDOM_SIZE, DEPTH_MAX },
};

static struct disk_device *bench_disk;
static struct disk_request bench_requests[DEPTH_MAX];
static struct dma_buffer bench_buffers[DEPTH_MAX];
static uint64_t bench_random_state = 88172645463325252;
static uint64_t bench_next; /* place of the next sequential request, in requests */

static uint64_t bench_random(void)
{
	return random_next(&bench_random_state);
}

/* False: the driver takes no more just now (a queue of fewer than 32). */
static bool bench_submit(const struct bench_case *bench, struct disk_request *request)
{
	uint32_t sector_size = bench_disk->identity.sector_size;
	uint64_t places = SPAN / bench->size;
	uint64_t place = (bench->random ? bench_random() : bench_next) % places;

	request->operation = bench->operation;
	request->write_through = false;
	request->sector = place * (bench->size / sector_size);
	request->sector_count = bench->size / sector_size;
	request->segment_count = 1;
	request->segments[0].physical = bench_buffers[request - bench_requests].physical;
	request->segments[0].size = bench->size;
	if (bench_disk->ops->submit(bench_disk, request) != 0)
		return false;
	bench_next++;
	return true;
}

/* All requests that the driver has end; false: one failed. */
static bool bench_drain(uint32_t under_way)
{
	while (under_way) {
		const struct disk_request *request = bench_disk->ops->poll(bench_disk);

		if (!request)
			continue;
		under_way--;
		if (request->status != 0)
			return false;
	}
	return true;
}

/* The next finished request, or NULL at `end_ns`. What was waited for it is added to `waited_ns`. */
static struct disk_request *bench_wait(uint64_t end_ns, uint64_t *waited_ns)
{
	uint64_t begin_ns = time_now_ns();
	uint64_t look_ns;
	struct disk_request *request;

	do {
		look_ns = time_now_ns();
		request = bench_disk->ops->poll(bench_disk);
	} while (!request && look_ns < end_ns);
	*waited_ns += look_ns - begin_ns;
	return request;
}

static int bench_run(const struct bench_case *bench, uint64_t duration_ns)
{
	uint64_t start_ns = time_now_ns();
	uint64_t elapsed_ns;
	uint64_t waited_ns = 0;
	uint64_t finished = 0;
	uint32_t under_way = 0;

	bench_next = 0;
	while (under_way < bench->depth && bench_submit(bench, &bench_requests[under_way]))
		under_way++;
	SELF_TEST_CHECK(under_way > 0);
	do {
		struct disk_request *request = bench_disk->ops->poll(bench_disk);

		if (!request)
			request = bench_wait(start_ns + duration_ns, &waited_ns);
		elapsed_ns = time_now_ns() - start_ns;
		if (!request)
			break;
		finished++;
		SELF_TEST_CHECK(request->status == 0);
		SELF_TEST_CHECK(bench_submit(bench, request));
	} while (elapsed_ns < duration_ns);
	console_printf("bench: %s %s %s %u %u: %lu requests in %lu us, busy %lu ns\n", bench_disk->ops->name,
		       bench->operation == DISK_READ ? "read" : "write",
		       bench->random ? "random" : "sequential", bench->size, bench->depth, finished,
		       elapsed_ns / NS_PER_US, elapsed_ns - waited_ns);
	SELF_TEST_CHECK(bench_drain(under_way));
	return 0;
}

static int bench_run_all(struct disk_device *disk, uint64_t duration_ns)
{
	bench_disk = disk;
	SELF_TEST_CHECK(disk->identity.sector_count >= SPAN / disk->identity.sector_size);
	for (uint32_t i = 0; i < ARRAY_SIZE(bench_cases); i++)
		SELF_TEST_CHECK(bench_run(&bench_cases[i], duration_ns) == 0);
	disk->ops->close(disk);
	return 0;
}

SELF_TEST(disk_bench)
{
	char value[BOOT_OPTION_SIZE];
	uint64_t duration_ms = self_test_option("ms", value) ? strtoul(value, NULL, 10) : 1000;

	if (disk_device_count() == 0)
		return self_test_skip("no disk");
	for (uint32_t i = 0; i < DEPTH_MAX; i++)
		SELF_TEST_CHECK(dma_allocate(&bench_buffers[i], SEQUENTIAL_SIZE, 4096) == 0);
	for (uint32_t i = 0; i < disk_device_count(); i++)
		SELF_TEST_CHECK(bench_run_all(disk_device_at(i), duration_ms * NS_PER_MS) == 0);
	return 0;
}
