/* SPDX-License-Identifier: Apache-2.0 */
#include "manage/unit.h"

#include <string.h>

const struct unit size_units[] = {
	{ "K", KIB },
	{ "M", MIB },
	{ "G", GIB },
	{ "T", 1024 * GIB },
};
const size_t size_unit_count = ARRAY_SIZE(size_units);

const struct unit duration_units[] = {
	{ "ns", 1 },
	{ "us", UINT64_C(1000) },
	{ "ms", UINT64_C(1000000) },
	{ "s", UINT64_C(1000000000) },
	{ "min", UINT64_C(60000000000) },
	{ "h", UINT64_C(3600000000000) },
};
const size_t duration_unit_count = ARRAY_SIZE(duration_units);

/* Leading digits into `value`; returns how many there were, 0 when the number does not fit. */
static size_t digits_parse(const char *at, size_t size, uint64_t *value)
{
	size_t used = 0;

	*value = 0;
	for (; used < size && at[used] >= '0' && at[used] <= '9'; used++) {
		uint64_t digit = (uint64_t)(at[used] - '0');

		if (*value > (UINT64_MAX - digit) / 10)
			return 0;
		*value = *value * 10 + digit;
	}
	return used;
}

bool unit_parse(const char *at, size_t size, const struct unit *units, size_t unit_count, bool bare_allowed,
		uint64_t *value)
{
	size_t used = digits_parse(at, size, value);

	if (used == 0)
		return false;
	at += used;
	size -= used;
	if (size == 0)
		return bare_allowed;
	for (size_t i = 0; i < unit_count; i++) {
		if (strlen(units[i].name) != size || memcmp(units[i].name, at, size) != 0)
			continue;
		if (*value > UINT64_MAX / units[i].factor)
			return false;
		*value *= units[i].factor;
		return true;
	}
	return false;
}
