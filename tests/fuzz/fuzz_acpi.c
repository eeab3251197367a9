/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI's static tables. The input is one byte of options, the BIOS's word for the
 * extended data area, and then memory from 0xe0000 on; everything else is not
 * readable. With OPTION_MEND the checksums are put right first: a mutation that a
 * checksum refuses would test the checksum only.
 */
#include <errno.h>
#include <string.h>

#include "include/byte_order.h"
#include "kernel/acpi.h"
#include "tests/fuzz/fuzz.h"

#define MEMORY_BASE 0xe0000
#define MEMORY_SIZE_MAX 0x20000
#define EBDA_WORD 0x40e
#define HEAD_SIZE 3

#define OPTION_MEND 0x01
#define OPTION_SEARCH 0xf0 /* all of them: no root pointer is given; looking for it is slow */

static uint8_t memory_bytes[MEMORY_SIZE_MAX];
static size_t memory_size;
static uint8_t ebda_word[2];
static uint64_t read_count;

static bool memory_read(void *context, uint64_t physical, void *to, uint64_t size)
{
	FUZZ_CHECK(context == &memory_size);
	FUZZ_CHECK(size > 0 && size <= 512);
	read_count++;
	if (physical == EBDA_WORD && size == sizeof(ebda_word)) {
		memcpy(to, ebda_word, size);
		return true;
	}
	if (physical < MEMORY_BASE || !range_fits(physical - MEMORY_BASE, size, memory_size))
		return false;
	memcpy(to, memory_bytes + (physical - MEMORY_BASE), size);
	return true;
}

/* Makes the bytes of [at, at + size) add up to 0 by the one at `place`. */
static void sum_mend(size_t at, size_t size, size_t place)
{
	uint8_t sum = 0;

	for (size_t i = at; i < at + size; i++)
		sum = (uint8_t)(sum + memory_bytes[i]);
	memory_bytes[place] = (uint8_t)(memory_bytes[place] - sum);
}

static void tables_mend(void)
{
	static const char signatures[][5] = { "XSDT", "RSDT", "FACP", "APIC", "MCFG", "DSDT", "SSDT" };

	for (size_t at = 0; at + 36 <= memory_size; at++) {
		uint32_t signature = load_le32(memory_bytes + at);
		uint32_t size = load_le32(memory_bytes + at + 4);

		if (signature == load_le32("RSD ") && size == load_le32("PTR ")) {
			sum_mend(at, 20, at + 8);
			sum_mend(at, 36, at + 32);
		}
		for (size_t i = 0; i < ARRAY_SIZE(signatures); i++)
			if (signature == load_le32(signatures[i]) && size >= 36 &&
			    range_fits(at, size, memory_size))
				sum_mend(at, size, at + 9);
	}
}

static void check_accepted(const struct acpi_info *info)
{
	FUZZ_CHECK(info->present);
	FUZZ_CHECK(strnlen(info->oem, sizeof(info->oem)) < sizeof(info->oem));
	FUZZ_CHECK(info->table_count <= ACPI_TABLE_MAX);
	FUZZ_CHECK(info->segment_count <= ACPI_SEGMENT_MAX);
	for (uint32_t i = 0; i < info->segment_count; i++) {
		const struct acpi_segment *segment = &info->segments[i];

		FUZZ_CHECK(segment->base != 0 && is_aligned(segment->base, MIB));
		FUZZ_CHECK(segment->bus_first <= segment->bus_last);
		FUZZ_CHECK(range_fits(segment->base, 256 * MIB, BIT(52)));
	}
	FUZZ_CHECK(info->cpu_count == 0 || info->has_madt);
	FUZZ_CHECK(!info->has_soft_off || (info->soft_off_type_a < 8 && info->soft_off_type_b < 8));
	FUZZ_CHECK(!info->has_reset || info->reset.space == ACPI_SPACE_MEMORY ||
		   info->reset.address <= UINT16_MAX);
	FUZZ_CHECK(info->has_fadt || (!info->has_reset && !info->has_soft_off && info->pm_timer_port == 0));
}

static void check_problem(const struct acpi_info *info)
{
	FUZZ_CHECK((info->problem_count > 0) == (info->problem[0] != '\0'));
	FUZZ_CHECK(strnlen(info->problem, ACPI_PROBLEM_SIZE) < ACPI_PROBLEM_SIZE);
	for (const char *at = info->problem; *at != '\0'; at++)
		FUZZ_CHECK(*at >= ' ' && *at <= '~');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct acpi_memory memory = { .read = memory_read, .context = &memory_size };
	struct acpi_info info;
	uint8_t options;
	int result;

	if (size < HEAD_SIZE) {
		fuzz_verdict(false);
		return 0;
	}
	options = data[0];
	memcpy(ebda_word, data + 1, sizeof(ebda_word));
	memory_size = min_u64(size - HEAD_SIZE, MEMORY_SIZE_MAX);
	memcpy(memory_bytes, data + HEAD_SIZE, memory_size);
	if (options & OPTION_MEND)
		tables_mend();

	read_count = 0;
	memset(&info, 0xee, sizeof(info));
	result = acpi_parse(&memory, (options & OPTION_SEARCH) == OPTION_SEARCH ? 0 : MEMORY_BASE, &info);
	/* Bounded work, however the tables point at each other. */
	FUZZ_CHECK(read_count < 100000);
	fuzz_verdict(result == 0);
	FUZZ_CHECK(result == 0 || result == -ENOENT || result == -EINVAL);
	check_problem(&info);
	if (result == 0)
		check_accepted(&info);
	else
		FUZZ_CHECK(result == -ENOENT || info.problem_count > 0);
	return 0;
}
