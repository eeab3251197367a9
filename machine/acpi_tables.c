/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI tables; see acpi_tables.h. The DSDT is written as AML byte code by a handful
 * of helpers (ACPI 6.4, chapter 20): \_S5, the PCI bus with what it decodes and
 * how its interrupts are wired, COM1, the clock and the keyboard controller.
 */
#include "machine/acpi_tables.h"

#include <string.h>

#include "include/assert.h"
#include "include/byte_order.h"
#include "machine/machine.h"

/* ---- tables and their headers ---- */

#define HEADER_SIZE 36
#define FADT_SIZE 268 /* revision 5 */
#define FACS_SIZE 64
#define FADT_FACS 36
#define FADT_DSDT 40
#define FADT_X_DSDT 140

struct builder {
	uint8_t *block;
	struct machine_acpi_layout *layout;
	uint32_t at;
};

static void put8(struct builder *builder, uint32_t value)
{
	ASSERT(builder->at < MACHINE_ACPI_SIZE_MAX);
	builder->block[builder->at++] = (uint8_t)value;
}

static void put16(struct builder *builder, uint32_t value)
{
	put8(builder, value & 0xff);
	put8(builder, value >> 8 & 0xff);
}

static void put32(struct builder *builder, uint64_t value)
{
	put16(builder, (uint32_t)value & 0xffff);
	put16(builder, (uint32_t)value >> 16);
}

static void put64(struct builder *builder, uint64_t value)
{
	put32(builder, value);
	put32(builder, value >> 32);
}

static void put_text(struct builder *builder, const char *text, uint32_t size)
{
	for (uint32_t i = 0; i < size; i++)
		put8(builder, (uint8_t)text[i]);
}

static void put_zeroes(struct builder *builder, uint32_t size)
{
	for (uint32_t i = 0; i < size; i++)
		put8(builder, 0);
}

/* A place that holds an address in the block: remembered, to be moved with it. */
static void put_pointer(struct builder *builder, uint32_t target, uint32_t size)
{
	struct machine_acpi_layout *layout = builder->layout;

	ASSERT(layout->pointer_count < MACHINE_ACPI_POINTER_MAX);
	layout->pointers[layout->pointer_count++] = (struct machine_acpi_pointer){ builder->at, size };
	if (size == 8)
		put64(builder, target);
	else
		put32(builder, target);
}

/* Table 5-5: length and checksum are filled in by table_end(). */
static uint32_t table_begin(struct builder *builder, const char *signature, uint32_t revision)
{
	uint32_t start;

	builder->at = (uint32_t)align_up(builder->at, 16);
	start = builder->at;
	put_text(builder, signature, 4);
	put32(builder, 0);
	put8(builder, revision);
	put8(builder, 0);
	put_text(builder, "YOKE  ", 6);
	put_text(builder, "YOKEVIRT", 8);
	put32(builder, MACHINE_VERSION);
	put_text(builder, "YOKE", 4);
	put32(builder, 1);
	return start;
}

static void table_end(struct builder *builder, uint32_t start)
{
	struct machine_acpi_layout *layout = builder->layout;

	ASSERT(layout->table_count < MACHINE_ACPI_TABLE_MAX);
	store_le32(builder->block + start + 4, builder->at - start);
	layout->tables[layout->table_count++] = (struct machine_acpi_table){ start, builder->at - start };
}

/* ---- AML ---- */

#define AML_NAME 0x08
#define AML_BYTE 0x0a
#define AML_DWORD 0x0c
#define AML_SCOPE 0x10
#define AML_BUFFER 0x11
#define AML_PACKAGE 0x12
#define AML_EXTENDED 0x5b
#define AML_DEVICE 0x82

/* An object with a length, which aml_end() fills in (always in the three-byte form of 20.2.4). */
static uint32_t aml_begin(struct builder *builder)
{
	uint32_t start = builder->at;

	put_zeroes(builder, 3);
	return start;
}

