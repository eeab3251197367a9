/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fuzz target is one file fuzz_NAME.c with one function, that hands an input to
 * the code and checks what must hold for every input. It is linked twice:
 *
 *   with run_seeded.c   100,000 inputs from a printed seed, in `make check`
 *   with libFuzzer      coverage-guided, in `make fuzz FUZZ_SECONDS=n`
 *
 * Both begin with the files of tests/fuzz/corpus/NAME/. What `make fuzz` finds
 * new is kept there when a person thinks it worth it; a crash always is.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The target. Returns 0. `data` has exactly `size` bytes: reading more is found. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*
 * Tells what became of an input: each is accepted or refused with a reason. A
 * seeded run in which nearly all were accepted, or nearly all refused, fails: it
 * tested little.
 */
void fuzz_verdict(bool accepted);

/* Ends the run when `condition` does not hold, with the input saved. */
#define FUZZ_CHECK(condition) ((condition) ? (void)0 : fuzz_check_failed(#condition, __FILE__, __LINE__))
_Noreturn void fuzz_check_failed(const char *condition, const char *file, int line);

/* Inputs accepted and refused so far. */
extern uint64_t fuzz_accepted_count;
extern uint64_t fuzz_refused_count;

#endif
