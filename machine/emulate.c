/* SPDX-License-Identifier: Apache-2.0 */
/* Carrying out instructions on devices; see emulate.h. Opcodes: APM volume 3, appendix A. */
#include "machine/emulate.h"

#include <errno.h>
#include <string.h>

#include "include/byte_order.h"
#include "include/trace.h"
#include "machine/guest_paging.h"
#include "machine/machine.h"

TRACE_FILE("emulate", TRACE_WARNING);

enum {
	ALU_ADD,
	ALU_OR,
	ALU_ADC,
	ALU_SBB,
	ALU_AND,
	ALU_SUB,
	ALU_XOR,
	ALU_CMP,

	BIT_TEST = 4, /* as group 8 numbers them */
	BIT_SET,
	BIT_RESET,
	BIT_COMPLEMENT,
};

#define FLAGS_STATUS                                                                                         \
	(VCPU_RFLAGS_CF | VCPU_RFLAGS_PF | VCPU_RFLAGS_AF | VCPU_RFLAGS_ZF | VCPU_RFLAGS_SF | VCPU_RFLAGS_OF)

static uint64_t size_mask(uint32_t size)
{
	return size >= 8 ? UINT64_MAX : BIT(size * 8) - 1;
}

static uint64_t sign_extend(uint64_t value, uint32_t size)
{
	uint64_t sign = BIT(size * 8 - 1);

	return size >= 8 ? value : ((value & size_mask(size)) ^ sign) - sign;
}

/* ---- registers ---- */

/* Without REX, byte registers 4..7 are AH, CH, DH, BH. */
static bool is_high_byte(const struct machine_instruction *instruction, uint32_t index, uint32_t size)
{
	return size == 1 && !instruction->rex && index >= 4 && index < 8;
}

static uint64_t register_read(const struct machine_instruction *instruction, const struct vcpu_state *vcpu,
			      uint32_t index, uint32_t size)
{
	if (is_high_byte(instruction, index, size))
		return vcpu->gpr[index - 4] >> 8 & 0xff;
	return vcpu->gpr[index] & size_mask(size);
}

static void register_write(const struct machine_instruction *instruction, struct vcpu_state *vcpu,
			   uint32_t index, uint32_t size, uint64_t value)
{
	uint64_t mask = size_mask(size);

	if (is_high_byte(instruction, index, size))
		vcpu->gpr[index - 4] = (vcpu->gpr[index - 4] & ~UINT64_C(0xff00)) | (value & 0xff) << 8;
	else if (size >= 4) /* 32 bits clear the upper half */
		vcpu->gpr[index] = value & mask;
	else
		vcpu->gpr[index] = (vcpu->gpr[index] & ~mask) | (value & mask);
}

/* RSI, RDI and RCX of string instructions: as wide as addresses. */
static void address_register_add(const struct machine_instruction *instruction, struct vcpu_state *vcpu,
				 uint32_t index, uint64_t amount)
{
	uint32_t size = instruction->address_size;
	uint64_t value = (vcpu->gpr[index] + amount) & size_mask(size);

	if (size == 2)
		value |= vcpu->gpr[index] & ~UINT64_C(0xffff);
	vcpu->gpr[index] = value;
}

/* ---- spans of memory ---- */

/*
 * `known_gpa` is where the processor said the access goes; it saves the walk when
 * the operand is that one and in one page.
 */
static int span_find(struct machine_span *span, struct machine_emulation *emulation,
		     const struct vcpu_state *vcpu, const struct guest_memory *memory, uint64_t gva,
		     uint32_t access, const uint64_t *known_gpa)
{
	uint32_t first = (uint32_t)min_u64(emulation->size, 4096 - gva % 4096);
	uint64_t second = machine_mode_bits(vcpu) == 64 ? gva + first : (uint32_t)(gva + first);

	span->size = emulation->size;
	span->size_first = first;
	emulation->fault_address = gva;
	if (known_gpa && first == span->size && (*known_gpa ^ gva) % 4096 == 0)
		span->gpa = *known_gpa;
	else if (!guest_paging_translate(vcpu, memory, gva, access, &span->gpa, &emulation->fault_error_code))
		return -EFAULT;
	if (first == span->size)
		return 0;
	emulation->fault_address = second;
	if (!guest_paging_translate(vcpu, memory, second, access, &span->gpa_second,
				    &emulation->fault_error_code))
		return -EFAULT;
	return 0;
}

