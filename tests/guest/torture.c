/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The torture guest (torture_guest.S) run whole, in random slices down to one
 * instruction, and recorded and replayed with interrupts at random positions: the
 * total, the registers and the memory must be equal every time.
 *
 *     test=torture_slices [rounds=N] [seed=N]
 *     test=torture_replay [rounds=N] [seed=N]
 *     test=torture_snapshot [rounds=N] [seed=N]
 */
#include <stdlib.h>
#include <string.h>

#include "include/crc32c.h"
#include "include/random.h"
#include "include/trace.h"
#include "kernel/apic.h"
#include "kernel/page_map.h"
#include "kernel/pages.h"
#include "kernel/self_test.h"
#include "kernel/step_counter.h"
#include "kernel/time.h"
#include "kernel/vcpu.h"
#include "lockstep/follower.h"
#include "lockstep/leader.h"
#include "tests/guest/torture.h"

TRACE_FILE("test", TRACE_DEBUG);

#define ENTRY_RIGHTS 3 /* present, writable */
#define ENTRY_LARGE 0x80
#define GATE_INTERRUPT UINT64_C(0x8e00)
#define SEGMENT_CODE_64 (VCPU_SEGMENT_PRESENT | VCPU_SEGMENT_CODE_DATA | VCPU_SEGMENT_LONG | 0xb)
#define SEGMENT_DATA                                                                                         \
	(VCPU_SEGMENT_PRESENT | VCPU_SEGMENT_CODE_DATA | VCPU_SEGMENT_DEFAULT_32 | VCPU_SEGMENT_GRANULAR |   \
	 0x3)
#define DEVICE_INSTRUCTION_SIZE 2
#define SLICE_UNLIMITED (UINT64_C(1) << 31)
#define LOG_SIZE (4 * MIB)

static struct vcpu vcpu;
static struct step_counter counter;
static uint8_t *memory;
static uint64_t memory_physical;
static uint64_t seed;

/* The log of the run that is recorded or replayed; none in a run that only counts. */
static uint8_t *log_bytes;
static uint64_t log_size;
static struct leader leader;
static struct follower follower;
static enum { LOG_NONE, LOG_RECORD, LOG_REPLAY } log_mode;
static const char *replay_error;

struct outcome {
	uint64_t steps;
	uint64_t exits;
	uint64_t slices;
	uint64_t interrupts; /* taken */
	uint32_t registers;
	uint32_t memory;
};

static uint64_t next_random(void)
{
	return random_next(&seed);
}

static uint64_t option(const char *name, uint64_t otherwise)
{
	char value[BOOT_OPTION_SIZE];

	return self_test_option(name, value) ? strtoul(value, NULL, 10) : otherwise;
}

/* ---- the guest ---- */

static void fetch(void *owner, const struct vcpu_state *state, struct vcpu_code *code)
{
	(void)owner;
	code->bytes = memory + state->rip;
	code->size = VCPU_INSTRUCTION_SIZE_MAX;
	code->in_place = true;
}

static void store(uint64_t gpa, uint64_t value)
{
	memcpy(memory + gpa, &value, sizeof(value));
}

static void write_gate(uint64_t vector, const uint8_t *handler)
{
	uint64_t address = TORTURE_CODE + (uint64_t)(handler - torture_guest_start);

	store(TORTURE_IDT + vector * 16, (address & 0xffff) | TORTURE_CODE_SELECTOR << 16 |
						 GATE_INTERRUPT << 32 | (address >> 16 & 0xffff) << 48);
	store(TORTURE_IDT + vector * 16 + 8, address >> 32);
}

