/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each exit of the guest does: a value from the machine, a fault, or the next
 * instruction. The frequent ones (CPUID, RDTSC, ports, MSRs) are short on purpose;
 * guest_show_exits() tells what they cost.
 */
#include <errno.h>

#include "include/assert.h"
#include "include/trace.h"
#include "kernel/guest.h"
#include "machine/emulate.h"
#include "machine/ports.h"

TRACE_FILE("guest", TRACE_INFO);

#define CR8_MAX 15
#define CPUID_LEAF_XSAVE 0xd
/* Iterations of a REP string in one go; interrupts wait for so long. */
#define STRING_ITERATIONS_MAX 4096
#define EMULATION_COUNT 64 /* places of such instructions that are remembered */

static void set_pair(struct vcpu_state *state, uint64_t value)
{
	state->gpr[VCPU_RAX] = (uint32_t)value;
	state->gpr[VCPU_RDX] = value >> 32;
}

static void done(struct guest *guest)
{
	vcpu_instruction_done(&guest->vcpu, guest->exit.instruction_size);
}

static bool act_on_cpuid(struct guest *guest)
{
	struct vcpu_state *state = &guest->vcpu.state;
	struct machine_cpuid_result result;

	if ((uint32_t)state->gpr[VCPU_RAX] == CPUID_LEAF_XSAVE)
		guest->vcpu.ops->save(&guest->vcpu); /* it tells of XCR0 */
	result = machine_cpuid(&guest->machine, state, (uint32_t)state->gpr[VCPU_RAX],
			       (uint32_t)state->gpr[VCPU_RCX]);

	state->gpr[VCPU_RAX] = result.eax;
	state->gpr[VCPU_RBX] = result.ebx;
	state->gpr[VCPU_RCX] = result.ecx;
	state->gpr[VCPU_RDX] = result.edx;
	done(guest);
	return true;
}

static bool act_on_tsc(struct guest *guest)
{
	struct vcpu_state *state = &guest->vcpu.state;

	if (!guest_time_update(guest))
		return false;
	set_pair(state, machine_tsc(&guest->machine));
	if (guest->exit.tsc.is_rdtscp)
		state->gpr[VCPU_RCX] = state->tsc_aux;
	done(guest);
	return true;
}

/* IN writes AL or AX and leaves the rest of RAX; EAX clears the upper half, as always. */
static void set_rax(struct vcpu_state *state, uint32_t size, uint32_t value)
{
	uint64_t *rax = &state->gpr[VCPU_RAX];

	if (size == 4)
		*rax = value;
	else if (size == 2)
		*rax = (*rax & ~UINT64_C(0xffff)) | (uint16_t)value;
	else
		*rax = (*rax & ~UINT64_C(0xff)) | (uint8_t)value;
}

static uint32_t rax_of_size(const struct vcpu_state *state, uint32_t size)
{
	uint32_t value = (uint32_t)state->gpr[VCPU_RAX];

	return size == 4 ? value : value & (uint32_t)(BIT(size * 8) - 1);
}

/* The one that was at this place before, most often: machine_emulate_prepare() looks. */
static struct machine_emulation *emulation_at(uint64_t rip)
{
	static struct machine_emulation emulations[EMULATION_COUNT];

	return &emulations[(rip ^ rip >> 6) % EMULATION_COUNT];
}

/*
 * An instruction with a memory operand, carried out by machine/emulate.c: MMIO, INS,
 * OUTS. A REP string's iterations are done here until it moves on or needs a value
 * that is not there; each leaves the registers as the processor would.
 */
