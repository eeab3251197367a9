/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does what the mirror sets want done on this server's disks: one job is one OWN action
 * of mirror/engine.h, given to the disk in pieces, one at a time. Jobs of one disk run
 * side by side, in any order: the sets have ordered what overlaps.
 */
#ifndef KERNEL_MIRROR_DISK_H
#define KERNEL_MIRROR_DISK_H

#include "drivers/disk.h"
#include "mirror/set.h"

struct mirror_disk_job {
	/* Filled by the caller. */
	uint32_t disk; /* index of the set */
	uint32_t slot; /* the action's */
	enum disk_operation operation;
	uint64_t sector; /* of 512 bytes */
	uint64_t sector_count;
	/*
	 * Adds DMA memory for `size` bytes of the job from `offset` on, by mirror_disk_add();
	 * `offset` is a multiple of a page. Not called for a flush.
	 */
	void (*memory)(struct mirror_disk_job *job, uint64_t offset, uint64_t size);
	/* It has ended: 0, or the disk's error. May give the next job. */
	void (*ended)(struct mirror_disk_job *job, int status);

	/* This file's, from mirror_disk_do() to `ended`. */
	uint64_t sectors_done;
	uint32_t swept_count;
	struct mirror_disk_job *next; /* of those that wait for the disk */
	struct disk_request piece;
};

/* What a disk does for an operation of a set. */
enum disk_operation mirror_disk_operation(uint8_t operation);

/* Start-up: `device` is the disk of set `index`. NULL, or one line that says why it cannot be. */
const char *mirror_disk_open(uint32_t index, struct disk_device *device);

/* Begins a job. The disk may not see it before mirror_disk_start(). */
void mirror_disk_do(struct mirror_disk_job *job);

/* For `memory`: `size` bytes at `physical` are next; the rules are struct disk_segment's. */
void mirror_disk_add(struct mirror_disk_job *job, uint64_t physical, uint64_t size);

/* Once a loop turn: what came back from the disks (true: something did), and then, to the disks. */
bool mirror_disk_poll(void);
void mirror_disk_start(void);

#endif
