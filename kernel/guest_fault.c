/* SPDX-License-Identifier: Apache-2.0 */
/* Faults on purpose; see guest_fault.h. */
#include "kernel/guest_fault.h"

#include <string.h>

#include "include/trace.h"
#include "kernel/guest.h"
#include "machine/digest.h"
#include "manage/unit.h"

TRACE_FILE("guest", TRACE_INFO);

struct place {
	uint8_t *bytes; /* NULL: there is none */
	uint64_t size;
};

static struct place find_field(void *state, const struct machine_digest_field *fields, uint32_t count,
			       const char *name)
{
	for (uint32_t i = 0; i < count; i++)
		if (strcmp(fields[i].name, name) == 0)
			return (struct place){ (uint8_t *)state + fields[i].offset, fields[i].size };
	return (struct place){ NULL, 0 };
}

static struct place find(struct guest *guest, const char *what)
{
	const struct machine_digest_field *fields;
	struct place place;
	uint64_t gpa;
	uint32_t count;

	if (unit_parse(what, strlen(what), size_units, size_unit_count, true, &gpa))
		return (struct place){ guest_memory_to_write(&guest->memory, gpa, 8), 8 };
	fields = vcpu_digest_fields(&count);
	place = find_field(&guest->vcpu.state, fields, count, what);
	if (place.bytes)
		return place;
	fields = machine_digest_fields(&count);
	return find_field(&guest->machine, fields, count, what);
}

const char *guest_fault_flip(struct guest *guest, const char *what, uint32_t bit)
{
	struct place place;

	vcpu_save(&guest->vcpu);
	place = find(guest, what);
	if (!place.bytes)
		return "neither a register, nor a field of the machine, nor an address in the guest's memory";
	if (bit / 8 >= place.size)
		return "it has not got so many bits";
	place.bytes[bit / 8] ^= (uint8_t)BIT(bit % 8);
	vcpu_load(&guest->vcpu);
	trace(TRACE_WARNING, "bit %u of %s flipped at the console, before digest %lu", bit, what,
	      guest->check_count);
	return NULL;
}
