/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text of bounded size: everything that manage/ says is written through this.
 * A struct text is a view of somebody's buffer for the length of one call; it is
 * never kept. What does not fit is left out and `cut` tells so; the buffer is
 * NUL-terminated at every moment.
 */
#ifndef MANAGE_TEXT_H
#define MANAGE_TEXT_H

#include "include/bits.h"

struct text {
	char *at;
	size_t size; /* bytes of the buffer, NUL included; at least 1 */
	size_t used; /* without the NUL */
	bool cut;    /* something did not fit */
};

/* Begins an empty text in `buffer`. */
void text_init(struct text *text, char *buffer, size_t size);

/* Adds what printf would print. */
void text_add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Adds `size` bytes as they are. */
void text_add_bytes(struct text *text, const char *bytes, size_t size);

/* Adds blanks until `column` characters stand behind the last newline. */
void text_pad(struct text *text, size_t column);

/* Adds `string` as a JSON string, quoted and escaped. */
void text_add_json(struct text *text, const char *string);

/* Adds a count of bytes in its largest even unit: 512M, 10G, 1000. */
void text_add_size(struct text *text, uint64_t size);

/* Adds a time in its largest even unit: 100ms, 2s, 1min. */
void text_add_duration(struct text *text, uint64_t duration_ns);

/* Adds how long something has lasted, for people: "59s", "3min 20s", "1h 2min", "3d 4h". */
void text_add_elapsed(struct text *text, uint64_t elapsed_ns);

/* Copies `from` into an array of `size`, cut if it must be, always NUL-terminated. */
void text_copy(char *to, size_t size, const char *from);

#endif
