/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memcpy and memmove, in place of Newlib's, which take a byte at a time wherever one of
 * both ends is not at a multiple of 8, five instructions for each: and that is where
 * frames, log records and what a disk holds nearly always are. Processors do not mind.
 */
#include <string.h>

#include "include/bits.h"

#define WORD sizeof(uint64_t)

/* 64 bits at any address. */
typedef uint64_t __attribute__((aligned(1), may_alias)) unaligned_u64;

static uint64_t load(const uint8_t *at)
{
	return *(const unaligned_u64 *)at;
}

static void store(uint8_t *at, uint64_t word)
{
	*(unaligned_u64 *)at = word;
}

/* From the lowest address on. The last word is read first and overlaps the one before it. */
static void copy_upwards(uint8_t *to, const uint8_t *from, size_t size)
{
	uint8_t *end = to + size;
	uint64_t count = size / WORD;
	uint64_t last;

	if (count == 0) {
		while (to < end)
			*to++ = *from++;
		return;
	}
	last = load(from + size - WORD);
	__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
	store(end - WORD, last);
}

static void copy_downwards(uint8_t *to, const uint8_t *from, size_t size)
{
	for (; size >= WORD; size -= WORD)
		store(to + size - WORD, load(from + size - WORD));
	for (; size > 0; size--)
		to[size - 1] = from[size - 1];
}

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
	copy_upwards(to, from, size);
	return to;
}

void *memmove(void *to, const void *from, size_t size)
{
	if ((uintptr_t)to - (uintptr_t)from < size)
		copy_downwards(to, from, size);
	else
		copy_upwards(to, from, size);
	return to;
}
