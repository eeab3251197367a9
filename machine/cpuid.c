/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one processor that guests see, the same on every server: docs/CPUID.md has
 * it in words, and why each thing that is missing is missing. Only bits that mirror
 * the guest's own registers change (OSXSAVE, APIC, XSAVE area size).
 */
#include "machine/machine.h"

#define LEAF_BASIC_MAX UINT32_C(0xd)
#define LEAF_HYPERVISOR UINT32_C(0x40000000)
#define LEAF_KVM UINT32_C(0x40000100)
#define LEAF_EXTENDED UINT32_C(0x80000000)
#define LEAF_EXTENDED_MAX UINT32_C(0x80000008)

#define SIGNATURE UINT32_C(0x00800f12) /* family 17h, model 01h, stepping 2 */

enum {
	EDX_FPU = 0,
	EDX_DE = 2,
	EDX_PSE = 3,
	EDX_TSC = 4,
	EDX_MSR = 5,
	EDX_PAE = 6,
	EDX_MCE = 7,
	EDX_CX8 = 8,
	EDX_APIC = 9,
	EDX_SEP = 11,
	EDX_MTRR = 12,
	EDX_PGE = 13,
	EDX_MCA = 14,
	EDX_CMOV = 15,
	EDX_PAT = 16,
	EDX_PSE36 = 17,
	EDX_CLFLUSH = 19,
	EDX_MMX = 23,
	EDX_FXSR = 24,
	EDX_SSE = 25,
	EDX_SSE2 = 26,

	ECX_SSE3 = 0,
	ECX_PCLMUL = 1,
	ECX_SSSE3 = 9,
	ECX_FMA = 12,
	ECX_CX16 = 13,
	ECX_SSE41 = 19,
	ECX_SSE42 = 20,
	ECX_X2APIC = 21,
	ECX_MOVBE = 22,
	ECX_POPCNT = 23,
	ECX_TSC_DEADLINE = 24,
	ECX_AES = 25,
	ECX_XSAVE = 26,
	ECX_OSXSAVE = 27,
	ECX_AVX = 28,
	ECX_F16C = 29,
	ECX_HYPERVISOR = 31,

	EBX7_FSGSBASE = 0,
	EBX7_BMI1 = 3,
	EBX7_AVX2 = 5,
	EBX7_SMEP = 7,
	EBX7_BMI2 = 8,
	EBX7_ERMS = 9,
	EBX7_SMAP = 20,

	EDX_SYSCALL = 11,
	EDX_NX = 20,
	EDX_PAGE_1G = 26,
	EDX_RDTSCP = 27,
	EDX_LONG_MODE = 29,
	ECX_LAHF = 0,
	ECX_LZCNT = 5,
};

#define KVM_NO_IO_DELAY 1 /* writes to port 0x80 need not be made */

#define BIT32(index) ((uint32_t)BIT(index))

/* Leaf 1's EDX without APIC, which the APIC base MSR shows or hides. */
#define FEATURES_EDX                                                                                         \
	(BIT32(EDX_FPU) | BIT32(EDX_DE) | BIT32(EDX_PSE) | BIT32(EDX_TSC) | BIT32(EDX_MSR) |                 \
	 BIT32(EDX_PAE) | BIT32(EDX_MCE) | BIT32(EDX_CX8) | BIT32(EDX_SEP) | BIT32(EDX_MTRR) |               \
	 BIT32(EDX_PGE) | BIT32(EDX_MCA) | BIT32(EDX_CMOV) | BIT32(EDX_PAT) | BIT32(EDX_PSE36) |             \
	 BIT32(EDX_CLFLUSH) | BIT32(EDX_MMX) | BIT32(EDX_FXSR) | BIT32(EDX_SSE) | BIT32(EDX_SSE2))
/* Of these, what AMD repeats in leaf 0x80000001. */
#define FEATURES_EDX_REPEATED UINT32_C(0x0183f3ff)
#define FEATURES_ECX                                                                                         \
	(BIT32(ECX_SSE3) | BIT32(ECX_PCLMUL) | BIT32(ECX_SSSE3) | BIT32(ECX_CX16) | BIT32(ECX_SSE41) |       \
	 BIT32(ECX_SSE42) | BIT32(ECX_X2APIC) | BIT32(ECX_MOVBE) | BIT32(ECX_POPCNT) |                       \
	 BIT32(ECX_TSC_DEADLINE) | BIT32(ECX_AES) | BIT32(ECX_HYPERVISOR))