/* A part of a span: memory, or a device in pieces that it takes. */
static uint64_t part_read(struct machine *machine, const struct guest_memory *memory, uint64_t gpa,
			  uint32_t size)
{
	uint64_t value = 0;

	if (guest_memory_read(memory, gpa, &value, size))
		return value;
	if (is_power_of_two(size))
		return machine_mmio_read(machine, memory, gpa, size);
	for (uint32_t i = 0; i < size; i++)
		value |= machine_mmio_read(machine, memory, gpa + i, 1) << i * 8;
	return value;
}

static void part_write(struct machine *machine, const struct guest_memory *memory, uint64_t gpa,
		       uint32_t size, uint64_t value)
{
	if (guest_memory_write(memory, gpa, &value, size))
		return;
	if (is_power_of_two(size)) {
		machine_mmio_write(machine, memory, gpa, size, value);
		return;
	}
	for (uint32_t i = 0; i < size; i++)
		machine_mmio_write(machine, memory, gpa + i, 1, value >> i * 8);
}

static uint64_t span_read(const struct machine_span *span, struct machine *machine,
			  const struct guest_memory *memory)
{
	uint32_t second = span->size - span->size_first;
	uint64_t value = part_read(machine, memory, span->gpa, span->size_first);

	if (second)
		value |= part_read(machine, memory, span->gpa_second, second) << span->size_first * 8;
	return value & size_mask(span->size);
}

static void span_write(const struct machine_span *span, struct machine *machine,
		       const struct guest_memory *memory, uint64_t value)
{
	uint32_t second = span->size - span->size_first;

	part_write(machine, memory, span->gpa, span->size_first, value);
	if (second)
		part_write(machine, memory, span->gpa_second, second, value >> span->size_first * 8);
}

static bool span_reads_time(const struct machine_span *span, const struct machine *machine,
			    const struct guest_memory *memory, bool is_write)
{
	const struct machine_access access = { .kind = MACHINE_ACCESS_MMIO,
					       .is_write = is_write,
					       .size = (uint8_t)span->size,
					       .address = span->gpa };

	return span->size && !guest_memory_at(memory, span->gpa, 1) && machine_reads_time(machine, &access);
}

/* ---- what the opcode asks for ---- */

