/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the hypervisor does for the guest's disks and ports, in stages, and what each costs:
 * TSC ticks, which are instructions under QEMU's -icount. The processor is in one stage
 * at any time; who begins one brings the former back at its end.
 *
 * A round of the main loop that only looked, and found nothing, counts for none: how many
 * of those there are says how long a disk takes, not what a request costs.
 */
#ifndef KERNEL_STAGE_H
#define KERNEL_STAGE_H

#include "include/bits.h"
#include "kernel/cpu.h"

enum stage {
	STAGE_LOOP,	 /* the main loop, and whom else it polls */
	STAGE_PAIR,	 /* links, log, roles */
	STAGE_EXITS,	 /* into the guest and out of it, and what its exits ask for */
	STAGE_QUEUES,	 /* what it has put into its virtqueues is taken */
	STAGE_HAND_OVER, /* and given to a mirror set or a port */
	STAGE_DISK,	 /* mirror sets and disk drivers */
	STAGE_PORT,	 /* network drivers */
	STAGE_DELIVERY,	 /* what has come goes into the guest */
	STAGE_UPKEEP,	 /* ports are opened, and looked after: now and then, whoever uses them */
	STAGE_COUNT
};

struct stages {
	enum stage now;
	bool worked;		      /* in this round */
	uint64_t begun;		      /* TSC, the round */
	uint64_t since;		      /* TSC, the stage */
	uint64_t busy;		      /* ticks of all rounds that worked, the guest's own among them */
	uint64_t ticks[STAGE_COUNT];  /* of all rounds that worked, and this one */
	uint64_t before[STAGE_COUNT]; /* without this one */
};

extern struct stages stages;

/* Begins a stage; returns the one before. */
static inline enum stage stage_enter(enum stage stage)
{
	enum stage before = stages.now;
	uint64_t now = cpu_read_tsc();

	stages.ticks[before] += now - stages.since;
	stages.since = now;
	stages.now = stage;
	return before;
}

/* Ticks that were not ours: the guest's own. */
static inline void stage_take_off(enum stage stage, uint64_t ticks)
{
	stages.ticks[stage] -= ticks;
}

/* This round is no mere look. */
static inline void stage_worked(void)
{
	stages.worked = true;
}

/* Around a round of the main loop. */
void stage_round_begin(void);
void stage_round_end(void);

/* Prints the totals by stage. */
void stage_show(void (*print)(const char *format, ...));

#endif
