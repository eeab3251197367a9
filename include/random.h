/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers that look random and follow from a seed: xorshift64. For tests of any kind, not for secrets. */
#ifndef INCLUDE_RANDOM_H
#define INCLUDE_RANDOM_H

#include <stdint.h>

/* The next number; `seed` is not 0, and never becomes it. */
static inline uint64_t random_next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* 1 to 2 * mean - 1. */
static inline uint64_t random_around(uint64_t *seed, uint64_t mean)
{
	return 1 + random_next(seed) % (2 * mean - 1);
}

#endif
