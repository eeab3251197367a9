/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every kind of processor has in common: the position, interrupt shadows,
 * exceptions, and what a write of a control register or MSR means to the guest.
 * AMD64 Architecture Programmer's Manual volume 2 (APM 2).
 */
#include "kernel/vcpu.h"

#include <errno.h>
#include <string.h>

#include "include/assert.h"
#include "include/trace.h"
#include "kernel/cpu.h"
#include "kernel/vcpu_fpu.h"

TRACE_FILE("vcpu", TRACE_INFO);

#define MSR_EFER UINT32_C(0xc0000080)
#define MSR_PAT UINT32_C(0x277)
#define MSR_DEBUG_CONTROL UINT32_C(0x1d9)
#define MSR_TSC_AUX UINT32_C(0xc0000103)

#define DEBUG_CONTROL_VALID UINT64_C(0x3f)
#define DR6_SINGLE_STEP BIT(14)
#define CR0_VALID                                                                                            \
	(UINT64_C(0x1f) | VCPU_CR0_ET | VCPU_CR0_NE | VCPU_CR0_WP | BIT(18) | VCPU_CR0_NW | VCPU_CR0_CD |    \
	 VCPU_CR0_PG)

enum exception_vector {
	EXCEPTION_DIVIDE = 0,
	EXCEPTION_DEBUG = 1,
	EXCEPTION_UNDEFINED = 6,
	EXCEPTION_DOUBLE_FAULT = 8,
	EXCEPTION_INVALID_TSS = 10,
	EXCEPTION_GENERAL_PROTECTION = 13,
	EXCEPTION_PAGE_FAULT = 14,
};

static const char *const exit_names[VCPU_EXIT_KIND_COUNT] = {
	[VCPU_EXIT_SLICE_END] = "slice-end",
	[VCPU_EXIT_SERVER_NMI] = "server-nmi",
	[VCPU_EXIT_SERVER_INIT] = "server-init",
	[VCPU_EXIT_CPUID] = "cpuid",
	[VCPU_EXIT_TSC] = "rdtsc",
	[VCPU_EXIT_RDPMC] = "rdpmc",
	[VCPU_EXIT_PORT] = "port",
	[VCPU_EXIT_MSR] = "msr",
	[VCPU_EXIT_CR] = "cr",
	[VCPU_EXIT_XSETBV] = "xsetbv",
	[VCPU_EXIT_HLT] = "hlt",
	[VCPU_EXIT_CACHE] = "cache",
	[VCPU_EXIT_HYPERCALL] = "hypercall",
	[VCPU_EXIT_UNDEFINED] = "undefined",
	[VCPU_EXIT_MEMORY] = "memory",
	[VCPU_EXIT_NMI_RETURN] = "nmi-return",
	[VCPU_EXIT_WINDOW] = "window",
	[VCPU_EXIT_SHUTDOWN] = "shutdown",
	[VCPU_EXIT_INVALID] = "invalid",
};

const char *vcpu_exit_name(uint32_t kind)
{
	return kind < VCPU_EXIT_KIND_COUNT ? exit_names[kind] : "unknown";
}

int vcpu_init(struct vcpu *vcpu, volatile uint32_t *timer, uint64_t guest_size)
{
	static const struct vcpu_ops *const all_ops[] = { &svm_vcpu_ops };
	const char *reason = NULL;

	memset(vcpu, 0, sizeof(*vcpu));
	vcpu->timer = timer;
	for (uint32_t i = 0; i < ARRAY_SIZE(all_ops) && !vcpu->ops; i++) {
		reason = all_ops[i]->unusable();
		if (!reason)
			vcpu->ops = all_ops[i];
	}
	if (!vcpu->ops) {
		trace(TRACE_ERROR, "no guest can run on this processor: %s", reason);
		return -ENODEV;
	}
	vcpu->xcr0_allowed = vcpu_fpu_init();
	if (!vcpu->xcr0_allowed) {
		trace(TRACE_ERROR, "no guest can run on this processor: it has no XSAVE");
		return -ENODEV;
	}
	return vcpu->ops->init(vcpu, guest_size);
}

