/* SPDX-License-Identifier: Apache-2.0 */
/* What the network drivers have in common. For them only; others see net.h. */
#ifndef DRIVERS_NET_DRIVER_H
#define DRIVERS_NET_DRIVER_H

#include <errno.h>

#include "drivers/net.h"
#include "include/assert.h"
#include "kernel/time.h"

/*
 * The device broke its contract: cuts it off from memory, marks it failed, counts
 * and tells `what` it did. Returns -EIO. Only reset and open bring it back.
 */
int net_device_fault(struct net_device *device, const char *what);

/* Can the port be opened like this, given buffers for frames up to `buffer_max` (0: none yet)? */
int net_check_options(const struct net_device *device, const struct net_open *options, uint32_t buffer_max);

/* Can a frame of `size` bytes be put in? 0, or as transmit_reserve() says; not whether there is room. */
static inline int net_check_transmit(const struct net_device *device, uint32_t size)
{
	if (!device->opened || device->failed)
		return -ENETDOWN;
	if (size < NET_FRAME_SIZE_MIN || size > device->options.frame_size_max)
		return -EMSGSIZE;
	return 0;
}

/* Resets the device and waits for it; for probe. Returns 0 or -ETIMEDOUT. */
int net_await_reset(struct net_device *device);

/* May this be a port's own address: a unicast one, and not all zeros? */
bool net_mac_is_valid(const uint8_t mac[NET_MAC_SIZE]);

/*
 * Finds a device that has stopped sending. The clock is read only when polls
 * come back empty again and again, so that it costs nothing while things go well.
 */
#define NET_WATCHDOG_POLLS 256

struct net_watchdog {
	uint32_t empty_polls;
	uint64_t deadline_ns; /* 0: not running */
};

static inline void net_watchdog_rest(struct net_watchdog *watchdog)
{
	watchdog->empty_polls = 0;
	watchdog->deadline_ns = 0;
}

/* A poll found nothing although frames are under way: true when it has been so for too long. */
static inline bool net_watchdog_bark(struct net_watchdog *watchdog)
{
	if (++watchdog->empty_polls < NET_WATCHDOG_POLLS)
		return false;
	watchdog->empty_polls = 0;
	if (watchdog->deadline_ns != 0)
		return time_reached(watchdog->deadline_ns);
	watchdog->deadline_ns = time_now_ns() + NET_TRANSMIT_TIMEOUT_MS * NS_PER_MS;
	return false;
}

#endif
