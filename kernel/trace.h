/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hypervisor's side of include/trace.h: levels that change while running,
 * and the ring's last lines for a fail-stop and for the console.
 */
#ifndef KERNEL_TRACE_H
#define KERNEL_TRACE_H

#include "include/bits.h"
#include "include/trace.h"

/* From now on lines carry this letter ('a' or 'b'). */
void trace_set_server(char server);

/*
 * Sets the level of every file of category `name`, or of the one file `name`
 * ("pci.c"), or of all ("all"). Returns how many files that is; 0: no such name.
 */
uint32_t trace_set_level(const char *name, enum trace_level level);

/* The index-th file that traces, or NULL behind the last. For the console's list. */
const struct trace_file *trace_file_at(uint32_t index);

/* "error", "warning", "info", "debug". */
const char *trace_level_name(uint64_t level);

/* Hands the newest `line_max` lines, oldest first, to `put`, without newline. */
void trace_show_last(uint64_t line_max, void (*put)(const char *line));

#endif
