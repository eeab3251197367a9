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
#define KNOWN_COUNT 256
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

static NOINLINE void learn(struct vcpu *vcpu, struct known_instruction *place, uint64_t key)
{
	struct vcpu_code code;

	vcpu->ops->save(vcpu);
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

/* The guest's code is no longer what just exited (it changed its page tables without INVLPG): #UD is fair. */
static NOINLINE void exit_undecodable(const struct vcpu *vcpu, const struct svm_vmcb *vmcb,
				      struct vcpu_exit *exit)
{
	trace(TRACE_DEBUG, "exit %#lx at rip %#lx: instruction not readable or not known", vmcb->exit_code,
	      vcpu->state.rip);
	exit->kind = VCPU_EXIT_UNDEFINED;
}

/* ---- operands ---- */

/* RDTSCP comes as RDTSC from some processors (QEMU's), so the bytes decide. */
static void exit_tsc(struct vcpu *vcpu, const struct svm_vmcb *vmcb, struct vcpu_exit *exit,
		     const struct svm_instruction *instruction)
{
	bool is_rdtscp = instruction->opcode == OPCODE_GROUP7 && instruction->modrm == MODRM_RDTSCP;

	exit->tsc.is_rdtscp = is_rdtscp;
	if (!instruction->is_two_byte || !(is_rdtscp || instruction->opcode == OPCODE_RDTSC))
		exit_undecodable(vcpu, vmcb, exit);
}

static void exit_msr(struct vcpu *vcpu, const struct svm_vmcb *vmcb, struct vcpu_exit *exit,
		     const struct svm_instruction *instruction)
{
	const uint64_t *gpr = vcpu->state.gpr;

	(void)instruction;
	exit->msr.number = (uint32_t)gpr[VCPU_RCX];
	exit->msr.is_write = vmcb->exit_information1 & 1;
	exit->msr.value = gpr[VCPU_RDX] << 32 | (uint32_t)gpr[VCPU_RAX];
}

static void exit_xsetbv(struct vcpu *vcpu, const struct svm_vmcb *vmcb, struct vcpu_exit *exit,
			const struct svm_instruction *instruction)
{
	const uint64_t *gpr = vcpu->state.gpr;

	(void)vmcb;
	(void)instruction;
	exit->xsetbv.number = (uint32_t)gpr[VCPU_RCX];
	exit->xsetbv.value = gpr[VCPU_RDX] << 32 | (uint32_t)gpr[VCPU_RAX];
}

/* The one exit that every processor tells the next RIP of. */
static ALWAYS_INLINE void exit_port(struct vcpu *vcpu, const struct svm_vmcb *vmcb, struct vcpu_exit *exit)
{
	uint64_t information = vmcb->exit_information1;

	exit->kind = VCPU_EXIT_PORT;
	exit->instruction_size = (uint32_t)(vmcb->exit_information2 - vcpu->state.rip);
	exit->port.port = SVM_PORT_NUMBER(information);
	exit->port.size = SVM_PORT_SIZE(information);
	exit->port.is_in = (information & SVM_PORT_IN) != 0;
	exit->port.is_string = (information & SVM_PORT_STRING) != 0;
}

/* MOV to CR0, CR4, CR8; CLTS; LMSW of a register. LMSW of memory nobody writes: #UD, with a trace line. */
static void exit_cr_write(struct vcpu *vcpu, const struct svm_vmcb *vmcb, struct vcpu_exit *exit,
			  const struct svm_instruction *instruction)
{
	const struct vcpu_state *state = &vcpu->state;

	exit->cr.number = (uint32_t)(vmcb->exit_code - SVM_EXIT_CR0_WRITE);
	exit->cr.is_read = 0;
	if (!instruction->is_two_byte) {
		exit_undecodable(vcpu, vmcb, exit);
	} else if (instruction->opcode == OPCODE_MOV_TO_CR) {
		exit->cr.value = state->gpr[instruction->rm];
		if (!vcpu_is_64bit(state))
			exit->cr.value &= UINT32_MAX;
	} else if (instruction->opcode == OPCODE_CLTS) {
		exit->cr.value = vmcb->cr0 & ~CR0_TS;
	} else if (instruction->opcode == OPCODE_GROUP7 && (instruction->reg & 7) == GROUP7_LMSW &&
		   instruction->modrm >= 0xc0) {
		/* LMSW sets PE but never clears it. */
		exit->cr.value = (vmcb->cr0 & ~(CR0_LMSW_MASK & ~VCPU_CR0_PE)) |
				 (state->gpr[instruction->rm] & CR0_LMSW_MASK);
	} else {
		exit_undecodable(vcpu, vmcb, exit);
	}
}

static void exit_cr4_read(struct vcpu *vcpu, const struct svm_vmcb *vmcb, struct vcpu_exit *exit,
			  const struct svm_instruction *instruction)
{
	exit->cr.number = 4;
	exit->cr.is_read = 1;
	exit->cr.gpr = instruction->rm;
	if (!instruction->is_two_byte || instruction->opcode != OPCODE_MOV_FROM_CR)
		exit_undecodable(vcpu, vmcb, exit);
}

/*
 * The interrupt that ended the slice waits for us; its handler only acknowledges
 * it. It may be the one of an earlier slice, which came while we were outside the
 * guest: so stop the timer too, or a short slice's own would be late the same way.
 */
static void exit_slice_end(struct vcpu *vcpu, const struct svm_vmcb *vmcb, struct vcpu_exit *exit,
			   const struct svm_instruction *instruction)
{
	(void)vmcb;
	(void)exit;
	(void)instruction;
	*vcpu->timer = 0;
	__asm__ volatile("sti; nop; cli" : : : "memory");
}

/* ---- the table ---- */

#define ROW(code, name) [SVM_EXIT_##code] = { .kind = VCPU_EXIT_##name }
#define ROW_OF_INSTRUCTION(code, name, function)                                                             \
	[SVM_EXIT_##code] = { .kind = VCPU_EXIT_##name, .has_instruction = true, .finish = (function) }

static const struct exit_row {
	uint8_t kind;
	bool has_instruction; /* whose size, at least, has to be found out */
	void (*finish)(struct vcpu *vcpu, const struct svm_vmcb *vmcb, struct vcpu_exit *exit,
		       const struct svm_instruction *instruction); /* NULL: nothing more */
} rows[SVM_EXIT_COUNT] = {
	ROW_OF_INSTRUCTION(CR4_READ, CR, exit_cr4_read),
	ROW_OF_INSTRUCTION(CR0_WRITE, CR, exit_cr_write),
	ROW_OF_INSTRUCTION(CR4_WRITE, CR, exit_cr_write),
	ROW_OF_INSTRUCTION(CR8_WRITE, CR, exit_cr_write),
	[SVM_EXIT_INTR] = { .kind = VCPU_EXIT_SLICE_END, .finish = exit_slice_end },
	ROW(NMI, SERVER_NMI),
	ROW(INIT, SERVER_INIT),
	ROW(WINDOW, WINDOW),
	ROW_OF_INSTRUCTION(RDTSC, TSC, exit_tsc),
	ROW_OF_INSTRUCTION(RDPMC, RDPMC, NULL),
	ROW_OF_INSTRUCTION(CPUID, CPUID, NULL),
	ROW(IRET, NMI_RETURN),
	ROW_OF_INSTRUCTION(INVD, CACHE, NULL),
	ROW_OF_INSTRUCTION(HLT, HLT, NULL),
	ROW(INVLPGA, UNDEFINED),
	ROW_OF_INSTRUCTION(MSR, MSR, exit_msr),
	ROW(SHUTDOWN, SHUTDOWN),
	ROW(VMRUN, UNDEFINED),
	ROW_OF_INSTRUCTION(VMMCALL, HYPERCALL, NULL),
	ROW(VMLOAD, UNDEFINED),
	ROW(VMSAVE, UNDEFINED),
	ROW(STGI, UNDEFINED),
	ROW(CLGI, UNDEFINED),
	ROW(SKINIT, UNDEFINED),
	ROW_OF_INSTRUCTION(RDTSCP, TSC, exit_tsc),
	ROW_OF_INSTRUCTION(WBINVD, CACHE, NULL),
	ROW(MONITOR, UNDEFINED),
	ROW(MWAIT, UNDEFINED),
	ROW(MWAIT_ARMED, UNDEFINED),
	ROW_OF_INSTRUCTION(XSETBV, XSETBV, exit_xsetbv),
};
#undef ROW
#undef ROW_OF_INSTRUCTION

static ALWAYS_INLINE void decoded(struct vcpu *vcpu, const struct svm_vmcb *vmcb, struct vcpu_exit *exit,
				  const struct exit_row *row, const struct svm_instruction *instruction)
{
	exit->instruction_size = instruction->size;
	if (!instruction->size)
		exit_undecodable(vcpu, vmcb, exit);
	else if (row->finish)
		row->finish(vcpu, vmcb, exit, instruction);
}

static NOINLINE void learn_and_decode(struct vcpu *vcpu, const struct svm_vmcb *vmcb, struct vcpu_exit *exit,
				      const struct exit_row *row, struct known_instruction *place,
				      uint64_t key)
{
	learn(vcpu, place, key);
	decoded(vcpu, vmcb, exit, row, &place->instruction);
}

static ALWAYS_INLINE void decode(struct vcpu *vcpu, const struct svm_vmcb *vmcb, struct vcpu_exit *exit,
				 const struct exit_row *row)
{
	uint64_t address = vmcb->rip + vmcb->cs.base;
	uint64_t key = address ^ vmcb->cr3 << 17 ^ (uint64_t)vmcb->cs.attributes << 48;
	struct known_instruction *place = &known[(address ^ address >> 8) % KNOWN_COUNT];

	if (place->key != key || (load_le64(place->bytes) & place->mask) != place->word)
		learn_and_decode(vcpu, vmcb, exit, row, place, key);
	else
		decoded(vcpu, vmcb, exit, row, &place->instruction);
}

static NOINLINE void exit_memory(const struct svm_vmcb *vmcb, struct vcpu_exit *exit)
{
	exit->kind = VCPU_EXIT_MEMORY;
	exit->memory.gpa = vmcb->exit_information2;
	exit->memory.is_write = (vmcb->exit_information1 & SVM_NPF_WRITE) != 0;
	exit->memory.is_fetch = (vmcb->exit_information1 & SVM_NPF_FETCH) != 0;
	exit->memory.is_table_walk = (vmcb->exit_information1 & SVM_NPF_TABLE_WALK) != 0;
	exit->memory.is_event_delivery = 0;
}

/* VMEXIT_INVALID, and whatever we did not ask for. */
static NOINLINE void exit_invalid(const struct svm_vmcb *vmcb, struct vcpu_exit *exit)
{
	exit->kind = VCPU_EXIT_INVALID;
	exit->invalid.code = vmcb->exit_code;
	exit->invalid.information[0] = vmcb->exit_information1;
	exit->invalid.information[1] = vmcb->exit_information2;
}

void svm_exit_normalise(struct vcpu *vcpu, const struct svm_vmcb *vmcb, struct vcpu_exit *exit)
{
	uint64_t code = vmcb->exit_code;
	const struct exit_row *row;

	if (code == SVM_EXIT_PORT) {
		exit_port(vcpu, vmcb, exit);
		return;
	}
	row = code < SVM_EXIT_COUNT ? &rows[code] : &rows[SVM_EXIT_NONE];
	exit->instruction_size = 0;
	exit->kind = row->kind;
	if (row->has_instruction)
		decode(vcpu, vmcb, exit, row);
	else if (row->finish)
		row->finish(vcpu, vmcb, exit, NULL);
	else if (code == SVM_EXIT_NPF)
		exit_memory(vmcb, exit);
	else if (!row->kind)
		exit_invalid(vmcb, exit);
}
