/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Local APIC: APM volume 2, chapter 16; x2APIC and TSC-deadline as Intel SDM
 * volume 3, 11.5.4.1 and 11.12. One processor, so INIT and start-up messages go
 * nowhere, and arbitration is no question. After reset LINT0 is an unmasked
 * external interrupt, which is how a PC's firmware leaves it: 8259 interrupts
 * arrive whether or not the guest knows of the APIC.
 *
 * The timer runs in virtual time. A timer interrupt that nobody took in time is
 * one interrupt, however many periods have passed.
 */
#include "machine/lapic.h"

#include <string.h>

#include "include/byte_order.h"
#include "include/trace.h"
#include "machine/clock.h"
#include "machine/machine.h"

TRACE_FILE("lapic", TRACE_WARNING);

enum {
	REGISTER_ID = 0x020,
	REGISTER_VERSION = 0x030,
	REGISTER_TASK_PRIORITY = 0x080,
	REGISTER_ARBITRATION = 0x090,
	REGISTER_PROCESSOR_PRIORITY = 0x0a0,
	REGISTER_EOI = 0x0b0,
	REGISTER_LOGICAL_DESTINATION = 0x0d0,
	REGISTER_DESTINATION_FORMAT = 0x0e0,
	REGISTER_SPURIOUS = 0x0f0,
	REGISTER_IN_SERVICE = 0x100,
	REGISTER_TRIGGER = 0x180,
	REGISTER_REQUEST = 0x200,
	REGISTER_ERROR_STATUS = 0x280,
	REGISTER_COMMAND_LOW = 0x300,
	REGISTER_COMMAND_HIGH = 0x310,
	REGISTER_LVT = 0x320, /* six of them */
	REGISTER_TIMER_INITIAL = 0x380,
	REGISTER_TIMER_CURRENT = 0x390,
	REGISTER_TIMER_DIVIDE = 0x3e0,
	REGISTER_SELF_INTERRUPT = 0x3f0, /* x2APIC only */
};

#define VERSION UINT32_C(0x00050014) /* six LVT entries */

#define BASE_MSR UINT32_C(0x1b)
#define TSC_DEADLINE_MSR UINT32_C(0x6e0)
#define X2APIC_MSR UINT32_C(0x800)
#define BASE_BOOT_PROCESSOR BIT(8)
#define BASE_X2APIC BIT(10)
#define BASE_ENABLE BIT(11)
#define BASE_ADDRESS UINT64_C(0xfffffff000)

#define SPURIOUS_ENABLE UINT32_C(0x100)
#define LVT_MASKED UINT32_C(0x10000)
#define LVT_TIMER_MODE UINT32_C(0x60000)
#define LVT_TIMER_PERIODIC UINT32_C(0x20000)
#define LVT_TIMER_TSC_DEADLINE UINT32_C(0x40000)
#define LVT_MODE(lvt) (((lvt) >> 8) & 7)
#define ERROR_SEND_VECTOR UINT32_C(0x20)
#define ERROR_RECEIVE_VECTOR UINT32_C(0x40)
#define COMMAND_LOGICAL UINT32_C(0x800)
#define COMMAND_SHORTHAND(low) (((low) >> 18) & 3)

static const uint32_t lvt_writable[MACHINE_LAPIC_LVT_COUNT] = {
	[MACHINE_LAPIC_LVT_TIMER] = 0x700ff,	   [MACHINE_LAPIC_LVT_THERMAL] = 0x107ff,
	[MACHINE_LAPIC_LVT_PERFORMANCE] = 0x107ff, [MACHINE_LAPIC_LVT_LINT0] = 0x1a7ff,
	[MACHINE_LAPIC_LVT_LINT1] = 0x1a7ff,	   [MACHINE_LAPIC_LVT_ERROR] = 0x100ff,
};

