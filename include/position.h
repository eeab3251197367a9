/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A point in the guest's instruction stream. Two runs of the same guest that are at
 * equal positions have equal states.
 *
 * `exits` counts synchronous exits. `steps` counts units of the step counter since the
 * last of them; it restarts there, so that an error of the counter could not pile up
 * unseen. RIP, and RCX for the inside
 * of a REP string, are a check: they follow from the other two.
 */
#ifndef INCLUDE_POSITION_H
#define INCLUDE_POSITION_H

#include "include/bits.h"

struct position {
	uint64_t exits;
	uint64_t steps;
	uint64_t rip;
	uint64_t rcx;
};

BUILD_ASSERT(sizeof(struct position) == 32);

/* Below 0: a is before b; 0: the same place; above 0: behind. The checks are not looked at. */
static inline int position_compare(const struct position *a, const struct position *b)
{
	if (a->exits != b->exits)
		return a->exits < b->exits ? -1 : 1;
	if (a->steps != b->steps)
		return a->steps < b->steps ? -1 : 1;
	return 0;
}

/* The same place, and the same guest? */
static inline bool position_equal(const struct position *a, const struct position *b)
{
	return a->exits == b->exits && a->steps == b->steps && a->rip == b->rip && a->rcx == b->rcx;
}

#endif