#define FEATURES_ECX_AVX (BIT32(ECX_XSAVE) | BIT32(ECX_AVX) | BIT32(ECX_FMA) | BIT32(ECX_F16C))
#define FEATURES_EBX7 (BIT32(EBX7_FSGSBASE) | BIT32(EBX7_SMEP) | BIT32(EBX7_ERMS) | BIT32(EBX7_SMAP))
#define FEATURES_EBX7_AVX (BIT32(EBX7_BMI1) | BIT32(EBX7_BMI2) | BIT32(EBX7_AVX2))

#define APIC_BASE_ENABLE BIT(11)
#define XSAVE_SIZE_SSE 576 /* legacy area and header */

static uint32_t apic_edx(const struct machine *machine)
{
	return (machine->lapic.base_msr & APIC_BASE_ENABLE) ? BIT32(EDX_APIC) : 0;
}

static struct machine_cpuid_result leaf_features(const struct machine *machine, const struct vcpu_state *vcpu)
{
	struct machine_cpuid_result result = {
		.eax = SIGNATURE,
		.ebx = 1 << 16 | 8 << 8, /* one logical processor, APIC ID 0; CLFLUSH of 8 * 8 bytes */
		.ecx = FEATURES_ECX,
		.edx = FEATURES_EDX | apic_edx(machine),
	};

	if (machine->config.has_avx) {
		result.ecx |= FEATURES_ECX_AVX;
		if (vcpu->cr4 & VCPU_CR4_OSXSAVE)
			result.ecx |= BIT32(ECX_OSXSAVE);
	}
	return result;
}

/* Leaf 0xb: one thread in one core in one package. ECX echoes the level and gives its type. */
static struct machine_cpuid_result leaf_topology(uint32_t subleaf)
{
	struct machine_cpuid_result result = { .ecx = subleaf & 0xff };

	if (subleaf <= 1) {
		result.ebx = 1;
		result.ecx |= (subleaf + 1) << 8;
	}
	return result;
}

static struct machine_cpuid_result leaf_xsave(const struct machine *machine, const struct vcpu_state *vcpu,
					      uint32_t subleaf)
{
	struct machine_cpuid_result result = { 0 };

	if (!machine->config.has_avx)
		return result;
	if (subleaf == 0) {
		result.eax = (uint32_t)(VCPU_XCR0_X87 | VCPU_XCR0_SSE | VCPU_XCR0_AVX);
		result.ebx = (vcpu->xcr0 & VCPU_XCR0_AVX) ? VCPU_XSAVE_SIZE : XSAVE_SIZE_SSE;
		result.ecx = VCPU_XSAVE_SIZE;
	} else if (subleaf == 2) { /* the upper halves of YMM */
		result.eax = VCPU_XSAVE_SIZE - XSAVE_SIZE_SSE;
		result.ebx = XSAVE_SIZE_SSE;
	}
	return result;
}

/* Twelve or sixteen characters as registers. */
static uint32_t text4(const char *text)
{
	return (uint32_t)(uint8_t)text[0] | (uint32_t)(uint8_t)text[1] << 8 |
	       (uint32_t)(uint8_t)text[2] << 16 | (uint32_t)(uint8_t)text[3] << 24;
}

static struct machine_cpuid_result leaf_brand(uint32_t part)
{
	static const char brand[49] =
		"Yoke virtual processor\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
	const char *text = brand + part * 16;

	return (struct machine_cpuid_result){
		.eax = text4(text), .ebx = text4(text + 4), .ecx = text4(text + 8), .edx = text4(text + 12)
	};
}

static struct machine_cpuid_result leaf_basic(const struct machine *machine, const struct vcpu_state *vcpu,
					      uint32_t leaf, uint32_t subleaf)
{
	struct machine_cpuid_result result = { 0 };

	switch (leaf) {
	case 0:
		result.eax = LEAF_BASIC_MAX;
		result.ebx = text4("Auth");
		result.edx = text4("enti");
		result.ecx = text4("cAMD");
		break;
	case 1:
		return leaf_features(machine, vcpu);
	case 6: /* the APIC timer never stops */
		result.eax = BIT32(2);
		break;
	case 7:
		if (subleaf == 0)
			result.ebx = FEATURES_EBX7 | (machine->config.has_avx ? FEATURES_EBX7_AVX : 0);
		break;
	case 0xb:
		return leaf_topology(subleaf);
	case 0xd:
		return leaf_xsave(machine, vcpu, subleaf);
	default:
		break;
	}
	return result;
}

