/* SPDX-License-Identifier: Apache-2.0 */
/* Names of the image's functions, from the table that symbols.py links in. */
#ifndef KERNEL_SYMBOLS_H
#define KERNEL_SYMBOLS_H

#include "include/bits.h"

/*
 * The function that `address` lies in, and how far: NULL when it is not in the
 * image's code. May be called anywhere, also in a fail-stop.
 */
const char *symbol_find(uint64_t address, uint64_t *offset);

#endif
