/* SPDX-License-Identifier: Apache-2.0 */
/* The run loop; see guest.h. */
#include "kernel/guest.h"

#include <errno.h>
#include <string.h>

#include "include/assert.h"
#include "include/memory_layout.h"
#include "include/random.h"
#include "include/trace.h"
#include "kernel/guest_digest.h"
#include "kernel/page_map.h"
#include "kernel/pages.h"
#include "kernel/paging.h"
#include "kernel/stage.h"
#include "kernel/time.h"
#include "machine/direct_boot.h"
#include "machine/firmware_boot.h"
#include "machine/guest_paging.h"

TRACE_FILE("guest", TRACE_INFO);

#define CHECK_INTERVAL_NS (100 * NS_PER_MS)
#define CHECK_INTERVAL_PAIR_NS (9 * NS_PER_MS) /* with the slice that it may have to wait for: below 10 ms */
/* A slice that would end sooner for a timer is not worth its way in and out. */
#define SLICE_STEPS_MIN 10000
/* A slice that put nothing out need not be told at once: each word to the follower costs a frame both ways. */
#define HORIZON_INTERVAL_NS NS_PER_MS

/* ---- start ---- */

/* Usually all in one page, which has been executed and so is there; else page by page into a copy. */
static void fetch_code(void *owner, const struct vcpu_state *state, struct vcpu_code *code)
{
	static uint8_t copy[VCPU_INSTRUCTION_SIZE_MAX];
	const struct guest *guest = owner;
	uint64_t address = state->rip + state->segments[VCPU_CS].base;
	uint32_t error_code;
	uint64_t gpa;

	if (!(state->efer & VCPU_EFER_LMA))
		address &= UINT32_MAX;
	code->size = VCPU_INSTRUCTION_SIZE_MAX;
	code->in_place =
		address % PAGE_SIZE <= PAGE_SIZE - VCPU_INSTRUCTION_SIZE_MAX &&
		guest_paging_translate(state, &guest->memory, address, GUEST_PAGE_FETCH, &gpa, &error_code);
	code->bytes = code->in_place ? guest_memory_at(&guest->memory, gpa, VCPU_INSTRUCTION_SIZE_MAX) : NULL;
	if (code->bytes)
		return;
	code->in_place = false;
	code->bytes = copy;
	code->size = guest_paging_fetch(state, &guest->memory, address, copy, VCPU_INSTRUCTION_SIZE_MAX);
}

/* What CR4 may hold is what CPUID promises: one model, in machine/cpuid.c. */
static uint64_t cr4_promised(struct guest *guest)
{
	static const struct {
		uint32_t leaf;
		uint32_t in_ebx : 1, in_ecx : 1; /* else EDX */
		uint32_t feature;		 /* bit */
		uint32_t cr4;			 /* bits */
	} rows[] = {
		{ 1, 0, 0, 1, 0x03 },	   /* VME: VME, PVI */
		{ 1, 0, 0, 4, 0x04 },	   /* TSC: TSD */
		{ 1, 0, 0, 2, 0x08 },	   /* DE */
		{ 1, 0, 0, 3, 0x10 },	   /* PSE */
		{ 1, 0, 0, 6, 0x20 },	   /* PAE */
		{ 1, 0, 0, 7, 0x40 },	   /* MCE */
		{ 1, 0, 0, 13, 0x80 },	   /* PGE */
		{ 1, 0, 0, 24, 0x200 },	   /* FXSR: OSFXSR */
		{ 1, 0, 0, 25, 0x400 },	   /* SSE: OSXMMEXCPT */
		{ 1, 0, 1, 26, 0x40000 },  /* XSAVE: OSXSAVE */
		{ 7, 1, 0, 0, 0x10000 },   /* FSGSBASE */
		{ 7, 1, 0, 7, 0x100000 },  /* SMEP */
		{ 7, 1, 0, 20, 0x200000 }, /* SMAP */
		{ 7, 0, 1, 2, 0x800 },	   /* UMIP */
	};
	uint64_t allowed = BIT(8); /* PCE: harmless, RDPMC faults either way */

	for (uint32_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct machine_cpuid_result result =
			machine_cpuid(&guest->machine, &guest->vcpu.state, rows[i].leaf, 0);
		uint32_t word = rows[i].in_ebx ? result.ebx : rows[i].in_ecx ? result.ecx : result.edx;

		if (word >> rows[i].feature & 1)
			allowed |= rows[i].cr4;
	}
	return allowed;
}

