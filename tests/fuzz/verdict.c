/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

uint64_t fuzz_accepted_count;
uint64_t fuzz_refused_count;

void fuzz_verdict(bool accepted)
{
	if (accepted)
		fuzz_accepted_count++;
	else
		fuzz_refused_count++;
}

_Noreturn void fuzz_check_failed(const char *condition, const char *file, int line)
{
	fprintf(stderr, "%s:%d: FUZZ_CHECK(%s) failed\n", file, line, condition);
	abort();
}
