/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sizes and registers of the instructions that exit, for processors that report
 * neither (no next RIP, no decode assists). Prefixes in any order and number, as the
 * processor takes them: APM 3, 1.2. Instructions with memory operands are the run
 * loop's business (machine/), not ours.
 */
#include "kernel/svm/svm.h"

#define INSTRUCTION_SIZE_MAX 15

static bool is_legacy_prefix(uint8_t byte)
{
	switch (byte) {
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e: /* ES CS SS DS */
	case 0x64:
	case 0x65: /* FS GS */
	case 0x66:
	case 0x67: /* operand, address size */
	case 0xf0:
	case 0xf2:
	case 0xf3: /* LOCK REPNE REP */
		return true;
	default:
		return false;
	}
}

static bool has_modrm(const struct svm_instruction *instruction)
{
	if (!instruction->is_two_byte)
		return false;
	return instruction->opcode == 0x01 || instruction->opcode == 0x20 || instruction->opcode == 0x22;
}

struct svm_instruction svm_instruction_decode(const uint8_t *bytes, uint32_t size, bool is_64bit)
{
	const struct svm_instruction unknown = { 0 };
	struct svm_instruction instruction = { 0 };
	uint32_t at = 0;
	uint8_t rex = 0;

	if (size > INSTRUCTION_SIZE_MAX)
		size = INSTRUCTION_SIZE_MAX;
	while (at < size && is_legacy_prefix(bytes[at]))
		at++;
	if (is_64bit && at < size && (bytes[at] & 0xf0) == 0x40)
		rex = bytes[at++];
	if (at >= size)
		return unknown;
	instruction.opcode = bytes[at++];
	if (instruction.opcode == 0x0f) {
		if (at >= size)
			return unknown;
		instruction.is_two_byte = 1;
		instruction.opcode = bytes[at++];
	}
	if (has_modrm(&instruction)) {
		if (at >= size)
			return unknown;
		instruction.modrm = bytes[at++];
		instruction.reg = (uint8_t)(((instruction.modrm >> 3) & 7) | (rex & 4 ? 8 : 0));
		instruction.rm = (uint8_t)((instruction.modrm & 7) | (rex & 1 ? 8 : 0));
	}
	instruction.size = (uint8_t)at;
	return instruction;
}