static int map_memory(struct guest *guest)
{
	const struct guest_memory *memory = &guest->memory;
	uint64_t total = guest_memory_total(memory);

	for (uint64_t offset = 0; offset < total; offset += LARGE_PAGE_SIZE) {
		uint64_t physical;
		uint64_t rights;
		int error;

		if (!paging_lookup((uint64_t)memory->base + offset, &physical, &rights))
			return trace_error(-EFAULT);
		error = guest->vcpu.ops->map(&guest->vcpu, guest_memory_gpa(memory, offset), physical,
					     min_u64(LARGE_PAGE_SIZE, total - offset));
		if (error)
			return error;
	}
	return 0;
}

const char *guest_init(struct guest *guest, const struct machine_config *config, uint64_t firmware_size,
		       const struct step_counter *counter, const struct guest_outside *outside)
{
	const char *wrong = machine_config_check(config);
	uint64_t pages;

	if (wrong)
		return wrong;
	guest_memory_init(&guest->memory, (uint8_t *)GUEST_MAP_BASE, config->memory_size, firmware_size);
	pages = align_up(guest_memory_total(&guest->memory), LARGE_PAGE_SIZE) / LARGE_PAGE_SIZE;
	for (uint64_t i = 0; i < pages; i++) {
		uint64_t physical = pages_allocate_guest();

		if (!physical || paging_map_guest(i, physical))
			return "the server has not got as much free memory as the guest is to have";
	}
	guest->vcpu.counter = counter;
	guest->outside = outside;
	guest->state = GUEST_OFF;
	machine_init(&guest->machine, config);
	if (!config->has_avx)
		guest->vcpu.xcr0_allowed &= ~VCPU_XCR0_AVX;
	return NULL;
}

static void zero_memory(struct guest *guest)
{
	uint64_t count = guest_memory_total(&guest->memory) / 8;
	void *at = guest->memory.base;

	__asm__ volatile("rep stosq" : "+D"(at), "+c"(count) : "a"(0) : "memory");
}

static const char *load_kernel(struct guest *guest)
{
	const struct machine_direct_boot direct = {
		.kernel = guest->boot.kernel,
		.kernel_size = guest->boot.kernel_size,
		.initrd = guest->boot.initrd,
		.initrd_size = guest->boot.initrd_size,
		.command_line = guest->boot.command_line,
	};

	vcpu_state_reset(&guest->vcpu.state);
	return machine_direct_boot(&guest->machine, &guest->memory, &direct, &guest->vcpu.state);
}

/* Processor and firmware or kernel as after power-on or reset; other memory and time are left alone. */
static const char *boot(struct guest *guest)
{
	struct vcpu *vcpu = &guest->vcpu;
	const char *wrong = NULL;

	if (guest->boot.firmware)
		machine_firmware_boot(&guest->memory, guest->boot.firmware, &vcpu->state);
	else
		wrong = load_kernel(guest);
	vcpu_withdraw_interrupt(vcpu);
	vcpu_watch_nmi_return(vcpu, false);
	vcpu_load(vcpu);
	guest_look_again(guest);
	guest->nmi_returns = false;
	return wrong;
}