void vcpu_reset(struct vcpu *vcpu, vcpu_fetch_function *fetch, void *owner)
{
	vcpu->fetch = fetch;
	vcpu->owner = owner;
	memset(&vcpu->position, 0, sizeof(vcpu->position));
	vcpu->interrupt_offered = false;
	vcpu->interrupt_taken = false;
	vcpu->task_priority = 0;
	vcpu->ops->unmap_all(vcpu);
	vcpu_state_reset(&vcpu->state);
	vcpu_load(vcpu);
}

void vcpu_save(struct vcpu *vcpu)
{
	vcpu->ops->save(vcpu);
	vcpu_fpu_save(&vcpu->state, vcpu->xcr0_allowed);
}

void vcpu_load(struct vcpu *vcpu)
{
	vcpu_fpu_load(&vcpu->state, vcpu->xcr0_allowed);
	cpu_write_msr(MSR_TSC_AUX, vcpu->state.tsc_aux);
	vcpu->ops->load(vcpu);
	vcpu->ops->flush(vcpu);
}

struct position vcpu_position(const struct vcpu *vcpu)
{
	struct position position = vcpu->position;

	position.rip = vcpu->state.rip;
	position.rcx = vcpu->state.gpr[VCPU_RCX];
	return position;
}

/* ---- running ---- */

static void move_on(struct vcpu *vcpu, const struct vcpu_exit *exit)
{
	if (vcpu_exit_is_asynchronous(exit->kind)) {
		vcpu->position.steps += exit->steps;
		return;
	}
	vcpu->position.exits++;
	vcpu->position.steps = 0;
}

/*
 * Is this a place that only the end of a slice could make visible? Between STI or MOV
 * SS and the instruction that they protect: not every processor can go on inside a
 * shadow. Or where an offered interrupt is due: its window and the slice's own
 * interrupt came at once, and the window is first by definition.
 */
static bool is_between(const struct vcpu *vcpu, const struct vcpu_exit *exit)
{
	if (!vcpu_exit_is_asynchronous(exit->kind))
		return false;
	return vcpu->state.interrupt_shadow || (vcpu->interrupt_offered && vcpu_can_take_interrupt(vcpu));
}

/*
 * One step on, or into the open window. In a shadow without the offered interrupt, and
 * then the shadow is over: an instruction in a shadow never begins another (APM 3, MOV:
 * only the first of a row does).
 */
static uint64_t step_on(struct vcpu *vcpu, struct vcpu_exit *exit)
{
	bool is_shadow = vcpu->state.interrupt_shadow;
	bool offered = vcpu->interrupt_offered;

	if (is_shadow)
		vcpu->interrupt_offered = false;
	do {
		vcpu_enter(vcpu, 1, vcpu->interrupt_offered, exit);
		move_on(vcpu, exit);
	} while (vcpu_exit_is_asynchronous(exit->kind) && exit->steps == 0);
	if (is_shadow) {
		vcpu->interrupt_offered = offered;
		vcpu->state.interrupt_shadow = 0;
	}
	return exit->steps;
}

/* The slice timer has come. Too early, when it was the last slice's and came while we were in the hypervisor. */
void vcpu_finish_slice(struct vcpu *vcpu, uint64_t steps_max, struct vcpu_exit *exit)
{
	uint64_t steps = exit->steps;

	move_on(vcpu, exit);
	while (vcpu_exit_is_asynchronous(exit->kind) && steps < steps_max) {
		vcpu_enter_for(vcpu, steps_max - steps, exit);
		move_on(vcpu, exit);
		steps += exit->steps;
	}
	while (is_between(vcpu, exit))
		steps += step_on(vcpu, exit);
	exit->steps = steps;
}

void vcpu_flags_done(struct vcpu *vcpu)
{
	vcpu->state.rflags &= ~VCPU_RFLAGS_RF;
	if (!(vcpu->state.rflags & VCPU_RFLAGS_TF))
		return;
	vcpu->ops->save(vcpu);
	vcpu->state.dr6 |= DR6_SINGLE_STEP;
	vcpu->ops->load(vcpu);
	vcpu_inject_exception(vcpu, EXCEPTION_DEBUG, false, 0);
}

/* ---- events ---- */

