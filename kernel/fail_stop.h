/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a server whose own invariant is broken: why, registers, backtrace
 * and the last trace lines go to the serial port; then it halts for good, and the
 * other server takes over. On the bench, with `debug_exit` on the boot command
 * line, it ends QEMU instead (kernel/debug_exit.h).
 */
#ifndef KERNEL_FAIL_STOP_H
#define KERNEL_FAIL_STOP_H

#include "kernel/trap.h"

/* For a trap that nobody answers. */
_Noreturn void fail_stop_trap(const struct trap_frame *frame);

/* For what is no ASSERT and no trap: hardware that reported an uncorrected error. */
_Noreturn void fail_stop(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Registers and backtrace of `frame`, and the last trace lines, without stopping. */
void fail_stop_dump(const struct trap_frame *frame);

#endif
