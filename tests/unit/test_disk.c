/* SPDX-License-Identifier: Apache-2.0 */
/*
 * drivers/disk_queue.c on its own: tags, deadlines, failed ranges, the order in
 * which requests come back; and drivers/disk.c: what is found on a bus.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "drivers/disk_queue.h"
#include "tests/unit/host/disk_rig.h"
#include "tests/unit/host/pci.h"
#include "tests/unit/host/time.h"

static const struct disk_ops test_ops = { .name = "test" };
static struct disk_device disk;
static struct disk_queue queue;
static struct disk_request requests[DISK_QUEUE_DEPTH_MAX];

static int setup(void **state)
{
	(void)state;
	disk_rig_reset();
	memset(&disk, 0, sizeof(disk));
	disk.ops = &test_ops;
	disk.identity = (struct disk_identity){ .sector_count = 1000,
						.sector_size = 512,
						.has_write_cache = true,
						.transfer_max = DISK_TRANSFER_MAX,
						.segment_max = DISK_SEGMENT_MAX };
	disk_queue_init(&queue, 4);
	for (uint32_t i = 0; i < DISK_QUEUE_DEPTH_MAX; i++)
		requests[i] = disk_rig_request(&disk, DISK_READ, 8 * i, 8, 0);
	return 0;
}

static void tags_are_the_lowest_free_ones(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(disk_queue_add(&queue, &disk, &requests[i]), 0);
		assert_int_equal(requests[i].tag, i);
	}
	assert_int_equal(disk_queue_add(&queue, &disk, &requests[4]), -EAGAIN);
	disk_queue_finish(&queue, 2, 0);
	assert_null(disk_queue_request(&queue, 2));
	assert_int_equal(disk_queue_add(&queue, &disk, &requests[4]), 0);
	assert_int_equal(requests[4].tag, 2);
	assert_ptr_equal(disk_queue_request(&queue, 2), &requests[4]);
}

static void no_tag_out_of_range_is_found(void **state)
{
	(void)state;
	assert_int_equal(disk_queue_add(&queue, &disk, &requests[0]), 0);
	assert_null(disk_queue_request(&queue, 1));
	assert_null(disk_queue_request(&queue, 4));
	assert_null(disk_queue_request(&queue, 63));
	assert_null(disk_queue_request(&queue, 64));
	assert_null(disk_queue_request(&queue, UINT32_MAX));
}

static void the_deepest_queue_works(void **state)
{
	(void)state;
	disk_queue_init(&queue, DISK_QUEUE_DEPTH_MAX);
	for (uint32_t i = 0; i < DISK_QUEUE_DEPTH_MAX; i++)
		assert_int_equal(disk_queue_add(&queue, &disk, &requests[i]), 0);
	assert_int_equal(disk_queue_add(&queue, &disk, &requests[0]), -EAGAIN);
	disk_queue_finish_all(&queue, -ECANCELED);
	assert_int_equal(queue.busy, 0);
	for (uint32_t i = 0; i < DISK_QUEUE_DEPTH_MAX; i++)
		assert_int_equal(disk_finished_take(&disk)->status, -ECANCELED);
	assert_null(disk_finished_take(&disk));
}

static void requests_come_back_as_they_finish(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(disk_queue_add(&queue, &disk, &requests[i]), 0);
	disk_queue_finish(&queue, 3, 0);
	disk_queue_finish(&queue, 0, -EIO);
	assert_ptr_equal(disk_finished_take(&disk), &requests[3]);
	disk_queue_finish(&queue, 1, 0);
	assert_ptr_equal(disk_finished_take(&disk), &requests[0]);
	assert_ptr_equal(disk_finished_take(&disk), &requests[1]);
	assert_null(disk_finished_take(&disk));
	assert_int_equal(disk.statistics.reads, 2);
	assert_int_equal(disk.statistics.read_bytes, 2 * 4096);
	assert_int_equal(disk.statistics.errors, 1);
}

static void check_failed_range(enum disk_operation operation, uint64_t at, uint64_t sector, uint32_t count)
{
	struct disk_request request = disk_rig_request(&disk, operation, 100, 10, 0);

	assert_int_equal(disk_queue_add(&queue, &disk, &request), 0);
	disk_queue_finish_at(&queue, request.tag, -EIO, at);
	assert_ptr_equal(disk_finished_take(&disk), &request);
	assert_int_equal(request.failed_sector, sector);
	assert_int_equal(request.failed_sector_count, count);
}

static void failed_ranges_stay_inside_the_request(void **state)
{
	(void)state;
	check_failed_range(DISK_READ, 100, 100, 10);
	check_failed_range(DISK_READ, 104, 104, 6);
	check_failed_range(DISK_READ, 109, 109, 1);
	check_failed_range(DISK_READ, 110, 100, 10); /* a device that points elsewhere is not believed */
	check_failed_range(DISK_READ, 99, 100, 10);
	check_failed_range(DISK_READ, UINT64_MAX, 100, 10);
	check_failed_range(DISK_WRITE, 104, 100, 10);
}