/* APM 2, table 8-5: benign, contributory and page faults. */
static bool is_contributory(uint8_t vector)
{
	return vector == EXCEPTION_DIVIDE ||
	       (vector >= EXCEPTION_INVALID_TSS && vector <= EXCEPTION_GENERAL_PROTECTION);
}

static bool makes_double_fault(uint8_t first, uint8_t second)
{
	if (first == EXCEPTION_PAGE_FAULT)
		return second == EXCEPTION_PAGE_FAULT || is_contributory(second);
	return is_contributory(first) && is_contributory(second);
}

void vcpu_inject_exception(struct vcpu *vcpu, uint8_t vector, bool has_error_code, uint32_t error_code)
{
	struct vcpu_state *state = &vcpu->state;
	const struct vcpu_event first = state->event;

	state->interrupt_shadow = 0;
	if (first.kind == VCPU_EVENT_EXCEPTION && first.vector == EXCEPTION_DOUBLE_FAULT) {
		state->event = (struct vcpu_event){ 0 };
		state->activity = VCPU_SHUTDOWN;
		return;
	}
	if (first.kind == VCPU_EVENT_EXCEPTION && makes_double_fault(first.vector, vector)) {
		vector = EXCEPTION_DOUBLE_FAULT;
		has_error_code = true;
		error_code = 0;
	}
	state->event = (struct vcpu_event){
		.kind = VCPU_EVENT_EXCEPTION,
		.vector = vector,
		.has_error_code = has_error_code,
		.error_code = error_code,
	};
}

void vcpu_inject_general_protection(struct vcpu *vcpu)
{
	vcpu_inject_exception(vcpu, EXCEPTION_GENERAL_PROTECTION, true, 0);
}

void vcpu_inject_undefined(struct vcpu *vcpu)
{
	vcpu_inject_exception(vcpu, EXCEPTION_UNDEFINED, false, 0);
}

void vcpu_inject_page_fault(struct vcpu *vcpu, uint64_t address, uint32_t error_code)
{
	vcpu->ops->save(vcpu);
	vcpu->state.cr2 = address;
	vcpu->ops->load(vcpu);
	vcpu_inject_exception(vcpu, EXCEPTION_PAGE_FAULT, true, error_code);
}

void vcpu_inject_nmi(struct vcpu *vcpu)
{
	ASSERT(vcpu->state.event.kind == VCPU_EVENT_NONE);
	vcpu->state.event = (struct vcpu_event){ .kind = VCPU_EVENT_NMI, .vector = 2 };
	vcpu->state.nmi_blocked = 1;
}

void vcpu_offer_interrupt(struct vcpu *vcpu, uint8_t vector)
{
	vcpu->interrupt_offered = true;
	vcpu->interrupt_vector = vector;
}

void vcpu_withdraw_interrupt(struct vcpu *vcpu)
{
	vcpu->interrupt_offered = false;
}

void vcpu_watch_nmi_return(struct vcpu *vcpu, bool on)
{
	vcpu->nmi_return_watched = on;
	vcpu->ops->watch_nmi_return(vcpu, on);
}

/* ---- registers with rules ---- */

/* APM 2, 3.1.1 and 14.6: what MOV CR0 refuses, and what switching paging does to long mode. */
static bool cr0_write(struct vcpu *vcpu, uint64_t value)
{
	struct vcpu_state *state = &vcpu->state;
	uint64_t efer = state->efer;
	bool turns_paging_on;

	if (value >> 32)
		return false;
	vcpu->ops->save(vcpu);
	turns_paging_on = (value & VCPU_CR0_PG) && !(state->cr0 & VCPU_CR0_PG);
	value = (value & CR0_VALID) | VCPU_CR0_ET;
	if ((value & VCPU_CR0_PG) && !(value & VCPU_CR0_PE))
		return false;
	if ((value & VCPU_CR0_NW) && !(value & VCPU_CR0_CD))
		return false;
	if (turns_paging_on && (efer & VCPU_EFER_LME)) {
		if (!(state->cr4 & VCPU_CR4_PAE) || (state->segments[VCPU_CS].attributes & VCPU_SEGMENT_LONG))
			return false;
		efer |= VCPU_EFER_LMA;
	}
	if (!(value & VCPU_CR0_PG)) {
		if (vcpu_is_64bit(state))
			return false;
		efer &= ~VCPU_EFER_LMA;
	}
	state->cr0 = value;
	state->efer = efer;
	vcpu->ops->load(vcpu);
	vcpu->ops->flush(vcpu);
	return true;
}

