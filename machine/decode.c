/* SPDX-License-Identifier: Apache-2.0 */
/* Instruction decoder; see decode.h. Figure and table numbers are those of APM volume 3. */
#include "machine/decode.h"

#include <errno.h>
#include <string.h>

#define REX_W 8
#define REX_R 4
#define REX_X 2
#define REX_B 1

/* Where the decoder is. Reading past the end sets `short_of` and gives zeroes. */
struct cursor {
	const uint8_t *bytes;
	uint32_t count;
	uint32_t at;
	bool short_of;
};

static uint8_t take8(struct cursor *cursor)
{
	if (cursor->at >= cursor->count) {
		cursor->short_of = true;
		return 0;
	}
	return cursor->bytes[cursor->at++];
}

/* `size` bytes, sign-extended. */
static uint64_t take_signed(struct cursor *cursor, uint32_t size)
{
	uint64_t value = 0;

	for (uint32_t i = 0; i < size; i++)
		value |= (uint64_t)take8(cursor) << i * 8;
	if (size && size < 8 && value >> (size * 8 - 1) & 1)
		value |= UINT64_MAX << size * 8;
	return value;
}

uint32_t machine_mode_bits(const struct vcpu_state *vcpu)
{
	uint16_t attributes = vcpu->segments[VCPU_CS].attributes;

	if ((vcpu->efer & VCPU_EFER_LMA) && (attributes & VCPU_SEGMENT_LONG))
		return 64;
	if (!(vcpu->cr0 & VCPU_CR0_PE) || (vcpu->rflags & VCPU_RFLAGS_VM))
		return 16;
	return (attributes & VCPU_SEGMENT_DEFAULT_32) ? 32 : 16;
}

void machine_rip_advance(struct vcpu_state *vcpu, uint32_t size)
{
	static const uint64_t masks[3] = { 0xffff, 0xffffffff, UINT64_MAX };

	vcpu->rip = (vcpu->rip + size) & masks[machine_mode_bits(vcpu) / 32];
	vcpu->interrupt_shadow = 0;
}

/* The segment that a prefix names, or -1. */
static int prefix_segment(uint8_t byte)
{
	switch (byte) {
	case 0x26:
		return VCPU_ES;
	case 0x2e:
		return VCPU_CS;
	case 0x36:
		return VCPU_SS;
	case 0x3e:
		return VCPU_DS;
	case 0x64:
		return VCPU_FS;
	case 0x65:
		return VCPU_GS;
	default:
		return -1;
	}
}

/* Takes prefixes up to the opcode, which it returns. A REX counts only right before it (1.2.7). */
static uint8_t take_prefixes(struct cursor *cursor, struct machine_instruction *instruction,
			     bool *operand_override, bool *address_override)
{
	for (;;) {
		uint8_t byte = take8(cursor);
		int segment = prefix_segment(byte);

		if (cursor->short_of)
			return 0;
		if (instruction->mode_bits == 64 && (byte & 0xf0) == 0x40) {
			instruction->rex = byte;
			continue;
		}
		if (segment >= 0) {
			instruction->segment = (uint8_t)segment;
			instruction->segment_override = 1;
		} else if (byte == 0x66) {
			*operand_override = true;
		} else if (byte == 0x67) {
			*address_override = true;
		} else if (byte == 0xf0) {
			instruction->lock = 1;
		} else if (byte == 0xf2 || byte == 0xf3) {
			instruction->repeat = byte;
		} else {
			return byte;
		}
		instruction->rex = 0;
	}
}

static void sizes_set(struct machine_instruction *instruction, bool operand_override, bool address_override)
{
	switch (instruction->mode_bits) {
	case 64:
		instruction->operand_size = (instruction->rex & REX_W) ? 8 : operand_override ? 2 : 4;
		instruction->address_size = address_override ? 4 : 8;
		break;
	case 32:
		instruction->operand_size = operand_override ? 2 : 4;
		instruction->address_size = address_override ? 2 : 4;
		break;
	default:
		instruction->operand_size = operand_override ? 4 : 2;
		instruction->address_size = address_override ? 4 : 2;
	}
}

static void take_opcode(struct cursor *cursor, struct machine_instruction *instruction, uint8_t first)
{
	instruction->opcode = first;
	if (first != 0x0f)
		return;
	instruction->map = MACHINE_MAP_0F;
	instruction->opcode = take8(cursor);
	if (instruction->opcode == 0x38 || instruction->opcode == 0x3a) {
		instruction->map = instruction->opcode == 0x38 ? MACHINE_MAP_0F38 : MACHINE_MAP_0F3A;
		instruction->opcode = take8(cursor);
	}
}