void machine_lapic_reset(struct machine *machine)
{
	struct machine_lapic *lapic = &machine->lapic;

	memset(lapic, 0, sizeof(*lapic));
	lapic->base_msr = MACHINE_LAPIC_BASE | BASE_ENABLE | BASE_BOOT_PROCESSOR;
	lapic->timer_deadline_ns = MACHINE_NO_DEADLINE;
	lapic->destination_format = UINT32_MAX;
	lapic->spurious = 0xff;
	for (uint32_t i = 0; i < MACHINE_LAPIC_LVT_COUNT; i++)
		lapic->lvt[i] = LVT_MASKED;
	lapic->lvt[MACHINE_LAPIC_LVT_LINT0] = MACHINE_DELIVERY_EXTERNAL << 8;
}

static bool is_x2apic(const struct machine_lapic *lapic)
{
	return (lapic->base_msr & BASE_X2APIC) != 0;
}

/* ---- vectors ---- */

static void bit_set(uint32_t bits[8], uint8_t vector)
{
	bits[vector >> 5] |= UINT32_C(1) << (vector & 31);
}

static void bit_clear(uint32_t bits[8], uint8_t vector)
{
	bits[vector >> 5] &= ~(UINT32_C(1) << (vector & 31));
}

static bool bit_test(const uint32_t bits[8], uint8_t vector)
{
	return (bits[vector >> 5] >> (vector & 31)) & 1;
}

static ALWAYS_INLINE uint64_t bits_at(const uint32_t bits[8], uint32_t word)
{
	return load_le64(bits + 2 * word);
}

/* The highest vector in `bits`, or -1: most often there is none, or one of a device, in the lower half. */
static int bits_highest(const uint32_t bits[8])
{
	uint64_t upper = bits_at(bits, 2) | bits_at(bits, 3);
	uint32_t word = upper ? 2 : 0;

	if (!upper && !(bits_at(bits, 0) | bits_at(bits, 1)))
		return -1;
	if (bits_at(bits, word + 1))
		word++;
	return (int)word * 64 + 63 - __builtin_clzll(bits_at(bits, word));
}

static uint8_t processor_priority(const struct machine_lapic *lapic)
{
	int in_service = bits_highest(lapic->in_service);
	uint8_t class = (uint8_t)(in_service < 0 ? 0 : in_service & 0xf0);

	return (lapic->task_priority & 0xf0) >= class ? lapic->task_priority : class;
}

bool machine_lapic_pending(const struct machine *machine, uint8_t *vector)
{
	const struct machine_lapic *lapic = &machine->lapic;
	int highest = bits_highest(lapic->request);

	if (highest < 0 || !(lapic->spurious & SPURIOUS_ENABLE) || !(lapic->base_msr & BASE_ENABLE))
		return false;
	if ((highest & 0xf0) <= (processor_priority(lapic) & 0xf0))
		return false;
	*vector = (uint8_t)highest;
	return true;
}

void machine_lapic_acknowledge(struct machine *machine, uint8_t vector)
{
	bit_clear(machine->lapic.request, vector);
	bit_set(machine->lapic.in_service, vector);
}

static void end_of_interrupt(struct machine *machine)
{
	struct machine_lapic *lapic = &machine->lapic;
	int vector = bits_highest(lapic->in_service);

	if (vector < 0)
		return;
	bit_clear(lapic->in_service, (uint8_t)vector);
	if (bits_highest(lapic->request) >= 0)
		machine_lines_changed(machine); /* it may have been barred */
	if (bit_test(lapic->trigger_level, (uint8_t)vector))
		machine_ioapic_end_of_interrupt(machine, (uint8_t)vector);
}

bool machine_lapic_accepts_external(const struct machine *machine)
{
	const struct machine_lapic *lapic = &machine->lapic;
	uint32_t lint0 = lapic->lvt[MACHINE_LAPIC_LVT_LINT0];

	if (!(lapic->base_msr & BASE_ENABLE))
		return true;
	return !(lint0 & LVT_MASKED) && LVT_MODE(lint0) == MACHINE_DELIVERY_EXTERNAL;
}

