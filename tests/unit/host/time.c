/* SPDX-License-Identifier: Apache-2.0 */
/* The clock of host tests: see time.h. */
#include "tests/unit/host/time.h"

static uint64_t clock_ns = NS_PER_S;

uint64_t time_now_ns(void)
{
	clock_ns += HOST_TIME_STEP_NS;
	return clock_ns;
}

void time_delay_us(uint64_t delay_us)
{
	clock_ns += delay_us * NS_PER_US;
}

void host_time_set_ns(uint64_t now_ns)
{
	clock_ns = now_ns;
}

void host_time_advance_ns(uint64_t duration_ns)
{
	clock_ns += duration_ns;
}

uint64_t host_time_peek_ns(void)
{
	return clock_ns;
}
