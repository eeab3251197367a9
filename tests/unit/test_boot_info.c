/* SPDX-License-Identifier: Apache-2.0 */
/* The check of what a loader hands over: sorting out, and each refusal by its reason. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/boot_info.h"

static struct boot_info from;
static struct boot_info to;
static char reason[BOOT_INFO_REASON_SIZE];

static void add(uint64_t base, uint64_t size, uint64_t kind)
{
	from.memory[from.memory_range_count++] = (struct boot_memory_range){ base, size, kind };
}

static int begin_good(void **state)
{
	(void)state;
	memset(&from, 0, sizeof(from));
	from.magic = BOOT_INFO_MAGIC;
	from.version = BOOT_INFO_VERSION;
	from.size = sizeof(from);
	from.kernel_physical = 2 * MIB;
	from.kernel_size = 0x30000;
	strcpy(from.loader, "test");
	add(0, 0xa0000, BOOT_MEMORY_FREE);
	add(1 * MIB, 511 * MIB, BOOT_MEMORY_FREE);
	add(2 * MIB, 0x30000, BOOT_MEMORY_LOADED);
	return 0;
}

static void assert_range(uint32_t index, uint64_t base, uint64_t size, uint64_t kind)
{
	assert_true(index < to.memory_range_count);
	assert_true(to.memory[index].base == base);
	assert_true(to.memory[index].size == size);
	assert_true(to.memory[index].kind == kind);
}

static void assert_refused(const char *part)
{
	assert_false(boot_info_check(&from, &to, reason));
	if (!strstr(reason, part))
		fail_msg("reason is \"%s\", expected \"%s\" in it", reason, part);
}

static void good_is_sorted_out(void **state)
{
	(void)state;
	assert_true(boot_info_check(&from, &to, reason));
	assert_int_equal(to.memory_range_count, 4);
	assert_range(0, 0, 0xa0000, BOOT_MEMORY_FREE);
	assert_range(1, 1 * MIB, 1 * MIB, BOOT_MEMORY_FREE);
	assert_range(2, 2 * MIB, 0x30000, BOOT_MEMORY_LOADED);
	assert_range(3, 2 * MIB + 0x30000, 510 * MIB - 0x30000, BOOT_MEMORY_FREE);
}

static void worse_kind_wins_in_any_order(void **state)
{
	(void)state;
	add(0x10000000, 0x1000, BOOT_MEMORY_RESERVED);
	add(0x0ffff000, 0x3000, BOOT_MEMORY_ACPI);
	add(0x10000800, 0x400, BOOT_MEMORY_DEFECTIVE);
	add(0x40000000, 0x1000, BOOT_MEMORY_RESERVED);
	add(0x3f000000, 0x1000000, BOOT_MEMORY_RESERVED); /* touches the one before: joined */
	assert_true(boot_info_check(&from, &to, reason));
	assert_range(4, 0x0ffff000, 0x1000, BOOT_MEMORY_ACPI);
	assert_range(5, 0x10000000, 0x800, BOOT_MEMORY_RESERVED);
	assert_range(6, 0x10000800, 0x400, BOOT_MEMORY_DEFECTIVE);
	assert_range(7, 0x10000c00, 0x400, BOOT_MEMORY_RESERVED);
	assert_range(8, 0x10001000, 0x1000, BOOT_MEMORY_ACPI);
	assert_range(9, 0x10002000, 0x20000000 - 0x10002000, BOOT_MEMORY_FREE);
	assert_range(10, 0x3f000000, 0x1001000, BOOT_MEMORY_RESERVED);
	assert_int_equal(to.memory_range_count, 11);
}

static void head_is_refused_by_name(void **state)
{
	(void)state;
	from.magic++;
	assert_refused("magic");
	begin_good(NULL);
	from.version = 7;
	assert_refused("version is 7");
	begin_good(NULL);
	from.size--;
	assert_refused("size");
	begin_good(NULL);
	from.memory_range_count = 0;
	assert_refused("no memory map");
	begin_good(NULL);
	from.memory_range_count = BOOT_MEMORY_RANGE_MAX + 1;
	assert_refused("257 memory ranges");
	begin_good(NULL);
	from.file_count = BOOT_FILE_MAX + 1;
	assert_refused("9 boot files");
	begin_good(NULL);
	from.rsdp = UINT64_MAX;
	assert_refused("ACPI root pointer");
	begin_good(NULL);
	memset(from.command_line, 'x', sizeof(from.command_line));
	assert_refused("command line");
	begin_good(NULL);
	from.loader[0] = '\x1b';
	assert_refused("loader's name");
}

