/* SPDX-License-Identifier: Apache-2.0 */
/* Runs one test of those the linker gathered; in the product image there are none. */
#include "kernel/self_test.h"

#include <string.h>

#include "kernel/boot_info.h"
#include "kernel/console.h"
#include "kernel/cpu.h"
#include "kernel/debug_exit.h"

extern const struct self_test __start_self_tests[];
extern const struct self_test __stop_self_tests[];

static const char *options = "";
static const char *skip_reason = "";

int self_test_failed(const char *condition, const char *file, int line)
{
	console_printf("%s:%d: check failed: %s\n", file, line, condition);
	return -1;
}

int self_test_skip(const char *reason)
{
	skip_reason = reason;
	return SELF_TEST_SKIPPED;
}

bool self_test_option(const char *name, char value[BOOT_OPTION_SIZE])
{
	return boot_option(options, name, value);
}

_Noreturn static void end(enum debug_exit_value value)
{
	console_flush();
	debug_exit(value);
	console_printf("self-test is over; no debug_exit on the command line, so this server halts\n");
	console_flush();
	cpu_halt();
}

static enum debug_exit_value run(const struct self_test *test)
{
	int result;

	console_printf("self-test %s: begins\n", test->name);
	result = test->run();
	if (result == SELF_TEST_SKIPPED)
		console_printf("self-test %s: skipped: %s\n", test->name, skip_reason);
	else
		console_printf("self-test %s: %s\n", test->name, result == 0 ? "passed" : "FAILED");
	return result == 0 || result == SELF_TEST_SKIPPED ? DEBUG_EXIT_SUCCESS : DEBUG_EXIT_FAILURE;
}

void self_test_run(const char *command_line)
{
	char name[BOOT_OPTION_SIZE];

	options = command_line;
	if (!boot_option(command_line, "test", name))
		return;
	for (const struct self_test *test = __start_self_tests; test < __stop_self_tests; test++) {
		if (strcmp(name, "list") == 0)
			console_printf("self-test %s\n", test->name);
		else if (strcmp(name, test->name) == 0)
			end(run(test));
	}
	if (strcmp(name, "list") == 0)
		end(DEBUG_EXIT_SUCCESS);
	console_printf("self-test %s: this image has no such test; test=list prints them\n", name);
	end(DEBUG_EXIT_REFUSED);
}
