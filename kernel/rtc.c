/* SPDX-License-Identifier: Apache-2.0 */
/* MC146818 and its successors at ports 0x70 and 0x71; see rtc.h. */
#include "kernel/rtc.h"

#include "include/trace.h"
#include "kernel/port_io.h"
#include "kernel/time.h"

TRACE_FILE("boot", TRACE_INFO);

#define PORT_INDEX 0x70
#define PORT_DATA 0x71
#define NMI_STAYS_ON 0 /* bit 7 of the index would switch it off */

#define REGISTER_SECONDS 0
#define REGISTER_MINUTES 2
#define REGISTER_HOURS 4
#define REGISTER_DAY 7
#define REGISTER_MONTH 8
#define REGISTER_YEAR 9
#define REGISTER_A 0xa
#define A_UPDATING BIT(7)
#define REGISTER_B 0xb
#define B_24_HOURS BIT(1)
#define B_BINARY BIT(2)
#define HOURS_PM BIT(7)

#define UPDATE_TIMEOUT_NS (5 * NS_PER_MS) /* an update takes 2 ms */
#define TRIES 5

struct clock_fields {
	uint8_t seconds;
	uint8_t minutes;
	uint8_t hours;
	uint8_t day;
	uint8_t month;
	uint8_t year;
};

static uint8_t read_register(uint8_t index)
{
	port_write8(PORT_INDEX, NMI_STAYS_ON | index);
	return port_read8(PORT_DATA);
}

static void read_fields(struct clock_fields *fields)
{
	uint64_t deadline_ns = time_now_ns() + UPDATE_TIMEOUT_NS;

	while ((read_register(REGISTER_A) & A_UPDATING) && !time_reached(deadline_ns))
		;
	fields->seconds = read_register(REGISTER_SECONDS);
	fields->minutes = read_register(REGISTER_MINUTES);
	fields->hours = read_register(REGISTER_HOURS);
	fields->day = read_register(REGISTER_DAY);
	fields->month = read_register(REGISTER_MONTH);
	fields->year = read_register(REGISTER_YEAR);
}

static uint32_t number_of(uint8_t value, bool is_binary)
{
	return is_binary ? value : (value >> 4) * 10u + (value & 15);
}

static uint32_t hour_of(uint8_t value, uint8_t control)
{
	uint32_t hour = number_of(value & (uint8_t)~HOURS_PM, control & B_BINARY);

	if (control & B_24_HOURS)
		return hour;
	return hour % 12 + (value & HOURS_PM ? 12 : 0);
}

/* Days since 1970-01-01 of the Gregorian calendar; years from 2000 on. */
static uint64_t days_of(uint32_t year, uint32_t month, uint32_t day)
{
	static const uint16_t days_before[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };
	uint64_t leap_days = (year - 1968) / 4 - (year % 4 == 0 && month <= 2);

	return (uint64_t)(year - 1970) * 365 + leap_days + days_before[month - 1] + day - 1;
}

static uint64_t seconds_of(const struct clock_fields *fields, uint8_t control)
{
	bool is_binary = control & B_BINARY;
	uint32_t year = 2000 + number_of(fields->year, is_binary);
	uint32_t month = number_of(fields->month, is_binary);
	uint32_t day = number_of(fields->day, is_binary);

	if (year > 2099 || month < 1 || month > 12 || day < 1 || day > 31)
		return 0;
	return (days_of(year, month, day) * 24 + hour_of(fields->hours, control)) * 3600 +
	       number_of(fields->minutes, is_binary) * 60ull + number_of(fields->seconds, is_binary);
}

static uint64_t read_s(void)
{
	uint8_t control = read_register(REGISTER_B);
	uint64_t last_s = UINT64_MAX;

	/* Twice the same: no second began between two registers. */
	for (uint32_t i = 0; i < TRIES; i++) {
		struct clock_fields fields;
		uint64_t now_s;

		read_fields(&fields);
		now_s = seconds_of(&fields, control);
		if (now_s == last_s)
			return now_s;
		last_s = now_s;
	}
	trace(TRACE_WARNING, "the battery-backed clock gives no steady date");
	return 0;
}

uint64_t rtc_now_s(void)
{
	static bool was_read;
	static uint64_t at_power_on_s; /* when time_now_ns() was 0 */
	uint64_t passed_s = time_now_ns() / NS_PER_S;

	if (!was_read) {
		uint64_t now_s = read_s();

		at_power_on_s = now_s ? now_s - passed_s : 0;
		was_read = true;
	}
	return at_power_on_s ? at_power_on_s + passed_s : 0;
}
