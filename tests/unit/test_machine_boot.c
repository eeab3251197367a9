/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both ways of starting a guest: what firmware reads from fw_cfg, with the loader
 * script carried out as SeaBIOS does it, and the Linux boot protocol with images
 * that are right and wrong in each way.
 */
#define _GNU_SOURCE
#include <string.h>

#include "include/byte_order.h"
#include "machine/acpi_tables.h"
#include "machine/decode.h"
#include "machine/direct_boot.h"
#include "machine/firmware_boot.h"
#include "machine/guest_paging.h"
#include "tests/unit/machine_fixture.h"

/* ---- fw_cfg ---- */

static void item_read(uint16_t selector, void *to, uint32_t size)
{
	out16(0x510, selector);
	for (uint32_t i = 0; i < size; i++)
		((uint8_t *)to)[i] = in8(0x511);
}

/* By DMA, as SeaBIOS does when the identity says that it can. */
static uint32_t dma(uint32_t control, uint32_t size, uint64_t gpa)
{
	uint8_t *descriptor = guest_memory_to_write(&memory, 0x5000, 16);

	store_be32(descriptor, control);
	store_be32(descriptor + 4, size);
	store_be64(descriptor + 8, gpa);
	out32(0x514, 0);
	out32(0x518, __builtin_bswap32(0x5000));
	return load_be32(descriptor);
}

/* Size of the file, with its item number; 0: there is no such file. */
static uint32_t file_find(const char *name, uint16_t *selector)
{
	uint8_t directory[4 + 64 * MACHINE_FW_CFG_FILE_MAX];

	item_read(0x19, directory, sizeof(directory));
	for (uint32_t i = 0; i < load_be32(directory); i++) {
		const uint8_t *entry = directory + 4 + 64 * i;

		if (strcmp((const char *)entry + 8, name) == 0) {
			*selector = load_be16(entry + 4);
			return load_be32(entry);
		}
	}
	return 0;
}

static uint32_t file_read(const char *name, void *to, uint32_t size_max)
{
	uint16_t selector;
	uint32_t size = file_find(name, &selector);

	assert_in_range(size, 1, size_max);
	item_read(selector, to, size);
	return size;
}

static void items_are_read_both_ways(void **state)
{
	uint8_t bytes[8];

	(void)state;
	item_read(0, bytes, 4);
	assert_memory_equal(bytes, "QEMU", 4);
	item_read(1, bytes, 4);
	assert_int_equal(bytes[0], 3);
	item_read(5, bytes, 2);
	assert_int_equal(load_le16(bytes), 1);
	item_read(0x4000, bytes, 4);
	assert_memory_equal(bytes, "QEMU", 4);
	for (uint16_t selector = 0x8000; selector <= 0x8003; selector++) {
		item_read(selector, bytes, 8); /* the architecture's own items, none: zeroes */
		assert_true(load_le64(bytes) == 0);
	}
	assert_int_equal(dma(0x8000u << 16 | 8 | 2, 4, 0x6000), 0);
	assert_int_equal(load_le32(guest_memory_to_write(&memory, 0x6000, 4)), 0);
	assert_int_equal(in32(0x514), 0x554d4551); /* "QEMU" */
	assert_int_equal(in32(0x518), 0x47464320);
	assert_int_equal(dma(0 << 16 | 8 | 2, 4, 0x6000), 0);
	assert_memory_equal(guest_memory_to_write(&memory, 0x6000, 4), "QEMU", 4);
	assert_int_equal(dma(0 << 16 | 8 | 4, 2, 0), 0); /* skip two */
	assert_int_equal(dma(2, 4, 0x6000), 0);
	assert_memory_equal(guest_memory_to_write(&memory, 0x6000, 4), "MU\0\0", 4);
	assert_int_equal(dma(16, 4, 0x6000), 1);		     /* no writes */
	assert_int_equal(dma(8 | 2, 4, FIXTURE_MEMORY_SIZE - 2), 1); /* no memory there */
	assert_int_equal(dma(8 | 2, UINT32_MAX, 0x6000), 1);
	out32(0x518, __builtin_bswap32(FIXTURE_MEMORY_SIZE - 8)); /* nor for the descriptor */
	out32(0x514, UINT32_MAX);
	out32(0x518, UINT32_MAX);
}

