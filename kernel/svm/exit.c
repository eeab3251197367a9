/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hardware exit in the form that the run loop understands: APM 2, 15.7 to 15.25
 * and appendix C. Where the processor tells neither the next RIP nor the operands,
 * the instruction is fetched and looked at.
 */
#include "include/byte_order.h"
#include "include/trace.h"
#include "kernel/svm/svm.h"
#include "kernel/vcpu.h"

TRACE_FILE("svm", TRACE_INFO);

#define OPCODE_RDTSC 0x31
#define OPCODE_GROUP7 0x01 /* LMSW, RDTSCP, VMMCALL ...: by ModRM */
#define OPCODE_CLTS 0x06
#define OPCODE_MOV_FROM_CR 0x20
#define OPCODE_MOV_TO_CR 0x22
#define MODRM_RDTSCP 0xf9
#define GROUP7_LMSW 6
#define CR0_LMSW_MASK UINT64_C(0xf) /* PE MP EM TS */
#define CR0_TS BIT(3)

/*
 * The places that exit are few and come again and again, and walking the guest's page
 * tables for each is most of an exit's cost. A place is remembered with where its
 * bytes are and what they were; if the same are still there, so is the instruction.
 * The key mixes address, address space and mode; should two places ever share one, the
 * bytes still decide, and what is remembered follows from the guest's history alone.
 */
#define KNOWN_COUNT 64
#define KNOWN_SIZE_MAX 8

static const uint8_t nothing[KNOWN_SIZE_MAX];

static struct known_instruction {
	uint64_t key;
	const uint8_t *bytes; /* in the guest's memory, or `nothing` */
	uint64_t word;	      /* what they were, as far as `mask` goes; impossible for `nothing` */
	uint64_t mask;
	struct svm_instruction instruction;
} known[KNOWN_COUNT];

static void forget(struct known_instruction *place)
{
	place->bytes = nothing;
	place->mask = 0;
	place->word = UINT64_MAX;
}

void svm_exit_forget(void)
{
	for (uint32_t i = 0; i < KNOWN_COUNT; i++)
		forget(&known[i]);
}

static __attribute__((noinline)) void learn(struct vcpu *vcpu, struct known_instruction *place, uint64_t key)
{
	struct vcpu_code code;

	vcpu->fetch(vcpu->owner, &vcpu->state, &code);
	forget(place);
	place->key = key;
	place->instruction = svm_instruction_decode(code.bytes, code.size, vcpu_is_64bit(&vcpu->state));
	if (code.in_place && place->instruction.size && place->instruction.size < KNOWN_SIZE_MAX) {
		place->bytes = code.bytes;
		place->mask = BIT(place->instruction.size * 8) - 1;
		place->word = load_le64(code.bytes) & place->mask;
	}
}

static inline const struct svm_instruction *fetch_instruction(struct vcpu *vcpu)
{
	const struct vcpu_state *state = &vcpu->state;
	const struct vcpu_segment *code = &state->segments[VCPU_CS];
	uint64_t address = state->rip + code->base;
	uint64_t key = address ^ state->cr3 << 17 ^ (uint64_t)code->attributes << 48;
	struct known_instruction *place = &known[(address ^ address >> 8) % KNOWN_COUNT];

	if (place->key != key || (load_le64(place->bytes) & place->mask) != place->word)
		learn(vcpu, place, key);
	return &place->instruction;
}

/* The guest's code is no longer what just exited (it changed its page tables without INVLPG): #UD is fair. */
static __attribute__((noinline)) void exit_undecodable(struct vcpu *vcpu, const struct svm_vmcb *vmcb,
						       struct vcpu_exit *exit)
{
	trace(TRACE_DEBUG, "exit %#lx at rip %#lx: instruction not readable or not known", vmcb->exit_code,
	      vcpu->state.rip);
	exit->kind = VCPU_EXIT_UNDEFINED;
}

static inline __attribute__((always_inline)) void exit_plain(struct vcpu *vcpu, const struct svm_vmcb *vmcb,
							     struct vcpu_exit *exit, uint32_t kind)
{
	const struct svm_instruction *instruction = fetch_instruction(vcpu);

	exit->kind = kind;
	exit->instruction_size = instruction->size;
	if (!instruction->size)
		exit_undecodable(vcpu, vmcb, exit);
}

