/* SPDX-License-Identifier: Apache-2.0 */
/* ACPI's tables, built here field by field, then broken one way at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "include/byte_order.h"
#include "kernel/acpi.h"

#define BASE 0xe0000u
#define SIZE 0x20000u
#define RSDP 0x0000u /* offsets into `memory` */
#define XSDT 0x1000u
#define RSDT 0x2000u
#define FADT 0x3000u
#define MADT 0x4000u
#define MCFG 0x5000u
#define DSDT 0x6000u

static uint8_t memory[SIZE];
static struct acpi_info info;

static bool read_memory(void *context, uint64_t physical, void *to, uint64_t size)
{
	(void)context;
	if (physical < BASE || !range_fits(physical - BASE, size, SIZE))
		return false;
	memcpy(to, memory + (physical - BASE), size);
	return true;
}

static int parse(uint64_t rsdp)
{
	const struct acpi_memory accessor = { .read = read_memory };

	return acpi_parse(&accessor, rsdp, &info);
}

static void fix_sum(uint32_t at, uint32_t size, uint32_t place)
{
	uint8_t sum = 0;

	memory[at + place] = 0;
	for (uint32_t i = 0; i < size; i++)
		sum = (uint8_t)(sum + memory[at + i]);
	memory[at + place] = (uint8_t)-sum;
}

static void put_table(uint32_t at, const char *signature, uint32_t size)
{
	memcpy(memory + at, signature, 4);
	store_le32(memory + at + 4, size);
	fix_sum(at, size, 9);
}

static void put_root(void)
{
	store_le64(memory + XSDT + 36, BASE + FADT);
	store_le64(memory + XSDT + 44, BASE + MADT);
	store_le64(memory + XSDT + 52, BASE + MCFG);
	put_table(XSDT, "XSDT", 60);
	store_le32(memory + RSDT + 36, BASE + MADT);
	put_table(RSDT, "RSDT", 40);
	memcpy(memory + RSDP, "RSD PTR ", 8);
	memcpy(memory + RSDP + 9, "YOKE  ", 6);
	memory[RSDP + 15] = 2;
	store_le32(memory + RSDP + 16, BASE + RSDT);
	store_le32(memory + RSDP + 20, 36);
	store_le64(memory + RSDP + 24, BASE + XSDT);
	fix_sum(RSDP, 20, 8);
	fix_sum(RSDP, 36, 32);
}

static void put_fadt(void)
{
	store_le32(memory + FADT + 40, BASE + DSDT);
	store_le32(memory + FADT + 48, 0xb2);
	memory[FADT + 52] = 0xf1;
	store_le32(memory + FADT + 64, 0x604);
	store_le32(memory + FADT + 76, 0x608);
	store_le32(memory + FADT + 112, 1 << 10);
	memory[FADT + 116] = ACPI_SPACE_PORT;
	memory[FADT + 117] = 8;
	store_le64(memory + FADT + 120, 0xcf9);
	memory[FADT + 128] = 0x0f;
	put_table(FADT, "FACP", 244);
}

static void put_madt(void)
{
	static const uint8_t entries[] = {
		0, 8,  0, 0, 1,	   0,	 0,    0,			     /* local APIC 0, enabled */
		0, 8,  1, 1, 0,	   0,	 0,    0,			     /* local APIC 1, disabled */
		1, 12, 0, 0, 0,	   0,	 0xc0, 0xfe, 0, 0, 0, 0,	     /* I/O APIC */
		9, 16, 0, 0, 0x34, 0x12, 0,    0,    1, 0, 0, 0, 0, 0, 0, 0, /* x2APIC 0x1234, enabled */
	};

	store_le32(memory + MADT + 36, 0xfee00000);
	store_le32(memory + MADT + 40, 1);
	memcpy(memory + MADT + 44, entries, sizeof(entries));
	put_table(MADT, "APIC", 44 + sizeof(entries));
}

static void put_mcfg(void)
{
	store_le64(memory + MCFG + 44, 0xb0000000);
	memory[MCFG + 55] = 255;
	put_table(MCFG, "MCFG", 60);
}

