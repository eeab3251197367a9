/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A digest of the guest at one position, by which two replicas know that they are still
 * one guest: a digest of each register, of each field of the machine and of each page in
 * a window of memory, and one of all these. The window moves on with each check, so that
 * one sweep of checks looks at all memory. The first field that differs can be named.
 */
#ifndef KERNEL_GUEST_DIGEST_H
#define KERNEL_GUEST_DIGEST_H

#include "include/bits.h"
#include "lockstep/trail.h"

#define GUEST_DIGEST_ALL UINT64_MAX /* as number of a check: the window is all of memory */
#define GUEST_DIGEST_NAME_SIZE 48

struct guest;

struct guest_digest {
	uint64_t whole; /* high half: registers; low half: machine and memory */
	uint32_t field_count;
	uint64_t fields[TRAIL_FIELD_MAX];
};

/* Of the guest as it stands, for check number `check`. */
void guest_digest_take(struct guest *guest, uint64_t check, struct guest_digest *digest);

/* Name of the field `index` in `fields` of a digest: "r12", "lapic.request", "memory page 0x3f000". */
void guest_digest_name(const uint64_t *fields, uint32_t index, char name[GUEST_DIGEST_NAME_SIZE]);

#endif
