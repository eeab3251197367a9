/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks what the loader handed over. Firmware memory maps come in any order and
 * do overlap on real machines, and our own LOADED ranges lie on top of them: each
 * byte gets the worst kind that any range gives it.
 *
 * The sorting out: the edges of all ranges cut the address space into pieces;
 * within a piece the set of covering ranges does not change, so each piece has
 * one worst kind, and neighbours of the same kind are joined again.
 */
#include "kernel/boot_info.h"

#include <stdio.h>
#include <string.h>

#define EDGE_MAX (2 * BOOT_MEMORY_RANGE_MAX)

/* What each kind does to a byte that another range calls something better; higher wins. */
static const uint8_t kind_weight[] = {
	[BOOT_MEMORY_FREE] = 1,	    [BOOT_MEMORY_LOADED] = 2,	[BOOT_MEMORY_ACPI] = 3,
	[BOOT_MEMORY_ACPI_NVS] = 4, [BOOT_MEMORY_RESERVED] = 5, [BOOT_MEMORY_DEFECTIVE] = 6,
};

const char *boot_memory_kind_name(uint64_t kind)
{
	static const char *const names[] = {
		[BOOT_MEMORY_FREE] = "free",	       [BOOT_MEMORY_RESERVED] = "reserved",
		[BOOT_MEMORY_ACPI] = "ACPI tables",    [BOOT_MEMORY_ACPI_NVS] = "ACPI non-volatile",
		[BOOT_MEMORY_DEFECTIVE] = "defective", [BOOT_MEMORY_LOADED] = "loaded",
	};

	return kind >= BOOT_MEMORY_FREE && kind <= BOOT_MEMORY_LOADED ? names[kind] : "not described";
}

static bool text_is_good(const char text[BOOT_TEXT_SIZE])
{
	size_t length = strnlen(text, BOOT_TEXT_SIZE);

	for (size_t i = 0; i < length; i++)
		if (text[i] < ' ' || text[i] > '~')
			return false;
	return length < BOOT_TEXT_SIZE;
}

static bool check_head(const struct boot_info *info, char *reason)
{
	if (info->magic != BOOT_INFO_MAGIC)
		snprintf(reason, BOOT_INFO_REASON_SIZE, "magic is %#lx, not %#lx", (unsigned long)info->magic,
			 (unsigned long)BOOT_INFO_MAGIC);
	else if (info->version != BOOT_INFO_VERSION)
		snprintf(reason, BOOT_INFO_REASON_SIZE, "version is %u, this image understands %u",
			 info->version, BOOT_INFO_VERSION);
	else if (info->size != sizeof(*info))
		snprintf(reason, BOOT_INFO_REASON_SIZE, "size is %u bytes, not %u", info->size,
			 (unsigned int)sizeof(*info));
	else if (info->memory_range_count == 0)
		snprintf(reason, BOOT_INFO_REASON_SIZE, "the loader gave no memory map");
	else if (info->memory_range_count > BOOT_MEMORY_RANGE_MAX)
		snprintf(reason, BOOT_INFO_REASON_SIZE, "%u memory ranges, at most %u are possible",
			 info->memory_range_count, BOOT_MEMORY_RANGE_MAX);
	else if (info->file_count > BOOT_FILE_MAX)
		snprintf(reason, BOOT_INFO_REASON_SIZE, "%u boot files, at most %u are possible",
			 info->file_count, BOOT_FILE_MAX);
	else if (!text_is_good(info->loader))
		snprintf(reason, BOOT_INFO_REASON_SIZE, "the loader's name has no end or is not printable");
	else if (!text_is_good(info->command_line))
		snprintf(reason, BOOT_INFO_REASON_SIZE, "the command line has no end or is not printable");
	else if (info->rsdp >= BOOT_PHYSICAL_LIMIT)
		snprintf(reason, BOOT_INFO_REASON_SIZE, "ACPI root pointer %#lx is no physical address",
			 (unsigned long)info->rsdp);
	else
		return true;
	return false;
}

