/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine/emulate.c, twice: the processor that runs the test is the reference for
 * registers, memory and flags of every form, with random operands; and the device
 * side (APIC registers, string I/O, operands across pages) is checked by hand.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/mman.h>

#include "include/byte_order.h"
#include "include/random.h"
#include "machine/emulate.h"
#include "machine/guest_paging.h"
#include "tests/unit/machine_fixture.h"

#define CODE_GPA UINT64_C(0x10000)
#define DATA_GPA UINT64_C(0x20000)
#define DATA_SIZE 64
#define FLAGS_DEFINED                                                                                        \
	(VCPU_RFLAGS_CF | VCPU_RFLAGS_PF | VCPU_RFLAGS_AF | VCPU_RFLAGS_ZF | VCPU_RFLAGS_SF | VCPU_RFLAGS_OF)

static struct vcpu_state vcpu;

static void long_mode(void)
{
	vcpu_state_reset(&vcpu);
	vcpu.efer = VCPU_EFER_LMA;
	vcpu.cr0 = VCPU_CR0_PE;
	vcpu.segments[VCPU_CS].attributes |= VCPU_SEGMENT_LONG;
	vcpu.segments[VCPU_CS].base = 0;
	vcpu.rip = CODE_GPA;
}

static void code_put(const char *bytes, size_t count)
{
	memset(guest_memory_to_write(&memory, CODE_GPA, 16), 0x90, 16);
	assert_true(guest_memory_write(&memory, CODE_GPA, bytes, count));
}

static int prepare(struct machine_emulation *emulation, uint64_t gpa)
{
	return machine_emulate_prepare(emulation, &vcpu, &memory, gpa);
}

static void execute(const struct machine_emulation *emulation)
{
	machine_emulate_execute(emulation, &machine, &vcpu, &memory);
}

/* ---- against the processor ---- */

/* Registers of a run; the assembly below knows the offsets. */
struct run {
	uint64_t rax, rcx, rdx, rbx, rsi, rdi, rflags;
};

static void run_on_processor(struct run *run, const void *code)
{
	__asm__ volatile("mov %[run], %%r12\n\t"
			 "mov %[code], %%r13\n\t"
			 "pushq 48(%%r12)\n\t"
			 "popfq\n\t"
			 "mov 0(%%r12), %%rax\n\t"
			 "mov 8(%%r12), %%rcx\n\t"
			 "mov 16(%%r12), %%rdx\n\t"
			 "mov 24(%%r12), %%rbx\n\t"
			 "mov 32(%%r12), %%rsi\n\t"
			 "mov 40(%%r12), %%rdi\n\t"
			 "call *%%r13\n\t"
			 "mov %%rax, 0(%%r12)\n\t"
			 "mov %%rcx, 8(%%r12)\n\t"
			 "mov %%rdx, 16(%%r12)\n\t"
			 "mov %%rbx, 24(%%r12)\n\t"
			 "mov %%rsi, 32(%%r12)\n\t"
			 "mov %%rdi, 40(%%r12)\n\t"
			 "pushfq\n\t"
			 "popq 48(%%r12)\n\t"
			 "cld\n\t"
			 :
			 : [run] "r"(run), [code] "r"(code)
			 : "rax", "rcx", "rdx", "rbx", "rsi", "rdi", "r12", "r13", "memory", "cc");
}

struct form {
	const char *bytes;
	size_t count;
	uint64_t flags; /* that the instruction defines or leaves */
};

#define FORM(text)                                                                                           \
	{                                                                                                    \
		text, sizeof(text) - 1, FLAGS_DEFINED                                                        \
	}
#define FORM_LOGIC(text)                                                                                     \
	{                                                                                                    \
		text, sizeof(text) - 1, FLAGS_DEFINED & ~VCPU_RFLAGS_AF                                      \
	}
#define FORM_BIT(text)                                                                                       \
	{                                                                                                    \
		text, sizeof(text) - 1, VCPU_RFLAGS_CF | VCPU_RFLAGS_ZF                                      \
	}

