/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processor's local APIC, as memory at 0xfee00000 and as x2APIC MSRs. Its
 * identifier is 0; it is the only one.
 */
#ifndef MACHINE_LAPIC_H
#define MACHINE_LAPIC_H

#include "include/bits.h"

struct machine;

#define MACHINE_LAPIC_BASE UINT64_C(0xfee00000)
#define MACHINE_LAPIC_SIZE UINT64_C(0x1000)
#define MACHINE_LAPIC_TIMER_HZ UINT64_C(1000000000) /* before the divider */

enum machine_lapic_lvt {
	MACHINE_LAPIC_LVT_TIMER,
	MACHINE_LAPIC_LVT_THERMAL,
	MACHINE_LAPIC_LVT_PERFORMANCE,
	MACHINE_LAPIC_LVT_LINT0,
	MACHINE_LAPIC_LVT_LINT1,
	MACHINE_LAPIC_LVT_ERROR,
	MACHINE_LAPIC_LVT_COUNT,
};

/* Delivery modes of interrupt messages (APM 2, 16.5). */
enum machine_delivery_mode {
	MACHINE_DELIVERY_FIXED = 0,
	MACHINE_DELIVERY_LOWEST = 1,
	MACHINE_DELIVERY_SMI = 2,
	MACHINE_DELIVERY_NMI = 4,
	MACHINE_DELIVERY_INIT = 5,
	MACHINE_DELIVERY_STARTUP = 6,
	MACHINE_DELIVERY_EXTERNAL = 7,
};

struct machine_lapic {
	uint64_t base_msr;
	uint64_t timer_start_ns;
	uint64_t timer_deadline_ns; /* MACHINE_NO_DEADLINE: not armed */
	uint64_t tsc_deadline;	    /* the MSR; 0: not armed */
	uint32_t id;		    /* register 0x20; what the guest wrote there in xAPIC mode */
	uint32_t logical_destination;
	uint32_t destination_format;
	uint32_t spurious;
	uint32_t error_status;	/* as read */
	uint32_t error_pending; /* since the last write to the register */
	uint32_t command_low;
	uint32_t command_high;
	uint32_t timer_initial;
	uint32_t timer_divide;
	uint32_t lvt[MACHINE_LAPIC_LVT_COUNT];
	uint32_t in_service[8];	   /* bit of each vector */
	uint32_t trigger_level[8]; /* TMR */
	uint32_t request[8];
	uint8_t task_priority;
	uint8_t nmi_pending;
	uint8_t reserved[6];
};

void machine_lapic_reset(struct machine *machine);

/* Registers by offset from the base, 0..0xfff, 32 bits. */
uint32_t machine_lapic_read(struct machine *machine, uint32_t offset);
void machine_lapic_write(struct machine *machine, uint32_t offset, uint32_t value);

/* MSRs 0x1b, 0x6e0 and 0x800..0x8ff; false: #GP. */
bool machine_lapic_msr_read(struct machine *machine, uint32_t msr, uint64_t *value);
bool machine_lapic_msr_write(struct machine *machine, uint32_t msr, uint64_t value);

/* A write to that MSR, which is most that a guest does to any. False: not done, a #GP of machine_lapic_msr_write(). */
#define MACHINE_LAPIC_MSR_END_OF_INTERRUPT UINT32_C(0x80b)
bool machine_lapic_msr_ends_interrupt(struct machine *machine, uint64_t value);

/* Does `gpa` lie in the register page as it is mapped now? */
bool machine_lapic_claims(const struct machine *machine, uint64_t gpa);

/* Does a register at `offset` depend on the time? */
bool machine_lapic_reads_time(uint32_t offset, bool is_write);

/* An interrupt message (MSI, I/O APIC): `destination` is 8 bits, physical or logical. */
void machine_lapic_message(struct machine *machine, uint32_t destination, bool is_logical,
			   enum machine_delivery_mode mode, uint8_t vector, bool is_level);

/* The vector that wants to be taken, in `vector`. */
bool machine_lapic_pending(const struct machine *machine, uint8_t *vector);
void machine_lapic_acknowledge(struct machine *machine, uint8_t vector);

/* Do the 8259s' interrupts reach the processor (virtual wire, or the APIC off)? */
bool machine_lapic_accepts_external(const struct machine *machine);

void machine_lapic_time_set(struct machine *machine);
uint64_t machine_lapic_deadline_ns(const struct machine *machine);

#endif