const char *guest_prepare(struct guest *guest, const struct guest_boot *boot_files)
{
	const struct machine_config config = guest->machine.config;

	guest->state = GUEST_OFF;
	guest->reason = NULL;
	guest->boot = *boot_files;
	guest->exit_open = false;
	guest->date_owed = false;
	guest->check_next_ns = 0;
	guest->check_count = 0;
	guest->steps = 0;
	guest->restarts = 0;
	guest->horizon = (struct position){ 0 };
	guest->put_out = false;
	memset(guest->exits, 0, sizeof(guest->exits));
	zero_memory(guest);
	memset(&guest->machine, 0, sizeof(guest->machine));
	machine_init(&guest->machine, &config);
	vcpu_reset(&guest->vcpu, fetch_code, guest);
	if (map_memory(guest))
		return "no memory for the nested page tables";
	guest->vcpu.cr4_allowed = cr4_promised(guest);
	return NULL;
}

const char *guest_start(struct guest *guest)
{
	const char *wrong = boot(guest);

	if (wrong)
		return wrong;
	guest_door_open(&guest->door);
	guest->state = GUEST_RUNNING;
	guest->date_owed = true;
	return NULL;
}

void guest_stop(struct guest *guest, const char *reason)
{
	struct position position = vcpu_position(&guest->vcpu);

	trace(TRACE_WARNING, "guest stopped: %s, at exit %lu + %lu, rip 0x%lx", reason, position.exits,
	      position.steps, position.rip);
	guest->state = GUEST_STOPPED;
	guest->reason = reason;
}

/* As its reset button, whatever state it was in. Not all in one slice, if it resets itself on and on. */
static void reset(struct guest *guest)
{
	const char *wrong;

	guest->state = GUEST_RUNNING;
	guest->steps_left = 0;
	machine_reset(&guest->machine);
	wrong = boot(guest);
	if (wrong)
		guest_stop(guest, wrong);
}

void guest_fail(struct guest *guest, const char *reason)
{
	if (!guest->restarts_on_failure) {
		guest_stop(guest, reason);
		return;
	}
	trace(TRACE_WARNING, "the guest is reset, since it failed: %s", reason);
	guest->restarts++;
	guest->reason = reason;
	reset(guest);
}

static bool is_on(const struct guest *guest)
{
	return guest->state == GUEST_RUNNING || guest->state == GUEST_WAITING;
}

/* ---- in and out ---- */

static void take_power(struct guest *guest, uint32_t power)
{
	switch (power) {
	case MACHINE_POWER_OFF:
		trace(TRACE_INFO, "the guest is off");
		guest->state = GUEST_OFF;
		break;
	case MACHINE_POWER_RESET:
		trace(TRACE_INFO, "the guest is reset");
		reset(guest);
		break;
	default:
		guest_fail(guest, "its watchdog ran out");
		break;
	}
}

void guest_outputs(struct guest *guest)
{
	static uint8_t data[MACHINE_OUTPUT_DATA_MAX];
	static struct machine_output output;
	enum stage before;

	if (!machine_output_pending(&guest->machine))
		return;
	before = stage_enter(STAGE_QUEUES);
	output.buffer = data;
	while (machine_output_pending(&guest->machine) &&
	       machine_output_take(&guest->machine, &guest->memory, &output)) {
		guest->put_out = true;
		stage_enter(STAGE_HAND_OVER);
		guest->outside->output(&output);
		stage_enter(STAGE_QUEUES);
		if (output.kind == MACHINE_OUTPUT_POWER)
			take_power(guest, output.value);
	}
	stage_enter(before);
}

static NOINLINE void find_deadline(struct guest *guest)
{
	guest->deadline_ns = machine_next_deadline_ns(&guest->machine);
	guest->deadline_of = guest->machine.timer_changes;
}

static inline uint64_t next_deadline_ns(struct guest *guest)
{
	if (guest->deadline_of != guest->machine.timer_changes)
		find_deadline(guest);
	return guest->deadline_ns;
}

