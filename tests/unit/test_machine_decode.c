/* SPDX-License-Identifier: Apache-2.0 */
/* machine/decode.c and guest_paging.c: sizes, operands and addresses in the three modes; page walks. */
#include <errno.h>

#include "include/byte_order.h"
#include "machine/decode.h"
#include "machine/guest_paging.h"
#include "tests/unit/machine_fixture.h"

struct row {
	const char *bytes;
	uint8_t count;
	uint8_t size; /* 0: no instruction */
	uint8_t operand_size;
	uint8_t address_size;
};

#define ROW(text, size, operand, address)                                                                    \
	{                                                                                                    \
		text, sizeof(text) - 1, size, operand, address                                               \
	}

static void check_rows(const struct row *rows, size_t row_count, uint32_t mode_bits)
{
	for (size_t i = 0; i < row_count; i++) {
		struct machine_instruction instruction;
		uint8_t bytes[20];
		int error;

		memset(bytes, 0x90, sizeof(bytes));
		memcpy(bytes, rows[i].bytes, rows[i].count);
		error = machine_instruction_decode(&instruction, bytes, sizeof(bytes), mode_bits);
		if (!rows[i].size) {
			assert_int_equal(error, -EINVAL);
			continue;
		}
		assert_int_equal(error, 0);
		if (instruction.size != rows[i].size)
			fail_msg("row %zu of mode %u: size %u, not %u", i, mode_bits, instruction.size,
				 rows[i].size);
		assert_int_equal(instruction.operand_size, rows[i].operand_size);
		assert_int_equal(instruction.address_size, rows[i].address_size);
		/* Every cut of it says that bytes are missing. */
		for (uint32_t cut = 0; cut < rows[i].size; cut++)
			assert_int_equal(machine_instruction_decode(&instruction, bytes, cut, mode_bits),
					 -ENODATA);
	}
}

static void sizes_in_64_bit_code(void **state)
{
	static const struct row rows[] = {
		ROW("\x0f\xa2", 2, 4, 8),		      /* cpuid */
		ROW("\x0f\x31", 2, 4, 8),		      /* rdtsc */
		ROW("\x0f\x01\xf9", 3, 4, 8),		      /* rdtscp */
		ROW("\x0f\x32", 2, 4, 8),		      /* rdmsr */
		ROW("\xf4", 1, 4, 8),			      /* hlt */
		ROW("\x66\x0f\xa2", 3, 2, 8),		      /* with a useless prefix */
		ROW("\x48\x0f\x30", 3, 8, 8),		      /* wrmsr */
		ROW("\x0f\x01\xd1", 3, 4, 8),		      /* xsetbv */
		ROW("\x0f\x20\xc0", 3, 4, 8),		      /* mov rax, cr0 */
		ROW("\x0f\x20\x04", 3, 4, 8),		      /* the same with another mod */
		ROW("\x44\x0f\x22\xc0", 4, 4, 8),	      /* mov cr8, rax */
		ROW("\x0f\x01\x3f", 3, 4, 8),		      /* invlpg [rdi] */
		ROW("\x89\x07", 2, 4, 8),		      /* mov [rdi], eax */
		ROW("\x48\x89\x47\x10", 4, 8, 8),	      /* mov [rdi+16], rax */
		ROW("\x8b\x84\x88\x78\x56\x34\x12", 7, 4, 8), /* mov eax, [rax+rcx*4+disp32] */
		ROW("\x8b\x05\x00\x00\x00\x00", 6, 4, 8),     /* mov eax, [rip+0] */
		ROW("\x8b\x04\x25\x00\x00\xe0\xfe", 7, 4, 8), /* mov eax, [disp32] */
		ROW("\x67\x8b\x07", 3, 4, 4),		      /* mov eax, [edi] */
		ROW("\xc7\x07\x01\x02\x03\x04", 6, 4, 8),     /* mov dword [rdi], imm32 */
		ROW("\x66\xc7\x07\x01\x02", 5, 2, 8),
		ROW("\x48\xc7\x07\x01\x02\x03\x04", 7, 8, 8),
		ROW("\xc6\x07\x01", 3, 4, 8),
		ROW("\x48\xb8\x01\x02\x03\x04\x05\x06\x07\x08", 10, 8, 8),
		ROW("\xa1\x01\x02\x03\x04\x05\x06\x07\x08", 9, 4, 8), /* mov eax, moffs64 */
		ROW("\x0f\xb6\x07", 3, 4, 8),
		ROW("\x0f\xba\x2f\x05", 4, 4, 8), /* bts dword [rdi], 5 */
		ROW("\xf6\x07\x01", 3, 4, 8),	  /* test byte [rdi], 1 */
		ROW("\xf6\x17", 2, 4, 8),	  /* not byte [rdi] */
		ROW("\xf7\x07\x01\x02\x03\x04", 6, 4, 8),
		ROW("\xf3\x48\xa5", 3, 8, 8), /* rep movsq */
		ROW("\xf3\xaa", 2, 4, 8),
		ROW("\x40\x66\x89\x07", 4, 2, 8), /* a REX before a prefix does not count */
		ROW("\x0f\xae\x07", 3, 4, 8),	  /* fxsave [rdi] */
		ROW("\x66\x0f\x38\x00\xc1", 5, 2, 8),
		ROW("\x66\x0f\x3a\x0f\xc1\x08", 6, 2, 8),
		ROW("\xc5\xf8\x77", 0, 0, 0),	  /* vzeroupper: VEX */
		ROW("\x62\xf1\x7c\x48", 0, 0, 0), /* EVEX */
		ROW("\x0f\x0f\xc1\x9e", 0, 0, 0), /* 3DNow! */
		ROW("\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x90", 0, 0,
		    0), /* 16 bytes */
	};

	(void)state;
	check_rows(rows, ARRAY_SIZE(rows), 64);
}