static void write_tables(void)
{
	store(TORTURE_PML4, TORTURE_PDPT | ENTRY_RIGHTS);
	store(TORTURE_PDPT, TORTURE_PD | ENTRY_RIGHTS);
	store(TORTURE_PD, TORTURE_PT | ENTRY_RIGHTS);
	store(TORTURE_PD + 8, TORTURE_DEVICE | ENTRY_RIGHTS | ENTRY_LARGE);
	for (uint64_t page = 0; page < TORTURE_SIZE / PAGE_SIZE; page++)
		store(TORTURE_PT + page * 8, page * PAGE_SIZE | ENTRY_RIGHTS);
	store(TORTURE_GDT + TORTURE_CODE_SELECTOR, UINT64_C(0x00af9b000000ffff));
	store(TORTURE_GDT + TORTURE_DATA_SELECTOR, UINT64_C(0x00cf93000000ffff));
	write_gate(TORTURE_VECTOR_DEBUG, torture_guest_debug);
	write_gate(TORTURE_VECTOR_BREAKPOINT, torture_guest_breakpoint);
	write_gate(TORTURE_VECTOR_UNDEFINED, torture_guest_undefined);
	write_gate(TORTURE_VECTOR_PAGE_FAULT, torture_guest_page_fault);
	write_gate(TORTURE_VECTOR_SOFTWARE, torture_guest_software);
	for (uint32_t i = 0; i < TORTURE_VECTOR_EXTERNAL_COUNT; i++)
		write_gate(TORTURE_VECTOR_EXTERNAL + i, torture_guest_external);
}

static int start_guest(uint64_t rounds)
{
	struct vcpu_state *state = &vcpu.state;

	memset(memory, 0, TORTURE_SIZE);
	for (uint32_t i = 0; i < TORTURE_DATA_PAGES * PAGE_SIZE; i++)
		memory[TORTURE_DATA + i] = (uint8_t)(i * 7 + i / 256);
	memcpy(memory + TORTURE_CODE, torture_guest_start,
	       (uint64_t)(torture_guest_end - torture_guest_start));
	write_tables();
	vcpu_reset(&vcpu, fetch, NULL);
	SELF_TEST_CHECK(vcpu.ops->map(&vcpu, 0, memory_physical, TORTURE_SIZE) == 0);
	for (uint32_t i = VCPU_ES; i <= VCPU_GS; i++)
		state->segments[i] = (struct vcpu_segment){ .limit = UINT32_MAX,
							    .selector = TORTURE_DATA_SELECTOR,
							    .attributes = SEGMENT_DATA };
	state->segments[VCPU_CS].selector = TORTURE_CODE_SELECTOR;
	state->segments[VCPU_CS].attributes = SEGMENT_CODE_64;
	state->gdtr = (struct vcpu_descriptor_table){ .base = TORTURE_GDT, .limit = 0x17 };
	state->idtr = (struct vcpu_descriptor_table){ .base = TORTURE_IDT, .limit = 0xfff };
	state->cr0 = VCPU_CR0_PE | VCPU_CR0_ET | VCPU_CR0_NE | VCPU_CR0_WP | VCPU_CR0_PG;
	state->cr3 = TORTURE_PML4;
	state->cr4 = VCPU_CR4_PAE;
	state->efer = VCPU_EFER_LME | VCPU_EFER_LMA;
	state->rip = TORTURE_CODE;
	state->gpr[VCPU_RSP] = TORTURE_STACK;
	state->gpr[VCPU_RBP] = rounds;
	state->gpr[VCPU_R15] = UINT64_C(0x0123456789abcdef);
	vcpu_load(&vcpu);
	return 0;
}

/* ---- the door: what is undetermined ---- */

static void log_added(uint64_t size)
{
	log_size += size;
}

static uint64_t door_time(void)
{
	struct position exit = vcpu_position(&vcpu);
	uint64_t time_ns = time_now_ns();

	if (log_mode == LOG_RECORD)
		log_added(leader_value(&leader, &exit, RECORD_VALUE_TIME, time_ns, log_bytes + log_size));
	else if (log_mode == LOG_REPLAY &&
		 follower_value(&follower, &exit, RECORD_VALUE_TIME, &time_ns, &replay_error))
		return 0;
	else if (log_mode == LOG_NONE)
		time_ns = exit.exits * 1000003; /* no log: must follow from the position */
	return time_ns;
}

