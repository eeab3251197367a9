/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digests of a guest's state, by which two replicas know that they are still one
 * guest, and by which a difference gets a name: every byte of struct machine and
 * struct vcpu_state belongs to a field of a table, and the first field that
 * differs can be told.
 */
#ifndef MACHINE_DIGEST_H
#define MACHINE_DIGEST_H

#include "include/bits.h"
#include "include/vcpu_state.h"

struct machine;

struct machine_digest_field {
	const char *name; /* "lapic.request", "r12" */
	uint32_t offset;  /* bytes in the struct */
	uint32_t size;
};

/* A difference: where, and what `a` and `b` have there (up to 8 bytes, little-endian). */
struct machine_difference {
	const char *field;
	uint32_t offset; /* bytes in the field */
	uint64_t a;
	uint64_t b;
};

/* Hash of `size` bytes going on from `seed`: 64 bits, good at telling things apart, not cryptographic. */
uint64_t digest_bytes(uint64_t seed, const void *bytes, uint64_t size);

/* Digests field by field, for a trail that can name the field later: `digests` has a place for each field. */
const struct machine_digest_field *machine_digest_fields(uint32_t *count);
const struct machine_digest_field *vcpu_digest_fields(uint32_t *count);
void digest_each_field(const void *state, const struct machine_digest_field *fields, uint32_t count,
		       uint64_t *digests);

/* True, with the first difference in field order, when the two differ. */
bool machine_differs(const struct machine *a, const struct machine *b, struct machine_difference *difference);
bool vcpu_differs(const struct vcpu_state *a, const struct vcpu_state *b,
		  struct machine_difference *difference);

#endif
