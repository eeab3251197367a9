/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AMD SVM: the virtual machine control block, exit codes and the few words between
 * the files of this folder. AMD64 Architecture Programmer's Manual volume 2 (APM 2),
 * chapter 15 and appendices B and C. Nobody outside kernel/svm includes this.
 */
#ifndef KERNEL_SVM_SVM_H
#define KERNEL_SVM_SVM_H

#include "include/bits.h"
#include "include/vcpu_exit.h"
#include "include/vcpu_state.h"

#define SVM_MSR_EFER UINT32_C(0xc0000080)
#define SVM_MSR_VM_CR UINT32_C(0xc0010114)
#define SVM_MSR_VM_HSAVE_PA UINT32_C(0xc0010117)
#define SVM_EFER_SVME BIT(12)
#define SVM_VM_CR_SVMDIS BIT(4)

/* CPUID 8000_000A EDX. */
#define SVM_FEATURE_NESTED_PAGING BIT(0)
#define SVM_FEATURE_NEXT_RIP BIT(3)
#define SVM_FEATURE_FLUSH_BY_ASID BIT(6)

/* Appendix B, layout of the control area; intercept words at 0x000. */
#define SVM_INTERCEPT_CR_READ(number) (UINT32_C(1) << (number))
#define SVM_INTERCEPT_CR_WRITE(number) (UINT32_C(1) << (16 + (number)))

#define SVM_INTERCEPT1_INTR BIT(0)
#define SVM_INTERCEPT1_NMI BIT(1)
#define SVM_INTERCEPT1_INIT BIT(3)
#define SVM_INTERCEPT1_WINDOW BIT(4) /* VINTR: a virtual interrupt is about to be taken */
#define SVM_INTERCEPT1_RDTSC BIT(14)
#define SVM_INTERCEPT1_RDPMC BIT(15)
#define SVM_INTERCEPT1_CPUID BIT(18)
#define SVM_INTERCEPT1_IRET BIT(20)
#define SVM_INTERCEPT1_INVD BIT(22)
#define SVM_INTERCEPT1_HLT BIT(24)
#define SVM_INTERCEPT1_INVLPGA BIT(26)
#define SVM_INTERCEPT1_PORT BIT(27)
#define SVM_INTERCEPT1_MSR BIT(28)
#define SVM_INTERCEPT1_SHUTDOWN BIT(31)

#define SVM_INTERCEPT2_VMRUN BIT(0)
#define SVM_INTERCEPT2_VMMCALL BIT(1)
#define SVM_INTERCEPT2_VMLOAD BIT(2)
#define SVM_INTERCEPT2_VMSAVE BIT(3)
#define SVM_INTERCEPT2_STGI BIT(4)
#define SVM_INTERCEPT2_CLGI BIT(5)
#define SVM_INTERCEPT2_SKINIT BIT(6)
#define SVM_INTERCEPT2_RDTSCP BIT(7)
#define SVM_INTERCEPT2_WBINVD BIT(9)
#define SVM_INTERCEPT2_MONITOR BIT(10)
#define SVM_INTERCEPT2_MWAIT BIT(11)
#define SVM_INTERCEPT2_MWAIT_ARMED BIT(12)
#define SVM_INTERCEPT2_XSETBV BIT(13)

#define SVM_TLB_FLUSH_ALL 1
#define SVM_TLB_FLUSH_GUEST 3

/* Offset 0x060: the virtual interrupt. 15.21.4. */
#define SVM_INTERRUPT_TPR_MASK UINT64_C(0xf)
#define SVM_INTERRUPT_IRQ BIT(8)
#define SVM_INTERRUPT_PRIORITY_HIGHEST (UINT64_C(15) << 16)
#define SVM_INTERRUPT_IGNORE_TPR BIT(20)
#define SVM_INTERRUPT_MASKING BIT(24)
#define SVM_INTERRUPT_VECTOR_SHIFT 32

#define SVM_SHADOW BIT(0)

/* EVENTINJ and EXITINTINFO, 15.20. */
#define SVM_EVENT_VECTOR_MASK UINT64_C(0xff)
#define SVM_EVENT_TYPE(event) (((event) >> 8) & 7)
#define SVM_EVENT_TYPE_SHIFT 8
#define SVM_EVENT_HAS_ERROR BIT(11)
#define SVM_EVENT_VALID BIT(31)
#define SVM_EVENT_ERROR_SHIFT 32
enum svm_event_type {
	SVM_EVENT_INTERRUPT = 0,
	SVM_EVENT_NMI = 2,
	SVM_EVENT_EXCEPTION = 3,
	SVM_EVENT_SOFTWARE_INTERRUPT = 4,
};

