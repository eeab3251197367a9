/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtual server under a hostile guest. An input is a list of 16-byte steps:
 * port, memory and MSR accesses anywhere, bytes into guest memory, virtio devices
 * brought up with rings that point anywhere, instructions to carry out, time, and
 * inputs from outside. Nothing may crash or assert; every output must be one that
 * the outside can act on; and the same steps again must give the same state.
 */
#include <string.h>
#include <sys/mman.h>

#include "include/byte_order.h"
#include "machine/digest.h"
#include "machine/emulate.h"
#include "machine/machine.h"
#include "tests/fuzz/fuzz.h"

#define MEMORY_SIZE (16 * MIB)
#define STEP_SIZE 16
#define STEP_MAX 128
#define PLAYGROUND_SIZE (64 * KIB) /* low memory that steps write and rings mostly are in */
#define OUTPUT_MAX 4096		   /* in one go: a ring's worth of each device */

struct step {
	uint8_t operation;
	uint8_t size; /* 1, 2, 4 or 8 */
	uint16_t port;
	uint32_t number;
	uint64_t value;
};

static struct machine machine;
static struct machine fresh;
static struct guest_memory memory;
static struct machine_output output;
static uint8_t output_data[MACHINE_OUTPUT_DATA_MAX];
static uint32_t output_count;

static void memory_clear(void)
{
	FUZZ_CHECK(madvise(memory.base, MEMORY_SIZE, MADV_DONTNEED) == 0);
}

static void prepare_once(void)
{
	struct machine_config config = { .memory_size = MEMORY_SIZE,
					 .disk_count = 1,
					 .net_port_count = 1,
					 .has_avx = 1,
					 .has_virtio_console = 1,
					 .has_watchdog = 1 };
	void *base;

	if (memory.base)
		return;
	base = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	FUZZ_CHECK(base != MAP_FAILED);
	config.disks[0].sector_count = 2048;
	guest_memory_init(&memory, base, MEMORY_SIZE, 0);
	FUZZ_CHECK(machine_config_check(&config) == NULL);
	machine_init(&fresh, &config);
	machine_pci_bars_assign(&fresh);
	for (uint32_t i = 0; i < fresh.pci.function_count; i++) /* as a driver does */
		fresh.pci.functions[i].config[MACHINE_PCI_CONFIG_COMMAND] |= MACHINE_PCI_COMMAND_MASTER;
	output.buffer = output_data;
}

static void check_disk_request(const struct machine_disk_request *request)
{
	uint64_t total = 0;

	FUZZ_CHECK(request->segment_count <= MACHINE_DISK_SEGMENT_MAX);
	FUZZ_CHECK(range_fits(request->sector, request->sector_count, 2048));
	for (uint32_t i = 0; i < request->segment_count; i++) {
		FUZZ_CHECK(guest_memory_at(&memory, request->segments[i].gpa, request->segments[i].size));
		total += request->segments[i].size;
	}
	if (request->operation <= MACHINE_DISK_WRITE) {
		FUZZ_CHECK(total == request->sector_count * 512);
		FUZZ_CHECK(total <= MACHINE_DISK_TRANSFER_MAX);
	}
}

static void outputs_drain(void)
{
	for (uint32_t i = 0; machine_output_take(&machine, &memory, &output); i++) {
		FUZZ_CHECK(i < OUTPUT_MAX);
		FUZZ_CHECK(output.size <= MACHINE_OUTPUT_DATA_MAX);
		output_count++;
		switch (output.kind) {
		case MACHINE_OUTPUT_DISK:
			FUZZ_CHECK(output.index < 1);
			check_disk_request(&output.disk);
			break;
		case MACHINE_OUTPUT_FRAME:
			FUZZ_CHECK(output.index < 1 && output.size >= 14);
			break;
		case MACHINE_OUTPUT_ENTROPY:
			FUZZ_CHECK(output.value >= 1 && output.value <= MACHINE_ENTROPY_MAX);
			break;
		case MACHINE_OUTPUT_POWER:
			FUZZ_CHECK(output.value >= MACHINE_POWER_OFF &&
				   output.value <= MACHINE_POWER_WATCHDOG);
			if (output.value == MACHINE_POWER_RESET) {
				machine_reset(&machine);
				machine_pci_bars_assign(&machine);
			}
			break;
		default:
			FUZZ_CHECK(output.kind >= MACHINE_OUTPUT_SERIAL &&
				   output.kind <= MACHINE_OUTPUT_VIRTIO_CONSOLE);
		}
	}
}

/* ---- steps ---- */

/* Addresses where something is, mostly. */
static uint64_t device_gpa(const struct step *step)
{
	uint32_t windows = machine.pci.window_count;

	switch (step->number >> 28) {
	case 0 ... 2:
		return MACHINE_LAPIC_BASE + (step->number & 0xfff);
	case 3 ... 4:
		return MACHINE_IOAPIC_BASE + (step->number & 0x1f);
	case 15:
		return step->value ^ step->number;
	default:
		return windows ? machine.pci.windows[step->port % windows].base + (step->number & 0x7fff) : 0;
	}
}

