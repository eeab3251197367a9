/* SPDX-License-Identifier: Apache-2.0 */
/* machine/pm.c, pci.c, pci_host.c, msr.c, cpuid.c, ports.c, machine.c. */
#include "include/byte_order.h"
#include "machine/clock.h"
#include "tests/unit/machine_fixture.h"

/* ---- power ---- */

static uint32_t power_taken(void)
{
	static uint8_t data[MACHINE_OUTPUT_DATA_MAX];
	struct machine_output output = { .buffer = data };

	if (!machine_output_take(&machine, &memory, &output))
		return 0;
	assert_int_equal(output.kind, MACHINE_OUTPUT_POWER);
	return output.value;
}

static void soft_off_wants_type_and_enable(void **state)
{
	(void)state;
	assert_int_equal(in16(0x604), 1); /* ACPI mode from the start */
	out16(0x604, 0x2000);
	assert_int_equal(power_taken(), 0);
	out16(0x604, MACHINE_PM_SLEEP_TYPE_S5 << 10);
	assert_int_equal(power_taken(), 0);
	out16(0x604, MACHINE_PM_SLEEP_TYPE_S5 << 10 | 0x2000);
	assert_int_equal(power_taken(), MACHINE_POWER_OFF);
	assert_int_equal(power_taken(), 0);
}

static void resets_by_cf9_and_92(void **state)
{
	(void)state;
	out8(0xcf9, 0x02);
	assert_int_equal(power_taken(), 0);
	out8(0xcf9, 0x06);
	assert_int_equal(power_taken(), MACHINE_POWER_RESET);
	out8(0x92, 0x03);
	assert_int_equal(power_taken(), MACHINE_POWER_RESET);
	assert_int_equal(in8(0x92) & 2, 2);
}

static void power_button_raises_the_system_control_interrupt(void **state)
{
	const struct machine_input button = { .kind = MACHINE_INPUT_BUTTON, .value = MACHINE_BUTTON_POWER };

	(void)state;
	pic_open();
	out8(0x4d1, 0x02); /* IRQ 9 by level */
	out16(0x602, 0x0100);
	assert_true(machine_input(&machine, &memory, &button));
	assert_int_equal(take(), 0x29);
	assert_int_equal(in16(0x600), 0x0100);
	out16(0x600, 0x0100);
	assert_int_equal(in16(0x600), 0);
	out16(0x602, 0x0500); /* the clock's event: enabled as far as anybody can see */
	assert_int_equal(in16(0x602), 0x0500);
	out8(0xa0, 0x20);
	out8(0x20, 0x20);
	assert_int_equal(pending(), -1);
}

static void pm_timer_runs_and_carries(void **state)
{
	uint64_t carry_ns = clock_ns(1 << 23, MACHINE_PM_TIMER_HZ);

	(void)state;
	pic_open();
	assert_true(port_reads_time(0x608, false));
	assert_false(port_reads_time(0x600, false));
	machine_time_set(&machine, CLOCK_NS_PER_S);
	assert_int_equal(in32(0x608), MACHINE_PM_TIMER_HZ);
	assert_int_equal(in8(0x609), MACHINE_PM_TIMER_HZ >> 8 & 0xff);
	out16(0x602, 1);
	assert_true(machine_next_deadline_ns(&machine) == carry_ns);
	machine_time_set(&machine, carry_ns);
	assert_int_equal(in16(0x600) & 1, 1);
	assert_int_equal(take(), 0x29);
	machine_time_set(&machine, carry_ns * 2);
	assert_in_range(in32(0x608), 0, 16); /* 24 bits */
}

/* ---- PCI ---- */

static uint32_t config_get(uint32_t devfn, uint32_t offset)
{
	out32(0xcf8, 0x80000000u | devfn << 8 | offset);
	return in32(0xcfc);
}

static void config_put(uint32_t devfn, uint32_t offset, uint32_t value)
{
	out32(0xcf8, 0x80000000u | devfn << 8 | offset);
	out32(0xcfc, value);
}