static void put_dsdt(const uint8_t *aml, uint32_t size, uint32_t at)
{
	memset(memory + DSDT, 0, 0x1000);
	memcpy(memory + DSDT + at, aml, size);
	put_table(DSDT, "DSDT", at + size);
}

static const uint8_t soft_off[] = {
	0x08, '_', 'S', '5', '_', 0x12, 0x06, 0x04, 0x0a, 0x05, 0x01, 0x00, 0x00
};

static int begin_good(void **state)
{
	(void)state;
	memset(memory, 0, sizeof(memory));
	put_dsdt(soft_off, sizeof(soft_off), 36);
	put_fadt();
	put_madt();
	put_mcfg();
	put_root();
	return 0;
}

static void assert_problem(const char *part)
{
	assert_int_not_equal(info.problem_count, 0);
	if (!strstr(info.problem, part))
		fail_msg("problem is \"%s\", expected \"%s\" in it", info.problem, part);
}

static void good_tables_are_read(void **state)
{
	(void)state;
	assert_int_equal(parse(BASE), 0);
	assert_int_equal(info.problem_count, 0);
	assert_true(info.present);
	assert_string_equal(info.oem, "YOKE  ");
	assert_int_equal(info.table_count, 3);
	assert_int_equal(info.pm_timer_port, 0x608);
	assert_int_equal(info.pm1a_control_port, 0x604);
	assert_int_equal(info.pm1b_control_port, 0);
	assert_int_equal(info.smi_command_port, 0xb2);
	assert_int_equal(info.acpi_enable, 0xf1);
	assert_true(info.has_reset);
	assert_true(info.reset.address == 0xcf9);
	assert_int_equal(info.reset_value, 0x0f);
	assert_true(info.has_soft_off);
	assert_int_equal(info.soft_off_type_a, 5);
	assert_int_equal(info.soft_off_type_b, 1);
	assert_true(info.has_madt && info.has_legacy_pic);
	assert_int_equal(info.cpu_count, 2);
	assert_int_equal(info.cpu_apic_ids[0], 0);
	assert_int_equal(info.cpu_apic_ids[1], 0x1234);
	assert_int_equal(info.io_apic_count, 1);
	assert_true(info.local_apic_address == 0xfee00000);
	assert_int_equal(info.segment_count, 1);
	assert_true(info.segments[0].base == 0xb0000000);
	assert_int_equal(info.segments[0].bus_last, 255);
}

static void root_pointer_is_found_where_the_bios_keeps_it(void **state)
{
	(void)state;
	assert_int_equal(parse(0), 0);
	memmove(memory + 0x1fff0 - 32, memory, 36); /* the last place but two */
	memset(memory, 0, 36);
	assert_int_equal(parse(0), 0);
	memset(memory + 0x1fff0 - 32, 0, 36);
	assert_int_equal(parse(0), -ENOENT);
	assert_int_equal(parse(BASE), -EINVAL);
	assert_false(info.present);
}

static void broken_roots_are_told(void **state)
{
	(void)state;
	memory[RSDP + 9]++;
	assert_int_equal(parse(BASE), -EINVAL);
	assert_problem("checksum");
	begin_good(NULL);
	memory[RSDP + 33]++; /* only the extended sum: the first part still leads to the RSDT */
	assert_int_equal(parse(BASE), 0);
	assert_problem("extended");
	assert_int_equal(info.table_count, 1);
	begin_good(NULL);
	memory[XSDT + 40]++; /* the RSDT is what is left */
	assert_int_equal(parse(BASE), 0);
	assert_problem("XSDT");
	assert_true(info.has_madt);
	assert_false(info.has_fadt);
	memory[RSDT + 20]++;
	assert_int_equal(parse(BASE), -EINVAL);
}

