/* SPDX-License-Identifier: Apache-2.0 */
/* Trace on the host: lines go to standard error when YOKE_TRACE is set. */
#include "include/trace.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void trace_write(const struct trace_file *file, enum trace_level level, const char *format, ...)
{
	va_list arguments;

	if (!getenv("YOKE_TRACE"))
		return;
	fprintf(stderr, "%-8s %d ", file->category, (int)level);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}

int trace_error_at(const struct trace_file *file, int code, const char *function, int line)
{
	trace_write(file, TRACE_DEBUG, "%s:%d: error %d", function, line, code);
	return code;
}
