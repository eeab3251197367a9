/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of the guest on their way out, in the order in which it made them. The leader
 * holds each back until the follower has all of the log that led to it (output commit,
 * docs/PROTOCOL.md); the follower holds the same frames until it hears that they have
 * left, since it sends them itself when it takes over. Pure: one ring in the owner's memory.
 *
 * Frames are numbered from the guest's power-on, on both servers alike: a number says
 * which have left, whoever sent them.
 */
#ifndef NIC_HELD_OUTPUT_H
#define NIC_HELD_OUTPUT_H

#include "include/bits.h"

#define HELD_OUTPUT_FRAME_MAX 2048 /* bytes */
/* Bytes of the ring that a frame of `size` takes at most. */
#define HELD_OUTPUT_ROOM(size) (align_up((size), 16) + HELD_OUTPUT_HEADER)
#define HELD_OUTPUT_HEADER 16

struct held_output {
	uint8_t *buffer; /* the owner's, aligned to 16 bytes */
	uint64_t size;	 /* bytes, a power of two, at least 2 * HELD_OUTPUT_FRAME_MAX */
	uint64_t first;	 /* offsets, counted for ever: the oldest frame ... */
	uint64_t end;	 /* ... and behind the newest */
	uint64_t number; /* of the newest frame; frames held are the last `count` up to it */
	uint64_t count;
	uint64_t stamped;   /* offset behind the last frame that has its stamp */
	uint64_t elsewhere; /* number of the last frame that the other server has sent */
};

/* Of a frame that has none yet: nothing that is acknowledged covers it. */
#define HELD_OUTPUT_NO_STAMP UINT64_MAX

struct held_frame {
	uint64_t stamp;
	uint32_t port;	     /* the guest's */
	uint32_t size;	     /* bytes */
	const uint8_t *data; /* good until the frame is dropped */
};

void held_output_init(struct held_output *held, uint8_t *buffer, uint64_t size);

/* Nothing is held; the last frame had `number`: a guest was loaded, or powered on (0). */
void held_output_restart(struct held_output *held, uint64_t number);

/* Bytes that HELD_OUTPUT_ROOM() of the next frame may be at most. */
uint64_t held_output_room(const struct held_output *held);

/*
 * The guest's next frame, without a stamp. False: it is too long, and is lost on both
 * servers alike. The owner sees to it that there is room: the guest does not run without.
 */
bool held_output_put(struct held_output *held, uint32_t port, const uint8_t *data, uint32_t size);

/*
 * Stamps all frames that have none: the log up to `stamp` holds a record of where they were
 * made or behind it. Without one the follower, taking over, might decide otherwise before
 * it gets there, and never make them.
 */
void held_output_stamp(struct held_output *held, uint64_t stamp);

/* The oldest frame; false: there is none. */
bool held_output_first(const struct held_output *held, struct held_frame *frame);

/* The oldest frame has left. */
void held_output_drop(struct held_output *held);

/* Number of the last frame that has left. */
static inline uint64_t held_output_left(const struct held_output *held)
{
	return held->number - held->count;
}

/*
 * All frames up to `number` have left, the other server says: also those that our guest,
 * which is behind, has yet to make.
 */
void held_output_left_elsewhere(struct held_output *held, uint64_t number);

/*
 * The oldest frame, if it has left so, to be dropped; false: there is none. To be asked also when
 * the guest has run: a follower whose ring is full of such frames stands still, and its leader
 * waits for it.
 */
bool held_output_first_gone(const struct held_output *held, struct held_frame *frame);

#endif