static void aml_end(struct builder *builder, uint32_t start)
{
	uint32_t size = builder->at - start;

	builder->block[start] = (uint8_t)(0x80 | (size & 15));
	builder->block[start + 1] = (uint8_t)(size >> 4);
	builder->block[start + 2] = (uint8_t)(size >> 12);
}

static void aml_dword(struct builder *builder, uint64_t value)
{
	put8(builder, AML_DWORD);
	put32(builder, value);
}

/* Small ones as a byte, as every firmware does: GRUB takes no other form for the values of \_S5. */
static void aml_integer(struct builder *builder, uint64_t value)
{
	if (value > UINT8_MAX) {
		aml_dword(builder, value);
		return;
	}
	put8(builder, AML_BYTE);
	put8(builder, (uint32_t)value);
}

static void aml_name(struct builder *builder, const char *name)
{
	put8(builder, AML_NAME);
	put_text(builder, name, 4);
}

static void aml_name_integer(struct builder *builder, const char *name, uint64_t value)
{
	aml_name(builder, name);
	aml_integer(builder, value);
}

/* Identifiers "PNPxxxx" in the compressed form of 6.1.5: the letters always give 0x41 0xd0. */
static void aml_name_pnp(struct builder *builder, uint32_t number)
{
	aml_name(builder, "_HID");
	put8(builder, AML_DWORD);
	put8(builder, 0x41);
	put8(builder, 0xd0);
	put8(builder, number >> 8);
	put8(builder, number & 0xff);
}

static uint32_t aml_device_begin(struct builder *builder, const char *name)
{
	uint32_t start;

	put8(builder, AML_EXTENDED);
	put8(builder, AML_DEVICE);
	start = aml_begin(builder);
	put_text(builder, name, 4);
	return start;
}

/* ---- resources: 6.4 ---- */

struct resources {
	uint32_t buffer; /* where its length goes */
	uint32_t first;
};

static struct resources resources_begin(struct builder *builder)
{
	struct resources resources;

	aml_name(builder, "_CRS");
	put8(builder, AML_BUFFER);
	resources.buffer = aml_begin(builder);
	aml_dword(builder, 0);
	resources.first = builder->at;
	return resources;
}

static void resources_end(struct builder *builder, struct resources resources)
{
	put16(builder, 0x0079); /* end tag; a checksum of 0 is not checked */
	store_le32(builder->block + resources.first - 4, builder->at - resources.first);
	aml_end(builder, resources.buffer);
}

static void resource_ports(struct builder *builder, uint32_t first, uint32_t count)
{
	put8(builder, 0x47);
	put8(builder, 1); /* 16 address bits */
	put16(builder, first);
	put16(builder, first);
	put8(builder, 1);
	put8(builder, count);
}

static void resource_irq(struct builder *builder, uint32_t irq)
{
	put8(builder, 0x22); /* edge, active high */
	put16(builder, UINT32_C(1) << irq);
}

/* Range that a bridge hands down: `type` 1 ports, 2 bus numbers. */
static void resource_window_word(struct builder *builder, uint32_t type, uint32_t first, uint32_t last)
{
	put8(builder, 0x88);
	put16(builder, 13);
	put8(builder, type);
	put8(builder, 0x0c); /* minimum and maximum are fixed */
	put8(builder, type == 1 ? 3 : 0);
	put16(builder, 0);
	put16(builder, first);
	put16(builder, last);
	put16(builder, 0);
	put16(builder, last - first + 1);
}

static void resource_window_memory(struct builder *builder, uint64_t first, uint64_t last)
{
	put8(builder, 0x87);
	put16(builder, 23);
	put8(builder, 0);
	put8(builder, 0x0c);
	put8(builder, 1); /* not cached, writable */
	put32(builder, 0);
	put32(builder, first);
	put32(builder, last);
	put32(builder, 0);
	put32(builder, last - first + 1);
}

/* ---- the DSDT ---- */

