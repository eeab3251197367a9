/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FPU, SSE, AVX and debug address registers. The hypervisor is compiled without
 * using them, so the guest's values stay in the processor all the time and move
 * only for snapshots, digests and joins.
 */
#ifndef KERNEL_VCPU_FPU_H
#define KERNEL_VCPU_FPU_H

#include "include/bits.h"
#include "include/vcpu_state.h"

/* Components (of VCPU_XCR0_*) that this server's processor has; 0: no XSAVE. Switches XSAVE on. */
uint64_t vcpu_fpu_init(void);

/*
 * The guest's XCR0, which is the processor's own. Whoever needs it asks: QEMU 7.2 does
 * not intercept XSETBV, so the guest changes it alone.
 */
uint64_t vcpu_fpu_xcr0(void);
void vcpu_fpu_set_xcr0(uint64_t xcr0);

/* Processor -> state: all that `components` names, in one canonical form; and back. */
void vcpu_fpu_save(struct vcpu_state *state, uint64_t components);
void vcpu_fpu_load(const struct vcpu_state *state, uint64_t components);

#endif