/* Memory operand [rdi + 16]; every width; with AL..BH, with REX, with immediates. */
static const struct form forms[] = {
	FORM("\x88\x47\x10"),
	FORM("\x88\x67\x10"),
	FORM("\x40\x88\x77\x10"),
	FORM("\x66\x89\x47\x10"),
	FORM("\x89\x47\x10"),
	FORM("\x48\x89\x4f\x10"),
	FORM("\x8a\x47\x10"),
	FORM("\x8a\x7f\x10"),
	FORM("\x66\x8b\x47\x10"),
	FORM("\x8b\x47\x10"),
	FORM("\x48\x8b\x5f\x10"),
	FORM("\xc6\x47\x10\x85"),
	FORM("\x66\xc7\x47\x10\x34\x92"),
	FORM("\xc7\x47\x10\x78\x56\x34\x92"),
	FORM("\x48\xc7\x47\x10\x78\x56\x34\x92"),
	FORM("\x0f\xb6\x47\x10"),
	FORM("\x66\x0f\xb6\x47\x10"),
	FORM("\x48\x0f\xb7\x47\x10"),
	FORM("\x0f\xbe\x47\x10"),
	FORM("\x66\x0f\xbe\x47\x10"),
	FORM("\x48\x0f\xbf\x47\x10"),
	FORM("\x48\x63\x47\x10"),
	FORM("\x0f\xc3\x47\x10"),
	FORM("\x48\x0f\xc3\x47\x10"),
	/* ADD ADC SBB SUB CMP, both directions and immediates */
	FORM("\x00\x47\x10"),
	FORM("\x66\x01\x47\x10"),
	FORM("\x01\x47\x10"),
	FORM("\x48\x01\x47\x10"),
	FORM("\x02\x47\x10"),
	FORM("\x03\x47\x10"),
	FORM("\x48\x03\x47\x10"),
	FORM("\x10\x47\x10"),
	FORM("\x11\x47\x10"),
	FORM("\x48\x13\x47\x10"),
	FORM("\x18\x47\x10"),
	FORM("\x19\x47\x10"),
	FORM("\x48\x1b\x47\x10"),
	FORM("\x28\x67\x10"),
	FORM("\x66\x29\x47\x10"),
	FORM("\x2b\x47\x10"),
	FORM("\x48\x2b\x47\x10"),
	FORM("\x38\x47\x10"),
	FORM("\x39\x47\x10"),
	FORM("\x48\x3b\x47\x10"),
	FORM("\x80\x47\x10\x7f"),
	FORM("\x66\x81\x57\x10\x01\x80"),
	FORM("\x81\x6f\x10\x00\x00\x00\x80"),
	FORM("\x83\x7f\x10\xff"),
	FORM("\x48\x83\x5f\x10\x80"),
	FORM("\x48\x81\x47\x10\xff\xff\xff\xff"),
	FORM_LOGIC("\x08\x47\x10"),
	FORM_LOGIC("\x09\x47\x10"),
	FORM_LOGIC("\x0b\x47\x10"),
	FORM_LOGIC("\x20\x67\x10"),
	FORM_LOGIC("\x48\x21\x47\x10"),
	FORM_LOGIC("\x23\x47\x10"),
	FORM_LOGIC("\x30\x47\x10"),
	FORM_LOGIC("\x66\x31\x47\x10"),
	FORM_LOGIC("\x48\x33\x47\x10"),
	FORM_LOGIC("\x83\x4f\x10\x40"),
	FORM_LOGIC("\x83\x67\x10\xf0"),
	FORM_LOGIC("\x80\x77\x10\x55"),
	FORM_LOGIC("\x84\x47\x10"),
	FORM_LOGIC("\x48\x85\x47\x10"),
	FORM_LOGIC("\xf6\x47\x10\x80"),
	FORM_LOGIC("\xf7\x47\x10\x00\x00\x00\x80"),
	/* NOT NEG INC DEC */
	FORM("\xf6\x57\x10"),
	FORM("\x48\xf7\x57\x10"),
	FORM("\xf6\x5f\x10"),
	FORM("\x66\xf7\x5f\x10"),
	FORM("\x48\xf7\x5f\x10"),
	FORM("\xfe\x47\x10"),
	FORM("\xff\x47\x10"),
	FORM("\x48\xff\x4f\x10"),
	FORM("\x66\xff\x4f\x10"),
	/* XCHG XADD CMPXCHG */
	FORM("\x86\x67\x10"),
	FORM("\x87\x47\x10"),
	FORM("\x48\x87\x47\x10"),
	FORM("\xf0\x0f\xc0\x4f\x10"),
	FORM("\xf0\x0f\xc1\x4f\x10"),
	FORM("\xf0\x48\x0f\xc1\x4f\x10"),
	FORM("\xf0\x0f\xb0\x4f\x10"),
	FORM("\xf0\x0f\xb1\x4f\x10"),
	FORM("\xf0\x48\x0f\xb1\x4f\x10"),
	/* CMOVcc SETcc, each condition */
	FORM("\x0f\x40\x47\x10"),
	FORM("\x0f\x41\x47\x10"),
	FORM("\x0f\x42\x47\x10"),
	FORM("\x0f\x43\x47\x10"),
	FORM("\x0f\x44\x47\x10"),
	FORM("\x0f\x45\x47\x10"),
	FORM("\x0f\x46\x47\x10"),
	FORM("\x0f\x47\x47\x10"),
	FORM("\x48\x0f\x48\x47\x10"),
	FORM("\x0f\x49\x47\x10"),
	FORM("\x0f\x4a\x47\x10"),
	FORM("\x0f\x4b\x47\x10"),
	FORM("\x0f\x4c\x47\x10"),
	FORM("\x0f\x4d\x47\x10"),
	FORM("\x0f\x4e\x47\x10"),
	FORM("\x66\x0f\x4f\x47\x10"),
	FORM("\x0f\x94\x47\x10"),
	FORM("\x0f\x9f\x47\x10"),
	/* BT BTS BTR BTC: immediate, and by register within the 64 bytes */
	FORM_BIT("\x0f\xba\x67\x10\x05"),
	FORM_BIT("\x0f\xba\x6f\x10\x25"),
	FORM_BIT("\x48\x0f\xba\x77\x10\x3f"),
	FORM_BIT("\x66\x0f\xba\x7f\x10\x0f"),
	FORM_BIT("\x0f\xa3\x57\x10"),
	FORM_BIT("\xf0\x0f\xab\x57\x10"),
	FORM_BIT("\x48\x0f\xb3\x57\x10"),
	FORM_BIT("\x66\x0f\xbb\x57\x10"),
	/* strings; one iteration at most, RCX is 1 */
	FORM("\xa4"),
	FORM("\x66\xa5"),
	FORM("\xa5"),
	FORM("\x48\xa5"),
	FORM("\xaa"),
	FORM("\x66\xab"),
	FORM("\x48\xab"),
	FORM("\xac"),
	FORM("\x66\xad"),
	FORM("\xad"),
	FORM("\x48\xad"),
};

