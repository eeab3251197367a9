/* SPDX-License-Identifier: Apache-2.0 */
/* What a processor is refused for, by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/cpu.h"

static void refusals_name_what_is_missing(void **state)
{
	struct cpu_facts facts = { .has_svm = true, .has_nested_paging = true };

	(void)state;
	assert_null(cpu_refusal(&facts));
	facts.svm_disabled = true; /* not locked: it can be switched on */
	assert_null(cpu_refusal(&facts));
	facts.svm_locked = true;
	assert_non_null(strstr(cpu_refusal(&facts), "locked by the firmware"));
	facts.svm_disabled = false; /* locked on is what one wants */
	assert_null(cpu_refusal(&facts));
	facts.has_nested_paging = false;
	assert_non_null(strstr(cpu_refusal(&facts), "nested paging"));
	facts.has_svm = false;
	assert_non_null(strstr(cpu_refusal(&facts), "no SVM"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refusals_name_what_is_missing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