static void isa_device(struct builder *builder, const char *name, uint32_t pnp, uint32_t irq, uint32_t port,
		       uint32_t port_count, uint32_t second_port)
{
	uint32_t device = aml_device_begin(builder, name);
	struct resources resources;

	aml_name_pnp(builder, pnp);
	aml_name_integer(builder, "_UID", 1);
	aml_name_integer(builder, "_STA", 0xf);
	resources = resources_begin(builder);
	resource_ports(builder, port, port_count);
	if (second_port)
		resource_ports(builder, second_port, 1);
	resource_irq(builder, irq);
	resources_end(builder, resources);
	aml_end(builder, device);
}

/* _PRT: INTA of each slot, wired for good to a global interrupt (6.2.13). */
static void pci_routing(struct builder *builder)
{
	uint32_t all;

	aml_name(builder, "_PRT");
	put8(builder, AML_PACKAGE);
	all = aml_begin(builder);
	put8(builder, 32 - MACHINE_PCI_VIRTIO_SLOT_FIRST);
	for (uint32_t slot = MACHINE_PCI_VIRTIO_SLOT_FIRST; slot < 32; slot++) {
		uint32_t one;

		put8(builder, AML_PACKAGE);
		one = aml_begin(builder);
		put8(builder, 4);
		aml_integer(builder, slot << 16 | 0xffff);
		put8(builder, 0); /* INTA */
		put8(builder, 0); /* no link device: */
		aml_integer(builder, machine_pci_slot_gsi(slot, 1));
		aml_end(builder, one);
	}
	aml_end(builder, all);
}

static void pci_bus(struct builder *builder, const struct machine *machine)
{
	uint32_t bus = aml_device_begin(builder, "PCI0");
	struct resources resources;
	uint32_t isa;

	aml_name_pnp(builder, 0x0a03);
	aml_name_integer(builder, "_UID", 0);
	aml_name_integer(builder, "_BBN", 0);
	resources = resources_begin(builder);
	resource_window_word(builder, 2, 0, 0);
	resource_ports(builder, 0xcf8, 8);
	resource_window_word(builder, 1, 0, 0xcf7);
	resource_window_word(builder, 1, 0xd00, 0xffff);
	resource_window_memory(builder, 0xa0000, 0xbffff);
	resource_window_memory(builder, machine_pci_memory_base(machine), MACHINE_PCI_MEMORY_END - 1);
	resources_end(builder, resources);
	pci_routing(builder);
	isa = aml_device_begin(builder, "ISA_");
	aml_name_integer(builder, "_ADR", 0x00010000);
	isa_device(builder, "COM1", 0x0501, MACHINE_UART_IRQ, MACHINE_UART_PORT, 8, 0);
	isa_device(builder, "RTC_", 0x0b00, MACHINE_RTC_IRQ, 0x70, 2, 0);
	isa_device(builder, "KBD_", 0x0303, 1, 0x60, 1, 0x64);
	aml_end(builder, isa);
	aml_end(builder, bus);
}

static uint32_t dsdt_build(struct builder *builder, const struct machine *machine)
{
	uint32_t start = table_begin(builder, "DSDT", 2);
	uint32_t scope;
	uint32_t sleep;

	aml_name(builder, "_S5_");
	put8(builder, AML_PACKAGE);
	sleep = aml_begin(builder);
	put8(builder, 4);
	aml_integer(builder, MACHINE_PM_SLEEP_TYPE_S5);
	aml_integer(builder, MACHINE_PM_SLEEP_TYPE_S5);
	put16(builder, 0);
	aml_end(builder, sleep);

	put8(builder, AML_SCOPE);
	scope = aml_begin(builder);
	put_text(builder, "\\_SB_", 5);
	pci_bus(builder, machine);
	aml_end(builder, scope);
	table_end(builder, start);
	return start;
}

/* ---- the fixed tables ---- */

static uint32_t facs_build(struct builder *builder)
{
	uint32_t start = builder->at;

	ASSERT(is_aligned(start, 64));
	put_text(builder, "FACS", 4);
	put32(builder, FACS_SIZE);
	put_zeroes(builder, 24);
	put8(builder, 2); /* version */
	put_zeroes(builder, FACS_SIZE - 33);
	return start;
}