/* ---- messages ---- */

static void lvt_raise(struct machine *machine, enum machine_lapic_lvt index);

static void error_note(struct machine *machine, uint32_t error)
{
	machine->lapic.error_pending |= error;
	lvt_raise(machine, MACHINE_LAPIC_LVT_ERROR);
}

static void accept(struct machine *machine, uint32_t mode, uint8_t vector, bool is_level)
{
	struct machine_lapic *lapic = &machine->lapic;

	machine_lines_changed(machine);
	if (mode == MACHINE_DELIVERY_NMI) {
		lapic->nmi_pending = 1;
		return;
	}
	/* SMI, INIT and start-up have nobody to go to. External goes by LINT0. */
	if (mode != MACHINE_DELIVERY_FIXED && mode != MACHINE_DELIVERY_LOWEST)
		return;
	if (!(lapic->base_msr & BASE_ENABLE) || !(lapic->spurious & SPURIOUS_ENABLE))
		return;
	if (vector < 16) {
		error_note(machine, ERROR_RECEIVE_VECTOR);
		return;
	}
	bit_set(lapic->request, vector);
	if (is_level)
		bit_set(lapic->trigger_level, vector);
	else
		bit_clear(lapic->trigger_level, vector);
}

/* A local source. A broken error vector is not told by itself again. */
static void lvt_raise(struct machine *machine, enum machine_lapic_lvt index)
{
	uint32_t lvt = machine->lapic.lvt[index];

	if (lvt & LVT_MASKED)
		return;
	if (index == MACHINE_LAPIC_LVT_ERROR && (lvt & 0xff) < 16)
		return;
	accept(machine, index == MACHINE_LAPIC_LVT_TIMER ? MACHINE_DELIVERY_FIXED : LVT_MODE(lvt),
	       (uint8_t)lvt, false);
}

static bool logical_matches(const struct machine_lapic *lapic, uint32_t destination)
{
	uint32_t mine = lapic->logical_destination >> 24;

	if (is_x2apic(lapic)) /* cluster 0, member 0 */
		return destination >> 16 == 0 && (destination & 1);
	if (destination == 0xff)
		return true;
	if (lapic->destination_format >> 28 == 0xf) /* flat */
		return (mine & destination) != 0;
	return mine >> 4 == destination >> 4 && (mine & destination & 0xf);
}

static bool is_addressed(const struct machine_lapic *lapic, uint32_t destination, bool is_logical)
{
	uint32_t broadcast = is_x2apic(lapic) ? UINT32_MAX : 0xff;

	if (is_logical)
		return logical_matches(lapic, destination);
	return destination == broadcast || destination == (is_x2apic(lapic) ? 0 : lapic->id >> 24);
}

void machine_lapic_message(struct machine *machine, uint32_t destination, bool is_logical,
			   enum machine_delivery_mode mode, uint8_t vector, bool is_level)
{
	/* An 8-bit broadcast stays one for an x2APIC (SDM 3, 11.12.9). */
	if ((destination == 0xff && !is_logical) || is_addressed(&machine->lapic, destination, is_logical))
		accept(machine, mode, vector, is_level);
}

static void command_send(struct machine *machine)
{
	struct machine_lapic *lapic = &machine->lapic;
	uint32_t low = lapic->command_low;
	uint32_t mode = (low >> 8) & 7;
	uint8_t vector = (uint8_t)low;
	uint32_t destination = is_x2apic(lapic) ? lapic->command_high : lapic->command_high >> 24;
	bool reaches_us;

	switch (COMMAND_SHORTHAND(low)) {
	case 1: /* self */
	case 2: /* all, self included */
		reaches_us = true;
		break;
	case 3: /* all others: there are none */
		reaches_us = false;
		break;
	default:
		reaches_us = is_addressed(lapic, destination, (low & COMMAND_LOGICAL) != 0);
	}
	if (mode <= MACHINE_DELIVERY_LOWEST && vector < 16) {
		error_note(machine, ERROR_SEND_VECTOR);
		return;
	}
	if (reaches_us)
		accept(machine, mode, vector, false);
}

