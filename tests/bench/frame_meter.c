/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In the Linux guest: waits until an interface has received COUNT more frames and
 * prints in which time, and how much of it the processor was not idle.
 * usage: frame_meter INTERFACE COUNT
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define LOOK_INTERVAL_US 10000

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t idle_ns(void)
{
	double uptime_s, idle_s;
	FILE *file = fopen("/proc/uptime", "r");

	if (!file || fscanf(file, "%lf %lf", &uptime_s, &idle_s) != 2)
		exit(1);
	fclose(file);
	return (uint64_t)(idle_s * 1e9);
}

static uint64_t received(const char *interface)
{
	unsigned long long count;
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "/sys/class/net/%s/statistics/rx_packets", interface);
	file = fopen(path, "r");
	if (!file || fscanf(file, "%llu", &count) != 1)
		exit(1);
	fclose(file);
	return count;
}

int main(int argc, char **argv)
{
	uint64_t before, after, begin_ns, end_ns, begin_idle_ns, end_idle_ns, wanted;

	if (argc != 3)
		return 2;
	wanted = strtoull(argv[2], NULL, 10);
	before = received(argv[1]);
	while (received(argv[1]) < before + 1000)
		usleep(LOOK_INTERVAL_US);
	before = received(argv[1]);
	begin_ns = now_ns();
	begin_idle_ns = idle_ns();
	do {
		usleep(LOOK_INTERVAL_US);
		after = received(argv[1]);
	} while (after < before + wanted);
	end_ns = now_ns();
	end_idle_ns = idle_ns();
	printf("%llu frames in %llu ns, busy %llu ns\n", (unsigned long long)(after - before),
	       (unsigned long long)(end_ns - begin_ns),
	       (unsigned long long)(end_ns - begin_ns - (end_idle_ns - begin_idle_ns)));
	return 0;
}