/* Generic address (5.2.3.2) of ports; 0 bits: not there. */
static void put_address(struct builder *builder, uint32_t port, uint32_t bits)
{
	put8(builder, 1);
	put8(builder, bits);
	put8(builder, 0);
	put8(builder, bits == 8 ? 1 : bits == 16 ? 2 : bits == 32 ? 3 : 0);
	put64(builder, port);
}

#define FADT_FLAGS                                                                                           \
	(BIT(0) /* WBINVD works */ | BIT(2) /* C1 */ | BIT(5) /* no sleep button */ |                        \
	 BIT(6) /* the clock does not wake */ | BIT(10) /* reset register */)
#define FADT_BOOT_FLAGS (BIT(0) /* ISA devices */ | BIT(1) /* 8042 */)

/* 5.2.9. SMI_CMD is 0: the hardware is in ACPI mode always. */
static uint32_t fadt_build(struct builder *builder, uint32_t facs, uint32_t dsdt)
{
	uint32_t start = table_begin(builder, "FACP", 5);

	put_pointer(builder, facs, 4);
	put_pointer(builder, dsdt, 4);
	put8(builder, 0);
	put8(builder, 4); /* enterprise server */
	put16(builder, MACHINE_PM_IRQ);
	put_zeroes(builder, 8);
	put32(builder, MACHINE_PM_PORT + MACHINE_PM_EVENT_OFFSET);
	put32(builder, 0);
	put32(builder, MACHINE_PM_PORT + MACHINE_PM_CONTROL_OFFSET);
	put32(builder, 0);
	put32(builder, 0);
	put32(builder, MACHINE_PM_PORT + MACHINE_PM_TIMER_OFFSET);
	put_zeroes(builder, 8);
	put8(builder, 4); /* sizes of the blocks: event, control, PM2, timer, GPE0, GPE1 */
	put8(builder, 2);
	put8(builder, 0);
	put8(builder, 4);
	put_zeroes(builder, 4);
	put16(builder, 0xfff); /* no C2 */
	put16(builder, 0xfff); /* no C3 */
	put_zeroes(builder, 8);
	put8(builder, 0x32); /* century in CMOS */
	put16(builder, FADT_BOOT_FLAGS);
	put8(builder, 0);
	put32(builder, FADT_FLAGS);
	put_address(builder, MACHINE_RESET_PORT, 8);
	put8(builder, MACHINE_RESET_VALUE);
	put_zeroes(builder, 3);
	put64(builder, 0); /* the FACS is named above */
	put_pointer(builder, dsdt, 8);
	put_address(builder, MACHINE_PM_PORT + MACHINE_PM_EVENT_OFFSET, 32);
	put_zeroes(builder, 12);
	put_address(builder, MACHINE_PM_PORT + MACHINE_PM_CONTROL_OFFSET, 16);
	put_zeroes(builder, 24);
	put_address(builder, MACHINE_PM_PORT + MACHINE_PM_TIMER_OFFSET, 32);
	put_zeroes(builder, 48);
	ASSERT(builder->at - start == FADT_SIZE);
	table_end(builder, start);
	return start;
}

/* ISA interrupt that is not "edge, active high, pin of the same number" (5.2.12.5). */
static void madt_override(struct builder *builder, uint32_t irq, uint32_t gsi, uint32_t flags)
{
	put8(builder, 2);
	put8(builder, 10);
	put8(builder, 0);
	put8(builder, irq);
	put32(builder, gsi);
	put16(builder, flags);
}

#define LEVEL_HIGH 0x0d
#define LEVEL_LOW 0x0f

