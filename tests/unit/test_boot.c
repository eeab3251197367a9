/* SPDX-License-Identifier: Apache-2.0 */
/* boot/: what loaders hand over, and which kernel files the UEFI loader takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "boot/handover.h"
#include "boot/kernel_image.h"
#include "boot/multiboot.h"
#include "boot/page_tables.h"
#include "include/byte_order.h"
#include "include/kernel_header.h"
#include "include/memory_layout.h"
#include "include/random.h"
#include "include/yoke_guid.h"

#define MUTATION_COUNT 20000

static struct boot_info info;

/* The same mutations in every run. */
static uint64_t random_state = 88172645463325252ULL;

static uint64_t random_below(uint64_t limit)
{
	return random_next(&random_state) % limit;
}

/* Overwrites up to eight places of `bytes`, half of them with values that tend to break things. */
static void mutate(uint8_t *bytes, uint64_t size)
{
	static const uint32_t odd[] = { 0, 1, 7, 0x7fffffff, 0x80000000, 0xffffffff, 0xfffffff8, 24 };

	for (uint64_t i = 0; i <= random_below(8); i++) {
		uint64_t at = random_below(size - 4);

		if (random_below(2))
			bytes[at] = (uint8_t)random_below(256);
		else
			store_le32(bytes + (at & ~UINT64_C(3)), odd[random_below(ARRAY_SIZE(odd))]);
	}
}

static void assert_bounded(const struct boot_info *built)
{
	assert_true(built->memory_range_count <= BOOT_MEMORY_RANGE_MAX);
	assert_true(built->file_count <= BOOT_FILE_MAX);
	assert_non_null(memchr(built->command_line, 0, BOOT_TEXT_SIZE));
	assert_non_null(memchr(built->loader, 0, BOOT_TEXT_SIZE));
	for (uint32_t i = 0; i < built->file_count; i++)
		assert_non_null(memchr(built->files[i].name, 0, BOOT_TEXT_SIZE));
}

static void texts_are_cut_and_always_end(void **state)
{
	char text[BOOT_TEXT_SIZE];
	char longer[2 * BOOT_TEXT_SIZE];

	(void)state;
	memset(longer, 'x', sizeof(longer));
	handover_set_text(text, "one two", 100);
	assert_string_equal(text, "one two");
	handover_set_text(text, "one two", 3);
	assert_string_equal(text, "one");
	handover_set_text(text, longer, sizeof(longer));
	assert_int_equal(strlen(text), BOOT_TEXT_SIZE - 1);
	handover_set_text(text, longer, 0);
	assert_string_equal(text, "");
}