static bool emulate(struct guest *guest, uint64_t gpa)
{
	struct vcpu_state *state = &guest->vcpu.state;
	struct machine_emulation *emulation = emulation_at(state->rip);

	guest->vcpu.ops->save(&guest->vcpu);
	for (uint32_t i = 0; i < STRING_ITERATIONS_MAX; i++) {
		uint64_t rip = state->rip;
		int error = machine_emulate_prepare(emulation, state, &guest->memory, gpa);

		if (error == -EFAULT) {
			vcpu_inject_page_fault(&guest->vcpu, emulation->fault_address,
					       emulation->fault_error_code);
			return true;
		}
		if (error) {
			vcpu_inject_undefined(&guest->vcpu);
			return true;
		}
		if (machine_emulate_reads_time(emulation, &guest->machine, state, &guest->memory) &&
		    !guest_time_ask(guest))
			return false;
		machine_emulate_execute(emulation, &guest->machine, state, &guest->memory);
		guest_outputs(guest);
		if (state->rip != rip) {
			vcpu_instruction_done(&guest->vcpu, 0);
			break;
		}
	}
	return true;
}

static bool act_on_port_in(struct guest *guest, uint16_t port, uint32_t size)
{
	if (machine_port_reads_time(&guest->machine, port, size, false) && !guest_time_update(guest))
		return false;
	set_rax(&guest->vcpu.state, size, machine_port_read(&guest->machine, &guest->memory, port, size));
	done(guest);
	return true;
}

static bool act_on_port_out(struct guest *guest, uint16_t port, uint32_t size)
{
	if (machine_port_reads_time(&guest->machine, port, size, true) && !guest_time_ask(guest))
		return false;
	machine_port_write(&guest->machine, &guest->memory, port, size,
			   rax_of_size(&guest->vcpu.state, size));
	done(guest);
	if (machine_output_pending(&guest->machine))
		guest_outputs(guest);
	return true;
}

static bool act_on_port(struct guest *guest)
{
	const struct vcpu_exit *exit = &guest->exit;

	if (exit->port.is_string)
		return emulate(guest, 0);
	return exit->port.is_in ? act_on_port_in(guest, exit->port.port, exit->port.size)
				: act_on_port_out(guest, exit->port.port, exit->port.size);
}

/* False: the time has to be known first. */
static bool msr_time_known(struct guest *guest, bool is_write)
{
	return !machine_msr_reads_time(guest->exit.msr.number, is_write) || guest_time_ask(guest);
}

static bool act_on_msr_read(struct guest *guest)
{
	struct vcpu *vcpu = &guest->vcpu;
	uint32_t number = guest->exit.msr.number;
	uint64_t value;
	bool good = true;

	if (vcpu_msr_read(vcpu, number, &value) == VCPU_MSR_PLATFORM) {
		if (!msr_time_known(guest, false))
			return false;
		good = machine_msr_read(&guest->machine, number, &value);
	}
	if (!good) {
		vcpu_inject_general_protection(vcpu);
		return true;
	}
	set_pair(&vcpu->state, value);
	done(guest);
	return true;
}

static bool act_on_msr_write(struct guest *guest)
{
	const struct vcpu_exit *exit = &guest->exit;
	struct vcpu *vcpu = &guest->vcpu;
	enum vcpu_msr_result result;
	bool good;

	if (exit->msr.number == MACHINE_LAPIC_MSR_END_OF_INTERRUPT &&
	    machine_lapic_msr_ends_interrupt(&guest->machine, exit->msr.value)) {
		done(guest);
		return true;
	}
	result = vcpu_msr_write(vcpu, exit->msr.number, exit->msr.value);
	good = result == VCPU_MSR_DONE;
	if (result == VCPU_MSR_PLATFORM) {
		if (!msr_time_known(guest, true))
			return false;
		good = machine_msr_write(&guest->machine, exit->msr.number, exit->msr.value);
	}
	if (good)
		done(guest);
	else
		vcpu_inject_general_protection(vcpu);
	return true;
}

static bool act_on_msr(struct guest *guest)
{
	return guest->exit.msr.is_write ? act_on_msr_write(guest) : act_on_msr_read(guest);
}

static bool act_on_cr(struct guest *guest)
{
	const struct vcpu_exit *exit = &guest->exit;
	bool good;

	if (exit->cr.is_read) {
		guest->vcpu.state.gpr[exit->cr.gpr] = guest->vcpu.state.cr4;
		done(guest);
		return true;
	}
	if (exit->cr.number == 8) {
		good = exit->cr.value <= CR8_MAX;
		if (good)
			machine_cr8_write(&guest->machine, exit->cr.value);
	} else {
		good = vcpu_cr_write(&guest->vcpu, exit->cr.number, exit->cr.value);
	}
	if (good)
		done(guest);
	else
		vcpu_inject_general_protection(&guest->vcpu);
	return true;
}

