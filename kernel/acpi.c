/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checked reading of ACPI's static tables. Field offsets are those of the tables
 * in ACPI 6.4, chapter 5.2 (MCFG: PCI Firmware 3.2, 4.1.2). Fields are read by
 * offset through the accessor, each after the check that it lies in its table.
 */
#include "kernel/acpi.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "include/byte_order.h"

#define RSDP_SIZE_V1 20
#define RSDP_SIZE_V2 36
#define RSDP_OEM 9
#define RSDP_REVISION 15
#define RSDP_RSDT 16
#define RSDP_LENGTH 20
#define RSDP_XSDT 24
#define BIOS_EBDA_SEGMENT 0x40e
#define BIOS_AREA 0xe0000
#define BIOS_AREA_END 0x100000

#define HEADER_SIZE 36
#define HEADER_LENGTH 4
#define TABLE_SIZE_MAX (4 * MIB) /* a DSDT has a few hundred KiB */

#define FADT_DSDT 40
#define FADT_SMI_COMMAND 48
#define FADT_ACPI_ENABLE 52
#define FADT_PM1A_CONTROL 64
#define FADT_PM1B_CONTROL 68
#define FADT_PM_TIMER 76
#define FADT_FLAGS 112
#define FADT_FLAGS_RESET BIT(10)
#define FADT_RESET 116
#define FADT_RESET_VALUE 128
#define FADT_X_DSDT 140
#define FADT_SIZE_V1 116

#define MADT_LOCAL_APIC 36
#define MADT_FLAGS 40
#define MADT_FLAGS_LEGACY_PIC BIT(0)
#define MADT_ENTRIES 44
#define MADT_TYPE_LOCAL_APIC 0
#define MADT_TYPE_IO_APIC 1
#define MADT_TYPE_ADDRESS_OVERRIDE 5
#define MADT_TYPE_X2APIC 9
#define MADT_CPU_ENABLED BIT(0)

#define MCFG_ENTRIES 44
#define MCFG_ENTRY_SIZE 16

struct table {
	const struct acpi_memory *memory;
	uint64_t physical;
	uint32_t size;
	char signature[5];
};