/* ---- timer ---- */

static uint32_t timer_mode(const struct machine_lapic *lapic)
{
	return lapic->lvt[MACHINE_LAPIC_LVT_TIMER] & LVT_TIMER_MODE;
}

/* Divide configuration: bits 3, 1, 0 are log2 - 1, seven being "by 1". */
static uint64_t timer_divisor(const struct machine_lapic *lapic)
{
	uint32_t code = (lapic->timer_divide & 3) | (lapic->timer_divide & 8) >> 1;

	return UINT64_C(1) << ((code + 1) & 7);
}

/* One tick before the divider is one nanosecond. */
BUILD_ASSERT(MACHINE_LAPIC_TIMER_HZ == CLOCK_NS_PER_S);
static uint64_t timer_period_ns(const struct machine_lapic *lapic)
{
	return lapic->timer_initial * timer_divisor(lapic);
}

static void timer_start(struct machine *machine)
{
	struct machine_lapic *lapic = &machine->lapic;

	lapic->timer_start_ns = machine->now_ns;
	lapic->timer_deadline_ns = MACHINE_NO_DEADLINE;
	if (lapic->timer_initial && timer_mode(lapic) <= LVT_TIMER_PERIODIC)
		lapic->timer_deadline_ns = machine->now_ns + timer_period_ns(lapic);
}

static uint32_t timer_current(const struct machine *machine)
{
	const struct machine_lapic *lapic = &machine->lapic;
	uint64_t period_ns = timer_period_ns(lapic);
	uint64_t elapsed_ns = machine->now_ns - lapic->timer_start_ns;

	if (period_ns == 0 || timer_mode(lapic) > LVT_TIMER_PERIODIC)
		return 0;
	if (timer_mode(lapic) == LVT_TIMER_PERIODIC)
		elapsed_ns %= period_ns;
	else if (elapsed_ns >= period_ns)
		return 0;
	return (uint32_t)(lapic->timer_initial - elapsed_ns / timer_divisor(lapic));
}

static void timer_divide_write(struct machine *machine, uint32_t value)
{
	struct machine_lapic *lapic = &machine->lapic;
	uint32_t current = timer_current(machine);
	bool armed = lapic->timer_deadline_ns != MACHINE_NO_DEADLINE;

	lapic->timer_divide = value & 0xb;
	if (!armed)
		return;
	/* What is left is counted at the new rate. */
	lapic->timer_deadline_ns = machine->now_ns + current * timer_divisor(lapic);
	lapic->timer_start_ns = lapic->timer_deadline_ns - timer_period_ns(lapic);
}

static void timer_mode_write(struct machine *machine, uint32_t value)
{
	struct machine_lapic *lapic = &machine->lapic;
	uint32_t old_mode = timer_mode(lapic);
	uint32_t *lvt = &lapic->lvt[MACHINE_LAPIC_LVT_TIMER];

	*lvt = value;
	/* Going to or from deadline mode disarms both (SDM 3, 11.5.4.1); mode 3 is reserved. */
	if ((old_mode ^ timer_mode(lapic)) & LVT_TIMER_TSC_DEADLINE) {
		lapic->timer_deadline_ns = MACHINE_NO_DEADLINE;
		lapic->tsc_deadline = 0;
		lapic->timer_initial = 0;
	}
}

/* Deadlines are compared in TSC ticks, which are nanoseconds of virtual time plus an offset. */
static uint64_t tsc_deadline_ns(const struct machine *machine)
{
	const struct machine_lapic *lapic = &machine->lapic;
	uint64_t tsc = machine_tsc(machine);

	if (lapic->tsc_deadline == 0)
		return MACHINE_NO_DEADLINE;
	if (lapic->tsc_deadline <= tsc)
		return machine->now_ns;
	return machine->now_ns +
	       min_u64(lapic->tsc_deadline - tsc, MACHINE_NO_DEADLINE - 1 - machine->now_ns);
}

