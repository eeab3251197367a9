/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multiboot 1 (QEMU -kernel, iPXE on BIOS) and Multiboot 2 (GRUB2): what the
 * loader left in memory, copied into boot_info before anything else may
 * overwrite it. Pure; every read is bounded by the memory it is given, so a
 * loader's mistake ends in a boot_info that lacks something, never in a fault.
 */
#include "boot/multiboot.h"

#include <string.h>

#include "boot/handover.h"

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

/* Many more than any loader passes; bounds the loop when the count is damaged. */
#define MODULE_COUNT_MAX 64

struct module1 {
	uint32_t start;
	uint32_t end;
	uint32_t text;
	uint32_t reserved;
};
BUILD_ASSERT(sizeof(struct module1) == 16);

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
};

struct module2 {
	uint32_t start;
	uint32_t end;
};

struct memory_map2 {
	uint32_t entry_size;
	uint32_t entry_version;
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
BUILD_ASSERT(offsetof(struct framebuffer2, red_position) == 24);

/* Framebuffer types of both specifications. */
#define FRAMEBUFFER_DIRECT_COLOUR 1
#define FRAMEBUFFER_TEXT 2

/* ACPI 6.4, 5.2.5.3: the root pointer's size in revision 0, and from revision 2. */
#define RSDP_SIZE_OLD 20
#define RSDP_SIZE_NEW 36

static bool read_at(const struct multiboot_memory *memory, uint64_t physical, void *to, uint64_t size)
{
	if (!range_fits(physical, size, memory->size))
		return false;
	memcpy(to, memory->bytes + physical, size);
	return true;
}

static void read_text(const struct multiboot_memory *memory, uint64_t physical, char *to)
{
	if (physical < memory->size)
		handover_set_text(to, (const char *)memory->bytes + physical, memory->size - physical);
}

static void read_options(const struct multiboot_memory *memory, uint64_t physical, struct boot_info *info)
{
	if (physical < memory->size)
		handover_add_options(info, (const char *)memory->bytes + physical, memory->size - physical);
}

/* Both specifications use the numbers of ACPI's E820: 1 free, 3 ACPI, 4 NVS, 5 defective. */
static void add_memory(struct boot_info *info, uint64_t base, uint64_t size, uint32_t type)
{
	uint64_t kind =
		type >= BOOT_MEMORY_FREE && type <= BOOT_MEMORY_DEFECTIVE ? type : BOOT_MEMORY_RESERVED;

	handover_add_memory(info, base, size, kind);
}

/* The text at `text` begins with what stood as the file's path in the loader's menu. */
static void add_module(const struct multiboot_memory *memory, struct boot_info *info, uint32_t start,
		       uint32_t end, uint64_t text)
{
	if (end >= start && text < memory->size)
		handover_add_file(info, start, end - start, (const char *)memory->bytes + text,
				  memory->size - text);
}

static void set_framebuffer(struct boot_info *info, const struct framebuffer2 *from)
{
	info->framebuffer = (struct boot_framebuffer){
		.base = from->base,
		.width = from->width,
		.height = from->height,
		.pitch = from->pitch,
		.bits_per_pixel = from->bits_per_pixel,
	};
	if (from->type == FRAMEBUFFER_DIRECT_COLOUR)
		info->framebuffer.format =
			from->red_position == 0 ? BOOT_FRAMEBUFFER_RGB : BOOT_FRAMEBUFFER_BGR;
	else if (from->type == FRAMEBUFFER_TEXT)
		info->framebuffer.format = BOOT_FRAMEBUFFER_TEXT;
}

static void read_modules1(const struct multiboot_memory *memory, const struct information1 *information,
			  struct boot_info *info)
{
	for (uint32_t i = 0; i < information->module_count && i < MODULE_COUNT_MAX; i++) {
		struct module1 module;

		if (!read_at(memory, information->modules + i * sizeof(module), &module, sizeof(module)))
			return;
		add_module(memory, info, module.start, module.end, module.text);
	}
}

static void read_memory_map1(const struct multiboot_memory *memory, const struct information1 *information,
			     struct boot_info *info)
{
	struct memory_entry1 entry;

	for (uint64_t offset = 0; range_fits(offset, sizeof(entry), information->memory_map_size);
	     offset += entry.size + sizeof(entry.size)) {
		if (!read_at(memory, information->memory_map + offset, &entry, sizeof(entry)) ||
		    entry.size < sizeof(entry) - sizeof(entry.size))
			return;
		add_memory(info, entry.base, entry.length, entry.type);
	}
}

static void read_information1(const struct multiboot_memory *memory, uint64_t physical,
			      struct boot_info *info)
{
	struct information1 information;