static void memory_map_is_whole(void **state)
{
	uint8_t map[20 * 8];
	uint32_t size = file_read("etc/e820", map, sizeof(map));

	(void)state;
	assert_int_equal(size % 20, 0);
	assert_true(load_le64(map) == 0 && load_le64(map + 8) == FIXTURE_MEMORY_SIZE);
	assert_int_equal(load_le32(map + 16), 1);
	file_read("etc/sercon-port", map, sizeof(map));
	assert_int_equal(load_le16(map), 0x3f8);
	file_read("bootorder", map, sizeof(map));
	assert_memory_equal(map, "/pci@i0cf8/", 11);
}

static uint8_t sum(const uint8_t *bytes, uint32_t size)
{
	uint8_t total = 0;

	while (size--)
		total = (uint8_t)(total + *bytes++);
	return total;
}

#define RSDP_AT UINT64_C(0xf5a40)
#define TABLES_AT UINT64_C(0xff0000)

static uint64_t place_of(const uint8_t *name)
{
	return strcmp((const char *)name, "etc/acpi/rsdp") == 0 ? RSDP_AT : TABLES_AT;
}

static void script_step(const uint8_t *entry)
{
	const uint8_t *rest = entry + 60;
	uint64_t at = place_of(entry + 4);
	uint8_t *field;

	switch (load_le32(entry)) {
	case 1:
		break;
	case 2:
		field = guest_memory_to_write(&memory, at + load_le32(rest + 56), rest[60]);
		if (rest[60] == 8)
			store_le64(field, load_le64(field) + place_of(rest));
		else
			store_le32(field, load_le32(field) + (uint32_t)place_of(rest));
		break;
	case 3:
		field = guest_memory_to_write(&memory, at + load_le32(rest), 1);
		*field = (uint8_t)(*field - sum(guest_memory_to_write(&memory, at + load_le32(rest + 4),
								      load_le32(rest + 8)),
						load_le32(rest + 8)));
		break;
	default:
		fail_msg("unknown loader command %u", load_le32(entry));
	}
}

/* GRUB's `halt` reads no more AML than this: Name(_S5_, Package() { bytes }). */
static void check_s5(const uint8_t *dsdt)
{
	static const uint8_t head[] = { 0x08, '_', 'S', '5', '_', 0x12 };
	const uint8_t *package = memmem(dsdt, load_le32(dsdt + 4), head, sizeof(head));

	assert_non_null(package);
	package += sizeof(head) + 3; /* its length, in the three-byte form */
	assert_int_equal(package[0], 4);
	assert_int_equal(package[1], 0x0a);
	assert_int_equal(package[2], MACHINE_PM_SLEEP_TYPE_S5);
	assert_int_equal(package[3], 0x0a);
	assert_int_equal(package[4], MACHINE_PM_SLEEP_TYPE_S5);
}

/* Follows the pointers as a system does; every checksum on the way must be right. */
static void check_acpi(uint64_t rsdp_gpa)
{
	const uint8_t *rsdp = guest_memory_to_write(&memory, rsdp_gpa, 36);
	const uint8_t *xsdt;
	const uint8_t *rsdt;
	uint32_t found = 0;

	assert_memory_equal(rsdp, "RSD PTR ", 8);
	assert_int_equal(sum(rsdp, 20), 0);
	assert_int_equal(sum(rsdp, 36), 0);
	xsdt = guest_memory_to_write(&memory, load_le64(rsdp + 24), 36);
	rsdt = guest_memory_to_write(&memory, load_le32(rsdp + 16), 36);
	assert_memory_equal(xsdt, "XSDT", 4);
	assert_memory_equal(rsdt, "RSDT", 4);
	assert_int_equal(sum(xsdt, load_le32(xsdt + 4)), 0);
	assert_int_equal(sum(rsdt, load_le32(rsdt + 4)), 0);
	for (uint32_t i = 36; i < load_le32(xsdt + 4); i += 8) {
		const uint8_t *table = guest_memory_to_write(&memory, load_le64(xsdt + i), 36);

		assert_true(load_le64(xsdt + i) == load_le32(rsdt + 36 + (i - 36) / 2));
		assert_int_equal(sum(table, load_le32(table + 4)), 0);
		if (memcmp(table, "FACP", 4) == 0) {
			const uint8_t *dsdt = guest_memory_to_write(&memory, load_le64(table + 140), 36);

			assert_true(load_le32(table + 40) == load_le64(table + 140));
			assert_memory_equal(dsdt, "DSDT", 4);
			assert_int_equal(sum(dsdt, load_le32(dsdt + 4)), 0);
			check_s5(dsdt);
			assert_memory_equal(guest_memory_to_write(&memory, load_le32(table + 36), 4), "FACS",
					    4);
			assert_int_equal(load_le32(table + 36) % 64, 0);
			assert_int_equal(load_le16(table + 46), 9);
			assert_int_equal(load_le32(table + 56), 0x600);
			assert_int_equal(table[128], 6);
			found |= 1;
		}
		if (memcmp(table, "APIC", 4) == 0)
			found |= 2;
	}
	assert_int_equal(found, 3);
}

