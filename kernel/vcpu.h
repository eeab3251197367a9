/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtual processor: all that the hypervisor sees of SVM (and later VMX). One
 * to a server. What differs between processors is behind `struct vcpu_ops`; what a
 * register write means to the guest is in vcpu.c, once.
 *
 * The run loop calls vcpu_run(), acts on the exit, and either moves past the
 * instruction (vcpu_instruction_done) or injects a fault. Between two runs these
 * fields of `state` are current: gpr, rip, rflags, cr4, efer, the attributes of CS, pat,
 * tsc_aux, debug_control, event, activity, interrupt_shadow, nmi_blocked. The others after ops->save(),
 * FPU and debug registers after vcpu_save(). gpr, rip and rflags may be changed freely; after a
 * change of anything else call vcpu_load().
 *
 * Determinism, kept here so that nobody else needs to know:
 *  - Hardware interrupts are offered (vcpu_offer_interrupt) and taken at the first
 *    place where the guest can take them, slices or not. If that is not at once, the
 *    place is a synchronous exit of its own (VCPU_EXIT_WINDOW).
 *  - An event that is delivered at an entry retires nothing, so "before" and "after"
 *    would be one position: but no run ends without at least one step or an exit.
 *  - A slice never ends in an interrupt shadow, nor where the window is about to open:
 *    a step more is made. Which of two things at one place is first must not show.
 */
#ifndef KERNEL_VCPU_H
#define KERNEL_VCPU_H

#include "include/assert.h"
#include "include/bits.h"
#include "include/position.h"
#include "include/vcpu_exit.h"
#include "include/vcpu_state.h"
#include "kernel/step_counter.h"

#define VCPU_INSTRUCTION_SIZE_MAX 15
#define VCPU_DIRTY_WORDS 8 /* a bit for each 4 KiB of 2 MiB */

struct vcpu;

/*
 * Finds the code at the guest's CS:RIP, for exits whose instruction the processor did
 * not report: up to VCPU_INSTRUCTION_SIZE_MAX bytes, fewer when the next page is
 * missing, 0 when none can be read.
 */
struct vcpu_code {
	const uint8_t *bytes;
	uint32_t size;
	bool in_place; /* `bytes` is the guest's own memory, not a copy made for this call */
};
typedef void vcpu_fetch_function(void *owner, const struct vcpu_state *state, struct vcpu_code *code);

struct vcpu_ops {
	const char *name;
	/* NULL, or why this server cannot do it: "switched off in the firmware's set-up". */
	const char *(*unusable)(void);
	/* Switches virtualisation on and makes an empty guest address space for `guest_size` bytes. Start-up only. */
	int (*init)(struct vcpu *vcpu, uint64_t guest_size);
	/* Adds memory to the guest's address space; all a multiple of 4 KiB. Start-up only. */
	int (*map)(struct vcpu *vcpu, uint64_t gpa, uint64_t hpa, uint64_t size);
	void (*unmap_all)(struct vcpu *vcpu);
	/*
	 * Which pages does the guest's processor write? `reserve_tracking` takes memory for a
	 * guest of `size` bytes, start-up only: 0 or -ENOMEM. `track` begins, with no page
	 * written, or ends it. While it is on, `take_dirty` tells which pages of 4 KiB of the
	 * 2 MiB at `gpa` were written since the last time, where something is mapped.
	 */
	int (*reserve_tracking)(struct vcpu *vcpu, uint64_t size);
	void (*track)(struct vcpu *vcpu, bool on);
	void (*take_dirty)(struct vcpu *vcpu, uint64_t gpa, uint64_t dirty[VCPU_DIRTY_WORDS]);
	/* Runs the guest until an exit; the slice timer is started with `timer_count` right before. */
	void (*run)(struct vcpu *vcpu, uint32_t timer_count, struct vcpu_exit *exit);
	/* Hardware's copy -> vcpu->state, and back. All but FPU and DR0..DR3. */
	void (*save)(struct vcpu *vcpu);
	void (*load)(struct vcpu *vcpu);
	/* Forget the guest's address translations at the next entry. */
	void (*flush)(struct vcpu *vcpu);
	/* Exit at the next IRET, before it. */
	void (*watch_nmi_return)(struct vcpu *vcpu, bool on);
};

extern const struct vcpu_ops svm_vcpu_ops;

struct vcpu {
	struct vcpu_state state;

	const struct vcpu_ops *ops;
	const struct step_counter *counter;
	vcpu_fetch_function *fetch;
	void *owner;		  /* of fetch */
	uint64_t xcr0_allowed;	  /* what the guest's XSETBV may switch on; may be narrowed after vcpu_init */
	uint64_t cr4_allowed;	  /* what its CR4 may hold: set by the owner to what its CPUID promises */
	volatile uint32_t *timer; /* slice timer: writing a count starts it */

	struct position position; /* exits and steps; rip and rcx are filled in by vcpu_position() */

	uint64_t tsc_entry; /* of the last run */
	uint64_t tsc_exit;

	bool interrupt_offered; /* and not taken yet */
	bool interrupt_taken;	/* in the last run */
	bool window_watched;	/* in the run that is about to begin: exit when it can be taken */
	uint8_t interrupt_vector;
	uint8_t task_priority; /* CR8 as the guest reads it */
	bool nmi_return_watched;
};

/*
 * Finds out what this server's processor can do and switches it on. `timer` is the
 * register whose write starts the slice timer; the guest will have `guest_size` bytes
 * of memory at most, laid out as machine/guest_memory.h has it. Returns 0, -ENODEV with
 * the reason traced, or -ENOMEM. Start-up only.
 */
