/* SPDX-License-Identifier: Apache-2.0 */
/* Digests of the guest, field by field; see guest_digest.h. */
#include "kernel/guest_digest.h"

#include <stdio.h>

#include "include/assert.h"
#include "kernel/guest.h"
#include "kernel/page_map.h"
#include "machine/digest.h"

#define WINDOW_PAGES 4

/* Behind the registers' and the machine's fields: where the window begins, and each of its pages. */
enum memory_field {
	MEMORY_FIRST, /* guest-physical address, not a digest of it: it names the pages */
	MEMORY_PAGES,
	MEMORY_FIELD_COUNT = MEMORY_PAGES + WINDOW_PAGES,
};

/* Its pages are quarters of memory when the window is all of it. */
static void digest_memory(const struct guest_memory *memory, uint64_t check, uint64_t *fields)
{
	uint64_t total = guest_memory_total(memory);
	bool all = check == GUEST_DIGEST_ALL;
	uint64_t size = all ? total / WINDOW_PAGES : PAGE_SIZE;
	uint64_t first = all ? 0 : check % (total / PAGE_SIZE / WINDOW_PAGES) * WINDOW_PAGES * PAGE_SIZE;

	fields[MEMORY_FIRST] = guest_memory_gpa(memory, first);
	for (uint32_t i = 0; i < WINDOW_PAGES; i++)
		fields[MEMORY_PAGES + i] = digest_bytes(0, memory->base + first + i * size, size);
}

void guest_digest_take(struct guest *guest, uint64_t check, struct guest_digest *digest)
{
	const struct machine_digest_field *fields;
	uint32_t vcpu_count;
	uint32_t machine_count;
	uint64_t registers;
	uint64_t rest;

	vcpu_save(&guest->vcpu);
	fields = vcpu_digest_fields(&vcpu_count);
	digest_each_field(&guest->vcpu.state, fields, vcpu_count, digest->fields);
	fields = machine_digest_fields(&machine_count);
	digest->field_count = vcpu_count + machine_count + MEMORY_FIELD_COUNT;
	ASSERT(digest->field_count <= TRAIL_FIELD_MAX);
	digest_each_field(&guest->machine, fields, machine_count, digest->fields + vcpu_count);
	digest_memory(&guest->memory, check, digest->fields + vcpu_count + machine_count);
	registers = digest_bytes(0, digest->fields, vcpu_count * sizeof(digest->fields[0]));
	rest = digest_bytes(0, digest->fields + vcpu_count,
			    (digest->field_count - vcpu_count) * sizeof(digest->fields[0]));
	digest->whole = (registers & ~UINT64_C(0xffffffff)) | rest >> 32;
}

static void name_memory(const uint64_t *fields, uint32_t index, char name[GUEST_DIGEST_NAME_SIZE])
{
	if (index == MEMORY_FIRST) /* one of them has made more checks */
		snprintf(name, GUEST_DIGEST_NAME_SIZE, "number of checks");
	else
		snprintf(name, GUEST_DIGEST_NAME_SIZE, "memory page %#lx",
			 (unsigned long)(fields[MEMORY_FIRST] + (index - MEMORY_PAGES) * PAGE_SIZE));
}

void guest_digest_name(const uint64_t *fields, uint32_t index, char name[GUEST_DIGEST_NAME_SIZE])
{
	const struct machine_digest_field *vcpu_fields;
	const struct machine_digest_field *machine_fields;
	uint32_t vcpu_count;
	uint32_t machine_count;

	vcpu_fields = vcpu_digest_fields(&vcpu_count);
	machine_fields = machine_digest_fields(&machine_count);
	if (index < vcpu_count)
		snprintf(name, GUEST_DIGEST_NAME_SIZE, "%s", vcpu_fields[index].name);
	else if (index < vcpu_count + machine_count)
		snprintf(name, GUEST_DIGEST_NAME_SIZE, "%s", machine_fields[index - vcpu_count].name);
	else
		name_memory(fields + vcpu_count + machine_count, index - vcpu_count - machine_count, name);
}
