/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's own services, on the real (or QEMU's) machine: memory, page tables, time, timer, PCI, ACPI,
 * trace. */
#include <errno.h>
#include <string.h>

#include "include/memory_layout.h"
#include "include/trace.h"
#include "kernel/acpi.h"
#include "kernel/apic.h"
#include "kernel/clock.h"
#include "kernel/console.h"
#include "kernel/cpu.h"
#include "kernel/dma.h"
#include "kernel/dma_pool.h"
#include "kernel/pages.h"
#include "kernel/paging.h"
#include "kernel/pci.h"
#include "kernel/port_io.h"
#include "kernel/self_test.h"
#include "kernel/time.h"
#include "kernel/trace.h"

TRACE_FILE("test", TRACE_INFO);

#define PM_TIMER_HZ 3579545
#define PAGE_USER BIT(2)
#define COPY_FIELD 128

static bool read_physical(void *context, uint64_t physical, void *to, uint64_t size)
{
	(void)context;
	return paging_read_physical(physical, to, size);
}

static int parse_acpi(struct acpi_info *info)
{
	const struct acpi_memory memory = { .read = read_physical };

	return acpi_parse(&memory, 0, info);
}

/* Against a clock that calibration did not use: the PIT gave the rate, the PM timer checks it. */
SELF_TEST(time_agrees_with_pm_timer)
{
	static struct acpi_info info;
	uint64_t start_ns;
	uint64_t passed_ns;
	uint32_t first;
	uint32_t ticks = 0;

	if (parse_acpi(&info) || info.pm_timer_port == 0)
		return self_test_skip("no PM timer");
	first = port_read32(info.pm_timer_port);
	start_ns = time_now_ns();
	while (ticks < PM_TIMER_HZ / 50)
		ticks = (port_read32(info.pm_timer_port) - first) & 0xffffff;
	passed_ns = time_now_ns() - start_ns;
	console_printf("%u ticks of the PM timer took %lu ns\n", ticks, (unsigned long)passed_ns);
	SELF_TEST_CHECK(passed_ns > ticks * NS_PER_S / PM_TIMER_HZ * 99 / 100);
	SELF_TEST_CHECK(passed_ns < ticks * NS_PER_S / PM_TIMER_HZ * 101 / 100);
	return 0;
}

SELF_TEST(time_never_goes_back)
{
	uint64_t last = time_now_ns();

	for (int i = 0; i < 100000; i++) {
		uint64_t now = time_now_ns();

		SELF_TEST_CHECK(now >= last);
		last = now;
	}
	last = time_now_ns();
	time_delay_us(1500);
	SELF_TEST_CHECK(time_now_ns() - last >= 1500 * NS_PER_US);
	SELF_TEST_CHECK(clock_tsc_to_ns(clock_tsc_hz()) / 1000 == NS_PER_S / 1000 ||
			clock_tsc_to_ns(clock_tsc_hz()) / 1000 == NS_PER_S / 1000 - 1);
	return 0;
}

SELF_TEST(timer_wakes)
{
	for (int i = 1; i <= 20; i++) {
		uint64_t count = apic_timer_count();
		uint64_t start_ns = time_now_ns();
		uint64_t delay_ns = (uint64_t)i * 50 * NS_PER_US;

		apic_timer_start_ns(delay_ns);
		while (apic_timer_count() == count)
			cpu_wait_for_interrupt();
		SELF_TEST_CHECK(apic_timer_count() == count + 1);
		/* The rates of timer and TSC were measured against each other, to a thousandth. */
		SELF_TEST_CHECK(time_now_ns() - start_ns >= delay_ns - delay_ns / 500);
		SELF_TEST_CHECK(apic_timer_left() == 0);
	}
	return 0;
}

/* `size` bytes from `from` on to `to`, of a field of numbered bytes: these, and no others, are what they should be. */
static bool copies_well(uint32_t to, uint32_t from, uint32_t size)
{
	static uint8_t field[COPY_FIELD];

	for (uint32_t i = 0; i < COPY_FIELD; i++)
		field[i] = (uint8_t)i;
	if (memmove(field + to, field + from, size) != field + to)
		return false;
	for (uint32_t i = 0; i < COPY_FIELD; i++)
		if (field[i] != (uint8_t)(i - to < size ? i - to + from : i))
			return false;
	if (to - from < size || from - to < size)
		return true;
	for (uint32_t i = 0; i < size; i++)
		field[from + i] = (uint8_t)~i;
	return memcpy(field + to, field + from, size) == field + to &&
	       memcmp(field + to, field + from, size) == 0;
}

SELF_TEST(memory_is_copied)
{
	for (uint32_t to = 0; to < 40; to++)
		for (uint32_t from = 0; from < 80; from++)
			for (uint32_t size = 0; size <= 36; size++)
				SELF_TEST_CHECK(copies_well(to, from, size));
	return 0;
}

