/* SPDX-License-Identifier: Apache-2.0 */
/* manage/roles.c: who gets which port and disk, and the words of each refusal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "manage/roles.h"

static const struct role_port ports[] = {
	{ { 0, 3, 0 }, { 0x52, 0x54, 0, 0, 0, 1 } },
	{ { 0, 4, 0 }, { 0x52, 0x54, 0, 0, 0, 2 } },
	{ { 1, 0, 1 }, { 0x52, 0x54, 0, 0, 0, 3 } },
	{ { 1, 0, 2 }, { 0x52, 0x54, 0, 0, 0, 3 } }, /* same MAC as the one before */
};

static const struct role_disk disks[] = {
	{ { 0, 5, 0 }, 0, "blank", 8 * GIB, false },
	{ { 0, 0x1f, 2 }, 0, "QM0", 64 * MIB, true },
	{ { 0, 0x1f, 2 }, 1, "QM1", 10 * GIB + 512, false },
	{ { 0, 6, 0 }, 1, "", 1000 * 512, false },
	{ { 0, 7, 0 }, 1, "blank", GIB, false },
};

static struct config config;
static struct config_errors errors;
static struct roles roles;

static int assign(const char *file, uint32_t port_count, uint32_t disk_count)
{
	if (config_parse(file, strlen(file), "", 0, &config, &errors) != 0)
		fail_msg("%s", errors.list[0].text);
	return roles_assign(&config, ports, port_count, disks, disk_count, &roles, &errors);
}

static void nothing_named_means_by_order(void **state)
{
	(void)state;
	assert_int_equal(assign("", 4, 5), 0);
	assert_int_equal(roles.ports[NETWORK_CS1], 0);
	assert_int_equal(roles.ports[NETWORK_CS2], 1);
	assert_int_equal(roles.ports[NETWORK_MANAGEMENT], 2);
	assert_int_equal(roles.ports[NETWORK_PUBLIC1], 3);
	assert_int_equal(roles.ports[NETWORK_PUBLIC1 + 1], ROLE_NONE);
	assert_int_equal(roles.disks[DISK_BOOT], 1);
	assert_int_equal(roles.disks[DISK_MIRROR1], 0);
	assert_int_equal(roles.disks[DISK_MIRROR1 + 1], 2);
	assert_int_equal(roles.disks[DISK_MIRROR1 + 2], 3);
	assert_int_equal(roles.disks[DISK_MIRROR1 + 3], 4);
	assert_int_equal(roles.disks[DISK_MIRROR1 + 4], ROLE_NONE);
}

static void nothing_found_is_no_error(void **state)
{
	(void)state;
	assert_int_equal(assign("", 0, 0), 0);
	for (uint32_t role = 0; role < NETWORK_ROLE_COUNT; role++)
		assert_int_equal(roles.ports[role], ROLE_NONE);
	for (uint32_t role = 0; role < DISK_ROLE_COUNT; role++)
		assert_int_equal(roles.disks[role], ROLE_NONE);
}

/* More devices than roles: the rest has none. No state partition: no boot disk. */
static void order_ends_with_the_roles(void **state)
{
	static const struct role_port many_ports[12];
	static const struct role_disk many_disks[12];

	(void)state;
	assert_int_equal(config_parse("", 0, "", 0, &config, &errors), 0);
	assert_int_equal(roles_assign(&config, many_ports, 12, many_disks, 12, &roles, &errors), 0);
	assert_int_equal(roles.ports[NETWORK_ROLE_COUNT - 1], NETWORK_ROLE_COUNT - 1);
	assert_int_equal(roles.disks[DISK_BOOT], ROLE_NONE);
	assert_int_equal(roles.disks[DISK_MIRROR1 + 7], 7);
}

