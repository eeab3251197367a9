/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a loader hands over. The input is struct boot_info with its arrays cut to
 * what is there: the part before `memory`, then memory_range_count ranges, then
 * file_count files. Whatever is accepted is checked against a second, slower way
 * to say which kind an address has.
 */
#include <string.h>

#include "kernel/boot_info.h"
#include "tests/fuzz/fuzz.h"

#define HEAD_SIZE offsetof(struct boot_info, memory)

static struct boot_info from;
static struct boot_info to;

/* Moves up to `size` bytes of the input into `into`. */
static void take(const uint8_t **data, size_t *left, void *into, size_t size)
{
	size = min_u64(size, *left);
	memcpy(into, *data, size);
	*data += size;
	*left -= size;
}

static void build(const uint8_t *data, size_t size)
{
	memset(&from, 0, sizeof(from));
	take(&data, &size, &from, HEAD_SIZE);
	take(&data, &size, from.memory,
	     min_u64(from.memory_range_count, BOOT_MEMORY_RANGE_MAX) * sizeof(from.memory[0]));
	take(&data, &size, from.files, min_u64(from.file_count, BOOT_FILE_MAX) * sizeof(from.files[0]));
}

/* The order of badness, as include/boot_info.h's reader is promised it. */
static int badness(uint64_t kind)
{
	switch (kind) {
	case BOOT_MEMORY_FREE:
		return 1;
	case BOOT_MEMORY_LOADED:
		return 2;
	case BOOT_MEMORY_ACPI:
		return 3;
	case BOOT_MEMORY_ACPI_NVS:
		return 4;
	case BOOT_MEMORY_RESERVED:
		return 5;
	case BOOT_MEMORY_DEFECTIVE:
		return 6;
	default:
		return 0;
	}
}

static uint64_t kind_at(const struct boot_info *info, uint64_t address)
{
	uint64_t worst = 0;

	for (uint32_t i = 0; i < info->memory_range_count; i++) {
		const struct boot_memory_range *range = &info->memory[i];

		if (address >= range->base && address < range->base + range->size &&
		    badness(range->kind) > badness(worst))
			worst = range->kind;
	}
	return worst;
}

static void check_map(void)
{
	for (uint32_t i = 0; i < to.memory_range_count; i++) {
		const struct boot_memory_range *range = &to.memory[i];

		FUZZ_CHECK(range->size > 0 && badness(range->kind) > 0);
		FUZZ_CHECK(range_fits(range->base, range->size, BOOT_PHYSICAL_LIMIT));
		if (i > 0) {
			const struct boot_memory_range *before = range - 1;

			FUZZ_CHECK(before->base + before->size <= range->base);
			FUZZ_CHECK(before->base + before->size < range->base || before->kind != range->kind);
		}
	}
	for (uint32_t i = 0; i < from.memory_range_count; i++) {
		uint64_t first = from.memory[i].base;
		uint64_t last = first + from.memory[i].size - 1;

		FUZZ_CHECK(kind_at(&from, first) == kind_at(&to, first));
		FUZZ_CHECK(kind_at(&from, last) == kind_at(&to, last));
		FUZZ_CHECK(kind_at(&from, last + 1) == kind_at(&to, last + 1));
	}
}

static void check_accepted(void)
{
	char value[BOOT_OPTION_SIZE];

	FUZZ_CHECK(to.memory_range_count > 0 && to.memory_range_count <= BOOT_MEMORY_RANGE_MAX);
	FUZZ_CHECK(to.file_count <= BOOT_FILE_MAX);
	check_map();
	FUZZ_CHECK(is_aligned(to.kernel_physical, 2 * MIB));
	FUZZ_CHECK(kind_at(&to, to.kernel_physical) == BOOT_MEMORY_LOADED);
	FUZZ_CHECK(kind_at(&to, to.kernel_physical + to.kernel_size - 1) == BOOT_MEMORY_LOADED);
	for (uint32_t i = 0; i < to.file_count; i++) {
		const struct boot_file *file = &to.files[i];

		FUZZ_CHECK(file->name[0] != '\0' && strnlen(file->name, BOOT_TEXT_SIZE) < BOOT_TEXT_SIZE);
		FUZZ_CHECK(boot_file_find(&to, file->name) != NULL);
		FUZZ_CHECK(file->size == 0 || kind_at(&to, file->base) == BOOT_MEMORY_LOADED);
		FUZZ_CHECK(file->size == 0 ||
			   kind_at(&to, file->base + file->size - 1) == BOOT_MEMORY_LOADED);
	}
	if (boot_option(to.command_line, "debug_exit", value))
		FUZZ_CHECK(strnlen(value, BOOT_OPTION_SIZE) < BOOT_OPTION_SIZE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char reason[BOOT_INFO_REASON_SIZE];
	bool accepted;

	build(data, size);
	memset(reason, 0xee, sizeof(reason));
	accepted = boot_info_check(&from, &to, reason);
	fuzz_verdict(accepted);
	if (accepted) {
		check_accepted();
		return 0;
	}
	/* Refused with a reason: a line for a person. */
	FUZZ_CHECK(reason[0] != '\0' && strnlen(reason, sizeof(reason)) < sizeof(reason));
	for (const char *at = reason; *at != '\0'; at++)
		FUZZ_CHECK(*at >= ' ' && *at <= '~');
	return 0;
}