static bool check_framebuffer(const struct boot_framebuffer *framebuffer, char *reason)
{
	if (framebuffer->format > BOOT_FRAMEBUFFER_TEXT)
		snprintf(reason, BOOT_INFO_REASON_SIZE, "framebuffer format %u is not known",
			 framebuffer->format);
	else if (framebuffer->format != BOOT_FRAMEBUFFER_NONE &&
		 !range_fits(framebuffer->base, (uint64_t)framebuffer->pitch * framebuffer->height,
			     BOOT_PHYSICAL_LIMIT))
		snprintf(reason, BOOT_INFO_REASON_SIZE, "framebuffer at %#lx does not fit into memory",
			 (unsigned long)framebuffer->base);
	else
		return true;
	return false;
}

static bool check_ranges(const struct boot_info *info, char *reason)
{
	for (uint32_t i = 0; i < info->memory_range_count; i++) {
		const struct boot_memory_range *range = &info->memory[i];

		if (range->size == 0 || !range_fits(range->base, range->size, BOOT_PHYSICAL_LIMIT)) {
			snprintf(reason, BOOT_INFO_REASON_SIZE,
				 "memory range %u: %#lx bytes at %#lx make no sense", i,
				 (unsigned long)range->size, (unsigned long)range->base);
			return false;
		}
		if (range->kind < BOOT_MEMORY_FREE || range->kind > BOOT_MEMORY_LOADED) {
			snprintf(reason, BOOT_INFO_REASON_SIZE,
				 "memory range %u at %#lx: kind %lu is not known", i,
				 (unsigned long)range->base, (unsigned long)range->kind);
			return false;
		}
	}
	return true;
}

/* Insertion sort: maps are short and nearly sorted as firmware gives them. */
static uint32_t collect_edges(const struct boot_info *info, uint64_t edges[EDGE_MAX])
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < 2 * info->memory_range_count; i++) {
		const struct boot_memory_range *range = &info->memory[i / 2];
		uint64_t edge = i % 2 ? range->base + range->size : range->base;
		uint32_t at = count++;

		for (; at > 0 && edges[at - 1] > edge; at--)
			edges[at] = edges[at - 1];
		edges[at] = edge;
	}
	return count;
}

/* The worst kind any range gives the piece that begins at `address`; 0: none covers it. */
static uint64_t worst_kind_at(const struct boot_info *info, uint64_t address)
{
	uint64_t worst = 0;

	for (uint32_t i = 0; i < info->memory_range_count; i++) {
		const struct boot_memory_range *range = &info->memory[i];

		if (address - range->base < range->size && kind_weight[range->kind] > kind_weight[worst])
			worst = range->kind;
	}
	return worst;
}

static bool append_range(struct boot_info *to, uint64_t base, uint64_t size, uint64_t kind)
{
	if (to->memory_range_count > 0) {
		struct boot_memory_range *last = &to->memory[to->memory_range_count - 1];

		if (last->kind == kind && last->base + last->size == base) {
			last->size += size;
			return true;
		}
	}
	if (to->memory_range_count == BOOT_MEMORY_RANGE_MAX)
		return false;
	to->memory[to->memory_range_count++] =
		(struct boot_memory_range){ .base = base, .size = size, .kind = kind };
	return true;
}

static bool sort_ranges(const struct boot_info *from, struct boot_info *to, char *reason)
{
	uint64_t edges[EDGE_MAX];
	uint32_t edge_count = collect_edges(from, edges);

	memset(to->memory, 0, sizeof(to->memory));
	to->memory_range_count = 0;
	for (uint32_t i = 0; i + 1 < edge_count; i++) {
		uint64_t kind;

		if (edges[i] == edges[i + 1])
			continue;
		kind = worst_kind_at(from, edges[i]);
		if (kind != 0 && !append_range(to, edges[i], edges[i + 1] - edges[i], kind)) {
			snprintf(reason, BOOT_INFO_REASON_SIZE,
				 "the memory map has more than %u pieces once overlaps are sorted out",
				 BOOT_MEMORY_RANGE_MAX);
			return false;
		}
	}
	return true;
}

