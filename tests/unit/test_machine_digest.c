/* SPDX-License-Identifier: Apache-2.0 */
/* machine/digest.c: the tables cover every byte, and a difference gets its name. */
#include "machine/digest.h"
#include "tests/unit/machine_fixture.h"

static struct machine twin;

static void check_table(const struct machine_digest_field *fields, uint32_t count, size_t size)
{
	uint32_t at = 0;

	for (uint32_t i = 0; i < count; i++) {
		if (fields[i].offset != at)
			fail_msg("%u bytes at %u, before %s, belong to no field", fields[i].offset - at, at,
				 fields[i].name);
		at += fields[i].size;
	}
	assert_int_equal(at, size);
}

static void tables_cover_every_byte(void **state)
{
	const struct machine_digest_field *fields;
	uint32_t count;

	(void)state;
	fields = machine_digest_fields(&count);
	check_table(fields, count, sizeof(struct machine));
	fields = vcpu_digest_fields(&count);
	check_table(fields, count, sizeof(struct vcpu_state));
}

static void a_difference_is_named(void **state)
{
	struct machine_difference difference;
	struct vcpu_state a;
	struct vcpu_state b;

	(void)state;
	memcpy(&twin, &machine, sizeof(twin));
	assert_false(machine_differs(&machine, &twin, &difference));
	assert_true(digest_bytes(0, &machine, sizeof(machine)) == digest_bytes(0, &twin, sizeof(twin)));
	twin.lapic.request[7] = 0x100;
	twin.pci.config_address = 1; /* a later one */
	assert_true(machine_differs(&machine, &twin, &difference));
	assert_string_equal(difference.field, "lapic.request");
	assert_int_equal(difference.offset, 24);
	assert_true(difference.a == 0 && difference.b == UINT64_C(0x10000000000));
	assert_true(digest_bytes(0, &machine, sizeof(machine)) != digest_bytes(0, &twin, sizeof(twin)));
	vcpu_state_reset(&a);
	vcpu_state_reset(&b);
	assert_true(digest_bytes(0, &a, sizeof(a)) == digest_bytes(0, &b, sizeof(b)));
	b.gpr[VCPU_R12] = 5;
	assert_true(vcpu_differs(&a, &b, &difference));
	assert_string_equal(difference.field, "r12");
	assert_true(difference.b == 5);
}

static void every_bit_counts(void **state)
{
	uint64_t digest = digest_bytes(0, &machine, sizeof(machine));
	uint8_t *bytes = (uint8_t *)&machine;

	(void)state;
	for (size_t i = 0; i < sizeof(machine); i++) {
		uint8_t bit = (uint8_t)(1 << i % 8);

		bytes[i] ^= bit;
		assert_true(digest_bytes(0, &machine, sizeof(machine)) != digest);
		bytes[i] ^= bit;
	}
	assert_true(digest_bytes(0, &machine, sizeof(machine)) == digest);
	assert_true(digest_bytes(0, "abc", 3) != digest_bytes(0, "abc\0", 4));
	assert_true(digest_bytes(0, "abc", 3) != digest_bytes(1, "abc", 3));
}

/* Words are taken four at a time: neither their places nor bits that could cancel out may be lost in that. */
static void any_two_words_count(void **state)
{
	uint64_t words[20];
	uint64_t digest;

	(void)state;
	for (uint64_t i = 0; i < ARRAY_SIZE(words); i++)
		words[i] = i * i;
	digest = digest_bytes(0, words, sizeof(words));
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		for (size_t j = 0; j < i; j++) {
			uint64_t a = words[j];
			uint64_t b = words[i];

			words[j] = b;
			words[i] = a;
			assert_true(digest_bytes(0, words, sizeof(words)) != digest);
			words[j] = a ^ UINT64_C(1) << 63;
			words[i] = b ^ UINT64_C(1) << 63;
			assert_true(digest_bytes(0, words, sizeof(words)) != digest);
			words[j] = a;
			words[i] = b;
		}
}

static void fields_have_digests_of_their_own(void **state)
{
	uint64_t before[256];
	uint64_t after[256];
	const struct machine_digest_field *fields;
	uint32_t count;
	uint32_t changed = 0;

	(void)state;
	fields = machine_digest_fields(&count);
	assert_in_range(count, 1, 256);
	digest_each_field(&machine, fields, count, before);
	machine.rtc.cmos[100] ^= 1;
	digest_each_field(&machine, fields, count, after);
	for (uint32_t i = 0; i < count; i++)
		if (before[i] != after[i]) {
			assert_string_equal(fields[i].name, "rtc.cmos");
			changed++;
		}
	assert_int_equal(changed, 1);
}

/* Two that were filled with different garbage before are the same after power-on. */
static void power_on_leaves_no_garbage(void **state)
{
	const struct machine_config config = machine.config;

	(void)state;
	memset(&machine, 0xa5, sizeof(machine));
	memset(&twin, 0x5a, sizeof(twin));
	machine_init(&machine, &config);
	machine_init(&twin, &config);
	assert_memory_equal(&machine, &twin, sizeof(twin));
	out8(0x3f8, 'x');
	out32(0xcf8, 0x80000000);
	machine_reset(&machine);
	machine_reset(&twin);
	machine.serial_output = twin.serial_output;
	assert_memory_equal(&machine, &twin, sizeof(twin));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(tables_cover_every_byte),	  TEST(a_difference_is_named),
		TEST(every_bit_counts),		  TEST(any_two_words_count),
		TEST(power_on_leaves_no_garbage), TEST(fields_have_digests_of_their_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
