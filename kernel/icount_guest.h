/* SPDX-License-Identifier: Apache-2.0 */
/* Memory picture of the step counter's three tiny guests, shared by icount.c and icount_guest.S. */
#ifndef KERNEL_ICOUNT_GUEST_H
#define KERNEL_ICOUNT_GUEST_H

#define ICOUNT_GUEST_CODE 0x1000  /* what icount_guest.S holds */
#define ICOUNT_GUEST_STACK 0x4000 /* grows down */
#define ICOUNT_GUEST_DATA 0x4000
#define ICOUNT_GUEST_SIZE 0xa000

#define ICOUNT_GUEST_CODE_SELECTOR 0x08
#define ICOUNT_GUEST_DATA_SELECTOR 0x10

#ifndef __ASSEMBLER__
#include <stdint.h>

extern const uint8_t icount_guest_start[];
extern const uint8_t icount_guest_exit[]; /* exits at once */
extern const uint8_t icount_guest_loop[]; /* INC ECX; JMP, for ever */
extern const uint8_t icount_guest_test[]; /* everything that could be miscounted, then exits */
extern const uint8_t icount_guest_end[];
#endif

#endif
