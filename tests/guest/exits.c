/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an exit costs: instructions of the hypervisor by kind, counted by the TSC
 * under icount, with the real run loop and the real machine, and with the way in and
 * out itself. The target is 400 for each of the frequent kinds; the limits below hold
 * what has been reached, a little above what is measured, so that no change makes it
 * worse unseen.
 *
 * One kind is the bell of a virtio device: a network port that takes a frame from its
 * transmit queue and gives the chain back. The queue is set up from here, as a driver would.
 */
#include <string.h>

#include "include/byte_order.h"
#include "include/trace.h"
#include "kernel/apic.h"
#include "kernel/guest.h"
#include "kernel/self_test.h"
#include "tests/guest/exits_guest.h"

TRACE_FILE("test", TRACE_DEBUG);

#define GUEST_MEMORY (32 * MIB)
#define POLLS_MAX 1000
#define ROUNDS_MIN (EXITS_GUEST_ROUNDS - 10) /* a few end slices */
#define FRAME_SIZE 60
#define FRAME_HEADER_SIZE 12

/* In the order in which the guest does them. */
static const struct phase {
	const char *what;
	uint32_t kind;
	uint64_t cost_max;
} phases[] = {
	{ "CPUID", VCPU_EXIT_CPUID, 345 },
	{ "RDTSC", VCPU_EXIT_TSC, 345 },
	{ "IN of the 8254, with the time", VCPU_EXIT_PORT, 380 },
	{ "OUT to nothing", VCPU_EXIT_PORT, 332 },
	{ "IN of COM1's status", VCPU_EXIT_PORT, 342 },
	{ "IN of the 8259's mask", VCPU_EXIT_PORT, 352 },
	{ "RDMSR of the APIC base", VCPU_EXIT_MSR, 378 },
	{ "RDMSR of an MTRR", VCPU_EXIT_MSR, 370 },
	{ "MMIO of the local APIC", VCPU_EXIT_MEMORY, 1180 },
	{ "virtio notify, with a frame of 60 bytes", VCPU_EXIT_PORT, 1400 },
	{ "WRMSR of the end of an interrupt", VCPU_EXIT_MSR, 358 },
};

extern const uint8_t exits_guest_image[];
extern const uint8_t exits_guest_image_end[];

static struct guest guest;
static struct step_counter counter;
static uint32_t frames_taken;

static void take_output(const struct machine_output *output)
{
	if (output->kind == MACHINE_OUTPUT_FRAME && output->size == FRAME_SIZE)
		frames_taken++;
}

static bool no_input(struct machine_input *input)
{
	(void)input;
	return false;
}

static void no_slice_end(void)
{
}

static int no_log(struct machine_input *input)
{
	(void)input;
	return 0;
}

static void no_trail(const struct position *here, const struct guest_digest *digest)
{
	(void)here;
	(void)digest;
}

static void write_configuration(uint32_t offset, uint32_t value)
{
	uint32_t address = UINT32_C(1) << 31 |
			   (uint32_t)MACHINE_PCI_DEVFN(MACHINE_PCI_VIRTIO_SLOT_FIRST, 0) << 8 | offset;

	machine_port_write(&guest.machine, &guest.memory, 0xcf8, 4, address);
	machine_port_write(&guest.machine, &guest.memory, 0xcfc, 4, value);
}

/* Of the common configuration: Virtio 1.1, 4.1.4.3. */
static void write_common(uint32_t offset, uint32_t size, uint64_t value)
{
	machine_mmio_write(&guest.machine, &guest.memory, EXITS_GUEST_BAR + offset, size, value);
}

/* As many chains as the ring holds, each one and the same frame; without interrupts. */
static void fill_rings(void)
{
	uint8_t *descriptors = guest_memory_to_write(&guest.memory, EXITS_GUEST_DESCRIPTORS, 16 * 256);
	uint8_t *driver = guest_memory_to_write(&guest.memory, EXITS_GUEST_DRIVER, 4 + 2 * 256);

	for (uint32_t i = 0; i < 256; i++) {
		store_le64(descriptors + 16 * i, EXITS_GUEST_FRAME);
		store_le32(descriptors + 16 * i + 8, FRAME_HEADER_SIZE + FRAME_SIZE);
		store_le16(driver + 4 + 2 * i, (uint16_t)i);
	}
	store_le16(driver, 1);
}