/* An interrupt out of the blue, at the place where the slice happened to end. */
static void record_interrupt(void)
{
	struct position position = vcpu_position(&vcpu);
	struct record_input input = { .kind = 1,
				      .value = TORTURE_VECTOR_EXTERNAL +
					       (uint32_t)(next_random() % TORTURE_VECTOR_EXTERNAL_COUNT) };

	log_added(leader_input(&leader, &position, leader.codec.time_ns, &input, NULL, 0,
			       log_bytes + log_size));
	vcpu_offer_interrupt(&vcpu, (uint8_t)input.value);
}

/* Applies what is due here. False: diverged, `replay_error` says how. */
static bool replay_due(uint64_t *steps_max)
{
	struct follower_plan plan;

	for (;;) {
		struct position now = vcpu_position(&vcpu);

		follower_plan(&follower, &now, &plan);
		if (plan.verdict != FOLLOWER_APPLY)
			break;
		vcpu_offer_interrupt(&vcpu, (uint8_t)plan.record->input.value);
		follower_applied(&follower);
	}
	replay_error = plan.verdict == FOLLOWER_DIVERGED ? plan.reason : NULL;
	*steps_max = min_u64(*steps_max, plan.verdict == FOLLOWER_RUN ? plan.steps_max : SLICE_UNLIMITED);
	return !replay_error;
}

/* ---- exits ---- */

static void set_rax_rdx(uint64_t value)
{
	vcpu.state.gpr[VCPU_RAX] = (uint32_t)value;
	vcpu.state.gpr[VCPU_RDX] = value >> 32;
}

/* About every other write to a port raises an interrupt there and then: with IF on, off or in a shadow. */
static void act_on_port(const struct vcpu_exit *exit)
{
	uint32_t hash = (uint32_t)(vcpu.position.exits * 2654435761);

	if (exit->port.is_in)
		vcpu.state.gpr[VCPU_RAX] = hash;
	else if (hash >> 31)
		vcpu_offer_interrupt(&vcpu, TORTURE_VECTOR_EXTERNAL);
}

static bool act_on_exit(const struct vcpu_exit *exit)
{
	uint32_t size = exit->instruction_size;

	switch (exit->kind) {
	case VCPU_EXIT_WINDOW:
		return true;
	case VCPU_EXIT_CPUID:
		set_rax_rdx(vcpu.position.exits);
		vcpu.state.gpr[VCPU_RBX] = 0x656b6f59;
		vcpu.state.gpr[VCPU_RCX] = 0;
		break;
	case VCPU_EXIT_TSC:
		set_rax_rdx(door_time());
		break;
	case VCPU_EXIT_MSR:
		set_rax_rdx(vcpu.position.exits << 32 | exit->msr.number);
		break;
	case VCPU_EXIT_PORT:
		act_on_port(exit);
		break;
	case VCPU_EXIT_MEMORY:
		vcpu.state.gpr[VCPU_RAX] = (uint32_t)(exit->memory.gpa + vcpu.position.exits);
		size = DEVICE_INSTRUCTION_SIZE;
		break;
	default:
		return false;
	}
	vcpu_instruction_done(&vcpu, size);
	return true;
}

/* ---- snapshots ---- */

static bool snapshots_wanted;
static struct vcpu_state snapshot;
static uint8_t *snapshot_memory;

/*
 * Everything that makes the guest is copied out, everything that could be left over is
 * overwritten, and the guest goes on from the copy: what a join does, on one server.
 */