static const struct boot_memory_range *range_of(const struct boot_info *info, uint64_t address)
{
	for (uint32_t i = 0; i < info->memory_range_count; i++)
		if (address - info->memory[i].base < info->memory[i].size)
			return &info->memory[i];
	return NULL;
}

/* Is [base, base + size) all LOADED? Joined neighbours make that one range. */
static bool check_loaded(const struct boot_info *info, const char *what, uint64_t base, uint64_t size,
			 char *reason)
{
	const struct boot_memory_range *range = range_of(info, base);
	uint64_t kind = range ? range->kind : 0;

	if (kind == BOOT_MEMORY_LOADED && range_fits(base - range->base, size, range->size))
		return true;
	if (kind == BOOT_MEMORY_LOADED) {
		range = range_of(info, range->base + range->size);
		kind = range ? range->kind : 0;
	}
	snprintf(reason, BOOT_INFO_REASON_SIZE,
		 "%.64s: %#lx bytes at %#lx lie in memory that the map calls %s", what, (unsigned long)size,
		 (unsigned long)base, boot_memory_kind_name(kind));
	return false;
}

static bool check_files(const struct boot_info *info, char *reason)
{
	for (uint32_t i = 0; i < info->file_count; i++) {
		const struct boot_file *file = &info->files[i];

		if (!text_is_good(file->name) || file->name[0] == '\0') {
			snprintf(reason, BOOT_INFO_REASON_SIZE,
				 "boot file %u: its name is empty, has no end or is not printable", i);
			return false;
		}
		if (file->size > 0 && !check_loaded(info, file->name, file->base, file->size, reason))
			return false;
	}
	return true;
}

static bool check_kernel(const struct boot_info *info, char *reason)
{
	if (is_aligned(info->kernel_physical, 2 * MIB) && info->kernel_size > 0)
		return check_loaded(info, "the hypervisor's image", info->kernel_physical, info->kernel_size,
				    reason);
	snprintf(reason, BOOT_INFO_REASON_SIZE,
		 "the hypervisor's image, %#lx bytes at %#lx, is not on a 2 MiB boundary",
		 (unsigned long)info->kernel_size, (unsigned long)info->kernel_physical);
	return false;
}

bool boot_info_check(const struct boot_info *from, struct boot_info *to, char reason[BOOT_INFO_REASON_SIZE])
{
	reason[0] = '\0';
	if (!check_head(from, reason) || !check_framebuffer(&from->framebuffer, reason) ||
	    !check_ranges(from, reason))
		return false;
	*to = *from;
	return sort_ranges(from, to, reason) && check_kernel(to, reason) && check_files(to, reason);
}

bool boot_option(const char *command_line, const char *name, char value[BOOT_OPTION_SIZE])
{
	size_t name_length = strlen(name);
	bool found = false;

	while (*command_line) {
		size_t length = strcspn(command_line, " ");

		if (length >= name_length && strncmp(command_line, name, name_length) == 0 &&
		    (length == name_length || command_line[name_length] == '=')) {
			size_t skip = length == name_length ? length : name_length + 1;
			size_t size = min_u64(length - skip, BOOT_OPTION_SIZE - 1);

			memcpy(value, command_line + skip, size);
			value[size] = '\0';
			found = true;
		}
		command_line += length;
		command_line += strspn(command_line, " ");
	}
	return found;
}

const struct boot_file *boot_file_find(const struct boot_info *info, const char *name)
{
	for (uint32_t i = 0; i < info->file_count; i++)
		if (strcmp(info->files[i].name, name) == 0)
			return &info->files[i];
	return NULL;
}
