/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an exit costs: instructions of the hypervisor by kind, counted by the TSC
 * under icount, with the real run loop and the real machine, and with the way in and
 * out itself. The target is 400 for each of the frequent kinds; the limits below hold
 * what has been reached, a little above what is measured, so that no change makes it
 * worse unseen.
 */
#include <string.h>

#include "include/trace.h"
#include "kernel/apic.h"
#include "kernel/guest.h"
#include "kernel/self_test.h"

TRACE_FILE("test", TRACE_DEBUG);

#define GUEST_MEMORY (32 * MIB)
#define POLLS_MAX 1000
#define ROUNDS_MIN 190 /* of the guest's 200, a few end slices */

/* In the order in which the guest does them. */
static const struct phase {
	const char *what;
	uint32_t kind;
	uint64_t cost_max;
} phases[] = {
	{ "CPUID", VCPU_EXIT_CPUID, 365 },
	{ "RDTSC", VCPU_EXIT_TSC, 370 },
	{ "IN of the 8254, with the time", VCPU_EXIT_PORT, 400 },
	{ "OUT to nothing", VCPU_EXIT_PORT, 350 },
	{ "IN of COM1's status", VCPU_EXIT_PORT, 365 },
	{ "IN of the 8259's mask", VCPU_EXIT_PORT, 375 },
	{ "RDMSR of the APIC base", VCPU_EXIT_MSR, 395 },
	{ "RDMSR of an MTRR", VCPU_EXIT_MSR, 390 },
	{ "MMIO of the local APIC", VCPU_EXIT_MEMORY, 2100 },
};

extern const uint8_t exits_guest_image[];
extern const uint8_t exits_guest_image_end[];

static struct guest guest;
static struct step_counter counter;

static void take_output(const struct machine_output *output)
{
	(void)output;
}

static bool no_input(struct machine_input *input)
{
	(void)input;
	return false;
}

static void no_slice_end(void)
{
}

static int no_log(struct machine_input *input)
{
	(void)input;
	return 0;
}

static void no_trail(const struct position *here, const struct guest_digest *digest)
{
	(void)here;
	(void)digest;
}

static int check_phase(const struct phase *phase)
{
	const struct guest_exit_count *count = &guest.exits[phase->kind];
	uint64_t cost;

	memset(guest.exits, 0, sizeof(guest.exits));
	guest.vcpu.state.activity = VCPU_RUNNING;
	for (uint32_t i = 0; i < POLLS_MAX && guest.vcpu.state.activity == VCPU_RUNNING; i++)
		guest_poll(&guest);
	SELF_TEST_CHECK(guest.state == GUEST_RUNNING);
	SELF_TEST_CHECK(guest.vcpu.state.activity == VCPU_HALTED);
	SELF_TEST_CHECK(count->count >= ROUNDS_MIN);
	cost = count->ticks / count->count + counter.exit_cost;
	trace(TRACE_INFO, "%s: %lu instructions", phase->what, cost);
	SELF_TEST_CHECK(cost <= phase->cost_max);
	return 0;
}

SELF_TEST(guest_exits)
{
	static const struct guest_outside outside = {
		.output = take_output,
		.input = no_input,
		.slice_end = no_slice_end,
		.replayed = no_log,
		.checked = no_trail,
	};
	static struct machine_config config;
	const struct guest_boot boot = {
		.kernel = exits_guest_image,
		.kernel_size = (uint64_t)(exits_guest_image_end - exits_guest_image),
		.command_line = "",
	};
	const char *wrong;

	SELF_TEST_CHECK(vcpu_init(&guest.vcpu, apic_timer_register(), GUEST_MEMORY) == 0);
	step_counter_init(&counter, &guest.vcpu);
	SELF_TEST_CHECK(counter.exact);
	config.memory_size = GUEST_MEMORY;
	wrong = guest_init(&guest, &config, 0, &counter, &outside);
	if (!wrong)
		wrong = guest_prepare(&guest, &boot);
	if (!wrong)
		wrong = guest_start(&guest);
	if (wrong)
		trace(TRACE_ERROR, "%s", wrong);
	SELF_TEST_CHECK(!wrong);
	for (uint32_t i = 0; i < ARRAY_SIZE(phases); i++)
		SELF_TEST_CHECK(check_phase(&phases[i]) == 0);
	return 0;
}
