/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MC146818A (Motorola datasheet). While the clock runs, its ten time registers are
 * worked out from virtual time when they are read. While it is held (SET in
 * register B, or the divider in reset) they are plain memory. A write to a running
 * clock is: hold, write, let run.
 *
 * Register A's update-in-progress bit is set for the last 244 us of each second,
 * as the datasheet promises, so that guests which wait for its edge get one.
 */
#include "machine/rtc.h"

#include <string.h>

#include "machine/clock.h"
#include "machine/machine.h"

enum {
	CMOS_SECOND = 0x00,
	CMOS_SECOND_ALARM = 0x01,
	CMOS_MINUTE = 0x02,
	CMOS_MINUTE_ALARM = 0x03,
	CMOS_HOUR = 0x04,
	CMOS_HOUR_ALARM = 0x05,
	CMOS_WEEKDAY = 0x06,
	CMOS_DAY = 0x07,
	CMOS_MONTH = 0x08,
	CMOS_YEAR = 0x09,
	CMOS_A = 0x0a,
	CMOS_B = 0x0b,
	CMOS_C = 0x0c,
	CMOS_D = 0x0d,
	CMOS_CENTURY = 0x32,
};

#define A_UPDATING 0x80
#define A_DIVIDER_RESET 0x60
#define A_DIVIDER_32KHZ 0x20
#define B_SET 0x80
#define B_PERIODIC 0x40
#define B_ALARM 0x20
#define B_UPDATE 0x10
#define B_BINARY 0x04
#define B_24_HOURS 0x02
#define C_ANY 0x80
#define D_VALID 0x80

#define HOUR_PM 0x80
#define ALARM_ANY 0xc0 /* "don't care" */
#define UPDATING_NS 244000
#define CRYSTAL_HZ 32768
#define SECONDS_PER_DAY 86400

struct calendar {
	uint32_t second;
	uint32_t minute;
	uint32_t hour;
	uint32_t weekday; /* 1 = Sunday */
	uint32_t day;	  /* 1.. */
	uint32_t month;	  /* 1.. */
	uint32_t year;
};

