/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/host/trail.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

char trail[2048];

void note(const char *format, ...)
{
	size_t at = strlen(trail);
	va_list list;

	va_start(list, format);
	vsnprintf(trail + at, sizeof(trail) - at, format, list);
	va_end(list);
}