static uint64_t random64(void)
{
	static uint64_t seed = 0x9e3779b97f4a7c15;

	return random_next(&seed);
}

/* Random, but often at the edges where carries and signs turn. */
static uint64_t random_operand(void)
{
	static const uint64_t edges[] = { 0,
					  1,
					  0x7f,
					  0x80,
					  0xff,
					  0x7fff,
					  0x8000,
					  0x7fffffff,
					  0x80000000,
					  0xffffffff,
					  UINT64_C(0x7fffffffffffffff),
					  UINT64_C(0x8000000000000000),
					  UINT64_MAX };

	return random64() & 1 ? edges[random64() % ARRAY_SIZE(edges)] : random64();
}

static void check_form(const struct form *form, uint8_t *code)
{
	uint8_t *data = guest_memory_to_write(&memory, DATA_GPA, DATA_SIZE);
	static uint8_t reference[DATA_SIZE]
		__attribute__((aligned(4096))); /* low bits as DATA_GPA: SIL is stored */
	struct machine_emulation emulation = { 0 };
	uint64_t host = (uint64_t)(uintptr_t)reference;
	struct run run = { .rax = random_operand(),
			   .rcx = random_operand(),
			   .rdx = random64() % 256 - 100, /* a bit number */
			   .rbx = random_operand(),
			   .rsi = host + 24,
			   .rdi = host,
			   .rflags = (random64() & (FLAGS_DEFINED | VCPU_RFLAGS_DF)) | VCPU_RFLAGS_FIXED };

	if (random64() & 1) /* so that comparisons also find equals */
		run.rax &= 0xff;
	for (uint32_t i = 0; i < DATA_SIZE; i += 8)
		store_le64(data + i, random64() & 1 ? run.rax : random_operand());
	memcpy(reference, data, DATA_SIZE);
	long_mode();
	vcpu.gpr[VCPU_RAX] = run.rax;
	vcpu.gpr[VCPU_RCX] = run.rcx;
	vcpu.gpr[VCPU_RDX] = run.rdx;
	vcpu.gpr[VCPU_RBX] = run.rbx;
	vcpu.gpr[VCPU_RSI] = DATA_GPA + 24;
	vcpu.gpr[VCPU_RDI] = DATA_GPA;
	vcpu.rflags = run.rflags;
	/* BT by register needs room on both sides of its operand. */
	if (form->flags == (VCPU_RFLAGS_CF | VCPU_RFLAGS_ZF)) {
		run.rdi += 8;
		vcpu.gpr[VCPU_RDI] += 8;
	}
	if (form->count <= 2 ||
	    form->bytes[form->count - 1] == '\xa5') { /* strings that move down need room, too */
		run.rdi += 8;
		vcpu.gpr[VCPU_RDI] += 8;
	}

	code_put(form->bytes, form->count);
	assert_int_equal(prepare(&emulation, 0), 0);
	execute(&emulation);
	memcpy(code, form->bytes, form->count);
	code[form->count] = 0xc3;
	run_on_processor(&run, code);

	assert_true(vcpu.rip == CODE_GPA + form->count);
	assert_memory_equal(data, reference, DATA_SIZE);
	assert_true(vcpu.gpr[VCPU_RAX] == run.rax);
	assert_true(vcpu.gpr[VCPU_RCX] == run.rcx);
	assert_true(vcpu.gpr[VCPU_RBX] == run.rbx);
	assert_true(vcpu.gpr[VCPU_RSI] - DATA_GPA == run.rsi - host);
	assert_true(vcpu.gpr[VCPU_RDI] - DATA_GPA == run.rdi - host);
	assert_true(((vcpu.rflags ^ run.rflags) & form->flags) == 0);
}

