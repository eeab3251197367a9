/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Machine checks: what the processor found wrong with itself or with memory.
 * Corrected errors are polled, traced and counted; an uncorrected one raises #MC,
 * is told, and stops this server: the other one takes over.
 */
#ifndef KERNEL_MCE_H
#define KERNEL_MCE_H

#include "include/bits.h"

/*
 * Tells and clears what the banks hold from before (a reset keeps them), switches
 * reporting on and CR4.MCE with it. Returns the number of banks; 0: none here.
 */
uint32_t mce_init(void);

/* Tells and clears corrected errors since the last call; returns how many. Called about once a second. */
uint32_t mce_poll(void);

/* Errors seen since start-up, those from before it included. */
uint64_t mce_error_count(void);

#endif