uint64_t machine_lapic_deadline_ns(const struct machine *machine)
{
	return min_u64(machine->lapic.timer_deadline_ns, tsc_deadline_ns(machine));
}

void machine_lapic_time_set(struct machine *machine)
{
	struct machine_lapic *lapic = &machine->lapic;
	uint64_t period_ns;

	if (lapic->tsc_deadline && lapic->tsc_deadline <= machine_tsc(machine)) {
		lapic->tsc_deadline = 0;
		lvt_raise(machine, MACHINE_LAPIC_LVT_TIMER);
	}
	if (lapic->timer_deadline_ns > machine->now_ns)
		return;
	lvt_raise(machine, MACHINE_LAPIC_LVT_TIMER);
	if (timer_mode(lapic) != LVT_TIMER_PERIODIC || lapic->timer_initial == 0) {
		lapic->timer_deadline_ns = MACHINE_NO_DEADLINE;
		return;
	}
	period_ns = max_u64(timer_period_ns(lapic), CLOCK_PERIOD_MIN_NS);
	lapic->timer_deadline_ns +=
		period_ns * ((machine->now_ns - lapic->timer_deadline_ns) / period_ns + 1);
}

/* ---- registers ---- */

static void spurious_write(struct machine_lapic *lapic, uint32_t value)
{
	/* Switching the APIC off by software masks every local source. */
	if ((lapic->spurious & SPURIOUS_ENABLE) && !(value & SPURIOUS_ENABLE))
		for (uint32_t i = 0; i < MACHINE_LAPIC_LVT_COUNT; i++)
			lapic->lvt[i] |= LVT_MASKED;
	lapic->spurious = value & 0x3ff;
}

static void lvt_write(struct machine *machine, uint32_t index, uint32_t value)
{
	struct machine_lapic *lapic = &machine->lapic;
	bool was_enabled = (lapic->spurious & SPURIOUS_ENABLE) != 0;

	value &= lvt_writable[index];
	/* LINT0 stays usable for the 8259s as long as nobody has enabled the APIC. */
	if (!was_enabled && index != MACHINE_LAPIC_LVT_LINT0)
		value |= LVT_MASKED;
	if (index == MACHINE_LAPIC_LVT_TIMER)
		timer_mode_write(machine, value);
	else
		lapic->lvt[index] = value;
}

static uint32_t logical_destination_read(const struct machine_lapic *lapic)
{
	return is_x2apic(lapic) ? 1 : lapic->logical_destination;
}

uint32_t machine_lapic_read(struct machine *machine, uint32_t offset)
{
	const struct machine_lapic *lapic = &machine->lapic;
	uint32_t index = (offset >> 4) & 7;

	switch (offset & 0xff0) {
	case REGISTER_ID:
		return is_x2apic(lapic) ? 0 : lapic->id;
	case REGISTER_VERSION:
		return VERSION;
	case REGISTER_TASK_PRIORITY:
		return lapic->task_priority;
	case REGISTER_ARBITRATION:
	case REGISTER_PROCESSOR_PRIORITY:
		return processor_priority(lapic);
	case REGISTER_LOGICAL_DESTINATION:
		return logical_destination_read(lapic);
	case REGISTER_DESTINATION_FORMAT:
		return lapic->destination_format;
	case REGISTER_SPURIOUS:
		return lapic->spurious;
	case REGISTER_IN_SERVICE ... REGISTER_IN_SERVICE + 0x70:
		return lapic->in_service[index];
	case REGISTER_TRIGGER ... REGISTER_TRIGGER + 0x70:
		return lapic->trigger_level[index];
	case REGISTER_REQUEST ... REGISTER_REQUEST + 0x70:
		return lapic->request[index];
	case REGISTER_ERROR_STATUS:
		return lapic->error_status;
	case REGISTER_COMMAND_LOW:
		return lapic->command_low;
	case REGISTER_COMMAND_HIGH:
		return lapic->command_high;
	case REGISTER_LVT ... REGISTER_LVT + 0x50:
		return lapic->lvt[((offset - REGISTER_LVT) >> 4) & 7];
	case REGISTER_TIMER_INITIAL:
		return lapic->timer_initial;
	case REGISTER_TIMER_CURRENT:
		return timer_current(machine);
	case REGISTER_TIMER_DIVIDE:
		return lapic->timer_divide;
	default:
		return 0;
	}
}

