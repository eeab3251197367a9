/* SPDX-License-Identifier: Apache-2.0 */
/* The Linux boot protocol; see direct_boot.h. Offsets are those of struct boot_params. */
#include "machine/direct_boot.h"

#include <string.h>

#include "include/assert.h"
#include "include/byte_order.h"
#include "machine/acpi_tables.h"
#include "machine/machine.h"
#include "machine/memory_map.h"
#include "machine/smbios.h"

#define GDT_GPA UINT64_C(0x6000)
#define PARAMETERS_GPA UINT64_C(0x7000)
#define PARAMETERS_SIZE 4096
#define PAGE_TABLES_GPA UINT64_C(0x9000)
#define COMMAND_LINE_GPA UINT64_C(0x20000)
#define COMMAND_LINE_SIZE_MAX UINT64_C(0x10000)
#define ACPI_GPA UINT64_C(0xe0000)
#define ACPI_BLOCK_GPA (ACPI_GPA + 64)
#define SMBIOS_GPA UINT64_C(0xf0000)
#define HIGH_START UINT64_C(0x100000)

enum {
	PARAMETER_RSDP = 0x070,
	PARAMETER_E820_COUNT = 0x1e8,
	PARAMETER_E820 = 0x2d0,

	HEADER_START = 0x1f1,
	HEADER_SETUP_SECTORS = 0x1f1,
	HEADER_SIZE_16 = 0x1f4,
	HEADER_VIDEO_MODE = 0x1fa,
	HEADER_BOOT_FLAG = 0x1fe,
	HEADER_JUMP_SIZE = 0x201,
	HEADER_MAGIC = 0x202,
	HEADER_VERSION = 0x206,
	HEADER_LOADER = 0x210,
	HEADER_LOAD_FLAGS = 0x211,
	HEADER_CODE32 = 0x214,
	HEADER_INITRD = 0x218,
	HEADER_INITRD_SIZE = 0x21c,
	HEADER_COMMAND_LINE = 0x228,
	HEADER_INITRD_MAX = 0x22c,
	HEADER_EXTENDED_FLAGS = 0x236,
	HEADER_COMMAND_LINE_SIZE = 0x238,
	HEADER_PREFERRED = 0x258,
	HEADER_INIT_SIZE = 0x260,
	HEADER_END = 0x264,
};

#define MAGIC UINT32_C(0x53726448) /* "HdrS" */
#define VERSION_MIN 0x020a	   /* with preferred address and size at start */
#define VERSION_EXTENDED_FLAGS 0x020c
#define LOADED_HIGH 1
#define EXTENDED_ENTRY_64 1
#define ENTRY_64 0x200
#define LOADER_UNKNOWN 0xff
#define VIDEO_NORMAL 0xffff

#define SELECTOR_CODE 0x10
#define SELECTOR_DATA 0x18

struct image {
	const uint8_t *header; /* the file's start */
	const uint8_t *code;   /* protected-mode part */
	uint64_t code_size;
	uint64_t load_gpa;
	uint64_t run_size; /* bytes from load_gpa that the kernel uses before it reads the memory map */
	bool has_entry_64;
};

static const char *image_check(struct image *image, const struct machine_direct_boot *boot)
{
	const uint8_t *header = boot->kernel;
	uint64_t setup_size;
	uint32_t version;

	if (boot->kernel_size < HEADER_END)
		return "kernel: the file is too short for a bzImage";
	if (load_le16(header + HEADER_BOOT_FLAG) != 0xaa55 || load_le32(header + HEADER_MAGIC) != MAGIC)
		return "kernel: the file is not a bzImage (boot signature or HdrS missing)";
	version = load_le16(header + HEADER_VERSION);
	if (version < VERSION_MIN || !(header[HEADER_LOAD_FLAGS] & LOADED_HIGH))
		return "kernel: its boot protocol is older than 2.10";
	setup_size = (header[HEADER_SETUP_SECTORS] ? header[HEADER_SETUP_SECTORS] + UINT64_C(1) : 5) * 512;
	image->code_size = load_le32(header + HEADER_SIZE_16) * UINT64_C(16);
	/* The last 16-byte unit may be short. */
	if (setup_size >= boot->kernel_size || image->code_size > boot->kernel_size - setup_size + 15)
		return "kernel: the file is truncated (shorter than its header says)";
	image->header = header;
	image->code = header + setup_size;
	image->code_size = boot->kernel_size - setup_size;
	image->load_gpa = load_le64(header + HEADER_PREFERRED);
	image->run_size = max_u64(load_le32(header + HEADER_INIT_SIZE), image->code_size);
	image->has_entry_64 = version >= VERSION_EXTENDED_FLAGS &&
			      (load_le16(header + HEADER_EXTENDED_FLAGS) & EXTENDED_ENTRY_64);
	return NULL;
}

