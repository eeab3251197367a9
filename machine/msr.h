/* SPDX-License-Identifier: Apache-2.0 */
/* Model-specific registers of the platform that no other file owns: TSC, MTRRs, machine check, AMD's own. */
#ifndef MACHINE_MSR_H
#define MACHINE_MSR_H

#include "include/bits.h"

struct machine;

#define MACHINE_MTRR_VARIABLE_COUNT 8
#define MACHINE_MTRR_FIXED_COUNT 11

struct machine_mtrr_range {
	uint64_t base;
	uint64_t mask;
};

struct machine_msr {
	uint64_t tsc_offset; /* TSC - now_ns */
	uint64_t machine_check_status;
	uint64_t hardware_configuration; /* HWCR */
	uint64_t decode_configuration;	 /* DE_CFG */
	uint64_t system_configuration;	 /* SYSCFG */
	uint64_t mtrr_default;
	uint64_t mtrr_fixed[MACHINE_MTRR_FIXED_COUNT];
	struct machine_mtrr_range mtrr_variable[MACHINE_MTRR_VARIABLE_COUNT];
};

void machine_msr_reset(struct machine *machine);

/* machine_reads_time() for MSRs. */
bool machine_msr_reads_time(uint32_t msr, bool is_write);

/* Memory types as firmware sets them up: write-back, but for the devices below 4 GiB. For the direct boot. */
void machine_msr_mtrr_setup(struct machine *machine);

#endif