static void every_form_does_what_the_processor_does(void **state)
{
	uint8_t *code =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	assert_ptr_not_equal(code, MAP_FAILED);
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		print_message("form %zu\n", i); /* the last line tells which one failed */
		for (uint32_t round = 0; round < 500; round++)
			check_form(&forms[i], code);
	}
	munmap(code, 4096);
}

/* ---- devices ---- */

#define CODE(text) code_put(text, sizeof(text) - 1)

static void apic_registers_are_reached(void **state)
{
	struct machine_emulation emulation = { 0 };

	(void)state;
	long_mode();
	vcpu.gpr[VCPU_RDI] = MACHINE_LAPIC_BASE;
	CODE("\xc7\x87\xf0\x00\x00\x00\xff\x01\x00\x00"); /* mov dword [rdi+0xf0], 0x1ff */
	assert_int_equal(prepare(&emulation, MACHINE_LAPIC_BASE + 0xf0), 0);
	assert_false(machine_emulate_reads_time(&emulation, &machine, &vcpu, &memory));
	execute(&emulation);
	assert_int_equal(machine.lapic.spurious, 0x1ff);
	assert_true(vcpu.rip == CODE_GPA + 10);

	vcpu.rip = CODE_GPA;
	vcpu.interrupt_shadow = 1;
	CODE("\x8b\x47\x30"); /* mov eax, [rdi+0x30] */
	assert_int_equal(prepare(&emulation, MACHINE_LAPIC_BASE + 0x30), 0);
	execute(&emulation);
	assert_true(vcpu.gpr[VCPU_RAX] == 0x50014);
	assert_int_equal(vcpu.interrupt_shadow, 0);

	vcpu.rip = CODE_GPA;
	CODE("\x8b\x87\x90\x03\x00\x00"); /* the timer's count */
	assert_int_equal(prepare(&emulation, MACHINE_LAPIC_BASE + 0x390), 0);
	assert_true(machine_emulate_reads_time(&emulation, &machine, &vcpu, &memory));
}

