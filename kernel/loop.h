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
/*
 * Without work for so long before the first sleep: what follows quickly (a peer's
 * answer, the next key of a paste) is taken at once. Also longer than four
 * characters at 9600 baud: QEMU 7.2 with -icount loses a sleeping processor's
 * wake-up when its UART's FIFO time-out, armed by a character, passes in the sleep.
 */
#define LOOP_AWAKE_US 5000

struct loop_service {
	const char *name;
	bool (*poll)(void); /* never waits; true when it did something */
};

/* Adds a service; polled in the order of adding. Start-up only. */
void loop_add(const char *name, bool (*poll)(void));

_Noreturn void loop_run(void);

/* One round of all services; true when one of them did something. For self-tests too. */
bool loop_round(void);

struct loop_statistics {
	uint64_t rounds;
	uint64_t sleeps;
	uint64_t sleep_ns;
};
void loop_statistics(struct loop_statistics *statistics);

#endif
