/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's battery-backed clock, read at start-up: what day it is. Taken as UTC.
 * Nothing that must be right hangs on it: it may be set back, or stand still.
 */
#ifndef KERNEL_RTC_H
#define KERNEL_RTC_H

#include "include/bits.h"

/* Seconds since 1970; 0 when the clock gives no date. Start-up only: may wait a few milliseconds. */
uint64_t rtc_read_s(void);

#endif