/* A replay ends here. In a pair the follower's guest stands: the leader's is the one that goes on. */
static void diverge(struct guest *guest)
{
	if (guest->door.mode == GUEST_DOOR_PAIR)
		guest->state = GUEST_WAITING;
	else
		guest_stop(guest, guest->door.diverged);
}

static NOINLINE bool no_time(struct guest *guest, int error)
{
	if (error == -EILSEQ)
		diverge(guest);
	return false;
}

bool guest_time_ask(struct guest *guest)
{
	uint64_t time_ns;
	int error = guest_door_time(&guest->door, vcpu_exit_position(&guest->vcpu), &time_ns);

	if (error)
		return no_time(guest, error);
	if (time_ns < next_deadline_ns(guest))
		machine_time_pass(&guest->machine, time_ns);
	else
		machine_time_set(&guest->machine, time_ns);
	return true;
}

/* Off, there is nothing but its buttons; RESET is what switches it on, as a power button would. */
static bool is_power_on(const struct guest *guest, const struct machine_input *input)
{
	return !is_on(guest) && input->kind == MACHINE_INPUT_BUTTON && input->value == MACHINE_BUTTON_RESET;
}

static void apply_input(struct guest *guest, const struct machine_input *input)
{
	if (is_power_on(guest, input)) {
		reset(guest);
		guest->date_owed = true;
		return;
	}
	if (input->kind == MACHINE_INPUT_DATE)
		guest->date_owed = false;
	if (!machine_input(&guest->machine, &guest->memory, input)) {
		guest_stop(guest, "an input in the log that this machine does not know");
		return;
	}
	guest_look_again(guest);
	guest->input_here = true;
	guest_outputs(guest);
}

static void decide_input(struct guest *guest, struct machine_input *input)
{
	struct position here = vcpu_position(&guest->vcpu);

	guest_door_put_input(&guest->door, &here, input);
	apply_input(guest, input);
}

static void decide_check(struct guest *guest, uint64_t check)
{
	static struct guest_digest digest; /* too large for a stack */
	struct position here = vcpu_position(&guest->vcpu);

	guest_digest_take(guest, check, &digest);
	guest->last_digest = digest.whole;
	guest->outside->checked(&here, &digest);
	guest_door_put_check(&guest->door, &here, &digest);
}

static bool check_is_due(const struct guest *guest, uint64_t now_ns)
{
	return guest->door.mode != GUEST_DOOR_OPEN && now_ns >= guest->check_next_ns &&
	       guest_door_decides(&guest->door);
}

/* This server decides what arrives here: a timer that is due, whatever the outside has. */
static void decide_inputs(struct guest *guest)
{
	struct machine_input input = { .kind = MACHINE_INPUT_TIME,
				       .time_ns = guest_door_now_ns(&guest->door) };
	uint64_t interval_ns =
		guest->door.mode == GUEST_DOOR_PAIR ? CHECK_INTERVAL_PAIR_NS : CHECK_INTERVAL_NS;
	enum stage before;

	if (input.time_ns >= next_deadline_ns(guest) && guest_door_decides(&guest->door))
		decide_input(guest, &input);
	if (check_is_due(guest, input.time_ns)) {
		guest->check_next_ns = input.time_ns + interval_ns;
		decide_check(guest, guest->check_count++);
	}
	before = stage_enter(STAGE_DELIVERY);
	while (guest->state == GUEST_RUNNING && guest_door_decides(&guest->door) &&
	       guest->outside->input(&input))
		decide_input(guest, &input);
	stage_enter(before);
}

static void compare_check(struct guest *guest, const struct record *record, uint64_t check)
{
	static struct guest_digest digest; /* too large for a stack */

	guest_digest_take(guest, check, &digest);
	guest->last_digest = digest.whole;
	guest->outside->checked(&record->position, &digest);
	if (guest_door_compare(&guest->door, record, &digest))
		return;
	trace(TRACE_ERROR, "digest %ld: here %016lx, in the log %016lx", (long)check, digest.whole,
	      record->digest);
	diverge(guest);
}