static void sizes_in_32_and_16_bit_code(void **state)
{
	static const struct row rows32[] = {
		ROW("\x89\x07", 2, 4, 4),
		ROW("\x66\x89\x07", 3, 2, 4),
		ROW("\x40", 1, 4, 4), /* inc eax, no REX */
		ROW("\xa3\x00\x00\xe0\xfe", 5, 4, 4),
		ROW("\x67\xa3\x00\x10", 4, 4, 2),
		ROW("\x8b\x05\x00\x00\xe0\xfe", 6, 4, 4),
		ROW("\xea\x00\x00\x00\x00\x08\x00", 7, 4, 4),
		ROW("\xc5\x07", 2, 4, 4), /* lds */
		ROW("\x0f\xa2", 2, 4, 4),
	};
	static const struct row rows16[] = {
		ROW("\x89\x07", 2, 2, 2),	  /* mov [bx], ax */
		ROW("\x89\x06\x00\x10", 4, 2, 2), /* mov [0x1000], ax */
		ROW("\x89\x47\x05", 3, 2, 2),
		ROW("\x89\x87\x05\x01", 4, 2, 2),
		ROW("\x66\x89\x07", 3, 4, 2),
		ROW("\x67\x66\x89\x07", 4, 4, 4),
		ROW("\x67\x66\xc7\x05\x00\x00\xc0\xfe\x01\x00\x00\x00", 12, 4, 4),
		ROW("\xea\xf0\xff\x00\xf0", 5, 2, 2),
		ROW("\xf3\x6c", 2, 2, 2), /* rep insb */
		ROW("\x26\xa0\x10\x00", 4, 2, 2),
	};

	(void)state;
	check_rows(rows32, ARRAY_SIZE(rows32), 32);
	check_rows(rows16, ARRAY_SIZE(rows16), 16);
}

static uint64_t address_of(const struct vcpu_state *vcpu, const char *bytes, uint32_t count)
{
	struct machine_instruction instruction;

	assert_int_equal(machine_instruction_decode(&instruction, (const uint8_t *)bytes, count,
						    machine_mode_bits(vcpu)),
			 0);
	return machine_operand_address(&instruction, vcpu);
}

#define ADDRESS(vcpu, text) address_of(vcpu, text, sizeof(text) - 1)

