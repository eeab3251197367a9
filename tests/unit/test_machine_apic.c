/* SPDX-License-Identifier: Apache-2.0 */
/* machine/lapic.c and ioapic.c: priorities, messages, timer, x2APIC, level interrupts. */
#include "tests/unit/machine_fixture.h"

#define LAPIC MACHINE_LAPIC_BASE
#define IOAPIC MACHINE_IOAPIC_BASE

static void enable(void)
{
	mmio_put32(LAPIC + 0xf0, 0x1ff);
}

static void send_self(uint8_t vector)
{
	mmio_put32(LAPIC + 0x300, 0x40000u | vector);
}

static void eoi(void)
{
	mmio_put32(LAPIC + 0xb0, 0);
}

static void ioapic_put(uint32_t index, uint32_t value)
{
	mmio_put32(IOAPIC, index);
	mmio_put32(IOAPIC + 0x10, value);
}

static uint32_t ioapic_get(uint32_t index)
{
	mmio_put32(IOAPIC, index);
	return mmio32(IOAPIC + 0x10);
}

static bool msr_put(uint32_t msr, uint64_t value)
{
	return machine_msr_write(&machine, msr, value);
}

static uint64_t msr_get(uint32_t msr)
{
	uint64_t value;

	assert_true(machine_msr_read(&machine, msr, &value));
	return value;
}

static void priorities_and_nesting(void **state)
{
	(void)state;
	send_self(0x50);
	assert_int_equal(pending(), -1); /* still off */
	enable();
	send_self(0x51);
	send_self(0x82);
	assert_int_equal(take(), 0x82);
	assert_int_equal(pending(), -1);
	assert_int_equal(mmio32(LAPIC + 0xa0), 0x80);
	send_self(0x8f);
	assert_int_equal(pending(), -1); /* same class */
	send_self(0x90);
	assert_int_equal(take(), 0x90);
	eoi();
	assert_int_equal(pending(), -1);
	eoi();
	assert_int_equal(take(), 0x8f);
	eoi();
	assert_int_equal(take(), 0x51);
	assert_int_equal(mmio32(LAPIC + 0x120), 1 << 17); /* ISR: 0x51 is bit 17 of the third word */
	eoi();
	assert_int_equal(pending(), -1);
}

static void task_priority_is_cr8(void **state)
{
	(void)state;
	enable();
	machine_cr8_write(&machine, 6);
	assert_int_equal(mmio32(LAPIC + 0x80), 0x60);
	send_self(0x61);
	assert_int_equal(pending(), -1);
	mmio_put32(LAPIC + 0x80, 0x5f);
	assert_int_equal(machine_cr8_read(&machine), 5);
	assert_int_equal(pending(), 0x61);
}

static void timer_modes(void **state)
{
	(void)state;
	enable();
	mmio_put32(LAPIC + 0x3e0, 3); /* by 16 */
	mmio_put32(LAPIC + 0x320, 0xec);
	mmio_put32(LAPIC + 0x380, 1000);
	assert_true(machine_next_deadline_ns(&machine) == 16000);
	machine_time_set(&machine, 1600);
	assert_int_equal(mmio32(LAPIC + 0x390), 900);
	machine_time_set(&machine, 15999);
	assert_int_equal(pending(), -1);
	machine_time_set(&machine, 16000);
	assert_int_equal(take(), 0xec);
	eoi();
	assert_int_equal(mmio32(LAPIC + 0x390), 0);
	assert_true(machine_next_deadline_ns(&machine) == MACHINE_NO_DEADLINE);
	/* Periodic, and its phase holds when told late. */
	mmio_put32(LAPIC + 0x320, 0x200ec);
	mmio_put32(LAPIC + 0x380, 10000);
	for (uint64_t i = 1; i < 10; i++) {
		assert_true(machine_next_deadline_ns(&machine) == 16000 + i * 160000);
		machine_time_set(&machine, 16000 + i * 160000 + 777);
		assert_int_equal(take(), 0xec);
		eoi();
	}
	mmio_put32(LAPIC + 0x380, 0);
	assert_true(machine_next_deadline_ns(&machine) == MACHINE_NO_DEADLINE);
}

static void tsc_deadline(void **state)
{
	(void)state;
	enable();
	machine_time_set(&machine, 1000);
	assert_true(msr_put(0x10, 5000)); /* TSC = now + 4000 */
	assert_true(msr_put(0x6e0, 9000));
	assert_true(msr_get(0x6e0) == 0); /* not in that mode */
	mmio_put32(LAPIC + 0x320, 0x400ec);
	assert_true(msr_put(0x6e0, 9000));
	assert_true(machine_next_deadline_ns(&machine) == 5000);
	machine_time_set(&machine, 4999);
	assert_int_equal(pending(), -1);
	machine_time_set(&machine, 5000);
	assert_int_equal(take(), 0xec);
	assert_true(msr_get(0x6e0) == 0);
	eoi();
	/* One that has passed already fires at the next time value, even the same one. */
	assert_true(msr_put(0x6e0, 1));
	assert_true(machine_next_deadline_ns(&machine) == 5000);
	machine_time_set(&machine, 5000);
	assert_int_equal(take(), 0xec);
	/* One that is never reached arms nothing that wraps. */
	assert_true(msr_put(0x6e0, UINT64_MAX));
	assert_true(machine_next_deadline_ns(&machine) > machine.now_ns);
}