/* Bit of each opcode that has a ModRM byte: tables. */
static bool opcode_has_modrm(const struct machine_instruction *instruction)
{
	static const uint32_t one_byte[8] = {
		0x0f0f0f0f, 0x0f0f0f0f,
		0x00000000, 0x00000a0c, /* 00..7f: 62 63 69 6b */
		0x0000ffff, 0x00000000,
		0xff0f00f3, 0xc0c00000, /* 80..ff: c0 c1 c4..c7 d0..d3 d8..df f6 f7 fe ff */
	};
	static const uint32_t two_bytes[8] = {
		0xffffa00f, 0xff00ffff, 0xffffffff, 0xff7fffff, /* 00..7f */
		0xffff0000, 0xfffff838, 0xffff00ff, 0xffffffff, /* 80..ff */
	};
	const uint32_t *table = instruction->map == MACHINE_MAP_ONE_BYTE ? one_byte : two_bytes;

	if (instruction->map >= MACHINE_MAP_0F38)
		return true;
	return table[instruction->opcode >> 5] >> (instruction->opcode & 31) & 1;
}

/* 16-bit forms: table 1-13's eight combinations. */
static void take_memory_16(struct cursor *cursor, struct machine_instruction *instruction, uint8_t rm)
{
	static const uint8_t bases[8] = { VCPU_RBX, VCPU_RBX, VCPU_RBP, VCPU_RBP,
					  VCPU_RSI, VCPU_RDI, VCPU_RBP, VCPU_RBX };
	static const uint8_t indices[8] = { VCPU_RSI,
					    VCPU_RDI,
					    VCPU_RSI,
					    VCPU_RDI,
					    MACHINE_NO_REGISTER,
					    MACHINE_NO_REGISTER,
					    MACHINE_NO_REGISTER,
					    MACHINE_NO_REGISTER };
	bool direct = instruction->modrm_mod == 0 && rm == 6;
	uint32_t size = direct ? 2 : instruction->modrm_mod;

	instruction->base = direct ? MACHINE_NO_REGISTER : bases[rm];
	instruction->index = indices[rm];
	instruction->displacement = (int32_t)take_signed(cursor, size);
}

static void take_sib(struct cursor *cursor, struct machine_instruction *instruction)
{
	uint8_t sib = take8(cursor);
	uint8_t index = (uint8_t)((sib >> 3 & 7) | ((instruction->rex & REX_X) ? 8 : 0));

	instruction->scale = (uint8_t)(1 << (sib >> 6));
	instruction->index = index == VCPU_RSP ? MACHINE_NO_REGISTER : index;
	instruction->base = (uint8_t)((sib & 7) | ((instruction->rex & REX_B) ? 8 : 0));
	if ((sib & 7) == VCPU_RBP && instruction->modrm_mod == 0)
		instruction->base = MACHINE_NO_REGISTER;
}

static void take_memory(struct cursor *cursor, struct machine_instruction *instruction, uint8_t rm)
{
	uint32_t size = instruction->modrm_mod == 1 ? 1 : instruction->modrm_mod == 2 ? 4 : 0;

	if (rm == 4) {
		take_sib(cursor, instruction);
		if (instruction->base == MACHINE_NO_REGISTER)
			size = 4;
	} else if (rm == 5 && instruction->modrm_mod == 0) {
		instruction->rip_relative = instruction->mode_bits == 64;
		size = 4;
	} else {
		instruction->base = instruction->modrm_rm;
	}
	instruction->displacement = (int32_t)take_signed(cursor, size);
}

static void take_modrm(struct cursor *cursor, struct machine_instruction *instruction)
{
	uint8_t modrm = take8(cursor);

	instruction->has_modrm = 1;
	instruction->modrm_mod = modrm >> 6;
	instruction->modrm_reg = (uint8_t)((modrm >> 3 & 7) | ((instruction->rex & REX_R) ? 8 : 0));
	instruction->modrm_rm = (uint8_t)((modrm & 7) | ((instruction->rex & REX_B) ? 8 : 0));
	/* MOV of control and debug registers takes any mod for a register. */
	if (instruction->map == MACHINE_MAP_0F && (instruction->opcode & 0xfc) == 0x20)
		instruction->modrm_mod = 3;
	if (instruction->modrm_mod == 3)
		return;
	if (instruction->address_size == 2)
		take_memory_16(cursor, instruction, modrm & 7);
	else
		take_memory(cursor, instruction, modrm & 7);
	/* BP and SP address the stack, unless a prefix says otherwise. */
	if (!instruction->segment_override &&
	    (instruction->base == VCPU_RBP || instruction->base == VCPU_RSP))
		instruction->segment = VCPU_SS;
}

/* Bytes of immediate behind a one-byte opcode (table A-1). */
static uint32_t immediate_size(const struct machine_instruction *instruction)
{
	uint8_t opcode = instruction->opcode;
	uint32_t full = instruction->operand_size == 2 ? 2 : 4;

	if (opcode < 0x40)
		return (opcode & 7) == 4 ? 1 : (opcode & 7) == 5 ? full : 0;
	switch (opcode) {
	case 0x68:
	case 0x69:
	case 0x81:
	case 0xa9:
	case 0xc7:
	case 0xe8:
	case 0xe9:
		return full;
	case 0x6a:
	case 0x6b:
	case 0x70 ... 0x7f:
	case 0x80:
	case 0x82:
	case 0x83:
	case 0xa8:
	case 0xb0 ... 0xb7:
	case 0xc0:
	case 0xc1:
	case 0xc6:
	case 0xcd:
	case 0xd4:
	case 0xd5:
	case 0xe0 ... 0xe7:
	case 0xeb:
		return 1;
	case 0xb8 ... 0xbf:
		return instruction->operand_size;
	case 0xa0 ... 0xa3:
		return instruction->address_size;
	case 0xc2:
	case 0xca:
		return 2;
	case 0xc8:
		return 3;
	case 0x9a:
	case 0xea:
		return full + 2;
	case 0xf6: /* TEST alone has one */
		return (instruction->modrm_reg & 6) == 0 ? 1 : 0;
	case 0xf7:
		return (instruction->modrm_reg & 6) == 0 ? full : 0;
	default:
		return 0;
	}
}