static void options_lose_the_file_name(void **state)
{
	static const struct {
		const uint16_t *options;
		const char *expected;
	} cases[] = {
		{ u"loader.efi uart.rate=9600", "uart.rate=9600" },
		{ u"\\EFI\\BOOT\\BOOTX64.EFI   a b", "a b" },
		{ u"BOOTX64.EFI", "" },
		{ u"uart.rate=9600 x", "uart.rate=9600 x" },
		{ u"", "" },
		{ u"   ", "" },
		{ u"efi", "efi" },
		{ u"text with \x00e9", "" },
		{ u"text with \n", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t count = 0;

		while (cases[i].options[count] != 0)
			count++;
		handover_begin(&info, 0);
		handover_add_load_options(&info, cases[i].options, count + 1);
		assert_string_equal(info.command_line, cases[i].expected);
		/* Without the closing NUL too, and behind what is there already. */
		handover_begin(&info, 0);
		handover_set_text(info.command_line, "first", 5);
		handover_add_load_options(&info, cases[i].options, count);
		assert_memory_equal(info.command_line, "first", 5);
		assert_string_equal(info.command_line + (cases[i].expected[0] ? 6 : 5), cases[i].expected);
	}
}

static void options_are_cut(void **state)
{
	uint16_t options[600];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		options[i] = 'o';
	handover_begin(&info, 0);
	handover_add_load_options(&info, options, ARRAY_SIZE(options));
	assert_int_equal(strlen(info.command_line), BOOT_TEXT_SIZE - 1);
	handover_add_load_options(&info, options, ARRAY_SIZE(options));
	assert_int_equal(strlen(info.command_line), BOOT_TEXT_SIZE - 1);
}

static void neighbours_become_one_range_and_the_rest_is_counted(void **state)
{
	(void)state;
	handover_begin(&info, 0);
	handover_add_memory(&info, 0x1000, 0x1000, BOOT_MEMORY_FREE);
	handover_add_memory(&info, 0x2000, 0x3000, BOOT_MEMORY_FREE);
	handover_add_memory(&info, 0x5000, 0, BOOT_MEMORY_FREE);
	handover_add_memory(&info, 0x5000, 0x1000, BOOT_MEMORY_ACPI);
	assert_int_equal(info.memory_range_count, 2);
	assert_int_equal(info.memory[0].size, 0x4000);
	for (uint64_t i = 0; i < BOOT_MEMORY_RANGE_MAX + 5; i++)
		handover_add_memory(&info, 0x100000 + i * 0x2000, 0x1000, BOOT_MEMORY_FREE);
	assert_int_equal(info.memory_range_count, BOOT_MEMORY_RANGE_MAX);
	assert_int_equal(info.memory_ranges_left_out, 7);
}

static void files_are_named_without_folder_and_the_rest_is_counted(void **state)
{
	(void)state;
	handover_begin(&info, 0);
	handover_add_file(&info, 0x1000, 10, "/yoke/yoke.conf some arguments/x", 100);
	handover_add_file(&info, 0x2000, 20, "bios.bin", 8);
	handover_add_file(&info, 0x3000, 30, "cut/bios.bin", 8);
	assert_string_equal(info.files[0].name, "yoke.conf");
	assert_string_equal(info.files[1].name, "bios.bin");
	assert_string_equal(info.files[2].name, "bios");
	for (int i = 3; i < BOOT_FILE_MAX + 2; i++)
		handover_add_file(&info, 0x10000, 1, "more", 4);
	assert_int_equal(info.file_count, BOOT_FILE_MAX);
	assert_int_equal(info.files_left_out, 2);
}

/* A Multiboot 1 information at 0x100, in a memory of 4 KiB. */
#define MEMORY_SIZE 4096

static void build_multiboot1(uint8_t *bytes)
{
	memset(bytes, 0, MEMORY_SIZE);
	store_le32(bytes + 0x100,
		   0x20c | BIT(12) | BIT(6)); /* command line, modules, map, name, framebuffer */
	store_le32(bytes + 0x110, 0x300);
	strcpy((char *)bytes + 0x300, "yoke.elf32 uart.rate=9600");
	store_le32(bytes + 0x114, 2);
	store_le32(bytes + 0x118, 0x400);
	store_le32(bytes + 0x400, 0x10000);
	store_le32(bytes + 0x404, 0x10123);
	store_le32(bytes + 0x408, 0x340);
	strcpy((char *)bytes + 0x340, "build/yoke.conf");
	store_le32(bytes + 0x410, 0x20000);
	store_le32(bytes + 0x414, 0x1ffff); /* ends before it starts: passed over */
	store_le32(bytes + 0x418, 0x340);
	store_le32(bytes + 0x12c, 2 * 24);
	store_le32(bytes + 0x130, 0x500);
	store_le32(bytes + 0x500, 20);
	store_le64(bytes + 0x50c, 0x9fc00);
	store_le32(bytes + 0x514, 1);
	store_le32(bytes + 0x518, 20);
	store_le64(bytes + 0x51c, 0xf0000);
	store_le64(bytes + 0x524, 0x10000);
	store_le32(bytes + 0x52c, 9); /* a kind we do not know */
	store_le32(bytes + 0x140, 0x380);
	strcpy((char *)bytes + 0x380, "some loader");
	store_le64(bytes + 0x158, 0xfd000000);
	store_le32(bytes + 0x160, 4096);
	store_le32(bytes + 0x164, 1024);
	store_le32(bytes + 0x168, 768);
	bytes[0x16c] = 32;
	bytes[0x16d] = 1;
	bytes[0x16e] = 16;
}

static void multiboot1_is_read(void **state)
{
	uint8_t bytes[MEMORY_SIZE];
	struct multiboot_memory memory = { .bytes = bytes, .size = sizeof(bytes) };

	(void)state;
	build_multiboot1(bytes);
	handover_begin(&info, 77);
	multiboot_read(&memory, MULTIBOOT1_LOADER_MAGIC, 0x100, &info);
	assert_int_equal(info.magic, BOOT_INFO_MAGIC);
	assert_int_equal(info.firmware_tsc, 77);
	assert_string_equal(info.command_line, "uart.rate=9600");
	assert_string_equal(info.loader, "some loader");
	assert_int_equal(info.file_count, 1);
	assert_string_equal(info.files[0].name, "yoke.conf");
	assert_int_equal(info.files[0].base, 0x10000);
	assert_int_equal(info.files[0].size, 0x123);
	assert_int_equal(info.memory_range_count, 3);
	assert_int_equal(info.memory[0].kind, BOOT_MEMORY_LOADED);
	assert_int_equal(info.memory[1].size, 0x9fc00);
	assert_int_equal(info.memory[1].kind, BOOT_MEMORY_FREE);
	assert_int_equal(info.memory[2].base, 0xf0000);
	assert_int_equal(info.memory[2].kind, BOOT_MEMORY_RESERVED);
	assert_int_equal(info.framebuffer.base, 0xfd000000);
	assert_int_equal(info.framebuffer.height, 768);
	assert_int_equal(info.framebuffer.format, BOOT_FRAMEBUFFER_BGR);
}

static uint8_t *add_tag(uint8_t *at, uint32_t type, const void *body, uint32_t size)
{
	store_le32(at, type);
	store_le32(at + 4, size + 8);
	memcpy(at + 8, body, size);
	return at + align_up(size + 8, 8);
}

static void build_multiboot2(uint8_t *bytes)
{
	static const uint32_t module[] = { 0x10000, 0x10123, 0x656b6f79, 0x6e6f632e, 0x66 }; /* "yoke.conf" */
	static const uint64_t map[] = { 24, 0x100000, 0x1000000, 1, 0x2000000, 0x5000, 3 };
	static const uint32_t framebuffer[] = { 0xb8000, 0, 160, 80, 25, 0x0210, 0 };
	uint8_t rsdp[36] = "RSD PTR ";
	uint8_t *at = bytes + 0x108;

	memset(bytes, 0, MEMORY_SIZE);
	at = add_tag(at, 1, "uart.rate=9600", 15);
	at = add_tag(at, 2, "GRUB 2.06", 10);
	at = add_tag(at, 15, rsdp, 36);
	at = add_tag(at, 14, rsdp, 20);
	at = add_tag(at, 99, "unknown", 7);
	at = add_tag(at, 3, module, 18);
	at = add_tag(at, 6, map, sizeof(map));
	at = add_tag(at, 8, framebuffer, sizeof(framebuffer));
	at = add_tag(at, 0, "", 0);
	store_le32(bytes + 0x100, (uint32_t)(at - bytes - 0x100));
}

static void multiboot2_is_read(void **state)
{
	uint8_t bytes[MEMORY_SIZE];
	struct multiboot_memory memory = { .bytes = bytes, .size = sizeof(bytes) };

	(void)state;
	build_multiboot2(bytes);
	handover_begin(&info, 0);
	multiboot_read(&memory, MULTIBOOT2_LOADER_MAGIC, 0x100, &info);
	assert_string_equal(info.command_line, "uart.rate=9600");
	assert_string_equal(info.loader, "GRUB 2.06");
	assert_memory_equal(bytes + info.rsdp, "RSD PTR ", 8);
	assert_int_equal(load_le32(bytes + info.rsdp - 8), 15);
	assert_int_equal(info.file_count, 1);
	assert_string_equal(info.files[0].name, "yoke.conf");
	assert_int_equal(info.files[0].size, 0x123);
	assert_int_equal(info.memory_range_count, 4);
	assert_int_equal(info.memory[0].base, 0x100);
	assert_int_equal(info.memory[0].kind, BOOT_MEMORY_LOADED);
	assert_int_equal(info.memory[2].size, 0x1000000);
	assert_int_equal(info.memory[3].kind, BOOT_MEMORY_ACPI);
	assert_int_equal(info.framebuffer.format, BOOT_FRAMEBUFFER_TEXT);
	assert_int_equal(info.framebuffer.width, 80);
}

static void an_unknown_loader_hands_over_nothing(void **state)
{
	uint8_t bytes[MEMORY_SIZE];
	struct multiboot_memory memory = { .bytes = bytes, .size = sizeof(bytes) };

	(void)state;
	build_multiboot1(bytes);
	handover_begin(&info, 0);
	multiboot_read(&memory, 0x12345678, 0x100, &info);
	assert_int_equal(info.memory_range_count, 0);
	multiboot_read(&memory, MULTIBOOT1_LOADER_MAGIC, MEMORY_SIZE - 8, &info);
	multiboot_read(&memory, MULTIBOOT2_LOADER_MAGIC, 0xfffffff8, &info);
	assert_int_equal(info.memory_range_count, 0);
}

/* Under ASan: nothing outside `memory` is read, nothing outside `info` written. */
static void damaged_multiboot_information_is_survived(void **state)
{
	uint8_t *bytes = malloc(MEMORY_SIZE);
	struct multiboot_memory memory = { .bytes = bytes, .size = MEMORY_SIZE };

	(void)state;
	for (int i = 0; i < MUTATION_COUNT; i++) {
		bool second = i & 1;

		if (second)
			build_multiboot2(bytes);
		else
			build_multiboot1(bytes);
		mutate(bytes + 0x100, 0x440);
		handover_begin(&info, 0);
		multiboot_read(&memory, second ? MULTIBOOT2_LOADER_MAGIC : MULTIBOOT1_LOADER_MAGIC, 0x100,
			       &info);
		assert_bounded(&info);
	}
	free(bytes);
}

/* A kernel file of two segments: 0x400 bytes in all, 0x3000 in memory. */
#define KERNEL_FILE_SIZE 0x400

static void build_segment(uint8_t *at, uint64_t offset, uint64_t virtual, uint64_t file_size,
			  uint64_t memory_size)
{
	store_le32(at, 1);
	store_le64(at + 8, offset);
	store_le64(at + 16, virtual);
	store_le64(at + 24, virtual - KERNEL_VIRTUAL_BASE + KERNEL_PHYSICAL_DEFAULT);
	store_le64(at + 32, file_size);
	store_le64(at + 40, memory_size);
}

static void build_kernel_file(uint8_t *file)
{
	struct kernel_header header = {
		.magic = KERNEL_HEADER_MAGIC,
		.version = BOOT_INFO_VERSION,
		.entry64 = KERNEL_VIRTUAL_BASE + 0x20,
		.memory_size = 0x3000,
	};

	memset(file, 0, KERNEL_FILE_SIZE);
	memcpy(file,
	       "\x7f"
	       "ELF\2\1\1",
	       7);
	store_le16(file + 16, 2);
	store_le16(file + 18, 62);
	store_le32(file + 20, 1);
	store_le64(file + 32, 64);
	store_le64(file + 40, KERNEL_FILE_SIZE - 64);
	store_le16(file + 54, 56);
	store_le16(file + 56, 2);
	store_le16(file + 58, 64);
	store_le16(file + 60, 1);
	build_segment(file + 64, 0x100, KERNEL_VIRTUAL_BASE, 0x80, 0x80);
	build_segment(file + 64 + 56, 0x200, KERNEL_VIRTUAL_BASE + 0x1000, 0x40, 0x2000);
	memcpy(file + 0x100, &header, sizeof(header));
	memset(file + 0x200, 0xda, 0x40);
}

static void a_whole_kernel_is_placed(void **state)
{
	uint8_t file[KERNEL_FILE_SIZE];
	uint8_t memory[0x3000];
	struct kernel_image image;

	(void)state;
	build_kernel_file(file);
	assert_null(kernel_image_check(file, sizeof(file), &image));
	assert_int_equal(image.entry, KERNEL_VIRTUAL_BASE + 0x20);
	assert_int_equal(image.memory_size, sizeof(memory));
	memset(memory, 0xee, sizeof(memory));
	kernel_image_place(file, &image, memory);
	assert_memory_equal(memory, file + 0x100, 0x80);
	assert_int_equal(memory[0x80], 0);
	assert_int_equal(memory[0x103f], 0xda);
	assert_int_equal(memory[0x1040], 0);
	assert_int_equal(memory[0x2fff], 0);
}

static void a_kernel_cut_anywhere_is_refused(void **state)
{
	uint8_t file[KERNEL_FILE_SIZE];
	struct kernel_image image;

	(void)state;
	build_kernel_file(file);
	for (uint64_t size = 0; size < sizeof(file); size++) {
		const char *wrong = kernel_image_check(file, size, &image);

		assert_non_null(wrong);
		assert_non_null(strstr(wrong, "cut short"));
	}
}

static void other_files_are_refused_by_name(void **state)
{
	static const struct {
		uint32_t offset;
		uint8_t value;
		const char *wrong;
	} cases[] = {
		{ 0, 0, "not an ELF file" },
		{ 4, 1, "ELF64 executable" },	 /* ELF32 */
		{ 16, 3, "ELF64 executable" },	 /* shared object */
		{ 18, 183, "ELF64 executable" }, /* ARM */
		{ 54, 32, "program headers" },
		{ 56, 0, "program headers" },
		{ 64, 0, "no Yoke kernel header" },  /* first segment is not loaded */
		{ 64 + 18, 1, "where one must be" }, /* virtual address */
		{ 64 + 32, 0xff, "larger in the file" },
		{ 64 + 56 + 42, 1, "outside the image" }, /* memory size */
		{ 0x100, 0, "some other program" },
		{ 0x108, 9, "another version" },
		{ 0x113, 0x40, "entry point" },
		{ 0x11c, 1, "more memory" },
	};
	uint8_t file[KERNEL_FILE_SIZE];
	struct kernel_image image;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *wrong;

		build_kernel_file(file);
		file[cases[i].offset] = cases[i].value;
		wrong = kernel_image_check(file, sizeof(file), &image);
		assert_non_null(wrong);
		if (!strstr(wrong, cases[i].wrong))
			fail_msg("case %zu: \"%s\" does not say \"%s\"", i, wrong, cases[i].wrong);
	}
}

