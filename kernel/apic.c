/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Local APIC (AMD64 Architecture Programmer's Manual 2, chapter 16), in xAPIC mode.
 */
#include "kernel/apic.h"

#include <errno.h>

#include "include/trace.h"
#include "kernel/apic_reg.h"
#include "kernel/clock.h"
#include "kernel/cpu.h"
#include "kernel/mmio.h"
#include "kernel/paging.h"
#include "kernel/port_io.h"
#include "kernel/time.h"
#include "kernel/trap.h"

TRACE_FILE("apic", TRACE_INFO);

#define CALIBRATION_NS (2 * NS_PER_MS)
#define CPUID_FEATURES 1
#define CPUID_EDX_APIC BIT(9)

static struct mmio registers;
static uint64_t timer_hz;

static uint32_t apic_read(uint32_t reg)
{
	return mmio_read32(&registers, reg);
}

static void apic_write(uint32_t reg, uint32_t value)
{
	mmio_write32(&registers, reg, value);
}

uint32_t apic_id(void)
{
	return apic_read(APIC_ID) >> 24;
}

uint64_t apic_timer_hz(void)
{
	return timer_hz;
}

void apic_timer_start(uint32_t count)
{
	apic_write(APIC_TIMER_INITIAL_COUNT, count);
}

void apic_timer_start_ns(uint64_t delay_ns)
{
	unsigned __int128 count = (unsigned __int128)delay_ns * timer_hz / NS_PER_S;

	apic_timer_start(count == 0 ? 1 : count > UINT32_MAX ? UINT32_MAX : (uint32_t)count);
}

volatile uint32_t *apic_timer_register(void)
{
	return (volatile uint32_t *)(registers.base + APIC_TIMER_INITIAL_COUNT);
}

uint32_t apic_timer_left(void)
{
	return apic_read(APIC_TIMER_CURRENT_COUNT);
}

uint64_t apic_timer_count(void)
{
	return trap_count(TRAP_VECTOR_APIC_TIMER);
}

void apic_acknowledge(void)
{
	apic_write(APIC_END_OF_INTERRUPT, 0);
}

static void handle_timer(const struct trap_frame *frame)
{
	(void)frame;
	apic_acknowledge();
}

/* The error status must be written before it is read (APM 2, 16.4.6). */
static void handle_error(const struct trap_frame *frame)
{
	(void)frame;
	apic_write(APIC_ERROR_STATUS, 0);
	trace(TRACE_WARNING, "local APIC reports error status %#x", apic_read(APIC_ERROR_STATUS));
	apic_acknowledge();
}

/* A spurious interrupt is not in service: nothing to acknowledge (16.4.7). It is counted by trap.c. */
static void handle_spurious(const struct trap_frame *frame)
{
	(void)frame;
}

/* Both 8259s initialised to vectors nobody uses, then masked: even a spurious IRQ 7 does no harm. */
static void mask_legacy_pic(void)
{
	port_write8(PIC1_COMMAND, PIC_ICW1);
	port_write8(PIC2_COMMAND, PIC_ICW1);
	port_write8(PIC1_DATA, PIC1_VECTOR);
	port_write8(PIC2_DATA, PIC2_VECTOR);
	port_write8(PIC1_DATA, PIC_ICW3_CASCADE_ON_2);
	port_write8(PIC2_DATA, PIC_ICW3_IDENTITY_2);
	port_write8(PIC1_DATA, PIC_ICW4_8086);
	port_write8(PIC2_DATA, PIC_ICW4_8086);
	port_write8(PIC1_DATA, PIC_MASK_ALL);
	port_write8(PIC2_DATA, PIC_MASK_ALL);
}

/* From x2APIC mode, which firmware with many processors leaves on, the way back leads through "off" (16.9.1).
 */
static int enter_xapic(void)
{
	uint64_t base = cpu_read_msr(MSR_APIC_BASE);

	if (base & APIC_BASE_X2APIC) {
		base &= ~(APIC_BASE_X2APIC | APIC_BASE_ENABLE);
		cpu_write_msr(MSR_APIC_BASE, base);
	}
	cpu_write_msr(MSR_APIC_BASE, base | APIC_BASE_ENABLE);
	base = cpu_read_msr(MSR_APIC_BASE);
	if (!(base & APIC_BASE_ENABLE) || (base & APIC_BASE_X2APIC))
		return trace_error(-ENODEV);
	paging_map_mmio(base & APIC_BASE_ADDRESS_MASK, APIC_SIZE, &registers);
	return registers.size > 0 ? 0 : trace_error(-ENOMEM);
}

/* Local vectors that this APIC has beyond the first four: by its version register. */
static void mask_sources(void)
{
	uint32_t entries = (apic_read(APIC_VERSION) >> 16) & 0xff; /* highest entry */

	apic_write(APIC_LVT_LINT0, APIC_LVT_MASKED);
	apic_write(APIC_LVT_LINT1, APIC_LVT_NMI);
	apic_write(APIC_LVT_ERROR, TRAP_VECTOR_APIC_ERROR);
	if (entries >= 4)
		apic_write(APIC_LVT_PERFORMANCE, APIC_LVT_MASKED);
	if (entries >= 5)
		apic_write(APIC_LVT_THERMAL, APIC_LVT_MASKED);
	apic_write(APIC_TASK_PRIORITY, 0);
}

/* Firmware may leave an interrupt in service, which would hold back ours. */
static void clear_in_service(void)
{
	for (int i = 0; i < 256; i++)
		apic_acknowledge();
}

/* How far the counter goes while the TSC counts CALIBRATION_NS. */
static uint64_t measure_timer(void)
{
	uint64_t start;
	uint64_t end;
	uint32_t left;

	apic_write(APIC_LVT_TIMER, APIC_LVT_MASKED | TRAP_VECTOR_APIC_TIMER);
	apic_timer_start(UINT32_MAX);
	start = cpu_read_tsc();
	end = start + clock_ns_to_tsc(CALIBRATION_NS);
	while (cpu_read_tsc() < end)
		;
	left = apic_timer_left();
	end = cpu_read_tsc();
	apic_timer_start(0);
	return (uint64_t)((unsigned __int128)(UINT32_MAX - left) * clock_tsc_hz() / (end - start));
}

/* Under icount a count is a nanosecond, like an instruction; the measuring instructions blur that a little.
 */
static uint64_t rounded_hz(uint64_t hz)
{
	bool is_icount =
		cpu_facts()->is_tcg && hz > NS_PER_S - NS_PER_S / 500 && hz < NS_PER_S + NS_PER_S / 500;

	return is_icount ? NS_PER_S : hz;
}

int apic_init(void)
{
	int error;

	if (!(cpu_id(CPUID_FEATURES, 0).edx & CPUID_EDX_APIC))
		return trace_error(-ENODEV);
	mask_legacy_pic();
	error = enter_xapic();
	if (error)
		return error;
	trap_set_handler(TRAP_VECTOR_APIC_TIMER, handle_timer);
	trap_set_handler(TRAP_VECTOR_APIC_ERROR, handle_error);
	trap_set_handler(TRAP_VECTOR_APIC_SPURIOUS, handle_spurious);
	apic_write(APIC_SPURIOUS, APIC_SPURIOUS_ENABLE | TRAP_VECTOR_APIC_SPURIOUS);
	mask_sources();
	clear_in_service();
	apic_write(APIC_TIMER_DIVIDE, APIC_TIMER_DIVIDE_1);
	timer_hz = rounded_hz(measure_timer());
	if (timer_hz < APIC_TIMER_HZ_MIN)
		return trace_error(-ENODEV);
	apic_write(APIC_LVT_TIMER, TRAP_VECTOR_APIC_TIMER); /* one-shot */
	return 0;
}