static uint32_t madt_build(struct builder *builder)
{
	uint32_t start = table_begin(builder, "APIC", 3);

	put32(builder, MACHINE_LAPIC_BASE);
	put32(builder, 1);	/* there are 8259s, too */
	put16(builder, 0x0800); /* local APIC, 8 bytes: processor 0, identifier 0, enabled */
	put16(builder, 0);
	put32(builder, 1);
	put16(builder, 0x0c01); /* I/O APIC, 12 bytes: identifier 0, from global interrupt 0 */
	put16(builder, 0);
	put32(builder, MACHINE_IOAPIC_BASE);
	put32(builder, 0);
	madt_override(builder, 0, 2, 0);
	madt_override(builder, MACHINE_PM_IRQ, MACHINE_PM_IRQ, LEVEL_HIGH);
	madt_override(builder, 10, 10, LEVEL_LOW);
	madt_override(builder, 11, 11, LEVEL_LOW);
	put16(builder, 0x0604); /* NMI at LINT1, 6 bytes, of all processors */
	put8(builder, 0xff);
	put16(builder, 0);
	put8(builder, 1);
	table_end(builder, start);
	return start;
}

static uint32_t root_build(struct builder *builder, const char *signature, uint32_t pointer_size,
			   uint32_t fadt, uint32_t madt)
{
	uint32_t start = table_begin(builder, signature, 1);

	put_pointer(builder, fadt, pointer_size);
	put_pointer(builder, madt, pointer_size);
	table_end(builder, start);
	return start;
}

void machine_acpi_build(const struct machine *machine, uint8_t *block, uint8_t *rsdp,
			struct machine_acpi_layout *layout)
{
	struct builder builder = { .block = block, .layout = layout };
	uint32_t facs;
	uint32_t dsdt;
	uint32_t fadt;
	uint32_t madt;

	memset(layout, 0, sizeof(*layout));
	facs = facs_build(&builder);
	dsdt = dsdt_build(&builder, machine);
	fadt = fadt_build(&builder, facs, dsdt);
	madt = madt_build(&builder);
	layout->rsdt = root_build(&builder, "RSDT", 4, fadt, madt);
	layout->xsdt = root_build(&builder, "XSDT", 8, fadt, madt);
	layout->size = (uint32_t)align_up(builder.at, 16);

	memset(rsdp, 0, MACHINE_ACPI_RSDP_SIZE);
	memcpy(rsdp, "RSD PTR ", 8);
	memcpy(rsdp + 9, "YOKE  ", 6);
	rsdp[15] = 2; /* revision */
	store_le32(rsdp + MACHINE_ACPI_RSDP_RSDT, layout->rsdt);
	store_le32(rsdp + 20, MACHINE_ACPI_RSDP_SIZE);
	store_le64(rsdp + MACHINE_ACPI_RSDP_XSDT, layout->xsdt);
}

static uint8_t checksum(const uint8_t *bytes, uint32_t size)
{
	uint8_t sum = 0;

	for (uint32_t i = 0; i < size; i++)
		sum = (uint8_t)(sum + bytes[i]);
	return (uint8_t)-sum;
}

static void pointer_move(uint8_t *at, uint32_t size, uint64_t base)
{
	if (size == 8)
		store_le64(at, load_le64(at) + base);
	else
		store_le32(at, load_le32(at) + (uint32_t)base);
}

void machine_acpi_place(uint8_t *block, uint8_t *rsdp, const struct machine_acpi_layout *layout,
			uint64_t base)
{
	for (uint32_t i = 0; i < layout->pointer_count; i++)
		pointer_move(block + layout->pointers[i].offset, layout->pointers[i].size, base);
	for (uint32_t i = 0; i < layout->table_count; i++) {
		uint8_t *table = block + layout->tables[i].offset;

		table[MACHINE_ACPI_CHECKSUM] = 0;
		table[MACHINE_ACPI_CHECKSUM] = checksum(table, layout->tables[i].size);
	}
	pointer_move(rsdp + MACHINE_ACPI_RSDP_RSDT, 4, base);
	pointer_move(rsdp + MACHINE_ACPI_RSDP_XSDT, 8, base);
	rsdp[MACHINE_ACPI_RSDP_CHECKSUM] = checksum(rsdp, MACHINE_ACPI_RSDP_CHECKED);
	rsdp[MACHINE_ACPI_RSDP_EXTENDED_CHECKSUM] = checksum(rsdp, MACHINE_ACPI_RSDP_SIZE);
}
