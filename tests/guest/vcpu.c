/* SPDX-License-Identifier: Apache-2.0 */
/* The step counter proves itself at boot; here the proof must succeed, and must be able to fail. */
#include "include/trace.h"
#include "kernel/apic.h"
#include "kernel/self_test.h"
#include "kernel/step_counter.h"
#include "kernel/vcpu.h"

TRACE_FILE("test", TRACE_DEBUG);

static struct vcpu vcpu;
static struct step_counter counter;

SELF_TEST(step_counter)
{
	SELF_TEST_CHECK(vcpu_init(&vcpu, apic_timer_register(), 0) == 0);
	step_counter_init(&counter, &vcpu);
	SELF_TEST_CHECK(counter.exact);
	SELF_TEST_CHECK(counter.test_slices > 1000);
	return 0;
}

/* Started without -icount: time passes in the guest that has nothing to do with its instructions. */
SELF_TEST(step_counter_refuses)
{
	SELF_TEST_CHECK(vcpu_init(&vcpu, apic_timer_register(), 0) == 0);
	step_counter_init(&counter, &vcpu);
	SELF_TEST_CHECK(!counter.exact);
	SELF_TEST_CHECK(counter.reason);
	return 0;
}
