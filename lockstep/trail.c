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

const struct trail_entry *trail_find(const struct trail *trail, const struct position *position)
{
	for (uint64_t i = 0; i < min_u64(trail->count, TRAIL_SIZE); i++)
		if (position_compare(&trail->entries[i].position, position) == 0)
			return &trail->entries[i];
	return NULL;
}

const struct trail_entry *trail_last(const struct trail *trail)
{
	return trail->count ? &trail->entries[(trail->count - 1) % TRAIL_SIZE] : NULL;
}

uint32_t trail_difference(const struct trail_entry *a, const struct trail_entry *b)
{
	for (uint32_t i = 0; i < min_u64(a->field_count, b->field_count); i++)
		if (a->fields[i] != b->fields[i])
			return i;
	return TRAIL_FIELD_NONE;
}