static int action_one_byte(struct machine_emulation *emulation)
{
	const struct machine_instruction *instruction = &emulation->instruction;
	uint8_t opcode = instruction->opcode;
	uint8_t group = instruction->modrm_reg & 7;

	emulation->size = (opcode & 1) ? instruction->operand_size : 1;
	if (opcode < 0x40 && (opcode & 7) < 4) {
		emulation->alu = opcode >> 3;
		return (opcode & 2) ? MACHINE_EMULATE_ALU_REGISTER : MACHINE_EMULATE_ALU_MEMORY;
	}
	switch (opcode) {
	case 0x63:
		emulation->size = 4;
		return instruction->mode_bits == 64 ? MACHINE_EMULATE_LOAD_SIGNED : -ENOTSUP;
	case 0x6c ... 0x6d:
	case 0x6e ... 0x6f:
		emulation->size = (opcode & 1) ? (uint8_t)min_u64(instruction->operand_size, 4) : 1;
		return opcode < 0x6e ? MACHINE_EMULATE_STRING_IN : MACHINE_EMULATE_STRING_OUT;
	case 0x80 ... 0x83:
		emulation->alu = group;
		emulation->source_is_immediate = 1;
		return MACHINE_EMULATE_ALU_MEMORY;
	case 0x84 ... 0x85:
		return MACHINE_EMULATE_TEST;
	case 0x86 ... 0x87:
		return MACHINE_EMULATE_EXCHANGE;
	case 0x88 ... 0x89:
	case 0xa2 ... 0xa3:
		return MACHINE_EMULATE_STORE;
	case 0x8a ... 0x8b:
	case 0xa0 ... 0xa1:
		return MACHINE_EMULATE_LOAD;
	case 0xa4 ... 0xa5:
		return MACHINE_EMULATE_STRING_MOVE;
	case 0xaa ... 0xab:
		return MACHINE_EMULATE_STRING_STORE;
	case 0xac ... 0xad:
		return MACHINE_EMULATE_STRING_LOAD;
	case 0xc6 ... 0xc7:
		emulation->source_is_immediate = 1;
		return group == 0 ? MACHINE_EMULATE_STORE : -ENOTSUP;
	case 0xf6 ... 0xf7:
		emulation->source_is_immediate = group < 2;
		return group < 2    ? MACHINE_EMULATE_TEST
		       : group == 2 ? MACHINE_EMULATE_NOT
		       : group == 3 ? MACHINE_EMULATE_NEGATE
				    : -ENOTSUP;
	case 0xfe ... 0xff:
		return group == 0   ? MACHINE_EMULATE_INCREMENT
		       : group == 1 ? MACHINE_EMULATE_DECREMENT
				    : -ENOTSUP;
	default:
		return -ENOTSUP;
	}
}

static int action_two_bytes(struct machine_emulation *emulation)
{
	const struct machine_instruction *instruction = &emulation->instruction;
	uint8_t opcode = instruction->opcode;

	emulation->size = instruction->operand_size;
	switch (opcode) {
	case 0x40 ... 0x4f:
		return MACHINE_EMULATE_LOAD_IF;
	case 0x90 ... 0x9f:
		emulation->size = 1;
		return MACHINE_EMULATE_STORE_IF;
	case 0xa3:
	case 0xab:
	case 0xb3:
	case 0xbb:
		emulation->alu = opcode >> 3 & 7;
		return MACHINE_EMULATE_BIT;
	case 0xba:
		emulation->alu = instruction->modrm_reg & 7;
		emulation->source_is_immediate = 1;
		return emulation->alu >= BIT_TEST ? MACHINE_EMULATE_BIT : -ENOTSUP;
	case 0xb0 ... 0xb1:
		emulation->size = (opcode & 1) ? instruction->operand_size : 1;
		return MACHINE_EMULATE_COMPARE_EXCHANGE;
	case 0xb6 ... 0xb7:
		emulation->size = (opcode & 1) ? 2 : 1;
		return MACHINE_EMULATE_LOAD;
	case 0xbe ... 0xbf:
		emulation->size = (opcode & 1) ? 2 : 1;
		return MACHINE_EMULATE_LOAD_SIGNED;
	case 0xc0 ... 0xc1:
		emulation->size = (opcode & 1) ? instruction->operand_size : 1;
		return MACHINE_EMULATE_EXCHANGE_ADD;
	case 0xc3: /* MOVNTI */
		return MACHINE_EMULATE_STORE;
	default:
		return -ENOTSUP;
	}
}

static bool is_string(uint32_t action)
{
	return action >= MACHINE_EMULATE_STRING_MOVE;
}

static bool action_reads(const struct machine_emulation *emulation)
{
	return emulation->action != MACHINE_EMULATE_STORE && emulation->action != MACHINE_EMULATE_STORE_IF;
}

