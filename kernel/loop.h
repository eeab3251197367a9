/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The main loop: one processor polls every service in turn, for ever. When none
 * had anything to do for a while, it sleeps until the next poll tick, so that an
 * idle server burns neither power nor, on the bench, the other server's core.
 */
#ifndef KERNEL_LOOP_H
#define KERNEL_LOOP_H

#include "include/bits.h"

#define LOOP_SERVICE_MAX 16
/* What a frame waits at worst on an idle server. */
#define LOOP_TICK_US 200
/* Without work for so long before the first sleep: a quick peer's answer is taken at once. */
#define LOOP_SPIN_US 50

struct loop_service {
	const char *name;
	bool (*poll)(void); /* never waits; true when it did something */
};

/* Adds a service; polled in the order of adding. Start-up only. */
void loop_add(const char *name, bool (*poll)(void));

_Noreturn void loop_run(void);

/*
 * No sleep for the next `awake_us`. After a typed character: more keys follow
 * quickly, and QEMU 7.2 with -icount loses a sleeping processor's wake-up when its
 * UART's FIFO time-out, four characters long, passes in the sleep.
 */
void loop_stay_awake(uint64_t awake_us);

/* One round of all services; true when one of them did something. For self-tests too. */
bool loop_round(void);

struct loop_statistics {
	uint64_t rounds;
	uint64_t sleeps;
	uint64_t sleep_ns;
};
void loop_statistics(struct loop_statistics *statistics);

#endif
