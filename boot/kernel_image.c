/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ELF64 as in the System V ABI's generic part, chapters 4 and 5: just what our
 * own linker script produces. The file comes from a disk or a network and may be
 * cut short or be something else altogether, so nothing in it is used unchecked.
 */
#include "boot/kernel_image.h"

#include <string.h>

#include "include/boot_info.h"
#include "include/kernel_header.h"
#include "include/memory_layout.h"

#define ELF_MAGIC 0x464c457f /* 0x7f "ELF" */
#define ELF_CLASS_64 2
#define ELF_LITTLE_ENDIAN 1
#define ELF_VERSION 1
#define ELF_EXECUTABLE 2
#define ELF_X86_64 62
#define ELF_LOAD 1
#define ELF_SEGMENT_MAX 16

struct elf_header {
	uint32_t magic;
	uint8_t class;
	uint8_t byte_order;
	uint8_t identity[10];
	uint16_t type;
	uint16_t machine;
	uint32_t version;
	uint64_t entry;
	uint64_t segments; /* offset of the program headers */
	uint64_t sections;
	uint32_t flags;
	uint16_t header_size;
	uint16_t segment_size;
	uint16_t segment_count;
	uint16_t section_size;
	uint16_t section_count;
	uint16_t section_names;
};
BUILD_ASSERT(sizeof(struct elf_header) == 64);

struct elf_segment {
	uint32_t type;
	uint32_t flags;
	uint64_t offset;
	uint64_t virtual;
	uint64_t physical;
	uint64_t file_size;
	uint64_t memory_size;
	uint64_t alignment;
};
BUILD_ASSERT(sizeof(struct elf_segment) == 56);

static void read_header(const void *file, struct elf_header *header)
{
	memcpy(header, file, sizeof(*header));
}

static void read_segment(const void *file, const struct elf_header *header, uint16_t index,
			 struct elf_segment *segment)
{
	memcpy(segment, (const uint8_t *)file + header->segments + index * sizeof(*segment),
	       sizeof(*segment));
}

static const char *check_header(const struct elf_header *header, uint64_t file_size)
{
	if (header->magic != ELF_MAGIC)
		return "it is not an ELF file";
	if (header->class != ELF_CLASS_64 || header->byte_order != ELF_LITTLE_ENDIAN ||
	    header->version != ELF_VERSION || header->type != ELF_EXECUTABLE || header->machine != ELF_X86_64)
		return "it is not an ELF64 executable for x86-64";
	if (header->segment_size != sizeof(struct elf_segment) || header->segment_count == 0 ||
	    header->segment_count > ELF_SEGMENT_MAX)
		return "its number or size of program headers is not that of a Yoke kernel";
	if (!range_fits(header->segments, header->segment_count * sizeof(struct elf_segment), file_size))
		return "it is cut short: its program headers lie beyond its end";
	/* A linker puts the section headers last, so they tell the length of the whole file. */
	if (!range_fits(header->sections, (uint64_t)header->section_count * header->section_size, file_size))
		return "it is cut short: its section headers lie beyond its end";
	return NULL;
}

/* Finds the kernel's own header, at the first byte of the image, in the segment that holds it. */
static const char *check_kernel_header(const void *file, const struct elf_segment *segment,
				       struct kernel_image *image)
{
	struct kernel_header header;

	if (segment->virtual != KERNEL_VIRTUAL_BASE || segment->file_size < sizeof(header))
		return "it has no Yoke kernel header where one must be";
	memcpy(&header, (const uint8_t *)file + segment->offset, sizeof(header));
	if (header.magic != KERNEL_HEADER_MAGIC)
		return "it has no Yoke kernel header: this is some other program";
	if (header.version != BOOT_INFO_VERSION)
		return "it speaks another version of the boot protocol: loader and kernel are of different "
		       "builds";
	if (header.memory_size > KERNEL_IMAGE_SIZE_MAX)
		return "its header asks for more memory than any Yoke kernel needs";
	if (header.entry64 < KERNEL_VIRTUAL_BASE ||
	    header.entry64 - KERNEL_VIRTUAL_BASE >= header.memory_size)
		return "its entry point lies outside the image";
	image->entry = header.entry64;
	image->memory_size = header.memory_size;
	return NULL;
}

static const char *check_segment(const struct elf_segment *segment, uint64_t file_size, uint64_t memory_size)
{
	if (!range_fits(segment->offset, segment->file_size, file_size))
		return "it is cut short: a segment lies beyond its end";
	if (segment->file_size > segment->memory_size)
		return "a segment is larger in the file than in memory";
	if (segment->virtual < KERNEL_VIRTUAL_BASE ||
	    !range_fits(segment->virtual - KERNEL_VIRTUAL_BASE, segment->memory_size, memory_size))
		return "a segment lies outside the image";
	return NULL;
}

const char *kernel_image_check(const void *file, uint64_t file_size, struct kernel_image *image)
{
	struct elf_header header;
	struct elf_segment segment;
	const char *wrong;
	bool header_seen = false;

	if (file_size < sizeof(header))
		return "it is cut short: there is no whole ELF header";
	read_header(file, &header);
	wrong = check_header(&header, file_size);
	for (uint16_t i = 0; wrong == NULL && i < header.segment_count; i++) {
		read_segment(file, &header, i, &segment);
		if (segment.type != ELF_LOAD)
			continue;
		wrong = check_segment(&segment, file_size, KERNEL_IMAGE_SIZE_MAX);
		if (wrong == NULL && !header_seen)
			wrong = check_kernel_header(file, &segment, image);
		header_seen = true;
		if (wrong == NULL)
			wrong = check_segment(&segment, file_size, image->memory_size);
	}
	if (wrong == NULL && !header_seen)
		wrong = "it has no loadable segment";
	return wrong;
}

void kernel_image_place(const void *file, const struct kernel_image *image, void *memory)
{
	struct elf_header header;
	struct elf_segment segment;

	memset(memory, 0, image->memory_size);
	read_header(file, &header);
	for (uint16_t i = 0; i < header.segment_count; i++) {
		read_segment(file, &header, i, &segment);
		if (segment.type == ELF_LOAD)
			memcpy((uint8_t *)memory + (segment.virtual - KERNEL_VIRTUAL_BASE),
			       (const uint8_t *)file + segment.offset, segment.file_size);
	}
}
