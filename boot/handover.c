/* SPDX-License-Identifier: Apache-2.0 */
/* Filling a struct boot_info: see handover.h. */
#include "boot/handover.h"

#include <string.h>

static uint64_t text_length(const char *text, uint64_t size_max)
{
	uint64_t length = 0;

	while (length < size_max && text[length] != '\0')
		length++;
	return length;
}

void handover_begin(struct boot_info *info, uint64_t tsc)
{
	memset(info, 0, sizeof(*info));
	info->magic = BOOT_INFO_MAGIC;
	info->version = BOOT_INFO_VERSION;
	info->size = sizeof(*info);
	info->firmware_tsc = tsc;
}

void handover_set_kernel(struct boot_info *info, uint64_t physical, uint64_t size)
{
	info->kernel_physical = physical;
	info->kernel_size = size;
	handover_add_memory(info, physical, size, BOOT_MEMORY_LOADED);
}

void handover_set_text(char *to, const char *from, uint64_t size_max)
{
	uint64_t length = text_length(from, min_u64(size_max, BOOT_TEXT_SIZE - 1));

	memcpy(to, from, length);
	to[length] = '\0';
}

static bool ends_with(const char *text, uint64_t length, const char *suffix)
{
	uint64_t suffix_length = text_length(suffix, BOOT_TEXT_SIZE);

	if (length < suffix_length)
		return false;
	for (uint64_t i = 0; i < suffix_length; i++)
		if ((text[length - suffix_length + i] | 0x20) != (suffix[i] | 0x20)) /* whatever the case */
			return false;
	return true;
}

/* Length of a first word that is the name of the loaded file, else 0. */
static uint64_t file_name_length(const char *options, uint64_t end)
{
	uint64_t length = 0;

	/* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult) */
	while (length < end && options[length] != ' ') /* below `end`, which was measured: set */
		length++;
	if (ends_with(options, length, ".efi") || ends_with(options, length, ".elf") ||
	    ends_with(options, length, ".elf32"))
		return length;
	return 0;
}

void handover_add_options(struct boot_info *info, const char *from, uint64_t size_max)
{
	uint64_t length = text_length(info->command_line, BOOT_TEXT_SIZE);
	uint64_t end = text_length(from, size_max);
	uint64_t i = file_name_length(from, end);

	/* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult) */
	while (i < end && from[i] == ' ') /* as above */
		i++;
	if (i < end && length > 0 && length < BOOT_TEXT_SIZE - 1)
		info->command_line[length++] = ' ';
	handover_set_text(info->command_line + length, from + i,
			  min_u64(end - i, BOOT_TEXT_SIZE - 1 - length));
}

void handover_add_load_options(struct boot_info *info, const uint16_t *from, uint64_t count)
{
	char text[BOOT_TEXT_SIZE];
	uint64_t length = 0;

	for (; length < count && length < sizeof(text) && from[length] != 0; length++) {
		if (from[length] < ' ' || from[length] > '~')
			return;
		text[length] = (char)from[length];
	}
	handover_add_options(info, text, length);
}

void handover_add_memory(struct boot_info *info, uint64_t base, uint64_t size, uint64_t kind)
{
	uint32_t count = info->memory_range_count;
	struct boot_memory_range *last = count > 0 ? &info->memory[count - 1] : NULL;

	if (size == 0)
		return;
	if (last && last->kind == kind && last->base + last->size == base) {
		last->size += size;
		return;
	}
	if (count == BOOT_MEMORY_RANGE_MAX) {
		info->memory_ranges_left_out++;
		return;
	}
	info->memory[info->memory_range_count++] =
		(struct boot_memory_range){ .base = base, .size = size, .kind = kind };
}

void handover_add_file(struct boot_info *info, uint64_t base, uint64_t size, const char *path,
		       uint64_t path_size_max)
{
	struct boot_file *file = &info->files[info->file_count];
	const char *name = path;
	uint64_t length = 0;

	handover_add_memory(info, base, size, BOOT_MEMORY_LOADED);
	if (info->file_count == BOOT_FILE_MAX) {
		info->files_left_out++;
		return;
	}
	for (; length < path_size_max && path[length] != '\0' && path[length] != ' '; length++)
		if (path[length] == '/')
			name = path + length + 1;
	info->file_count++;
	file->base = base;
	file->size = size;
	handover_set_text(file->name, name, (uint64_t)(path + length - name));
}