void machine_lapic_write(struct machine *machine, uint32_t offset, uint32_t value)
{
	struct machine_lapic *lapic = &machine->lapic;

	if ((offset & 0xff0) == REGISTER_EOI) {
		end_of_interrupt(machine);
		return;
	}
	machine_lines_changed(machine);
	switch (offset & 0xff0) {
	case REGISTER_ID:
		lapic->id = value & 0xff000000;
		break;
	case REGISTER_TASK_PRIORITY:
		lapic->task_priority = (uint8_t)value;
		break;
	case REGISTER_LOGICAL_DESTINATION:
		lapic->logical_destination = value & 0xff000000;
		break;
	case REGISTER_DESTINATION_FORMAT:
		lapic->destination_format = value | 0x0fffffff;
		break;
	case REGISTER_SPURIOUS:
		spurious_write(lapic, value);
		break;
	case REGISTER_ERROR_STATUS:
		lapic->error_status = lapic->error_pending;
		lapic->error_pending = 0;
		break;
	case REGISTER_COMMAND_LOW:
		lapic->command_low = value & 0xccfff;
		command_send(machine);
		break;
	case REGISTER_COMMAND_HIGH:
		lapic->command_high = value;
		break;
	case REGISTER_LVT ... REGISTER_LVT + 0x50:
		machine_changed(machine);
		lvt_write(machine, ((offset - REGISTER_LVT) >> 4) & 7, value);
		break;
	case REGISTER_TIMER_INITIAL:
		machine_changed(machine);
		if (timer_mode(lapic) <= LVT_TIMER_PERIODIC) {
			lapic->timer_initial = value;
			timer_start(machine);
		}
		break;
	case REGISTER_TIMER_DIVIDE:
		machine_changed(machine);
		timer_divide_write(machine, value);
		break;
	default:
		trace(TRACE_DEBUG, "write of 0x%x to register 0x%x ignored", value, offset);
	}
}

bool machine_lapic_claims(const struct machine *machine, uint64_t gpa)
{
	uint64_t msr = machine->lapic.base_msr;

	return (gpa & ~(MACHINE_LAPIC_SIZE - 1)) == (msr & BASE_ADDRESS) && (msr & BASE_ENABLE) &&
	       !(msr & BASE_X2APIC);
}

bool machine_lapic_reads_time(uint32_t offset, bool is_write)
{
	switch (offset & 0xff0) {
	case REGISTER_TIMER_CURRENT:
		return !is_write;
	case REGISTER_TIMER_INITIAL:
	case REGISTER_TIMER_DIVIDE:
		return is_write;
	default:
		return false;
	}
}

/* ---- MSRs ---- */

bool machine_lapic_msr_ends_interrupt(struct machine *machine, uint64_t value)
{
	if (value || !is_x2apic(&machine->lapic))
		return false;
	end_of_interrupt(machine);
	return true;
}

/*
 * Off -> xAPIC -> x2APIC -> off, and nothing else (SDM 3, figure 11-27).
 */