static int go_through_snapshot(void)
{
	struct position position = vcpu.position;
	bool offered = vcpu.interrupt_offered;

	vcpu_save(&vcpu);
	snapshot = vcpu.state;
	memcpy(snapshot_memory, memory, TORTURE_SIZE);
	memset(memory, 0xcc, TORTURE_SIZE);
	vcpu_reset(&vcpu, fetch, NULL);
	memset(vcpu.state.gpr, 0x55, sizeof(vcpu.state.gpr));
	memset(vcpu.state.dr, 0, sizeof(vcpu.state.dr));
	vcpu_load(&vcpu);
	SELF_TEST_CHECK(vcpu.ops->map(&vcpu, 0, memory_physical, TORTURE_SIZE) == 0);
	memcpy(memory, snapshot_memory, TORTURE_SIZE);
	vcpu.state = snapshot;
	vcpu_load(&vcpu);
	vcpu.position = position;
	if (offered)
		vcpu_offer_interrupt(&vcpu, vcpu.interrupt_vector);
	return 0;
}

/* mean 0: whole. Returns what is wrong, or NULL. */
static const char *run_guest(uint64_t rounds, uint64_t slice_mean, struct outcome *outcome)
{
	struct vcpu_exit exit;

	memset(outcome, 0, sizeof(*outcome));
	if (start_guest(rounds))
		return "no guest";
	for (;;) {
		uint64_t steps_max = slice_mean ? random_around(&seed, slice_mean) : SLICE_UNLIMITED;

		if (log_mode == LOG_REPLAY && !replay_due(&steps_max))
			return replay_error;
		vcpu_run(&vcpu, steps_max, &exit);
		outcome->steps += exit.steps;
		outcome->slices++;
		outcome->interrupts += vcpu.interrupt_taken;
		if (exit.kind == VCPU_EXIT_SLICE_END) {
			if (log_mode == LOG_RECORD && next_random() % 4 == 0)
				record_interrupt();
		} else if (!act_on_exit(&exit)) {
			break;
		}
		if (replay_error)
			return replay_error;
		if (snapshots_wanted && next_random() % 16 == 0 && go_through_snapshot())
			return "no snapshot";
	}
	if (exit.kind != VCPU_EXIT_HYPERCALL) {
		trace(TRACE_ERROR, "ended by %s at rip %#lx, exit %lu, cr2 %#lx", vcpu_exit_name(exit.kind),
		      vcpu.state.rip, vcpu.position.exits, vcpu.state.cr2);
		return "the guest ended otherwise than it should";
	}
	vcpu_save(&vcpu);
	outcome->exits = vcpu.position.exits;
	outcome->registers = crc32c(0, &vcpu.state, sizeof(vcpu.state));
	outcome->memory = crc32c(0, memory, TORTURE_SIZE);
	return NULL;
}

static bool is_equal(const struct outcome *a, const struct outcome *b)
{
	return a->steps == b->steps && a->exits == b->exits && a->interrupts == b->interrupts &&
	       a->registers == b->registers && a->memory == b->memory;
}

static void show(const char *what, uint64_t slice_mean, const struct outcome *outcome)
{
	trace(TRACE_INFO,
	      "%s, slices of %lu: %lu steps, %lu exits, %lu interrupts, %lu runs, registers %08x, memory %08x",
	      what, slice_mean, outcome->steps, outcome->exits, outcome->interrupts, outcome->slices,
	      outcome->registers, outcome->memory);
}

static int start_test(void)
{
	SELF_TEST_CHECK(vcpu_init(&vcpu, apic_timer_register(), TORTURE_SIZE) == 0);
	step_counter_init(&counter, &vcpu);
	SELF_TEST_CHECK(counter.exact);
	memory_physical = pages_allocate(TORTURE_SIZE / PAGE_SIZE, PAGE_SIZE);
	SELF_TEST_CHECK(memory_physical);
	memory = pages_pointer(memory_physical);
	seed = option("seed", 20261123) * 2 + 1;
	return 0;
}

static const uint64_t slice_means[] = { 100000, 10000, 1000, 100, 30, 10, 3, 2, 1 };

