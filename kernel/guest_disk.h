/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's disks: what its virtio disks ask for goes to their mirror sets
 * (kernel/mirror_service.h), is done on this server's disks of the roles mirror1,
 * mirror2 ... when those say so, and the answers are inputs for the guest.
 */
#ifndef KERNEL_GUEST_DISK_H
#define KERNEL_GUEST_DISK_H

#include "drivers/disk.h"
#include "include/bits.h"
#include "machine/machine.h"

/* Start-up: the mirror sets' requests are the guest's. NULL, or one line that says why not. */
const char *guest_disk_init(void);

/*
 * `device`, NULL where there is none, becomes the guest's disk `index`. Start-up only, takes DMA memory. NULL,
 * or one line that says why the guest cannot have it. After mirror_service_init(). Fills `machine` but for the
 * serial number; `size` is what the guest is to see of it in bytes, 0 for all, and `large_sectors` whether in
 * sectors of 4096 bytes where the disk has 512.
 */
const char *guest_disk_open(uint32_t index, struct disk_device *device, uint64_t size, bool large_sectors,
			    struct machine_disk_config *machine);

/* Does this server's pair have such a disk? Then guest_disk_open() does without this server's. */
bool guest_disk_is_remembered(uint32_t index);

/* Power-on of the guest: what was under way for its former life is finished, but not told. */
void guest_disk_restart(void);

/* Is there room for all that the guest may ask for before the next look? Else it is not to run. */
bool guest_disk_has_room(void);

/* A MACHINE_OUTPUT_DISK. A write's data is copied now; each request gets one answer. */
void guest_disk_take(uint32_t index, const struct machine_disk_request *request,
		     const struct guest_memory *memory);

/*
 * The next answer, as a DISK_COMPLETION; false when there is none. A read's data stays
 * until the next call. `patient`: the guest has other things to do, so answers may wait a
 * little for those behind them.
 */
bool guest_disk_input(struct machine_input *input, bool patient);

/* How many requests have not been answered. */
uint32_t guest_disk_under_way(void);

/* Of a read's data in `input`, for the log of a pair. */
uint32_t guest_disk_checksum(const struct machine_input *input);

/* Does another server decide, by the log of a pair, when the guest gets its answers? */
void guest_disk_follow(bool follows);

/*
 * FOLLOWER: the log says that the guest gets the answer in `input` now, of a read only the
 * checksum, in `value`. 0, with the data from our own disk, which stays until the next call;
 * -EAGAIN: our disk has not done it yet, ask again; -EILSEQ: it gives another answer than
 * the leader's, and nothing is known to mend it.
 */
int guest_disk_replay(struct machine_input *input);

/* Is any request under way? */
bool guest_disk_busy(void);

/* Requests of disk `index` that the guest was told have failed, since start-up. */
uint64_t guest_disk_errors(uint32_t index);

#endif
