/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's own clock: nanoseconds since power-on from the TSC, calibrated at
 * start-up. Never the guest's clock: what the guest is told goes through the log.
 */
#ifndef KERNEL_TIME_H
#define KERNEL_TIME_H

#include "include/bits.h"

#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)

/* Nanoseconds since power-on; never goes back. */
uint64_t time_now_ns(void);

/* Waits without letting go of the processor. For device start-up, never in the main loop. */
void time_delay_us(uint64_t delay_us);

/*
 * Bounded waits are written
 *     uint64_t deadline_ns = time_now_ns() + 100 * NS_PER_MS;
 *     while (!done())
 *             if (time_reached(deadline_ns))
 *                     return trace_error(-ETIMEDOUT);
 */
static inline bool time_reached(uint64_t deadline_ns)
{
	return (int64_t)(time_now_ns() - deadline_ns) >= 0;
}

#endif