static const char *kernel_place(const struct image *image, const struct guest_memory *memory)
{
	if (image->load_gpa < HIGH_START || !range_fits(image->load_gpa, image->run_size, memory->low_size))
		return "kernel: it does not fit into the guest's memory";
	memcpy(guest_memory_to_write(memory, image->load_gpa, image->code_size), image->code,
	       image->code_size);
	return NULL;
}

/* As high as the kernel allows and memory reaches, page aligned. */
static const char *initrd_place(const struct image *image, const struct guest_memory *memory,
				const struct machine_direct_boot *boot, uint8_t *parameters)
{
	uint64_t end = min_u64(load_le32(image->header + HEADER_INITRD_MAX) + UINT64_C(1), memory->low_size);
	uint64_t kernel_end = image->load_gpa + image->run_size;
	uint64_t gpa;

	if (!boot->initrd || boot->initrd_size == 0)
		return NULL;
	if (kernel_end > end || boot->initrd_size > end - kernel_end)
		return "initrd: it does not fit into the guest's memory beside the kernel";
	gpa = align_down(end - boot->initrd_size, 4096);
	if (gpa < kernel_end)
		return "initrd: it does not fit into the guest's memory beside the kernel";
	memcpy(guest_memory_to_write(memory, gpa, boot->initrd_size), boot->initrd, boot->initrd_size);
	store_le32(parameters + HEADER_INITRD, (uint32_t)gpa);
	store_le32(parameters + HEADER_INITRD_SIZE, (uint32_t)boot->initrd_size);
	return NULL;
}

static const char *command_line_place(const struct image *image, const struct guest_memory *memory,
				      const struct machine_direct_boot *boot, uint8_t *parameters)
{
	uint64_t size = strlen(boot->command_line) + 1;
	uint64_t size_max = min_u64(load_le32(image->header + HEADER_COMMAND_LINE_SIZE) + UINT64_C(1),
				    COMMAND_LINE_SIZE_MAX);

	if (size > size_max)
		return "command line: it is longer than the kernel takes";
	memcpy(guest_memory_to_write(memory, COMMAND_LINE_GPA, size), boot->command_line, size);
	store_le32(parameters + HEADER_COMMAND_LINE, (uint32_t)COMMAND_LINE_GPA);
	return NULL;
}

static void memory_map_fill(const struct machine *machine, uint8_t *parameters)
{
	struct machine_memory_range ranges[MACHINE_MEMORY_RANGE_MAX];
	uint32_t count = machine_memory_map(machine, MACHINE_BOOT_DIRECT, ranges);

	for (uint32_t i = 0; i < count; i++)
		machine_memory_range_put(parameters + PARAMETER_E820 + i * MACHINE_MEMORY_RANGE_SIZE,
					 &ranges[i]);
	parameters[PARAMETER_E820_COUNT] = (uint8_t)count;
}

static void acpi_put(const struct machine *machine, const struct guest_memory *memory, uint8_t *parameters)
{
	uint8_t *block = guest_memory_to_write(memory, ACPI_BLOCK_GPA, MACHINE_ACPI_SIZE_MAX);
	uint8_t *rsdp = guest_memory_to_write(memory, ACPI_GPA, MACHINE_ACPI_RSDP_SIZE);
	struct machine_acpi_layout layout;

	memset(block, 0, MACHINE_ACPI_SIZE_MAX);
	machine_acpi_build(machine, block, rsdp, &layout);
	machine_acpi_place(block, rsdp, &layout, ACPI_BLOCK_GPA);
	store_le64(parameters + PARAMETER_RSDP, ACPI_GPA);
}

/* Systems look for the anchor at multiples of 16 from 0xf0000 on. */
static void smbios_put(const struct machine *machine, const struct guest_memory *memory)
{
	uint8_t *anchor = guest_memory_to_write(memory, SMBIOS_GPA, 32 + MACHINE_SMBIOS_SIZE_MAX);

	machine_smbios_build(machine, anchor + 32, anchor);
	machine_smbios_place(anchor, (uint32_t)SMBIOS_GPA + 32);
}

/* What firmware leaves set up in the chipset. */
static void chipset_prepare(struct machine *machine)
{
	machine_pci_bars_assign(machine);
	machine_msr_mtrr_setup(machine);
	/* Power management and PCI interrupts, 9 to 11, by level. */
	machine_pic_port_write(machine, 0x4d1, 0x0e);
}

/* ---- the processor ---- */

#define TYPE_CODE 0xb
#define TYPE_DATA 0x3
#define TYPE_TSS_BUSY 0xb
#define FLAT (VCPU_SEGMENT_CODE_DATA | VCPU_SEGMENT_PRESENT | VCPU_SEGMENT_GRANULAR)