static bool action_writes(const struct machine_emulation *emulation)
{
	switch (emulation->action) {
	case MACHINE_EMULATE_LOAD:
	case MACHINE_EMULATE_LOAD_SIGNED:
	case MACHINE_EMULATE_LOAD_IF:
	case MACHINE_EMULATE_ALU_REGISTER:
	case MACHINE_EMULATE_TEST:
		return false;
	case MACHINE_EMULATE_ALU_MEMORY:
		return emulation->alu != ALU_CMP;
	case MACHINE_EMULATE_BIT:
		return emulation->alu != BIT_TEST;
	default:
		return true;
	}
}

/* ---- prepare ---- */

int machine_instruction_fetch(const struct vcpu_state *vcpu, const struct guest_memory *memory,
			      struct machine_instruction *instruction)
{
	uint8_t bytes[MACHINE_INSTRUCTION_SIZE_MAX];
	uint64_t gva = machine_linear_address(vcpu, VCPU_CS, vcpu->rip);
	uint32_t mode_bits = machine_mode_bits(vcpu);
	uint32_t in_page = (uint32_t)min_u64(sizeof(bytes), 4096 - gva % 4096);
	uint32_t count = guest_paging_fetch(vcpu, memory, gva, bytes, in_page);
	int error = machine_instruction_decode(instruction, bytes, count, mode_bits);

	if (error != -ENODATA || count < in_page)
		return error == -ENODATA ? -EFAULT : error;
	/* It goes on in the next page. */
	count +=
		guest_paging_fetch(vcpu, memory, gva + count, bytes + count, (uint32_t)sizeof(bytes) - count);
	error = machine_instruction_decode(instruction, bytes, count, mode_bits);
	return error == -ENODATA ? -EFAULT : error;
}

/* A REP that has nothing left to do. */
static bool string_is_through(const struct machine_instruction *instruction, const struct vcpu_state *vcpu)
{
	return instruction->repeat && (vcpu->gpr[VCPU_RCX] & size_mask(instruction->address_size)) == 0;
}

static int prepare_string(struct machine_emulation *emulation, const struct vcpu_state *vcpu,
			  const struct guest_memory *memory)
{
	const struct machine_instruction *instruction = &emulation->instruction;
	uint64_t mask = size_mask(instruction->address_size);
	uint64_t from = machine_linear_address(vcpu, instruction->segment, vcpu->gpr[VCPU_RSI] & mask);
	uint64_t to = machine_linear_address(vcpu, VCPU_ES, vcpu->gpr[VCPU_RDI] & mask);
	uint32_t action = emulation->action;
	int error = 0;

	if (string_is_through(instruction, vcpu))
		return 0; /* touches nothing */
	if (action == MACHINE_EMULATE_STRING_MOVE || action == MACHINE_EMULATE_STRING_LOAD ||
	    action == MACHINE_EMULATE_STRING_OUT)
		error = span_find(&emulation->source, emulation, vcpu, memory, from, 0, NULL);
	if (!error && action != MACHINE_EMULATE_STRING_LOAD && action != MACHINE_EMULATE_STRING_OUT)
		error = span_find(&emulation->target, emulation, vcpu, memory, to, GUEST_PAGE_WRITE, NULL);
	return error;
}

/* BT with a register may reach beyond the operand: the bit's number moves the address. */
static uint64_t bit_address(const struct machine_emulation *emulation, const struct vcpu_state *vcpu,
			    uint64_t gva)
{
	const struct machine_instruction *instruction = &emulation->instruction;
	uint32_t size = emulation->size;
	int64_t bit;

	if (emulation->action != MACHINE_EMULATE_BIT || emulation->source_is_immediate)
		return gva;
	bit = (int64_t)sign_extend(register_read(instruction, vcpu, instruction->modrm_reg, size), size);
	gva += (uint64_t)(bit >> (size == 2 ? 4 : size == 4 ? 5 : 6)) * size;
	return instruction->mode_bits == 64 ? gva : (uint32_t)gva;
}

