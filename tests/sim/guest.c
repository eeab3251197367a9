/* SPDX-License-Identifier: Apache-2.0 */
/* The simulator's guest; see guest.h. */
#include "tests/sim/guest.h"

#include <string.h>

#include "include/assert.h"

static uint64_t mix(uint64_t x)
{
	x ^= x >> 31;
	x *= UINT64_C(0x7fb5d329728ea185);
	x ^= x >> 27;
	x *= UINT64_C(0x81dadef4bc2dd44d);
	return x ^ (x >> 33);
}

void guest_boot(struct guest *guest, uint64_t boot, const uint32_t disk[GUEST_KEY_COUNT])
{
	memset(guest, 0, sizeof(*guest));
	guest->boot = boot;
	guest->registers[0] = mix(boot + 1);
	memcpy(guest->versions, disk, sizeof(guest->versions));
}

static struct guest_put *find_put(struct guest *guest, uint32_t state)
{
	for (uint32_t i = 0; i < GUEST_MAILBOX; i++)
		if (guest->puts[i].state == state)
			return &guest->puts[i];
	return NULL;
}

static enum guest_exit open_exit(struct guest *guest, enum guest_exit exit)
{
	guest->exit = exit;
	guest->position.exits++;
	guest->position.steps = 0;
	return exit;
}

/* One step: compute, and now and then look what there is to do. */
static enum guest_exit step(struct guest *guest)
{
	uint64_t *r = guest->registers;
	uint32_t *cell = &guest->noise[r[0] % ARRAY_SIZE(guest->noise)];

	r[r[0] & 7] ^= mix(r[0] + *cell);
	r[0] = mix(r[0] + guest->position.steps);
	*cell += (uint32_t)r[(r[0] >> 8) & 7];
	guest->position.steps++;
	guest->position.rip = r[0] & 0xffffff;
	guest->position.rcx = r[1] & 0xff;
	switch (r[0] >> 58) {
	case 0:
		return open_exit(guest, GUEST_EXIT_TIME);
	case 1:
		if ((r[0] & 15) == 0)
			return open_exit(guest, GUEST_EXIT_SEND); /* a word about how it is */
		return GUEST_RUNNING;
	case 2:
		return find_put(guest, 1) ? open_exit(guest, GUEST_EXIT_DISK) : GUEST_RUNNING;
	case 3:
		return find_put(guest, 3) ? open_exit(guest, GUEST_EXIT_SEND) : GUEST_RUNNING;
	default:
		return GUEST_RUNNING;
	}
}

enum guest_exit guest_run(struct guest *guest, uint64_t *steps)
{
	enum guest_exit exit = GUEST_RUNNING;

	ASSERT(guest->exit == GUEST_RUNNING);
	for (; *steps > 0 && exit == GUEST_RUNNING; (*steps)--)
		exit = step(guest);
	return exit;
}

void guest_finish_time(struct guest *guest, uint64_t time_ns)
{
	ASSERT(guest->exit == GUEST_EXIT_TIME);
	guest->exit = GUEST_RUNNING;
	guest->time_ns = time_ns;
	guest->registers[1] ^= mix(time_ns);
}

void guest_finish_send(struct guest *guest, struct guest_frame *frame)
{
	struct guest_put *put = find_put(guest, 3);

	ASSERT(guest->exit == GUEST_EXIT_SEND);
	guest->exit = GUEST_RUNNING;
	guest->outputs++;
	memset(frame, 0, sizeof(*frame));
	frame->boot = guest->boot;
	frame->number = guest->outputs;
	frame->content = guest_digest(guest);
	if (put) {
		frame->request = put->request;
		frame->key = put->key;
		frame->version = put->version;
		memset(put, 0, sizeof(*put));
	}
}

void guest_finish_disk(struct guest *guest, uint32_t *slot, uint32_t *key, uint32_t *version)
{
	struct guest_put *put = find_put(guest, 1);

	ASSERT(guest->exit == GUEST_EXIT_DISK);
	ASSERT(put != NULL);
	guest->exit = GUEST_RUNNING;
	put->state = 2;
	if (guest->versions[put->key] < put->version)
		guest->versions[put->key] = put->version;
	*slot = (uint32_t)(put - guest->puts);
	*key = put->key;
	*version = guest->versions[put->key];
}

void guest_input(struct guest *guest, uint64_t time_ns, uint32_t kind, uint32_t index, uint32_t value)
{
	struct guest_put *put;

	guest->time_ns = time_ns;
	guest->registers[2] ^= mix(time_ns + kind);
	switch (kind) {
	case GUEST_INPUT_PUT:
		put = find_put(guest, 0);
		if (put) /* otherwise dropped, as by a full ring; the client asks again */
			*put = (struct guest_put){
				.request = index, .key = value >> 16, .version = value & 0xffff, .state = 1
			};
		break;
	case GUEST_INPUT_DISK_DONE:
		ASSERT(guest->puts[index].state == 2);
		guest->puts[index].state = 3;
		break;
	default:
		break;
	}
}

static uint64_t digest_of(const void *of, size_t size)
{
	const uint8_t *bytes = of;
	uint64_t digest = 0;

	for (size_t i = 0; i + 8 <= size; i += 8) {
		uint64_t word;

		memcpy(&word, bytes + i, 8);
		digest = (digest ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		digest ^= digest >> 29;
	}
	return digest;
}

uint64_t guest_digest(const struct guest *guest)
{
	return digest_of(guest, sizeof(*guest));
}

void guest_digest_fields(const struct guest *guest, uint64_t fields[GUEST_FIELD_COUNT])
{
	fields[GUEST_FIELD_NOISE] = digest_of(guest->noise, sizeof(guest->noise));
	fields[GUEST_FIELD_BALLAST] = digest_of(guest->ballast, sizeof(guest->ballast));
	fields[GUEST_FIELD_REGISTERS] = digest_of(guest->registers, sizeof(guest->registers));
	fields[GUEST_FIELD_POSITION] = digest_of(&guest->position, sizeof(guest->position));
	fields[GUEST_FIELD_CLOCK] = guest->time_ns;
	fields[GUEST_FIELD_PUTS] = digest_of(guest->puts, sizeof(guest->puts));
	fields[GUEST_FIELD_VERSIONS] = digest_of(guest->versions, sizeof(guest->versions));
}
