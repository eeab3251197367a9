/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random bytes; see guest_entropy.h. A ChaCha20 key stream (RFC 8439, section 2.3)
 * whose key is replaced by the stream's first half block after each request, so that
 * a key seen later tells nothing of bytes given out before. Before each request the
 * key is stirred with fresh samples:
 *
 *     RDSEED, else RDRAND, where the processor has it: true randomness as it claims;
 *     the low bits of the TSC across a device access: beside the above, or alone.
 *
 * How good it is then: with RDSEED or RDRAND, as good as the processor's. Without,
 * it rests on the jitter of a few hundred port accesses at start-up and of the
 * moments of the requests: on real machines a usable seed, in an emulator with a
 * deterministic clock none at all, and this file cannot tell which. A guest that
 * needs keys there should mix in a source of its own, as Linux does.
 */
#include "kernel/guest_entropy.h"

#include <string.h>

#include "include/assert.h"
#include "include/byte_order.h"
#include "kernel/cpu.h"
#include "kernel/port_io.h"

#define KEY_WORDS 8
#define BLOCK_WORDS 16
#define START_SAMPLES 512
#define REQUEST_SAMPLES 8
#define HARDWARE_TRIES 10 /* as Intel's guide to RDRAND has it */
#define DELAY_PORT 0x80	  /* POST codes: nobody listens, but the access leaves the processor */

static uint32_t key[KEY_WORDS];
static bool has_rdseed;
static bool has_rdrand;
static uint32_t wanted;
static uint8_t given[MACHINE_ENTROPY_MAX];

static uint32_t rotate(uint32_t value, uint32_t count)
{
	return value << count | value >> (32 - count);
}

static void quarter_round(uint32_t *x, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
	x[a] += x[b];
	x[d] = rotate(x[d] ^ x[a], 16);
	x[c] += x[d];
	x[b] = rotate(x[b] ^ x[c], 12);
	x[a] += x[b];
	x[d] = rotate(x[d] ^ x[a], 8);
	x[c] += x[d];
	x[b] = rotate(x[b] ^ x[c], 7);
}

/* RFC 8439, 2.3, with a nonce of 0: each key makes one short stream. */
static void make_block(uint32_t counter, uint32_t block[BLOCK_WORDS])
{
	uint32_t start[BLOCK_WORDS] = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 };

	memcpy(start + 4, key, sizeof(key));
	start[12] = counter;
	memcpy(block, start, sizeof(start));
	for (uint32_t round = 0; round < 10; round++) {
		quarter_round(block, 0, 4, 8, 12);
		quarter_round(block, 1, 5, 9, 13);
		quarter_round(block, 2, 6, 10, 14);
		quarter_round(block, 3, 7, 11, 15);
		quarter_round(block, 0, 5, 10, 15);
		quarter_round(block, 1, 6, 11, 12);
		quarter_round(block, 2, 7, 8, 13);
		quarter_round(block, 3, 4, 9, 14);
	}
	for (uint32_t i = 0; i < BLOCK_WORDS; i++)
		block[i] += start[i];
}

static bool hardware_random(uint64_t *value)
{
	uint8_t good = 0;

	for (uint32_t i = 0; i < HARDWARE_TRIES && !good; i++) {
		if (has_rdseed)
			__asm__ volatile("rdseed %0; setc %1" : "=r"(*value), "=qm"(good) : : "cc");
		if (!good && has_rdrand)
			__asm__ volatile("rdrand %0; setc %1" : "=r"(*value), "=qm"(good) : : "cc");
	}
	return good;
}

static uint64_t jitter(void)
{
	uint64_t start = cpu_read_tsc();

	port_write8(DELAY_PORT, 0);
	return start ^ rotate((uint32_t)(cpu_read_tsc() - start), 13);
}

/* One sample into the key, and the key through the cipher, so that samples do not cancel. */
static void stir(void)
{
	uint32_t block[BLOCK_WORDS];
	uint64_t value = 0;
	uint64_t time = jitter();

	if (hardware_random(&value)) {
		key[0] ^= (uint32_t)value;
		key[1] ^= (uint32_t)(value >> 32);
	}
	key[2] ^= (uint32_t)time;
	key[3] ^= (uint32_t)(time >> 32);
	make_block(0, block);
	memcpy(key, block, sizeof(key));
}

void guest_entropy_init(void)
{
	struct cpu_id features = cpu_id(1, 0);

	has_rdrand = (features.ecx & BIT(30)) != 0;
	has_rdseed = cpu_id(0, 0).eax >= 7 && (cpu_id(7, 0).ebx & BIT(18)) != 0;
	for (uint32_t i = 0; i < START_SAMPLES; i++)
		stir();
}

void guest_entropy_forget(void)
{
	wanted = 0;
}

void guest_entropy_take(uint32_t size)
{
	ASSERT(size <= MACHINE_ENTROPY_MAX);
	wanted = size;
}

bool guest_entropy_input(struct machine_input *input)
{
	uint32_t block[BLOCK_WORDS];

	if (wanted == 0)
		return false;
	for (uint32_t i = 0; i < REQUEST_SAMPLES; i++)
		stir();
	for (uint32_t at = 0; at < wanted; at += sizeof(block)) {
		make_block(1 + at / (uint32_t)sizeof(block), block);
		memcpy(given + at, block, min_u64(sizeof(block), wanted - at));
	}
	make_block(0, block);
	memcpy(key, block, sizeof(key));
	*input = (struct machine_input){ .kind = MACHINE_INPUT_ENTROPY, .size = wanted, .data = given };
	wanted = 0;
	return true;
}