/* As the run loop does it: short of the next deadline no timer needs to look. */
static void time_read(void)
{
	uint64_t now_ns = machine.now_ns + 1000;

	if (now_ns < machine_next_deadline_ns(&machine))
		machine_time_pass(&machine, now_ns);
	else
		machine_time_set(&machine, now_ns);
}

static void access_told(uint32_t kind, uint64_t address, const struct step *step, bool is_write)
{
	const struct machine_access access = {
		.kind = (uint8_t)kind, .is_write = is_write, .size = step->size, .address = address
	};

	if (machine_reads_time(&machine, &access))
		time_read();
}

static void step_port(const struct step *step)
{
	uint32_t size = step->size == 8 ? 4 : step->size;
	bool is_write = step->number & 1;

	access_told(MACHINE_ACCESS_PORT, step->port, step, is_write);
	if (is_write)
		machine_port_write(&machine, &memory, step->port, size, (uint32_t)step->value);
	else
		machine_port_read(&machine, &memory, step->port, size);
}

static void step_mmio(const struct step *step)
{
	uint64_t gpa = device_gpa(step);
	bool is_write = step->operation & 1;

	access_told(MACHINE_ACCESS_MMIO, gpa, step, is_write);
	if (is_write)
		machine_mmio_write(&machine, &memory, gpa, step->size, step->value);
	else
		machine_mmio_read(&machine, &memory, gpa, step->size);
}

static void step_msr(const struct step *step)
{
	uint32_t msr = (step->number & 0x80000000) ? step->number : step->number % 0x1000;
	uint64_t value;

	access_told(MACHINE_ACCESS_MSR, msr, step, step->port & 1);
	if (step->port & 1)
		machine_msr_write(&machine, msr, step->value);
	else
		machine_msr_read(&machine, msr, &value);
}

static void step_interrupt(void)
{
	uint8_t vector;

	if (machine_interrupt_pending(&machine, &vector))
		machine_interrupt_acknowledge(&machine, vector);
	if (machine_nmi_pending(&machine))
		machine_nmi_acknowledge(&machine);
	machine_mmio_write(&machine, &memory, MACHINE_LAPIC_BASE + 0xb0, 4, 0);
}

/* Register of a virtio device's common configuration. */
static void common_put(uint32_t base, uint32_t offset, uint32_t size, uint64_t value)
{
	machine_mmio_write(&machine, &memory, base + offset, size, value);
}

/* The step's virtio device's memory or ports; NULL: it decodes none. */
static const struct machine_pci_window *window_of(const struct step *step, bool is_port)
{
	uint32_t wanted = step->port % MACHINE_VIRTIO_DEVICE_MAX;

	for (uint32_t i = 0; i < machine.pci.window_count; i++)
		if (machine.pci.windows[i].is_port == is_port && wanted-- == 0)
			return &machine.pci.windows[i];
	return NULL;
}

/* A driver's way up to DRIVER_OK, with a queue whose rings are where the step says. */
static void step_virtio(const struct step *step)
{
	const struct machine_pci_window *window = window_of(step, false);
	uint32_t base;

	if (!window)
		return;
	base = window->base;
	common_put(base, 0x14, 1, 0);
	common_put(base, 0x14, 1, 3);
	for (uint32_t i = 0; i < 2; i++) {
		common_put(base, 0x00, 4, i);
		common_put(base, 0x08, 4, i);
		common_put(base, 0x0c, 4, machine_mmio_read(&machine, &memory, base + 0x04, 4));
	}
	common_put(base, 0x14, 1, 0x0b);
	for (uint16_t queue = 0; queue < 2; queue++) {
		common_put(base, 0x16, 2, queue);
		common_put(base, 0x18, 2, 1u << (step->number & 7));
		common_put(base, 0x1a, 2, queue);
		common_put(base, 0x20, 8, (step->value & 0xffff) * 16);
		common_put(base, 0x28, 8, (step->value >> 16 & 0xffff) * 2);
		common_put(base, 0x30, 8, (step->value >> 32 & 0xffff) * 4);
		common_put(base, 0x1c, 2, 1);
	}
	common_put(base, 0x14, 1, 0x0f);
}

static void step_notify(const struct step *step)
{
	const struct machine_pci_window *window = window_of(step, true);

	if (window)
		machine_port_write(&machine, &memory, (uint16_t)(window->base + (step->number & 1) * 4), 2,
				   step->number & 1);
}

static void step_input(const struct step *step)
{
	static uint8_t data[2048];
	const struct machine_input input = { .kind = step->number % 12,
					     .index = step->port & 3,
					     .time_ns = machine.now_ns + step->value % 100000000,
					     .request = (uint32_t)step->value,
					     .status = step->number >> 8 & 3,
					     .value = (uint32_t)step->value & 3,
					     .size = (uint32_t)(step->value >> 32) % sizeof(data),
					     .data = data };

	memset(data, step->size, sizeof(data));
	machine_input(&machine, &memory, &input);
}

