/* SPDX-License-Identifier: Apache-2.0 */
/* drivers/virtqueue.c against a device that plays fair, and against one that does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "drivers/virtqueue.h"
#include "tests/unit/host/dma.h"

#define SIZE 8

static struct virtqueue queue;
static uint16_t device_seen; /* the device's place in the available ring */

static int setup(void **state)
{
	(void)state;
	host_dma_reset();
	memset(&queue, 0, sizeof(queue));
	device_seen = 0;
	return virtqueue_init(&queue, SIZE);
}

/* The device's view, through "physical" addresses only. */
static struct virtqueue_available *device_available(void)
{
	return host_dma_at(virtqueue_available_physical(&queue), 4 + 2 * SIZE);
}

static struct virtqueue_used *device_used(void)
{
	return host_dma_at(virtqueue_used_physical(&queue), 4 + 8 * SIZE);
}

static struct virtqueue_descriptor *device_descriptors(void)
{
	return host_dma_at(virtqueue_descriptors_physical(&queue), 16 * SIZE);
}

/* The device's next head, or -1. */
static int device_next(void)
{
	if (device_seen == device_available()->index)
		return -1;
	return device_available()->ring[device_seen++ % SIZE];
}

static void device_finish(uint32_t head, uint32_t size)
{
	struct virtqueue_used *used = device_used();

	used->ring[used->index % SIZE] = (struct virtqueue_used_entry){ .head = head, .size = size };
	used->index++;
}

static int add_one(uint32_t size, bool writable)
{
	struct virtqueue_segment segment = { .physical = HOST_DMA_PHYSICAL, .size = size };

	return virtqueue_add(&queue, &segment, writable ? 0 : 1, writable ? 1 : 0);
}

static void chains_reach_the_device_in_order(void **state)
{
	struct virtqueue_segment segments[3] = { { 0x1000, 16 }, { 0x2000, 512 }, { 0x3000, 1 } };
	struct virtqueue_descriptor *descriptors = device_descriptors();
	int head = virtqueue_add(&queue, segments, 1, 2);
	int second;

	(void)state;
	assert_true(head >= 0);
	assert_int_equal(device_next(), -1);
	assert_true(virtqueue_publish(&queue));
	assert_false(virtqueue_publish(&queue));
	second = device_next();
	assert_int_equal(second, head);
	assert_int_equal(descriptors[head].physical, 0x1000);
	assert_int_equal(descriptors[head].flags, 1);
	second = descriptors[head].next;
	assert_int_equal(descriptors[second].size, 512);
	assert_int_equal(descriptors[second].flags, 1 | 2);
	second = descriptors[second].next;
	assert_int_equal(descriptors[second].physical, 0x3000);
	assert_int_equal(descriptors[second].flags, 2);
	assert_int_equal(queue.free_count, SIZE - 3);
}

static void full_queue_says_again(void **state)
{
	(void)state;
	for (int i = 0; i < SIZE; i++)
		assert_true(add_one(64, false) >= 0);
	assert_int_equal(add_one(64, false), -EAGAIN);
	assert_int_equal(virtqueue_in_flight(&queue), SIZE);
}

static void chain_longer_than_what_is_free_says_again(void **state)
{
	struct virtqueue_segment segments[SIZE] = { { 0x1000, 16 } };

	(void)state;
	assert_true(add_one(64, false) >= 0);
	assert_int_equal(virtqueue_add(&queue, segments, SIZE, 0), -EAGAIN);
	assert_true(virtqueue_add(&queue, segments, SIZE - 1, 0) >= 0);
}

/* Chains of changing length, finished out of order, through three times 2^16 of the index. */
static void indices_wrap_at_16_bits(void **state)
{
	struct virtqueue_segment segments[3] = { { 0x1000, 16 }, { 0x2000, 512 }, { 0x3000, 1 } };
	uint32_t finished = 0;

	(void)state;
	for (uint32_t round = 0; round < 3 * 65536 / 2; round++) {
		int first = virtqueue_add(&queue, segments, 1 + round % 2, 1);
		int second = virtqueue_add(&queue, segments, 1, round % 3);
		uint32_t size;
		uint16_t head;

		assert_true(first >= 0 && second >= 0 && first != second);
		virtqueue_publish(&queue);
		assert_int_equal(device_next(), first);
		assert_int_equal(device_next(), second);
		assert_int_equal(device_next(), -1);
		device_finish((uint32_t)second, 0);
		device_finish((uint32_t)first, 1);
		assert_int_equal(virtqueue_take(&queue, &head, &size), 1);
		assert_int_equal(head, second);
		assert_int_equal(size, 0);
		assert_int_equal(virtqueue_take(&queue, &head, &size), 1);
		assert_int_equal(head, first);
		assert_int_equal(size, 1);
		assert_int_equal(virtqueue_take(&queue, &head, &size), 0);
		finished += 2;
	}
	assert_int_equal(queue.free_count, SIZE);
	assert_int_equal((uint16_t)finished, queue.taken);
}

static void device_may_ask_for_no_doorbell(void **state)
{
	(void)state;
	device_used()->flags = 1;
	add_one(64, false);
	assert_false(virtqueue_publish(&queue));
	assert_int_equal(device_available()->index, 1);
	device_used()->flags = 0;
	add_one(64, false);
	assert_true(virtqueue_publish(&queue));
}

