/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers that nobody else draws: identities of pairs and mirror sets, tokens of eras.
 * Not secret.
 */
#ifndef KERNEL_UNIQUE_H
#define KERNEL_UNIQUE_H

#include "include/bits.h"

/* Start-up, when the network ports are known. `now_s`: the server's battery-backed clock. */
void unique_init(uint64_t now_s);

/* Never 0, and never the same twice. */
uint64_t unique_number(void);

#endif
