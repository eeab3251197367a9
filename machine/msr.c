/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Platform MSRs (APM volume 2, appendix A). What is not listed does not exist and
 * raises #GP, reads and writes alike: guests probe for that. Under nested paging
 * the MTRRs change nothing about memory; they are kept because systems look.
 */
#include "machine/msr.h"

#include <string.h>

#include "include/trace.h"
#include "machine/machine.h"

TRACE_FILE("guest-msr", TRACE_INFO);

enum {
	MSR_TSC = 0x10,
	MSR_APIC_BASE = 0x1b,
	MSR_MICROCODE = 0x8b,
	MSR_MTRR_CAPABILITY = 0xfe,
	MSR_MACHINE_CHECK_CAPABILITY = 0x179,
	MSR_MACHINE_CHECK_STATUS = 0x17a,
	MSR_MTRR_VARIABLE = 0x200,
	MSR_MTRR_FIXED_64K = 0x250,
	MSR_MTRR_FIXED_16K = 0x258,
	MSR_MTRR_FIXED_4K = 0x268,
	MSR_MTRR_DEFAULT = 0x2ff,
	MSR_TSC_DEADLINE = 0x6e0,
	MSR_X2APIC = 0x800,
};
#define MSR_SYSTEM_CONFIGURATION UINT32_C(0xc0010010)
#define MSR_HARDWARE_CONFIGURATION UINT32_C(0xc0010015)
#define MSR_TOP_MEMORY UINT32_C(0xc001001a)
#define MSR_TOP_MEMORY_2 UINT32_C(0xc001001d)
#define MSR_NORTHBRIDGE_CONFIGURATION UINT32_C(0xc001001f)
#define MSR_INTERRUPT_PENDING UINT32_C(0xc0010055)
#define MSR_VM_CONTROL UINT32_C(0xc0010114)
#define MSR_DECODE_CONFIGURATION UINT32_C(0xc0011029)

#define MICROCODE_REVISION UINT64_C(0x08001250) /* of the family and model that CPUID tells */
#define MTRR_CAPABILITY (MACHINE_MTRR_VARIABLE_COUNT | BIT(8) | BIT(10)) /* fixed ranges, write combining */
#define MTRR_DEFAULT_WRITABLE UINT64_C(0xcff)
#define MTRR_ENABLED UINT64_C(0xc00) /* all, and the fixed ones */
#define MTRR_WRITE_BACK UINT64_C(6)
#define MTRR_VALID BIT(11)
#define PHYSICAL_MASK UINT64_C(0xffffffffff) /* 40 bits, as CPUID tells */
#define LFENCE_SERIALIZES BIT(1)
#define VM_CONTROL_SVM_DISABLED (BIT(3) | BIT(4)) /* locked, SVM off */
#define HWCR_WRITABLE UINT64_C(0x1000008)	  /* cache flush filter, TSC scaling: kept, of no effect */

void machine_msr_reset(struct machine *machine)
{
	struct machine_msr *msr = &machine->msr;

	memset(msr, 0, sizeof(*msr));
	msr->tsc_offset = 0 - machine->now_ns; /* the TSC begins at 0 */
	msr->decode_configuration = LFENCE_SERIALIZES;
}

void machine_msr_mtrr_setup(struct machine *machine)
{
	struct machine_msr *msr = &machine->msr;
	uint64_t hole = machine_pci_memory_base(machine);

	for (uint32_t i = 0; i < MACHINE_MTRR_FIXED_COUNT; i++)
		msr->mtrr_fixed[i] = UINT64_C(0x0606060606060606);
	msr->mtrr_fixed[2] = 0;		   /* 0xa0000..0xbffff: uncached */
	msr->mtrr_variable[0].base = hole; /* uncached up to 4 GiB; hole is 2 or 3 GiB */
	msr->mtrr_variable[0].mask = (PHYSICAL_MASK & ~(4 * GIB - hole - 1)) | MTRR_VALID;
	msr->mtrr_default = MTRR_WRITE_BACK | MTRR_ENABLED;
}

/* The fixed-range register, or NULL: one of 64 KiB units, two of 16 KiB, eight of 4 KiB. */
static uint64_t *mtrr_fixed(struct machine_msr *msr, uint32_t index)
{
	if (index == MSR_MTRR_FIXED_64K)
		return &msr->mtrr_fixed[0];
	if (index == MSR_MTRR_FIXED_16K || index == MSR_MTRR_FIXED_16K + 1)
		return &msr->mtrr_fixed[1 + index - MSR_MTRR_FIXED_16K];
	if (index >= MSR_MTRR_FIXED_4K && index < MSR_MTRR_FIXED_4K + 8)
		return &msr->mtrr_fixed[3 + index - MSR_MTRR_FIXED_4K];
	return NULL;
}

/* Any MTRR that is stored as written, or NULL. */
static uint64_t *mtrr_find(struct machine_msr *msr, uint32_t index)
{
	uint32_t variable = index - MSR_MTRR_VARIABLE;

	if (index == MSR_MTRR_DEFAULT)
		return &msr->mtrr_default;
	if (index >= MSR_MTRR_VARIABLE && variable < 2 * MACHINE_MTRR_VARIABLE_COUNT) {
		struct machine_mtrr_range *range = &msr->mtrr_variable[variable / 2];

		return variable % 2 ? &range->mask : &range->base;
	}
	return mtrr_fixed(msr, index);
}