static void what_is_not_handled_is_refused(void **state)
{
	static const char *const codes[] = {
		"\x0f\x11\x07\x90", /* movups [rdi], xmm0 */
		"\xff\x37\x90\x90", /* push qword [rdi] */
		"\xd9\x07\x90\x90", /* fld */
		"\x89\xc0\x90\x90", /* mov eax, eax: no memory at all */
		"\xc5\xf8\x11\x07", /* vmovups */
		"\x0f\xb8\x07\x90",
	};
	struct machine_emulation emulation = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		long_mode();
		code_put(codes[i], 4);
		assert_int_equal(prepare(&emulation, MACHINE_LAPIC_BASE), -ENOTSUP);
	}
	vcpu.rip = UINT64_C(0xc0000000); /* no memory to fetch from */
	assert_int_equal(prepare(&emulation, MACHINE_LAPIC_BASE), -ENOTSUP);
}

static void repeated_string_goes_one_step_at_a_time(void **state)
{
	struct machine_emulation emulation = { 0 };

	(void)state;
	long_mode();
	vcpu.gpr[VCPU_RSI] = MACHINE_IOAPIC_BASE;
	vcpu.gpr[VCPU_RDI] = DATA_GPA;
	vcpu.gpr[VCPU_RCX] = 3;
	machine.ioapic.index = 0x77;
	CODE("\xf3\xa5");
	for (uint32_t i = 1; i <= 3; i++) {
		assert_int_equal(prepare(&emulation, vcpu.gpr[VCPU_RSI]), 0);
		execute(&emulation);
		assert_true(vcpu.gpr[VCPU_RCX] == 3 - i);
		assert_true(vcpu.gpr[VCPU_RSI] == MACHINE_IOAPIC_BASE + i * 4);
		assert_true(vcpu.rip == CODE_GPA + (i == 3 ? 2 : 0));
	}
	assert_int_equal(load_le32(guest_memory_to_write(&memory, DATA_GPA, 4)), 0x77);
	vcpu.rip = CODE_GPA;
	assert_int_equal(prepare(&emulation, 0), 0); /* RCX is 0: nothing is touched */
	execute(&emulation);
	assert_true(vcpu.rip == CODE_GPA + 2 && vcpu.gpr[VCPU_RSI] == MACHINE_IOAPIC_BASE + 12);
}

static void string_io_reaches_ports(void **state)
{
	struct machine_emulation emulation = { 0 };

	(void)state;
	long_mode();
	memcpy(guest_memory_to_write(&memory, DATA_GPA, 3), "hey", 3);
	vcpu.gpr[VCPU_RSI] = DATA_GPA;
	vcpu.gpr[VCPU_RDX] = 0x3f8;
	vcpu.gpr[VCPU_RCX] = 3;
	CODE("\xf3\x6e"); /* rep outsb */
	while (vcpu.rip == CODE_GPA) {
		assert_int_equal(prepare(&emulation, 0), 0);
		execute(&emulation);
	}
	assert_int_equal(machine.serial_output.size, 3);
	assert_memory_equal(machine.serial_output.bytes, "hey", 3);
	vcpu.rip = CODE_GPA;
	vcpu.gpr[VCPU_RDI] = DATA_GPA + 8;
	vcpu.gpr[VCPU_RDX] = 0x40;
	CODE("\x6c"); /* insb */
	assert_int_equal(prepare(&emulation, 0), 0);
	assert_true(machine_emulate_reads_time(&emulation, &machine, &vcpu, &memory));
	vcpu.gpr[VCPU_RDX] = 0xcf8;
	CODE("\x6d"); /* insd */
	machine.pci.config_address = 0x80001234;
	assert_int_equal(prepare(&emulation, 0), 0);
	assert_false(machine_emulate_reads_time(&emulation, &machine, &vcpu, &memory));
	execute(&emulation);
	assert_int_equal(load_le32(guest_memory_to_write(&memory, DATA_GPA + 8, 4)), 0x80001234);
	assert_true(vcpu.gpr[VCPU_RDI] == DATA_GPA + 12);
}

