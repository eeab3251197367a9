/* SPDX-License-Identifier: Apache-2.0 */
/* See context.h. */
#include "machine/context.h"

#include <string.h>

#include "include/crc32c.h"
#include "machine/digest.h"

static uint64_t fields_digest(uint64_t seed, const struct machine_digest_field *fields, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		seed = digest_bytes(seed, fields[i].name, strlen(fields[i].name));
		seed = digest_bytes(seed, &fields[i].offset, sizeof(fields[i].offset));
		seed = digest_bytes(seed, &fields[i].size, sizeof(fields[i].size));
	}
	return seed;
}

uint64_t guest_context_layout(void)
{
	const struct machine_digest_field *fields;
	uint64_t digest;
	uint32_t count;

	fields = vcpu_digest_fields(&count);
	digest = fields_digest(GUEST_CONTEXT_VERSION, fields, count);
	fields = machine_digest_fields(&count);
	return fields_digest(digest, fields, count);
}

static uint32_t checksum_of(const struct guest_context *context)
{
	const uint8_t *from = (const uint8_t *)&context->size;

	return crc32c(0, from, sizeof(*context) - offsetof(struct guest_context, size));
}

void guest_context_seal(struct guest_context *context)
{
	context->magic = GUEST_CONTEXT_MAGIC;
	context->version = GUEST_CONTEXT_VERSION;
	context->size = sizeof(*context);
	context->layout = guest_context_layout();
	context->checksum = checksum_of(context);
}

static bool disks_equal(const struct machine_config *a, const struct machine_config *b)
{
	return a->disk_count == b->disk_count && memcmp(a->disks, b->disks, sizeof(a->disks)) == 0;
}

static bool ports_equal(const struct machine_config *a, const struct machine_config *b)
{
	return a->net_port_count == b->net_port_count &&
	       memcmp(a->net_ports, b->net_ports, sizeof(a->net_ports)) == 0;
}

const char *machine_config_difference(const struct machine_config *a, const struct machine_config *b)
{
	if (a->memory_size != b->memory_size)
		return "memory of another size";
	if (!disks_equal(a, b))
		return "other disks";
	if (!ports_equal(a, b))
		return "other network ports";
	if (a->has_avx != b->has_avx)
		return "another processor, with or without AVX";
	if (a->has_watchdog != b->has_watchdog)
		return "a watchdog, or none";
	if (memcmp(a, b, sizeof(*a)) != 0)
		return "another start time or identity";
	return NULL;
}

const char *guest_context_check(const void *bytes, uint64_t size, const struct machine_config *config)
{
	const struct guest_context *context = bytes;

	if (size < offsetof(struct guest_context, exits) || context->magic != GUEST_CONTEXT_MAGIC)
		return "no guest's context";
	if (context->version != GUEST_CONTEXT_VERSION || context->layout != guest_context_layout())
		return "the guest's context is of another version of Yoke";
	if (size < sizeof(*context) || context->size != sizeof(*context))
		return "the guest's context is cut off";
	if (context->checksum != checksum_of(context))
		return "the guest's context is damaged";
	if (machine_config_difference(&context->machine.config, config))
		return "the guest's context is of another machine";
	return NULL;
}