static void addresses_are_formed(void **state)
{
	struct vcpu_state vcpu;

	(void)state;
	vcpu_state_reset(&vcpu);
	assert_int_equal(machine_mode_bits(&vcpu), 16);
	vcpu.gpr[VCPU_RBX] = 0x1234fff0;
	vcpu.gpr[VCPU_RSI] = 0x20;
	vcpu.gpr[VCPU_RBP] = 0x100;
	vcpu.segments[VCPU_DS].base = 0x40000;
	vcpu.segments[VCPU_SS].base = 0x50000;
	vcpu.segments[VCPU_ES].base = 0x60000;
	assert_true(ADDRESS(&vcpu, "\x8b\x00") == 0x40010);	/* [bx+si] wraps at 64 KiB */
	assert_true(ADDRESS(&vcpu, "\x8b\x46\x02") == 0x50102); /* [bp+2] is on the stack */
	assert_true(ADDRESS(&vcpu, "\x3e\x8b\x46\x02") == 0x40102);
	assert_true(ADDRESS(&vcpu, "\x26\xa1\x10\x00") == 0x60010);
	assert_true(ADDRESS(&vcpu, "\x67\x8b\x43\x10") == 0x12390000); /* [ebx+16]: big real mode */

	vcpu.cr0 |= VCPU_CR0_PE;
	vcpu.segments[VCPU_CS].attributes |= VCPU_SEGMENT_DEFAULT_32;
	assert_int_equal(machine_mode_bits(&vcpu), 32);
	vcpu.segments[VCPU_DS].base = 0;
	vcpu.gpr[VCPU_RAX] = 0xfee00000;
	vcpu.gpr[VCPU_RCX] = 4;
	assert_true(ADDRESS(&vcpu, "\x8b\x44\x88\x10") == 0xfee00020);	/* [eax+ecx*4+16] */
	assert_true(ADDRESS(&vcpu, "\x8b\x80\x00\x00\x20\x01") == 0x0); /* wraps at 4 GiB */

	vcpu.efer = VCPU_EFER_LMA;
	vcpu.segments[VCPU_CS].attributes |= VCPU_SEGMENT_LONG;
	assert_int_equal(machine_mode_bits(&vcpu), 64);
	vcpu.rip = UINT64_C(0xffffffff81000000);
	vcpu.segments[VCPU_GS].base = UINT64_C(0xffff888000000000);
	vcpu.gpr[VCPU_R8 + 4] = UINT64_C(0xffffc90000000000);
	assert_true(ADDRESS(&vcpu, "\x8b\x05\xf0\xff\xff\xff") == UINT64_C(0xffffffff80fffff6));
	assert_true(ADDRESS(&vcpu, "\x65\x8b\x04\x25\x10\x00\x00\x00") == UINT64_C(0xffff888000000010));
	assert_true(ADDRESS(&vcpu, "\x41\x8b\x44\x24\x08") ==
		    UINT64_C(0xffffc90000000008));	  /* [r12+8] needs SIB */
	assert_true(ADDRESS(&vcpu, "\x26\x8b\x01") == 4); /* ES has no base here */
	assert_true(ADDRESS(&vcpu, "\x67\x8b\x80\x00\x00\x20\x01") == 0);
}

static void any_bytes_are_survived(void **state)
{
	uint64_t seed = 1;

	(void)state;
	for (uint32_t i = 0; i < 300000; i++) {
		struct machine_instruction instruction;
		uint8_t bytes[16];

		for (uint32_t j = 0; j < sizeof(bytes); j++) {
			seed = seed * UINT64_C(6364136223846793005) + 1;
			bytes[j] = (uint8_t)(seed >> 56);
		}
		if (!machine_instruction_decode(&instruction, bytes, seed >> 40 & 15,
						(seed >> 32) % 3 == 0	? 16
						: (seed >> 32) % 3 == 1 ? 32
									: 64))
			assert_in_range(instruction.size, 1, 15);
	}
}

/* ---- page walks ---- */

static void table_put(uint64_t at, uint64_t value)
{
	store_le64(guest_memory_to_write(&memory, at, 8), value);
}

