/* SPDX-License-Identifier: Apache-2.0 */
/* FPU, SSE, AVX and DR0..DR3: AMD64 APM volume 2, 11.5 and 13.1.1. */
#include "kernel/vcpu_fpu.h"

#include <string.h>

#include "include/byte_order.h"
#include "kernel/cpu.h"

#define CPUID_ECX_XSAVE BIT(26)
#define CR4_OSFXSR BIT(9)
#define CR4_OSXSAVE BIT(18)

static void xcr0_write(uint64_t value)
{
	__asm__ volatile("xsetbv" : : "c"(0), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

uint64_t vcpu_fpu_xcr0(void)
{
	uint32_t low;
	uint32_t high;

	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return (uint64_t)high << 32 | low;
}

uint64_t vcpu_fpu_init(void)
{
	if (!(cpu_id(1, 0).ecx & CPUID_ECX_XSAVE))
		return 0;
	cpu_write_cr4(cpu_read_cr4() | CR4_OSFXSR | CR4_OSXSAVE);
	return cpu_id(0xd, 0).eax & (VCPU_XCR0_X87 | VCPU_XCR0_SSE | VCPU_XCR0_AVX);
}

void vcpu_fpu_set_xcr0(uint64_t xcr0)
{
	xcr0_write(xcr0);
}

void vcpu_fpu_save(struct vcpu_state *state, uint64_t components)
{
	uint64_t guest = vcpu_fpu_xcr0();

	memset(state->xsave, 0, sizeof(state->xsave));
	xcr0_write(components);
	__asm__ volatile("xsave64 %0" : "+m"(state->xsave) : "a"((uint32_t)components), "d"(0));
	xcr0_write(guest);
	/*
	 * XSAVE writes initial values too, but may leave a component's bit clear if it
	 * happens to know. The bit set with those values is the same state, and the one
	 * form that a digest can rely on.
	 */
	store_le64(state->xsave + VCPU_XSAVE_HEADER_OFFSET, components);
	__asm__ volatile("movq %%dr0, %0" : "=r"(state->dr[0]));
	__asm__ volatile("movq %%dr1, %0" : "=r"(state->dr[1]));
	__asm__ volatile("movq %%dr2, %0" : "=r"(state->dr[2]));
	__asm__ volatile("movq %%dr3, %0" : "=r"(state->dr[3]));
}

void vcpu_fpu_load(const struct vcpu_state *state, uint64_t components)
{
	xcr0_write(components);
	__asm__ volatile("xrstor64 %0" : : "m"(state->xsave), "a"((uint32_t)components), "d"(0));
	xcr0_write(state->xcr0);
	__asm__ volatile("movq %0, %%dr0" : : "r"(state->dr[0]));
	__asm__ volatile("movq %0, %%dr1" : : "r"(state->dr[1]));
	__asm__ volatile("movq %0, %%dr2" : : "r"(state->dr[2]));
	__asm__ volatile("movq %0, %%dr3" : : "r"(state->dr[3]));
}
