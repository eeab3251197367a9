/* SPDX-License-Identifier: Apache-2.0 */
/* The start-up's side of time.h: how fast the TSC runs, and where that is known from. */
#ifndef KERNEL_CLOCK_H
#define KERNEL_CLOCK_H

#include "include/bits.h"

/*
 * Measures the TSC against PIT channel 2, or, when the PIT does not count,
 * against the ACPI PM timer at `pm_timer_port` (0: there is none). Returns 0, or
 * -ENODEV when neither gives a believable rate. time_now_ns() is 0 until then.
 */
int clock_init(uint16_t pm_timer_port);

uint64_t clock_tsc_hz(void);
const char *clock_source(void);

/* Nanoseconds in `ticks` of the TSC. */
uint64_t clock_tsc_to_ns(uint64_t ticks);

/* TSC ticks in `ns` nanoseconds. */
uint64_t clock_ns_to_tsc(uint64_t ns);

#endif
