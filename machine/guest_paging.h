/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's own address translation, for the instructions that we carry out for
 * it: 32-bit paging with 4 MiB pages, PAE, and four levels with 2 MiB and 1 GiB
 * pages (APM volume 2, chapter 5). Checks what the processor would check, and sets
 * accessed and dirty bits as it would.
 */
#ifndef MACHINE_GUEST_PAGING_H
#define MACHINE_GUEST_PAGING_H

#include "include/bits.h"
#include "include/vcpu_state.h"
#include "machine/guest_memory.h"

/* The page-fault error code's bits, also used to say what is wanted. */
#define GUEST_PAGE_PRESENT UINT32_C(1) /* a protection fault, not a missing page */
#define GUEST_PAGE_WRITE UINT32_C(2)
#define GUEST_PAGE_USER UINT32_C(4)
#define GUEST_PAGE_RESERVED UINT32_C(8)
#define GUEST_PAGE_FETCH UINT32_C(16)

/*
 * Translates linear address `gva` for an access of kind GUEST_PAGE_WRITE,
 * GUEST_PAGE_FETCH or 0 at the current privilege level. True with `gpa`; false with
 * the error code of the #PF to raise in `error_code`.
 */
bool guest_paging_translate(const struct vcpu_state *vcpu, const struct guest_memory *memory, uint64_t gva,
			    uint32_t access, uint64_t *gpa, uint32_t *error_code);

/*
 * A translation to remember, with all that it follows from: while that stays the same,
 * so does the translation, and none of the tables has to be walked. Zero: of nothing.
 */
struct guest_paging_memo {
	uint64_t page; /* linear address */
	uint64_t cr0, cr3, cr4, efer, rflags_ac;
	uint32_t access;
	uint8_t cpl;
	uint8_t depth;		      /* entries; 0: nothing is remembered */
	const uint8_t *entries_at[4]; /* in the guest's memory, which does not move */
	uint64_t entry_values[4];
};

/* As guest_paging_translate(); remembers what it found, as far as it pays: in long mode. */
bool guest_paging_translate_anew(struct guest_paging_memo *memo, const struct vcpu_state *vcpu,
				 const struct guest_memory *memory, uint64_t gva, uint32_t access,
				 uint64_t *gpa, uint32_t *error_code);

/* Would the walk of `memo` for this address and access find the same again? */
bool guest_paging_is_same(struct guest_paging_memo *memo, const struct vcpu_state *vcpu,
			  const struct guest_memory *memory, uint64_t gva, uint32_t access);

/*
 * Copies `size` bytes, at most 4096, from linear address `gva` on, page by page.
 * Returns how many could be read before a page that is missing or no memory.
 */
uint32_t guest_paging_fetch(const struct vcpu_state *vcpu, const struct guest_memory *memory, uint64_t gva,
			    uint8_t *to, uint32_t size);

#endif