static int prepare_operand(struct machine_emulation *emulation, const struct vcpu_state *vcpu,
			   const struct guest_memory *memory, uint64_t gpa)
{
	const struct machine_instruction *instruction = &emulation->instruction;
	uint32_t access = action_writes(emulation) ? GUEST_PAGE_WRITE : 0;
	uint64_t gva;
	int error;

	if (instruction->has_modrm && instruction->modrm_mod == 3)
		return -ENOTSUP;
	gva = bit_address(emulation, vcpu, machine_operand_address(instruction, vcpu));
	error = span_find(&emulation->source, emulation, vcpu, memory, gva, access, &gpa);
	if (action_writes(emulation))
		emulation->target = emulation->source;
	return error;
}

/* Is the instruction the one that is known? The instructions that reach devices are few. */
static bool is_known(struct machine_emulation *emulation, const struct vcpu_state *vcpu,
		     const struct guest_memory *memory, uint64_t gva)
{
	struct machine_place *place = &emulation->place;

	return place->gva == gva && emulation->instruction.mode_bits == machine_mode_bits(vcpu) &&
	       guest_paging_is_same(&place->code, vcpu, memory, gva, GUEST_PAGE_FETCH) &&
	       (load_le64(place->bytes) & place->masks[0]) == place->words[0] &&
	       (load_le64(place->bytes + 8) & place->masks[1]) == place->words[1];
}

static uint64_t first_bytes_mask(uint32_t count)
{
	return count >= 8 ? UINT64_MAX : BIT(count * 8) - 1;
}

static void remember(struct machine_emulation *emulation, const struct vcpu_state *vcpu,
		     const struct guest_memory *memory, uint64_t gva)
{
	struct machine_place *place = &emulation->place;
	uint32_t size = emulation->instruction.size;
	uint32_t error_code;
	uint64_t gpa;

	if (gva % 4096 > 4096 - sizeof(place->words) ||
	    !guest_paging_translate_anew(&place->code, vcpu, memory, gva, GUEST_PAGE_FETCH, &gpa,
					 &error_code))
		return;
	place->gva = gva;
	place->bytes = guest_memory_at(memory, gpa, sizeof(place->words));
	place->masks[0] = first_bytes_mask(size);
	place->masks[1] = first_bytes_mask(size - (uint32_t)min_u64(size, 8));
	place->words[0] = load_le64(place->bytes) & place->masks[0];
	place->words[1] = load_le64(place->bytes + 8) & place->masks[1];
}

/* What the instruction at CS:RIP is and does, whatever its operands are. */
static int find_out(struct machine_emulation *emulation, const struct vcpu_state *vcpu,
		    const struct guest_memory *memory, uint64_t gva, uint64_t gpa)
{
	int action = -ENOTSUP;

	memset(emulation, 0, sizeof(*emulation));
	if (machine_instruction_fetch(vcpu, memory, &emulation->instruction))
		return trace_error(-ENOTSUP);
	if (emulation->instruction.map == MACHINE_MAP_ONE_BYTE)
		action = action_one_byte(emulation);
	else if (emulation->instruction.map == MACHINE_MAP_0F)
		action = action_two_bytes(emulation);
	if (action < 0) {
		trace(TRACE_WARNING,
		      "map %u opcode 0x%02x /%u at 0x%llx on a device at 0x%llx is not handled",
		      emulation->instruction.map, emulation->instruction.opcode,
		      emulation->instruction.modrm_reg & 7u, (unsigned long long)vcpu->rip,
		      (unsigned long long)gpa);
		return action;
	}
	emulation->action = (uint8_t)action;
	remember(emulation, vcpu, memory, gva);
	return 0;
}

int machine_emulate_prepare(struct machine_emulation *emulation, const struct vcpu_state *vcpu,
			    const struct guest_memory *memory, uint64_t gpa)
{
	uint64_t gva = machine_linear_address(vcpu, VCPU_CS, vcpu->rip);
	int error = 0;

	if (!is_known(emulation, vcpu, memory, gva))
		error = find_out(emulation, vcpu, memory, gva, gpa);
	if (error)
		return error;
	emulation->source.size = 0;
	emulation->target.size = 0;
	if (is_string(emulation->action))
		return prepare_string(emulation, vcpu, memory);
	return prepare_operand(emulation, vcpu, memory, gpa);
}