static bool act_on_xsetbv(struct guest *guest)
{
	if (vcpu_xsetbv(&guest->vcpu, guest->exit.xsetbv.number, guest->exit.xsetbv.value))
		done(guest);
	else
		vcpu_inject_general_protection(&guest->vcpu);
	return true;
}

/* Device memory as code reads as all ones, which is no instruction; as a page table or stack it ends the guest. */
static bool act_on_memory(struct guest *guest)
{
	const struct vcpu_exit *exit = &guest->exit;

	if (exit->memory.is_event_delivery || exit->memory.is_table_walk) {
		trace(TRACE_WARNING, "%s at 0x%lx, where no memory is: shutdown",
		      exit->memory.is_table_walk ? "page table" : "stack or descriptor table",
		      exit->memory.gpa);
		guest_fail(guest, "triple fault");
		return true;
	}
	if (exit->memory.is_fetch) {
		vcpu_inject_undefined(&guest->vcpu);
		return true;
	}
	return emulate(guest, exit->memory.gpa);
}

static bool act_on_hlt(struct guest *guest)
{
	done(guest);
	guest->vcpu.state.activity = VCPU_HALTED;
	guest_look_again(guest);
	return true;
}

static bool act_on_cache(struct guest *guest)
{
	done(guest);
	return true;
}

/* CPUID promises no counters. */
static bool act_on_rdpmc(struct guest *guest)
{
	vcpu_inject_general_protection(&guest->vcpu);
	return true;
}

static bool act_on_undefined(struct guest *guest)
{
	vcpu_inject_undefined(&guest->vcpu);
	return true;
}

/* The interrupt lines are looked at next, as behind any exit. */
static bool act_on_window(struct guest *guest)
{
	(void)guest;
	return true;
}

static bool act_on_nmi_return(struct guest *guest)
{
	vcpu_watch_nmi_return(&guest->vcpu, false);
	guest->nmi_returns = true;
	return true;
}

static bool act_on_shutdown(struct guest *guest)
{
	guest_fail(guest, "triple fault");
	return true;
}

static bool act_on_invalid(struct guest *guest)
{
	const struct vcpu_exit *exit = &guest->exit;

	trace(TRACE_ERROR, "the processor refuses the guest's state: exit code 0x%lx, 0x%lx, 0x%lx",
	      exit->invalid.code, exit->invalid.information[0], exit->invalid.information[1]);
	guest_fail(guest, "a processor state that cannot be");
	return true;
}

bool (*const guest_exit_acts[VCPU_EXIT_KIND_COUNT])(struct guest *guest) = {
	[VCPU_EXIT_CPUID] = act_on_cpuid,
	[VCPU_EXIT_TSC] = act_on_tsc,
	[VCPU_EXIT_RDPMC] = act_on_rdpmc,
	[VCPU_EXIT_PORT] = act_on_port,
	[VCPU_EXIT_MSR] = act_on_msr,
	[VCPU_EXIT_CR] = act_on_cr,
	[VCPU_EXIT_XSETBV] = act_on_xsetbv,
	[VCPU_EXIT_HLT] = act_on_hlt,
	[VCPU_EXIT_CACHE] = act_on_cache,
	[VCPU_EXIT_HYPERCALL] = act_on_undefined,
	[VCPU_EXIT_UNDEFINED] = act_on_undefined,
	[VCPU_EXIT_MEMORY] = act_on_memory,
	[VCPU_EXIT_NMI_RETURN] = act_on_nmi_return,
	[VCPU_EXIT_WINDOW] = act_on_window,
	[VCPU_EXIT_SHUTDOWN] = act_on_shutdown,
	[VCPU_EXIT_INVALID] = act_on_invalid,
};
