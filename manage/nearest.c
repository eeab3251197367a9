/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The optimal string alignment distance: Levenshtein's, with a swap of two
 * neighbours counting one. Three rows of the usual table are enough.
 */
#include "manage/nearest.h"

#include <string.h>

static uint32_t min3(uint32_t a, uint32_t b, uint32_t c)
{
	uint32_t least = a < b ? a : b;

	return least < c ? least : c;
}

uint32_t word_distance(const char *word, size_t size, const char *known)
{
	uint32_t rows[3][NEAREST_WORD_SIZE_MAX + 1];
	size_t known_size = strlen(known);

	if (size > NEAREST_WORD_SIZE_MAX || known_size > NEAREST_WORD_SIZE_MAX)
		return UINT32_MAX;
	for (uint32_t j = 0; j <= known_size; j++)
		rows[0][j] = j;
	for (uint32_t i = 1; i <= size; i++) {
		const uint32_t *before = rows[(i - 1) % 3];
		uint32_t *row = rows[i % 3];

		row[0] = i;
		for (uint32_t j = 1; j <= known_size; j++) {
			uint32_t change = word[i - 1] == known[j - 1] ? 0 : 1;

			row[j] = min3(before[j] + 1, row[j - 1] + 1, before[j - 1] + change);
			if (i > 1 && j > 1 && word[i - 1] == known[j - 2] && word[i - 2] == known[j - 1])
				row[j] = min3(row[j], rows[(i - 2) % 3][j - 2] + 1, UINT32_MAX);
		}
	}
	return rows[size % 3][known_size];
}

bool word_is_near(uint32_t distance, size_t size)
{
	return distance <= 1 + size / 4 && distance < size;
}