static void chipset_is_found(void **state)
{
	(void)state;
	assert_int_equal(config_get(0x00, 0), 0x12378086);
	assert_int_equal(config_get(0x08, 0), 0x70008086);
	assert_int_equal(config_get(0x0b, 0), 0x71138086);
	assert_int_equal(config_get(0xf8, 0), 0xffffffff);
	assert_int_equal(config_get(0x00, 8) >> 8, 0x060000);
	assert_int_equal(config_get(0x0b, 0x40), 0x601);
	out32(0xcf8, 0x80010000); /* bus 1 */
	assert_int_equal(in32(0xcfc), 0xffffffff);
	out32(0xcf8, 0x00000000); /* not enabled */
	assert_int_equal(in32(0xcfc), 0xffffffff);
	out32(0xcf8, 0x80000000);
	assert_int_equal(in16(0xcfe), 0x1237);
	assert_int_equal(in8(0xcff), 0x12);
	assert_int_equal(in32(0xcf8), 0x80000000);
	config_put(0x00, 0, 0); /* read only */
	assert_int_equal(config_get(0x00, 0), 0x12378086);
	out32(0xcf8, 0x80000058);
	out8(0xcfd, 0x30); /* PAM sticks */
	assert_int_equal(in8(0xcfd), 0x30);
}

#define TEST_DEVFN MACHINE_PCI_DEVFN(20, 0) /* beside the virtio devices */

#define TEST_BAR UINT32_C(0x80008000) /* behind the entropy device's 32 KiB */

static uint32_t device_add(void)
{
	const struct machine_pci_identity identity = {
		.vendor = 0x1af4, .device = 0x1042, .class_code = 0x010000, .interrupt_pin = 1
	};
	uint32_t function = machine_pci_function_add(&machine, TEST_DEVFN, &identity);

	machine_pci_bar_add(&machine, function, 0, 4096, false);
	machine_pci_bar_add(&machine, function, 2, 32, true);
	machine_pci_msix_add(&machine, function, 2, 0, 0x800, 0xc00);
	return function;
}

static void bars_are_sized_and_moved(void **state)
{
	uint32_t function = device_add();
	const struct machine_pci_window *window;

	(void)state;
	config_put(TEST_DEVFN, 0x10, 0xffffffff);
	assert_int_equal(config_get(TEST_DEVFN, 0x10), 0xfffff000);
	config_put(TEST_DEVFN, 0x14, 0xffffffff);
	assert_int_equal(config_get(TEST_DEVFN, 0x14), 0);
	config_put(TEST_DEVFN, 0x18, 0xffffffff);
	assert_int_equal(config_get(TEST_DEVFN, 0x18), 0xffffffe1);
	config_put(TEST_DEVFN, 0x10, 0xc0001000);
	config_put(TEST_DEVFN, 0x18, 0xc040);
	assert_null(machine_pci_window_find(&machine, 0xc0001000, 4, false)); /* not decoding yet */
	config_put(TEST_DEVFN, 0x04, 0x3);
	window = machine_pci_window_find(&machine, 0xc0001ffc, 4, false);
	assert_non_null(window);
	assert_int_equal(window->function, function);
	assert_int_equal(window->bar, 0);
	assert_null(machine_pci_window_find(&machine, 0xc0001ffd, 4, false));
	assert_non_null(machine_pci_window_find(&machine, 0xc05f, 1, true));
	assert_null(machine_pci_window_find(&machine, 0xc060, 1, true));
	config_put(TEST_DEVFN, 0x04, 0x1);
	assert_null(machine_pci_window_find(&machine, 0xc0001000, 4, false));
}

static void bars_can_be_assigned(void **state)
{
	device_add();
	(void)state;
	machine_pci_bars_assign(&machine);
	assert_int_equal(config_get(TEST_DEVFN, 0x10), TEST_BAR);
	assert_int_equal(config_get(TEST_DEVFN, 0x18), 0xc041); /* behind the entropy device's bells */
	assert_non_null(machine_pci_window_find(&machine, TEST_BAR, 8, false));
	assert_non_null(machine_pci_window_find(&machine, 0xc040, 4, true));
}

static void virtio_put(uint32_t offset, uint32_t size, uint64_t value)
{
	machine_mmio_write(&machine, &memory, UINT64_C(0x80000000) + offset, size, value);
}

