/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time from the TSC. Its rate is measured against a clock of known rate: PIT
 * channel 2 (1.193182 MHz, Intel 8254 datasheet) or the ACPI PM timer (3.579545
 * MHz, ACPI 6.4, 4.8.3.3). Each measurement is repeated, and the rates must agree
 * to a thousandth: a system-management interrupt in the middle spoils one.
 *
 * On the bench (QEMU with -icount shift=0) the TSC counts instructions and one
 * of them is one nanosecond of virtual time, by definition: when TCG's TSC is
 * measured to be near 1 GHz, it is exactly that.
 */
#include "kernel/time.h"

#include <errno.h>

#include "include/trace.h"
#include "kernel/clock.h"
#include "kernel/cpu.h"
#include "kernel/port_io.h"

TRACE_FILE("time", TRACE_INFO);

#define PIT_HZ 1193182
#define PIT_CHANNEL2 0x42
#define PIT_CONTROL 0x43
#define PIT_CHANNEL2_MODE0 0xb0 /* low byte then high byte, count down once, binary */
#define SPEAKER 0x61
#define SPEAKER_GATE2 0x01 /* channel 2 counts */
#define SPEAKER_DATA 0x02  /* its output is heard */
#define SPEAKER_OUT2 0x20  /* its output now: high when the count is over */

#define CPUID_EXTENDED 0x80000000
#define CPUID_POWER 0x80000007
#define CPUID_POWER_EDX_INVARIANT_TSC BIT(8)

#define PM_TIMER_HZ 3579545
#define PM_TIMER_MASK 0xffffff /* 24 bits at least */

#define MEASURE_PIT_TICKS 5966 /* 5 ms */
#define MEASURE_PM_TICKS 17898 /* 5 ms */
#define MEASURE_POLLS_MAX 1000000
#define MEASURE_TRIES 5

/* A believable processor; anything else is a broken clock. */
#define TSC_HZ_MIN UINT64_C(100000000)
#define TSC_HZ_MAX UINT64_C(10000000000)
#define ICOUNT_HZ UINT64_C(1000000000)

static uint64_t tsc_hz;
static uint64_t ns_multiplier; /* nanoseconds a tick, 32 binary places */
static const char *source = "not calibrated";

/* TSC ticks a second as one countdown of channel 2 shows; 0: it did not count. */
static uint64_t measure_pit(uint16_t unused)
{
	uint8_t speaker = port_read8(SPEAKER);
	uint64_t start;
	uint64_t end;
	uint32_t polls = 0;

	(void)unused;
	port_write8(SPEAKER, (uint8_t)((speaker & ~SPEAKER_DATA) | SPEAKER_GATE2));
	port_write8(PIT_CONTROL, PIT_CHANNEL2_MODE0);
	port_write8(PIT_CHANNEL2, MEASURE_PIT_TICKS & 0xff);
	start = cpu_read_tsc();
	port_write8(PIT_CHANNEL2, MEASURE_PIT_TICKS >> 8);
	while (!(port_read8(SPEAKER) & SPEAKER_OUT2) && polls < MEASURE_POLLS_MAX)
		polls++;
	end = cpu_read_tsc();
	port_write8(SPEAKER, speaker);
	/* Over at once or never: nothing that counts is there. */
	if (polls < 2 || polls == MEASURE_POLLS_MAX)
		return 0;
	return (end - start) * PIT_HZ / MEASURE_PIT_TICKS;
}

static uint64_t measure_pm_timer(uint16_t port)
{
	uint32_t first = port_read32(port) & PM_TIMER_MASK;
	uint64_t start = cpu_read_tsc();
	uint32_t passed = 0;
	uint64_t ticks;

	for (uint32_t polls = 0; passed < MEASURE_PM_TICKS; polls++) {
		if (polls == MEASURE_POLLS_MAX)
			return 0;
		passed = (port_read32(port) - first) & PM_TIMER_MASK;
	}
	ticks = cpu_read_tsc() - start;
	return ticks * PM_TIMER_HZ / passed;
}

/* Two measurements in a row that agree, else 0. */
static uint64_t measure(uint64_t (*once)(uint16_t), uint16_t port)
{
	uint64_t last = once(port);

	for (int i = 0; i < MEASURE_TRIES && last != 0; i++) {
		uint64_t rate = once(port);
		uint64_t difference = rate > last ? rate - last : last - rate;

		if (rate >= TSC_HZ_MIN && rate <= TSC_HZ_MAX && difference <= rate / 1000)
			return (rate + last) / 2;
		last = rate;
	}
	return 0;
}

static void set_rate(uint64_t hz)
{
	tsc_hz = hz;
	ns_multiplier = (NS_PER_S << 32) / hz;
}

/* A TSC that follows the processor's frequency makes time run at odd speeds (AMD64 APM 3, E.4.6). */
static bool tsc_is_invariant(void)
{
	return cpu_id(CPUID_EXTENDED, 0).eax >= CPUID_POWER &&
	       (cpu_id(CPUID_POWER, 0).edx & CPUID_POWER_EDX_INVARIANT_TSC);
}

int clock_init(uint16_t pm_timer_port)
{
	uint64_t hz = measure(measure_pit, 0);

	source = "PIT";
	if (hz == 0 && pm_timer_port != 0) {
		hz = measure(measure_pm_timer, pm_timer_port);
		source = "ACPI PM timer";
	}
	if (hz == 0) {
		source = "nothing";
		return trace_error(-ENODEV);
	}
	if (cpu_facts()->is_tcg && hz > ICOUNT_HZ - ICOUNT_HZ / 500 && hz < ICOUNT_HZ + ICOUNT_HZ / 500) {
		hz = ICOUNT_HZ;
		source = "icount";
	}
	set_rate(hz);
	if (!tsc_is_invariant() && !cpu_facts()->is_tcg)
		trace(TRACE_WARNING, "this CPU's TSC changes its rate with the CPU's: time will be off");
	return 0;
}

uint64_t clock_tsc_hz(void)
{
	return tsc_hz;
}

const char *clock_source(void)
{
	return source;
}

uint64_t clock_tsc_to_ns(uint64_t ticks)
{
	return (uint64_t)((unsigned __int128)ticks * ns_multiplier >> 32);
}

uint64_t clock_ns_to_tsc(uint64_t ns)
{
	return (uint64_t)((unsigned __int128)ns * tsc_hz / NS_PER_S);
}

uint64_t time_now_ns(void)
{
	return clock_tsc_to_ns(cpu_read_tsc());
}

void time_delay_us(uint64_t delay_us)
{
	uint64_t deadline_ns = time_now_ns() + delay_us * NS_PER_US;

	while (!time_reached(deadline_ns))
		;
}
