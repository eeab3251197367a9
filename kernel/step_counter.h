/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The unit in which positions count, and the way to stop at one. Which counter is
 * right depends on the processor; it is chosen at boot and proves itself there:
 *
 *   icount   QEMU's -icount: the TSC counts retired instructions (kernel/icount.c)
 *   pmc      real processors: retired conditional branches (to come)
 *
 * A counter that could not prove itself is not exact: the guest may run, but
 * positions mean nothing, so this server must not record, replay or run in duplex.
 */
#ifndef KERNEL_STEP_COUNTER_H
#define KERNEL_STEP_COUNTER_H

#include "include/bits.h"

struct step_counter;
struct vcpu;

struct step_counter_ops {
	const char *name;
	const char *unit; /* what one step is, for people */

	/*
	 * Count for the slice timer, written right before the entry, so that the guest
	 * stops after `steps` (at least 1) steps.
	 */
	uint32_t (*timer_count)(const struct step_counter *counter, uint64_t steps);

	/* Steps that the guest retired between the two TSC readings around the run. */
	uint64_t (*retired)(const struct step_counter *counter, uint64_t tsc_entry, uint64_t tsc_exit);
};

struct step_counter {
	const struct step_counter_ops *ops;
	bool exact;	     /* self-test passed */
	const char *reason;  /* why not, otherwise */
	uint64_t exit_cost;  /* TSC ticks from reading to reading of a run that retires nothing */
	uint64_t entry_cost; /* timer ticks from the timer's start to the guest's first instruction */
	uint64_t test_runs;  /* of the self-test */
	uint64_t test_slices;
	uint64_t test_steps; /* of one run: the same in all */
};

/*
 * Chooses a counter, measures its constants and runs the self-test, with `vcpu`,
 * which is left reset. After vcpu_init(), before the guest; takes a second. The
 * outcome is in `counter`: a server without an exact counter works, alone.
 */
void step_counter_init(struct step_counter *counter, struct vcpu *vcpu);

#endif