bool machine_emulate_reads_time(const struct machine_emulation *emulation, const struct machine *machine,
				const struct vcpu_state *vcpu, const struct guest_memory *memory)
{
	struct machine_access access = { .kind = MACHINE_ACCESS_PORT,
					 .size = emulation->size,
					 .address = vcpu->gpr[VCPU_RDX] & 0xffff,
					 .is_write = emulation->action == MACHINE_EMULATE_STRING_OUT };

	if (access.is_write || emulation->action == MACHINE_EMULATE_STRING_IN)
		return machine_reads_time(machine, &access);
	return (action_reads(emulation) && span_reads_time(&emulation->source, machine, memory, false)) ||
	       span_reads_time(&emulation->target, machine, memory, true);
}

/* ---- execute ---- */

static uint64_t flags_of_result(uint64_t result, uint32_t size)
{
	uint64_t flags = 0;

	result &= size_mask(size);
	if (result == 0)
		flags |= VCPU_RFLAGS_ZF;
	if (result >> (size * 8 - 1) & 1)
		flags |= VCPU_RFLAGS_SF;
	if (!(__builtin_popcountll(result & 0xff) & 1))
		flags |= VCPU_RFLAGS_PF;
	return flags;
}

/* `carries` has the carry out of each bit position (borrow, for a subtraction). */
static uint64_t flags_of_carries(uint64_t carries, uint32_t size)
{
	uint64_t flags = 0;

	if (carries >> (size * 8 - 1) & 1)
		flags |= VCPU_RFLAGS_CF;
	if ((carries >> (size * 8 - 1) ^ carries >> (size * 8 - 2)) & 1)
		flags |= VCPU_RFLAGS_OF;
	if (carries >> 3 & 1)
		flags |= VCPU_RFLAGS_AF;
	return flags;
}

static uint64_t alu_compute(uint32_t operation, uint64_t a, uint64_t b, uint32_t size, uint64_t *rflags)
{
	uint64_t carry = *rflags & VCPU_RFLAGS_CF;
	uint64_t carries = 0;
	uint64_t result;

	switch (operation) {
	case ALU_OR:
		result = a | b;
		break;
	case ALU_AND:
		result = a & b;
		break;
	case ALU_XOR:
		result = a ^ b;
		break;
	case ALU_ADD:
	case ALU_ADC:
		result = a + b + (operation == ALU_ADC ? carry : 0);
		carries = (a & b) | ((a | b) & ~result);
		break;
	default: /* SUB, SBB, CMP */
		result = a - b - (operation == ALU_SBB ? carry : 0);
		carries = (~a & b) | ((~a | b) & result);
		break;
	}
	*rflags = (*rflags & ~FLAGS_STATUS) | flags_of_result(result, size) | flags_of_carries(carries, size);
	return result & size_mask(size);
}

/* INC and DEC leave the carry alone. */
static uint64_t alu_step(uint32_t operation, uint64_t value, uint32_t size, uint64_t *rflags)
{
	uint64_t carry = *rflags & VCPU_RFLAGS_CF;
	uint64_t result = alu_compute(operation, value, 1, size, rflags);

	*rflags = (*rflags & ~VCPU_RFLAGS_CF) | carry;
	return result;
}