static void loader_script_links_the_tables(void **state)
{
	uint8_t script[128 * 32];
	uint32_t size;

	(void)state;
	file_read("etc/acpi/rsdp", guest_memory_to_write(&memory, RSDP_AT, 36), 36);
	file_read("etc/acpi/tables", guest_memory_to_write(&memory, TABLES_AT, 4096), 4096);
	size = file_read("etc/table-loader", script, sizeof(script));
	assert_int_equal(size % 128, 0);
	for (uint32_t i = 0; i < size; i += 128)
		script_step(script + i);
	check_acpi(RSDP_AT);
}

static void smbios_has_an_end(void **state)
{
	uint8_t anchor[31];
	uint8_t tables[256];
	uint32_t size = file_read("etc/smbios/smbios-tables", tables, sizeof(tables));
	uint32_t at = 0;
	uint32_t count = 0;

	(void)state;
	file_read("etc/smbios/smbios-anchor", anchor, sizeof(anchor));
	assert_int_equal(load_le16(anchor + 22), size);
	while (at < size) {
		uint8_t type = tables[at];

		at += tables[at + 1];
		while (load_le16(tables + at))
			at++;
		at += 2;
		count++;
		assert_true(type != 127 || at == size);
	}
	assert_int_equal(load_le16(anchor + 28), count);
}

/* ---- firmware ---- */

static void firmware_is_in_both_places(void **state)
{
	static uint8_t image[256 * 1024];
	struct guest_memory with_firmware;
	struct vcpu_state vcpu;
	uint8_t *base = calloc(1, FIXTURE_MEMORY_SIZE + sizeof(image));

	(void)state;
	guest_memory_init(&with_firmware, base, FIXTURE_MEMORY_SIZE, sizeof(image));
	image[sizeof(image) - 16] = 0xea;
	image[128 * 1024] = 0x55;
	machine_firmware_boot(&with_firmware, image, &vcpu);
	assert_int_equal(*guest_memory_to_write(&with_firmware, vcpu.segments[VCPU_CS].base + vcpu.rip, 1),
			 0xea);
	assert_int_equal(*guest_memory_to_write(&with_firmware, 0xffff0, 1), 0xea);
	assert_int_equal(*guest_memory_to_write(&with_firmware, 0xe0000, 1), 0x55);
	free(base);
}

/* After a reset both copies are the image again, whatever the guest wrote, and other memory is left alone. */
static void firmware_is_whole_after_a_reset(void **state)
{
	static uint8_t image[128 * 1024];
	struct guest_memory with_firmware;
	struct vcpu_state vcpu;
	uint8_t *base = calloc(1, FIXTURE_MEMORY_SIZE + sizeof(image));

	(void)state;
	guest_memory_init(&with_firmware, base, FIXTURE_MEMORY_SIZE, sizeof(image));
	image[sizeof(image) - 16] = 0xea;
	machine_firmware_boot(&with_firmware, image, &vcpu);
	memset(guest_memory_to_write(&with_firmware, 0xd0000, 0x30000), 0x77, 0x30000);
	memset(guest_memory_to_write(&with_firmware, 4 * GIB - sizeof(image), sizeof(image)), 0x77,
	       sizeof(image));
	vcpu.rip = 0x1234;
	machine_firmware_boot(&with_firmware, image, &vcpu);
	assert_memory_equal(guest_memory_to_write(&with_firmware, 0xe0000, sizeof(image)), image,
			    sizeof(image));
	assert_memory_equal(guest_memory_to_write(&with_firmware, 4 * GIB - sizeof(image), sizeof(image)),
			    image, sizeof(image));
	assert_int_equal(*guest_memory_to_write(&with_firmware, 0xdffff, 1), 0x77);
	assert_int_equal(vcpu.rip, 0xfff0);
	free(base);
}

