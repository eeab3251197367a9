/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory picture of the torture guest, shared by torture.c and torture_guest.S.
 * 64-bit, identity-mapped in 4 KiB pages that the guest itself takes away and
 * gives back; one 2 MiB page behind the memory is a "device": every access exits.
 */
#ifndef TESTS_GUEST_TORTURE_H
#define TESTS_GUEST_TORTURE_H

#define TORTURE_PML4 0x1000
#define TORTURE_PDPT 0x2000
#define TORTURE_PD 0x3000
#define TORTURE_PT 0x4000
#define TORTURE_IDT 0x5000
#define TORTURE_GDT 0x6000
#define TORTURE_STACK 0x8000 /* grows down */
#define TORTURE_COUNTERS 0x9000
#define TORTURE_CODE 0x10000
#define TORTURE_CROSSING 0x12000 /* an instruction lies across this address */
#define TORTURE_DATA 0x20000
#define TORTURE_DATA_PAGES 64
#define TORTURE_SIZE 0x70000
#define TORTURE_DEVICE 0x200000

#define TORTURE_CODE_SELECTOR 0x08
#define TORTURE_DATA_SELECTOR 0x10

#define TORTURE_VECTOR_DEBUG 1
#define TORTURE_VECTOR_BREAKPOINT 3
#define TORTURE_VECTOR_UNDEFINED 6
#define TORTURE_VECTOR_PAGE_FAULT 14
#define TORTURE_VECTOR_SOFTWARE 0x30
#define TORTURE_VECTOR_EXTERNAL 0x40 /* and the three behind it */
#define TORTURE_VECTOR_EXTERNAL_COUNT 4

#define TORTURE_PORT 0x510
#define TORTURE_MSR 0x8b

#ifndef __ASSEMBLER__
#include <stdint.h>

extern const uint8_t torture_guest_start[];
extern const uint8_t torture_guest_end[];
extern const uint8_t torture_guest_debug[];
extern const uint8_t torture_guest_breakpoint[];
extern const uint8_t torture_guest_undefined[];
extern const uint8_t torture_guest_page_fault[];
extern const uint8_t torture_guest_software[];
extern const uint8_t torture_guest_external[];
#endif

#endif
