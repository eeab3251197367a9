/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's battery-backed clock: what day it is. Read once, and taken as UTC.
 * Nothing that must be right hangs on it: it may be set back, or stand still.
 */
#ifndef KERNEL_RTC_H
#define KERNEL_RTC_H

#include "include/bits.h"

/* Seconds since 1970 by now; 0 when the clock gives no date. The first call, at start-up, may wait a few milliseconds. */
uint64_t rtc_now_s(void);

#endif
