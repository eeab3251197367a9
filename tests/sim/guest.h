/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulator's guest: a little computer whose instruction stream depends on all
 * that it has ever read, so that any difference between two replicas shows in every
 * later output. It serves a key-value store: a PUT frame is written to memory, then
 * to disk, and acknowledged with a frame when the disk has completed.
 *
 * Deterministic: the same state and the same inputs at the same positions give the
 * same outputs. Like a real guest it stops at synchronous exits: reading the time,
 * sending a frame, writing to the disk.
 */
#ifndef TESTS_SIM_GUEST_H
#define TESTS_SIM_GUEST_H

#include "include/bits.h"
#include "include/position.h"

#define GUEST_KEY_COUNT 32
#define GUEST_MAILBOX 8
#define GUEST_DISK_MAX 8 /* writes under way */
#define GUEST_PAGE_SIZE 256

enum guest_exit {
	GUEST_RUNNING,
	GUEST_EXIT_TIME,
	GUEST_EXIT_SEND,
	GUEST_EXIT_DISK,
};

enum guest_input_kind {
	GUEST_INPUT_PUT = 1,   /* value = key << 16 | version; index = request's number */
	GUEST_INPUT_DISK_DONE, /* request = slot */
	GUEST_INPUT_TICK,
};

struct guest_put {
	uint32_t request; /* the client's number, 0: free */
	uint32_t key;
	uint32_t version;
	uint32_t state; /* 0: free, 1: in the mailbox, 2: on its way to disk, 3: done, to be acknowledged */
};

struct guest {
	uint64_t registers[8];
	struct position position;
	uint64_t time_ns;
	uint64_t outputs; /* frames sent since power-on */
	uint64_t boot;	  /* which power-on this is */
	uint32_t exit;	  /* enum guest_exit that is open */
	uint32_t exit_slot;
	struct guest_put puts[GUEST_MAILBOX];
	uint32_t versions[GUEST_KEY_COUNT]; /* the store, in memory */
	uint32_t noise[512];		    /* memory that only computing touches */
	uint32_t ballast[256];		    /* memory that nothing touches: all zero */
};

/* A frame of the guest, seen outside. */
struct guest_frame {
	uint64_t boot;
	uint64_t number;  /* 1, 2, 3 ... since that power-on */
	uint64_t content; /* hash of the guest's state */
	uint32_t request; /* PUT that it acknowledges, 0: none */
	uint32_t key;
	uint32_t version;
};

/* Power-on, with the store as the disk has it. */
void guest_boot(struct guest *guest, uint64_t boot, const uint32_t disk[GUEST_KEY_COUNT]);

/* Runs up to `*steps` steps or to a synchronous exit; `*steps` is then what was left. The position moves on. */
enum guest_exit guest_run(struct guest *guest, uint64_t *steps);

/* Completes the open exit. SEND fills `frame`; DISK tells the slot, key and version to write. */
void guest_finish_time(struct guest *guest, uint64_t time_ns);
void guest_finish_send(struct guest *guest, struct guest_frame *frame);
void guest_finish_disk(struct guest *guest, uint32_t *slot, uint32_t *key, uint32_t *version);

/* An input at the current position. */
void guest_input(struct guest *guest, uint64_t time_ns, uint32_t kind, uint32_t index, uint32_t value);

uint64_t guest_digest(const struct guest *guest);

/* Digests of its parts, for the trail; the noise comes before what depends on it. */
enum guest_field {
	GUEST_FIELD_NOISE,
	GUEST_FIELD_BALLAST,
	GUEST_FIELD_REGISTERS,
	GUEST_FIELD_POSITION,
	GUEST_FIELD_CLOCK,
	GUEST_FIELD_PUTS,
	GUEST_FIELD_VERSIONS,
	GUEST_FIELD_COUNT,
};
void guest_digest_fields(const struct guest *guest, uint64_t fields[GUEST_FIELD_COUNT]);

#endif
