/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processor: its special instructions as functions, what it is and can do,
 * and the checks at start-up that refuse by name what Yoke cannot run on.
 */
#ifndef KERNEL_CPU_H
#define KERNEL_CPU_H

#include "include/bits.h"

#define CR0_WRITE_PROTECT BIT(16)
#define CR4_MACHINE_CHECK BIT(6)

struct cpu_id {
	uint32_t eax;
	uint32_t ebx;
	uint32_t ecx;
	uint32_t edx;
};

static inline struct cpu_id cpu_id(uint32_t leaf, uint32_t subleaf)
{
	struct cpu_id id;

	__asm__ volatile("cpuid"
			 : "=a"(id.eax), "=b"(id.ebx), "=c"(id.ecx), "=d"(id.edx)
			 : "a"(leaf), "c"(subleaf));
	return id;
}

/* The register must exist on this processor: a missing one faults, which is a fail-stop. */
static inline uint64_t cpu_read_msr(uint32_t msr)
{
	uint32_t low;
	uint32_t high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (uint64_t)high << 32 | low;
}

static inline void cpu_write_msr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

static inline uint64_t cpu_read_tsc(void)
{
	uint32_t low;
	uint32_t high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

static inline uint64_t cpu_read_cr0(void)
{
	uint64_t value;

	__asm__ volatile("movq %%cr0, %0" : "=r"(value));
	return value;
}

static inline void cpu_write_cr0(uint64_t value)
{
	__asm__ volatile("movq %0, %%cr0" : : "r"(value) : "memory");
}

static inline uint64_t cpu_read_cr2(void)
{
	uint64_t value;

	__asm__ volatile("movq %%cr2, %0" : "=r"(value));
	return value;
}

static inline uint64_t cpu_read_cr3(void)
{
	uint64_t value;

	__asm__ volatile("movq %%cr3, %0" : "=r"(value));
	return value;
}

/* Also drops all translations: the hypervisor has no global pages. */
static inline void cpu_write_cr3(uint64_t value)
{
	__asm__ volatile("movq %0, %%cr3" : : "r"(value) : "memory");
}

static inline uint64_t cpu_read_cr4(void)
{
	uint64_t value;

	__asm__ volatile("movq %%cr4, %0" : "=r"(value));
	return value;
}

static inline void cpu_write_cr4(uint64_t value)
{
	__asm__ volatile("movq %0, %%cr4" : : "r"(value) : "memory");
}

static inline void cpu_invalidate_page(uint64_t address)
{
	__asm__ volatile("invlpg (%0)" : : "r"(address) : "memory");
}

/* Sleeps until the next interrupt, with interrupts on only here. STI's shadow closes the gap before HLT. */
static inline void cpu_wait_for_interrupt(void)
{
	__asm__ volatile("sti; hlt; cli" : : : "memory");
}

_Noreturn static inline void cpu_halt(void)
{
	for (;;)
		__asm__ volatile("cli; hlt");
}

#define CPU_VENDOR_SIZE 13
#define CPU_BRAND_SIZE 49

struct cpu_facts {
	char vendor[CPU_VENDOR_SIZE];
	char brand[CPU_BRAND_SIZE];
	uint32_t family;
	uint32_t model;
	uint32_t stepping;
	uint32_t physical_bits; /* of a physical address */
	bool has_svm;
	bool svm_disabled; /* VM_CR.SVMDIS */
	bool svm_locked;   /* VM_CR.LOCK: only a power cycle and firmware setup change that */
	bool has_nested_paging;
	bool has_machine_check;
	bool has_x2apic;
	bool is_tcg; /* QEMU's emulator: the bench */
};

/* Reads what the processor says of itself. Before all that needs cpu_facts(). */
void cpu_init(void);
const struct cpu_facts *cpu_facts(void);

/*
 * Why a guest cannot run on a processor with these facts, as one line for a
 * person; NULL when it can.
 */
const char *cpu_refusal(const struct cpu_facts *facts);

/* First address behind what the processor can address. Good before cpu_init(). */
uint64_t cpu_physical_limit(void);

#endif