/* The instruction in `value`, with registers that point at devices and memory. */
static void step_instruction(const struct step *step)
{
	struct machine_emulation emulation = { 0 };
	struct vcpu_state vcpu;

	vcpu_state_reset(&vcpu);
	if (step->port & 1)
		vcpu.cr0 |= VCPU_CR0_PE;
	if (step->port & 2) {
		vcpu.efer = VCPU_EFER_LMA;
		vcpu.segments[VCPU_CS].attributes |= VCPU_SEGMENT_LONG;
	}
	if (step->port & 4)
		vcpu.segments[VCPU_CS].attributes |= VCPU_SEGMENT_DEFAULT_32;
	vcpu.segments[VCPU_CS].base = 0;
	vcpu.rip = step->port & 0xfff8;
	for (uint32_t i = 0; i < VCPU_GPR_COUNT; i++)
		vcpu.gpr[i] = i & 1 ? device_gpa(step) : step->number;
	guest_memory_write(&memory, vcpu.rip, &step->value, 8);
	if (machine_emulate_prepare(&emulation, &vcpu, &memory, device_gpa(step)))
		return;
	if (machine_emulate_reads_time(&emulation, &machine, &vcpu, &memory))
		time_read();
	machine_emulate_execute(&emulation, &machine, &vcpu, &memory);
}

/* All that the run loop asks again only when `changes` has gone up. */
struct answers {
	uint64_t deadline_ns;
	uint64_t cr8;
	uint32_t vector;
	bool pending;
	bool nmi;
};

static struct answers answers_now(void)
{
	uint8_t vector = 0;
	struct answers answers = {
		.deadline_ns = machine_next_deadline_ns(&machine),
		.cr8 = machine_cr8_read(&machine),
		.pending = machine_interrupt_pending(&machine, &vector),
		.nmi = machine_nmi_pending(&machine),
	};

	answers.vector = answers.pending ? vector : 0;
	return answers;
}

static void check_changes(const struct answers *before, uint64_t changes, uint64_t timer_changes)
{
	struct answers after = answers_now();

	if (machine.timer_changes == timer_changes)
		FUZZ_CHECK(after.deadline_ns == before->deadline_ns);
	if (machine.changes != changes)
		return;
	FUZZ_CHECK(after.cr8 == before->cr8);
	FUZZ_CHECK(after.pending == before->pending);
	FUZZ_CHECK(after.vector == before->vector);
	FUZZ_CHECK(after.nmi == before->nmi);
}

static void step_run(const struct step *step)
{
	const struct answers before = answers_now();
	uint64_t changes = machine.changes;
	uint64_t timer_changes = machine.timer_changes;

	switch (step->operation % 12) {
	case 0 ... 1:
		step_port(step);
		break;
	case 2 ... 3:
		step_mmio(step);
		break;
	case 4:
		step_msr(step);
		break;
	case 5:
		machine_time_set(&machine, machine.now_ns + step->value % 4000000000);
		break;
	case 6:
		step_interrupt();
		break;
	case 7:
		guest_memory_write(&memory, step->number % PLAYGROUND_SIZE, &step->value, 8);
		break;
	case 8:
		step_virtio(step);
		break;
	case 9:
		step_notify(step);
		break;
	case 10:
		step_input(step);
		break;
	default:
		step_instruction(step);
	}
	outputs_drain();
	check_changes(&before, changes, timer_changes);
	FUZZ_CHECK(machine.pci.window_count <= MACHINE_PCI_WINDOW_MAX);
}

static void run(const uint8_t *data, size_t size)
{
	memcpy(&machine, &fresh, sizeof(machine));
	memory_clear();
	output_count = 0;
	for (size_t i = 0; i < STEP_MAX && (i + 1) * STEP_SIZE <= size; i++) {
		const uint8_t *at = data + i * STEP_SIZE;
		const struct step step = { .operation = at[0],
					   .size = (uint8_t)(1 << (at[1] & 3)),
					   .port = load_le16(at + 2),
					   .number = load_le32(at + 4),
					   .value = load_le64(at + 8) };

		step_run(&step);
	}
	machine_next_deadline_ns(&machine);
}

static uint64_t state_digest(void)
{
	return digest_bytes(digest_bytes(0, &machine, sizeof(machine)), memory.base, PLAYGROUND_SIZE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t first;

	prepare_once();
	run(data, size);
	fuzz_verdict(output_count > 0);
	/* Once more, for a part of the inputs: determinism is what all of this is for. */
	if (digest_bytes(0, data, size) % 8 != 0)
		return 0;
	first = state_digest();
	run(data, size);
	FUZZ_CHECK(state_digest() == first);
	return 0;
}