/* The entropy device's: by a port, where its BAR 1 is, while that is decoded. */
static void a_bell_is_rung_by_a_port(void **state)
{
	const uint8_t devfn = MACHINE_PCI_DEVFN(MACHINE_PCI_VIRTIO_SLOT_FIRST, 0);

	(void)state;
	machine_pci_bars_assign(&machine);
	assert_int_equal(config_get(devfn, 0x14), 0xc001);
	config_put(devfn, 0x04, 7);
	virtio_put(0x08, 4, 1); /* the upper features: version 1 alone */
	virtio_put(0x0c, 4, 1);
	virtio_put(0x14, 1, MACHINE_VIRTIO_STATUS_FEATURES_OK);
	virtio_put(0x20, 8, 0x10000);
	virtio_put(0x28, 8, 0x20000);
	virtio_put(0x30, 8, 0x30000);
	virtio_put(0x1c, 2, 1);
	virtio_put(0x14, 1, MACHINE_VIRTIO_STATUS_FEATURES_OK | MACHINE_VIRTIO_STATUS_DRIVER_OK);
	out16(0xc004, 1); /* it has but one queue */
	out16(0xc00c, 0);
	assert_false(machine_output_pending(&machine));
	out16(0xc000, 0);
	assert_true(machine_output_pending(&machine));
	assert_int_equal(power_taken(), 0); /* nothing is in the queue */
	assert_false(machine_output_pending(&machine));
	config_put(devfn, 0x04, 6);
	out16(0xc000, 0);
	assert_false(machine_output_pending(&machine));
}

static void capabilities_are_linked(void **state)
{
	static const uint8_t body[14] = { 1, 2, 3 };
	uint32_t function = device_add();
	uint8_t second = machine_pci_capability_add(&machine, function, 0x09, body, 16);

	(void)state;
	assert_int_equal(config_get(TEST_DEVFN, 0x04) >> 16 & 0x10, 0x10);
	assert_int_equal(config_get(TEST_DEVFN, 0x34) & 0xff, 0x40);
	assert_int_equal(config_get(TEST_DEVFN, 0x40), 0x00010011u | (uint32_t)second << 8);
	assert_int_equal(config_get(TEST_DEVFN, 0x44), 0x800);
	assert_int_equal(config_get(TEST_DEVFN, second), 0x02010009);
}

static void msix_sends_masks_and_remembers(void **state)
{
	uint32_t function = device_add();

	(void)state;
	mmio_put32(MACHINE_LAPIC_BASE + 0xf0, 0x1ff);
	machine_pci_bars_assign(&machine);
	mmio_put32(TEST_BAR + 0x810, 0xfee00000);
	mmio_put32(TEST_BAR + 0x814, 0);
	mmio_put32(TEST_BAR + 0x818, 0x55);
	assert_int_equal(mmio32(TEST_BAR + 0x818), 0x55);
	assert_int_equal(mmio32(TEST_BAR + 0x81c), 1); /* masked after reset */
	machine_pci_msix_send(&machine, function, 1);
	assert_int_equal(mmio32(TEST_BAR + 0xc00), 0); /* off: not even remembered */
	config_put(TEST_DEVFN, 0x40, 0x80000000);
	assert_true(machine_pci_msix_enabled(&machine, function));
	machine_pci_msix_send(&machine, function, 1);
	assert_int_equal(pending(), -1);
	assert_int_equal(mmio32(TEST_BAR + 0xc00), 2);
	mmio_put32(TEST_BAR + 0x81c, 0);
	assert_int_equal(take(), 0x55);
	assert_int_equal(mmio32(TEST_BAR + 0xc00), 0);
	mmio_put32(MACHINE_LAPIC_BASE + 0xb0, 0);
	config_put(TEST_DEVFN, 0x40, 0xc0000000); /* all masked */
	machine_pci_msix_send(&machine, function, 1);
	assert_int_equal(pending(), -1);
	config_put(TEST_DEVFN, 0x40, 0x80000000);
	assert_int_equal(take(), 0x55);
	mmio_put32(MACHINE_LAPIC_BASE + 0xb0, 0);
	machine_pci_msix_send(&machine, function, 2); /* no such vector */
	assert_int_equal(pending(), -1);
	assert_true(machine_mmio_read(&machine, &memory, TEST_BAR + 0x818, 8) == 0x55);
}

static void intx_is_shared_and_can_be_disabled(void **state)
{
	uint32_t function = device_add();

	(void)state;
	pic_open();
	assert_int_equal(config_get(TEST_DEVFN, 0x3c), 0x010a);
	machine_pci_intx_set(&machine, function, true);
	assert_int_equal(pending(), 0x2a);
	assert_int_equal(config_get(TEST_DEVFN, 0x04) >> 16 & 8, 8);
	config_put(TEST_DEVFN, 0x04, 0x400);
	assert_int_equal(machine.pic.chips[1].lines, 0);
	config_put(TEST_DEVFN, 0x04, 0);
	assert_int_equal(machine.pic.chips[1].lines, 4);
	machine_pci_intx_set(&machine, function, false);
	assert_int_equal(machine.pic.chips[1].lines, 0);
}