/* False: the guest does not go on here, now or at all. */
static bool replay_input(struct guest *guest, const struct record *record)
{
	struct machine_input input;
	int error;

	guest_door_input(record, &input);
	error = guest->outside->replayed(&input);
	if (!error)
		apply_input(guest, &input);
	else if (error == -EAGAIN)
		guest->state = GUEST_WAITING;
	else
		diverge(guest);
	return !error;
}

/* False: the record stays due. */
static bool replay_record(struct guest *guest, const struct record *record)
{
	if (record->kind == RECORD_CHECK)
		compare_check(guest, record, guest->check_count++);
	else if (record->kind == RECORD_INPUT && !replay_input(guest, record))
		return false;
	guest_door_applied(&guest->door);
	return true;
}

/* A guest that waits for more is told from one that does not run at all. */
static void follow_plan(struct guest *guest, const struct follower_plan *plan)
{
	if (plan->verdict == FOLLOWER_DIVERGED)
		diverge(guest);
	else if (is_on(guest))
		guest->state = plan->verdict == FOLLOWER_WAIT ? GUEST_WAITING : GUEST_RUNNING;
}

/* In a pair a guest that is off can be switched on again by what the log holds. */
static bool can_replay(const struct guest *guest)
{
	return guest_door_follows(&guest->door) && (is_on(guest) || guest->door.mode == GUEST_DOOR_PAIR);
}

/* The log decides. Applies all that is due here; returns how far the guest may run then. */
static uint64_t replay_inputs(struct guest *guest)
{
	struct follower_plan plan;

	while (can_replay(guest)) {
		struct position here = vcpu_position(&guest->vcpu);

		guest_door_plan(&guest->door, &here, &plan);
		follow_plan(guest, &plan);
		if (plan.verdict != FOLLOWER_APPLY)
			return plan.steps_max;
		if (!replay_record(guest, plan.record))
			return 0;
	}
	return 0;
}

/* ---- running ---- */

static NOINLINE void look_at_nmi(struct guest *guest)
{
	struct vcpu *vcpu = &guest->vcpu;

	if (vcpu->state.nmi_blocked) {
		vcpu_watch_nmi_return(vcpu, true);
	} else if (vcpu->state.event.kind == VCPU_EVENT_NONE) {
		machine_nmi_acknowledge(&guest->machine);
		vcpu_inject_nmi(vcpu);
		vcpu->state.activity = VCPU_RUNNING;
	}
	/* One that an exception at this place keeps waiting is looked at behind the next exit. */
	guest->lines_of = guest->machine.changes;
	if (machine_nmi_pending(&guest->machine))
		guest_look_again(guest);
}

/* The interrupt line and the NMI line, looked at where leader and follower both do. */
static void look_at_lines(struct guest *guest)
{
	struct vcpu *vcpu = &guest->vcpu;
	uint8_t vector;

	vcpu->task_priority = (uint8_t)machine_cr8_read(&guest->machine);
	guest->lines_of = guest->machine.changes;
	if (machine_nmi_pending(&guest->machine))
		look_at_nmi(guest);
	if (!machine_interrupt_pending(&guest->machine, &vector)) {
		vcpu_withdraw_interrupt(vcpu);
		return;
	}
	vcpu_offer_interrupt(vcpu, vector);
	if (vcpu->state.activity == VCPU_HALTED && vcpu_can_take_interrupt(vcpu))
		vcpu->state.activity = VCPU_RUNNING;
}

/* The IRET at which NMIs open again: one step, and it is always there, so as good as an input. */
static NOINLINE void run_nmi_return(struct guest *guest)
{
	vcpu_run(&guest->vcpu, 1, &guest->exit);
	guest->nmi_returns = false;
	guest->vcpu.state.nmi_blocked = 0;
	guest_look_again(guest);
	guest->input_here = true;
}

