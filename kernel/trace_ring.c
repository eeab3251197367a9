/* SPDX-License-Identifier: Apache-2.0 */
/* The ring of the last trace lines: fixed slots, so that a torn write spoils one line only. */
#include "kernel/trace_ring.h"

#include <stdio.h>
#include <string.h>

BUILD_ASSERT((TRACE_RING_LINES & (TRACE_RING_LINES - 1)) == 0);
BUILD_ASSERT(sizeof(struct trace_line) == 184);

const struct trace_line *trace_ring_put(struct trace_ring *ring, char server, uint64_t time_ns,
					enum trace_level level, const char *category, const char *text)
{
	struct trace_line *line = &ring->lines[ring->count % TRACE_RING_LINES];
	size_t length = strnlen(text, TRACE_TEXT_SIZE);

	line->time_ns = time_ns;
	line->server = server;
	line->level = (uint8_t)level;
	snprintf(line->category, sizeof(line->category), "%s", category);
	if (length == TRACE_TEXT_SIZE) {
		length = TRACE_TEXT_SIZE - 1;
		memcpy(line->text, text, length - 3);
		memcpy(line->text + length - 3, "...", 3);
	} else {
		memcpy(line->text, text, length);
	}
	line->text[length] = '\0';
	for (size_t i = 0; i < length; i++)
		if (line->text[i] == '\n' || line->text[i] == '\r')
			line->text[i] = ' ';
	ring->count++;
	return line;
}

const struct trace_line *trace_ring_get(const struct trace_ring *ring, uint64_t index)
{
	if (index >= ring->count || index >= TRACE_RING_LINES)
		return NULL;
	return &ring->lines[(ring->count - 1 - index) % TRACE_RING_LINES];
}

void trace_line_format(const struct trace_line *line, char text[TRACE_LINE_SIZE])
{
	static const char level_letters[] = "EWID";
	uint64_t time_us = line->time_ns / 1000;

	snprintf(text, TRACE_LINE_SIZE, "%07lu.%06lu %c %c %-8s %s", (unsigned long)(time_us / 1000000),
		 (unsigned long)(time_us % 1000000), line->server,
		 line->level < 4 ? level_letters[line->level] : '?', line->category, line->text);
}
