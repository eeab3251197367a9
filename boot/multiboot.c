/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multiboot 1 (QEMU -kernel, iPXE on BIOS) and Multiboot 2 (GRUB2): what the
 * loader left in memory, copied into boot_info before anything else may
 * overwrite it. The loader is believed about addresses it must know; strings and
 * counts are bounded. Runs on the boot page tables: RAM below 4 GiB is at
 * DIRECT_MAP_BASE, and Multiboot loaders put everything there.
 */
#include "boot/multiboot.h"

#include <string.h>

#include "include/byte_order.h"
#include "include/memory_layout.h"

#define MULTIBOOT1_LOADER_MAGIC 0x2badb002
#define MULTIBOOT2_LOADER_MAGIC 0x36d76289

/* Multiboot 0.6.96, 3.3: flags of the information structure. */
#define INFORMATION1_COMMAND_LINE BIT(2)
#define INFORMATION1_MODULES BIT(3)
#define INFORMATION1_MEMORY_MAP BIT(6)
#define INFORMATION1_LOADER_NAME BIT(9)
#define INFORMATION1_FRAMEBUFFER BIT(12)

struct information1 {
	uint32_t flags;
	uint32_t memory_lower;
	uint32_t memory_upper;
	uint32_t boot_device;
	uint32_t command_line;
	uint32_t module_count;
	uint32_t modules;
	uint32_t symbols[4];
	uint32_t memory_map_size;
	uint32_t memory_map;
	uint32_t drives_size;
	uint32_t drives;
	uint32_t config_table;
	uint32_t loader_name;
	uint32_t apm_table;
	uint32_t vbe[4];
	uint64_t framebuffer;
	uint32_t framebuffer_pitch;
	uint32_t framebuffer_width;
	uint32_t framebuffer_height;
	uint8_t framebuffer_bits_per_pixel;
	uint8_t framebuffer_type;
	uint8_t red_position;
	uint8_t red_size;
	uint8_t green_position;
	uint8_t green_size;
	uint8_t blue_position;
	uint8_t blue_size;
} __attribute__((packed));
BUILD_ASSERT(offsetof(struct information1, loader_name) == 64);
BUILD_ASSERT(offsetof(struct information1, framebuffer) == 88);

struct module1 {
	uint32_t start;
	uint32_t end;
	uint32_t text;
	uint32_t reserved;
};

struct memory_entry1 {
	uint32_t size; /* of what follows */
	uint64_t base;
	uint64_t length;
	uint32_t type;
} __attribute__((packed));
BUILD_ASSERT(sizeof(struct memory_entry1) == 24);

/* Multiboot 2.0, 3.6: tags, each on an 8-byte boundary. */
enum tag_type {
	TAG_END = 0,
	TAG_COMMAND_LINE = 1,
	TAG_LOADER_NAME = 2,
	TAG_MODULE = 3,
	TAG_MEMORY_MAP = 6,
	TAG_FRAMEBUFFER = 8,
	TAG_ACPI_OLD = 14,
	TAG_ACPI_NEW = 15,
};

struct tag {
	uint32_t type;
	uint32_t size; /* with this header */
	uint8_t body[];
};

struct memory_entry2 {
	uint64_t base;
	uint64_t length;
	uint32_t type;
	uint32_t reserved;
};
BUILD_ASSERT(sizeof(struct memory_entry2) == 24);

struct framebuffer2 {
	uint64_t base;
	uint32_t pitch;
	uint32_t width;
	uint32_t height;
	uint8_t bits_per_pixel;
	uint8_t type;
	uint16_t reserved;
	uint8_t red_position;
} __attribute__((packed));

extern char kernel_start[];
extern char kernel_end[];

static struct boot_info info;

static const void *at(uint64_t physical)
{
	return (const void *)(physical + DIRECT_MAP_BASE);
}

static uint64_t physical_of(const void *pointer)
{
	return (uint64_t)pointer - DIRECT_MAP_BASE;
}

static void copy_text(char to[BOOT_TEXT_SIZE], const char *from)
{
	size_t length = strnlen(from, BOOT_TEXT_SIZE - 1);

	memcpy(to, from, length);
	to[length] = '\0';
}

static void add_memory(uint64_t base, uint64_t size, uint64_t kind)
{
	if (size == 0 || info.memory_range_count == BOOT_MEMORY_RANGE_MAX)
		return;
	info.memory[info.memory_range_count++] =
		(struct boot_memory_range){ .base = base, .size = size, .kind = kind };
}

/* Both specifications use the numbers of ACPI's E820: 1 free, 3 ACPI, 4 NVS, 5 defective. */
static void add_loader_memory(uint64_t base, uint64_t size, uint32_t type)
{
	add_memory(base, size, type >= BOOT_MEMORY_FREE && type <= BOOT_MEMORY_DEFECTIVE ? type : BOOT_MEMORY_RESERVED);
}