/* Acts upon the exit. False: a value is not there yet, so the exit stays open. */
static ALWAYS_INLINE bool finish_exit(struct guest *guest)
{
	if (!guest_exit_act(guest)) {
		guest->exit_open = true;
		return false;
	}
	if (guest->machine.power) /* a write, or a watchdog that saw the time */
		guest_outputs(guest);
	return true;
}

/* One run and what its exit asks for. False: the guest cannot go on here and now. */
static ALWAYS_INLINE bool run(struct guest *guest, uint64_t steps_max)
{
	struct vcpu *vcpu = &guest->vcpu;

	guest->input_here = false;
	if (guest->nmi_returns)
		run_nmi_return(guest);
	else
		vcpu_run(vcpu, steps_max, &guest->exit);
	guest->steps += guest->exit.steps;
	if (vcpu->interrupt_taken)
		machine_interrupt_acknowledge(&guest->machine, vcpu->interrupt_vector);
	if (vcpu_exit_is_asynchronous(guest->exit.kind))
		return false;
	if (!finish_exit(guest))
		return false;
	if (vcpu->state.activity == VCPU_SHUTDOWN && guest->state == GUEST_RUNNING)
		guest_fail(guest, "triple fault");
	return true;
}

/* How far to run if nothing else ends the slice: to the next timer, within bounds. */
static uint64_t slice_steps(struct guest *guest)
{
	uint64_t deadline_ns = next_deadline_ns(guest);
	uint64_t steps_max = guest->waits ? GUEST_SLICE_STEPS_WAITING : GUEST_SLICE_STEPS;
	uint64_t now_ns;

	if (guest->slice_mean)
		return random_around(&guest->slice_seed, guest->slice_mean);
	if (guest_door_follows(&guest->door) || deadline_ns == MACHINE_NO_DEADLINE)
		return steps_max;
	now_ns = guest_door_now_ns(&guest->door);
	if (deadline_ns <= now_ns)
		return SLICE_STEPS_MIN;
	return max_u64(SLICE_STEPS_MIN, min_u64(deadline_ns - now_ns, steps_max));
}

/* Runs until the slice is over, the guest halts or something is due. */
static void run_exits(struct guest *guest)
{
	uint32_t exits_left = guest->waits ? GUEST_SLICE_EXITS_WAITING : GUEST_SLICE_EXITS;
	bool follows = guest_door_follows(&guest->door); /* roles change between polls only */
	struct vcpu *vcpu = &guest->vcpu;

	/* What the first entry costs is not its exit's doing: much else was done in between. */
	guest->exit.kind = VCPU_EXIT_SLICE_END;
	guest->steps_left = slice_steps(guest);
	for (; exits_left > 0; exits_left--) {
		struct guest_exit_count *last = &guest->exits[guest->exit.kind];
		uint64_t exit_tsc = vcpu->tsc_exit;
		uint64_t steps_max = guest->steps_left;

		if (follows)
			steps_max = min_u64(steps_max, replay_inputs(guest));
		/* Not after the mere end of a slice: the other server's ends elsewhere. */
		if (guest->lines_of != guest->machine.changes &&
		    (vcpu->position.steps == 0 || guest->input_here))
			look_at_lines(guest);
		if (guest->state != GUEST_RUNNING || vcpu->state.activity != VCPU_RUNNING)
			return;
		if (!run(guest, steps_max))
			return;
		last->count++;
		last->ticks += vcpu->tsc_entry - exit_tsc;
		if (guest->exit.steps >= guest->steps_left)
			return;
		guest->steps_left -= guest->exit.steps;
	}
}

