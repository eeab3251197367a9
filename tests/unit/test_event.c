/* SPDX-License-Identifier: Apache-2.0 */
/* manage/event.c: the ring, the faults on show, both ways to write an event. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "manage/event.h"

static struct event_log event_log;

static int set_up(void **state)
{
	(void)state;
	event_log_init(&event_log);
	return 0;
}

static void add(enum event_severity severity, const char *object, const char *new_state)
{
	event_add(&event_log, 1500000, severity, object, "good", new_state, "");
}

static void an_event_is_written_both_ways(void **state)
{
	const struct event *event;
	char buffer[512];
	struct text text;

	(void)state;
	event = event_add(&event_log, UINT64_C(12345678901), EVENT_WARNING, "link cs1", "good", "failed",
			  "carrier \"lost\"\n");
	text_init(&text, buffer, sizeof(buffer));
	event_add_text(&text, event);
	assert_string_equal(buffer, "    12.345 warning link cs1: good -> failed: carrier \"lost\"\n");
	text_init(&text, buffer, sizeof(buffer));
	event_add_json(&text, event);
	assert_string_equal(
		buffer, "{\"sequence\":1,\"time_ns\":12345678901,\"severity\":\"warning\",\"object\":\"link "
			"cs1\",\"old_state\":\"good\",\"new_state\":\"failed\",\"reason\":\"carrier "
			"\\\"lost\\\"\\u000a\"}");
	/* No reason, no colon. */
	event = event_add(&event_log, 0, EVENT_INFO, "guest", "off", "running", "");
	text_init(&text, buffer, sizeof(buffer));
	event_add_text(&text, event);
	assert_string_equal(buffer, "     0.000 info    guest: off -> running");
}

static void the_ring_keeps_the_newest(void **state)
{
	(void)state;
	assert_int_equal(event_count(&event_log), 0);
	for (uint32_t i = 0; i < EVENT_RING_SIZE + 5; i++) {
		char name[16];

		snprintf(name, sizeof(name), "disk %u", i);
		add(EVENT_INFO, name, "good");
	}
	assert_int_equal(event_count(&event_log), EVENT_RING_SIZE);
	assert_string_equal(event_at(&event_log, 0)->object, "disk 5");
	assert_int_equal(event_at(&event_log, 0)->sequence, 6);
	assert_string_equal(event_at(&event_log, EVENT_RING_SIZE - 1)->object, "disk 132");
}

static void a_fault_stays_until_it_is_repaired(void **state)
{
	(void)state;
	add(EVENT_ERROR, "disk mirror1", "failed");
	add(EVENT_WARNING, "link cs1", "failed");
	add(EVENT_INFO, "guest", "running");
	/* Long after the ring has forgotten it. */
	for (uint32_t i = 0; i < 2 * EVENT_RING_SIZE; i++)
		add(EVENT_INFO, "link cs2", "good");
	assert_int_equal(event_log.fault_count, 2);
	assert_string_equal(event_log.faults[0].object, "disk mirror1");
	assert_string_equal(event_log.faults[1].object, "link cs1");
	/* One fault an object, the newest; its place stays. */
	add(EVENT_WARNING, "disk mirror1", "outdated");
	assert_int_equal(event_log.fault_count, 2);
	assert_string_equal(event_log.faults[0].new_state, "outdated");
	add(EVENT_INFO, "disk mirror1", "good");
	assert_int_equal(event_log.fault_count, 1);
	assert_string_equal(event_log.faults[0].object, "link cs1");
	add(EVENT_INFO, "link cs1", "good");
	assert_int_equal(event_log.fault_count, 0);
}

static void too_many_faults_are_counted(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < EVENT_FAULT_MAX + 3; i++) {
		char name[16];

		snprintf(name, sizeof(name), "thing %u", i);
		add(EVENT_ERROR, name, "failed");
	}
	assert_int_equal(event_log.fault_count, EVENT_FAULT_MAX);
	assert_int_equal(event_log.faults_dropped, 3);
	add(EVENT_INFO, "thing 47", "good");
	assert_int_equal(event_log.fault_count, EVENT_FAULT_MAX - 1);
}

static void long_texts_are_cut(void **state)
{
	char longer[200];
	const struct event *event;

	(void)state;
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	event = event_add(&event_log, 0, EVENT_INFO, longer, longer, longer, longer);
	assert_int_equal(strlen(event->object), EVENT_OBJECT_SIZE - 1);
	assert_int_equal(strlen(event->old_state), EVENT_STATE_SIZE - 1);
	assert_int_equal(strlen(event->new_state), EVENT_STATE_SIZE - 1);
	assert_int_equal(strlen(event->reason), EVENT_REASON_SIZE - 1);
}

/* What came back from a disk is not believed. */
static void a_broken_log_is_refused(void **state)
{
	(void)state;
	add(EVENT_ERROR, "disk mirror1", "failed");
	assert_true(event_log_check(&event_log));
	event_log.ring[0].severity = 3;
	assert_false(event_log_check(&event_log));
	event_log.ring[0].severity = 0;
	assert_true(event_log_check(&event_log));
	event_log.fault_count = EVENT_FAULT_MAX + 1;
	assert_false(event_log_check(&event_log));
	event_log.fault_count = 1;
	memset(event_log.faults[0].reason, 'x', EVENT_REASON_SIZE);
	assert_false(event_log_check(&event_log));
	/* All of it at once: noise. */
	memset(&event_log, 0xff, sizeof(event_log));
	assert_false(event_log_check(&event_log));
	memset(&event_log, 0, sizeof(event_log));
	assert_true(event_log_check(&event_log));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(an_event_is_written_both_ways, set_up),
		cmocka_unit_test_setup(the_ring_keeps_the_newest, set_up),
		cmocka_unit_test_setup(a_fault_stays_until_it_is_repaired, set_up),
		cmocka_unit_test_setup(too_many_faults_are_counted, set_up),
		cmocka_unit_test_setup(long_texts_are_cut, set_up),
		cmocka_unit_test_setup(a_broken_log_is_refused, set_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
