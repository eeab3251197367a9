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

TRACE_FILE("guest", TRACE_INFO);

#define CR8_MAX 15
#define CPUID_LEAF_XSAVE 0xd
/* Iterations of a REP string in one go; interrupts wait for so long. */
#define STRING_ITERATIONS_MAX 4096

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

/*
 * An instruction with a memory operand, carried out by machine/emulate.c: MMIO, INS,
 * OUTS. A REP string's iterations are done here until it moves on or needs a value
 * that is not there; each leaves the registers as the processor would.
 */
static bool emulate(struct guest *guest, uint64_t gpa)
{
	static struct machine_emulation emulation;
	struct vcpu_state *state = &guest->vcpu.state;

	guest->vcpu.ops->save(&guest->vcpu);
	for (uint32_t i = 0; i < STRING_ITERATIONS_MAX; i++) {
		uint64_t rip = state->rip;
		int error = machine_emulate_prepare(&emulation, state, &guest->memory, gpa);

		if (error == -EFAULT) {
			vcpu_inject_page_fault(&guest->vcpu, emulation.fault_address,
					       emulation.fault_error_code);
			return true;
		}
		if (error) {
			vcpu_inject_undefined(&guest->vcpu);
			return true;
		}
		if (machine_emulate_reads_time(&emulation, &guest->machine, state, &guest->memory) &&
		    !guest_time_update(guest))
			return false;
		machine_emulate_execute(&emulation, &guest->machine, state, &guest->memory);
		guest_outputs(guest);
		if (state->rip != rip) {
			vcpu_instruction_done(&guest->vcpu, 0);
			break;
		}
	}
	guest->lines_changed = true;
	return true;
}

static bool act_on_port(struct guest *guest)
{
	const struct vcpu_exit *exit = &guest->exit;
	struct vcpu_state *state = &guest->vcpu.state;
	uint32_t size = exit->port.size;
	const struct machine_access access = {
		.kind = MACHINE_ACCESS_PORT,
		.is_write = !exit->port.is_in,
		.size = exit->port.size,
		.value = exit->port.is_in ? 0 : rax_of_size(state, size),
		.address = exit->port.port,
	};

	if (exit->port.is_string)
		return emulate(guest, 0);
	if (machine_reads_time(&guest->machine, &access) && !guest_time_update(guest))
		return false;
	if (exit->port.is_in)
		set_rax(state, size,
			machine_port_read(&guest->machine, &guest->memory, exit->port.port, size));
	else
		machine_port_write(&guest->machine, &guest->memory, exit->port.port, size, access.value);
	done(guest);
	guest->lines_changed = true;
	/* No virtqueue moves by a port, so what else may want to go out is quickly looked at. */
	if (guest->machine.serial_output.size | guest->machine.debug_output.size | guest->machine.power)
		guest_outputs(guest);
	return true;
}

static bool act_on_msr(struct guest *guest)
{
	const struct vcpu_exit *exit = &guest->exit;
	struct vcpu *vcpu = &guest->vcpu;
	const struct machine_access access = {
		.kind = MACHINE_ACCESS_MSR,
		.is_write = exit->msr.is_write,
		.size = 8,
		.value = (uint32_t)exit->msr.value,
		.address = exit->msr.number,
	};
	uint64_t value = 0;
	enum vcpu_msr_result result = exit->msr.is_write
					      ? vcpu_msr_write(vcpu, exit->msr.number, exit->msr.value)
					      : vcpu_msr_read(vcpu, exit->msr.number, &value);

	if (result == VCPU_MSR_PLATFORM) {
		bool good;

		if (machine_reads_time(&guest->machine, &access) && !guest_time_update(guest))
			return false;
		good = exit->msr.is_write
			       ? machine_msr_write(&guest->machine, exit->msr.number, exit->msr.value)
			       : machine_msr_read(&guest->machine, exit->msr.number, &value);
		result = good ? VCPU_MSR_DONE : VCPU_MSR_FAULT;
		guest->lines_changed |= exit->msr.is_write;
	}
	if (result == VCPU_MSR_FAULT) {
		vcpu_inject_general_protection(vcpu);
		return true;
	}
	if (!exit->msr.is_write)
		set_pair(&vcpu->state, value);
	done(guest);
	return true;
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
		guest->lines_changed = true;
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

/* Device memory as code reads as ones, which is no instruction; as a page table or stack it ends the guest. */
static bool act_on_memory(struct guest *guest)
{
	const struct vcpu_exit *exit = &guest->exit;

	if (exit->memory.is_event_delivery || exit->memory.is_table_walk) {
		trace(TRACE_WARNING, "%s at 0x%lx, where no memory is: shutdown",
		      exit->memory.is_table_walk ? "page table" : "stack or descriptor table",
		      exit->memory.gpa);
		guest_stop(guest, "triple fault");
		return true;
	}
	if (exit->memory.is_fetch) {
		vcpu_inject_undefined(&guest->vcpu);
		return true;
	}
	return emulate(guest, exit->memory.gpa);
}

static void stop_invalid(struct guest *guest)
{
	const struct vcpu_exit *exit = &guest->exit;

	trace(TRACE_ERROR, "the processor refuses the guest's state: exit code 0x%lx, 0x%lx, 0x%lx",
	      exit->invalid.code, exit->invalid.information[0], exit->invalid.information[1]);
	guest_stop(guest, "a processor state that cannot be");
}

bool guest_exit_act(struct guest *guest)
{
	struct vcpu *vcpu = &guest->vcpu;

	switch (guest->exit.kind) {
	case VCPU_EXIT_CPUID:
		return act_on_cpuid(guest);
	case VCPU_EXIT_TSC:
		return act_on_tsc(guest);
	case VCPU_EXIT_PORT:
		return act_on_port(guest);
	case VCPU_EXIT_MSR:
		return act_on_msr(guest);
	case VCPU_EXIT_MEMORY:
		return act_on_memory(guest);
	case VCPU_EXIT_CR:
		return act_on_cr(guest);
	case VCPU_EXIT_XSETBV:
		return act_on_xsetbv(guest);
	case VCPU_EXIT_HLT:
		done(guest);
		vcpu->state.activity = VCPU_HALTED;
		guest->lines_changed = true;
		return true;
	case VCPU_EXIT_CACHE:
		done(guest);
		return true;
	case VCPU_EXIT_RDPMC: /* CPUID promises no counters */
		vcpu_inject_general_protection(vcpu);
		return true;
	case VCPU_EXIT_HYPERCALL:
	case VCPU_EXIT_UNDEFINED:
		vcpu_inject_undefined(vcpu);
		return true;
	case VCPU_EXIT_WINDOW:
		return true;
	case VCPU_EXIT_NMI_RETURN:
		vcpu->ops->watch_nmi_return(vcpu, false);
		guest->nmi_returns = true;
		return true;
	case VCPU_EXIT_SHUTDOWN:
		guest_stop(guest, "triple fault");
		return true;
	default:
		stop_invalid(guest);
		return true;
	}
}