/* A descriptor with base 0 and limit 4 GiB. */
static uint64_t descriptor(uint16_t attributes)
{
	return UINT64_C(0x000f00000000ffff) | (uint64_t)(attributes & 0xff) << 40 |
	       (uint64_t)(attributes >> 8) << 52;
}

static void segments_set(struct vcpu_state *vcpu, const struct guest_memory *memory, uint16_t code_width)
{
	uint16_t code = (uint16_t)(FLAT | TYPE_CODE | code_width);
	uint16_t data = FLAT | TYPE_DATA | VCPU_SEGMENT_DEFAULT_32;
	uint8_t *gdt = guest_memory_to_write(memory, GDT_GPA, 32);

	memset(gdt, 0, 32);
	store_le64(gdt + SELECTOR_CODE, descriptor(code));
	store_le64(gdt + SELECTOR_DATA, descriptor(data));
	vcpu->gdtr.base = GDT_GPA;
	vcpu->gdtr.limit = 31;
	for (uint32_t i = VCPU_ES; i <= VCPU_GS; i++)
		vcpu->segments[i] =
			(struct vcpu_segment){ .limit = UINT32_MAX,
					       .selector = i == VCPU_CS ? SELECTOR_CODE : SELECTOR_DATA,
					       .attributes = i == VCPU_CS ? code : data };
}

/* The first 4 GiB mapped to themselves in 2 MiB pages: six tables. */
static void page_tables_fill(const struct guest_memory *memory)
{
	uint8_t *tables = guest_memory_to_write(memory, PAGE_TABLES_GPA, UINT64_C(6) * 4096);

	memset(tables, 0, UINT64_C(6) * 4096);
	store_le64(tables, (PAGE_TABLES_GPA + 4096) | 3);
	for (uint32_t i = 0; i < 4; i++)
		store_le64(tables + 4096 + 8 * i, (PAGE_TABLES_GPA + (i + 2) * UINT64_C(4096)) | 3);
	for (uint32_t i = 0; i < 2048; i++)
		store_le64(tables + 8192 + 8 * i, i * (2 * MIB) | 0x83);
}

static void processor_set(struct vcpu_state *vcpu, const struct guest_memory *memory,
			  const struct image *image)
{
	vcpu_state_reset(vcpu);
	vcpu->segments[VCPU_TR].attributes = VCPU_SEGMENT_PRESENT | TYPE_TSS_BUSY;
	vcpu->gpr[VCPU_RDX] = 0;
	vcpu->gpr[VCPU_RSI] = PARAMETERS_GPA;
	vcpu->cr0 = VCPU_CR0_PE | VCPU_CR0_ET | VCPU_CR0_NE;
	vcpu->rip = image->load_gpa;
	if (!image->has_entry_64) {
		segments_set(vcpu, memory, VCPU_SEGMENT_DEFAULT_32);
		return;
	}
	segments_set(vcpu, memory, VCPU_SEGMENT_LONG);
	page_tables_fill(memory);
	vcpu->rip += ENTRY_64;
	vcpu->cr0 |= VCPU_CR0_PG;
	vcpu->cr3 = PAGE_TABLES_GPA;
	vcpu->cr4 = VCPU_CR4_PAE;
	vcpu->efer = VCPU_EFER_LME | VCPU_EFER_LMA;
}

static void header_copy(uint8_t *parameters, const struct image *image)
{
	/* 0x201 is the second byte of a jump over the header: its end. */
	uint64_t end = min_u64(HEADER_MAGIC + image->header[HEADER_JUMP_SIZE], 0x290);

	memset(parameters, 0, PARAMETERS_SIZE);
	memcpy(parameters + HEADER_START, image->header + HEADER_START,
	       max_u64(end, HEADER_END) - HEADER_START);
	parameters[HEADER_LOADER] = LOADER_UNKNOWN;
	store_le16(parameters + HEADER_VIDEO_MODE, VIDEO_NORMAL);
	store_le32(parameters + HEADER_CODE32, (uint32_t)image->load_gpa);
}

const char *machine_direct_boot(struct machine *machine, const struct guest_memory *memory,
				const struct machine_direct_boot *boot, struct vcpu_state *vcpu)
{
	uint8_t *parameters = guest_memory_to_write(memory, PARAMETERS_GPA, PARAMETERS_SIZE);
	struct image image;
	const char *problem = image_check(&image, boot);

	ASSERT(parameters);
	if (!problem)
		problem = kernel_place(&image, memory);
	if (problem)
		return problem;
	header_copy(parameters, &image);
	problem = initrd_place(&image, memory, boot, parameters);
	if (!problem)
		problem = command_line_place(&image, memory, boot, parameters);
	if (problem)
		return problem;
	memory_map_fill(machine, parameters);
	chipset_prepare(machine);
	acpi_put(machine, memory, parameters);
	smbios_put(machine, memory);
	processor_set(vcpu, memory, &image);
	return NULL;
}
