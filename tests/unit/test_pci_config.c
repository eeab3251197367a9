/* SPDX-License-Identifier: Apache-2.0 */
/* BARs and capability lists as devices, good and bad, present them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/pci_config.h"

static struct pci_bar bar;

static uint32_t decode(uint32_t low, uint32_t low_mask, uint32_t high, uint32_t high_mask)
{
	const struct pci_bar_probe probe = { low, low_mask, high, high_mask };

	return pci_bar_decode(&probe, &bar);
}

static void bars_are_sized(void **state)
{
	(void)state;
	assert_int_equal(decode(0, 0, 0, 0), 1); /* none */
	assert_true(bar.size == 0);
	assert_int_equal(decode(0xfebc0000, 0xfffe0000, 0, 0), 1);
	assert_true(bar.base == 0xfebc0000 && bar.size == 0x20000 && !bar.is_port && !bar.is_64bit);
	assert_int_equal(decode(0xf0000008, 0xff000008, 0, 0), 1); /* prefetchable */
	assert_true(bar.base == 0xf0000000 && bar.size == 16 * MIB);
	assert_int_equal(decode(0xc041, 0xffffffe1, 0, 0), 1); /* port, all 32 bits decoded */
	assert_true(bar.base == 0xc040 && bar.size == 32 && bar.is_port);
	assert_int_equal(decode(0xc001, 0x0000fff9, 0, 0), 1); /* port, upper half wired to 0 */
	assert_true(bar.base == 0xc000 && bar.size == 8);
	assert_int_equal(decode(0x0000000c, 0xffff000c, 0x38, 0xffffffff), 2); /* 64-bit */
	assert_true(bar.base == UINT64_C(0x3800000000) && bar.size == 64 * KIB && bar.is_64bit);
	assert_int_equal(decode(0x00000004, 0x00000004, 4, 0xfffffffc), 2); /* 16 GiB */
	assert_true(bar.base == 16 * GIB && bar.size == 16 * GIB);
	assert_int_equal(decode(0x0000000c, 0xffff000c, 0x38, 0x0000ffff), 2); /* decodes 48 bits */
	assert_true(bar.size == 64 * KIB);
}

static void masks_with_gaps_are_no_bar(void **state)
{
	(void)state;
	decode(0xfebc0000, 0xff0e0000, 0, 0);
	assert_true(bar.size == 0);
	decode(0xfebc0000, 0x00fe0000, 0, 0);
	assert_true(bar.size == 0);
	decode(0xc041, 0x00000fe1, 0, 0);
	assert_true(bar.size == 0);
}

static uint8_t config[PCI_CONFIG_SIZE];

static void put_capability(uint8_t at, uint8_t id, uint8_t next)
{
	config[at] = id;
	config[at + 1] = next;
}

static int begin_list(void **state)
{
	(void)state;
	memset(config, 0, sizeof(config));
	config[0x06] = 0x10;
	config[0x34] = 0x40;
	put_capability(0x40, 0x09, 0x50);
	put_capability(0x50, 0x05, 0x60);
	put_capability(0x60, 0x09, 0x00);
	return 0;
}

static void capabilities_are_found_in_order(void **state)
{
	(void)state;
	assert_int_equal(pci_capability_find(config, 0x09, 0), 0x40);
	assert_int_equal(pci_capability_find(config, 0x09, 0x40), 0x60);
	assert_int_equal(pci_capability_find(config, 0x09, 0x60), 0);
	assert_int_equal(pci_capability_find(config, 0x05, 0), 0x50);
	assert_int_equal(pci_capability_find(config, 0x05, 0x50), 0);
	assert_int_equal(pci_capability_find(config, 0x11, 0), 0);
	assert_int_equal(pci_capability_find(config, 0x09, 0x44), 0); /* `after` is not in the list */
}

static void wild_lists_end(void **state)
{
	(void)state;
	config[0x61] = 0x40; /* a loop */
	assert_int_equal(pci_capability_find(config, 0x11, 0), 0);
	config[0x61] = 0x60; /* points at itself */
	assert_int_equal(pci_capability_find(config, 0x11, 0), 0);
	config[0x61] = 0x10; /* into the standard header */
	config[0x10] = 0x11;
	assert_int_equal(pci_capability_find(config, 0x11, 0), 0);
	config[0x61] = 0xff; /* the last place, misaligned bits dropped */
	config[0xfc] = 0x11;
	assert_int_equal(pci_capability_find(config, 0x11, 0), 0xfc);
	config[0x06] = 0; /* no list at all */
	assert_int_equal(pci_capability_find(config, 0x09, 0), 0);
	memset(config, 0xff, sizeof(config)); /* a device that is gone */
	assert_int_equal(pci_capability_find(config, 0x09, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bars_are_sized),
		cmocka_unit_test(masks_with_gaps_are_no_bar),
		cmocka_unit_test_setup(capabilities_are_found_in_order, begin_list),
		cmocka_unit_test_setup(wild_lists_end, begin_list),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
