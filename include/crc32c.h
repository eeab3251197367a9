/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CRC-32C (Castagnoli, RFC 3720 appendix B.4): guards wire frames, log records
 * and disk metadata.
 */
#ifndef INCLUDE_CRC32C_H
#define INCLUDE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/*
 * Continues `crc` over `size` bytes at `data`; begin with 0. The result over
 * "123456789" is 0xe3069283.
 */
uint32_t crc32c(uint32_t crc, const void *data, size_t size);

/* The same without the processor's instruction; for the test that compares the two. */
uint32_t crc32c_by_tables(uint32_t crc, const void *data, size_t size);

#endif
