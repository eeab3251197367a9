/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers that nobody else draws: identities of pairs and mirror sets, tokens of eras.
 * Not secret.
 */
#ifndef KERNEL_UNIQUE_H
#define KERNEL_UNIQUE_H

#include "include/bits.h"

/* Start-up, once, when the network ports are known: reads the battery-backed clock. */
void unique_init(void);

/* Never 0, and never the same twice. */
uint64_t unique_number(void);

#endif
