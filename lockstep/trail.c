/* SPDX-License-Identifier: Apache-2.0 */
/* Digests of the last checks, field by field; see trail.h. */
#include "lockstep/trail.h"

#include <string.h>

#include "include/assert.h"

void trail_clear(struct trail *trail)
{
	trail->count = 0;
}

void trail_put(struct trail *trail, const struct position *position, uint64_t digest, const uint64_t *fields,
	       uint32_t field_count)
{
	struct trail_entry *entry = &trail->entries[trail->count++ % TRAIL_SIZE];

	ASSERT(field_count <= TRAIL_FIELD_MAX);
	entry->position = *position;
	entry->digest = digest;
	entry->field_count = field_count;
	memcpy(entry->fields, fields, field_count * sizeof(fields[0]));
}

const struct trail_entry *trail_find(const struct trail *trail, uint64_t number)
{
	bool is_kept = number < trail->count && trail->count - number <= TRAIL_SIZE;

	return is_kept ? &trail->entries[number % TRAIL_SIZE] : NULL;
}

uint32_t trail_difference(const struct trail_entry *a, const struct trail_entry *b)
{
	for (uint32_t i = 0; i < min_u64(a->field_count, b->field_count); i++)
		if (a->fields[i] != b->fields[i])
			return i;
	return TRAIL_FIELD_NONE;
}
