/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why the guest stopped, in one form for every kind of processor: what kernel/svm
 * (later kernel/vmx) makes of a hardware exit, and all that the run loop sees.
 *
 * A *synchronous* exit is caused by the guest's own instruction stream: it happens
 * at the same place in every run and counts in `struct position`. An *asynchronous*
 * one (end of a slice, NMI of the server) may happen anywhere and leaves no trace.
 */
#ifndef INCLUDE_VCPU_EXIT_H
#define INCLUDE_VCPU_EXIT_H

#include "include/bits.h"

enum vcpu_exit_kind {
	/* asynchronous */
	VCPU_EXIT_SLICE_END,  /* the slice timer, or any other interrupt of the server */
	VCPU_EXIT_SERVER_NMI, /* an NMI of the server; pending still */
	VCPU_EXIT_SERVER_INIT,

	/* synchronous; the instruction has not been executed, RIP is at it */
	VCPU_EXIT_CPUID,
	VCPU_EXIT_TSC, /* RDTSC, RDTSCP: see .tsc */
	VCPU_EXIT_RDPMC,
	VCPU_EXIT_PORT,
	VCPU_EXIT_MSR,
	VCPU_EXIT_CR, /* write of a control register */
	VCPU_EXIT_XSETBV,
	VCPU_EXIT_HLT,
	VCPU_EXIT_CACHE,      /* INVD, WBINVD: nothing to do but move on */
	VCPU_EXIT_HYPERCALL,  /* VMMCALL */
	VCPU_EXIT_UNDEFINED,  /* an instruction that the virtual server does not have: #UD */
	VCPU_EXIT_MEMORY,     /* guest-physical address without memory: see .memory */
	VCPU_EXIT_NMI_RETURN, /* IRET while NMIs are blocked and one waits */
	VCPU_EXIT_WINDOW,     /* the interrupt on offer can be taken now: no instruction is meant */

	/* synchronous ends of the guest */
	VCPU_EXIT_SHUTDOWN, /* triple fault */
	VCPU_EXIT_INVALID,  /* the processor refuses the guest's state: see .invalid */

	VCPU_EXIT_KIND_COUNT,
};

static inline bool vcpu_exit_is_asynchronous(uint32_t kind)
{
	return kind <= VCPU_EXIT_SERVER_INIT;
}

struct vcpu_exit {
	uint32_t kind;		   /* enum vcpu_exit_kind */
	uint32_t instruction_size; /* bytes, prefixes included; 0: not known (MEMORY, asynchronous) */
	uint64_t steps;		   /* units that the guest retired in this run: kernel/step_counter.h */
	union {
		struct {
			uint16_t port;
			uint8_t size; /* bytes: 1, 2 or 4 */
			uint8_t is_in;
			uint8_t is_string; /* INS, OUTS */
		} port;
		struct {
			uint32_t number;
			uint8_t is_write;
			uint64_t value; /* written */
		} msr;
		struct {
			uint32_t number; /* 0, 4 or 8; a read: 4 */
			uint8_t is_read;
			uint8_t gpr;	/* read: where the value goes, enum vcpu_gpr */
			uint64_t value; /* written */
		} cr;
		struct {
			uint32_t number;
			uint64_t value;
		} xsetbv;
		struct {
			uint8_t is_rdtscp;
		} tsc;
		struct {
			uint64_t gpa;
			uint8_t is_write;
			uint8_t is_fetch;
			uint8_t is_table_walk;	   /* the guest's page table itself lies there */
			uint8_t is_event_delivery; /* stack or descriptor table of an event lies there */
		} memory;
		struct {
			uint64_t code; /* the processor's own exit code and information */
			uint64_t information[2];
		} invalid;
	};
};

/* "cpuid", "port" ...: for statistics and traces. In kernel/vcpu.c. */
const char *vcpu_exit_name(uint32_t kind);

#endif