static void damaged_kernels_are_refused_or_fit(void **state)
{
	uint8_t *file = malloc(KERNEL_FILE_SIZE);
	uint32_t taken = 0;

	(void)state;
	for (int i = 0; i < MUTATION_COUNT; i++) {
		struct kernel_image image;
		uint8_t *memory;

		build_kernel_file(file);
		mutate(file, 0x120);
		if (kernel_image_check(file, KERNEL_FILE_SIZE, &image))
			continue;
		taken++;
		assert_true(image.memory_size <= KERNEL_IMAGE_SIZE_MAX);
		memory = malloc(image.memory_size);
		kernel_image_place(file, &image, memory);
		free(memory);
	}
	assert_in_range(taken, 1, MUTATION_COUNT - 1);
	free(file);
}

/* Walks the tables as the processor does. Returns all ones where nothing is mapped. */
static uint64_t translate(const struct page_tables *tables, uint64_t tables_physical, uint64_t address)
{
	const uint64_t *table = tables->pml4;

	for (int shift = 39; shift >= 21; shift -= 9) {
		uint64_t entry = table[(address >> shift) & 511];

		if (!(entry & 1))
			return UINT64_MAX;
		if (entry & BIT(7))
			return (entry & ~(2 * MIB - 1)) + (address & (2 * MIB - 1));
		table = (const uint64_t *)((const uint8_t *)tables +
					   (align_down(entry, 4096) - tables_physical));
	}
	return UINT64_MAX;
}

