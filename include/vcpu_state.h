/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything a virtual processor remembers between two instructions, as plain
 * data: what a snapshot holds, a join sends, a digest covers and a way of booting
 * fills in. kernel/svm loads it into the VMCB and back. Formats are the
 * processor's own (AMD64 Architecture Programmer's Manual, volume 2), so that
 * loading is a copy.
 *
 * Not in here: the local APIC with CR8, the MTRRs, the TSC and what else belongs
 * to the platform (machine/), and guest memory.
 *
 * Zero it before filling it in: padding and unused bytes are part of the digest.
 */
#ifndef INCLUDE_VCPU_STATE_H
#define INCLUDE_VCPU_STATE_H

#include "include/bits.h"

/* Index into gpr[]: the numbering that instructions use. */
enum vcpu_gpr {
	VCPU_RAX,
	VCPU_RCX,
	VCPU_RDX,
	VCPU_RBX,
	VCPU_RSP,
	VCPU_RBP,
	VCPU_RSI,
	VCPU_RDI,
	VCPU_R8,
	VCPU_R9,
	VCPU_R10,
	VCPU_R11,
	VCPU_R12,
	VCPU_R13,
	VCPU_R14,
	VCPU_R15,
	VCPU_GPR_COUNT,
};

/* Index into segments[]: the numbering that instructions use, then the two system segments. */
enum vcpu_segment_name {
	VCPU_ES,
	VCPU_CS,
	VCPU_SS,
	VCPU_DS,
	VCPU_FS,
	VCPU_GS,
	VCPU_LDTR,
	VCPU_TR,
	VCPU_SEGMENT_COUNT,
};

/* `attributes` as in the VMCB: bits 40..47 of the descriptor, then its bits 52..55 (APM 2, 15.5.1). */
#define VCPU_SEGMENT_TYPE UINT16_C(0x000f)
#define VCPU_SEGMENT_CODE_DATA UINT16_C(0x0010) /* S: not a system segment */
#define VCPU_SEGMENT_DPL(attributes) (((attributes) >> 5) & 3)
#define VCPU_SEGMENT_PRESENT UINT16_C(0x0080)
#define VCPU_SEGMENT_AVAILABLE UINT16_C(0x0100)
#define VCPU_SEGMENT_LONG UINT16_C(0x0200)	 /* L: 64-bit code */
#define VCPU_SEGMENT_DEFAULT_32 UINT16_C(0x0400) /* D/B */
#define VCPU_SEGMENT_GRANULAR UINT16_C(0x0800)	 /* G; `limit` is in bytes all the same */

struct vcpu_segment {
	uint64_t base;
	uint32_t limit; /* bytes - 1, expanded by G */
	uint16_t selector;
	uint16_t attributes;
};

struct vcpu_descriptor_table {
	uint64_t base;
	uint32_t limit;
	uint32_t reserved;
};

/* An event that is to be delivered at the next entry, or whose delivery an exit interrupted. */
enum vcpu_event_kind {
	VCPU_EVENT_NONE,
	VCPU_EVENT_INTERRUPT, /* acknowledged at the machine already */
	VCPU_EVENT_NMI,
	VCPU_EVENT_EXCEPTION,
	VCPU_EVENT_SOFTWARE_INTERRUPT, /* INT n: RIP moves past the instruction as it is delivered */
};

struct vcpu_event {
	uint8_t kind; /* enum vcpu_event_kind */
	uint8_t vector;
	uint8_t has_error_code;
	uint8_t instruction_size; /* bytes of INT n */
	uint32_t error_code;
};

/* What a processor waits for. */
enum vcpu_activity {
	VCPU_RUNNING,
	VCPU_HALTED,   /* HLT: until an interrupt, NMI or reset */
	VCPU_SHUTDOWN, /* triple fault: until NMI or reset */
};

/* XSAVE area, standard format: x87 + SSE (512), header (64), AVX (256). APM 2, 11.5.2. */
#define VCPU_XSAVE_SIZE 832
#define VCPU_XSAVE_HEADER_OFFSET 512
#define VCPU_XCR0_X87 BIT(0)
#define VCPU_XCR0_SSE BIT(1)
#define VCPU_XCR0_AVX BIT(2)