static bool base_write(struct machine *machine, uint64_t value)
{
	struct machine_lapic *lapic = &machine->lapic;
	uint64_t old = lapic->base_msr;
	bool x2apic = (value & BASE_X2APIC) != 0;

	if (value & ~(BASE_ADDRESS | BASE_BOOT_PROCESSOR | BASE_X2APIC | BASE_ENABLE))
		return false;
	if (x2apic && (!(value & BASE_ENABLE) || !(old & BASE_ENABLE)))
		return false;
	if ((old & BASE_X2APIC) && !x2apic && (value & BASE_ENABLE))
		return false;
	if (!(value & BASE_ENABLE) && (old & BASE_ENABLE))
		machine_lapic_reset(machine);
	lapic->base_msr = value | BASE_BOOT_PROCESSOR;
	return true;
}

static bool x2apic_read(struct machine *machine, uint32_t offset, uint64_t *value)
{
	switch (offset) {
	case REGISTER_COMMAND_LOW:
		*value = (uint64_t)machine->lapic.command_high << 32 | machine->lapic.command_low;
		return true;
	case REGISTER_ARBITRATION:
	case REGISTER_EOI:
	case REGISTER_DESTINATION_FORMAT:
	case REGISTER_COMMAND_HIGH:
		return false;
	case REGISTER_ID:
	case REGISTER_VERSION:
	case REGISTER_TASK_PRIORITY:
	case REGISTER_PROCESSOR_PRIORITY:
	case REGISTER_LOGICAL_DESTINATION:
	case REGISTER_SPURIOUS:
	case REGISTER_IN_SERVICE ... REGISTER_REQUEST + 0x70:
	case REGISTER_ERROR_STATUS:
	case REGISTER_LVT ... REGISTER_LVT + 0x50:
	case REGISTER_TIMER_INITIAL:
	case REGISTER_TIMER_CURRENT:
	case REGISTER_TIMER_DIVIDE:
		*value = machine_lapic_read(machine, offset);
		return true;
	default:
		return false;
	}
}

static bool x2apic_write(struct machine *machine, uint32_t offset, uint64_t value)
{
	switch (offset) {
	case REGISTER_COMMAND_LOW:
		machine->lapic.command_high = (uint32_t)(value >> 32);
		machine_lapic_write(machine, offset, (uint32_t)value);
		return true;
	case REGISTER_SELF_INTERRUPT:
		machine_lapic_write(machine, REGISTER_COMMAND_LOW, (uint32_t)(value & 0xff) | 1 << 18);
		return true;
	case REGISTER_EOI:
	case REGISTER_ERROR_STATUS:
		if (value)
			return false;
		break;
	case REGISTER_TASK_PRIORITY:
	case REGISTER_SPURIOUS:
	case REGISTER_LVT ... REGISTER_LVT + 0x50:
	case REGISTER_TIMER_INITIAL:
	case REGISTER_TIMER_DIVIDE:
		if (value >> 32)
			return false;
		break;
	default:
		return false;
	}
	machine_lapic_write(machine, offset, (uint32_t)value);
	return true;
}

bool machine_lapic_msr_read(struct machine *machine, uint32_t msr, uint64_t *value)
{
	switch (msr) {
	case BASE_MSR:
		*value = machine->lapic.base_msr;
		return true;
	case TSC_DEADLINE_MSR:
		*value = machine->lapic.tsc_deadline;
		return true;
	default:
		return is_x2apic(&machine->lapic) && x2apic_read(machine, (msr - X2APIC_MSR) << 4, value);
	}
}

bool machine_lapic_msr_write(struct machine *machine, uint32_t msr, uint64_t value)
{
	switch (msr) {
	case BASE_MSR:
		machine_changed(machine);
		return base_write(machine, value);
	case TSC_DEADLINE_MSR:
		machine_changed(machine);
		/* Of no effect in the other timer modes. */
		if (timer_mode(&machine->lapic) == LVT_TIMER_TSC_DEADLINE)
			machine->lapic.tsc_deadline = value;
		return true;
	default:
		return is_x2apic(&machine->lapic) && x2apic_write(machine, (msr - X2APIC_MSR) << 4, value);
	}
}
