/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Machine-check architecture (AMD64 Architecture Programmer's Manual 2, chapter
 * 9): banks of four MSRs (control, status, address, miscellaneous).
 */
#include "kernel/mce.h"

#include "include/trace.h"
#include "kernel/cpu.h"
#include "kernel/fail_stop.h"
#include "kernel/trap.h"

TRACE_FILE("mce", TRACE_INFO);

#define MSR_CAPABILITY 0x179
#define CAPABILITY_COUNT_MASK 0xff
#define CAPABILITY_CONTROL BIT(8)
#define MSR_STATUS 0x17a
#define MSR_CONTROL 0x17b
#define MSR_BANK(bank) (0x400u + 4u * (bank))
#define BANK_CONTROL 0
#define BANK_STATUS 1
#define BANK_ADDRESS 2
#define BANK_MISCELLANEOUS 3

#define STATUS_VALID BIT(63)
#define STATUS_OVERFLOW BIT(62)
#define STATUS_UNCORRECTED BIT(61)
#define STATUS_MISCELLANEOUS_VALID BIT(59)
#define STATUS_ADDRESS_VALID BIT(58)
#define STATUS_CONTEXT_CORRUPT BIT(57)
#define STATUS_CODE_MASK 0xffff

#define BANK_MAX 64

static uint32_t bank_count;
static uint64_t error_count;

/* Tells and clears one bank; false when it holds nothing. */
static bool report_bank(uint32_t bank, const char *when)
{
	uint64_t status = cpu_read_msr(MSR_BANK(bank) + BANK_STATUS);
	uint64_t address = 0;
	uint64_t miscellaneous = 0;

	if (!(status & STATUS_VALID))
		return false;
	if (status & STATUS_ADDRESS_VALID)
		address = cpu_read_msr(MSR_BANK(bank) + BANK_ADDRESS);
	if (status & STATUS_MISCELLANEOUS_VALID)
		miscellaneous = cpu_read_msr(MSR_BANK(bank) + BANK_MISCELLANEOUS);
	trace(TRACE_ERROR,
	      "machine check %s: bank %u %s%s%s, code %#lx, status %#lx, address %#lx, misc %#lx", when, bank,
	      status & STATUS_UNCORRECTED ? "uncorrected" : "corrected",
	      status & STATUS_CONTEXT_CORRUPT ? ", context corrupt" : "",
	      status & STATUS_OVERFLOW ? ", more were lost" : "", (unsigned long)(status & STATUS_CODE_MASK),
	      (unsigned long)status, (unsigned long)address, (unsigned long)miscellaneous);
	cpu_write_msr(MSR_BANK(bank) + BANK_STATUS, 0);
	error_count++;
	return true;
}

static uint32_t report_all(const char *when)
{
	uint32_t reported = 0;

	for (uint32_t bank = 0; bank < bank_count; bank++)
		reported += report_bank(bank, when);
	return reported;
}

static void handle_machine_check(const struct trap_frame *frame)
{
	uint32_t reported = report_all("now");

	cpu_write_msr(MSR_STATUS, 0); /* a second one meanwhile would be a shutdown without a word */
	fail_stop("machine check at %#lx, %u banks report", (unsigned long)frame->rip, reported);
}

uint32_t mce_init(void)
{
	uint64_t capability;

	if (!cpu_facts()->has_machine_check)
		return 0;
	capability = cpu_read_msr(MSR_CAPABILITY);
	bank_count = (uint32_t)min_u64(capability & CAPABILITY_COUNT_MASK, BANK_MAX);
	report_all("before this start");
	if (capability & CAPABILITY_CONTROL)
		cpu_write_msr(MSR_CONTROL, UINT64_MAX);
	for (uint32_t bank = 0; bank < bank_count; bank++)
		cpu_write_msr(MSR_BANK(bank) + BANK_CONTROL, UINT64_MAX);
	trap_set_handler(TRAP_VECTOR_MACHINE_CHECK, handle_machine_check);
	cpu_write_cr4(cpu_read_cr4() | CR4_MACHINE_CHECK);
	return bank_count;
}

uint32_t mce_poll(void)
{
	return report_all("now");
}

uint64_t mce_error_count(void)
{
	return error_count;
}