static void firmware_that_cannot_be_is_refused(void **state)
{
	static uint8_t image[GUEST_FIRMWARE_SIZE_MAX];

	(void)state;
	assert_non_null(strstr(machine_firmware_check(image, sizeof(image)), "no BIOS image"));
	image[sizeof(image) - 16] = 0xea;
	assert_null(machine_firmware_check(image, sizeof(image)));
	assert_non_null(strstr(machine_firmware_check(image, sizeof(image) + 64 * KIB), "too large"));
	assert_non_null(strstr(machine_firmware_check(image, 0), "size"));
	assert_non_null(strstr(machine_firmware_check(image, 64 * KIB), "size"));
	assert_non_null(strstr(machine_firmware_check(image, 200 * KIB), "size"));
	assert_non_null(strstr(machine_firmware_check(image, UINT64_MAX), "too large"));
}

/* ---- direct ---- */

static uint8_t kernel[16 * 1024];
static uint8_t initrd[5000];
static struct machine_direct_boot boot;
static struct vcpu_state vcpu;

/* The least that is a bzImage: two setup sectors, the rest code. */
static void image_make(void)
{
	memset(kernel, 0, sizeof(kernel));
	memset(kernel + 1024, 0x90, sizeof(kernel) - 1024);
	memset(initrd, 0x5a, sizeof(initrd));
	kernel[0x1f1] = 1;
	store_le32(kernel + 0x1f4, (sizeof(kernel) - 1024) / 16);
	store_le16(kernel + 0x1fe, 0xaa55);
	kernel[0x201] = 0x6a;
	memcpy(kernel + 0x202, "HdrS", 4);
	store_le16(kernel + 0x206, 0x020f);
	kernel[0x211] = 1;
	store_le32(kernel + 0x22c, 0x7fffffff);
	store_le16(kernel + 0x236, 1);
	store_le32(kernel + 0x238, 2047);
	store_le64(kernel + 0x258, 0x200000);
	store_le32(kernel + 0x260, 0x400000);
	boot = (struct machine_direct_boot){ .kernel = kernel,
					     .kernel_size = sizeof(kernel),
					     .initrd = initrd,
					     .initrd_size = sizeof(initrd),
					     .command_line = "console=ttyS0" };
}

static const char *start(void)
{
	return machine_direct_boot(&machine, &memory, &boot, &vcpu);
}

static void a_kernel_is_placed(void **state)
{
	const uint8_t *parameters = guest_memory_to_write(&memory, 0x7000, 4096);
	uint32_t initrd_at;
	uint64_t gpa;
	uint32_t error_code;

	(void)state;
	image_make();
	assert_null(start());
	assert_int_equal(machine_mode_bits(&vcpu), 64);
	assert_true(vcpu.rip == 0x200200 && vcpu.gpr[VCPU_RSI] == 0x7000);
	assert_int_equal(vcpu.rflags & VCPU_RFLAGS_IF, 0);
	assert_memory_equal(guest_memory_to_write(&memory, 0x200000, 100), kernel + 1024, 100);
	assert_string_equal((const char *)guest_memory_to_write(&memory, load_le32(parameters + 0x228), 32),
			    "console=ttyS0");
	initrd_at = load_le32(parameters + 0x218);
	assert_int_equal(load_le32(parameters + 0x21c), sizeof(initrd));
	assert_in_range(initrd_at, 0x600000, FIXTURE_MEMORY_SIZE - sizeof(initrd));
	assert_int_equal(initrd_at % 4096, 0);
	assert_memory_equal(guest_memory_to_write(&memory, initrd_at, sizeof(initrd)), initrd,
			    sizeof(initrd));
	assert_int_equal(parameters[0x210], 0xff);
	assert_true(load_le64(parameters + 0x258) == 0x200000); /* the header came along */
	/* Its page tables map what the protocol wants. */
	assert_true(guest_paging_translate(&vcpu, &memory, 0x7000, GUEST_PAGE_WRITE, &gpa, &error_code));
	assert_true(gpa == 0x7000);
	assert_true(guest_paging_translate(&vcpu, &memory, 0xfee00000, GUEST_PAGE_WRITE, &gpa, &error_code));
	assert_true(gpa == 0xfee00000);
	check_acpi(load_le64(parameters + 0x70));
	assert_memory_equal(guest_memory_to_write(&memory, 0xf0000, 4), "_SM_", 4);
	assert_int_equal(sum(guest_memory_to_write(&memory, 0xf0000, 31), 31), 0);
}

