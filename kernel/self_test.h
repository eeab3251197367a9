/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests that run inside the hypervisor, on the real (or QEMU's) hardware. They
 * live in tests/guest/ and are linked into build/yoke-test.elf32 only: same
 * objects as the product image, plus the tests. A file registers its own:
 *
 *     SELF_TEST(disk_round_trip)
 *     {
 *             struct dma_buffer buffer;
 *
 *             SELF_TEST_CHECK(dma_allocate(&buffer, 4096, 64) == 0);
 *             return 0;
 *     }
 *
 * The boot command line `debug_exit test=disk_round_trip` runs it when all of
 * start-up is done, right before the main loop, and ends QEMU: exit status 1 when
 * it returned 0 or was skipped, else 3 (kernel/debug_exit.h). `test=list` prints the names.
 * Further options of the command line are read with self_test_option().
 */
#ifndef KERNEL_SELF_TEST_H
#define KERNEL_SELF_TEST_H

#include "include/bits.h"
#include "kernel/boot_info.h"

struct self_test {
	const char *name;
	int (*run)(void); /* 0: passed, SELF_TEST_SKIPPED, else failed */
};

#define SELF_TEST(name_)                                                                                     \
	static int self_test_##name_(void);                                                                  \
	static const struct self_test self_test_entry_##name_                                                \
		__attribute__((section("self_tests"), used, aligned(8))) = { #name_, self_test_##name_ };    \
	static int self_test_##name_(void)

#define SELF_TEST_CHECK(condition)                                                                           \
	do {                                                                                                 \
		if (!(condition))                                                                            \
			return self_test_failed(#condition, __FILE__, __LINE__);                             \
	} while (0)

/* `return self_test_skip("no such disk");`: what the test needs is not there. */
#define SELF_TEST_SKIPPED 1
int self_test_skip(const char *reason);

/* Prints what failed and returns -1. */
int self_test_failed(const char *condition, const char *file, int line);

/*
 * Runs what `command_line` asks for by `test=NAME` and ends the server; returns
 * when it asks for none.
 */
void self_test_run(const char *command_line);

/* The value of option `name` on the boot command line ("" when it has none); false: not there. */
bool self_test_option(const char *name, char value[BOOT_OPTION_SIZE]);

#endif
