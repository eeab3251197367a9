/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CRC-32C: by SSE4.2's instruction, eight bytes at a time, where the processor has it
 * (it works on general registers, so the kernel may use it); else by slicing over eight
 * bytes with eight tables of 256 entries, made at the first call from the reflected
 * polynomial. Both give the same value. Every frame on the wire is checked with it.
 */
#include "include/crc32c.h"

#include <stdbool.h>

#include "include/byte_order.h"

#define CRC32C_POLYNOMIAL UINT32_C(0x82f63b78) /* reflected 0x1edc6f41 */

static uint32_t table[8][256];
static bool table_ready;

static void table_init(void)
{
	for (uint32_t byte = 0; byte < 256; byte++) {
		uint32_t crc = byte;
		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ ((crc & 1) ? CRC32C_POLYNOMIAL : 0);
		table[0][byte] = crc;
	}
	for (uint32_t byte = 0; byte < 256; byte++)
		for (int slice = 1; slice < 8; slice++)
			table[slice][byte] =
				(table[slice - 1][byte] >> 8) ^ table[0][table[slice - 1][byte] & 0xff];
	table_ready = true;
}

static uint32_t by_tables(uint32_t crc, const uint8_t *at, size_t size)
{
	if (!table_ready)
		table_init();
	for (; size >= 8; size -= 8, at += 8) {
		uint32_t low = load_le32(at) ^ crc;
		uint32_t high = load_le32(at + 4);
		crc = table[7][low & 0xff] ^ table[6][(low >> 8) & 0xff] ^ table[5][(low >> 16) & 0xff] ^
		      table[4][low >> 24] ^ table[3][high & 0xff] ^ table[2][(high >> 8) & 0xff] ^
		      table[1][(high >> 16) & 0xff] ^ table[0][high >> 24];
	}
	for (; size > 0; size--, at++)
		crc = (crc >> 8) ^ table[0][(crc ^ *at) & 0xff];
	return crc;
}

static uint32_t by_instruction(uint32_t crc, const uint8_t *at, size_t size)
{
	uint64_t wide = crc;

	for (; size >= 32; size -= 32, at += 32)
		__asm__("crc32q (%1), %0; crc32q 8(%1), %0; crc32q 16(%1), %0; crc32q 24(%1), %0"
			: "+r"(wide)
			: "r"(at), "m"(*(const uint8_t(*)[32])at));
	for (; size >= 8; size -= 8, at += 8)
		__asm__("crc32q %1, %0" : "+r"(wide) : "m"(*(const uint8_t(*)[8])at));
	for (; size > 0; size--, at++)
		__asm__("crc32b %1, %0" : "+r"(wide) : "m"(*at));
	return (uint32_t)wide;
}

/* CPUID 1, ECX bit 20: SSE4.2. */
static bool has_instruction(void)
{
	uint32_t eax = 1;
	uint32_t ebx;
	uint32_t ecx = 0;
	uint32_t edx;

	__asm__("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
	return ecx >> 20 & 1;
}

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
	static enum { UNKNOWN, TABLES, INSTRUCTION } way;

	if (way == UNKNOWN)
		way = has_instruction() ? INSTRUCTION : TABLES;
	return ~(way == INSTRUCTION ? by_instruction(~crc, data, size) : by_tables(~crc, data, size));
}

uint32_t crc32c_by_tables(uint32_t crc, const void *data, size_t size)
{
	return ~by_tables(~crc, data, size);
}
