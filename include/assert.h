/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ASSERT: a broken invariant of our own. It stops this server at once and says
 * why, in release builds too: the other server takes over, and that is the
 * product working. Never for anything the guest, a device or the peer can cause.
 */
#ifndef INCLUDE_ASSERT_H
#define INCLUDE_ASSERT_H

/*
 * Stops this server: prints `expression` with its place, registers, backtrace
 * and the last trace lines, and never returns. May be called anywhere, also in
 * a trap. kernel/fail_stop.c in the hypervisor; the host's test library aborts.
 */
_Noreturn void assert_failed(const char *expression, const char *file, int line);

#define ASSERT(expression) ((expression) ? (void)0 : assert_failed(#expression, __FILE__, __LINE__))

#endif
