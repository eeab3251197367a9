/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trace: one line per state change, kept in a ring that a fail-stop prints and
 * shown on the console from a file's level up. Each .c that traces begins with
 *
 *     TRACE_FILE("pci", TRACE_INFO);
 *
 * which names its category and its level at start. Levels change while running
 * (console command `trace`), per category or per file. A line never carries a
 * newline of its own. Traces are for people: nothing reads them back.
 */
#ifndef INCLUDE_TRACE_H
#define INCLUDE_TRACE_H

#include <stdint.h>

enum trace_level {
	TRACE_ERROR,   /* something failed: a person should know */
	TRACE_WARNING, /* odd, survived */
	TRACE_INFO,    /* state changes worth a line in normal use */
	TRACE_DEBUG,   /* every step */
};

struct trace_file {
	const char *name;     /* source file without its folder */
	const char *category; /* lower-case word: "boot", "pci", "net" ... */
	uint64_t level;	      /* enum trace_level; lines above it are dropped */
};

/* The linker (kernel/linker.ld; on the host ld's own symbols) gathers these into one table. */
#define TRACE_FILE(category_, level_)                                                                        \
	static struct trace_file trace_file __attribute__((section("trace_files"), used, aligned(8))) = {    \
		.name = __FILE_NAME__, .category = (category_), .level = (level_)                            \
	}

#define trace(level_, ...)                                                                                   \
	((int)(level_) <= (int)trace_file.level ? trace_write(&trace_file, (level_), __VA_ARGS__) : (void)0)

/*
 * Returns `code` unchanged and traces where it arose: `return trace_error(-EIO);`
 * marks the place at which an error enters, not each place that hands it on.
 */
#define trace_error(code_) trace_error_at(&trace_file, (code_), __func__, __LINE__)

void trace_write(const struct trace_file *file, enum trace_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int trace_error_at(const struct trace_file *file, int code, const char *function, int line);

#endif