static bool cr4_write(struct vcpu *vcpu, uint64_t value)
{
	struct vcpu_state *state = &vcpu->state;

	if (value & ~vcpu->cr4_allowed)
		return false;
	if (!(value & VCPU_CR4_PAE) && (state->efer & VCPU_EFER_LMA))
		return false;
	vcpu->ops->save(vcpu);
	state->cr4 = value;
	vcpu->ops->load(vcpu);
	vcpu->ops->flush(vcpu);
	return true;
}

bool vcpu_cr_write(struct vcpu *vcpu, uint32_t number, uint64_t value)
{
	ASSERT(number == 0 || number == 4);
	return number == 0 ? cr0_write(vcpu, value) : cr4_write(vcpu, value);
}

bool vcpu_xsetbv(struct vcpu *vcpu, uint32_t number, uint64_t value)
{
	vcpu->ops->save(vcpu);
	if (number != 0 || !(value & VCPU_XCR0_X87) || (value & ~vcpu->xcr0_allowed) || vcpu->state.cpl != 0)
		return false;
	if ((value & VCPU_XCR0_AVX) && !(value & VCPU_XCR0_SSE))
		return false;
	vcpu->state.xcr0 = value;
	vcpu_fpu_set_xcr0(value);
	return true;
}

static bool efer_write(struct vcpu *vcpu, uint64_t value)
{
	const uint64_t writable = VCPU_EFER_SCE | VCPU_EFER_LME | VCPU_EFER_NXE;
	struct vcpu_state *state = &vcpu->state;

	if (value & ~(writable | VCPU_EFER_LMA))
		return false;
	vcpu->ops->save(vcpu);
	if (((value ^ state->efer) & VCPU_EFER_LME) && (state->cr0 & VCPU_CR0_PG))
		return false;
	state->efer = (value & writable) | (state->efer & VCPU_EFER_LMA);
	vcpu->ops->load(vcpu);
	vcpu->ops->flush(vcpu);
	return true;
}

/* APM 2, 7.8.1: eight memory types of one byte each; 2 and 3 are reserved. */
static bool pat_write(struct vcpu *vcpu, uint64_t value)
{
	for (uint32_t shift = 0; shift < 64; shift += 8) {
		uint8_t type = (uint8_t)(value >> shift);

		if (type > 7 || type == 2 || type == 3)
			return false;
	}
	vcpu->ops->save(vcpu);
	vcpu->state.pat = value;
	vcpu->ops->load(vcpu);
	vcpu->ops->flush(vcpu);
	return true;
}

enum vcpu_msr_result vcpu_msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	switch (msr) {
	case MSR_EFER:
		*value = vcpu->state.efer;
		return VCPU_MSR_DONE;
	case MSR_PAT:
		*value = vcpu->state.pat;
		return VCPU_MSR_DONE;
	case MSR_TSC_AUX:
		*value = vcpu->state.tsc_aux;
		return VCPU_MSR_DONE;
	case MSR_DEBUG_CONTROL:
		*value = vcpu->state.debug_control;
		return VCPU_MSR_DONE;
	default:
		return VCPU_MSR_PLATFORM;
	}
}

enum vcpu_msr_result vcpu_msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	bool done;

	switch (msr) {
	case MSR_EFER:
		done = efer_write(vcpu, value);
		break;
	case MSR_PAT:
		done = pat_write(vcpu, value);
		break;
	case MSR_TSC_AUX:
		done = value <= UINT32_MAX;
		if (done) {
			vcpu->state.tsc_aux = value;
			cpu_write_msr(MSR_TSC_AUX, value); /* RDPID, if the guest tries it, reads it */
		}
		break;
	case MSR_DEBUG_CONTROL: /* kept, without effect: CPUID promises neither LBR nor branch steps */
		done = !(value & ~DEBUG_CONTROL_VALID);
		if (done)
			vcpu->state.debug_control = value;
		break;
	default:
		return VCPU_MSR_PLATFORM;
	}
	return done ? VCPU_MSR_DONE : VCPU_MSR_FAULT;
}
