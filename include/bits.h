/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arithmetic every layer needs: bits, alignment, bounds, array sizes.
 * Freestanding: usable in the hypervisor, in the pure cores and on the host.
 */
#ifndef INCLUDE_BITS_H
#define INCLUDE_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BIT(index) (UINT64_C(1) << (index))

#define KIB UINT64_C(1024)
#define MIB (UINT64_C(1024) * KIB)
#define GIB (UINT64_C(1024) * MIB)

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* For what a hot path rarely needs, so that it need not make room for it; and for its own pieces. */
#define NOINLINE __attribute__((noinline))
#define ALWAYS_INLINE inline __attribute__((always_inline))

#define BUILD_ASSERT(condition) _Static_assert((condition), #condition)

/* The structure that holds `member` at `pointer`. */
#define CONTAINER_OF(pointer, type, member) ((type *)(void *)(((char *)(pointer)) - offsetof(type, member)))

/* `alignment` is a power of two in all four. */
static inline uint64_t align_down(uint64_t value, uint64_t alignment)
{
	return value & ~(alignment - 1);
}

static inline uint64_t align_up(uint64_t value, uint64_t alignment)
{
	return (value + alignment - 1) & ~(alignment - 1);
}

static inline bool is_aligned(uint64_t value, uint64_t alignment)
{
	return (value & (alignment - 1)) == 0;
}

static inline bool is_power_of_two(uint64_t value)
{
	return value != 0 && (value & (value - 1)) == 0;
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/*
 * Is [start, start + size) inside [0, limit)? Written so that no sum can wrap:
 * `start` and `size` often come from a device, a peer or the guest.
 */
static inline bool range_fits(uint64_t start, uint64_t size, uint64_t limit)
{
	return start <= limit && size <= limit - start;
}

#endif