static void one_line_ends_the_order(void **state)
{
	(void)state;
	assert_int_equal(assign("[network]\npublic1 = 00:04.0\n[disk]\nmirror1 = serial:QM1\n", 4, 5), 0);
	assert_int_equal(roles.ports[NETWORK_PUBLIC1], 1);
	assert_int_equal(roles.ports[NETWORK_CS1], ROLE_NONE);
	assert_int_equal(roles.disks[DISK_MIRROR1], 2);
	assert_int_equal(roles.disks[DISK_BOOT], ROLE_NONE);

	assert_int_equal(assign("[network]\ncs1 = none\n[disk]\nboot = none\n", 4, 5), 0);
	assert_int_equal(roles.ports[NETWORK_CS1], ROLE_NONE);
	assert_int_equal(roles.ports[NETWORK_CS2], ROLE_NONE);
	assert_int_equal(roles.disks[DISK_MIRROR1], ROLE_NONE);
	/* The sections do not depend on each other, and a size names no disk. */
	assert_int_equal(assign("[network]\ncs1 = none\n[disk]\nmirror1_size = 8G\n", 4, 5), 0);
	assert_int_equal(roles.disks[DISK_MIRROR1], 0);
}

static void every_way_to_name_a_device(void **state)
{
	(void)state;
	assert_int_equal(
		assign("[network]\ncs1 = 01:00.2\ncs2 = 52:54:00:00:00:01\n"
		       "[disk]\nboot = 00:1f.2/0\nmirror1 = 00:1f.2/1\nmirror2 = 00:06.0\nmirror2_size = 1M\n"
		       "mirror3 = serial:QM0\n",
		       4, 5),
		-EINVAL);
	assert_int_equal(roles.ports[NETWORK_CS1], 3);
	assert_int_equal(roles.ports[NETWORK_CS2], 0);
	assert_int_equal(roles.disks[DISK_BOOT], 1);
	assert_int_equal(roles.disks[DISK_MIRROR1], 2);
	assert_int_equal(errors.count, 2);
	assert_string_equal(
		errors.list[0].text,
		"yoke.conf:9: mirror3: disk 00:1f.2/0 serial:QM0 64M has a role already: yoke.conf:5: boot");
	assert_string_equal(errors.list[1].text,
			    "yoke.conf:8: mirror2_size: found 1M; disk 00:06.0/1 500K is smaller");
	assert_int_equal(roles.disks[DISK_MIRROR1 + 1], ROLE_NONE);
	assert_int_equal(roles.disks[DISK_MIRROR1 + 2], ROLE_NONE);
}

struct bad_role {
	const char *file;
	uint32_t port_count;
	uint32_t disk_count;
	const char *error;
};

static const struct bad_role bad_roles[] = {
	{ "[network]\n\ncs1 = 00:09.0", 2, 0,
	  "yoke.conf:3: cs1: no network port is 00:09.0; found 00:03.0 52:54:00:00:00:01, 00:04.0 52:54:00:00:00:02" },
	{ "[network]\ncs1 = 52:54:00:00:00:09", 0, 0,
	  "yoke.conf:2: cs1: no network port is 52:54:00:00:00:09; found none at all" },
	{ "[network]\npublic2 = 52:54:00:00:00:03", 4, 0,
	  "yoke.conf:2: public2: 2 network ports are 52:54:00:00:00:03: 01:00.1 52:54:00:00:00:03, 01:00.2 "
	  "52:54:00:00:00:03; name one by its PCI path" },
	{ "[network]\ncs2 = 00:03.0\ncs1 = 52:54:00:00:00:01", 2, 0,
	  "yoke.conf:2: cs2: port 00:03.0 52:54:00:00:00:01 has a role already: yoke.conf:3: cs1" },
	{ "[disk]\nboot = 00:09.0", 0, 2,
	  "yoke.conf:2: boot: no disk is 00:09.0; found 00:05.0/0 serial:blank 8G, 00:1f.2/0 serial:QM0 64M" },
	{ "[disk]\nboot = 00:1f.2/5", 0, 0, "yoke.conf:2: boot: no disk is 00:1f.2/5; found none at all" },
	{ "[disk]\nboot = 00:1f.2", 0, 5,
	  "yoke.conf:2: boot: 2 disks are 00:1f.2: 00:1f.2/0 serial:QM0 64M, 00:1f.2/1 serial:QM1 10737418752; name one by "
	  "its PCI path and unit" },
	{ "[disk]\nmirror1 = serial:blank", 0, 5,
	  "yoke.conf:2: mirror1: 2 disks are serial:blank: 00:05.0/0 serial:blank 8G, 00:07.0/1 serial:blank 1G; name one "
	  "by its PCI path and unit" },
	{ "[disk]\nmirror1_size = 10G", 0, 1,
	  "yoke.conf:2: mirror1_size: found 10G; disk 00:05.0/0 serial:blank 8G is smaller" },
};