SELF_TEST(torture_slices)
{
	uint64_t rounds = option("rounds", 12);
	struct outcome whole;
	const char *wrong;

	SELF_TEST_CHECK(start_test() == 0);
	wrong = run_guest(rounds, 0, &whole);
	show("whole", 0, &whole);
	SELF_TEST_CHECK(!wrong);
	SELF_TEST_CHECK(whole.interrupts >= rounds);
	for (uint32_t i = 0; i < ARRAY_SIZE(slice_means); i++) {
		struct outcome sliced;

		wrong = run_guest(rounds, slice_means[i], &sliced);
		show(wrong ? wrong : "sliced", slice_means[i], &sliced);
		SELF_TEST_CHECK(!wrong);
		SELF_TEST_CHECK(is_equal(&sliced, &whole));
	}
	return 0;
}

static const char *record(uint64_t rounds, uint64_t slice_mean, struct outcome *outcome)
{
	const struct position start = { 0 };
	const char *wrong;

	log_mode = LOG_RECORD;
	log_size = 0;
	leader_init(&leader, &start, 0);
	wrong = run_guest(rounds, slice_mean, outcome);
	log_mode = LOG_NONE;
	return wrong;
}

static const char *replay(uint64_t rounds, uint64_t slice_mean, uint8_t *buffer, struct outcome *outcome)
{
	const struct position start = { 0 };
	const char *wrong;

	log_mode = LOG_REPLAY;
	replay_error = NULL;
	follower_init(&follower, buffer, LOG_SIZE, &start, 0);
	follower_receive(&follower, log_bytes, log_size);
	wrong = run_guest(rounds, slice_mean, outcome);
	log_mode = LOG_NONE;
	if (!wrong && !follower_is_at_end(&follower))
		wrong = "not all of the log was replayed";
	return wrong;
}

SELF_TEST(torture_replay)
{
	uint64_t rounds_wanted = option("rounds", 12);
	uint64_t log_physical;
	uint8_t *buffer;

	SELF_TEST_CHECK(start_test() == 0);
	log_physical = pages_allocate(2 * LOG_SIZE / PAGE_SIZE, PAGE_SIZE);
	SELF_TEST_CHECK(log_physical);
	log_bytes = pages_pointer(log_physical);
	buffer = log_bytes + LOG_SIZE;
	for (uint32_t i = 2; i < ARRAY_SIZE(slice_means); i++) {
		static const uint64_t replay_means[] = { 0, 500, 7 };
		struct outcome recorded;
		/* Very short slices mean an interrupt every few instructions: handlers without end. */
		uint64_t rounds = slice_means[i] > 3 ? rounds_wanted : (rounds_wanted + 11) / 12;
		const char *wrong = record(rounds, slice_means[i], &recorded);

		show(wrong ? wrong : "recorded", slice_means[i], &recorded);
		SELF_TEST_CHECK(!wrong);
		for (uint32_t j = 0; j < ARRAY_SIZE(replay_means); j++) {
			struct outcome replayed;

			wrong = replay(rounds, replay_means[j], buffer, &replayed);
			show(wrong ? wrong : "replayed", replay_means[j], &replayed);
			SELF_TEST_CHECK(!wrong);
			SELF_TEST_CHECK(is_equal(&replayed, &recorded));
		}
	}
	return 0;
}

SELF_TEST(torture_snapshot)
{
	static const uint64_t means[] = { 5000, 300, 40, 5 };
	uint64_t rounds = option("rounds", 6);
	uint64_t physical;
	struct outcome whole;

	SELF_TEST_CHECK(start_test() == 0);
	physical = pages_allocate(TORTURE_SIZE / PAGE_SIZE, PAGE_SIZE);
	SELF_TEST_CHECK(physical);
	snapshot_memory = pages_pointer(physical);
	SELF_TEST_CHECK(!run_guest(rounds, 0, &whole));
	show("whole", 0, &whole);
	snapshots_wanted = true;
	for (uint32_t i = 0; i < ARRAY_SIZE(means); i++) {
		struct outcome sliced;
		const char *wrong = run_guest(rounds, means[i], &sliced);

		show(wrong ? wrong : "by snapshots", means[i], &sliced);
		SELF_TEST_CHECK(!wrong);
		SELF_TEST_CHECK(is_equal(&sliced, &whole));
	}
	return 0;
}