static struct machine_cpuid_result leaf_hypervisor(uint32_t leaf)
{
	struct machine_cpuid_result result = { 0 };

	switch (leaf) {
	case LEAF_HYPERVISOR:
		result.eax = LEAF_HYPERVISOR + 0x10;
		result.ebx = text4("Yoke");
		result.ecx = text4("Yoke");
		result.edx = text4("Yoke");
		break;
	case LEAF_HYPERVISOR + 1: /* version of what is described here */
		result.eax = MACHINE_VERSION;
		break;
	case LEAF_HYPERVISOR + 0x10: /* TSC and APIC timer, kHz: the layout that other hypervisors use */
		result.eax = MACHINE_TSC_KHZ;
		result.ebx = (uint32_t)(MACHINE_LAPIC_TIMER_HZ / 1000);
		break;
	case LEAF_KVM: /* the second interface: docs/CPUID.md has why */
		result.eax = LEAF_KVM + 1;
		result.ebx = text4("KVMK");
		result.ecx = text4("VMKV");
		result.edx = text4("M\0\0\0");
		break;
	case LEAF_KVM + 1:
		result.eax = BIT32(KVM_NO_IO_DELAY);
		break;
	default:
		break;
	}
	return result;
}

static struct machine_cpuid_result leaf_extended(const struct machine *machine, uint32_t leaf)
{
	struct machine_cpuid_result result = { 0 };

	switch (leaf) {
	case LEAF_EXTENDED:
		result.eax = LEAF_EXTENDED_MAX;
		result.ebx = text4("Auth");
		result.edx = text4("enti");
		result.ecx = text4("cAMD");
		break;
	case LEAF_EXTENDED + 1:
		result.eax = SIGNATURE;
		result.ecx = BIT32(ECX_LAHF) | (machine->config.has_avx ? BIT32(ECX_LZCNT) : 0);
		result.edx = ((FEATURES_EDX | apic_edx(machine)) & FEATURES_EDX_REPEATED) |
			     BIT32(EDX_SYSCALL) | BIT32(EDX_NX) | BIT32(EDX_PAGE_1G) | BIT32(EDX_RDTSCP) |
			     BIT32(EDX_LONG_MODE);
		break;
	case LEAF_EXTENDED + 2 ... LEAF_EXTENDED + 4:
		return leaf_brand(leaf - LEAF_EXTENDED - 2);
	case LEAF_EXTENDED + 5: /* first-level caches: 32 KiB data, 64 KiB code, 64-byte lines */
		result.ecx = 32 << 24 | 8 << 16 | 1 << 8 | 64;
		result.edx = 64 << 24 | 4 << 16 | 1 << 8 | 64;
		break;
	case LEAF_EXTENDED + 6: /* second level: 512 KiB, 8 ways */
		result.ecx = 512 << 16 | 6 << 12 | 1 << 8 | 64;
		break;
	case LEAF_EXTENDED + 7: /* the TSC never changes its rate */
		result.edx = BIT32(8);
		break;
	case LEAF_EXTENDED + 8: /* 48 bits virtual, 40 physical; one core */
		result.eax = 48 << 8 | 40;
		break;
	default:
		break;
	}
	return result;
}

struct machine_cpuid_result machine_cpuid(const struct machine *machine, const struct vcpu_state *vcpu,
					  uint32_t leaf, uint32_t subleaf)
{
	if (leaf >= LEAF_EXTENDED && leaf <= LEAF_EXTENDED_MAX)
		return leaf_extended(machine, leaf);
	if (leaf >= LEAF_HYPERVISOR && leaf < LEAF_HYPERVISOR + 0x200)
		return leaf_hypervisor(leaf);
	/* Leaves that do not exist are all zero, as on AMD's processors. */
	return leaf_basic(machine, vcpu, leaf, subleaf);
}
