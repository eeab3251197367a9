/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carrying out, for the guest, an instruction that touches a device: MMIO by any
 * form that Linux, SeaBIOS and GRUB use (MOV, MOVZX, MOVSX, MOVS, STOS, LODS, the
 * ALU group, TEST, XCHG, XADD, CMPXCHG, BT and kin, CMOV, SETcc, MOVNTI), and the
 * string forms of IN and OUT. In two steps, so that a time value can be fetched in
 * between:
 *
 *     machine_emulate_prepare()      reads code and page tables, changes nothing else
 *     machine_emulate_reads_time()   then machine_time_set() with a logged value
 *     machine_emulate_execute()      the access, registers, flags, RIP
 *
 * One call is one iteration of a REP string: RIP moves on with the last one.
 */
#ifndef MACHINE_EMULATE_H
#define MACHINE_EMULATE_H

#include "machine/decode.h"
#include "machine/guest_memory.h"
#include "machine/guest_paging.h"

struct machine;

enum machine_emulate_action {
	MACHINE_EMULATE_LOAD, /* register <- memory */
	MACHINE_EMULATE_LOAD_SIGNED,
	MACHINE_EMULATE_LOAD_IF,      /* CMOVcc */
	MACHINE_EMULATE_STORE,	      /* memory <- register or immediate */
	MACHINE_EMULATE_STORE_IF,     /* SETcc */
	MACHINE_EMULATE_ALU_MEMORY,   /* memory <- memory op source */
	MACHINE_EMULATE_ALU_REGISTER, /* register <- register op memory */
	MACHINE_EMULATE_TEST,
	MACHINE_EMULATE_NOT,
	MACHINE_EMULATE_NEGATE,
	MACHINE_EMULATE_INCREMENT,
	MACHINE_EMULATE_DECREMENT,
	MACHINE_EMULATE_EXCHANGE,
	MACHINE_EMULATE_EXCHANGE_ADD,
	MACHINE_EMULATE_COMPARE_EXCHANGE,
	MACHINE_EMULATE_BIT,
	MACHINE_EMULATE_STRING_MOVE,
	MACHINE_EMULATE_STRING_STORE,
	MACHINE_EMULATE_STRING_LOAD,
	MACHINE_EMULATE_STRING_IN,
	MACHINE_EMULATE_STRING_OUT,
};

/* Guest-physical place of an operand; in two parts when it crosses into another page. */
struct machine_span {
	uint64_t gpa;
	uint64_t gpa_second;
	uint32_t size;	     /* bytes in all; 0: no operand */
	uint32_t size_first; /* of them at `gpa` */
};

/* Where an instruction is and what its bytes are: 16 of them, of which those behind its end do not count. */
struct machine_place {
	uint64_t gva;
	struct guest_paging_memo code;
	const uint8_t *bytes; /* in the guest's memory */
	uint64_t words[2];
	uint64_t masks[2];
};

/*
 * Zero at first. One that has been used before may be used again: while place and bytes are
 * the same, the first half stays as it is.
 */
struct machine_emulation {
	struct machine_place place;
	struct machine_instruction instruction;
	uint8_t action; /* enum machine_emulate_action */
	uint8_t alu;	/* ADD OR ADC SBB AND SUB XOR CMP, or the BT operation */
	uint8_t size;	/* bytes of the operand in memory */
	uint8_t source_is_immediate;
	uint32_t reserved;

	struct machine_span source; /* what is read */
	struct machine_span target; /* what is written */

	/* After -EFAULT: the page fault to raise. */
	uint64_t fault_address;
	uint32_t fault_error_code;
};

/*
 * Reads the instruction at CS:RIP into `instruction`. Returns 0; -EFAULT when its
 * bytes cannot be read (the processor just did, so something is odd: treat as
 * -ENOTSUP); -EINVAL as machine_instruction_decode().
 */
int machine_instruction_fetch(const struct vcpu_state *vcpu, const struct guest_memory *memory,
			      struct machine_instruction *instruction);

/*
 * Finds out what the instruction at CS:RIP does. `gpa` is the address whose access
 * exited (any value for INS and OUTS). Returns 0; -EFAULT: raise #PF with
 * fault_address and fault_error_code; -ENOTSUP: an instruction that is not handled:
 * the guest gets #UD and the trace a line with its bytes.
 */
int machine_emulate_prepare(struct machine_emulation *emulation, const struct vcpu_state *vcpu,
			    const struct guest_memory *memory, uint64_t gpa);

/* As machine_reads_time(), for all that execute will do. */
bool machine_emulate_reads_time(const struct machine_emulation *emulation, const struct machine *machine,
				const struct vcpu_state *vcpu, const struct guest_memory *memory);

/* Does it. `vcpu` and the page tables are as they were at prepare. Single-stepping (TF) is the caller's. */
void machine_emulate_execute(const struct machine_emulation *emulation, struct machine *machine,
			     struct vcpu_state *vcpu, const struct guest_memory *memory);

#endif
