/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CRC-32C by slicing over eight bytes: eight tables of 256 entries, made at the
 * first call from the reflected polynomial. SSE4.2's instruction is not used: the
 * same value must come out on the host, and the kernel compiles without SSE.
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

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
	const uint8_t *at = data;

	if (!table_ready)
		table_init();
	crc = ~crc;
	for (; size >= 8; size -= 8, at += 8) {
		uint32_t low = load_le32(at) ^ crc;
		uint32_t high = load_le32(at + 4);
		crc = table[7][low & 0xff] ^ table[6][(low >> 8) & 0xff] ^ table[5][(low >> 16) & 0xff] ^
		      table[4][low >> 24] ^ table[3][high & 0xff] ^ table[2][(high >> 8) & 0xff] ^
		      table[1][(high >> 16) & 0xff] ^ table[0][high >> 24];
	}
	for (; size > 0; size--, at++)
		crc = (crc >> 8) ^ table[0][(crc ^ *at) & 0xff];
	return ~crc;
}