/* The guest's own ticks are none of ours: its steps, where these are what the TSC counts. */
static NOINLINE void run_slice(struct guest *guest)
{
	enum stage before = stage_enter(STAGE_EXITS);
	uint64_t steps = guest->steps;

	run_exits(guest);
	stage_enter(before);
	stage_take_off(STAGE_EXITS, guest->steps - steps);
	if (!vcpu_exit_is_asynchronous(guest->exit.kind))
		guest->exits[guest->exit.kind].at_slice_end++;
}

/* The guest has come to its end: the last record is a digest of everything, and so is the last comparison. */
static void end(struct guest *guest)
{
	struct position here = vcpu_position(&guest->vcpu);
	struct follower_plan plan;

	if (!guest_door_follows(&guest->door)) {
		decide_check(guest, GUEST_DIGEST_ALL);
		return;
	}
	if (guest->door.diverged)
		return;
	guest_door_plan(&guest->door, &here, &plan);
	if (plan.verdict == FOLLOWER_APPLY && plan.record->kind == RECORD_CHECK)
		compare_check(guest, plan.record, GUEST_DIGEST_ALL);
	else
		guest_stop(guest, "the guest of the log did not come to its end here");
}

/* A leader may have to wait as well. False: not now. */
static bool leader_may_run(struct guest *guest)
{
	struct position here;
	struct follower_plan plan;

	if (guest->door.mode != GUEST_DOOR_PAIR)
		return true;
	here = vcpu_position(&guest->vcpu);
	guest_door_plan(&guest->door, &here, &plan);
	return plan.verdict == FOLLOWER_RUN;
}

/* Does somebody wait for the follower to come here: for an output, or it itself, as idle as we are? */
static bool horizon_is_urgent(const struct guest *guest)
{
	return guest->put_out || guest->state != GUEST_RUNNING || guest->vcpu.state.activity != VCPU_RUNNING;
}

/* How far the follower may come; told only when there is something new. */
static void tell_horizon(struct guest *guest)
{
	struct position here;

	if (guest->door.mode != GUEST_DOOR_PAIR ||
	    (!horizon_is_urgent(guest) && !time_reached(guest->horizon_next_ns)))
		return;
	here = vcpu_position(&guest->vcpu);
	if (position_compare(&here, &guest->horizon) == 0 || !guest_door_decides(&guest->door))
		return;
	guest->horizon = here;
	guest->horizon_next_ns = time_now_ns() + HORIZON_INTERVAL_NS;
	guest->put_out = false;
	guest_door_horizon(&guest->door, &here);
	guest->outside->slice_end();
}

static void count_wait(struct guest *guest)
{
	if (guest->wait_since_ns)
		guest->wait_ns += time_now_ns() - guest->wait_since_ns;
	guest->wait_since_ns = 0;
}

static void lead(struct guest *guest)
{
	if (guest->state == GUEST_WAITING)
		guest->state = GUEST_RUNNING; /* as a follower it waited for its leader */
	if (!leader_may_run(guest)) {
		if (!guest->wait_since_ns)
			guest->wait_since_ns = time_now_ns();
		return;
	}
	count_wait(guest);
	decide_inputs(guest);
	if (is_on(guest) && !guest->drains)
		run_slice(guest);
	tell_horizon(guest);
}

static void go_on(struct guest *guest)
{
	if (guest->exit_open) {
		guest->exit_open = !finish_exit(guest);
		if (guest->exit_open || !is_on(guest))
			return;
	}
	if (guest_door_follows(&guest->door))
		run_slice(guest);
	else
		lead(guest);
}

/* A guest of a pair that is off: only a button can change that, on both servers alike. */
static void poll_off(struct guest *guest)
{
	struct machine_input input;

	if (guest_door_follows(&guest->door))
		replay_inputs(guest);
	else if (guest_door_decides(&guest->door) && guest->outside->input(&input))
		decide_input(guest, &input);
}