/* RDTSCP comes as RDTSC from some processors (QEMU's), so the bytes decide. */
static void exit_tsc(struct vcpu *vcpu, const struct svm_vmcb *vmcb, struct vcpu_exit *exit)
{
	const struct svm_instruction *instruction = fetch_instruction(vcpu);
	bool is_rdtscp = instruction->opcode == OPCODE_GROUP7 && instruction->modrm == MODRM_RDTSCP;

	exit->kind = VCPU_EXIT_TSC;
	exit->instruction_size = instruction->size;
	exit->tsc.is_rdtscp = is_rdtscp;
	if (!instruction->size || !instruction->is_two_byte ||
	    !(is_rdtscp || instruction->opcode == OPCODE_RDTSC))
		exit_undecodable(vcpu, vmcb, exit);
}

static void exit_msr(struct vcpu *vcpu, const struct svm_vmcb *vmcb, struct vcpu_exit *exit)
{
	const uint64_t *gpr = vcpu->state.gpr;

	exit_plain(vcpu, vmcb, exit, VCPU_EXIT_MSR);
	exit->msr.number = (uint32_t)gpr[VCPU_RCX];
	exit->msr.is_write = vmcb->exit_information1 & 1;
	exit->msr.value = gpr[VCPU_RDX] << 32 | (uint32_t)gpr[VCPU_RAX];
}

static void exit_xsetbv(struct vcpu *vcpu, const struct svm_vmcb *vmcb, struct vcpu_exit *exit)
{
	const uint64_t *gpr = vcpu->state.gpr;

	exit_plain(vcpu, vmcb, exit, VCPU_EXIT_XSETBV);
	exit->xsetbv.number = (uint32_t)gpr[VCPU_RCX];
	exit->xsetbv.value = gpr[VCPU_RDX] << 32 | (uint32_t)gpr[VCPU_RAX];
}

static void exit_port(struct vcpu *vcpu, const struct svm_vmcb *vmcb, struct vcpu_exit *exit)
{
	uint64_t information = vmcb->exit_information1;

	exit->kind = VCPU_EXIT_PORT;
	exit->instruction_size = (uint32_t)(vmcb->exit_information2 - vcpu->state.rip);
	exit->port.port = SVM_PORT_NUMBER(information);
	exit->port.size = SVM_PORT_SIZE(information);
	exit->port.is_in = (information & SVM_PORT_IN) != 0;
	exit->port.is_string = (information & SVM_PORT_STRING) != 0;
	exit->port.is_repeated = (information & SVM_PORT_REPEATED) != 0;
	exit->port.address_size = SVM_PORT_ADDRESS_SIZE(information);
}

/* MOV to CR0, CR4, CR8; CLTS; LMSW of a register. LMSW of memory nobody writes: #UD, with a trace line. */
static void exit_cr_write(struct vcpu *vcpu, const struct svm_vmcb *vmcb, struct vcpu_exit *exit)
{
	const struct svm_instruction *instruction = fetch_instruction(vcpu);
	const struct vcpu_state *state = &vcpu->state;

	exit->kind = VCPU_EXIT_CR;
	exit->instruction_size = instruction->size;
	exit->cr.number = (uint32_t)(vmcb->exit_code - SVM_EXIT_CR0_WRITE);
	exit->cr.is_read = 0;
	if (!instruction->size || !instruction->is_two_byte) {
		exit_undecodable(vcpu, vmcb, exit);
	} else if (instruction->opcode == OPCODE_MOV_TO_CR) {
		exit->cr.value = state->gpr[instruction->rm];
		if (!vcpu_is_64bit(state))
			exit->cr.value &= UINT32_MAX;
	} else if (instruction->opcode == OPCODE_CLTS) {
		exit->cr.value = state->cr0 & ~CR0_TS;
	} else if (instruction->opcode == OPCODE_GROUP7 && (instruction->reg & 7) == GROUP7_LMSW &&
		   instruction->modrm >= 0xc0) {
		/* LMSW sets PE but never clears it. */
		exit->cr.value = (state->cr0 & ~(CR0_LMSW_MASK & ~VCPU_CR0_PE)) |
				 (state->gpr[instruction->rm] & CR0_LMSW_MASK);
	} else {
		exit_undecodable(vcpu, vmcb, exit);
	}
}

static void exit_cr4_read(struct vcpu *vcpu, const struct svm_vmcb *vmcb, struct vcpu_exit *exit)
{
	const struct svm_instruction *instruction = fetch_instruction(vcpu);

	exit->kind = VCPU_EXIT_CR;
	exit->instruction_size = instruction->size;
	exit->cr.number = 4;
	exit->cr.is_read = 1;
	exit->cr.gpr = instruction->rm;
	if (!instruction->size || !instruction->is_two_byte || instruction->opcode != OPCODE_MOV_FROM_CR)
		exit_undecodable(vcpu, vmcb, exit);
}