static void expect_refused(void)
{
	uint16_t head;
	uint32_t size;

	assert_int_equal(virtqueue_take(&queue, &head, &size), -EIO);
}

static void head_outside_the_ring_is_refused(void **state)
{
	(void)state;
	add_one(64, true);
	virtqueue_publish(&queue);
	device_finish(SIZE, 0);
	expect_refused();
}

static void head_that_is_no_chain_is_refused(void **state)
{
	int head = add_one(64, true);

	(void)state;
	virtqueue_publish(&queue);
	device_finish((uint32_t)(head + 1) % SIZE, 0);
	expect_refused();
}

static void middle_of_a_chain_is_refused(void **state)
{
	struct virtqueue_segment segments[2] = { { 0x1000, 16 }, { 0x2000, 512 } };
	int head = virtqueue_add(&queue, segments, 1, 1);

	(void)state;
	virtqueue_publish(&queue);
	device_finish(device_descriptors()[head].next, 0);
	expect_refused();
}

static void finishing_twice_is_refused(void **state)
{
	int head = add_one(64, true);
	uint32_t size;
	uint16_t taken;

	(void)state;
	add_one(64, true);
	virtqueue_publish(&queue);
	device_finish((uint32_t)head, 0);
	device_finish((uint32_t)head, 0);
	assert_int_equal(virtqueue_take(&queue, &taken, &size), 1);
	expect_refused();
}

static void finishing_what_was_not_published_is_refused(void **state)
{
	int head = add_one(64, true);

	(void)state;
	device_finish((uint32_t)head, 0);
	expect_refused();
}

static void index_jump_is_refused(void **state)
{
	(void)state;
	add_one(64, true);
	virtqueue_publish(&queue);
	device_used()->index = 2;
	expect_refused();
	device_used()->index = UINT16_MAX;
	expect_refused();
}

static void writing_too_much_is_refused(void **state)
{
	int head = add_one(64, true);

	(void)state;
	virtqueue_publish(&queue);
	device_finish((uint32_t)head, 65);
	expect_refused();
}

static void writing_into_a_readable_chain_is_refused(void **state)
{
	int head = add_one(64, false);

	(void)state;
	virtqueue_publish(&queue);
	device_finish((uint32_t)head, 1);
	expect_refused();
}

/* A device that scribbles over the descriptors cannot lead our free list astray. */
static void scribbled_descriptors_do_no_harm(void **state)
{
	struct virtqueue_segment segments[SIZE] = { { 0x1000, 16 } };
	int head = virtqueue_add(&queue, segments, 3, 0);
	uint32_t size;
	uint16_t taken;

	(void)state;
	virtqueue_publish(&queue);
	memset(device_descriptors(), 0xff, 16 * SIZE);
	device_finish((uint32_t)head, 0);
	assert_int_equal(virtqueue_take(&queue, &taken, &size), 1);
	assert_int_equal(queue.free_count, SIZE);
	assert_true(virtqueue_add(&queue, segments, SIZE, 0) >= 0);
}

static void init_again_forgets_everything_and_takes_no_memory(void **state)
{
	uint64_t used = host_dma_used();

	(void)state;
	add_one(64, true);
	virtqueue_publish(&queue);
	assert_int_equal(virtqueue_init(&queue, SIZE), 0);
	assert_int_equal(host_dma_used(), used);
	assert_int_equal(virtqueue_in_flight(&queue), 0);
	assert_int_equal(queue.free_count, SIZE);
	assert_int_equal(device_available()->index, 0);
	assert_int_equal(virtqueue_init(&queue, 2 * SIZE), -EINVAL);
	assert_int_equal(virtqueue_init(&queue, 3), -EINVAL);
	assert_int_equal(virtqueue_init(&queue, SIZE / 2), 0);
}

static void no_memory_is_told(void **state)
{
	struct virtqueue other = { 0 };

	(void)state;
	host_dma_fail_after(0);
	assert_int_equal(virtqueue_init(&other, SIZE), -ENOMEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(chains_reach_the_device_in_order, setup),
		cmocka_unit_test_setup(full_queue_says_again, setup),
		cmocka_unit_test_setup(chain_longer_than_what_is_free_says_again, setup),
		cmocka_unit_test_setup(indices_wrap_at_16_bits, setup),
		cmocka_unit_test_setup(device_may_ask_for_no_doorbell, setup),
		cmocka_unit_test_setup(head_outside_the_ring_is_refused, setup),
		cmocka_unit_test_setup(head_that_is_no_chain_is_refused, setup),
		cmocka_unit_test_setup(middle_of_a_chain_is_refused, setup),
		cmocka_unit_test_setup(finishing_twice_is_refused, setup),
		cmocka_unit_test_setup(finishing_what_was_not_published_is_refused, setup),
		cmocka_unit_test_setup(index_jump_is_refused, setup),
		cmocka_unit_test_setup(writing_too_much_is_refused, setup),
		cmocka_unit_test_setup(writing_into_a_readable_chain_is_refused, setup),
		cmocka_unit_test_setup(scribbled_descriptors_do_no_harm, setup),
		cmocka_unit_test_setup(init_again_forgets_everything_and_takes_no_memory, setup),
		cmocka_unit_test_setup(no_memory_is_told, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
