/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In the Linux guest: does one kind of work that keeps the processor busy, and prints
 * by how much the TSC went on meanwhile: under QEMU's icount, the instructions that the
 * whole machine executed for it, the guest's and whoever's is underneath.
 * `clock` prints the TSC itself. `database` writes 8 KiB at a time to the disk, each with a
 * flush, and reckons in between; then it is time that is counted, the waiting for the disk
 * as well.
 * usage: cost_load clock|nothing|compute|syscall|fork|database
 *        cost_load run PROGRAM ARGUMENTS ...
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>

#define COMPUTE_ROUNDS 20000000
#define SYSCALL_ROUNDS 100000
#define FORK_ROUNDS 200
#define DATABASE_ROUNDS 300
#define DATABASE_COMPUTE_ROUNDS 30000
#define DATABASE_PAGE 8192
#define DISK "/dev/vda"

static int nothing(void)
{
	return 0;
}

static void reckon(uint32_t rounds)
{
	volatile uint32_t sum = 0;

	for (uint32_t i = 0; i < rounds; i++)
		sum = sum * 3 + i;
}

static int compute(void)
{
	reckon(COMPUTE_ROUNDS);
	return 0;
}

static int system_calls(void)
{
	for (uint32_t i = 0; i < SYSCALL_ROUNDS; i++)
		syscall(SYS_getppid);
	return 0;
}

static int execute(char *const words[])
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		execvp(words[0], words);
		_exit(1);
	}
	return child < 0 || waitpid(child, &status, 0) != child || status != 0;
}

static int fork_and_execute(void)
{
	static char *const words[] = { "/proc/self/exe", "end", NULL };

	for (uint32_t i = 0; i < FORK_ROUNDS; i++)
		if (execute(words))
			return 1;
	return 0;
}

static int database(void)
{
	static _Alignas(4096) char page[DATABASE_PAGE];
	int disk = open(DISK, O_WRONLY | O_DIRECT);

	for (uint32_t i = 0; i < DATABASE_ROUNDS; i++) {
		page[0] = (char)i;
		if (pwrite(disk, page, DATABASE_PAGE, (off_t)i * DATABASE_PAGE) != DATABASE_PAGE ||
		    fdatasync(disk) != 0)
			return 1;
		reckon(DATABASE_COMPUTE_ROUNDS);
	}
	return close(disk);
}

static const struct {
	const char *name;
	int (*work)(void);
} kinds[] = {
	{ "nothing", nothing },	      { "compute", compute },	{ "syscall", system_calls },
	{ "fork", fork_and_execute }, { "database", database },
};

static char **command; /* of `run` */

static int run(void)
{
	return execute(command);
}

static int measure(const char *name, int (*work)(void))
{
	uint64_t start = __rdtsc();

	if (work() != 0)
		return 1;
	printf("@@ %s: %llu instructions\n", name, (unsigned long long)(__rdtsc() - start));
	return 0;
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	if (strcmp(argv[1], "end") == 0)
		return 0;
	if (strcmp(argv[1], "clock") == 0) {
		printf("@@ clock: %llu\n", (unsigned long long)__rdtsc());
		return 0;
	}
	command = &argv[2];
	if (strcmp(argv[1], "run") == 0 && argc > 2)
		return measure("run", run);
	for (unsigned int i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(argv[1], kinds[i].name) == 0)
			return measure(argv[1], kinds[i].work);
	return 2;
}
