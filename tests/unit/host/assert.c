/* SPDX-License-Identifier: Apache-2.0 */
/* A broken invariant on the host ends the test program with its place. */
#include "include/assert.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void assert_failed(const char *expression, const char *file, int line)
{
	fprintf(stderr, "%s:%d: ASSERT(%s) failed\n", file, line, expression);
	abort();
}