static void page_tables_map_what_the_kernel_is_promised(void **state)
{
	static struct page_tables tables;
	uint64_t physical = 0x7f123000;

	(void)state;
	page_tables_build(&tables, physical, 0x6e000000, 5 * MIB);
	for (uint64_t address = 0; address < 4 * GIB; address += 509 * 4096) {
		assert_int_equal(translate(&tables, physical, address), address);
		assert_int_equal(translate(&tables, physical, DIRECT_MAP_BASE + address), address);
	}
	assert_int_equal(translate(&tables, physical, 4 * GIB), UINT64_MAX);
	assert_int_equal(translate(&tables, physical, KERNEL_VIRTUAL_BASE + 0x1234), 0x6e001234);
	assert_int_equal(translate(&tables, physical, KERNEL_VIRTUAL_BASE + 5 * MIB), 0x6e000000 + 5 * MIB);
	assert_int_equal(translate(&tables, physical, KERNEL_VIRTUAL_BASE + 6 * MIB), UINT64_MAX);
}

static void guid_reads_alike_as_text_and_bytes(void **state)
{
	static const uint8_t bytes[16] = YOKE_STATE_TYPE_GUID_BYTES;
	char text[64];

	(void)state;
	snprintf(text, sizeof(text), "%08X-%04X-%04X-%02X%02X-%02X%02X%02X%02X%02X%02X", load_le32(bytes),
		 load_le16(bytes + 4), load_le16(bytes + 6), bytes[8], bytes[9], bytes[10], bytes[11],
		 bytes[12], bytes[13], bytes[14], bytes[15]);
	assert_string_equal(text, YOKE_STATE_TYPE_GUID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_are_cut_and_always_end),
		cmocka_unit_test(options_lose_the_file_name),
		cmocka_unit_test(options_are_cut),
		cmocka_unit_test(neighbours_become_one_range_and_the_rest_is_counted),
		cmocka_unit_test(files_are_named_without_folder_and_the_rest_is_counted),
		cmocka_unit_test(multiboot1_is_read),
		cmocka_unit_test(multiboot2_is_read),
		cmocka_unit_test(an_unknown_loader_hands_over_nothing),
		cmocka_unit_test(damaged_multiboot_information_is_survived),
		cmocka_unit_test(a_whole_kernel_is_placed),
		cmocka_unit_test(a_kernel_cut_anywhere_is_refused),
		cmocka_unit_test(other_files_are_refused_by_name),
		cmocka_unit_test(damaged_kernels_are_refused_or_fit),
		cmocka_unit_test(page_tables_map_what_the_kernel_is_promised),
		cmocka_unit_test(guid_reads_alike_as_text_and_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
