/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In the Linux guest: does one kind of work that keeps the processor busy, and prints
 * by how much the TSC went on meanwhile: under QEMU's icount, the instructions that the
 * whole machine executed for it, the guest's and whoever's is underneath.
 * `clock` prints the TSC itself.
 * usage: cost_load clock|nothing|compute|syscall|fork
 */
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

static int nothing(void)
{
	return 0;
}

static int compute(void)
{
	volatile uint32_t sum = 0;

	for (uint32_t i = 0; i < COMPUTE_ROUNDS; i++)
		sum = sum * 3 + i;
	return 0;
}

static int system_calls(void)
{
	for (uint32_t i = 0; i < SYSCALL_ROUNDS; i++)
		syscall(SYS_getppid);
	return 0;
}

static int fork_and_execute(void)
{
	for (uint32_t i = 0; i < FORK_ROUNDS; i++) {
		pid_t child = fork();
		int status;

		if (child == 0) {
			execl("/proc/self/exe", "cost_load", "end", NULL);
			_exit(1);
		}
		if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
			return 1;
	}
	return 0;
}

static const struct {
	const char *name;
	int (*work)(void);
} kinds[] = {
	{ "nothing", nothing },
	{ "compute", compute },
	{ "syscall", system_calls },
	{ "fork", fork_and_execute },
};

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	if (strcmp(argv[1], "end") == 0)
		return 0;
	if (strcmp(argv[1], "clock") == 0) {
		printf("@@ clock: %llu\n", (unsigned long long)__rdtsc());
		return 0;
	}
	for (unsigned int i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		uint64_t start;

		if (strcmp(argv[1], kinds[i].name) != 0)
			continue;
		start = __rdtsc();
		if (kinds[i].work() != 0)
			return 1;
		printf("@@ %s: %llu instructions\n", argv[1], (unsigned long long)(__rdtsc() - start));
		return 0;
	}
	return 2;
}
