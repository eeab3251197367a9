/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The units in which people give sizes and times: 256M, 100ms. The same table is
 * read from and written with, so that what is printed can be typed in again.
 */
#ifndef MANAGE_UNIT_H
#define MANAGE_UNIT_H

#include "include/bits.h"

struct unit {
	const char *name;
	uint64_t factor; /* bytes, or nanoseconds */
};

extern const struct unit size_units[];
extern const size_t size_unit_count;
extern const struct unit duration_units[];
extern const size_t duration_unit_count;

/*
 * Reads a number of decimal digits followed by exactly one of `units` (or by
 * nothing, when `bare_allowed`) out of all of [at, at + size). False for anything
 * else, also when the product does not fit.
 */
bool unit_parse(const char *at, size_t size, const struct unit *units, size_t unit_count, bool bare_allowed,
		uint64_t *value);

#endif