static void ranges_are_refused_by_number(void **state)
{
	(void)state;
	add(0x1000, 0, BOOT_MEMORY_FREE);
	assert_refused("memory range 3");
	begin_good(NULL);
	add(UINT64_MAX - 10, 20, BOOT_MEMORY_FREE);
	assert_refused("make no sense");
	begin_good(NULL);
	add(0x1000, 0x1000, 9);
	assert_refused("kind 9");
	begin_good(NULL);
	add(0x1000, 0x1000, 0);
	assert_refused("kind 0");
}

static void too_many_pieces_are_refused(void **state)
{
	(void)state;
	/* One wide range, cut by 253 small ones: 507 pieces. */
	for (uint64_t i = 0; i < 253; i++)
		add(0x10000000 + i * 0x2000, 0x1000, BOOT_MEMORY_RESERVED);
	assert_refused("more than 256 pieces");
}

static void image_and_files_must_be_loaded(void **state)
{
	(void)state;
	from.kernel_physical += 4096;
	assert_refused("2 MiB boundary");
	begin_good(NULL);
	from.kernel_size += 1;
	assert_refused("image: 0x30001 bytes at 0x200000 lie in memory that the map calls free");
	begin_good(NULL);
	from.file_count = 1;
	from.files[0] = (struct boot_file){ .base = 0x1000000, .size = 100, .name = "yoke.conf" };
	assert_refused("yoke.conf: 0x64 bytes");
	add(0x1000000, 100, BOOT_MEMORY_LOADED);
	assert_true(boot_info_check(&from, &to, reason));
	assert_non_null(boot_file_find(&to, "yoke.conf"));
	assert_null(boot_file_find(&to, "yoke.con"));
	from.files[0].size = UINT64_MAX;
	assert_refused("yoke.conf");
	from.files[0].size = 0; /* an empty file is nowhere, and good */
	from.files[0].base = 0;
	assert_true(boot_info_check(&from, &to, reason));
	from.files[0].name[0] = '\0';
	assert_refused("boot file 0");
}

static void framebuffer_must_fit(void **state)
{
	(void)state;
	from.framebuffer = (struct boot_framebuffer){
		.base = UINT64_MAX - 5, .pitch = 4096, .height = 768, .format = BOOT_FRAMEBUFFER_BGR
	};
	assert_refused("framebuffer");
	from.framebuffer.format = 77;
	assert_refused("format 77");
}

static void options_are_whole_words(void **state)
{
	char value[BOOT_OPTION_SIZE] = "untouched";

	(void)state;
	assert_false(boot_option("", "test", value));
	assert_false(boot_option("tests testing=1 xtest", "test", value));
	assert_string_equal(value, "untouched");
	assert_true(boot_option("  debug_exit test=abc", "test", value));
	assert_string_equal(value, "abc");
	assert_true(boot_option("debug_exit test=abc", "debug_exit", value));
	assert_string_equal(value, "");
	assert_true(boot_option("test=a test=b=c", "test", value));
	assert_string_equal(value, "b=c");
	assert_true(boot_option("test=", "test", value));
	assert_string_equal(value, "");
	assert_true(boot_option(
		"t=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "t", value));
	assert_int_equal(strlen(value), BOOT_OPTION_SIZE - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(good_is_sorted_out, begin_good),
		cmocka_unit_test_setup(worse_kind_wins_in_any_order, begin_good),
		cmocka_unit_test_setup(head_is_refused_by_name, begin_good),
		cmocka_unit_test_setup(ranges_are_refused_by_number, begin_good),
		cmocka_unit_test_setup(too_many_pieces_are_refused, begin_good),
		cmocka_unit_test_setup(image_and_files_must_be_loaded, begin_good),
		cmocka_unit_test_setup(framebuffer_must_fit, begin_good),
		cmocka_unit_test(options_are_whole_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