static void problem(struct acpi_info *info, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void problem(struct acpi_info *info, const char *format, ...)
{
	va_list arguments;

	if (info->problem_count++ > 0)
		return;
	va_start(arguments, format);
	vsnprintf(info->problem, sizeof(info->problem), format, arguments);
	va_end(arguments);
}

static bool read_memory(const struct acpi_memory *memory, uint64_t physical, void *to, uint64_t size)
{
	return memory->read(memory->context, physical, to, size);
}

/* `size` bytes at `offset` of the table; zeros when they lie outside it. */
static uint64_t table_read(const struct table *table, uint32_t offset, uint32_t size)
{
	uint8_t bytes[8] = { 0 };

	if (range_fits(offset, size, table->size))
		read_memory(table->memory, table->physical + offset, bytes, size);
	return load_le64(bytes);
}

/* All bytes of a table add up to 0 (5.2.6). False also when some cannot be read. */
static bool sum_is_zero(const struct acpi_memory *memory, uint64_t physical, uint64_t size)
{
	uint8_t bytes[256];
	uint8_t sum = 0;

	while (size > 0) {
		uint64_t piece = min_u64(size, sizeof(bytes));

		if (!read_memory(memory, physical, bytes, piece))
			return false;
		for (uint64_t i = 0; i < piece; i++)
			sum = (uint8_t)(sum + bytes[i]);
		physical += piece;
		size -= piece;
	}
	return sum == 0;
}

static bool text_is_printable(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (text[i] < ' ' || text[i] > '~')
			return false;
	return true;
}

/* Reads and checks a table's header, length and sum; tells what is wrong. */
static bool open_table(const struct acpi_memory *memory, uint64_t physical, struct acpi_info *info,
		       struct table *table)
{
	uint8_t header[HEADER_SIZE];

	memset(table, 0, sizeof(*table));
	if (!read_memory(memory, physical, header, sizeof(header))) {
		problem(info, "table at %#lx: not readable", (unsigned long)physical);
		return false;
	}
	table->memory = memory;
	table->physical = physical;
	table->size = load_le32(header + HEADER_LENGTH);
	memcpy(table->signature, header, 4);
	if (!text_is_printable(table->signature, 4)) {
		problem(info, "table at %#lx: its signature is not printable", (unsigned long)physical);
		return false;
	}
	if (table->size < HEADER_SIZE || table->size > TABLE_SIZE_MAX) {
		problem(info, "%s at %#lx: length %u makes no sense", table->signature,
			(unsigned long)physical, table->size);
		return false;
	}
	if (!sum_is_zero(memory, physical, table->size)) {
		problem(info, "%s at %#lx: wrong checksum", table->signature, (unsigned long)physical);
		return false;
	}
	return true;
}

/* An I/O port stored in 32 bits. */
static uint16_t read_port(const struct table *table, uint32_t offset)
{
	uint64_t port = table_read(table, offset, 4);

	return port <= UINT16_MAX ? (uint16_t)port : 0;
}

/*
 * A package element that is a small integer: ZeroOp, OneOp or BytePrefix (20.2.3).
 * Returns the bytes it takes, 0 when it is something else.
 */
static uint32_t read_small_integer(const uint8_t *aml, uint8_t *value)
{
	if (aml[0] == 0x00 || aml[0] == 0x01) {
		*value = aml[0];
		return 1;
	}
	*value = aml[1];
	return aml[0] == 0x0a ? 2 : 0;
}

/* `aml` stands behind the name "_S5_" and has 16 bytes: Package { type_a, type_b, ... } (7.4.2). */
static void read_soft_off(const uint8_t *aml, struct acpi_info *info)
{
	uint32_t at = 1;
	uint32_t taken;
	uint8_t type_a;
	uint8_t type_b;

	if (aml[0] != 0x12) /* PackageOp */
		return;
	at += 1u + (aml[at] >> 6); /* PkgLength: its top bits count the bytes that follow */
	at += 1;		   /* NumElements */
	taken = read_small_integer(aml + at, &type_a);
	if (taken == 0 || read_small_integer(aml + at + taken, &type_b) == 0)
		return;
	info->has_soft_off = type_a < 8 && type_b < 8;
	info->soft_off_type_a = type_a;
	info->soft_off_type_b = type_b;
}

/* Firmware writes \_S5 as a plain named package, so that finding its name is enough. */
static void parse_dsdt(const struct table *dsdt, struct acpi_info *info)
{
	uint8_t window[256 + 20];

	for (uint32_t offset = HEADER_SIZE; offset < dsdt->size && !info->has_soft_off; offset += 256) {
		uint64_t size = min_u64(sizeof(window), dsdt->size - offset);

		memset(window, 0xff, sizeof(window)); /* no integer: a package cut off at the end is none */
		if (!read_memory(dsdt->memory, dsdt->physical + offset, window, size))
			return;
		for (uint32_t i = 0; i < 256 && !info->has_soft_off; i++)
			if (memcmp(window + i, "_S5_", 4) == 0)
				read_soft_off(window + i + 4, info);
	}
}

static void parse_fadt(const struct table *fadt, struct acpi_info *info)
{
	uint64_t dsdt_physical = table_read(fadt, FADT_X_DSDT, 8);
	struct table dsdt;

	if (fadt->size < FADT_SIZE_V1) {
		problem(info, "FACP: length %u is too short", fadt->size);
		return;
	}
	info->has_fadt = true;
	info->smi_command_port = read_port(fadt, FADT_SMI_COMMAND);
	info->acpi_enable = (uint8_t)table_read(fadt, FADT_ACPI_ENABLE, 1);
	info->pm1a_control_port = read_port(fadt, FADT_PM1A_CONTROL);
	info->pm1b_control_port = read_port(fadt, FADT_PM1B_CONTROL);
	info->pm_timer_port = read_port(fadt, FADT_PM_TIMER);
	info->reset.space = (uint8_t)table_read(fadt, FADT_RESET, 1);
	info->reset.bit_width = (uint8_t)table_read(fadt, FADT_RESET + 1, 1);
	info->reset.address = table_read(fadt, FADT_RESET + 4, 8);
	info->reset_value = (uint8_t)table_read(fadt, FADT_RESET_VALUE, 1);
	/* 4.8.3.6: eight bits wide, in ports, memory or PCI space; we use the first two. */
	info->has_reset = (table_read(fadt, FADT_FLAGS, 4) & FADT_FLAGS_RESET) && info->reset.address != 0 &&
			  info->reset.bit_width == 8 && info->reset.space <= ACPI_SPACE_PORT &&
			  (info->reset.space == ACPI_SPACE_MEMORY || info->reset.address <= UINT16_MAX);
	if (dsdt_physical == 0)
		dsdt_physical = table_read(fadt, FADT_DSDT, 4);
	if (dsdt_physical != 0 && open_table(fadt->memory, dsdt_physical, info, &dsdt) &&
	    memcmp(dsdt.signature, "DSDT", 4) == 0)
		parse_dsdt(&dsdt, info);
}

static void add_cpu(struct acpi_info *info, uint32_t apic_id, uint64_t flags)
{
	if (!(flags & MADT_CPU_ENABLED))
		return;
	if (info->cpu_count < ACPI_CPU_MAX)
		info->cpu_apic_ids[info->cpu_count] = apic_id;
	info->cpu_count++;
}

static void parse_madt_entry(const struct table *madt, uint32_t offset, uint32_t type, uint32_t size,
			     struct acpi_info *info)
{
	if (type == MADT_TYPE_LOCAL_APIC && size >= 8)
		add_cpu(info, (uint32_t)table_read(madt, offset + 3, 1), table_read(madt, offset + 4, 4));
	else if (type == MADT_TYPE_X2APIC && size >= 16)
		add_cpu(info, (uint32_t)table_read(madt, offset + 4, 4), table_read(madt, offset + 8, 4));
	else if (type == MADT_TYPE_IO_APIC && size >= 12)
		info->io_apic_count++;
	else if (type == MADT_TYPE_ADDRESS_OVERRIDE && size >= 12)
		info->local_apic_address = table_read(madt, offset + 4, 8);
}

static void parse_madt(const struct table *madt, struct acpi_info *info)
{
	uint32_t offset = MADT_ENTRIES;

	if (madt->size < MADT_ENTRIES) {
		problem(info, "APIC: length %u is too short", madt->size);
		return;
	}
	info->has_madt = true;
	info->local_apic_address = table_read(madt, MADT_LOCAL_APIC, 4);
	info->has_legacy_pic = (table_read(madt, MADT_FLAGS, 4) & MADT_FLAGS_LEGACY_PIC) != 0;
	while (offset < madt->size) {
		uint32_t type = (uint32_t)table_read(madt, offset, 1);
		uint32_t size = (uint32_t)table_read(madt, offset + 1, 1);

		if (size < 2 || !range_fits(offset, size, madt->size)) {
			problem(info, "APIC: entry at offset %u has length %u", offset, size);
			return;
		}
		parse_madt_entry(madt, offset, type, size, info);
		offset += size;
	}
}

static void parse_mcfg(const struct table *mcfg, struct acpi_info *info)
{
	for (uint32_t offset = MCFG_ENTRIES; range_fits(offset, MCFG_ENTRY_SIZE, mcfg->size);
	     offset += MCFG_ENTRY_SIZE) {
		struct acpi_segment segment = {
			.base = table_read(mcfg, offset, 8),
			.segment = (uint16_t)table_read(mcfg, offset + 8, 2),
			.bus_first = (uint8_t)table_read(mcfg, offset + 10, 1),
			.bus_last = (uint8_t)table_read(mcfg, offset + 11, 1),
		};

		if (segment.base == 0 || !is_aligned(segment.base, MIB) ||
		    segment.bus_first > segment.bus_last || !range_fits(segment.base, 256 * MIB, BIT(52)))
			problem(info, "MCFG: base %#lx for buses %u to %u makes no sense",
				(unsigned long)segment.base, segment.bus_first, segment.bus_last);
		else if (info->segment_count < ACPI_SEGMENT_MAX)
			info->segments[info->segment_count++] = segment;
	}
}

static void parse_table(const struct acpi_memory *memory, uint64_t physical, struct acpi_info *info)
{
	struct table table;

	if (!open_table(memory, physical, info, &table))
		return;
	info->table_count++;
	if (memcmp(table.signature, "FACP", 4) == 0 && !info->has_fadt)
		parse_fadt(&table, info);
	else if (memcmp(table.signature, "APIC", 4) == 0 && !info->has_madt)
		parse_madt(&table, info);
	else if (memcmp(table.signature, "MCFG", 4) == 0 && info->segment_count == 0)
		parse_mcfg(&table, info);
}

static bool rsdp_is_good(const struct acpi_memory *memory, uint64_t physical)
{
	char signature[8];

	return read_memory(memory, physical, signature, sizeof(signature)) &&
	       memcmp(signature, "RSD PTR ", 8) == 0 && sum_is_zero(memory, physical, RSDP_SIZE_V1);
}

/* 5.2.5.1: on 16-byte boundaries, in the first KiB of the extended BIOS data area, then in the BIOS area. */
static uint64_t find_rsdp(const struct acpi_memory *memory)
{
	uint8_t segment[2] = { 0 };
	uint64_t ebda;

	read_memory(memory, BIOS_EBDA_SEGMENT, segment, sizeof(segment));
	ebda = (uint64_t)load_le16(segment) << 4;
	for (uint64_t at = ebda; ebda != 0 && at < ebda + KIB; at += 16)
		if (rsdp_is_good(memory, at))
			return at;
	for (uint64_t at = BIOS_AREA; at < BIOS_AREA_END; at += 16)
		if (rsdp_is_good(memory, at))
			return at;
	return 0;
}

/* The root table: XSDT when there is a good one, else RSDT. */
static bool open_root(const struct acpi_memory *memory, const uint8_t rsdp[RSDP_SIZE_V2],
		      struct acpi_info *info, struct table *root)
{
	if (info->revision >= 2 && load_le64(rsdp + RSDP_XSDT) != 0 &&
	    open_table(memory, load_le64(rsdp + RSDP_XSDT), info, root) &&
	    memcmp(root->signature, "XSDT", 4) == 0)
		return true;
	return load_le32(rsdp + RSDP_RSDT) != 0 &&
	       open_table(memory, load_le32(rsdp + RSDP_RSDT), info, root) &&
	       memcmp(root->signature, "RSDT", 4) == 0;
}

static bool read_rsdp(const struct acpi_memory *memory, uint64_t physical, struct acpi_info *info,
		      uint8_t rsdp[RSDP_SIZE_V2])
{
	memset(rsdp, 0, RSDP_SIZE_V2);
	if (!rsdp_is_good(memory, physical) || !read_memory(memory, physical, rsdp, RSDP_SIZE_V1)) {
		problem(info, "no root pointer at %#lx, or its checksum is wrong", (unsigned long)physical);
		return false;
	}
	memcpy(info->oem, rsdp + RSDP_OEM, 6);
	if (!text_is_printable(info->oem, strnlen(info->oem, 6)))
		strcpy(info->oem, "?");
	info->revision = rsdp[RSDP_REVISION];
	if (info->revision < 2)
		return true;
	if (read_memory(memory, physical, rsdp, RSDP_SIZE_V2) &&
	    load_le32(rsdp + RSDP_LENGTH) == RSDP_SIZE_V2 && sum_is_zero(memory, physical, RSDP_SIZE_V2))
		return true;
	problem(info, "root pointer at %#lx: wrong extended length or checksum", (unsigned long)physical);
	info->revision = 0; /* the first part is good, and enough */
	return true;
}

int acpi_parse(const struct acpi_memory *memory, uint64_t rsdp_physical, struct acpi_info *info)
{
	uint8_t rsdp[RSDP_SIZE_V2];
	struct table root;
	uint32_t entry_size;
	uint32_t count;

	memset(info, 0, sizeof(*info));
	if (rsdp_physical == 0)
		rsdp_physical = find_rsdp(memory);
	if (rsdp_physical == 0)
		return -ENOENT;
	if (!read_rsdp(memory, rsdp_physical, info, rsdp))
		return -EINVAL;
	if (!open_root(memory, rsdp, info, &root)) {
		problem(info, "root pointer at %#lx leads to no root table", (unsigned long)rsdp_physical);
		return -EINVAL;
	}
	info->present = true;
	entry_size = root.signature[0] == 'X' ? 8 : 4;
	count = (root.size - HEADER_SIZE) / entry_size;
	if (count > ACPI_TABLE_MAX) {
		problem(info, "%s: %u tables, %u are looked at", root.signature, count, ACPI_TABLE_MAX);
		count = ACPI_TABLE_MAX;
	}
	for (uint32_t i = 0; i < count; i++) {
		uint64_t physical = table_read(&root, HEADER_SIZE + i * entry_size, entry_size);

		if (physical != 0)
			parse_table(memory, physical, info);
	}
	return 0;
}