/* Days since 1970 to a civil date, by 400-year eras beginning on 1 March. */
static void calendar_from_seconds(struct calendar *calendar, uint64_t seconds)
{
	uint64_t days = seconds / SECONDS_PER_DAY;
	uint32_t rest = (uint32_t)(seconds % SECONDS_PER_DAY);
	uint64_t shifted = days + 719468; /* 1 March of year 0 */
	uint64_t era = shifted / 146097;
	uint32_t day_of_era = (uint32_t)(shifted % 146097);
	uint32_t year_of_era =
		(day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	uint32_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	uint32_t month_from_march = (5 * day_of_year + 2) / 153;

	calendar->second = rest % 60;
	calendar->minute = rest / 60 % 60;
	calendar->hour = rest / 3600;
	calendar->weekday = (uint32_t)((days + 4) % 7) + 1;
	calendar->day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
	calendar->month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
	calendar->year = (uint32_t)(era * 400) + year_of_era + (calendar->month <= 2 ? 1 : 0);
}

/* The inverse. Whatever the guest wrote gives some number: months and days may be out of range. */
static uint64_t calendar_to_seconds(const struct calendar *calendar)
{
	uint32_t month = (calendar->month + 11) % 12 + 1;
	uint32_t year = calendar->year - (month <= 2 ? 1 : 0);
	uint32_t era = year / 400;
	uint32_t year_of_era = year % 400;
	uint32_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + calendar->day - 1;
	uint64_t day_of_era = (uint64_t)year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
	int64_t days = (int64_t)(era * UINT64_C(146097) + day_of_era) - 719468;

	if (days < 0)
		days = 0;
	return (uint64_t)days * SECONDS_PER_DAY + calendar->hour * 3600 + calendar->minute * 60 +
	       calendar->second;
}

/* The clock as nanoseconds since 1970; the guest may have set it to before our epoch. */
static uint64_t clock_now_ns(const struct machine *machine)
{
	return machine->config.epoch_s * CLOCK_NS_PER_S + machine->now_ns + (uint64_t)machine->rtc.offset_ns;
}

static bool is_held(const struct machine_rtc *rtc)
{
	return (rtc->cmos[CMOS_B] & B_SET) || (rtc->cmos[CMOS_A] & A_DIVIDER_RESET) == A_DIVIDER_RESET;
}

static uint8_t encode(const struct machine_rtc *rtc, uint32_t value)
{
	if (rtc->cmos[CMOS_B] & B_BINARY)
		return (uint8_t)value;
	return (uint8_t)(value / 10 % 10 << 4 | value % 10);
}

static uint32_t decode(const struct machine_rtc *rtc, uint8_t value)
{
	if (rtc->cmos[CMOS_B] & B_BINARY)
		return value;
	return (uint32_t)(value >> 4) * 10 + (value & 15);
}

static uint8_t encode_hour(const struct machine_rtc *rtc, uint32_t hour)
{
	if (rtc->cmos[CMOS_B] & B_24_HOURS)
		return encode(rtc, hour);
	return (uint8_t)(encode(rtc, hour % 12 == 0 ? 12 : hour % 12) | (hour >= 12 ? HOUR_PM : 0));
}

static uint32_t decode_hour(const struct machine_rtc *rtc, uint8_t value)
{
	if (rtc->cmos[CMOS_B] & B_24_HOURS)
		return decode(rtc, value);
	return decode(rtc, value & (uint8_t)~HOUR_PM) % 12 + ((value & HOUR_PM) ? 12 : 0);
}

/* Brings the time registers up to date. */
static void registers_load(struct machine *machine)
{
	struct machine_rtc *rtc = &machine->rtc;
	struct calendar calendar;

	calendar_from_seconds(&calendar, clock_now_ns(machine) / CLOCK_NS_PER_S);
	rtc->cmos[CMOS_SECOND] = encode(rtc, calendar.second);
	rtc->cmos[CMOS_MINUTE] = encode(rtc, calendar.minute);
	rtc->cmos[CMOS_HOUR] = encode_hour(rtc, calendar.hour);
	rtc->cmos[CMOS_WEEKDAY] = encode(rtc, calendar.weekday);
	rtc->cmos[CMOS_DAY] = encode(rtc, calendar.day);
	rtc->cmos[CMOS_MONTH] = encode(rtc, calendar.month);
	rtc->cmos[CMOS_YEAR] = encode(rtc, calendar.year % 100);
	rtc->cmos[CMOS_CENTURY] = encode(rtc, calendar.year / 100);
}

/* The clock shows `wanted_ns` since 1970 now. */
static void clock_set(struct machine *machine, uint64_t wanted_ns)
{
	struct machine_rtc *rtc = &machine->rtc;

	rtc->offset_ns = (int64_t)(wanted_ns - machine->config.epoch_s * CLOCK_NS_PER_S - machine->now_ns);
	rtc->second = wanted_ns / CLOCK_NS_PER_S;
}

/* Lets the clock run on from the time registers; `fraction_ns` of a second have passed. */
static void registers_store(struct machine *machine, uint64_t fraction_ns)
{
	struct machine_rtc *rtc = &machine->rtc;
	struct calendar calendar = {
		.second = decode(rtc, rtc->cmos[CMOS_SECOND]),
		.minute = decode(rtc, rtc->cmos[CMOS_MINUTE]),
		.hour = decode_hour(rtc, rtc->cmos[CMOS_HOUR]),
		.day = decode(rtc, rtc->cmos[CMOS_DAY]),
		.month = decode(rtc, rtc->cmos[CMOS_MONTH]),
		.year = decode(rtc, rtc->cmos[CMOS_CENTURY]) * 100 + decode(rtc, rtc->cmos[CMOS_YEAR]),
	};

	clock_set(machine, calendar_to_seconds(&calendar) * CLOCK_NS_PER_S + fraction_ns);
}

/* 0: no periodic interrupt. */
static uint64_t periodic_hz(const struct machine_rtc *rtc)
{
	uint32_t rate = rtc->cmos[CMOS_A] & 15;

	if (rate == 0)
		return 0;
	return CRYSTAL_HZ >> ((rate <= 2 ? rate + 7 : rate) - 1);
}

static void interrupt_raise(struct machine *machine, uint8_t cause)
{
	struct machine_rtc *rtc = &machine->rtc;

	rtc->cmos[CMOS_C] |= cause;
	if (rtc->cmos[CMOS_C] & rtc->cmos[CMOS_B] & (B_PERIODIC | B_ALARM | B_UPDATE)) {
		rtc->cmos[CMOS_C] |= C_ANY;
		machine_irq_set(machine, MACHINE_RTC_IRQ, true);
	}
}

static bool alarm_matches(const struct machine_rtc *rtc, uint64_t second)
{
	uint32_t of_day = (uint32_t)(second % SECONDS_PER_DAY);
	uint8_t second_alarm = rtc->cmos[CMOS_SECOND_ALARM];
	uint8_t minute_alarm = rtc->cmos[CMOS_MINUTE_ALARM];
	uint8_t hour_alarm = rtc->cmos[CMOS_HOUR_ALARM];

	return (second_alarm >= ALARM_ANY || decode(rtc, second_alarm) == of_day % 60) &&
	       (minute_alarm >= ALARM_ANY || decode(rtc, minute_alarm) == of_day / 60 % 60) &&
	       ((hour_alarm & ALARM_ANY) == ALARM_ANY || decode_hour(rtc, hour_alarm) == of_day / 3600);
}

static void seconds_pass(struct machine *machine, uint64_t second)
{
	struct machine_rtc *rtc = &machine->rtc;
	/* After a pause every second of it counts, but no more than a day's worth. */
	uint64_t first = max_u64(rtc->second + 1, second - min_u64(second, SECONDS_PER_DAY));
	uint8_t cause = B_UPDATE;

	for (uint64_t i = first; i <= second && !(cause & B_ALARM); i++)
		if (alarm_matches(rtc, i))
			cause |= B_ALARM;
	rtc->second = second;
	interrupt_raise(machine, cause);
}

/* Brings register C up to now. */
static void flags_catch_up(struct machine *machine)
{
	struct machine_rtc *rtc = &machine->rtc;
	uint64_t hz = periodic_hz(rtc);
	uint64_t second;

	machine_changed(machine);
	if (hz) {
		uint64_t tick = clock_ticks(machine->now_ns, hz);

		if (tick != rtc->periodic_tick) {
			rtc->periodic_tick = tick;
			interrupt_raise(machine, B_PERIODIC);
		}
	}
	if (is_held(rtc))
		return;
	second = clock_now_ns(machine) / CLOCK_NS_PER_S;
	if (second > rtc->second)
		seconds_pass(machine, second);
}

void machine_rtc_set(struct machine *machine, uint64_t second)
{
	machine_changed(machine);
	if (!is_held(&machine->rtc))
		clock_set(machine, second * CLOCK_NS_PER_S);
}

void machine_rtc_time_set(struct machine *machine)
{
	/* Flags that raise no interrupt can wait until somebody looks: this is called at every RDTSC. */
	if (machine->rtc.cmos[CMOS_B] & (B_PERIODIC | B_ALARM | B_UPDATE))
		flags_catch_up(machine);
}

uint64_t machine_rtc_deadline_ns(const struct machine *machine)
{
	const struct machine_rtc *rtc = &machine->rtc;
	uint64_t deadline_ns = MACHINE_NO_DEADLINE;
	uint64_t hz = periodic_hz(rtc);

	/* A cause that was not read yet raises nothing new. */
	if (hz && (rtc->cmos[CMOS_B] & B_PERIODIC) && !(rtc->cmos[CMOS_C] & B_PERIODIC))
		deadline_ns = clock_ns(rtc->periodic_tick + 1, hz);
	if ((rtc->cmos[CMOS_B] & (B_ALARM | B_UPDATE)) && !is_held(rtc)) {
		uint64_t to_go_ns = (rtc->second + 1) * CLOCK_NS_PER_S - clock_now_ns(machine);

		deadline_ns = min_u64(deadline_ns, machine->now_ns + to_go_ns);
	}
	return deadline_ns;
}

bool machine_rtc_reads_time(const struct machine *machine, uint16_t port, bool is_write)
{
	uint8_t index = machine->rtc.index;

	if (!(port & 1))
		return false;
	return index <= CMOS_A || index == CMOS_CENTURY || (index == CMOS_B && is_write) ||
	       (index == CMOS_C && !is_write);
}

static bool is_clock_register(uint8_t index)
{
	return index == CMOS_CENTURY || (index <= CMOS_YEAR && index != CMOS_SECOND_ALARM &&
					 index != CMOS_MINUTE_ALARM && index != CMOS_HOUR_ALARM);
}

uint8_t machine_rtc_port_read(struct machine *machine, uint16_t port)
{
	struct machine_rtc *rtc = &machine->rtc;
	uint8_t value;

	if (!(port & 1))
		return 0xff;
	if (rtc->index == CMOS_C)
		flags_catch_up(machine);
	if (is_clock_register(rtc->index) && !is_held(rtc))
		registers_load(machine);
	value = rtc->cmos[rtc->index];
	if (rtc->index == CMOS_A && !is_held(rtc) &&
	    clock_now_ns(machine) % CLOCK_NS_PER_S >= CLOCK_NS_PER_S - UPDATING_NS)
		value |= A_UPDATING;
	if (rtc->index == CMOS_C) {
		rtc->cmos[CMOS_C] = 0;
		machine_irq_set(machine, MACHINE_RTC_IRQ, false);
	}
	return value;
}

/* Registers A and B may hold the clock or let it go. */
static void control_write(struct machine *machine, uint8_t value)
{
	struct machine_rtc *rtc = &machine->rtc;
	bool was_held = is_held(rtc);
	uint64_t half_second_ns = CLOCK_NS_PER_S / 2;
	bool divider_reset = (rtc->cmos[CMOS_A] & A_DIVIDER_RESET) == A_DIVIDER_RESET;

	flags_catch_up(machine);
	if (!was_held)
		registers_load(machine);
	if (rtc->index == CMOS_A) {
		rtc->cmos[CMOS_A] = value & (uint8_t)~A_UPDATING;
		rtc->periodic_tick = periodic_hz(rtc) ? clock_ticks(machine->now_ns, periodic_hz(rtc)) : 0;
	} else {
		/* SET clears the update interrupt's enable. */
		rtc->cmos[CMOS_B] = (value & B_SET) ? value & (uint8_t)~B_UPDATE : value;
	}
	/* Out of divider reset the first update comes half a second later. */
	if (was_held && !is_held(rtc))
		registers_store(machine, divider_reset ? half_second_ns : 0);
	interrupt_raise(machine, 0);
}

void machine_rtc_port_write(struct machine *machine, uint16_t port, uint8_t value)
{
	struct machine_rtc *rtc = &machine->rtc;

	if (!(port & 1)) {
		rtc->index = value & 0x7f; /* bit 7 would mask NMIs */
	} else if (rtc->index == CMOS_A || rtc->index == CMOS_B) {
		control_write(machine, value);
	} else if (is_clock_register(rtc->index) && !is_held(rtc)) {
		flags_catch_up(machine);
		registers_load(machine);
		rtc->cmos[rtc->index] = value;
		registers_store(machine, clock_now_ns(machine) % CLOCK_NS_PER_S);
	} else if (rtc->index != CMOS_C && rtc->index != CMOS_D) {
		rtc->cmos[rtc->index] = value;
	}
}

static void cmos_put16(struct machine_rtc *rtc, uint8_t index, uint64_t value)
{
	rtc->cmos[index] = (uint8_t)value;
	rtc->cmos[index + 1] = (uint8_t)(value >> 8);
}

/* What firmware expects to find: memory sizes and the boot order (as SeaBIOS reads them). */
static void cmos_init(struct machine *machine)
{
	struct machine_rtc *rtc = &machine->rtc;
	uint64_t low = min_u64(machine->config.memory_size, GUEST_MEMORY_LOW_MAX);
	uint64_t high = machine->config.memory_size - low;

	rtc->cmos[CMOS_A] = A_DIVIDER_32KHZ | 6; /* 1024 Hz */
	rtc->cmos[CMOS_B] = B_24_HOURS;
	rtc->cmos[CMOS_D] = D_VALID;
	rtc->cmos[0x14] = 0x06; /* equipment: coprocessor, PS/2 pointing device port */
	cmos_put16(rtc, 0x15, 640);
	cmos_put16(rtc, 0x17, min_u64((low - 1 * MIB) / KIB, 0xfc00));
	cmos_put16(rtc, 0x30, min_u64((low - 1 * MIB) / KIB, 0xfc00));
	cmos_put16(rtc, 0x34, low > 16 * MIB ? (low - 16 * MIB) / (64 * KIB) : 0);
	cmos_put16(rtc, 0x5b, high / (64 * KIB));
	rtc->cmos[0x5d] = (uint8_t)(high / (64 * KIB) >> 16);
	rtc->cmos[0x3d] = 0x02; /* boot from the first disk */
	rtc->cmos[0x38] = 0x01; /* do not look for a floppy's signature */
}

void machine_rtc_init(struct machine *machine)
{
	memset(&machine->rtc, 0, sizeof(machine->rtc));
	cmos_init(machine);
	machine->rtc.second = clock_now_ns(machine) / CLOCK_NS_PER_S;
}

void machine_rtc_reset(struct machine *machine)
{
	struct machine_rtc *rtc = &machine->rtc;

	rtc->index = 0;
	rtc->cmos[CMOS_B] &= (uint8_t) ~(B_PERIODIC | B_ALARM | B_UPDATE);
	rtc->cmos[CMOS_C] = 0;
}
