/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Newlib's string and formatting functions want from below: a heap (there
 * is none after start-up, and integer formatting never asks for one) and the
 * plain names of the integer-only printf family.
 */
#include <malloc.h>
#include <reent.h>
#include <stdarg.h>
#include <stdio.h>

#include "include/assert.h"

void *_malloc_r(struct _reent *reent, size_t size)
{
	(void)reent;
	(void)size;
	return NULL;
}

void *_realloc_r(struct _reent *reent, void *block, size_t size)
{
	(void)reent;
	(void)block;
	(void)size;
	return NULL;
}

void _free_r(struct _reent *reent, void *block)
{
	(void)reent;
	ASSERT(block == NULL);
}

int vsnprintf(char *text, size_t size, const char *format, va_list arguments)
{
	return vsniprintf(text, size, format, arguments);
}

int snprintf(char *text, size_t size, const char *format, ...)
{
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsniprintf(text, size, format, arguments);
	va_end(arguments);
	return length;
}