static uint32_t immediate_size_0f(const struct machine_instruction *instruction)
{
	switch (instruction->opcode) {
	case 0x70 ... 0x73:
	case 0xa4:
	case 0xac:
	case 0xba:
	case 0xc2:
	case 0xc4 ... 0xc6:
		return 1;
	case 0x80 ... 0x8f:
		return instruction->operand_size == 2 ? 2 : 4;
	default:
		return 0;
	}
}

static void take_immediate(struct cursor *cursor, struct machine_instruction *instruction)
{
	uint32_t size = 0;

	if (instruction->map == MACHINE_MAP_ONE_BYTE)
		size = immediate_size(instruction);
	else if (instruction->map == MACHINE_MAP_0F)
		size = immediate_size_0f(instruction);
	else if (instruction->map == MACHINE_MAP_0F3A)
		size = 1;
	instruction->immediate = take_signed(cursor, size);
	/* The address of MOV moffs is unsigned. */
	if (instruction->map == MACHINE_MAP_ONE_BYTE && (instruction->opcode & 0xfc) == 0xa0 && size < 8)
		instruction->immediate &= BIT(size * 8) - 1;
}

/* Encodings that this decoder does not know: their first byte is in the place of the opcode. */
static bool is_vector_prefix(const struct cursor *cursor, const struct machine_instruction *instruction,
			     uint8_t first)
{
	uint8_t next = cursor->at < cursor->count ? cursor->bytes[cursor->at] : 0;

	if (first != 0xc4 && first != 0xc5 && first != 0x62)
		return false;
	return instruction->mode_bits == 64 || next >= 0xc0;
}

int machine_instruction_decode(struct machine_instruction *instruction, const uint8_t *bytes,
			       uint32_t bytes_count, uint32_t mode_bits)
{
	bool operand_override = false;
	bool address_override = false;
	bool longest = bytes_count >= MACHINE_INSTRUCTION_SIZE_MAX;
	struct cursor cursor = { .bytes = bytes,
				 .count = longest ? MACHINE_INSTRUCTION_SIZE_MAX : bytes_count };
	uint8_t first;

	memset(instruction, 0, sizeof(*instruction));
	instruction->mode_bits = (uint8_t)mode_bits;
	instruction->segment = VCPU_DS;
	instruction->base = MACHINE_NO_REGISTER;
	instruction->index = MACHINE_NO_REGISTER;
	instruction->scale = 1;
	first = take_prefixes(&cursor, instruction, &operand_override, &address_override);
	sizes_set(instruction, operand_override, address_override);
	if (!cursor.short_of && is_vector_prefix(&cursor, instruction, first))
		return -EINVAL;
	take_opcode(&cursor, instruction, first);
	if (instruction->map == MACHINE_MAP_0F && instruction->opcode == 0x0f && !cursor.short_of)
		return -EINVAL; /* 3DNow! */
	if (opcode_has_modrm(instruction))
		take_modrm(&cursor, instruction);
	take_immediate(&cursor, instruction);
	if (cursor.short_of)
		return longest ? -EINVAL : -ENODATA;
	instruction->size = (uint8_t)cursor.at;
	return 0;
}

uint64_t machine_linear_address(const struct vcpu_state *vcpu, uint32_t segment, uint64_t offset)
{
	uint64_t base = vcpu->segments[segment].base;

	if (machine_mode_bits(vcpu) == 64)
		return offset + (segment == VCPU_FS || segment == VCPU_GS ? base : 0);
	return (uint32_t)(base + offset);
}

static uint64_t truncate(uint64_t value, uint32_t size)
{
	return size >= 8 ? value : value & (BIT(size * 8) - 1);
}

uint64_t machine_operand_address(const struct machine_instruction *instruction, const struct vcpu_state *vcpu)
{
	uint64_t offset = (uint64_t)(int64_t)instruction->displacement;

	if (!instruction->has_modrm) /* MOV moffs */
		return machine_linear_address(vcpu, instruction->segment, instruction->immediate);
	if (instruction->base != MACHINE_NO_REGISTER)
		offset += vcpu->gpr[instruction->base];
	if (instruction->index != MACHINE_NO_REGISTER)
		offset += vcpu->gpr[instruction->index] * instruction->scale;
	if (instruction->rip_relative)
		offset += vcpu->rip + instruction->size;
	return machine_linear_address(vcpu, instruction->segment,
				      truncate(offset, instruction->address_size));
}