static void only_what_is_out_of_time_expires(void **state)
{
	uint64_t now_ns;

	(void)state;
	assert_false(disk_queue_expire(&queue, UINT64_MAX - 1));
	assert_int_equal(disk_queue_add(&queue, &disk, &requests[0]), 0);
	host_time_advance_ns(NS_PER_S);
	assert_int_equal(disk_queue_add(&queue, &disk, &requests[1]), 0);
	now_ns = requests[0].deadline_ns;
	assert_false(disk_queue_expire(&queue, now_ns - 1));
	/* The one whose deadline it was is over by then: the next one counts. */
	disk_queue_finish(&queue, 0, 0);
	assert_false(disk_queue_expire(&queue, now_ns));
	assert_false(disk_queue_expire(&queue, requests[1].deadline_ns - 1));
	assert_true(disk_queue_expire(&queue, requests[1].deadline_ns));
	assert_int_equal(disk.statistics.timeouts, 1);
	assert_int_equal(disk_queue_add(&queue, &disk, &requests[2]), 0);
	disk_queue_finish_all(&queue, -ECANCELED);
	assert_int_equal(requests[1].status, -ETIMEDOUT);
	assert_int_equal(requests[2].status, -ECANCELED);
	/* The tag's next owner does not inherit the time-out. */
	assert_int_equal(disk_queue_add(&queue, &disk, &requests[3]), 0);
	assert_int_equal(requests[3].tag, requests[2].tag);
	disk_queue_finish_all(&queue, -ECANCELED);
	assert_int_equal(requests[3].status, -ECANCELED);
}

static void a_flush_is_owed_once(void **state)
{
	struct disk_request request = disk_rig_request(&disk, DISK_WRITE, 0, 8, 0);
	uint64_t deadline_ns;

	(void)state;
	request.write_through = true;
	assert_int_equal(disk_queue_add(&queue, &disk, &request), 0);
	deadline_ns = request.deadline_ns;
	assert_true(disk_queue_owes_flush(&queue, &request));
	assert_true(request.deadline_ns > deadline_ns);
	assert_false(disk_queue_owes_flush(&queue, &request));
	disk_queue_finish(&queue, request.tag, 0);

	disk.identity.has_write_through = true;
	assert_int_equal(disk_queue_add(&queue, &disk, &request), 0);
	assert_false(disk_queue_owes_flush(&queue, &request));
	disk.identity.has_write_through = false;
	disk.identity.has_write_cache = false;
	assert_false(disk_queue_owes_flush(&queue, &request));
	disk.identity.has_write_cache = true;
	request.write_through = false;
	assert_false(disk_queue_owes_flush(&queue, &request));
}

static void check_text(const char *field, uint32_t size, const char *text)
{
	char copied[DISK_TEXT_SIZE];

	disk_text_copy(copied, (const uint8_t *)field, size);
	assert_string_equal(copied, text);
}

static void texts_of_devices_are_made_harmless(void **state)
{
	(void)state;
	check_text("  abc 1  ", 9, "abc 1");
	check_text("abc\0def", 7, "abc");
	check_text("         ", 9, "");
	check_text("", 0, "");
	check_text("a\x1b[2J\xff\n", 7, "a?[2J??");
	check_text("12345678901234567890123456789012345678901234567", 47,
		   "12345678901234567890123456789012345678901234567");
}

static void an_empty_bus_has_no_disks(void **state)
{
	(void)state;
	host_pci_add(0x8086, 0x100e);
	assert_int_equal(disk_probe_all(), 0);
	assert_int_equal(disk_device_count(), 0);
}

/* A controller without its registers is told as broken, and does not keep others from being found. */
static void broken_controllers_are_passed_over(void **state)
{
	struct pci_device *pci;

	(void)state;
	pci = host_pci_add(0x8086, 0x2922);
	pci->class_code = 1;
	pci->subclass = 6;
	pci->interface = 1;
	pci = host_pci_add(0x1b36, 0x0010);
	pci->class_code = 1;
	pci->subclass = 8;
	pci->interface = 2;
	host_pci_add(0x1af4, 0x1001);
	assert_int_equal(disk_probe_all(), 0);
	for (uint32_t i = 0; i < pci_device_count(); i++)
		assert_false(host_pci_is_master(pci_device_at(i)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(tags_are_the_lowest_free_ones, setup),
		cmocka_unit_test_setup(no_tag_out_of_range_is_found, setup),
		cmocka_unit_test_setup(the_deepest_queue_works, setup),
		cmocka_unit_test_setup(requests_come_back_as_they_finish, setup),
		cmocka_unit_test_setup(failed_ranges_stay_inside_the_request, setup),
		cmocka_unit_test_setup(only_what_is_out_of_time_expires, setup),
		cmocka_unit_test_setup(a_flush_is_owed_once, setup),
		cmocka_unit_test_setup(texts_of_devices_are_made_harmless, setup),
		cmocka_unit_test_setup(an_empty_bus_has_no_disks, setup),
		cmocka_unit_test_setup(broken_controllers_are_passed_over, setup),
	};

	return cmocka_run_group_tests_name("disk", tests, NULL, NULL);
}
