/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoding one instruction of the guest: its size, and its operands as far as an
 * access to memory needs them (AMD64 APM volume 3, chapter 1 and appendix A). Pure:
 * bytes in, description out. VEX, EVEX and 3DNow! are not decoded: nothing that
 * exits is encoded so.
 */
#ifndef MACHINE_DECODE_H
#define MACHINE_DECODE_H

#include "include/bits.h"
#include "include/vcpu_state.h"

#define MACHINE_INSTRUCTION_SIZE_MAX 15

enum machine_opcode_map {
	MACHINE_MAP_ONE_BYTE,
	MACHINE_MAP_0F,
	MACHINE_MAP_0F38,
	MACHINE_MAP_0F3A,
};

#define MACHINE_NO_REGISTER 0xff

struct machine_instruction {
	uint8_t size;	      /* bytes, prefixes included */
	uint8_t mode_bits;    /* 16, 32 or 64: of the code segment */
	uint8_t operand_size; /* 2, 4 or 8; byte opcodes are for the reader to know */
	uint8_t address_size; /* 2, 4 or 8 */

	uint8_t map; /* enum machine_opcode_map */
	uint8_t opcode;
	uint8_t repeat; /* 0, 0xf2 or 0xf3 */
	uint8_t lock;

	uint8_t rex;		  /* 0: none */
	uint8_t segment;	  /* enum vcpu_segment_name that applies to the memory operand */
	uint8_t segment_override; /* was it named by a prefix? */
	uint8_t has_modrm;

	uint8_t modrm_mod;
	uint8_t modrm_reg; /* with REX.R */
	uint8_t modrm_rm;  /* with REX.B; a register when mod is 3 */
	uint8_t reserved;

	/* Memory operand: base + index * scale + displacement; MACHINE_NO_REGISTER: without. */
	uint8_t base;
	uint8_t index;
	uint8_t scale;
	uint8_t rip_relative;
	int32_t displacement;

	uint64_t immediate; /* sign-extended where the instruction does it; the address of MOV moffs */
};

/*
 * Decodes the instruction that begins at bytes[0]. `bytes_count` may be less than
 * the longest instruction when the next page is not there. Returns 0; -ENODATA when
 * the bytes end inside it; -EINVAL when it is no instruction or one that is not
 * decoded (see above).
 */
int machine_instruction_decode(struct machine_instruction *instruction, const uint8_t *bytes,
			       uint32_t bytes_count, uint32_t mode_bits);

/* 16, 32 or 64: how the processor reads code now. */
uint32_t machine_mode_bits(const struct vcpu_state *vcpu);

/* Moves RIP past an instruction that was carried out for the guest; the shadow of the one before it ends. */
void machine_rip_advance(struct vcpu_state *vcpu, uint32_t size);

/* Linear address of the memory operand (modrm_mod is not 3, or a moffs). */
uint64_t machine_operand_address(const struct machine_instruction *instruction,
				 const struct vcpu_state *vcpu);

/* Linear address of `offset` in `segment`: 32 bits, or 64 with only FS and GS having a base. */
uint64_t machine_linear_address(const struct vcpu_state *vcpu, uint32_t segment, uint64_t offset);

#endif
