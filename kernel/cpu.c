/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the processor is, by CPUID and by VM_CR (AMD64 Architecture Programmer's
 * Manual 3, appendix E; 2, section 15.30.1). Long mode and no-execute pages were
 * checked by start.S: no C runs without them.
 */
#include "kernel/cpu.h"

#include <string.h>

#include "include/byte_order.h"

#define LEAF_FEATURES 1
#define FEATURES_ECX_X2APIC BIT(21)
#define FEATURES_ECX_HYPERVISOR BIT(31)
#define FEATURES_EDX_MACHINE_CHECK_EXCEPTION BIT(7)
#define FEATURES_EDX_MACHINE_CHECK_ARCHITECTURE BIT(14)
#define LEAF_HYPERVISOR 0x40000000
#define LEAF_EXTENDED 0x80000000
#define LEAF_EXTENDED_FEATURES 0x80000001
#define EXTENDED_ECX_SVM BIT(2)
#define LEAF_BRAND 0x80000002 /* and the two after */
#define LEAF_ADDRESS_SIZES 0x80000008
#define LEAF_SVM 0x8000000a
#define SVM_EDX_NESTED_PAGING BIT(0)

#define MSR_VM_CR 0xc0010114
#define VM_CR_LOCK BIT(3)
#define VM_CR_SVM_DISABLE BIT(4)

static struct cpu_facts facts;

static uint32_t leaf_max(uint32_t first)
{
	uint32_t max = cpu_id(first, 0).eax;

	return max >= first && max - first < 0x10000 ? max : first;
}

static void read_names(void)
{
	struct cpu_id id = cpu_id(0, 0);

	store_le32(facts.vendor, id.ebx);
	store_le32(facts.vendor + 4, id.edx);
	store_le32(facts.vendor + 8, id.ecx);
	if (leaf_max(LEAF_EXTENDED) < LEAF_BRAND + 2)
		return;
	for (uint32_t i = 0; i < 3; i++) {
		id = cpu_id(LEAF_BRAND + i, 0);
		store_le32(facts.brand + 16 * i, id.eax);
		store_le32(facts.brand + 16 * i + 4, id.ebx);
		store_le32(facts.brand + 16 * i + 8, id.ecx);
		store_le32(facts.brand + 16 * i + 12, id.edx);
	}
}

/* Family and model in parts: APM 3, E.3.2. */
static void read_features(void)
{
	struct cpu_id id = cpu_id(LEAF_FEATURES, 0);
	uint32_t base_family = (id.eax >> 8) & 0xf;

	facts.stepping = id.eax & 0xf;
	facts.family = base_family == 0xf ? base_family + ((id.eax >> 20) & 0xff) : base_family;
	facts.model = (id.eax >> 4) & 0xf;
	if (base_family == 0xf || base_family == 6)
		facts.model |= (id.eax >> 12) & 0xf0;
	facts.has_x2apic = (id.ecx & FEATURES_ECX_X2APIC) != 0;
	facts.has_machine_check = (id.edx & FEATURES_EDX_MACHINE_CHECK_EXCEPTION) != 0 &&
				  (id.edx & FEATURES_EDX_MACHINE_CHECK_ARCHITECTURE) != 0;
	if (id.ecx & FEATURES_ECX_HYPERVISOR) {
		id = cpu_id(LEAF_HYPERVISOR, 0);
		facts.is_tcg = memcmp(&id.ebx, "TCGT", 4) == 0;
	}
}

static void read_virtualisation(void)
{
	uint64_t vm_cr;

	if (leaf_max(LEAF_EXTENDED) < LEAF_EXTENDED_FEATURES)
		return;
	facts.has_svm = (cpu_id(LEAF_EXTENDED_FEATURES, 0).ecx & EXTENDED_ECX_SVM) != 0;
	if (!facts.has_svm)
		return;
	vm_cr = cpu_read_msr(MSR_VM_CR);
	facts.svm_disabled = (vm_cr & VM_CR_SVM_DISABLE) != 0;
	facts.svm_locked = (vm_cr & VM_CR_LOCK) != 0;
	if (leaf_max(LEAF_EXTENDED) >= LEAF_SVM)
		facts.has_nested_paging = (cpu_id(LEAF_SVM, 0).edx & SVM_EDX_NESTED_PAGING) != 0;
}

static uint32_t physical_bits(void)
{
	uint32_t bits =
		leaf_max(LEAF_EXTENDED) >= LEAF_ADDRESS_SIZES ? cpu_id(LEAF_ADDRESS_SIZES, 0).eax & 0xff : 36;

	return bits >= 32 && bits <= 52 ? bits : 36;
}

void cpu_init(void)
{
	read_names();
	read_features();
	read_virtualisation();
	facts.physical_bits = physical_bits();
}

const struct cpu_facts *cpu_facts(void)
{
	return &facts;
}

const char *cpu_refusal(const struct cpu_facts *of)
{
	if (!of->has_svm)
		return "this CPU has no SVM (AMD virtualisation)";
	if (of->svm_disabled && of->svm_locked)
		return "SVM is switched off and locked by the firmware: switch it on in the firmware's setup";
	if (!of->has_nested_paging)
		return "this CPU has no nested paging";
	return NULL;
}

uint64_t cpu_physical_limit(void)
{
	return BIT(physical_bits());
}