static bool is_memory_type(uint64_t type)
{
	return type <= 6 && type != 2 && type != 3;
}

/* Reserved bits and types raise #GP (APM 2, 7.7). */
static bool mtrr_is_valid(uint32_t index, uint64_t value)
{
	uint32_t variable = index - MSR_MTRR_VARIABLE;

	if (index == MSR_MTRR_DEFAULT)
		return !(value & ~MTRR_DEFAULT_WRITABLE) && is_memory_type(value & 0xff);
	if (index >= MSR_MTRR_VARIABLE && variable < 2 * MACHINE_MTRR_VARIABLE_COUNT) {
		if (variable % 2)
			return !(value & ~(PHYSICAL_MASK & ~UINT64_C(0x7ff)));
		return !(value & ~(PHYSICAL_MASK & ~UINT64_C(0xf00))) && is_memory_type(value & 0xff);
	}
	for (uint32_t i = 0; i < 8; i++)
		if (!is_memory_type(value >> i * 8 & 0xff))
			return false;
	return true;
}

bool machine_msr_reads_time(uint32_t index, bool is_write)
{
	uint32_t x2apic = index - MSR_X2APIC;

	if (x2apic <= 0xff)
		return machine_lapic_reads_time(x2apic << 4, is_write);
	return index == MSR_TSC;
}

bool machine_msr_read(struct machine *machine, uint32_t index, uint64_t *value)
{
	struct machine_msr *msr = &machine->msr;
	const uint64_t *mtrr;

	*value = 0;
	switch (index) {
	case MSR_TSC:
		*value = machine_tsc(machine);
		return true;
	case MSR_APIC_BASE:
	case MSR_TSC_DEADLINE:
	case MSR_X2APIC ... MSR_X2APIC + 0xff:
		return machine_lapic_msr_read(machine, index, value);
	case MSR_MICROCODE:
		*value = MICROCODE_REVISION;
		return true;
	case MSR_MTRR_CAPABILITY:
		*value = MTRR_CAPABILITY;
		return true;
	case MSR_MACHINE_CHECK_CAPABILITY: /* no banks */
	case MSR_TOP_MEMORY:
	case MSR_TOP_MEMORY_2:
	case MSR_NORTHBRIDGE_CONFIGURATION:
	case MSR_INTERRUPT_PENDING:
		return true;
	case MSR_MACHINE_CHECK_STATUS:
		*value = msr->machine_check_status;
		return true;
	case MSR_SYSTEM_CONFIGURATION:
		*value = msr->system_configuration;
		return true;
	case MSR_HARDWARE_CONFIGURATION:
		*value = msr->hardware_configuration;
		return true;
	case MSR_VM_CONTROL:
		*value = VM_CONTROL_SVM_DISABLED;
		return true;
	case MSR_DECODE_CONFIGURATION:
		*value = msr->decode_configuration;
		return true;
	default:
		break;
	}
	mtrr = mtrr_find(msr, index);
	if (!mtrr) {
		trace(TRACE_INFO, "read of unknown MSR 0x%x", index);
		return false;
	}
	*value = *mtrr;
	return true;
}

static bool mtrr_write(struct machine *machine, uint32_t index, uint64_t value)
{
	uint64_t *mtrr = mtrr_find(&machine->msr, index);

	if (!mtrr)
		trace(TRACE_INFO, "write of 0x%llx to unknown MSR 0x%x", (unsigned long long)value, index);
	if (!mtrr || !mtrr_is_valid(index, value))
		return false;
	*mtrr = value;
	return true;
}

bool machine_msr_write(struct machine *machine, uint32_t index, uint64_t value)
{
	struct machine_msr *msr = &machine->msr;

	switch (index) {
	case MSR_TSC: /* the deadline in TSC ticks moves with it */
		machine_changed(machine);
		msr->tsc_offset = value - machine->now_ns;
		return true;
	case MSR_APIC_BASE:
	case MSR_TSC_DEADLINE:
	case MSR_X2APIC ... MSR_X2APIC + 0xff:
		return machine_lapic_msr_write(machine, index, value);
	case MSR_MICROCODE: /* firmware writes 0 before it asks for the revision */
	case MSR_NORTHBRIDGE_CONFIGURATION:
	case MSR_INTERRUPT_PENDING:
	case MSR_TOP_MEMORY:
	case MSR_TOP_MEMORY_2:
		return true;
	case MSR_MACHINE_CHECK_STATUS:
		msr->machine_check_status = value;
		return true;
	case MSR_SYSTEM_CONFIGURATION:
		msr->system_configuration = value & UINT64_C(0x7c0000);
		return true;
	case MSR_HARDWARE_CONFIGURATION:
		msr->hardware_configuration = value & HWCR_WRITABLE;
		return true;
	case MSR_DECODE_CONFIGURATION:
		msr->decode_configuration = value | LFENCE_SERIALIZES;
		return true;
	default:
		return mtrr_write(machine, index, value);
	}
}
