/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Step counter of the bench: under QEMU's `-icount shift=0` virtual time is one
 * nanosecond an instruction, so the TSC counts retired instructions, and the local
 * APIC's timer (1 ns a tick, divider 1) fires at an exact one. What is left to know
 * is the length of our own path, which is straight code in svm/run.S:
 *
 *     TSC difference around a run = instructions of the guest + exit_cost
 *     timer count = instructions until the guest stops + entry_cost
 *
 * Both are measured with two tiny guests (icount_guest.S), then a third runs whole
 * and in random slices, and must come out the same each time: total, registers and
 * memory. Without -icount the first measurement already varies.
 */
#include <string.h>

#include "include/assert.h"
#include "include/crc32c.h"
#include "include/random.h"
#include "include/trace.h"
#include "kernel/icount_guest.h"
#include "kernel/page_map.h"
#include "kernel/pages.h"
#include "kernel/step_counter.h"
#include "kernel/vcpu.h"

TRACE_FILE("icount", TRACE_INFO);

#define CALIBRATION_ROUNDS 16
#define TEST_RUNS 48
#define TEST_EXIT_MAX 100000 /* a run that is not over by then hangs */
#define LOOP_TIMER_FIRST 2000

#define SEGMENT_CODE_32                                                                                      \
	(VCPU_SEGMENT_PRESENT | VCPU_SEGMENT_CODE_DATA | VCPU_SEGMENT_DEFAULT_32 | VCPU_SEGMENT_GRANULAR |   \
	 0xb)
#define SEGMENT_DATA_32                                                                                      \
	(VCPU_SEGMENT_PRESENT | VCPU_SEGMENT_CODE_DATA | VCPU_SEGMENT_DEFAULT_32 | VCPU_SEGMENT_GRANULAR |   \
	 0x3)

struct test_outcome {
	uint64_t steps;
	uint64_t slices;
	uint32_t registers; /* digests */
	uint32_t memory;
};

static uint8_t *test_memory;

static uint32_t icount_timer_count(const struct step_counter *counter, uint64_t steps)
{
	return (uint32_t)min_u64(steps + counter->entry_cost, UINT32_MAX);
}

static uint64_t icount_retired(const struct step_counter *counter, uint64_t tsc_entry, uint64_t tsc_exit)
{
	return tsc_exit - tsc_entry - counter->exit_cost;
}

static const struct step_counter_ops icount_ops = {
	.name = "icount",
	.unit = "instructions",
	.timer_count = icount_timer_count,
	.retired = icount_retired,
};

/* Constants 0: readings as they are. */
static const struct step_counter uncalibrated = { .ops = &icount_ops };

/* Flat code without paging: RIP is the guest-physical address. */
static void fetch_flat(void *owner, const struct vcpu_state *state, struct vcpu_code *code)
{
	uint64_t size = state->rip < ICOUNT_GUEST_SIZE ? ICOUNT_GUEST_SIZE - state->rip : 0;

	(void)owner;
	code->bytes = test_memory + state->rip;
	code->size = (uint32_t)min_u64(size, VCPU_INSTRUCTION_SIZE_MAX);
	code->in_place = true;
}

/* 32-bit protected mode, flat, at `entry`, with the descriptor tables that icount_guest.S brings. */
static int start_guest(struct vcpu *vcpu, uint64_t memory_physical, uint64_t entry)
{
	struct vcpu_state *state = &vcpu->state;
	int result;

	memset(test_memory, 0, ICOUNT_GUEST_SIZE);
	memcpy(test_memory + ICOUNT_GUEST_CODE, icount_guest_start,
	       (uint64_t)(icount_guest_end - icount_guest_start));
	vcpu_reset(vcpu, fetch_flat, NULL);
	result = vcpu->ops->map(vcpu, 0, memory_physical, ICOUNT_GUEST_SIZE);
	if (result)
		return result;
	for (uint32_t i = VCPU_ES; i <= VCPU_GS; i++)
		state->segments[i] = (struct vcpu_segment){ .limit = UINT32_MAX,
							    .selector = ICOUNT_GUEST_DATA_SELECTOR,
							    .attributes = SEGMENT_DATA_32 };
	state->segments[VCPU_CS].selector = ICOUNT_GUEST_CODE_SELECTOR;
	state->segments[VCPU_CS].attributes = SEGMENT_CODE_32;
	state->cr0 = VCPU_CR0_PE | VCPU_CR0_ET | VCPU_CR0_NE;
	state->rip = entry;
	state->gpr[VCPU_RSP] = ICOUNT_GUEST_STACK;
	vcpu_load(vcpu);
	return 0;
}

static uint64_t guest_address(const uint8_t *label)
{
	return ICOUNT_GUEST_CODE + (uint64_t)(label - icount_guest_start);
}

/* A guest that exits at its first instruction: what is left is our own path. */
static const char *measure_exit_cost(struct step_counter *counter, struct vcpu *vcpu, uint64_t memory)
{
	struct vcpu_exit exit;

	for (uint32_t i = 0; i < CALIBRATION_ROUNDS; i++) {
		if (start_guest(vcpu, memory, guest_address(icount_guest_exit)))
			return "no memory for the self-test";
		vcpu->ops->run(vcpu, UINT32_MAX, &exit);
		if (exit.kind != VCPU_EXIT_HYPERCALL)
			return "a guest of one instruction did not run";
		if (i > 0 && exit.steps != counter->exit_cost)
			return "the same path took a different count: this TSC does not count instructions";
		counter->exit_cost = exit.steps;
	}
	return NULL;
}