	if (!read_at(memory, physical, &information, sizeof(information)))
		return;
	if (information.flags & INFORMATION1_COMMAND_LINE)
		read_options(memory, information.command_line, info);
	if (information.flags & INFORMATION1_LOADER_NAME)
		read_text(memory, information.loader_name, info->loader);
	if (information.flags & INFORMATION1_MODULES)
		read_modules1(memory, &information, info);
	if (information.flags & INFORMATION1_MEMORY_MAP)
		read_memory_map1(memory, &information, info);
	if (information.flags & INFORMATION1_FRAMEBUFFER)
		set_framebuffer(info, &(struct framebuffer2){
					      .base = information.framebuffer,
					      .pitch = information.framebuffer_pitch,
					      .width = information.framebuffer_width,
					      .height = information.framebuffer_height,
					      .bits_per_pixel = information.framebuffer_bits_per_pixel,
					      .type = information.framebuffer_type,
					      .red_position = information.red_position,
				      });
}

/* `physical` and `size` are those of a tag's body, in this and the next function. */
static void read_memory_map2(const struct multiboot_memory *memory, uint64_t physical, uint64_t size,
			     struct boot_info *info)
{
	struct memory_map2 map;
	struct memory_entry2 entry;

	if (size < sizeof(map) || !read_at(memory, physical, &map, sizeof(map)) ||
	    map.entry_size < sizeof(entry))
		return;
	for (uint64_t offset = sizeof(map); range_fits(offset, sizeof(entry), size);
	     offset += map.entry_size) {
		if (!read_at(memory, physical + offset, &entry, sizeof(entry)))
			return;
		add_memory(info, entry.base, entry.length, entry.type);
	}
}

static void read_tag2(const struct multiboot_memory *memory, uint32_t type, uint64_t physical, uint64_t size,
		      struct boot_info *info)
{
	/* No text, and nothing else, reaches beyond its tag. */
	struct multiboot_memory body = { .bytes = memory->bytes,
					 .size = min_u64(physical + size, memory->size) };
	struct framebuffer2 framebuffer;
	struct module2 module;

	switch (type) {
	case TAG_COMMAND_LINE:
		read_options(&body, physical, info);
		break;
	case TAG_LOADER_NAME:
		read_text(&body, physical, info->loader);
		break;
	case TAG_MODULE:
		if (read_at(&body, physical, &module, sizeof(module)))
			add_module(&body, info, module.start, module.end, physical + sizeof(module));
		break;
	case TAG_MEMORY_MAP:
		read_memory_map2(&body, physical, size, info);
		break;
	case TAG_FRAMEBUFFER:
		if (read_at(&body, physical, &framebuffer, sizeof(framebuffer)))
			set_framebuffer(info, &framebuffer);
		break;
	case TAG_ACPI_OLD:
		if (size >= RSDP_SIZE_OLD && info->rsdp == 0) /* the new one is preferred, in either order */
			info->rsdp = physical;
		break;
	case TAG_ACPI_NEW:
		if (size >= RSDP_SIZE_NEW)
			info->rsdp = physical;
		break;
	default:
		break;
	}
}

static void read_information2(const struct multiboot_memory *memory, uint64_t physical,
			      struct boot_info *info)
{
	uint32_t total_size;
	struct tag tag;

	if (!read_at(memory, physical, &total_size, sizeof(total_size)) ||
	    !range_fits(physical, total_size, memory->size))
		return;
	/* The copy of the ACPI root pointer lies in here, so it must stay. */
	handover_add_memory(info, physical, total_size, BOOT_MEMORY_LOADED);
	for (uint64_t offset = 8; range_fits(offset, sizeof(tag), total_size);
	     offset += align_up(tag.size, 8)) {
		if (!read_at(memory, physical + offset, &tag, sizeof(tag)) || tag.type == TAG_END ||
		    tag.size < sizeof(tag) || !range_fits(offset, tag.size, total_size))
			return;
		read_tag2(memory, tag.type, physical + offset + sizeof(tag), tag.size - sizeof(tag), info);
	}
}

void multiboot_read(const struct multiboot_memory *memory, uint32_t magic, uint32_t information,
		    struct boot_info *info)
{
	if (magic == MULTIBOOT1_LOADER_MAGIC)
		read_information1(memory, information, info);
	else if (magic == MULTIBOOT2_LOADER_MAGIC)
		read_information2(memory, information, info);
}