/* Page 0x20 is mapped to two pages that do not lie side by side. */
static void page_tables(uint32_t second_page)
{
	long_mode();
	vcpu.cr0 |= VCPU_CR0_PG | VCPU_CR0_WP;
	vcpu.cr3 = 0x1000;
	store_le64(guest_memory_to_write(&memory, 0x1000, 8), 0x2003);
	store_le64(guest_memory_to_write(&memory, 0x2000, 8), 0x3003);
	store_le64(guest_memory_to_write(&memory, 0x3000, 8), 0x4003);
	store_le64(guest_memory_to_write(&memory, 0x4000 + 0x10 * 8, 8), CODE_GPA | 3);
	store_le64(guest_memory_to_write(&memory, 0x4000 + 0x20 * 8, 8), 0x30003);
	store_le64(guest_memory_to_write(&memory, 0x4000 + 0x21 * 8, 8), second_page);
	store_le64(guest_memory_to_write(&memory, 0x4000 + 0x40 * 8, 8), MACHINE_LAPIC_BASE | 3);
}

static void operands_cross_pages(void **state)
{
	struct machine_emulation emulation = { 0 };

	(void)state;
	page_tables(0x50003);
	vcpu.gpr[VCPU_RSI] = 0x40030;
	vcpu.gpr[VCPU_RDI] = 0x20ffe;
	CODE("\xa5"); /* movsd: the APIC's version to memory */
	assert_int_equal(prepare(&emulation, MACHINE_LAPIC_BASE + 0x30), 0);
	execute(&emulation);
	assert_int_equal(load_le16(guest_memory_to_write(&memory, 0x30ffe, 2)), 0x0014);
	assert_int_equal(load_le16(guest_memory_to_write(&memory, 0x50000, 2)), 0x0005);
}

static void a_missing_page_is_a_fault_of_the_guest(void **state)
{
	struct machine_emulation emulation = { 0 };

	(void)state;
	page_tables(0);
	vcpu.gpr[VCPU_RSI] = 0x40030;
	vcpu.gpr[VCPU_RDI] = 0x20ffe;
	CODE("\xa5");
	assert_int_equal(prepare(&emulation, MACHINE_LAPIC_BASE + 0x30), -EFAULT);
	assert_true(emulation.fault_address == 0x21000);
	assert_int_equal(emulation.fault_error_code, GUEST_PAGE_WRITE);
	assert_true(vcpu.rip == CODE_GPA && vcpu.gpr[VCPU_RDI] == 0x20ffe);
}

static void code_crosses_pages(void **state)
{
	struct machine_instruction instruction;

	(void)state;
	page_tables(0x50003);
	vcpu.rip = 0x20fff;
	*guest_memory_to_write(&memory, 0x30fff, 1) = 0x0f;
	*guest_memory_to_write(&memory, 0x50000, 1) = 0xa2;
	assert_int_equal(machine_instruction_fetch(&vcpu, &memory, &instruction), 0);
	assert_int_equal(instruction.size, 2);
	store_le64(guest_memory_to_write(&memory, 0x4000 + 0x21 * 8, 8), 0);
	assert_int_equal(machine_instruction_fetch(&vcpu, &memory, &instruction), -EFAULT);
	*guest_memory_to_write(&memory, 0x30fff, 1) = 0xf4;
	assert_int_equal(machine_instruction_fetch(&vcpu, &memory, &instruction), 0);
}

static uint64_t version_by(struct machine_emulation *emulation, uint32_t gpr)
{
	vcpu.rip = CODE_GPA;
	vcpu.gpr[VCPU_RSI] = 0x40030;
	vcpu.gpr[VCPU_RAX] = 0;
	vcpu.gpr[VCPU_RDX] = 0;
	assert_int_equal(prepare(emulation, MACHINE_LAPIC_BASE + 0x30), 0);
	execute(emulation);
	assert_true(vcpu.rip == CODE_GPA + 2);
	return vcpu.gpr[gpr];
}

