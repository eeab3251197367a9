/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's context: all that makes it but its memory, as one flat piece of bytes.
 * A join sends it behind the last pages, a snapshot writes it before the first. Memory
 * and context of one position, loaded into a server of the same build, are that guest.
 *
 * It is good for the very build that made it: `layout` is a digest of where each field
 * of struct machine and struct vcpu_state lies, so that no version needs to be counted.
 *
 *     sender      fill in, guest_context_seal()
 *     receiver    guest_context_check(), then use it
 */
#ifndef MACHINE_CONTEXT_H
#define MACHINE_CONTEXT_H

#include "include/bits.h"
#include "include/vcpu_state.h"
#include "machine/machine.h"

#define GUEST_CONTEXT_MAGIC UINT64_C(0x74787443656b6f59) /* "YokeCtxt" */
#define GUEST_CONTEXT_VERSION 1

struct guest_context {
	/* Filled in by guest_context_seal(). */
	uint64_t magic;
	uint32_t version;
	uint32_t checksum; /* CRC-32C of all behind it */
	uint64_t size;	   /* bytes of all this */
	uint64_t layout;   /* guest_context_layout() */

	/* Where the guest is: include/position.h. */
	uint64_t exits;
	uint64_t steps;
	uint64_t steps_total; /* since power-on */
	uint64_t check_count; /* digests taken so far, and when the next is due */
	uint64_t check_next_ns;

	/* What of the processor is between two runs and not in vcpu_state: kernel/vcpu.h, kernel/guest.h. */
	uint8_t interrupt_offered;
	uint8_t interrupt_vector;
	uint8_t task_priority;
	uint8_t nmi_return_watched;
	uint8_t nmi_returns;
	uint8_t input_here;
	uint8_t state; /* kernel/guest.h: enum guest_state */
	uint8_t date_owed;
	uint64_t restarts;     /* by the failure policy */
	uint64_t outputs;      /* kernel/guest_output.h: that it has made */
	uint8_t reserved2[32]; /* 0 */

	struct vcpu_state vcpu;
	struct machine machine;
};

BUILD_ASSERT(offsetof(struct guest_context, vcpu) == 128);
BUILD_ASSERT(offsetof(struct guest_context, machine) == 128 + sizeof(struct vcpu_state));

/* Depends on this build alone. */
uint64_t guest_context_layout(void);

/* Zero it before filling it in: every byte counts. */
void guest_context_seal(struct guest_context *context);

/*
 * NULL when `bytes` hold a sealed context of this build for a machine of `config`; else
 * one line that names what is wrong. `bytes` is aligned as a struct guest_context.
 */
const char *guest_context_check(const void *bytes, uint64_t size, const struct machine_config *config);

/* The first thing in which two configurations differ, in words for people; NULL: none. */
const char *machine_config_difference(const struct machine_config *a, const struct machine_config *b);

#endif