/* Appendix C. */
enum svm_exit_code {
	SVM_EXIT_NONE = 0x00, /* a CR0 read: not asked for, so it stands for all that do not come */
	SVM_EXIT_CR4_READ = 0x04,
	SVM_EXIT_CR0_WRITE = 0x10,
	SVM_EXIT_CR4_WRITE = 0x14,
	SVM_EXIT_CR8_WRITE = 0x18,
	SVM_EXIT_INTR = 0x60,
	SVM_EXIT_NMI = 0x61,
	SVM_EXIT_INIT = 0x63,
	SVM_EXIT_WINDOW = 0x64,
	SVM_EXIT_RDTSC = 0x6e,
	SVM_EXIT_RDPMC = 0x6f,
	SVM_EXIT_CPUID = 0x72,
	SVM_EXIT_IRET = 0x74,
	SVM_EXIT_INVD = 0x76,
	SVM_EXIT_HLT = 0x78,
	SVM_EXIT_INVLPGA = 0x7a,
	SVM_EXIT_PORT = 0x7b,
	SVM_EXIT_MSR = 0x7c,
	SVM_EXIT_SHUTDOWN = 0x7f,
	SVM_EXIT_VMRUN = 0x80,
	SVM_EXIT_VMMCALL = 0x81,
	SVM_EXIT_VMLOAD = 0x82,
	SVM_EXIT_VMSAVE = 0x83,
	SVM_EXIT_STGI = 0x84,
	SVM_EXIT_CLGI = 0x85,
	SVM_EXIT_SKINIT = 0x86,
	SVM_EXIT_RDTSCP = 0x87,
	SVM_EXIT_WBINVD = 0x89,
	SVM_EXIT_MONITOR = 0x8a,
	SVM_EXIT_MWAIT = 0x8b,
	SVM_EXIT_MWAIT_ARMED = 0x8c,
	SVM_EXIT_XSETBV = 0x8d,
	SVM_EXIT_COUNT,
	SVM_EXIT_NPF = 0x400,
};

/* EXITINFO1 of a port exit, 15.10.2; EXITINFO2 is the next RIP. */
#define SVM_PORT_IN BIT(0)
#define SVM_PORT_STRING BIT(2)
#define SVM_PORT_SIZE(information) ((uint8_t)(((information) >> 4) & 7)) /* 1, 2, 4 */
#define SVM_PORT_NUMBER(information) ((uint16_t)((information) >> 16))

/* EXITINFO1 of a nested page fault, 15.25.6; EXITINFO2 is the guest-physical address. */
#define SVM_NPF_WRITE BIT(1)
#define SVM_NPF_FETCH BIT(4)
#define SVM_NPF_TABLE_WALK BIT(33)

struct svm_vmcb {
	/* 0x000, control area */
	uint32_t intercept_cr; /* reads in the low half, writes in the high */
	uint32_t intercept_dr;
	uint32_t intercept_exceptions;
	uint32_t intercept1;
	uint32_t intercept2;
	uint32_t intercept3;
	uint8_t reserved_018[0x40 - 0x18];
	uint64_t port_bitmap_physical;
	uint64_t msr_bitmap_physical;
	uint64_t tsc_offset;
	uint32_t asid;
	uint8_t tlb_control;
	uint8_t reserved_05d[3];
	uint64_t interrupt;
	uint64_t shadow;
	uint64_t exit_code;
	uint64_t exit_information1;
	uint64_t exit_information2;
	uint64_t exit_event; /* EXITINTINFO */
	uint64_t nested_paging;
	uint8_t reserved_098[0xa8 - 0x98];
	uint64_t event; /* EVENTINJ */
	uint64_t nested_cr3;
	uint64_t lbr_virtualization;
	uint64_t clean;
	uint64_t next_rip;
	uint8_t reserved_0d0[0x400 - 0xd0];

