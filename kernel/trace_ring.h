/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last trace lines, oldest overwritten first; what a fail-stop prints. Pure
 * and pointer-free: also compiled for the host, and readable from a memory dump.
 */
#ifndef KERNEL_TRACE_RING_H
#define KERNEL_TRACE_RING_H

#include "include/bits.h"
#include "include/trace.h"

#define TRACE_RING_LINES 1024
#define TRACE_CATEGORY_SIZE 9
#define TRACE_TEXT_SIZE 159 /* longer lines are cut, and end in "..." */
#define TRACE_LINE_SIZE (TRACE_TEXT_SIZE + 64)

struct trace_line {
	uint64_t time_ns;
	uint8_t level; /* enum trace_level */
	char category[TRACE_CATEGORY_SIZE];
	char text[TRACE_TEXT_SIZE];
	char server; /* 'a', 'b'; '-' while the server does not know */
};

struct trace_ring {
	uint64_t count; /* lines ever put in; line i is lines[i % TRACE_RING_LINES] */
	struct trace_line lines[TRACE_RING_LINES];
};

/* Puts a line in; newlines in `text` become spaces. `text` may be any length. */
const struct trace_line *trace_ring_put(struct trace_ring *ring, char server, uint64_t time_ns,
					enum trace_level level, const char *category, const char *text);

/* The index-th newest line, 0 the newest; NULL when the ring does not go back so far. */
const struct trace_line *trace_ring_get(const struct trace_ring *ring, uint64_t index);

/*
 * Writes a line in fixed columns, which sort by time when two servers' lines are
 * merged: seconds since power-on, server, level, category, text; no newline.
 *
 *     0000012.345678 a I pci      00:03.0 8086:100e
 */
void trace_line_format(const struct trace_line *line, char text[TRACE_LINE_SIZE]);

#endif