/* `text` is what stood behind the file's path in the loader's menu, or the path itself. */
static void add_file(uint64_t start, uint64_t end, const char *text)
{
	struct boot_file *file;
	size_t length = strcspn(text, " ");
	const char *name = text;

	if (end < start || info.file_count == BOOT_FILE_MAX)
		return;
	for (size_t i = 0; i < length; i++)
		if (text[i] == '/')
			name = text + i + 1;
	length -= (size_t)(name - text);
	file = &info.files[info.file_count++];
	file->base = start;
	file->size = end - start;
	memcpy(file->name, name, min_u64(length, BOOT_TEXT_SIZE - 1));
	add_memory(start, file->size, BOOT_MEMORY_LOADED);
}

static void set_framebuffer(uint64_t base, uint32_t width, uint32_t height, uint32_t pitch, uint32_t bits, uint8_t type,
			    uint8_t red_position)
{
	info.framebuffer = (struct boot_framebuffer){
		.base = base, .width = width, .height = height, .pitch = pitch, .bits_per_pixel = bits
	};
	if (type == 1) /* direct colour */
		info.framebuffer.format = red_position == 0 ? BOOT_FRAMEBUFFER_RGB : BOOT_FRAMEBUFFER_BGR;
	else if (type == 2) /* EGA text */
		info.framebuffer.format = BOOT_FRAMEBUFFER_TEXT;
}

static void read_information1(const struct information1 *information)
{
	add_memory(physical_of(information), sizeof(*information), BOOT_MEMORY_LOADED);
	if (information->flags & INFORMATION1_COMMAND_LINE)
		copy_text(info.command_line, at(information->command_line));
	if (information->flags & INFORMATION1_LOADER_NAME)
		copy_text(info.loader, at(information->loader_name));
	if (information->flags & INFORMATION1_MODULES) {
		const struct module1 *modules = at(information->modules);

		for (uint32_t i = 0; i < information->module_count; i++)
			add_file(modules[i].start, modules[i].end, at(modules[i].text));
	}
	if (information->flags & INFORMATION1_MEMORY_MAP) {
		uint64_t offset = 0;

		while (offset + sizeof(struct memory_entry1) <= information->memory_map_size) {
			const struct memory_entry1 *entry = at(information->memory_map + offset);

			add_loader_memory(entry->base, entry->length, entry->type);
			offset += entry->size + sizeof(entry->size);
		}
	}
	if (information->flags & INFORMATION1_FRAMEBUFFER)
		set_framebuffer(information->framebuffer, information->framebuffer_width,
				information->framebuffer_height, information->framebuffer_pitch,
				information->framebuffer_bits_per_pixel, information->framebuffer_type,
				information->red_position);
}

static void read_memory_map2(const struct tag *tag)
{
	uint32_t entry_size = load_le32(tag->body);

	for (uint64_t offset = 8; offset + sizeof(struct tag) + entry_size <= tag->size; offset += entry_size) {
		struct memory_entry2 entry;

		if (entry_size < sizeof(entry))
			return;
		memcpy(&entry, tag->body + offset, sizeof(entry));
		add_loader_memory(entry.base, entry.length, entry.type);
	}
}

static void read_tag2(const struct tag *tag)
{
	struct framebuffer2 framebuffer;

	switch (tag->type) {
	case TAG_COMMAND_LINE:
		copy_text(info.command_line, (const char *)tag->body);
		break;
	case TAG_LOADER_NAME:
		copy_text(info.loader, (const char *)tag->body);
		break;
	case TAG_MODULE:
		add_file(load_le32(tag->body), load_le32(tag->body + 4), (const char *)tag->body + 8);
		break;
	case TAG_MEMORY_MAP:
		read_memory_map2(tag);
		break;
	case TAG_FRAMEBUFFER:
		memcpy(&framebuffer, tag->body, sizeof(framebuffer));
		set_framebuffer(framebuffer.base, framebuffer.width, framebuffer.height, framebuffer.pitch,
				framebuffer.bits_per_pixel, framebuffer.type, framebuffer.red_position);
		break;
	case TAG_ACPI_OLD:
		if (info.rsdp == 0) /* the new one is preferred, in either order */
			info.rsdp = physical_of(tag->body);
		break;
	case TAG_ACPI_NEW:
		info.rsdp = physical_of(tag->body);
		break;
	default:
		break;
	}
}

static void read_information2(uint64_t information)
{
	uint32_t total_size = load_le32(at(information));
	uint64_t offset = 8;

	add_memory(information, total_size, BOOT_MEMORY_LOADED);
	while (offset + sizeof(struct tag) <= total_size) {
		const struct tag *tag = at(information + offset);

		if (tag->type == TAG_END || tag->size < sizeof(*tag))
			return;
		read_tag2(tag);
		offset += align_up(tag->size, 8);
	}
}

const struct boot_info *multiboot_boot_info(uint32_t magic, uint32_t information, uint64_t tsc)
{
	info.magic = BOOT_INFO_MAGIC;
	info.version = BOOT_INFO_VERSION;
	info.size = sizeof(info);
	info.kernel_physical = KERNEL_PHYSICAL_DEFAULT;
	info.kernel_size = (uint64_t)(kernel_end - kernel_start);
	info.firmware_tsc = tsc;
	add_memory(info.kernel_physical, info.kernel_size, BOOT_MEMORY_LOADED);
	if (magic == MULTIBOOT1_LOADER_MAGIC)
		read_information1(at(information));
	else if (magic == MULTIBOOT2_LOADER_MAGIC)
		read_information2(information);
	return &info;
}