static void memory_map_of_the_direct_boot(void **state)
{
	const uint8_t *parameters = guest_memory_to_write(&memory, 0x7000, 4096);
	uint64_t ram = 0;

	(void)state;
	image_make();
	assert_null(start());
	for (uint32_t i = 0; i < parameters[0x1e8]; i++) {
		const uint8_t *entry = parameters + 0x2d0 + 20 * i;

		if (load_le32(entry + 16) == 1) {
			ram += load_le64(entry + 8);
			assert_non_null(
				guest_memory_to_write(&memory, load_le64(entry), load_le64(entry + 8)));
		}
	}
	assert_true(ram == FIXTURE_MEMORY_SIZE - MIB + 0x9fc00);
}

static void a_32_bit_kernel_gets_its_entry(void **state)
{
	(void)state;
	image_make();
	store_le16(kernel + 0x236, 0);
	assert_null(start());
	assert_int_equal(machine_mode_bits(&vcpu), 32);
	assert_true(vcpu.rip == 0x200000);
	assert_true((vcpu.cr0 & VCPU_CR0_PG) == 0);
	assert_int_equal(vcpu.segments[VCPU_CS].selector, 0x10);
}

static void no_initrd_is_fine(void **state)
{
	(void)state;
	image_make();
	boot.initrd = NULL;
	boot.initrd_size = 0;
	assert_null(start());
	assert_int_equal(load_le32(guest_memory_to_write(&memory, 0x7218, 4)), 0);
}

static void assert_refused(const char *word)
{
	const char *line = start();

	assert_non_null(line);
	if (!strstr(line, word))
		fail_msg("\"%s\" does not say \"%s\"", line, word);
}

static void what_is_wrong_is_said(void **state)
{
	static char long_line[4096];

	(void)state;
	image_make();
	boot.kernel_size = 100;
	assert_refused("too short");
	image_make();
	kernel[0x202] = 'X';
	assert_refused("not a bzImage");
	image_make();
	boot.kernel_size -= 64;
	assert_refused("truncated");
	image_make();
	boot.kernel_size = 1000;
	assert_refused("truncated");
	image_make();
	kernel[0x1f1] = 200;
	assert_refused("truncated");
	image_make();
	store_le16(kernel + 0x206, 0x0205);
	assert_refused("older");
	image_make();
	store_le32(kernel + 0x260, 0x7fffffff);
	assert_refused("kernel: it does not fit");
	image_make();
	store_le64(kernel + 0x258, UINT64_MAX - 100);
	assert_refused("kernel: it does not fit");
	image_make();
	store_le64(kernel + 0x258, 0x1000);
	assert_refused("kernel: it does not fit");
	image_make();
	store_le32(kernel + 0x260, FIXTURE_MEMORY_SIZE - 0x200000 - 4096);
	assert_refused("initrd: it does not fit");
	image_make();
	boot.initrd_size = UINT64_MAX;
	assert_refused("initrd: it does not fit");
	image_make();
	store_le32(kernel + 0x22c, 0x1000);
	assert_refused("initrd: it does not fit");
	image_make();
	memset(long_line, 'x', sizeof(long_line) - 1);
	boot.command_line = long_line;
	assert_refused("command line");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(items_are_read_both_ways),
		TEST(memory_map_is_whole),
		TEST(loader_script_links_the_tables),
		TEST(smbios_has_an_end),
		TEST(firmware_is_in_both_places),
		TEST(firmware_is_whole_after_a_reset),
		TEST(firmware_that_cannot_be_is_refused),
		TEST(a_kernel_is_placed),
		TEST(memory_map_of_the_direct_boot),
		TEST(a_32_bit_kernel_gets_its_entry),
		TEST(no_initrd_is_fine),
		TEST(what_is_wrong_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