/* Every entry of every table: none writable and executable, none for ring 3. Returns the leaves, or -1. */
static int64_t audit_table(uint64_t physical, int level, uint64_t rights)
{
	const uint64_t *table = pages_pointer(physical);
	int64_t leaves = 0;

	for (int i = 0; i < 512; i++) {
		uint64_t entry = table[i];
		uint64_t here = (rights & entry & PAGE_WRITE) | ((rights | entry) & PAGE_NO_EXECUTE);

		if (!(entry & PAGE_PRESENT))
			continue;
		if (entry & PAGE_USER)
			return -1;
		if (level > 0 && !(entry & PAGE_LARGE)) {
			int64_t below = audit_table(entry & PAGE_ADDRESS_MASK, level - 1, here);

			if (below < 0)
				return -1;
			leaves += below;
			continue;
		}
		if ((here & PAGE_WRITE) && !(here & PAGE_NO_EXECUTE))
			return -1;
		leaves++;
	}
	return leaves;
}

SELF_TEST(no_page_is_writable_and_executable)
{
	uint64_t top = cpu_read_cr3() & PAGE_ADDRESS_MASK;
	const uint64_t *table = pages_pointer(top);
	int64_t leaves = audit_table(top, 3, PAGE_WRITE);

	console_printf("%ld pages mapped\n", (long)leaves);
	SELF_TEST_CHECK(leaves > 0);
	for (int i = 0; i < 256; i++) /* nothing below the canonical hole, page 0 least of all */
		SELF_TEST_CHECK(table[i] == 0);
	return 0;
}

SELF_TEST(mmio_is_uncached)
{
	struct mmio region;
	uint64_t physical;
	uint64_t rights;
	uint64_t top = cpu_read_cr3() & PAGE_ADDRESS_MASK;
	const uint64_t *table = pages_pointer(top);
	uint64_t entry = 0;

	paging_map_mmio(0xfee00020, 4, &region);
	SELF_TEST_CHECK(region.size == 4);
	SELF_TEST_CHECK(paging_lookup(region.base, &physical, &rights));
	SELF_TEST_CHECK(physical == 0xfee00020);
	for (int level = 3; level >= 0; level--) {
		entry = table[(region.base >> (12 + 9 * level)) & 511];
		if (entry & PAGE_LARGE)
			break;
		table = pages_pointer(entry & PAGE_ADDRESS_MASK);
	}
	SELF_TEST_CHECK(entry & PAGE_CACHE_DISABLE);
	SELF_TEST_CHECK(entry & PAGE_WRITE_THROUGH);
	return 0;
}

SELF_TEST(pages_until_none_is_left)
{
	struct pages_usage before;
	struct pages_usage after;
	uint64_t guest_pages = 0;
	uint64_t pages = 0;

	pages_usage(&before);
	while (pages_allocate_guest() != 0)
		guest_pages++;
	for (uint64_t physical; (physical = pages_allocate(1, PAGE_SIZE)) != 0; pages++) {
		const uint64_t *words = pages_pointer(physical);

		for (uint64_t i = 0; i < PAGE_SIZE / 8; i++)
			SELF_TEST_CHECK(words[i] == 0);
		memset(pages_pointer(physical), 0xa5, PAGE_SIZE);
	}
	pages_usage(&after);
	SELF_TEST_CHECK(guest_pages > 0);
	SELF_TEST_CHECK(pages > 0);
	SELF_TEST_CHECK(after.free_size == 0);
	SELF_TEST_CHECK(after.guest_size == before.guest_size + guest_pages * LARGE_PAGE_SIZE);
	SELF_TEST_CHECK(before.free_size == guest_pages * LARGE_PAGE_SIZE + pages * PAGE_SIZE);
	SELF_TEST_CHECK(after.total_size == after.hypervisor_size + after.guest_size);
	return 0;
}

SELF_TEST(dma_pool_is_bounded)
{
	struct dma_buffer first;
	struct dma_buffer buffer;
	uint64_t last_end;

	SELF_TEST_CHECK(dma_allocate(&first, 100, 1) == 0);
	SELF_TEST_CHECK(is_aligned(first.physical, 64));
	SELF_TEST_CHECK(dma_owns(first.physical, 100));
	SELF_TEST_CHECK(!dma_owns(first.physical, DMA_POOL_SIZE + 1));
	SELF_TEST_CHECK(!dma_owns(first.physical, UINT64_MAX));
	SELF_TEST_CHECK(!dma_owns(first.physical + 100, 64)); /* not given out yet */
	SELF_TEST_CHECK(!dma_owns(0, 1));
	last_end = first.physical + first.size;
	while (dma_allocate(&buffer, 256 * KIB, 4096) == 0) {
		SELF_TEST_CHECK(buffer.physical >= last_end);
		SELF_TEST_CHECK(((const uint8_t *)buffer.address)[buffer.size - 1] == 0);
		last_end = buffer.physical + buffer.size;
	}
	SELF_TEST_CHECK(dma_pool_used() <= DMA_POOL_SIZE);
	SELF_TEST_CHECK(dma_allocate(&buffer, DMA_POOL_SIZE, 64) == -ENOMEM);
	return 0;
}