/* Condition codes by the low four bits of Jcc, SETcc, CMOVcc. */
static bool condition_holds(uint32_t code, uint64_t rflags)
{
	bool sign_differs = !(rflags & VCPU_RFLAGS_SF) != !(rflags & VCPU_RFLAGS_OF);
	bool holds;

	switch (code >> 1 & 7) {
	case 0:
		holds = (rflags & VCPU_RFLAGS_OF) != 0;
		break;
	case 1:
		holds = (rflags & VCPU_RFLAGS_CF) != 0;
		break;
	case 2:
		holds = (rflags & VCPU_RFLAGS_ZF) != 0;
		break;
	case 3:
		holds = (rflags & (VCPU_RFLAGS_CF | VCPU_RFLAGS_ZF)) != 0;
		break;
	case 4:
		holds = (rflags & VCPU_RFLAGS_SF) != 0;
		break;
	case 5:
		holds = (rflags & VCPU_RFLAGS_PF) != 0;
		break;
	case 6:
		holds = sign_differs;
		break;
	default:
		holds = sign_differs || (rflags & VCPU_RFLAGS_ZF);
	}
	return holds != (code & 1);
}

static uint64_t bit_compute(const struct machine_emulation *emulation, uint64_t value, uint64_t source,
			    uint64_t *rflags)
{
	uint64_t bit = BIT(source % (emulation->size * 8));

	*rflags = (*rflags & ~VCPU_RFLAGS_CF) | ((value & bit) ? VCPU_RFLAGS_CF : 0);
	switch (emulation->alu) {
	case BIT_SET:
		return value | bit;
	case BIT_RESET:
		return value & ~bit;
	case BIT_COMPLEMENT:
		return value ^ bit;
	default:
		return value;
	}
}

static uint64_t compare_exchange(const struct machine_emulation *emulation, struct vcpu_state *vcpu,
				 uint64_t value, uint64_t source)
{
	const struct machine_instruction *instruction = &emulation->instruction;
	uint64_t wanted = register_read(instruction, vcpu, VCPU_RAX, emulation->size);

	alu_compute(ALU_CMP, wanted, value, emulation->size, &vcpu->rflags);
	if (wanted == value)
		return source;
	register_write(instruction, vcpu, VCPU_RAX, emulation->size, value);
	return value; /* written back, as the processor does */
}

/* Register that the instruction names; MOV moffs is always with RAX. */
static uint32_t register_operand(const struct machine_instruction *instruction)
{
	return instruction->has_modrm ? instruction->modrm_reg : VCPU_RAX;
}

/* What goes back to memory, after `value` was read from it; loads write their register. */
static uint64_t operand_compute(const struct machine_emulation *emulation, struct vcpu_state *vcpu,
				uint64_t value)
{
	const struct machine_instruction *instruction = &emulation->instruction;
	uint32_t size = emulation->size;
	uint32_t name = register_operand(instruction);
	uint32_t wide = instruction->operand_size;
	uint64_t source = (emulation->source_is_immediate ? instruction->immediate
							  : register_read(instruction, vcpu, name, size)) &
			  size_mask(size);

	switch (emulation->action) {
	case MACHINE_EMULATE_LOAD: /* MOVZX widens */
		register_write(instruction, vcpu, name, instruction->map == MACHINE_MAP_0F ? wide : size,
			       value);
		return 0;
	case MACHINE_EMULATE_LOAD_SIGNED:
		register_write(instruction, vcpu, name, wide, sign_extend(value, size));
		return 0;
	case MACHINE_EMULATE_LOAD_IF: /* false clears the upper half all the same */
		register_write(instruction, vcpu, name, size,
			       condition_holds(instruction->opcode, vcpu->rflags) ? value : source);
		return 0;
	case MACHINE_EMULATE_STORE_IF:
		return condition_holds(instruction->opcode, vcpu->rflags);
	case MACHINE_EMULATE_ALU_MEMORY:
		return alu_compute(emulation->alu, value, source, size, &vcpu->rflags);
	case MACHINE_EMULATE_ALU_REGISTER:
		source = alu_compute(emulation->alu, source, value, size, &vcpu->rflags);
		if (emulation->alu != ALU_CMP)
			register_write(instruction, vcpu, name, size, source);
		return 0;
	case MACHINE_EMULATE_TEST:
		return alu_compute(ALU_AND, value, source, size, &vcpu->rflags);
	case MACHINE_EMULATE_NOT:
		return ~value;
	case MACHINE_EMULATE_NEGATE:
		return alu_compute(ALU_SUB, 0, value, size, &vcpu->rflags);
	case MACHINE_EMULATE_INCREMENT:
		return alu_step(ALU_ADD, value, size, &vcpu->rflags);
	case MACHINE_EMULATE_DECREMENT:
		return alu_step(ALU_SUB, value, size, &vcpu->rflags);
	case MACHINE_EMULATE_EXCHANGE:
		register_write(instruction, vcpu, name, size, value);
		return source;
	case MACHINE_EMULATE_EXCHANGE_ADD:
		register_write(instruction, vcpu, name, size, value);
		return alu_compute(ALU_ADD, value, source, size, &vcpu->rflags);
	case MACHINE_EMULATE_COMPARE_EXCHANGE:
		return compare_exchange(emulation, vcpu, value, source);
	case MACHINE_EMULATE_BIT:
		return bit_compute(emulation, value, source, &vcpu->rflags);
	default: /* STORE */
		return source;
	}
}