/* A guest that counts its own instructions: two to a round of INC ECX; JMP. */
static const char *measure_entry_cost(struct step_counter *counter, struct vcpu *vcpu, uint64_t memory)
{
	struct vcpu_exit exit;

	for (uint32_t i = 0; i < CALIBRATION_ROUNDS; i++) {
		uint32_t timer_count = LOOP_TIMER_FIRST + i * 1237;
		uint64_t retired;

		if (start_guest(vcpu, memory, guest_address(icount_guest_loop)))
			return "no memory for the self-test";
		vcpu->ops->run(vcpu, timer_count, &exit);
		if (exit.kind != VCPU_EXIT_SLICE_END)
			return "the slice timer does not end a slice";
		retired = 2 * vcpu->state.gpr[VCPU_RCX];
		if (vcpu->state.rip != guest_address(icount_guest_loop))
			retired--;
		if (exit.steps != retired + counter->exit_cost)
			return "the TSC and the guest's own count differ";
		if (retired > timer_count || (i > 0 && timer_count - retired != counter->entry_cost))
			return "the slice timer does not stop at an exact instruction";
		counter->entry_cost = timer_count - retired;
	}
	return NULL;
}

/* mean 0: whole. Every slice must end exactly where it was told to, or one step behind (a shadow). */
static const char *run_test_guest(struct vcpu *vcpu, uint64_t memory, uint64_t slice_mean, uint64_t *seed,
				  struct test_outcome *outcome)
{
	struct vcpu_exit exit;

	memset(outcome, 0, sizeof(*outcome));
	if (start_guest(vcpu, memory, guest_address(icount_guest_test)))
		return "no memory for the self-test";
	do {
		uint64_t wanted = slice_mean ? random_around(seed, slice_mean) : UINT32_MAX / 2;

		vcpu_run(vcpu, wanted, &exit);
		outcome->steps += exit.steps;
		outcome->slices++;
		if (exit.kind == VCPU_EXIT_SLICE_END && slice_mean && exit.steps != wanted &&
		    exit.steps != wanted + 1)
			return "a slice did not end at its exact step";
		if (outcome->slices > TEST_EXIT_MAX)
			return "the test guest does not come to its end";
	} while (exit.kind == VCPU_EXIT_SLICE_END);
	if (exit.kind != VCPU_EXIT_HYPERCALL)
		return "the test guest ended otherwise than it should";
	outcome->registers = crc32c(0, vcpu->state.gpr, sizeof(vcpu->state.gpr));
	outcome->memory = crc32c(0, test_memory, ICOUNT_GUEST_SIZE);
	return NULL;
}

static const char *self_test(struct step_counter *counter, struct vcpu *vcpu, uint64_t memory)
{
	static const uint64_t slice_means[] = { 1000, 300, 5000, 50, 2000 };
	uint64_t seed = UINT64_C(0x9e3779b97f4a7c15);
	struct test_outcome whole;
	struct test_outcome sliced;
	const char *reason = run_test_guest(vcpu, memory, 0, &seed, &whole);

	if (reason)
		return reason;
	counter->test_steps = whole.steps;
	for (counter->test_runs = 0; counter->test_runs < TEST_RUNS; counter->test_runs++) {
		uint64_t mean = slice_means[counter->test_runs % ARRAY_SIZE(slice_means)];

		reason = run_test_guest(vcpu, memory, mean, &seed, &sliced);
		if (reason)
			return reason;
		counter->test_slices += sliced.slices;
		if (sliced.steps != whole.steps)
			return "the same guest took a different count when it ran in slices";
		if (sliced.registers != whole.registers || sliced.memory != whole.memory)
			return "the same guest came to another result when it ran in slices";
	}
	return NULL;
}

void step_counter_init(struct step_counter *counter, struct vcpu *vcpu)
{
	uint64_t memory = pages_allocate(ICOUNT_GUEST_SIZE / PAGE_SIZE, PAGE_SIZE);

	*counter = uncalibrated;
	vcpu->counter = &uncalibrated;
	if (memory) {
		test_memory = pages_pointer(memory);
		counter->reason = measure_exit_cost(counter, vcpu, memory);
	} else {
		counter->reason = "no memory for the self-test";
	}
	if (!counter->reason)
		counter->reason = measure_entry_cost(counter, vcpu, memory);
	vcpu->counter = counter;
	if (!counter->reason)
		counter->reason = self_test(counter, vcpu, memory);
	counter->exact = !counter->reason;
	if (counter->exact)
		trace(TRACE_INFO,
		      "%s is exact: %lu runs of %lu %s in %lu slices, exit cost %lu, entry cost %lu",
		      counter->ops->name, counter->test_runs, counter->test_steps, counter->ops->unit,
		      counter->test_slices, counter->exit_cost, counter->entry_cost);
	else
		trace(TRACE_WARNING, "step counter is not exact, so no record, replay or duplex: %s",
		      counter->reason);
}