static void set_up_port(void)
{
	fill_rings();
	write_configuration(MACHINE_PCI_CONFIG_BAR0, EXITS_GUEST_BAR);
	write_configuration(MACHINE_PCI_CONFIG_BAR0 + 4 * MACHINE_VIRTIO_PORT_BAR, EXITS_GUEST_PORT_BAR);
	write_configuration(MACHINE_PCI_CONFIG_COMMAND, MACHINE_PCI_COMMAND_PORT |
								MACHINE_PCI_COMMAND_MEMORY |
								MACHINE_PCI_COMMAND_MASTER);
	write_common(0x08, 4, 1); /* the upper features: version 1 alone */
	write_common(0x0c, 4, 1);
	write_common(0x14, 1, MACHINE_VIRTIO_STATUS_FEATURES_OK);
	write_common(0x16, 2, 1); /* the transmit queue */
	write_common(0x20, 8, EXITS_GUEST_DESCRIPTORS);
	write_common(0x28, 8, EXITS_GUEST_DRIVER);
	write_common(0x30, 8, EXITS_GUEST_DEVICE);
	write_common(0x1c, 2, 1);
	write_common(0x14, 1, MACHINE_VIRTIO_STATUS_FEATURES_OK | MACHINE_VIRTIO_STATUS_DRIVER_OK);
}

static int check_phase(const struct phase *phase)
{
	const struct guest_exit_count *count = &guest.exits[phase->kind];
	uint64_t cost;

	memset(guest.exits, 0, sizeof(guest.exits));
	guest.vcpu.state.activity = VCPU_RUNNING;
	for (uint32_t i = 0; i < POLLS_MAX && guest.vcpu.state.activity == VCPU_RUNNING; i++)
		guest_poll(&guest);
	SELF_TEST_CHECK(guest.state == GUEST_RUNNING);
	SELF_TEST_CHECK(guest.vcpu.state.activity == VCPU_HALTED);
	SELF_TEST_CHECK(count->count >= ROUNDS_MIN);
	cost = count->ticks / count->count + counter.exit_cost;
	trace(TRACE_INFO, "%s: %lu instructions", phase->what, cost);
	SELF_TEST_CHECK(cost <= phase->cost_max);
	return 0;
}

SELF_TEST(guest_exits)
{
	static const struct guest_outside outside = {
		.output = take_output,
		.input = no_input,
		.slice_end = no_slice_end,
		.replayed = no_log,
		.checked = no_trail,
	};
	static struct machine_config config;
	const struct guest_boot boot = {
		.kernel = exits_guest_image,
		.kernel_size = (uint64_t)(exits_guest_image_end - exits_guest_image),
		.command_line = "",
	};
	const char *wrong;

	SELF_TEST_CHECK(vcpu_init(&guest.vcpu, apic_timer_register(), GUEST_MEMORY) == 0);
	step_counter_init(&counter, &guest.vcpu);
	SELF_TEST_CHECK(counter.exact);
	config.memory_size = GUEST_MEMORY;
	config.net_port_count = 1;
	wrong = guest_init(&guest, &config, 0, &counter, &outside);
	if (!wrong)
		wrong = guest_prepare(&guest, &boot);
	if (!wrong)
		wrong = guest_start(&guest);
	if (wrong)
		trace(TRACE_ERROR, "%s", wrong);
	SELF_TEST_CHECK(!wrong);
	set_up_port();
	for (uint32_t i = 0; i < ARRAY_SIZE(phases); i++)
		SELF_TEST_CHECK(check_phase(&phases[i]) == 0);
	SELF_TEST_CHECK(frames_taken == EXITS_GUEST_ROUNDS);
	return 0;
}