/* ---- MSRs and CPUID ---- */

static void mtrrs_are_checked(void **state)
{
	uint64_t value;

	(void)state;
	assert_true(machine_msr_read(&machine, 0xfe, &value) && value == 0x508);
	assert_true(machine_msr_write(&machine, 0x250, UINT64_C(0x0606060606060606)));
	assert_true(machine_msr_read(&machine, 0x250, &value) && value == UINT64_C(0x0606060606060606));
	assert_false(machine_msr_write(&machine, 0x250, 2)); /* reserved type */
	assert_true(machine_msr_write(&machine, 0x200, 0xc0000000));
	assert_false(machine_msr_write(&machine, 0x200, UINT64_C(1) << 40));
	assert_false(machine_msr_write(&machine, 0x2ff, 0x1000));
	assert_false(machine_msr_read(&machine, 0x210, &value)); /* eight ranges */
	machine_msr_mtrr_setup(&machine);
	assert_true(machine_msr_read(&machine, 0x2ff, &value) && value == 0xc06);
	assert_true(machine_msr_read(&machine, 0x201, &value) && value == UINT64_C(0xff80000800));
}

static void unknown_msrs_do_not_exist(void **state)
{
	static const uint32_t msrs[] = { 0x17,	0x3a,  0x48,	   0xc1,       0x186,
					 0x1a0, 0x38f, 0xc0010000, 0xc0010200, 0x4b564d00 };
	uint64_t value;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(msrs); i++) {
		assert_false(machine_msr_read(&machine, msrs[i], &value));
		assert_false(machine_msr_write(&machine, msrs[i], 0));
	}
}

static void tsc_is_virtual_time(void **state)
{
	const struct machine_access tsc = { .kind = MACHINE_ACCESS_TSC };
	const struct machine_access deadline = { .kind = MACHINE_ACCESS_MSR,
						 .address = 0x6e0,
						 .is_write = 1 };

	(void)state;
	machine_time_set(&machine, 12345);
	assert_true(machine_tsc(&machine) == 12345);
	machine_time_set(&machine, 12); /* never back */
	assert_true(machine_tsc(&machine) == 12345);
	assert_true(machine_msr_write(&machine, 0x10, 100));
	machine_time_set(&machine, 12350);
	assert_true(machine_tsc(&machine) == 105);
	machine_reset(&machine);
	assert_true(machine_tsc(&machine) == 0 && machine.now_ns == 12350);
	assert_true(machine_reads_time(&machine, &tsc));
	assert_false(machine_reads_time(&machine, &deadline)); /* cheap to arm */
}

