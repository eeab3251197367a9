/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of all disk drivers share: the medium that a device model reads
 * and writes, a log of what the device did to it, requests, and bounded waits.
 */
#ifndef TESTS_UNIT_HOST_DISK_RIG_H
#define TESTS_UNIT_HOST_DISK_RIG_H

#include "drivers/disk.h"
#include "kernel/dma.h"

#define DISK_RIG_MEDIUM_SIZE (2 * MIB)
#define DISK_RIG_BUFFER_SIZE (512 * KIB)
#define DISK_RIG_NONE UINT64_MAX

struct disk_rig {
	uint8_t medium[DISK_RIG_MEDIUM_SIZE];
	char log[1024];		  /* "R8+2 W16+8 WF16+8 F ": what the device did, in order */
	struct dma_buffer buffer; /* memory for requests, page aligned */
	bool hold;		  /* the device takes requests and does not answer; until its reset */
	bool gone;		  /* it was pulled out */
};
extern struct disk_rig disk_rig;

/* Everything of the host back to the start, the medium filled with a pattern, no device on the bus. */
void disk_rig_reset(void);

/* For device models: notes one command, and moves data. False: the memory is not DMA memory. */
void disk_rig_note(const char *kind, uint64_t sector, uint32_t sector_count);
bool disk_rig_copy(uint64_t medium_offset, uint64_t physical, uint64_t size, bool to_medium);

/* A request in one segment at `offset` of the rig's buffer. */
struct disk_request disk_rig_request(const struct disk_device *device, enum disk_operation operation,
				     uint64_t sector, uint32_t sector_count, uint64_t offset);
uint8_t *disk_rig_data(uint64_t offset);

/* Submits, which must succeed, and rings the doorbell. */
void disk_rig_submit(struct disk_device *device, struct disk_request *request);
/* The next finished request; NULL when none comes in a great many polls (about 50 ms of the test's clock). */
struct disk_request *disk_rig_wait(struct disk_device *device);
/* Both, for one request: its status. */
int disk_rig_run(struct disk_device *device, struct disk_request *request);

/* What every driver must do alike with a working device whose medium is the rig's; check_work: all three. */
void disk_rig_check_transfers(struct disk_device *device);
void disk_rig_check_refusals(struct disk_device *device);
void disk_rig_check_full_queue(struct disk_device *device);
void disk_rig_check_work(struct disk_device *device);

/* One read that the device holds, and what becomes of it 200 ms later. */
void disk_rig_hold_request(struct disk_device *device);
void disk_rig_check_held_request(struct disk_device *device, int status);

/* The device stops answering: one request times out, a younger one goes with it, the device is reset. */
void disk_rig_check_time_out(struct disk_device *device);

/* ... and does not react to its reset: the request comes back only when it can no longer reach memory. */
void disk_rig_check_no_reset(struct disk_device *device);

/* The device is pulled out, its PCI function with it. */
void disk_rig_check_removal(struct disk_device *device);

/* Closed with a request under way, and once more. */
void disk_rig_check_close(struct disk_device *device);

/* Reproducible numbers; seed 0 is as good as any. */
void disk_rig_seed(uint64_t seed);
uint32_t disk_rig_random(uint32_t limit); /* 0 .. limit - 1 */

/*
 * The device has begun to lie; `lie` is called before each poll and may spoil what
 * memory it likes. All kinds of requests are given: each comes back once, whatever
 * happens, within a bounded time of the test's clock.
 */
void disk_rig_check_survives(struct disk_device *device, void (*lie)(void));

#endif
