/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The paths besides the CS links: management and the public ports. The servers say there
 * that they live (beacons), and each asks a station of that network by ARP whether the
 * path works at all: what tells a dead peer from our own cut cable (lockstep/detector.h).
 */
#ifndef KERNEL_PAIR_PATHS_H
#define KERNEL_PAIR_PATHS_H

#include "drivers/net.h"
#include "lockstep/pair.h"
#include "manage/config.h"

#define PAIR_PATH_MANAGEMENT 2 /* as numbered in struct pair_config's `paths` */
#define PAIR_PATH_PUBLIC1 3

BUILD_ASSERT(PAIR_PATH_PUBLIC1 + CONFIG_PUBLIC_MAX <= DETECTOR_PATH_MAX);

struct pair_paths_ports {
	struct net_device *management;		       /* NULL: there is none; opened and kept open here */
	struct net_device *publics[CONFIG_PUBLIC_MAX]; /* the guest's: kernel/guest_net.h keeps them open */
};

/* Start-up only. `config` stays. Returns the bits of the paths that there are. */
uint32_t pair_paths_init(const struct pair_paths_ports *ports, const struct config *config);

/* Once a loop turn: hears, asks and tells for `pair`. True when something came. */
bool pair_paths_poll(struct pair *pair);

/* A frame of public port `index`: true when it was for us and not for the guest. */
bool pair_paths_take(uint32_t index, const struct net_frame *frame);

#endif
