/* SPDX-License-Identifier: Apache-2.0 */
#include "manage/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "include/assert.h"
#include "manage/unit.h"

void text_init(struct text *text, char *buffer, size_t size)
{
	ASSERT(size > 0);
	text->at = buffer;
	text->size = size;
	text->used = 0;
	text->cut = false;
	buffer[0] = '\0';
}

void text_add(struct text *text, const char *format, ...)
{
	size_t space = text->size - text->used;
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(text->at + text->used, space, format, arguments);
	va_end(arguments);
	ASSERT(length >= 0);
	if ((size_t)length >= space) {
		text->used = text->size - 1;
		text->cut = true;
	} else {
		text->used += (size_t)length;
	}
}

void text_add_bytes(struct text *text, const char *bytes, size_t size)
{
	size_t space = text->size - 1 - text->used;

	if (size > space) {
		size = space;
		text->cut = true;
	}
	memcpy(text->at + text->used, bytes, size);
	text->used += size;
	text->at[text->used] = '\0';
}

void text_pad(struct text *text, size_t column)
{
	size_t line = text->used;

	while (line > 0 && text->at[line - 1] != '\n')
		line--;
	while (text->used - line < column && !text->cut)
		text_add_bytes(text, " ", 1);
}

void text_add_json(struct text *text, const char *string)
{
	text_add_bytes(text, "\"", 1);
	for (; *string != '\0'; string++) {
		unsigned char byte = (unsigned char)*string;

		if (byte == '"' || byte == '\\')
			text_add(text, "\\%c", byte);
		else if (byte < 0x20 || byte >= 0x7f)
			text_add(text, "\\u%04x", byte);
		else
			text_add_bytes(text, string, 1);
	}
	text_add_bytes(text, "\"", 1);
}

/* Adds `value` in the largest unit of `units` that divides it. */
static void add_in_units(struct text *text, uint64_t value, const struct unit *units, size_t unit_count)
{
	const struct unit *best = NULL;

	for (size_t i = 0; i < unit_count; i++)
		if (value != 0 && value % units[i].factor == 0 && (!best || units[i].factor > best->factor))
			best = &units[i];
	if (best)
		text_add(text, "%lu%s", value / best->factor, best->name);
	else
		text_add(text, "%lu", value);
}

void text_add_size(struct text *text, uint64_t size)
{
	add_in_units(text, size, size_units, size_unit_count);
}

void text_add_duration(struct text *text, uint64_t duration_ns)
{
	add_in_units(text, duration_ns, duration_units, duration_unit_count);
}

void text_add_elapsed(struct text *text, uint64_t elapsed_ns)
{
	uint64_t seconds = elapsed_ns / UINT64_C(1000000000);

	if (seconds < 60)
		text_add(text, "%lus", seconds);
	else if (seconds < 3600)
		text_add(text, "%lumin %lus", seconds / 60, seconds % 60);
	else if (seconds < 86400)
		text_add(text, "%luh %lumin", seconds / 3600, seconds / 60 % 60);
	else
		text_add(text, "%lud %luh", seconds / 86400, seconds / 3600 % 24);
}

void text_copy(char *to, size_t size, const char *from)
{
	struct text text;

	text_init(&text, to, size);
	text_add(&text, "%s", from);
}