SELF_TEST(pci_devices_are_silent)
{
	SELF_TEST_CHECK(pci_device_count() > 0);
	for (uint32_t i = 0; i < pci_device_count(); i++) {
		const struct pci_device *device = pci_device_at(i);
		uint8_t msi = pci_find_capability(device, 0x05, 0);
		uint8_t msix = pci_find_capability(device, 0x11, 0);

		SELF_TEST_CHECK(device->vendor != 0xffff);
		if (msi)
			SELF_TEST_CHECK(!(pci_read16(device, (uint16_t)(msi + 2)) & 0x0001));
		if (msix)
			SELF_TEST_CHECK(!(pci_read16(device, (uint16_t)(msix + 2)) & 0x8000));
	}
	return 0;
}

/* A device's memory BAR: as large as QEMU makes it, and reachable. `vga` has 16 MiB at BAR 0. */
SELF_TEST(pci_bars_are_sized)
{
	for (uint32_t i = 0; i < pci_device_count(); i++) {
		const struct pci_device *device = pci_device_at(i);
		struct mmio region;

		if (device->vendor != 0x1234 || device->device != 0x1111)
			continue;
		SELF_TEST_CHECK(device->bars[0].size == 16 * MIB);
		SELF_TEST_CHECK(device->bars[2].size == 4096);
		SELF_TEST_CHECK(!device->bars[0].is_port);
		SELF_TEST_CHECK(pci_map_bar(device, 1, 1, &region) == -ENODEV);
		SELF_TEST_CHECK(pci_map_bar(device, 0, 16 * MIB + 1, &region) == -ENODEV);
		SELF_TEST_CHECK(pci_map_bar(device, 0, 16 * MIB, &region) == 0);
		mmio_write32(&region, 16 * MIB - 4, 0x12345678);
		SELF_TEST_CHECK(mmio_read32(&region, 16 * MIB - 4) == 0x12345678);
		return 0;
	}
	return self_test_skip("no standard VGA");
}

/* Option `bus`: some device must have been found there, which only its bridges lead to. */
SELF_TEST(pci_behind_bridges)
{
	char value[BOOT_OPTION_SIZE];

	SELF_TEST_CHECK(self_test_option("bus", value));
	for (uint32_t i = 0; i < pci_device_count(); i++) {
		char address[PCI_ADDRESS_TEXT_SIZE];

		pci_address_format(pci_device_at(i)->address, address);
		if (strncmp(address, value, 2) == 0 && pci_device_at(i)->class_code == 0x02)
			return 0;
	}
	return -1;
}

SELF_TEST(acpi_is_there)
{
	static struct acpi_info info;

	SELF_TEST_CHECK(parse_acpi(&info) == 0);
	SELF_TEST_CHECK(info.present);
	SELF_TEST_CHECK(info.problem_count == 0);
	SELF_TEST_CHECK(info.has_fadt && info.pm_timer_port != 0 && info.pm1a_control_port != 0);
	SELF_TEST_CHECK(info.has_soft_off);
	SELF_TEST_CHECK(info.has_madt && info.cpu_count >= 1 && info.local_apic_address == 0xfee00000);
	return 0;
}

SELF_TEST(acpi_is_absent)
{
	static struct acpi_info info;

	SELF_TEST_CHECK(parse_acpi(&info) == -ENOENT);
	SELF_TEST_CHECK(!info.present);
	return 0;
}

static uint32_t lines_seen;

static void count_line(const char *line)
{
	if (strstr(line, "trace level probe"))
		lines_seen++;
}

SELF_TEST(trace_levels_change)
{
	trace(TRACE_DEBUG, "trace level probe: dropped");
	SELF_TEST_CHECK(trace_set_level("kernel.c", TRACE_DEBUG) == 1);
	trace(TRACE_DEBUG, "trace level probe: kept");
	SELF_TEST_CHECK(trace_set_level("test", TRACE_ERROR) >= 1);
	trace(TRACE_WARNING, "trace level probe: dropped again");
	SELF_TEST_CHECK(trace_set_level("no such thing", TRACE_ERROR) == 0);
	SELF_TEST_CHECK(trace_set_level("all", TRACE_INFO) > 1);
	trace(TRACE_INFO, "trace level probe: kept");
	trace_show_last(100, count_line);
	SELF_TEST_CHECK(lines_seen == 2);
	return 0;
}

/* On a server with more than 4 GiB: the guest's pages come from the top, and can be written through the
 * direct map. */
SELF_TEST(pages_are_above_4g)
{
	uint64_t physical = pages_allocate_guest();
	uint64_t *words = pages_pointer(physical);
	struct pages_usage usage;

	pages_usage(&usage);
	if (usage.total_size < 4 * GIB)
		return self_test_skip("less than 4 GiB of memory");
	SELF_TEST_CHECK(physical >= 4 * GIB);
	SELF_TEST_CHECK(paging_map_guest(0, physical) == 0);
	words[LARGE_PAGE_SIZE / 8 - 1] = 0x12345678;
	SELF_TEST_CHECK(((const uint64_t *)GUEST_MAP_BASE)[LARGE_PAGE_SIZE / 8 - 1] == 0x12345678);
	return 0;
}