struct vcpu_state {
	uint64_t gpr[VCPU_GPR_COUNT];
	uint64_t rip;
	uint64_t rflags;

	struct vcpu_segment segments[VCPU_SEGMENT_COUNT];
	struct vcpu_descriptor_table gdtr;
	struct vcpu_descriptor_table idtr;

	uint64_t cr0;
	uint64_t cr2;
	uint64_t cr3;
	uint64_t cr4;
	uint64_t xcr0;
	uint64_t dr[4]; /* DR0..DR3 */
	uint64_t dr6;
	uint64_t dr7;

	uint64_t efer; /* as the guest sees it: without SVME */
	uint64_t star;
	uint64_t lstar;
	uint64_t cstar;
	uint64_t syscall_mask; /* SFMASK */
	uint64_t kernel_gs_base;
	uint64_t sysenter_cs;
	uint64_t sysenter_esp;
	uint64_t sysenter_eip;
	uint64_t pat;
	uint64_t tsc_aux;
	uint64_t debug_control; /* DEBUGCTL */

	struct vcpu_event event;
	uint8_t activity;	  /* enum vcpu_activity */
	uint8_t interrupt_shadow; /* STI or MOV SS just retired */
	uint8_t nmi_blocked;	  /* between an NMI's delivery and the next IRET */
	uint8_t cpl;		  /* in real mode 0, in virtual-8086 mode 3 */
	uint8_t reserved[12];

	uint8_t xsave[VCPU_XSAVE_SIZE] __attribute__((aligned(64)));
};

BUILD_ASSERT(sizeof(struct vcpu_segment) == 16);
BUILD_ASSERT(sizeof(struct vcpu_descriptor_table) == 16);
BUILD_ASSERT(sizeof(struct vcpu_event) == 8);
BUILD_ASSERT(offsetof(struct vcpu_state, xsave) % 64 == 0);
BUILD_ASSERT(sizeof(struct vcpu_state) % 64 == 0);

/* Bits of the registers above that more than one folder needs. */
#define VCPU_RFLAGS_CF BIT(0)
#define VCPU_RFLAGS_FIXED BIT(1) /* always 1 */
#define VCPU_RFLAGS_PF BIT(2)
#define VCPU_RFLAGS_AF BIT(4)
#define VCPU_RFLAGS_ZF BIT(6)
#define VCPU_RFLAGS_SF BIT(7)
#define VCPU_RFLAGS_TF BIT(8)
#define VCPU_RFLAGS_IF BIT(9)
#define VCPU_RFLAGS_DF BIT(10)
#define VCPU_RFLAGS_OF BIT(11)
#define VCPU_RFLAGS_RF BIT(16)
#define VCPU_RFLAGS_VM BIT(17)
#define VCPU_RFLAGS_AC BIT(18)

#define VCPU_CR0_PE BIT(0)
#define VCPU_CR0_ET BIT(4)
#define VCPU_CR0_NE BIT(5)
#define VCPU_CR0_WP BIT(16)
#define VCPU_CR0_NW BIT(29)
#define VCPU_CR0_CD BIT(30)
#define VCPU_CR0_PG BIT(31)

#define VCPU_CR4_PSE BIT(4)
#define VCPU_CR4_PAE BIT(5)
#define VCPU_CR4_PGE BIT(7)
#define VCPU_CR4_LA57 BIT(12)
#define VCPU_CR4_OSXSAVE BIT(18)
#define VCPU_CR4_SMEP BIT(20)
#define VCPU_CR4_SMAP BIT(21)

#define VCPU_EFER_SCE BIT(0)
#define VCPU_EFER_LME BIT(8)
#define VCPU_EFER_LMA BIT(10)
#define VCPU_EFER_NXE BIT(11)

/*
 * The state after power-on, reset or INIT (APM 2, 14.1.3): real mode, first
 * instruction 16 bytes below 4 GiB. In machine/vcpu_reset.c.
 */
void vcpu_state_reset(struct vcpu_state *state);

#endif
