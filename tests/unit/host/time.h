/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clock of host tests: stands still but for a small step at every look, so
 * that every bounded wait ends, and for what a test adds.
 */
#ifndef TESTS_UNIT_HOST_TIME_H
#define TESTS_UNIT_HOST_TIME_H

#include "kernel/time.h"

#define HOST_TIME_STEP_NS UINT64_C(1000) /* of each time_now_ns() */

void host_time_set_ns(uint64_t now_ns);
void host_time_advance_ns(uint64_t duration_ns);

/* The time, without the step. */
uint64_t host_time_peek_ns(void);

#endif
