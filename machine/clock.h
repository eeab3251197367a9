/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conversions between nanoseconds and the ticks of a crystal, exact and without
 * overflow for any 64-bit nanosecond value and frequencies up to 4 GHz: whole
 * seconds and the rest are converted apart.
 */
#ifndef MACHINE_CLOCK_H
#define MACHINE_CLOCK_H

#include "include/bits.h"

#define CLOCK_NS_PER_S UINT64_C(1000000000)

/*
 * No timer repeats faster than this: a guest that programs one of 1 ns would have
 * its server do nothing but tick.
 */
#define CLOCK_PERIOD_MIN_NS UINT64_C(20000)

/* Ticks that are complete at `ns`. */
static inline uint64_t clock_ticks(uint64_t ns, uint64_t frequency_hz)
{
	return ns / CLOCK_NS_PER_S * frequency_hz + ns % CLOCK_NS_PER_S * frequency_hz / CLOCK_NS_PER_S;
}

/* The first nanosecond at which `ticks` are complete. */
static inline uint64_t clock_ns(uint64_t ticks, uint64_t frequency_hz)
{
	return ticks / frequency_hz * CLOCK_NS_PER_S +
	       (ticks % frequency_hz * CLOCK_NS_PER_S + frequency_hz - 1) / frequency_hz;
}

#endif
