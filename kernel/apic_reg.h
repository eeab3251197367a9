/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Local APIC and 8259 registers, as far as used: AMD64 Architecture Programmer's
 * Manual 2, table 16-2; Intel 8259A datasheet.
 */
#ifndef KERNEL_APIC_REG_H
#define KERNEL_APIC_REG_H

#include "include/bits.h"

#define MSR_APIC_BASE 0x1b
#define APIC_BASE_X2APIC BIT(10)
#define APIC_BASE_ENABLE BIT(11)
#define APIC_BASE_ADDRESS_MASK UINT64_C(0x000ffffffffff000)
#define APIC_SIZE 4096

#define APIC_ID 0x020	   /* R */
#define APIC_VERSION 0x030 /* R; 23:16 highest local vector entry */
#define APIC_TASK_PRIORITY 0x080
#define APIC_END_OF_INTERRUPT 0x0b0 /* W */
#define APIC_SPURIOUS 0x0f0
#define APIC_SPURIOUS_ENABLE 0x100
#define APIC_ERROR_STATUS 0x280
#define APIC_LVT_TIMER 0x320 /* 18:17 00 one-shot */
#define APIC_LVT_THERMAL 0x330
#define APIC_LVT_PERFORMANCE 0x340
#define APIC_LVT_LINT0 0x350
#define APIC_LVT_LINT1 0x360
#define APIC_LVT_ERROR 0x370
#define APIC_LVT_MASKED 0x10000
#define APIC_LVT_NMI 0x400 /* delivery mode 100 */
#define APIC_TIMER_INITIAL_COUNT 0x380
#define APIC_TIMER_CURRENT_COUNT 0x390 /* R */
#define APIC_TIMER_DIVIDE 0x3e0
#define APIC_TIMER_DIVIDE_1 0x0b
#define APIC_TIMER_HZ_MIN 1000000 /* slower than any real one */

#define PIC1_COMMAND 0x20
#define PIC1_DATA 0x21
#define PIC2_COMMAND 0xa0
#define PIC2_DATA 0xa1
#define PIC_ICW1 0x11 /* edge-triggered, cascaded, ICW4 follows */
#define PIC1_VECTOR 0x20
#define PIC2_VECTOR 0x28
#define PIC_ICW3_CASCADE_ON_2 0x04
#define PIC_ICW3_IDENTITY_2 0x02
#define PIC_ICW4_8086 0x01
#define PIC_MASK_ALL 0xff

#endif