static void broken_tables_are_left_out(void **state)
{
	(void)state;
	memory[FADT + 60]++;
	assert_int_equal(parse(BASE), 0);
	assert_problem("FACP at 0xe3000: wrong checksum");
	assert_false(info.has_fadt);
	assert_true(info.has_madt);
	begin_good(NULL);
	put_table(MADT, "APIC", 20);
	assert_int_equal(parse(BASE), 0);
	assert_problem("APIC at 0xe4000: length 20");
	begin_good(NULL);
	put_table(MADT, "APIC", 40);
	assert_int_equal(parse(BASE), 0);
	assert_problem("APIC: length 40 is too short");
	begin_good(NULL);
	store_le32(memory + MADT + 4, 0xffffffff);
	assert_int_equal(parse(BASE), 0);
	assert_problem("length 4294967295");
	begin_good(NULL);
	put_table(FADT, "FACP", 100);
	assert_int_equal(parse(BASE), 0);
	assert_problem("FACP: length 100");
	begin_good(NULL);
	store_le64(memory + XSDT + 36, UINT64_C(0xfffffffffffffff0));
	put_table(XSDT, "XSDT", 60);
	assert_int_equal(parse(BASE), 0);
	assert_problem("not readable");
}

static void broken_entries_end_their_list(void **state)
{
	(void)state;
	memory[MADT + 44 + 1] = 0; /* an entry of length 0 would never end */
	put_table(MADT, "APIC", load_le32(memory + MADT + 4));
	assert_int_equal(parse(BASE), 0);
	assert_problem("entry at offset 44 has length 0");
	assert_int_equal(info.cpu_count, 0);
	begin_good(NULL);
	memory[MADT + 44 + 1] = 200;
	put_table(MADT, "APIC", load_le32(memory + MADT + 4));
	assert_int_equal(parse(BASE), 0);
	assert_problem("has length 200");
	begin_good(NULL);
	memory[MCFG + 54] = 9;
	memory[MCFG + 55] = 8;
	put_table(MCFG, "MCFG", 60);
	assert_int_equal(parse(BASE), 0);
	assert_problem("buses 9 to 8");
	assert_int_equal(info.segment_count, 0);
}

static void soft_off_is_read_only_when_plain(void **state)
{
	uint8_t odd[sizeof(soft_off)];

	(void)state;
	memcpy(odd, soft_off, sizeof(odd));
	odd[8] = 0x0b; /* a word, not a byte */
	put_dsdt(odd, sizeof(odd), 36);
	assert_int_equal(parse(BASE), 0);
	assert_false(info.has_soft_off);
	odd[8] = 0x0a;
	odd[9] = 8; /* three bits only */
	put_dsdt(odd, sizeof(odd), 36);
	assert_int_equal(parse(BASE), 0);
	assert_false(info.has_soft_off);
	/* At every offset, so also across the windows in which it is looked for. */
	for (uint32_t at = 36; at < 900; at++) {
		put_dsdt(soft_off, sizeof(soft_off), at);
		assert_int_equal(parse(BASE), 0);
		assert_true(info.has_soft_off);
		assert_int_equal(info.soft_off_type_a, 5);
	}
	put_dsdt(soft_off, 6, 36); /* cut off */
	assert_int_equal(parse(BASE), 0);
	assert_false(info.has_soft_off);
}

static void absurd_registers_are_not_used(void **state)
{
	(void)state;
	store_le32(memory + FADT + 76, 0x10608);
	store_le64(memory + FADT + 120, 0x10cf9);
	put_table(FADT, "FACP", 244);
	assert_int_equal(parse(BASE), 0);
	assert_int_equal(info.pm_timer_port, 0);
	assert_false(info.has_reset);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(good_tables_are_read, begin_good),
		cmocka_unit_test_setup(root_pointer_is_found_where_the_bios_keeps_it, begin_good),
		cmocka_unit_test_setup(broken_roots_are_told, begin_good),
		cmocka_unit_test_setup(broken_tables_are_left_out, begin_good),
		cmocka_unit_test_setup(broken_entries_end_their_list, begin_good),
		cmocka_unit_test_setup(soft_off_is_read_only_when_plain, begin_good),
		cmocka_unit_test_setup(absurd_registers_are_not_used, begin_good),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