int vcpu_init(struct vcpu *vcpu, volatile uint32_t *timer, uint64_t guest_size);

/* Empty address space, state after power-on, position 0, `fetch` to read its code. */
void vcpu_reset(struct vcpu *vcpu, vcpu_fetch_function *fetch, void *owner);

/* For vcpu_instruction_done(): RF and TF behind an instruction. */
void vcpu_flags_done(struct vcpu *vcpu);

/*
 * Raises an exception at the current RIP, at the next entry. When it meets one that
 * is being delivered, the two become a double fault or a shutdown (APM 2, 8.2.9).
 */
void vcpu_inject_exception(struct vcpu *vcpu, uint8_t vector, bool has_error_code, uint32_t error_code);
void vcpu_inject_general_protection(struct vcpu *vcpu);
void vcpu_inject_undefined(struct vcpu *vcpu);
void vcpu_inject_page_fault(struct vcpu *vcpu, uint64_t address, uint32_t error_code);
void vcpu_inject_nmi(struct vcpu *vcpu);

/* The machine's word for "interrupt line up": may be called before every run, also to withdraw. */
void vcpu_offer_interrupt(struct vcpu *vcpu, uint8_t vector);
void vcpu_withdraw_interrupt(struct vcpu *vcpu);

/* Exit at the next IRET, before it (VCPU_EXIT_NMI_RETURN). */
void vcpu_watch_nmi_return(struct vcpu *vcpu, bool on);

/* Would the guest take an interrupt now? For a halted guest: does it wake it? */
static inline bool vcpu_can_take_interrupt(const struct vcpu *vcpu)
{
	return (vcpu->state.rflags & VCPU_RFLAGS_IF) && !vcpu->state.interrupt_shadow &&
	       vcpu->state.event.kind == VCPU_EVENT_NONE;
}

/*
 * One entry, for vcpu_run(). `window_watched`: an offered interrupt is not taken, but told of
 * when it could be.
 */
static ALWAYS_INLINE void vcpu_enter(struct vcpu *vcpu, uint64_t steps_max, bool window_watched,
				     struct vcpu_exit *exit)
{
	vcpu->window_watched = window_watched;
	vcpu->ops->run(vcpu, vcpu->counter->ops->timer_count(vcpu->counter, steps_max), exit);
}

static ALWAYS_INLINE void vcpu_enter_for(struct vcpu *vcpu, uint64_t steps_max, struct vcpu_exit *exit)
{
	vcpu_enter(vcpu, steps_max, vcpu->interrupt_offered && !vcpu_can_take_interrupt(vcpu), exit);
}

/* For vcpu_run(): the slice timer has come, too early perhaps. */
void vcpu_finish_slice(struct vcpu *vcpu, uint64_t steps_max, struct vcpu_exit *exit);

/*
 * Runs the guest until a synchronous exit, or for `steps_max` (1 or more) steps: with
 * an exact counter exactly that many, or a few more where that place is in an interrupt
 * shadow or where an offered interrupt is due. The position is moved on. Inline: each exit comes by here.
 */
static ALWAYS_INLINE void vcpu_run(struct vcpu *vcpu, uint64_t steps_max, struct vcpu_exit *exit)
{
	ASSERT(steps_max > 0);
	ASSERT(vcpu->state.activity == VCPU_RUNNING);
	vcpu->interrupt_taken = false;
	vcpu_enter_for(vcpu, steps_max, exit);
	if (vcpu_exit_is_asynchronous(exit->kind)) {
		vcpu_finish_slice(vcpu, steps_max, exit);
		return;
	}
	vcpu->position.exits++;
	vcpu->position.steps = 0;
}

/*
 * What the guest writes. False: raise #GP(0), nothing was changed. CR8 is the
 * caller's business (the local APIC).
 */
bool vcpu_cr_write(struct vcpu *vcpu, uint32_t number, uint64_t value);
bool vcpu_xsetbv(struct vcpu *vcpu, uint32_t number, uint64_t value);

enum vcpu_msr_result {
	VCPU_MSR_DONE,
	VCPU_MSR_FAULT,	   /* raise #GP(0) */
	VCPU_MSR_PLATFORM, /* not the processor's own: ask the machine */
};
enum vcpu_msr_result vcpu_msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value);
enum vcpu_msr_result vcpu_msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t value);

/* Is the guest in 64-bit mode, by its CS? */
static inline bool vcpu_is_64bit(const struct vcpu_state *state)
{
	return (state->efer & VCPU_EFER_LMA) && (state->segments[VCPU_CS].attributes & VCPU_SEGMENT_LONG);
}

/* The exit's instruction is done: RIP behind it, shadow and RF gone, single-step trap if asked for. */
static inline void vcpu_instruction_done(struct vcpu *vcpu, uint32_t size)
{
	struct vcpu_state *state = &vcpu->state;

	state->rip += size;
	if (state->rip > UINT32_MAX && !vcpu_is_64bit(state))
		state->rip &= UINT32_MAX;
	state->interrupt_shadow = 0;
	if (state->rflags & (VCPU_RFLAGS_RF | VCPU_RFLAGS_TF))
		vcpu_flags_done(vcpu);
}

/* Position with its checks. */
struct position vcpu_position(const struct vcpu *vcpu);

/* Position of the exit that is open, RIP the only check: good until the next run. */
static inline const struct position *vcpu_exit_position(struct vcpu *vcpu)
{
	vcpu->position.rip = vcpu->state.rip;
	return &vcpu->position;
}

/* Makes all of `state` current, FPU included; and the other way round: hardware takes it all from `state`. */
void vcpu_save(struct vcpu *vcpu);
void vcpu_load(struct vcpu *vcpu);

#endif
