/* SPDX-License-Identifier: Apache-2.0 */
/*
 * This server's mirror sets as a service of the main loop: mirror/engine.h joined to
 * the state partition and to who does requests on the disks (kernel/guest_disk.h). What
 * the pair remembers (struct metadata_pair, the eras) is in the engine's record too.
 *
 * A server that belongs to no pair, and is to belong to none, keeps nothing: its state
 * partition, if there is one, is left as it is.
 */
#ifndef KERNEL_MIRROR_SERVICE_H
#define KERNEL_MIRROR_SERVICE_H

#include "drivers/disk.h"
#include "manage/status.h"
#include "mirror/engine.h"

/* The guest's requests (kernel/guest_disk.h); called from mirror_service_poll(). */
struct mirror_service_guest {
	/* Gives the engine what it had no room for. True: requests of the guest are under way. */
	bool (*poll)(void);
	/* An OWN action for a request of the guest, or FINISHED. */
	void (*act)(const struct mirror_engine_action *action);
	/* The data of one: kernel/mirror_link.h. */
	uint8_t *(*data)(uint32_t set, uint64_t tag, uint64_t offset, uint64_t *size);
};

/*
 * Start-up, after the state partition was opened, if there is one. `server`: 0 a, 1 b.
 * Reads the record. `is_pair`: this server is one of a pair, or is to be. `has_disks`:
 * the guest will have some, which may be one half of a pair's. NULL, or one line that
 * says why the guest cannot run here. May be called again after it refused.
 */
const char *mirror_service_init(uint32_t server, bool is_pair, bool has_disks);

/* Does the record say that this server is one of a pair? After mirror_service_init(). */
bool mirror_service_remembers_pair(void);

/* Start-up, before disks are opened: whose requests they are. Stays. 0 or -ENOMEM. */
int mirror_service_set_guest(const struct mirror_service_guest *guest);

/*
 * Start-up: `device` is the disk in the bay of set `index`, lowest index first, of which the
 * guest is to see what `geometry` says. Sets that to what it will see. NULL, or one line that
 * says why it cannot have it. Takes memory.
 *
 * A server of a pair does without a disk of a set that it remembers, be it that `device` is NULL,
 * does not answer or is another one (mirror/engine.h), and tells so: the other server has one too.
 */
struct mirror_service_geometry {
	uint64_t sector_count; /* of 512 bytes */
	bool large_sectors;    /* of 4096 bytes; whatever is asked for, where the disk has them */
};
const char *mirror_service_open_disk(uint32_t index, struct disk_device *device,
				     struct mirror_service_geometry *geometry);

/* Is this server one of a pair that has a disk `index`? */
bool mirror_service_remembers_disk(uint32_t index);

/* The sets and the record. Good after mirror_service_init(). */
struct mirror_engine *mirror_service_engine(void);

/* The state of this server's disk of set `index`, and of the other server's, for `status`. */
void mirror_service_status(uint32_t index, struct status_disk *status);

/* Before the guest runs: waits until `ticket` is durable. False: the state partition cannot be written. */
bool mirror_service_wait(uint64_t ticket);

/* For the main loop, before the guest. True when it did something. */
bool mirror_service_poll(void);

#endif
