/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading and writing integers of a stated byte order at any alignment: wire
 * frames, disk metadata, firmware tables, network headers.
 */
#ifndef INCLUDE_BYTE_ORDER_H
#define INCLUDE_BYTE_ORDER_H

#include <stdint.h>
#include <string.h>

/* Yoke runs on x86-64 only; these turn into plain moves there. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	       "byte_order.h is written for little-endian machines");

static inline uint16_t load_le16(const void *from)
{
	uint16_t value;
	memcpy(&value, from, sizeof(value));
	return value;
}

static inline uint32_t load_le32(const void *from)
{
	uint32_t value;
	memcpy(&value, from, sizeof(value));
	return value;
}

static inline uint64_t load_le64(const void *from)
{
	uint64_t value;
	memcpy(&value, from, sizeof(value));
	return value;
}

static inline void store_le16(void *to, uint16_t value)
{
	memcpy(to, &value, sizeof(value));
}

static inline void store_le32(void *to, uint32_t value)
{
	memcpy(to, &value, sizeof(value));
}

static inline void store_le64(void *to, uint64_t value)
{
	memcpy(to, &value, sizeof(value));
}

static inline uint16_t load_be16(const void *from)
{
	return __builtin_bswap16(load_le16(from));
}

static inline uint32_t load_be32(const void *from)
{
	return __builtin_bswap32(load_le32(from));
}

static inline uint64_t load_be64(const void *from)
{
	return __builtin_bswap64(load_le64(from));
}

static inline void store_be16(void *to, uint16_t value)
{
	store_le16(to, __builtin_bswap16(value));
}

static inline void store_be32(void *to, uint32_t value)
{
	store_le32(to, __builtin_bswap32(value));
}

static inline void store_be64(void *to, uint64_t value)
{
	store_le64(to, __builtin_bswap64(value));
}

#endif
