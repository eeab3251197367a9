/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trace: a line that its file's level lets through goes into the ring and to the
 * console. The linker gathers each file's struct trace_file into one table.
 */
#include "kernel/trace.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "kernel/console.h"
#include "kernel/time.h"
#include "kernel/trace_ring.h"

extern struct trace_file __start_trace_files[];
extern struct trace_file __stop_trace_files[];

static struct trace_ring ring;
static char own_server = '-';

static const char *const level_names[] = {
	[TRACE_ERROR] = "error",
	[TRACE_WARNING] = "warning",
	[TRACE_INFO] = "info",
	[TRACE_DEBUG] = "debug",
};

void trace_write(const struct trace_file *file, enum trace_level level, const char *format, ...)
{
	char text[TRACE_TEXT_SIZE + 1];
	char shown[TRACE_LINE_SIZE];
	const struct trace_line *line;
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	line = trace_ring_put(&ring, own_server, time_now_ns(), level, file->category, text);
	trace_line_format(line, shown);
	console_line(shown);
}

int trace_error_at(const struct trace_file *file, int code, const char *function, int line)
{
	trace_write(file, TRACE_WARNING, "%s:%d %s: error %d", file->name, line, function, code);
	return code;
}

void trace_set_server(char server)
{
	own_server = server;
}

uint32_t trace_set_level(const char *name, enum trace_level level)
{
	uint32_t count = 0;

	for (struct trace_file *file = __start_trace_files; file < __stop_trace_files; file++) {
		if (strcmp(name, "all") != 0 && strcmp(name, file->category) != 0 &&
		    strcmp(name, file->name) != 0)
			continue;
		file->level = level;
		count++;
	}
	return count;
}

const struct trace_file *trace_file_at(uint32_t index)
{
	return index < (uint64_t)(__stop_trace_files - __start_trace_files) ? &__start_trace_files[index]
									    : NULL;
}

const char *trace_level_name(uint64_t level)
{
	return level < ARRAY_SIZE(level_names) ? level_names[level] : "unknown";
}

void trace_show_last(uint64_t line_max, void (*put)(const char *line))
{
	char shown[TRACE_LINE_SIZE];

	for (uint64_t index = min_u64(line_max, TRACE_RING_LINES); index > 0; index--) {
		const struct trace_line *line = trace_ring_get(&ring, index - 1);

		if (!line)
			continue;
		trace_line_format(line, shown);
		put(shown);
	}
}