/* What is remembered of an instruction is good only for that one. */
static void a_known_instruction_may_become_another(void **state)
{
	struct machine_emulation emulation = { 0 };

	(void)state;
	page_tables(0x50003);
	CODE("\x8b\x06"); /* movl (%rsi), %eax */
	assert_int_equal(version_by(&emulation, VCPU_RAX), 0x50014);
	assert_int_equal(version_by(&emulation, VCPU_RAX), 0x50014);
	CODE("\x8b\x16"); /* movl (%rsi), %edx: other bytes */
	assert_int_equal(version_by(&emulation, VCPU_RDX), 0x50014);
	assert_int_equal(vcpu.gpr[VCPU_RAX], 0);
	CODE("\x8b\x06");
	assert_int_equal(version_by(&emulation, VCPU_RAX), 0x50014);
	/* Another page at the same address, while the old one has the old bytes still. */
	assert_true(guest_memory_write(&memory, 0x50000, "\x8b\x16", 2));
	store_le64(guest_memory_to_write(&memory, 0x4000 + 0x10 * 8, 8), 0x50003);
	assert_int_equal(version_by(&emulation, VCPU_RDX), 0x50014);
	assert_int_equal(vcpu.gpr[VCPU_RAX], 0);
	/* In another address space, which shares all tables but the top one, or has one of its own. */
	store_le64(guest_memory_to_write(&memory, 0x5000, 8), 0x2003 | 0x20);
	vcpu.cr3 = 0x5000;
	assert_int_equal(version_by(&emulation, VCPU_RDX), 0x50014);
	store_le64(guest_memory_to_write(&memory, 0x6000, 8), 0x7003);
	store_le64(guest_memory_to_write(&memory, 0x7000, 8), 0x8003);
	store_le64(guest_memory_to_write(&memory, 0x8000, 8), 0x9003);
	store_le64(guest_memory_to_write(&memory, 0x9000 + 0x10 * 8, 8), CODE_GPA | 3);
	store_le64(guest_memory_to_write(&memory, 0x9000 + 0x40 * 8, 8), MACHINE_LAPIC_BASE | 3);
	vcpu.cr3 = 0x6000;
	assert_int_equal(version_by(&emulation, VCPU_RAX), 0x50014);
	vcpu.cr3 = 0x1000;
	/* Read as 32-bit code. */
	store_le64(guest_memory_to_write(&memory, 0x4000 + 0x10 * 8, 8), CODE_GPA | 3);
	assert_int_equal(version_by(&emulation, VCPU_RAX), 0x50014);
	vcpu.segments[VCPU_CS].attributes &= (uint16_t)~VCPU_SEGMENT_LONG;
	vcpu.segments[VCPU_CS].attributes |= VCPU_SEGMENT_DEFAULT_32;
	vcpu.rip = CODE_GPA;
	assert_int_equal(prepare(&emulation, MACHINE_LAPIC_BASE + 0x30), 0);
	assert_int_equal(emulation.instruction.address_size, 4);
	/* Nowhere any more. */
	store_le64(guest_memory_to_write(&memory, 0x4000 + 0x10 * 8, 8), 0);
	assert_int_equal(prepare(&emulation, MACHINE_LAPIC_BASE + 0x30), -ENOTSUP);
}

static void real_mode_wraps_at_64_kib(void **state)
{
	struct machine_emulation emulation = { 0 };

	(void)state;
	vcpu_state_reset(&vcpu);
	vcpu.segments[VCPU_CS].base = CODE_GPA;
	vcpu.segments[VCPU_ES].base = DATA_GPA;
	vcpu.rip = 0;
	vcpu.gpr[VCPU_RDI] = 0xabcdffff;
	vcpu.gpr[VCPU_RAX] = 'x';
	CODE("\xaa");
	assert_int_equal(prepare(&emulation, 0), 0);
	execute(&emulation);
	assert_int_equal(*guest_memory_to_write(&memory, DATA_GPA + 0xffff, 1), 'x');
	assert_true(vcpu.gpr[VCPU_RDI] == 0xabcd0000);
	assert_true(vcpu.rip == 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_form_does_what_the_processor_does),
		TEST(apic_registers_are_reached),
		TEST(what_is_not_handled_is_refused),
		TEST(repeated_string_goes_one_step_at_a_time),
		TEST(string_io_reaches_ports),
		TEST(operands_cross_pages),
		TEST(a_missing_page_is_a_fault_of_the_guest),
		TEST(code_crosses_pages),
		TEST(a_known_instruction_may_become_another),
		TEST(real_mode_wraps_at_64_kib),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