static void x2apic_is_msrs(void **state)
{
	uint64_t value;

	(void)state;
	assert_false(machine_msr_read(&machine, 0x802, &value));
	assert_true(msr_get(0x1b) == 0xfee00900);
	assert_true(msr_put(0x1b, 0xfee00d00));
	assert_true(msr_get(0x802) == 0);
	assert_true(msr_get(0x803) == 0x50014);
	assert_true(msr_get(0x80d) == 1);
	assert_int_equal(mmio32(LAPIC + 0x30), 0xffffffff); /* the page is gone */
	assert_true(msr_put(0x80f, 0x1ff));
	assert_true(msr_put(0x83f, 0x70)); /* self */
	assert_int_equal(take(), 0x70);
	assert_false(msr_put(0x80b, 1));
	assert_true(msr_put(0x80b, 0));
	assert_true(msr_put(0x830, UINT64_C(0x000000000000071))); /* to APIC 0 */
	assert_int_equal(take(), 0x71);
	assert_true(msr_put(0x80b, 0));
	assert_true(msr_put(0x830, UINT64_C(0x100000072))); /* to APIC 1: nobody */
	assert_int_equal(pending(), -1);
	assert_false(msr_put(0x802, 1));	 /* read only */
	assert_false(msr_put(0x80e, 0));	 /* no such register */
	assert_false(msr_put(0x1b, 0xfee00900)); /* x2APIC to xAPIC in one step */
	assert_true(msr_put(0x1b, 0xfee00100));
	assert_false(msr_put(0x1b, 0xfee00d00)); /* off to x2APIC in one step */
	assert_false(msr_put(0x1b, UINT64_C(1) << 52));
	assert_true(msr_put(0x1b, 0xfee00900));
}

/* What it bars may be asked for again at its end; and if nothing waits, nobody need ask. */
static void an_end_is_told_if_something_waits(void **state)
{
	uint64_t changes;

	(void)state;
	enable();
	send_self(0x51);
	assert_int_equal(take(), 0x51);
	send_self(0x50);
	assert_int_equal(pending(), -1);
	changes = machine.changes;
	eoi();
	assert_int_equal(pending(), 0x50);
	assert_true(machine.changes > changes);
	assert_int_equal(take(), 0x50);
	changes = machine.changes;
	eoi();
	assert_int_equal(machine.changes, changes);
	assert_int_equal(mmio32(LAPIC + 0x120), 0);
}

/* The short way, for those of x2APIC alone. */
static void an_end_by_msr_is_short(void **state)
{
	(void)state;
	enable();
	send_self(0x51);
	assert_int_equal(take(), 0x51);
	assert_false(machine_lapic_msr_ends_interrupt(&machine, 0));
	assert_true(msr_put(0x1b, 0xfee00d00));
	assert_false(machine_lapic_msr_ends_interrupt(&machine, 1));
	assert_int_equal(msr_get(0x812), 1 << 17);
	assert_true(machine_lapic_msr_ends_interrupt(&machine, 0));
	assert_int_equal(msr_get(0x812), 0);
}

/* Each vector by itself, and beside the lowest. */
static void the_highest_is_found(void **state)
{
	(void)state;
	enable();
	for (int vector = 0x20; vector < 0x100; vector++) {
		send_self((uint8_t)vector);
		assert_int_equal(take(), vector);
		eoi();
		send_self(0x10);
		send_self((uint8_t)vector);
		assert_int_equal(take(), vector);
		eoi();
		assert_int_equal(take(), 0x10);
		eoi();
	}
}

static void messages_find_their_target(void **state)
{
	static const struct {
		uint64_t address;
		uint32_t data;
		int vector;
	} table[] = {
		{ 0xfee00000, 0x41, 0x41 }, /* physical 0 */
		{ 0xfeeff000, 0x42, 0x42 }, /* broadcast */
		{ 0xfee01000, 0x43, -1 },   /* physical 1 */
		{ 0xfee04004, 0x44, 0x44 }, /* logical, our bit */
		{ 0xfee02004, 0x45, -1 },   /* logical, another's */
		{ 0xfee0100c, 0x146, -1 },  /* lowest priority, logical 1: another's */
		{ 0xfee0400c, 0x147, 0x147 & 0xff },
		{ 0xfed00000, 0x48, -1 },  /* no APIC there */
		{ 0xfee00000, 0x649, -1 }, /* start-up */
	};

	(void)state;
	enable();
	mmio_put32(LAPIC + 0xd0, 0x04000000);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		machine_msi_send(&machine, table[i].address, table[i].data);
		assert_int_equal(take(), table[i].vector);
		eoi();
	}
	machine_msi_send(&machine, 0xfee00000, 0x05);
	mmio_put32(LAPIC + 0x280, 0);
	assert_int_equal(mmio32(LAPIC + 0x280), 0x40); /* received an illegal vector */
	machine_msi_send(&machine, 0xfee00000, 0x400);
	assert_true(machine_nmi_pending(&machine));
	machine_nmi_acknowledge(&machine);
	assert_false(machine_nmi_pending(&machine));
}