/* Moves the index registers and counts; true when the instruction is through. */
static bool string_step(const struct machine_emulation *emulation, struct vcpu_state *vcpu)
{
	const struct machine_instruction *instruction = &emulation->instruction;
	uint64_t step = (vcpu->rflags & VCPU_RFLAGS_DF) ? 0 - (uint64_t)emulation->size : emulation->size;

	if (emulation->source.size)
		address_register_add(instruction, vcpu, VCPU_RSI, step);
	if (emulation->target.size)
		address_register_add(instruction, vcpu, VCPU_RDI, step);
	if (!instruction->repeat)
		return true;
	address_register_add(instruction, vcpu, VCPU_RCX, UINT64_MAX);
	return string_is_through(instruction, vcpu);
}

static void execute_string(const struct machine_emulation *emulation, struct machine *machine,
			   struct vcpu_state *vcpu, const struct guest_memory *memory)
{
	const struct machine_instruction *instruction = &emulation->instruction;
	uint16_t port = (uint16_t)vcpu->gpr[VCPU_RDX];
	uint32_t size = emulation->size;
	uint64_t value;

	if (string_is_through(instruction, vcpu)) {
		machine_rip_advance(vcpu, instruction->size);
		return;
	}
	if (emulation->action == MACHINE_EMULATE_STRING_IN)
		value = machine_port_read(machine, memory, port, size);
	else if (emulation->action == MACHINE_EMULATE_STRING_STORE)
		value = register_read(instruction, vcpu, VCPU_RAX, size);
	else
		value = span_read(&emulation->source, machine, memory);
	if (emulation->action == MACHINE_EMULATE_STRING_OUT)
		machine_port_write(machine, memory, port, size, (uint32_t)value);
	else if (emulation->action == MACHINE_EMULATE_STRING_LOAD)
		register_write(instruction, vcpu, VCPU_RAX, size, value);
	else
		span_write(&emulation->target, machine, memory, value);
	if (string_step(emulation, vcpu))
		machine_rip_advance(vcpu, instruction->size);
	vcpu->interrupt_shadow = 0;
}

void machine_emulate_execute(const struct machine_emulation *emulation, struct machine *machine,
			     struct vcpu_state *vcpu, const struct guest_memory *memory)
{
	uint64_t value = 0;
	uint64_t result;

	if (is_string(emulation->action)) {
		execute_string(emulation, machine, vcpu, memory);
		return;
	}
	if (action_reads(emulation))
		value = span_read(&emulation->source, machine, memory);
	result = operand_compute(emulation, vcpu, value);
	if (action_writes(emulation))
		span_write(&emulation->target, machine, memory, result);
	machine_rip_advance(vcpu, emulation->instruction.size);
}