static uint64_t table_get(uint64_t at)
{
	return load_le64(guest_memory_to_write(&memory, at, 8));
}

/* 1 with the translation, or minus the error code - 1. */
static int64_t walk(struct vcpu_state *vcpu, uint64_t gva, uint32_t access)
{
	uint64_t gpa;
	uint32_t error_code;

	if (guest_paging_translate(vcpu, &memory, gva, access, &gpa, &error_code))
		return (int64_t)gpa;
	return -(int64_t)error_code - 1;
}

static void long_mode(struct vcpu_state *vcpu)
{
	vcpu_state_reset(vcpu);
	vcpu->cr0 = VCPU_CR0_PE | VCPU_CR0_PG | VCPU_CR0_WP;
	vcpu->cr4 = VCPU_CR4_PAE;
	vcpu->efer = VCPU_EFER_LMA | VCPU_EFER_LME | VCPU_EFER_NXE;
	vcpu->cr3 = 0x1000;
	table_put(0x1000, 0x2007);	     /* first 512 GiB: user, writable */
	table_put(0x2000, 0x3007);	     /* first GiB */
	table_put(0x2008, 0x40000083);	     /* second GiB: one page, supervisor */
	table_put(0x3000, 0x4007);	     /* first 2 MiB */
	table_put(0x3008, 0x200087);	     /* second: one page */
	table_put(0x4000, 0x5001);	     /* page 0: supervisor, read only */
	table_put(0x4008, 0x6007 | BIT(63)); /* page 1: user, no execute */
	table_put(0x4010, 0x7007 | BIT(45)); /* page 2: reserved bit */
	table_put(0x4020, 0xfee00003);	     /* page 4: a device */
}

static void four_levels(void **state)
{
	struct vcpu_state vcpu;

	(void)state;
	long_mode(&vcpu);
	assert_true(walk(&vcpu, 0x123, 0) == 0x5123);
	assert_int_equal(walk(&vcpu, 0x123, GUEST_PAGE_WRITE), -4); /* protection, write */
	vcpu.cr0 &= ~VCPU_CR0_WP;
	assert_true(walk(&vcpu, 0x123, GUEST_PAGE_WRITE) == 0x5123);
	vcpu.cr0 |= VCPU_CR0_WP;
	assert_true(walk(&vcpu, 0x1008, GUEST_PAGE_WRITE) == 0x6008);
	assert_int_equal(walk(&vcpu, 0x1008, GUEST_PAGE_FETCH), -(1 + 16) - 1);
	assert_int_equal(walk(&vcpu, 0x2000, 0), -(1 + 8) - 1);
	assert_int_equal(walk(&vcpu, 0x3000, GUEST_PAGE_WRITE), -2 - 1);
	assert_true(walk(&vcpu, 0x4030, GUEST_PAGE_WRITE) == 0xfee00030);
	assert_true(walk(&vcpu, 0x212345, 0) == 0x212345);
	assert_true(walk(&vcpu, 0x7fffffff, 0) == 0x7fffffff);
	assert_int_equal(walk(&vcpu, UINT64_C(0x0000900000000000), 0), -1); /* not canonical */
	assert_int_equal(walk(&vcpu, UINT64_C(0xffff800000000000), 0), -1);
	vcpu.cpl = 3;
	assert_int_equal(walk(&vcpu, 0x123, 0), -(1 + 4) - 1);
	assert_true(walk(&vcpu, 0x1008, 0) == 0x6008);
	vcpu.cpl = 0;
	vcpu.cr4 |= VCPU_CR4_SMAP | VCPU_CR4_SMEP;
	assert_int_equal(walk(&vcpu, 0x1008, 0), -1 - 1);
	vcpu.rflags |= VCPU_RFLAGS_AC;
	assert_true(walk(&vcpu, 0x1008, 0) == 0x6008);
	assert_int_equal(walk(&vcpu, 0x212345, GUEST_PAGE_FETCH), -(1 + 16) - 1);
	vcpu.cr3 = 0x100000000000; /* tables where no memory is */
	assert_int_equal(walk(&vcpu, 0x123, 0), -1);
}

