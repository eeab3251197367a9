/* SPDX-License-Identifier: Apache-2.0 */
/* The ring of trace lines: order, wrap, cutting, columns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/trace_ring.h"

static struct trace_ring ring;

static void columns_are_fixed(void **state)
{
	char text[TRACE_LINE_SIZE];

	(void)state;
	memset(&ring, 0, sizeof(ring));
	assert_null(trace_ring_get(&ring, 0));
	trace_line_format(
		trace_ring_put(&ring, 'a', UINT64_C(12345678901234), TRACE_WARNING, "pci", "one\ntwo"), text);
	assert_string_equal(text, "0012345.678901 a W pci      one two");
	trace_line_format(trace_ring_put(&ring, '-', 0, TRACE_DEBUG, "longcategory", ""), text);
	assert_string_equal(text, "0000000.000000 - D longcate ");
}

static void oldest_go_first(void **state)
{
	char text[32];

	(void)state;
	memset(&ring, 0, sizeof(ring));
	for (int i = 0; i < TRACE_RING_LINES + 10; i++) {
		snprintf(text, sizeof(text), "line %d", i);
		trace_ring_put(&ring, '-', (uint64_t)i, TRACE_INFO, "test", text);
	}
	snprintf(text, sizeof(text), "line %d", TRACE_RING_LINES + 9);
	assert_string_equal(trace_ring_get(&ring, 0)->text, text);
	assert_string_equal(trace_ring_get(&ring, TRACE_RING_LINES - 1)->text, "line 10");
	assert_null(trace_ring_get(&ring, TRACE_RING_LINES));
	assert_null(trace_ring_get(&ring, UINT64_MAX));
}

static void long_lines_are_cut_visibly(void **state)
{
	char longer[400];
	const struct trace_line *line;

	(void)state;
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	line = trace_ring_put(&ring, '-', 0, TRACE_INFO, "test", longer);
	assert_int_equal(strlen(line->text), TRACE_TEXT_SIZE - 1);
	assert_string_equal(line->text + TRACE_TEXT_SIZE - 5, "x...");
	longer[TRACE_TEXT_SIZE - 1] = '\0'; /* the longest that fits is whole */
	line = trace_ring_put(&ring, '-', 0, TRACE_INFO, "test", longer);
	assert_string_equal(line->text, longer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(columns_are_fixed),
		cmocka_unit_test(oldest_go_first),
		cmocka_unit_test(long_lines_are_cut_visibly),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