	/* 0x400, state save area */
	struct svm_segment {
		uint16_t selector;
		uint16_t attributes;
		uint32_t limit;
		uint64_t base;
	} es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
	uint8_t reserved_4a0[0x4cb - 0x4a0];
	uint8_t cpl;
	uint8_t reserved_4cc[4];
	uint64_t efer;
	uint8_t reserved_4d8[0x548 - 0x4d8];
	uint64_t cr4;
	uint64_t cr3;
	uint64_t cr0;
	uint64_t dr7;
	uint64_t dr6;
	uint64_t rflags;
	uint64_t rip;
	uint8_t reserved_580[0x5d8 - 0x580];
	uint64_t rsp;
	uint8_t reserved_5e0[0x5f8 - 0x5e0];
	uint64_t rax;
	uint64_t star;
	uint64_t lstar;
	uint64_t cstar;
	uint64_t syscall_mask;
	uint64_t kernel_gs_base;
	uint64_t sysenter_cs;
	uint64_t sysenter_esp;
	uint64_t sysenter_eip;
	uint64_t cr2;
	uint8_t reserved_648[0x668 - 0x648];
	uint64_t pat;
	uint64_t debug_control;
	uint8_t reserved_678[0x1000 - 0x678];
} __attribute__((aligned(4096)));

BUILD_ASSERT(sizeof(struct svm_vmcb) == 4096);
BUILD_ASSERT(offsetof(struct svm_vmcb, port_bitmap_physical) == 0x040);
BUILD_ASSERT(offsetof(struct svm_vmcb, asid) == 0x058);
BUILD_ASSERT(offsetof(struct svm_vmcb, interrupt) == 0x060);
BUILD_ASSERT(offsetof(struct svm_vmcb, exit_code) == 0x070);
BUILD_ASSERT(offsetof(struct svm_vmcb, exit_event) == 0x088);
BUILD_ASSERT(offsetof(struct svm_vmcb, event) == 0x0a8);
BUILD_ASSERT(offsetof(struct svm_vmcb, next_rip) == 0x0c8);
BUILD_ASSERT(offsetof(struct svm_vmcb, es) == 0x400);
BUILD_ASSERT(offsetof(struct svm_vmcb, tr) == 0x490);
BUILD_ASSERT(offsetof(struct svm_vmcb, cpl) == 0x4cb);
BUILD_ASSERT(offsetof(struct svm_vmcb, efer) == 0x4d0);
BUILD_ASSERT(offsetof(struct svm_vmcb, cr4) == 0x548);
BUILD_ASSERT(offsetof(struct svm_vmcb, rip) == 0x578);
BUILD_ASSERT(offsetof(struct svm_vmcb, rsp) == 0x5d8);
BUILD_ASSERT(offsetof(struct svm_vmcb, rax) == 0x5f8);
BUILD_ASSERT(offsetof(struct svm_vmcb, cr2) == 0x640);
BUILD_ASSERT(offsetof(struct svm_vmcb, pat) == 0x668);
BUILD_ASSERT(offsetof(struct svm_vmcb, debug_control) == 0x670);

struct vcpu;

/* exit.c: makes `exit` of what the hardware left in the VMCB; decodes what the processor did not. */
void svm_exit_normalise(struct vcpu *vcpu, const struct svm_vmcb *vmcb, struct vcpu_exit *exit);

/* The guest's memory is another from now on: what was remembered of its code is void. */
void svm_exit_forget(void);

/*
 * npt.c: takes tables for a guest of up to `guest_size` bytes, and returns the address of
 * the empty root table (0: no memory); then mappings, 4 KiB aligned.
 */
uint64_t svm_npt_init(uint64_t guest_size);
void svm_npt_clear(void);
int svm_npt_map(uint64_t gpa, uint64_t hpa, uint64_t size);

/* npt.c: tracking, as struct vcpu_ops has it, but that the caller flushes. */
int svm_npt_reserve(uint64_t guest_size);
void svm_npt_track(bool on);
void svm_npt_take_dirty(uint64_t gpa, uint64_t *dirty);

/* msr.c: physical addresses of new, filled bitmaps; 0: no memory. Start-up only. */
uint64_t svm_msr_bitmap_physical(void);
uint64_t svm_port_bitmap_physical(void);

/* instruction.c */
struct svm_instruction {
	uint8_t size;	/* bytes, prefixes included; 0: not one that we know */
	uint8_t opcode; /* the last byte of a one-byte or 0F-escaped opcode */
	uint8_t is_two_byte;
	uint8_t modrm;
	uint8_t reg; /* ModRM.reg with REX.R: a control register's number or an opcode extension */
	uint8_t rm;  /* ModRM.rm with REX.B: a register, when modrm >= 0xc0 */
};

/*
 * Decodes the instruction at the beginning of `bytes`, of which `size` could be
 * fetched, as far as needed for what we intercept: its size and registers.
 */
struct svm_instruction svm_instruction_decode(const uint8_t *bytes, uint32_t size, bool is_64bit);

#endif
