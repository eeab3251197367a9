/* SPDX-License-Identifier: Apache-2.0 */
/* The processor after power-on or reset: APM volume 2, table 14-1. */
#include "include/vcpu_state.h"

#include <string.h>

#include "include/byte_order.h"

#define RESET_DR6 UINT64_C(0xffff0ff0)
#define RESET_DR7 UINT64_C(0x400)
#define RESET_PAT UINT64_C(0x0007040600070406)
#define RESET_FCW 0x0040
#define DEFAULT_MXCSR 0x1f80
#define FXSAVE_MXCSR_OFFSET 24

#define SEGMENT_DATA (VCPU_SEGMENT_PRESENT | VCPU_SEGMENT_CODE_DATA | 0x3) /* read/write, accessed */
#define SEGMENT_CODE (VCPU_SEGMENT_PRESENT | VCPU_SEGMENT_CODE_DATA | 0xb) /* execute/read, accessed */
#define SEGMENT_LDT (VCPU_SEGMENT_PRESENT | 0x2)
#define SEGMENT_TSS_BUSY_16 (VCPU_SEGMENT_PRESENT | 0x3)

void vcpu_state_reset(struct vcpu_state *state)
{
	memset(state, 0, sizeof(*state));
	for (uint32_t i = 0; i < VCPU_SEGMENT_COUNT; i++) {
		state->segments[i].limit = 0xffff;
		state->segments[i].attributes = SEGMENT_DATA;
	}
	state->segments[VCPU_CS].selector = 0xf000;
	state->segments[VCPU_CS].base = 0xffff0000;
	state->segments[VCPU_CS].attributes = SEGMENT_CODE;
	state->segments[VCPU_LDTR].attributes = SEGMENT_LDT;
	state->segments[VCPU_TR].attributes = SEGMENT_TSS_BUSY_16;
	state->gdtr.limit = 0xffff;
	state->idtr.limit = 0xffff;
	state->rip = 0xfff0;
	state->rflags = VCPU_RFLAGS_FIXED;
	state->gpr[VCPU_RDX] = UINT64_C(0x00800f12); /* CPUID leaf 1's EAX, see cpuid.c */
	state->cr0 = VCPU_CR0_ET | VCPU_CR0_NW | VCPU_CR0_CD;
	state->xcr0 = VCPU_XCR0_X87;
	state->dr6 = RESET_DR6;
	state->dr7 = RESET_DR7;
	state->pat = RESET_PAT;
	store_le16(state->xsave, RESET_FCW);
	store_le32(state->xsave + FXSAVE_MXCSR_OFFSET, DEFAULT_MXCSR);
	/* x87 and SSE hold values of their own: XSTATE_BV tells XRSTOR to load them. */
	state->xsave[VCPU_XSAVE_HEADER_OFFSET] = (uint8_t)(VCPU_XCR0_X87 | VCPU_XCR0_SSE);
}
