/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pages did the guest write? A guest writes all over its memory in random slices;
 * a copy that only ever gets the pages that tracking names must stay equal to it.
 *
 *     test=tracking [slices=N] [seed=N]
 */
#include <stdlib.h>
#include <string.h>

#include "include/random.h"
#include "include/trace.h"
#include "kernel/apic.h"
#include "kernel/page_map.h"
#include "kernel/pages.h"
#include "kernel/self_test.h"
#include "kernel/step_counter.h"
#include "kernel/vcpu.h"

TRACE_FILE("test", TRACE_DEBUG);

#define GUEST_SIZE (6 * MIB)
#define CODE_GPA 0x1000
#define SEGMENT_32                                                                                           \
	(VCPU_SEGMENT_PRESENT | VCPU_SEGMENT_CODE_DATA | VCPU_SEGMENT_DEFAULT_32 | VCPU_SEGMENT_GRANULAR)

extern const uint8_t tracking_guest_start[];
extern const uint8_t tracking_guest_end[];

static struct vcpu vcpu;
static struct step_counter counter;
static uint8_t *memory;
static uint8_t *copy;
static uint64_t seed;
static uint64_t pages_named;
static uint64_t pages_equal; /* named, and nothing had changed */

static uint64_t next_random(void)
{
	return random_next(&seed);
}

static uint64_t option(const char *name, uint64_t otherwise)
{
	char value[BOOT_OPTION_SIZE];

	return self_test_option(name, value) ? strtoul(value, NULL, 10) : otherwise;
}

static void fetch(void *owner, const struct vcpu_state *state, struct vcpu_code *code)
{
	(void)owner;
	code->bytes = memory + state->rip;
	code->size = VCPU_INSTRUCTION_SIZE_MAX;
	code->in_place = true;
}

static int start_guest(uint64_t physical)
{
	struct vcpu_state *state = &vcpu.state;

	memcpy(memory + CODE_GPA, tracking_guest_start,
	       (uint64_t)(tracking_guest_end - tracking_guest_start));
	memcpy(copy, memory, GUEST_SIZE);
	vcpu_reset(&vcpu, fetch, NULL);
	SELF_TEST_CHECK(vcpu.ops->map(&vcpu, 0, physical, GUEST_SIZE) == 0);
	for (uint32_t i = VCPU_ES; i <= VCPU_GS; i++)
		state->segments[i] = (struct vcpu_segment){ .limit = UINT32_MAX,
							    .selector = 16,
							    .attributes = SEGMENT_32 | 3 };
	state->segments[VCPU_CS].selector = 8;
	state->segments[VCPU_CS].attributes = SEGMENT_32 | 0xb;
	state->cr0 = VCPU_CR0_PE | VCPU_CR0_ET | VCPU_CR0_NE;
	state->rip = CODE_GPA;
	state->gpr[VCPU_RAX] = (uint32_t)seed;
	state->gpr[VCPU_RCX] = UINT32_MAX;
	vcpu_load(&vcpu);
	return 0;
}

static void run(uint64_t steps)
{
	struct vcpu_exit exit;

	vcpu_run(&vcpu, steps, &exit);
}

static void copy_written(uint64_t gpa)
{
	uint64_t dirty[VCPU_DIRTY_WORDS];

	vcpu.ops->take_dirty(&vcpu, gpa, dirty);
	for (uint64_t page = 0; page < LARGE_PAGE_SIZE / PAGE_SIZE; page++) {
		uint64_t at = gpa + page * PAGE_SIZE;

		if (!(dirty[page / 64] & BIT(page % 64)))
			continue;
		pages_named++;
		pages_equal += memcmp(copy + at, memory + at, PAGE_SIZE) == 0;
		memcpy(copy + at, memory + at, PAGE_SIZE);
	}
}

static int go_through_slices(uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		run(1 + next_random() % 2000);
		for (uint64_t gpa = 0; gpa < GUEST_SIZE; gpa += LARGE_PAGE_SIZE)
			copy_written(gpa);
		SELF_TEST_CHECK(memcmp(copy, memory, GUEST_SIZE) == 0);
	}
	return 0;
}

SELF_TEST(tracking)
{
	uint64_t slices = option("slices", 60);
	uint64_t physical = pages_allocate(GUEST_SIZE / PAGE_SIZE, LARGE_PAGE_SIZE);
	uint64_t copy_physical = pages_allocate(GUEST_SIZE / PAGE_SIZE, PAGE_SIZE);

	SELF_TEST_CHECK(physical && copy_physical);
	memory = pages_pointer(physical);
	copy = pages_pointer(copy_physical);
	seed = option("seed", 20261126) * 2 + 1;
	SELF_TEST_CHECK(vcpu_init(&vcpu, apic_timer_register(), GUEST_SIZE) == 0);
	SELF_TEST_CHECK(vcpu.ops->reserve_tracking(&vcpu, GUEST_SIZE) == 0);
	step_counter_init(&counter, &vcpu);
	SELF_TEST_CHECK(start_guest(physical) == 0);
	for (uint32_t round = 0; round < 2; round++) {
		pages_named = 0;
		pages_equal = 0;
		vcpu.ops->track(&vcpu, true);
		SELF_TEST_CHECK(go_through_slices(slices) == 0);
		vcpu.ops->track(&vcpu, false);
		trace(TRACE_INFO, "%lu pages named, %lu of them unchanged", pages_named, pages_equal);
		SELF_TEST_CHECK(pages_named > slices);
		SELF_TEST_CHECK(pages_equal == 0);
		run(100000); /* nobody looks: the copy falls behind */
		SELF_TEST_CHECK(memcmp(copy, memory, GUEST_SIZE) != 0);
		memcpy(copy, memory, GUEST_SIZE);
	}
	return 0;
}
