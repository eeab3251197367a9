/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything outside the guest that its machine is joined to: disks, network ports
 * and entropy, behind one pair of calls for the run loop.
 */
#ifndef KERNEL_GUEST_DEVICES_H
#define KERNEL_GUEST_DEVICES_H

#include "drivers/disk.h"
#include "drivers/net.h"
#include "machine/machine.h"
#include "manage/config.h"

/* This server's devices for the guest, in the order of the roles; NULL where a role has none. */
struct guest_devices {
	struct disk_device *disks[CONFIG_MIRROR_MAX];
	/* Of a role without a disk: why, as one line; "": none was named; NULL: it is to have none. */
	const char *missing[CONFIG_MIRROR_MAX];
	struct net_device *ports[CONFIG_PUBLIC_MAX];
};

/*
 * Joins the guest to `devices` and fills in what the machine has of them: disks with
 * size and serial number, ports with address. Start-up only. NULL, or one line that
 * says why not.
 */
const char *guest_devices_open(const struct guest_devices *devices, const struct config *config,
			       struct machine_config *machine);

/* Power-on of the guest. */
void guest_devices_restart(void);

/* An output of the guest: true when it was one of these devices'. */
bool guest_devices_take(const struct machine_output *output, const struct guest_memory *memory);

/*
 * The next input of these devices; false when there is none. Its data stays until the next call.
 * `patient`: see guest_disk_input().
 */
bool guest_devices_input(struct machine_input *input, bool patient);

/* Can they take all that the guest may ask for in a slice? Else it is not to run now. */
bool guest_devices_have_room(void);

/* Once a loop turn. True when something is under way that the guest waits for. */
bool guest_devices_poll(bool guest_runs);

#endif