static void cpuid_hides_what_is_not_determined(void **state)
{
	struct vcpu_state vcpu;
	struct machine_cpuid_result r;

	(void)state;
	vcpu_state_reset(&vcpu);
	r = machine_cpuid(&machine, &vcpu, 0, 0);
	assert_int_equal(r.eax, 0xd);
	assert_memory_equal(&r.ebx, "Auth", 4);
	r = machine_cpuid(&machine, &vcpu, 1, 0);
	assert_true(r.eax == vcpu.gpr[VCPU_RDX]); /* what reset leaves in EDX */
	assert_int_equal(r.ecx & BIT(30), 0);	  /* RDRAND */
	assert_int_equal(r.ecx & BIT(3), 0);	  /* MONITOR */
	assert_int_equal(r.ecx & BIT(5), 0);	  /* VMX */
	assert_true(r.ecx & BIT(31));		  /* hypervisor */
	assert_true(r.ecx & BIT(21));		  /* x2APIC */
	assert_true(r.edx & BIT(9));
	assert_int_equal(r.ecx & BIT(27), 0); /* OSXSAVE */
	vcpu.cr4 |= VCPU_CR4_OSXSAVE;
	assert_true(machine_cpuid(&machine, &vcpu, 1, 0).ecx & BIT(27));
	r = machine_cpuid(&machine, &vcpu, 7, 0);
	assert_int_equal(r.ebx & (BIT(18) | BIT(4) | BIT(11)), 0); /* RDSEED, HLE, RTM */
	r = machine_cpuid(&machine, &vcpu, 0x80000001, 0);
	assert_int_equal(r.ecx & BIT(2), 0); /* SVM */
	assert_true(r.edx & BIT(29));
	assert_int_equal(machine_cpuid(&machine, &vcpu, 0xa, 0).eax, 0);
	assert_int_equal(machine_cpuid(&machine, &vcpu, 5, 0).eax, 0);
	r = machine_cpuid(&machine, &vcpu, 0x40000000, 0);
	assert_memory_equal(&r.ebx, "Yoke", 4);
	r = machine_cpuid(&machine, &vcpu, 0x40000100, 0);
	assert_memory_equal(&r.ebx, "KVMKVMKVM\0\0\0", 4);
	assert_int_equal(machine_cpuid(&machine, &vcpu, 0x40000101, 0).eax, 2);
	r = machine_cpuid(&machine, &vcpu, 0xd, 0);
	assert_int_equal(r.ebx, 576);
	vcpu.xcr0 = 7;
	assert_int_equal(machine_cpuid(&machine, &vcpu, 0xd, 0).ebx, 832);
	assert_true(machine_msr_write(&machine, 0x1b, 0xfee00100)); /* APIC off */
	assert_int_equal(machine_cpuid(&machine, &vcpu, 1, 0).edx & BIT(9), 0);
	machine.config.has_avx = 0;
	assert_int_equal(machine_cpuid(&machine, &vcpu, 1, 0).ecx & (BIT(26) | BIT(28)), 0);
	assert_int_equal(machine_cpuid(&machine, &vcpu, 0xd, 0).eax, 0);
	r = machine_cpuid(&machine, &vcpu, 0x12345678, 0);
	assert_int_equal(r.eax | r.ebx | r.ecx | r.edx, 0);
}

/* ---- the whole ---- */

static void nothing_there_reads_as_ones(void **state)
{
	(void)state;
	assert_int_equal(in8(0x1234), 0xff);
	assert_int_equal(in16(0x1234), 0xffff);
	assert_int_equal(in32(0xffff), 0xffffffff);
	out32(0xffff, 0);
	assert_int_equal(mmio32(0xd0000000), 0xffffffff);
	assert_true(machine_mmio_read(&machine, &memory, 0xd0000000, 8) == UINT64_MAX);
	assert_true(machine_mmio_read(&machine, &memory, UINT64_MAX, 2) == 0xffff);
	machine_mmio_write(&machine, &memory, UINT64_MAX, 8, 0);
}

static void configuration_is_checked_by_name(void **state)
{
	struct machine_config config = { .memory_size = 64 * MIB };

	(void)state;
	assert_null(machine_config_check(&config));
	config.memory_size = 15 * MIB;
	assert_non_null(strstr(machine_config_check(&config), "memory"));
	config.memory_size = 64 * MIB;
	config.disk_count = 5;
	assert_non_null(strstr(machine_config_check(&config), "disks"));
	config.disk_count = 1;
	assert_non_null(strstr(machine_config_check(&config), "no sectors"));
	config.disks[0].sector_count = 1;
	config.net_port_count = 1;
	config.net_ports[0].mac[0] = 1;
	assert_non_null(strstr(machine_config_check(&config), "multicast"));
}

static void storm(struct machine *target, uint64_t seed)
{
	for (uint32_t i = 0; i < 300000; i++) {
		uint64_t value;

		seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		value = seed >> 11;
		switch (seed >> 61) {
		case 0:
		case 1:
			machine_port_write(target, &memory, (uint16_t)(value % 0xd00),
					   1u << (value >> 16) % 3, (uint32_t)(value >> 20));
			break;
		case 2:
			machine_port_read(target, &memory, (uint16_t)(value % 0xd00),
					  1u << (value >> 16) % 3);
			break;
		case 3:
			machine_mmio_write(target, &memory, 0xfee00000 + value % 0x400 * 4, 4, value >> 16);
			break;
		case 4:
			machine_mmio_write(target, &memory, 0xfec00000 + value % 2 * 16, 4, value >> 16);
			break;
		case 5:
			machine_msr_write(target, (uint32_t)(value % 0x900), value >> 20);
			break;
		case 6:
			machine_time_set(target, target->now_ns + value % 2000000);
			break;
		default: {
			uint8_t vector;

			if (machine_interrupt_pending(target, &vector))
				machine_interrupt_acknowledge(target, vector);
			machine_next_deadline_ns(target);
		}
		}
	}
}