static void bad_roles_are_refused_in_these_words(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad_roles); i++) {
		const struct bad_role *bad = &bad_roles[i];

		if (assign(bad->file, bad->port_count, bad->disk_count) != -EINVAL)
			fail_msg("accepted: %s", bad->file);
		assert_string_equal(errors.list[0].text, bad->error);
		assert_int_equal(errors.count, 1);
	}
}

/* The other server of a pair may have it: whether that is enough is not said here. */
static void mirrored_disks_may_be_missing(void **state)
{
	(void)state;
	assert_int_equal(assign("[disk]\nmirror4_size = 10G", 0, 1), 0);
	assert_string_equal(roles.missing[3], "its size is 10G, but no disk is mirror4");
	assert_true(roles.disks_by_order);
	assert_int_equal(assign("[disk]\nmirror1 = serial:x\nmirror1_size = 10G\nmirror2 = none", 0, 0), 0);
	assert_string_equal(roles.missing[0], "no disk is serial:x");
	assert_string_equal(roles.missing[1], "");
	assert_int_equal(roles.disks[DISK_MIRROR1], ROLE_NONE);
	assert_false(roles.disks_by_order);
}

/* `set` mends a role too: what roles_assign() found goes, and is looked for again. */
static void set_and_assign_again(void **state)
{
	static struct config_errors refused;
	static const char words[] = "network.cs1=00:03.0";

	(void)state;
	assert_int_equal(assign("[network]\ncs1 = 00:09.0", 2, 0), -EINVAL);
	assert_int_equal(config_set(words, strlen(words), &config, &errors, &refused), 0);
	assert_int_equal(errors.count, 0);
	assert_int_equal(roles_assign(&config, ports, 2, disks, 0, &roles, &errors), 0);
	assert_int_equal(roles.ports[NETWORK_CS1], 0);
}

static void a_full_list_of_errors_is_no_success(void **state)
{
	(void)state;
	assert_int_equal(config_parse("", 0, "", 0, &config, &errors), 0);
	errors.count = CONFIG_ERROR_MAX;
	assert_int_equal(roles_assign(&config, ports, 4, disks, 5, &roles, &errors), -EINVAL);
}

static void roles_have_the_names_of_the_file(void **state)
{
	(void)state;
	assert_string_equal(network_role_name(NETWORK_CS1), "cs1");
	assert_string_equal(network_role_name(NETWORK_PUBLIC1 + 3), "public4");
	assert_string_equal(disk_role_name(DISK_BOOT), "boot");
	assert_string_equal(disk_role_name(DISK_MIRROR1 + 7), "mirror8");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_named_means_by_order),
		cmocka_unit_test(nothing_found_is_no_error),
		cmocka_unit_test(order_ends_with_the_roles),
		cmocka_unit_test(one_line_ends_the_order),
		cmocka_unit_test(every_way_to_name_a_device),
		cmocka_unit_test(bad_roles_are_refused_in_these_words),
		cmocka_unit_test(mirrored_disks_may_be_missing),
		cmocka_unit_test(set_and_assign_again),
		cmocka_unit_test(a_full_list_of_errors_is_no_success),
		cmocka_unit_test(roles_have_the_names_of_the_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
