/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In the Linux guest: reads or writes its disk past the cache, so many requests at a time, and prints
 * by how much the TSC went on meanwhile: virtual time, under QEMU's icount (cost_load.c says more).
 * `regions` changes a block in each of so many regions of 64 KiB that lie apart, and `keep` reads a
 * block ten times a second until it is killed: a guest that uses its disk, and hardly so.
 * usage: disk_load KIND
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <x86intrin.h>

#define DISK "/dev/vda"
#define KIB 1024
#define REGION_SIZE (64 * KIB)
#define DEPTH_MAX 16
#define KEEP_INTERVAL_US 100000

enum order {
	SEQUENTIAL,
	RANDOM,
	REGIONS, /* one in each seventh region */
};

struct load {
	const char *name;
	bool writes;
	bool flushes; /* each */
	enum order order;
	uint32_t size; /* bytes of a request */
	uint32_t depth;
	uint32_t count;
};

static const struct load loads[] = {
	{ "sequential_write", true, false, SEQUENTIAL, 64 * KIB, 16, 4096 },
	{ "sequential_read", false, false, SEQUENTIAL, 64 * KIB, 16, 2000 },
	{ "random_write", true, false, RANDOM, 4 * KIB, 16, 8000 },
	{ "random_read", false, false, RANDOM, 4 * KIB, 16, 8000 },
	{ "queued_write", true, false, SEQUENTIAL, 64 * KIB, 8, 2000 },
	{ "queued_read", false, false, SEQUENTIAL, 64 * KIB, 8, 2000 },
	{ "single_write", true, false, RANDOM, 4 * KIB, 1, 2000 },
	{ "single_read", false, false, RANDOM, 4 * KIB, 1, 2000 },
	{ "flushed_write", true, true, RANDOM, 4 * KIB, 1, 500 },
	{ "regions", true, false, REGIONS, 4 * KIB, 1, 512 },
};

static _Alignas(4096) char data[DEPTH_MAX][64 * KIB];
static struct iocb requests[DEPTH_MAX];
static int disk;
static uint64_t disk_size;
static uint64_t random_state = 88172645463325252;

static uint64_t random_next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static uint64_t offset_of(const struct load *load, uint32_t number)
{
	uint64_t places = disk_size / load->size;

	if (load->order == RANDOM)
		return random_next() % places * load->size;
	return number * (uint64_t)(load->order == REGIONS ? 7 * REGION_SIZE : load->size) % disk_size;
}

static int submit(const struct load *load, aio_context_t context, struct iocb *request, uint32_t number)
{
	char *bytes = data[request - requests];

	memcpy(bytes, &number, sizeof(number)); /* each write changes something */
	*request = (struct iocb){ .aio_fildes = (uint32_t)disk,
				  .aio_lio_opcode = load->writes ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD,
				  .aio_buf = (uintptr_t)bytes,
				  .aio_nbytes = load->size,
				  .aio_offset = (int64_t)offset_of(load, number) };
	return syscall(SYS_io_submit, context, 1, &request) != 1;
}

/* One has ended: the next takes its place. */
static int go_on(const struct load *load, aio_context_t context, const struct io_event *event,
		 uint32_t number)
{
	if (event->res != load->size || (load->flushes && fdatasync(disk) != 0))
		return 1;
	return number < load->count && submit(load, context, (struct iocb *)(uintptr_t)event->obj, number);
}

static int run(const struct load *load)
{
	struct io_event events[DEPTH_MAX];
	aio_context_t context = 0;
	uint32_t submitted = 0;

	if (syscall(SYS_io_setup, DEPTH_MAX, &context) != 0)
		return 1;
	for (; submitted < load->depth; submitted++)
		if (submit(load, context, &requests[submitted], submitted))
			return 1;
	for (uint32_t ended = 0; ended < load->count;) {
		long came = syscall(SYS_io_getevents, context, 1, DEPTH_MAX, events, NULL);

		if (came < 1)
			return 1;
		for (long i = 0; i < came; i++, ended++, submitted++)
			if (go_on(load, context, &events[i], submitted))
				return 1;
	}
	return 0;
}

static int measure(const struct load *load)
{
	uint64_t start = __rdtsc();

	if (run(load))
		return 1;
	printf("@@ %s: %llu instructions for %u requests of %u bytes\n", load->name,
	       (unsigned long long)(__rdtsc() - start), load->count, load->size);
	return 0;
}

static int keep(void)
{
	while (pread(disk, data, 4 * KIB, 0) == 4 * KIB)
		usleep(KEEP_INTERVAL_US);
	return 1;
}

int main(int argc, char **argv)
{
	disk = open(DISK, O_RDWR | O_DIRECT);
	if (argc != 2 || disk < 0 || ioctl(disk, BLKGETSIZE64, &disk_size) != 0)
		return 2;
	if (strcmp(argv[1], "keep") == 0)
		return keep();
	for (unsigned int i = 0; i < sizeof(loads) / sizeof(loads[0]); i++)
		if (strcmp(argv[1], loads[i].name) == 0)
			return measure(&loads[i]);
	return 2;
}