static void exit_memory(const struct svm_vmcb *vmcb, struct vcpu_exit *exit)
{
	exit->kind = VCPU_EXIT_MEMORY;
	exit->memory.gpa = vmcb->exit_information2;
	exit->memory.is_write = (vmcb->exit_information1 & SVM_NPF_WRITE) != 0;
	exit->memory.is_fetch = (vmcb->exit_information1 & SVM_NPF_FETCH) != 0;
	exit->memory.is_table_walk = (vmcb->exit_information1 & SVM_NPF_TABLE_WALK) != 0;
	exit->memory.is_event_delivery = 0;
}

static void exit_invalid(const struct svm_vmcb *vmcb, struct vcpu_exit *exit)
{
	exit->kind = VCPU_EXIT_INVALID;
	exit->invalid.code = vmcb->exit_code;
	exit->invalid.information[0] = vmcb->exit_information1;
	exit->invalid.information[1] = vmcb->exit_information2;
}

/* Exits of which only the instruction's size has to be found out. */
static const uint8_t plain_kinds[] = {
	[SVM_EXIT_CPUID] = VCPU_EXIT_CPUID,  [SVM_EXIT_RDPMC] = VCPU_EXIT_RDPMC,
	[SVM_EXIT_HLT] = VCPU_EXIT_HLT,	     [SVM_EXIT_INVD] = VCPU_EXIT_CACHE,
	[SVM_EXIT_WBINVD] = VCPU_EXIT_CACHE, [SVM_EXIT_VMMCALL] = VCPU_EXIT_HYPERCALL,
};

void svm_exit_normalise(struct vcpu *vcpu, struct svm_vmcb *vmcb, struct vcpu_exit *exit)
{
	if (vmcb->exit_code < ARRAY_SIZE(plain_kinds) && plain_kinds[vmcb->exit_code]) {
		exit_plain(vcpu, vmcb, exit, plain_kinds[vmcb->exit_code]);
		return;
	}
	exit->instruction_size = 0;
	switch (vmcb->exit_code) {
	case SVM_EXIT_INTR:
		exit->kind = VCPU_EXIT_SLICE_END;
		break;
	case SVM_EXIT_NMI:
		exit->kind = VCPU_EXIT_SERVER_NMI;
		break;
	case SVM_EXIT_INIT:
		exit->kind = VCPU_EXIT_SERVER_INIT;
		break;
	case SVM_EXIT_RDTSC:
	case SVM_EXIT_RDTSCP:
		exit_tsc(vcpu, vmcb, exit);
		break;
	case SVM_EXIT_PORT:
		exit_port(vcpu, vmcb, exit);
		break;
	case SVM_EXIT_MSR:
		exit_msr(vcpu, vmcb, exit);
		break;
	case SVM_EXIT_XSETBV:
		exit_xsetbv(vcpu, vmcb, exit);
		break;
	case SVM_EXIT_CR4_READ:
		exit_cr4_read(vcpu, vmcb, exit);
		break;
	case SVM_EXIT_CR0_WRITE ... SVM_EXIT_CR15_WRITE:
		exit_cr_write(vcpu, vmcb, exit);
		break;
	case SVM_EXIT_NPF:
		exit_memory(vmcb, exit);
		break;
	case SVM_EXIT_IRET:
		exit->kind = VCPU_EXIT_NMI_RETURN;
		break;
	case SVM_EXIT_WINDOW:
		exit->kind = VCPU_EXIT_WINDOW;
		break;
	case SVM_EXIT_SHUTDOWN:
		exit->kind = VCPU_EXIT_SHUTDOWN;
		break;
	case SVM_EXIT_INVLPGA:
	case SVM_EXIT_VMRUN:
	case SVM_EXIT_VMLOAD:
	case SVM_EXIT_VMSAVE:
	case SVM_EXIT_STGI:
	case SVM_EXIT_CLGI:
	case SVM_EXIT_SKINIT:
	case SVM_EXIT_MONITOR:
	case SVM_EXIT_MWAIT:
	case SVM_EXIT_MWAIT_ARMED:
		exit->kind = VCPU_EXIT_UNDEFINED;
		break;
	default: /* VMEXIT_INVALID, and whatever we did not ask for */
		exit_invalid(vmcb, exit);
		break;
	}
}