bool guest_poll(struct guest *guest)
{
	uint64_t exits = guest->vcpu.position.exits;
	uint64_t steps = guest->steps;
	bool is_pair = guest->door.mode == GUEST_DOOR_PAIR;
	bool ran;

	if (!is_on(guest)) {
		if (is_pair)
			poll_off(guest);
		return false;
	}
	go_on(guest);
	if (!is_on(guest) && !is_pair)
		end(guest);
	ran = guest->vcpu.position.exits != exits || guest->steps != steps;
	if (ran)
		stage_worked();
	return ran;
}

/* ---- its context ---- */

void guest_save(struct guest *guest, uint64_t outputs, struct guest_context *context)
{
	const struct vcpu *vcpu = &guest->vcpu;

	ASSERT(!guest->exit_open);
	vcpu_save(&guest->vcpu);
	memset(context, 0, sizeof(*context));
	context->exits = vcpu->position.exits;
	context->steps = vcpu->position.steps;
	context->steps_total = guest->steps;
	context->check_count = guest->check_count;
	context->check_next_ns = guest->check_next_ns;
	context->interrupt_offered = vcpu->interrupt_offered;
	context->interrupt_vector = vcpu->interrupt_vector;
	context->task_priority = vcpu->task_priority;
	context->nmi_return_watched = vcpu->nmi_return_watched;
	context->nmi_returns = guest->nmi_returns;
	context->input_here = guest->input_here;
	context->date_owed = guest->date_owed;
	context->state = (uint8_t)(guest->state == GUEST_WAITING ? GUEST_RUNNING : guest->state);
	context->restarts = guest->restarts;
	context->outputs = outputs;
	memcpy(&context->vcpu, &vcpu->state, sizeof(context->vcpu));
	memcpy(&context->machine, &guest->machine, sizeof(context->machine));
	guest_context_seal(context);
}

void guest_load(struct guest *guest, const struct guest_context *context)
{
	struct vcpu *vcpu = &guest->vcpu;

	ASSERT(machine_config_difference(&context->machine.config, &guest->machine.config) == NULL);
	memcpy(&vcpu->state, &context->vcpu, sizeof(vcpu->state));
	memcpy(&guest->machine, &context->machine, sizeof(guest->machine));
	vcpu->position = (struct position){ .exits = context->exits, .steps = context->steps };
	vcpu->interrupt_offered = context->interrupt_offered;
	vcpu->interrupt_vector = context->interrupt_vector;
	vcpu->interrupt_taken = false;
	vcpu->task_priority = context->task_priority;
	vcpu_watch_nmi_return(vcpu, context->nmi_return_watched);
	vcpu_load(vcpu);
	guest->steps = context->steps_total;
	guest->check_count = context->check_count;
	guest->check_next_ns = context->check_next_ns;
	guest->nmi_returns = context->nmi_returns;
	guest->input_here = context->input_here;
	guest->exit_open = false;
	guest->date_owed = context->date_owed;
	guest->deadline_of = UINT64_MAX;
	/* Once more where they have been looked at already shows nothing new. */
	guest_look_again(guest);
	guest_door_set_time(&guest->door, guest->machine.now_ns);
	guest->restarts = context->restarts;
	guest->state = context->state;
	guest->reason = guest->state == GUEST_STOPPED ? "it failed" : NULL;
}

/* ---- looking ---- */

void guest_show_exits(const struct guest *guest, void (*print)(const char *format, ...))
{
	print("exits by kind: how many, and TSC ticks of the hypervisor for each\n");
	for (uint32_t kind = VCPU_EXIT_SERVER_INIT + 1; kind < VCPU_EXIT_KIND_COUNT; kind++) {
		const struct guest_exit_count *count = &guest->exits[kind];

		if (guest_exit_total(count))
			print("  %-12s %9lu %7lu\n", vcpu_exit_name(kind),
			      (unsigned long)guest_exit_total(count),
			      (unsigned long)(count->ticks / max_u64(count->count, 1)));
	}
	stage_show(print);
}
