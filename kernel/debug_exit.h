/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's isa-debug-exit at port 0xf4: with `debug_exit` on the boot command line
 * a server's end is QEMU's end, and value v becomes QEMU's exit status 2v + 1.
 */
#ifndef KERNEL_DEBUG_EXIT_H
#define KERNEL_DEBUG_EXIT_H

enum debug_exit_value {
	DEBUG_EXIT_SUCCESS = 0,	  /* status 1: a self-test passed, or the server was switched off */
	DEBUG_EXIT_FAILURE = 1,	  /* status 3: a self-test failed */
	DEBUG_EXIT_FAIL_STOP = 2, /* status 5 */
	DEBUG_EXIT_REFUSED = 3,	  /* status 7: no such self-test, or a start-up that was refused */
};

/* Switched on by the boot option; off, debug_exit() does nothing. */
void debug_exit_enable(void);
void debug_exit(enum debug_exit_value value);

#endif