/* Whatever a guest does: no assertion, and the same again gives the same state. */
static void a_storm_of_accesses_is_survived_and_repeats(void **state)
{
	static struct machine twin;
	const struct machine_config config = machine.config;

	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++) {
		machine_init(&machine, &config);
		device_add();
		memcpy(&twin, &machine, sizeof(twin));
		storm(&machine, seed);
		storm(&twin, seed);
		assert_memory_equal(&machine, &twin, sizeof(twin));
	}
}

/* ---- `changes`: what the fuzzer seldom meets ---- */

static bool changed(void)
{
	static uint64_t seen;
	bool answer = machine.changes != seen;

	seen = machine.changes;
	return answer;
}

static void what_may_change_the_lines_counts(void **state)
{
	const struct machine_input button = { .kind = MACHINE_INPUT_BUTTON, .value = MACHINE_BUTTON_NMI };
	uint64_t timer_changes;

	(void)state;
	pic_open();
	timer_changes = machine.timer_changes;
	machine_irq_set(&machine, 5, true);
	assert_true(changed());
	machine_irq_set(&machine, 5, true); /* as it is already */
	assert_false(changed());
	out8(0x20, 0x0c); /* poll: the read takes the interrupt */
	changed();
	assert_int_equal(pending(), 0x25);
	assert_int_equal(in8(0x20), 0x85);
	assert_int_equal(pending(), -1);
	assert_true(changed());
	in8(0x21);
	assert_false(changed());
	machine_cr8_write(&machine, 3);
	assert_true(changed());
	assert_true(machine_input(&machine, &memory, &button));
	assert_true(changed());
	machine_nmi_acknowledge(&machine);
	assert_true(changed());
	assert_true(machine.timer_changes == timer_changes); /* no deadline is another one for that */
}

static void a_line_that_is_up_is_seen_when_it_becomes_level_triggered(void **state)
{
	(void)state;
	pic_open();
	machine_irq_set(&machine, 5, true);
	assert_int_equal(take(), 0x25);
	out8(0x20, 0x20);
	assert_int_equal(pending(), -1);
	out8(0x4d0, 0x20);
	assert_int_equal(pending(), 0x25);
}

static void what_may_change_the_deadline_counts(void **state)
{
	(void)state;
	changed();
	out8(0x43, 0x34);
	assert_true(changed());
	out16(0x602, 1); /* the timer's carry */
	assert_true(changed());
	machine_time_pass(&machine, clock_ns(3 << 23, MACHINE_PM_TIMER_HZ));
	assert_false(changed());
	in16(0x600); /* finds the carry, which is told once */
	assert_true(machine_next_deadline_ns(&machine) == MACHINE_NO_DEADLINE);
	assert_true(changed());
	out8(0x70, 0x0c);
	assert_false(changed());
	in8(0x71);
	assert_true(changed());
	assert_true(machine_msr_write(&machine, 0x10, 5)); /* a deadline in TSC ticks moves with the TSC */
	assert_true(changed());
	out8(0x80, 0);
	assert_false(changed());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(soft_off_wants_type_and_enable),
		TEST(resets_by_cf9_and_92),
		TEST(power_button_raises_the_system_control_interrupt),
		TEST(pm_timer_runs_and_carries),
		TEST(chipset_is_found),
		TEST(bars_are_sized_and_moved),
		TEST(bars_can_be_assigned),
		TEST(a_bell_is_rung_by_a_port),
		TEST(capabilities_are_linked),
		TEST(msix_sends_masks_and_remembers),
		TEST(intx_is_shared_and_can_be_disabled),
		TEST(mtrrs_are_checked),
		TEST(unknown_msrs_do_not_exist),
		TEST(tsc_is_virtual_time),
		TEST(cpuid_hides_what_is_not_determined),
		TEST(nothing_there_reads_as_ones),
		TEST(configuration_is_checked_by_name),
		TEST(a_storm_of_accesses_is_survived_and_repeats),
		TEST(what_may_change_the_lines_counts),
		TEST(a_line_that_is_up_is_seen_when_it_becomes_level_triggered),
		TEST(what_may_change_the_deadline_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
