/* SPDX-License-Identifier: Apache-2.0 */
/* "Did you mean ...": the known word that a mistyped one is nearest to. */
#ifndef MANAGE_NEAREST_H
#define MANAGE_NEAREST_H

#include "include/bits.h"

#define NEAREST_WORD_SIZE_MAX 32 /* longer words are near to nothing */

/*
 * How many characters must be inserted, dropped, replaced or swapped with their
 * neighbour to make `known` out of [word, word + size). UINT32_MAX when either is
 * longer than NEAREST_WORD_SIZE_MAX.
 */
uint32_t word_distance(const char *word, size_t size, const char *known);

/* Is `distance` small enough, for a word of `size` characters, to suggest it to a person? */
bool word_is_near(uint32_t distance, size_t size);

#endif
