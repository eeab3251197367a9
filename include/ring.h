/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Indices of a ring whose producer and consumer counters run freely: fill is
 * producer - consumer, a slot is counter % size, and neither "empty or full?"
 * nor a wrap is a special case. The storage stays with the owner.
 */
#ifndef INCLUDE_RING_H
#define INCLUDE_RING_H

#include "include/assert.h"
#include "include/bits.h"

struct ring {
	uint32_t producer; /* entries ever put in */
	uint32_t consumer; /* entries ever taken out */
	uint32_t size;	   /* slots; a power of two */
};

static inline void ring_init(struct ring *ring, uint32_t size)
{
	ASSERT(is_power_of_two(size));
	ring->producer = 0;
	ring->consumer = 0;
	ring->size = size;
}

static inline uint32_t ring_fill(const struct ring *ring)
{
	return ring->producer - ring->consumer;
}

static inline uint32_t ring_space(const struct ring *ring)
{
	return ring->size - ring_fill(ring);
}

static inline bool ring_empty(const struct ring *ring)
{
	return ring->producer == ring->consumer;
}

static inline bool ring_full(const struct ring *ring)
{
	return ring_fill(ring) == ring->size;
}

/* The slot that the next ring_produce() fills; the ring must not be full. */
static inline uint32_t ring_head(const struct ring *ring)
{
	ASSERT(!ring_full(ring));
	return ring->producer & (ring->size - 1);
}

/* The slot that the next ring_consume() frees; the ring must not be empty. */
static inline uint32_t ring_tail(const struct ring *ring)
{
	ASSERT(!ring_empty(ring));
	return ring->consumer & (ring->size - 1);
}

static inline void ring_produce(struct ring *ring)
{
	ASSERT(!ring_full(ring));
	ring->producer++;
}

static inline void ring_consume(struct ring *ring)
{
	ASSERT(!ring_empty(ring));
	ring->consumer++;
}

#endif