static void accessed_and_dirty_are_set(void **state)
{
	struct vcpu_state vcpu;

	(void)state;
	long_mode(&vcpu);
	walk(&vcpu, 0x1008, 0);
	assert_true(table_get(0x1000) == 0x2027);
	assert_true(table_get(0x4008) == (0x6027 | BIT(63)));
	walk(&vcpu, 0x1008, GUEST_PAGE_WRITE);
	assert_true(table_get(0x1000) == 0x2027);
	assert_true(table_get(0x4008) == (0x6067 | BIT(63)));
	walk(&vcpu, 0x123, GUEST_PAGE_WRITE); /* refused: nothing is marked */
	assert_true(table_get(0x4000) == 0x5001);
	walk(&vcpu, 0x212345, GUEST_PAGE_WRITE);
	assert_true(table_get(0x3008) == 0x2000e7);
}

static void pae_and_32_bits(void **state)
{
	struct vcpu_state vcpu;
	uint8_t *directory;

	(void)state;
	vcpu_state_reset(&vcpu);
	assert_true(walk(&vcpu, 0xfee00020, 0) == 0xfee00020); /* no paging */
	vcpu.cr0 = VCPU_CR0_PE | VCPU_CR0_PG | VCPU_CR0_WP;
	vcpu.cr4 = VCPU_CR4_PAE;
	vcpu.cr3 = 0x1020;
	table_put(0x1038, 0x2001); /* fourth GiB */
	table_put(0x2000 + 503 * 8, 0xfee000e3);
	assert_true(walk(&vcpu, 0xfee00020, GUEST_PAGE_WRITE) == 0xfee00020);
	assert_true(table_get(0x1038) == 0x2001); /* has no accessed bit */
	assert_int_equal(walk(&vcpu, 0x1000, 0), -1);

	vcpu.cr4 = 0;
	vcpu.cr3 = 0x8000;
	directory = guest_memory_to_write(&memory, 0x8000, 4096);
	store_le32(directory, 0x9007);
	store_le32(directory + 4, 0x00c00083);
	store_le32(guest_memory_to_write(&memory, 0x9004, 4), 0xa003);
	assert_true(walk(&vcpu, 0x1abc, 0) == 0xaabc);
	assert_int_equal(load_le32(guest_memory_to_write(&memory, 0x9004, 4)), 0xa023);
	assert_int_equal(walk(&vcpu, 0x400000, 0),
			 -1); /* a table at 12 MiB, without PSE, with nothing in it */
	vcpu.cr4 = VCPU_CR4_PSE;
	assert_true(walk(&vcpu, 0x412345, 0) == 0xc12345);
	vcpu.cpl = 3;
	assert_int_equal(walk(&vcpu, 0x1abc, 0), -(1 + 4) - 1);
}

static void fetches_stop_at_what_is_missing(void **state)
{
	struct vcpu_state vcpu;
	uint8_t bytes[15];

	(void)state;
	long_mode(&vcpu);
	table_put(0x4008, 0x6003);
	memcpy(guest_memory_to_write(&memory, 0x5ffe, 2), "ab", 2);
	memcpy(guest_memory_to_write(&memory, 0x6000, 2), "cd", 2);
	assert_int_equal(guest_paging_fetch(&vcpu, &memory, 0xffe, bytes, 15), 15);
	assert_memory_equal(bytes, "abcd", 4);
	assert_int_equal(guest_paging_fetch(&vcpu, &memory, 0x1ffe, bytes, 15), 2);
	assert_int_equal(guest_paging_fetch(&vcpu, &memory, 0x3000, bytes, 15), 0);
	assert_int_equal(guest_paging_fetch(&vcpu, &memory, 0x4000, bytes, 15), 0); /* no code in devices */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(sizes_in_64_bit_code), TEST(sizes_in_32_and_16_bit_code),
		TEST(addresses_are_formed), TEST(any_bytes_are_survived),
		TEST(four_levels),	    TEST(accessed_and_dirty_are_set),
		TEST(pae_and_32_bits),	    TEST(fetches_stop_at_what_is_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
