/* SPDX-License-Identifier: Apache-2.0 */
/* machine/context.c: what it seals it accepts, and nothing else. */
#include "machine/context.h"
#include "tests/unit/machine_fixture.h"

static struct guest_context context;

static void make_context(void)
{
	memset(&context, 0, sizeof(context));
	context.exits = 7;
	vcpu_state_reset(&context.vcpu);
	memcpy(&context.machine, &machine, sizeof(machine));
	guest_context_seal(&context);
}

static void check(uint64_t size, const char *wrong)
{
	const char *found = guest_context_check(&context, size, &machine.config);

	if (wrong)
		assert_string_equal(found, wrong);
	else
		assert_null(found);
}

static void sealed_is_accepted(void **state)
{
	(void)state;
	make_context();
	check(sizeof(context), NULL);
	check(sizeof(context) + 1, NULL); /* whatever stands behind it */
}

static void every_changed_byte_is_found(void **state)
{
	uint8_t *bytes = (uint8_t *)&context;

	(void)state;
	make_context();
	for (uint64_t i = offsetof(struct guest_context, exits); i < sizeof(context); i += 97) {
		bytes[i] ^= 0x10;
		check(sizeof(context), "the guest's context is damaged");
		bytes[i] ^= 0x10;
	}
	context.checksum ^= 1;
	check(sizeof(context), "the guest's context is damaged");
	context.checksum ^= 1;
	check(sizeof(context), NULL);
}

static void cut_off_at_any_place(void **state)
{
	(void)state;
	make_context();
	for (uint64_t size = 0; size < 32; size++)
		check(size, "no guest's context");
	for (uint64_t size = 32; size < sizeof(context); size += 61)
		check(size, "the guest's context is cut off");
	check(sizeof(context) - 1, "the guest's context is cut off");
}

static void other_versions_and_things(void **state)
{
	(void)state;
	make_context();
	context.version++;
	check(sizeof(context), "the guest's context is of another version of Yoke");
	make_context();
	context.layout ^= 1;
	check(sizeof(context), "the guest's context is of another version of Yoke");
	make_context();
	context.magic ^= 1;
	check(sizeof(context), "no guest's context");
}

static void another_machine(void **state)
{
	struct machine_config other = machine.config;

	(void)state;
	make_context();
	assert_null(machine_config_difference(&machine.config, &other));
	other.memory_size *= 2;
	assert_string_equal(machine_config_difference(&machine.config, &other), "memory of another size");
	assert_string_equal(guest_context_check(&context, sizeof(context), &other),
			    "the guest's context is of another machine");
	other = machine.config;
	other.disks[3].serial[0] = 'x';
	assert_string_equal(machine_config_difference(&machine.config, &other), "other disks");
	other = machine.config;
	other.net_port_count = 1;
	assert_string_equal(machine_config_difference(&machine.config, &other), "other network ports");
	other = machine.config;
	other.has_avx = 0;
	assert_string_equal(machine_config_difference(&machine.config, &other),
			    "another processor, with or without AVX");
	other = machine.config;
	other.has_watchdog = 1;
	assert_string_equal(machine_config_difference(&machine.config, &other), "a watchdog, or none");
	other = machine.config;
	other.epoch_s++;
	assert_string_equal(machine_config_difference(&machine.config, &other),
			    "another start time or identity");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(sealed_is_accepted),   TEST(every_changed_byte_is_found),
		TEST(cut_off_at_any_place), TEST(other_versions_and_things),
		TEST(another_machine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