static void the_8259s_come_through_lint0(void **state)
{
	(void)state;
	pic_open();
	machine_irq_set(&machine, 4, true);
	assert_int_equal(pending(), 0x24); /* virtual wire, from power-on */
	mmio_put32(LAPIC + 0x350, 0x10700);
	assert_int_equal(pending(), -1);
	mmio_put32(LAPIC + 0x350, 0x700);
	assert_int_equal(pending(), 0x24);
	enable();
	send_self(0x21); /* the local APIC's own goes first */
	assert_int_equal(take(), 0x21);
	assert_int_equal(take(), 0x24);
}

static void pins_by_edge(void **state)
{
	(void)state;
	enable();
	out8(0x21, 0xff);
	assert_int_equal(ioapic_get(1), 0x170011);
	ioapic_put(0x10 + 2 * 4, 0x34);
	assert_int_equal(ioapic_get(0x10 + 2 * 4), 0x34);
	machine_irq_set(&machine, 4, true);
	assert_int_equal(take(), 0x34);
	eoi();
	assert_int_equal(pending(), -1);
	machine_irq_set(&machine, 4, true); /* no edge */
	assert_int_equal(pending(), -1);
	machine_irq_set(&machine, 4, false);
	machine_irq_set(&machine, 4, true);
	assert_int_equal(take(), 0x34);
	eoi();
	/* The 8254 is at pin 2. */
	ioapic_put(0x10 + 2 * 2, 0x30);
	machine_irq_set(&machine, 0, true);
	assert_int_equal(take(), 0x30);
	eoi();
	/* Masked, an edge is lost. */
	ioapic_put(0x10 + 2 * 4, 0x10034);
	machine_irq_set(&machine, 4, false);
	machine_irq_set(&machine, 4, true);
	ioapic_put(0x10 + 2 * 4, 0x34);
	assert_int_equal(pending(), -1);
}

static void pins_by_level(void **state)
{
	(void)state;
	enable();
	ioapic_put(0x10 + 2 * 11, 0x18044 | 0x2000); /* masked, level, active low */
	machine_irq_set(&machine, 11, true);
	out8(0xa1, 0xff);
	assert_int_equal(pending(), -1);
	ioapic_put(0x10 + 2 * 11, 0x0a044);
	assert_int_equal(take(), 0x44);
	assert_int_equal(ioapic_get(0x10 + 2 * 11), 0x0e044); /* remote IRR */
	assert_int_equal(pending(), -1);
	eoi(); /* still asserted */
	assert_int_equal(take(), 0x44);
	machine_irq_set(&machine, 11, false);
	eoi();
	assert_int_equal(pending(), -1);
	assert_int_equal(ioapic_get(0x10 + 2 * 11), 0x0a044);
}

static void odd_registers_are_harmless(void **state)
{
	(void)state;
	enable();
	for (uint32_t offset = 0; offset < 0x1000; offset += 4) {
		mmio_put32(LAPIC + offset, 0xffffffff);
		mmio32(LAPIC + offset);
		mmio_put32(IOAPIC + offset, 0xffffffff);
		mmio32(IOAPIC + offset);
	}
	for (uint32_t index = 0; index < 256; index++) {
		ioapic_put(index, 0xffffffff);
		ioapic_get(index);
	}
	for (uint32_t msr = 0x800; msr < 0x900; msr++) {
		uint64_t value;

		msr_put(msr, UINT64_MAX);
		machine_msr_read(&machine, msr, &value);
	}
	machine_time_set(&machine, UINT64_C(1) << 40);
	machine_next_deadline_ns(&machine);
	assert_true(machine_mmio_read(&machine, &memory, LAPIC + 0x31, 1) == 0);
	assert_true(machine_mmio_read(&machine, &memory, LAPIC + 0x32, 1) == 5); /* a byte of the version */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(priorities_and_nesting),
		TEST(task_priority_is_cr8),
		TEST(timer_modes),
		TEST(tsc_deadline),
		TEST(x2apic_is_msrs),
		TEST(an_end_is_told_if_something_waits),
		TEST(an_end_by_msr_is_short),
		TEST(the_highest_is_found),
		TEST(messages_find_their_target),
		TEST(the_8259s_come_through_lint0),
		TEST(pins_by_edge),
		TEST(pins_by_level),
		TEST(odd_registers_are_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
