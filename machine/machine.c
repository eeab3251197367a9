/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtual server put together: power-on, time, interrupts, inputs, outputs.
 * Which device an access belongs to is in ports.c (ports) and here (memory).
 */
#include "machine/machine.h"

#include <string.h>

#include "include/assert.h"
#include "include/trace.h"
#include "machine/ports.h"

TRACE_FILE("machine", TRACE_INFO);

const char *machine_config_check(const struct machine_config *config)
{
	if (config->memory_size < 16 * MIB || !is_aligned(config->memory_size, 2 * MIB))
		return "memory must be a multiple of 2 MiB and at least 16 MiB";
	if (config->memory_size > 512 * GIB)
		return "memory must be at most 512 GiB: the guest's processor has 40 address bits";
	if (config->epoch_s > UINT64_C(1) << 32)
		return "the start time is beyond the year 2106";
	if (config->disk_count > MACHINE_DISK_MAX)
		return "too many disks: at most 4";
	if (config->net_port_count > MACHINE_NET_PORT_MAX)
		return "too many network ports: at most 4";
	for (uint32_t i = 0; i < config->disk_count; i++)
		if (config->disks[i].sector_count == 0 || config->disks[i].sector_count > UINT64_MAX / 512)
			return "a disk has no sectors, or more than any disk can";
	for (uint32_t i = 0; i < config->disk_count; i++)
		if (config->disks[i].large_sectors && config->disks[i].sector_count % 8 != 0)
			return "a disk does not end with a whole sector of 4096 bytes";
	for (uint32_t i = 0; i < config->net_port_count; i++)
		if (config->net_ports[i].mac[0] & 1)
			return "a network port has a multicast MAC address";
	return NULL;
}

static void devices_reset(struct machine *machine)
{
	machine_lapic_reset(machine);
	machine_ioapic_reset(machine);
	machine_pic_reset(machine);
	machine_pit_reset(machine);
	machine_msr_reset(machine);
	machine_pm_reset(machine);
	machine_uart_reset(machine);
	machine_keyboard_reset(machine);
	machine_vga_reset(machine);
	machine_fw_cfg_reset(machine);
	machine_pci_init(machine);
	machine_virtio_init(machine);
	machine_watchdog_reset(machine);
}

void machine_init(struct machine *machine, const struct machine_config *config)
{
	ASSERT(machine_config_check(config) == NULL);
	memset(machine, 0, sizeof(*machine));
	memcpy(&machine->config, config, sizeof(*config));
	machine_rtc_init(machine);
	devices_reset(machine);
}

void machine_reset(struct machine *machine)
{
	machine->power = 0;
	machine->reset_count++;
	machine_changed(machine);
	machine->ioapic.lines = 0;
	machine_rtc_reset(machine);
	devices_reset(machine);
}

/* ---- time ---- */

void machine_time_set(struct machine *machine, uint64_t now_ns)
{
	if (now_ns < machine->now_ns)
		return;
	machine->now_ns = now_ns;
	machine_changed(machine);
	machine_lapic_time_set(machine);
	machine_pit_time_set(machine);
	machine_rtc_time_set(machine);
	machine_pm_time_set(machine);
	machine_watchdog_time_set(machine);
}

uint64_t machine_next_deadline_ns(const struct machine *machine)
{
	uint64_t deadline_ns = machine_lapic_deadline_ns(machine);

	deadline_ns = min_u64(deadline_ns, machine_pit_deadline_ns(machine));
	deadline_ns = min_u64(deadline_ns, machine_rtc_deadline_ns(machine));
	deadline_ns = min_u64(deadline_ns, machine_pm_deadline_ns(machine));
	return min_u64(deadline_ns, machine_watchdog_deadline_ns(machine));
}

/* ---- memory-mapped devices ---- */

/* The APICs' registers are 32 bits; a wider access gets zeroes above, a narrower one its bytes. */
static uint64_t register_bytes(uint32_t value, uint64_t gpa)
{
	return (uint64_t)value >> (gpa & 3) * 8;
}

static bool ioapic_claims(uint64_t gpa)
{
	return (gpa & ~(MACHINE_IOAPIC_SIZE - 1)) == MACHINE_IOAPIC_BASE;
}

static uint64_t mmio_read(struct machine *machine, const struct guest_memory *memory, uint64_t gpa,
			  uint32_t size)
{
	const struct machine_pci_window *window;

	if (machine_lapic_claims(machine, gpa))
		return register_bytes(machine_lapic_read(machine, (uint32_t)gpa & 0xffc), gpa);
	if (ioapic_claims(gpa))
		return register_bytes(machine_ioapic_read(machine, (uint32_t)gpa & 0xffc), gpa);
	window = machine_pci_window_find(machine, gpa, size, false);
	if (window)
		return machine_pci_window_read(machine, memory, window, (uint32_t)gpa - window->base, size);
	trace(TRACE_DEBUG, "read of %u bytes at 0x%llx, where nothing is", size, (unsigned long long)gpa);
	return UINT64_MAX;
}

static uint64_t size_mask(uint32_t size)
{
	return size >= 8 ? UINT64_MAX : BIT(size * 8) - 1;
}

uint64_t machine_mmio_read(struct machine *machine, const struct guest_memory *memory, uint64_t gpa,
			   uint32_t size)
{
	return mmio_read(machine, memory, gpa, size) & size_mask(size);
}

void machine_mmio_write(struct machine *machine, const struct guest_memory *memory, uint64_t gpa,
			uint32_t size, uint64_t value)
{
	const struct machine_pci_window *window;

	value &= size_mask(size);
	if (machine_lapic_claims(machine, gpa)) {
		if (!(gpa & 3))
			machine_lapic_write(machine, (uint32_t)gpa & 0xffc, (uint32_t)value);
		return;
	}
	if (ioapic_claims(gpa)) {
		if (!(gpa & 3))
			machine_ioapic_write(machine, (uint32_t)gpa & 0xffc, (uint32_t)value);
		return;
	}
	window = machine_pci_window_find(machine, gpa, size, false);
	if (window)
		machine_pci_window_write(machine, memory, window, (uint32_t)gpa - window->base, size, value);
	else
		trace(TRACE_DEBUG, "write of %u bytes at 0x%llx, where nothing is", size,
		      (unsigned long long)gpa);
}

static bool is_watchdog(const struct machine *machine, uint32_t function)
{
	return machine->config.has_watchdog && function == machine->watchdog.function;
}

uint64_t machine_bar_read(struct machine *machine, const struct guest_memory *memory, uint32_t function,
			  uint32_t bar, uint32_t offset, uint32_t size)
{
	uint32_t device = machine_virtio_find(machine, function);

	(void)memory;
	if (is_watchdog(machine, function))
		return machine_watchdog_read(machine, offset);
	if (device == MACHINE_VIRTIO_DEVICE_MAX || bar != MACHINE_VIRTIO_BAR)
		return UINT64_MAX;
	return machine_virtio_read(machine, device, offset, size);
}

void machine_bar_write(struct machine *machine, const struct guest_memory *memory, uint32_t function,
		       uint32_t bar, uint32_t offset, uint32_t size, uint64_t value)
{
	uint32_t device = machine_virtio_find(machine, function);

	if (is_watchdog(machine, function))
		machine_watchdog_write(machine, offset, size, value);
	else if (device != MACHINE_VIRTIO_DEVICE_MAX && bar == MACHINE_VIRTIO_PORT_BAR)
		machine_virtio_notify(machine, device, offset);
	else if (device != MACHINE_VIRTIO_DEVICE_MAX)
		machine_virtio_write(machine, memory, device, offset, size, value);
}

uint64_t machine_pci_memory_base(const struct machine *machine)
{
	return machine->config.memory_size <= 2 * GIB ? 2 * GIB : GUEST_MEMORY_LOW_MAX;
}

static bool mmio_reads_time(const struct machine *machine, const struct machine_access *access)
{
	const struct machine_pci_window *window;

	if (machine_lapic_claims(machine, access->address))
		return machine_lapic_reads_time((uint32_t)access->address & 0xfff, access->is_write);
	if (!machine->config.has_watchdog || !access->is_write)
		return false;
	window = machine_pci_window_find(machine, access->address, 1, false);
	return window && is_watchdog(machine, window->function);
}

bool machine_reads_time(const struct machine *machine, const struct machine_access *access)
{
	switch (access->kind) {
	case MACHINE_ACCESS_PORT:
		return machine_port_reads_time(machine, (uint16_t)access->address, access->size,
					       access->is_write);
	case MACHINE_ACCESS_MMIO:
		return mmio_reads_time(machine, access);
	case MACHINE_ACCESS_MSR:
		return machine_msr_reads_time((uint32_t)access->address, access->is_write);
	default:
		return true;
	}
}

/* ---- interrupts ---- */

void machine_cr8_write(struct machine *machine, uint64_t value)
{
	machine->lapic.task_priority = (uint8_t)((value & 15) << 4);
	machine_lines_changed(machine);
}

bool machine_interrupt_pending(const struct machine *machine, uint8_t *vector)
{
	if (machine_lapic_pending(machine, vector))
		return true;
	return machine_lapic_accepts_external(machine) && machine_pic_pending(machine, vector);
}

void machine_interrupt_acknowledge(struct machine *machine, uint8_t vector)
{
	uint8_t pending;

	machine_lines_changed(machine);
	if (machine_lapic_pending(machine, &pending)) {
		ASSERT(pending == vector);
		machine_lapic_acknowledge(machine, vector);
		return;
	}
	pending = machine_pic_acknowledge(machine);
	ASSERT(pending == vector);
}

void machine_nmi_acknowledge(struct machine *machine)
{
	machine->lapic.nmi_pending = 0;
	machine_lines_changed(machine);
}

void machine_irq_set(struct machine *machine, uint32_t gsi, bool level)
{
	uint32_t pin = gsi == 0 ? 2 : gsi;

	ASSERT(gsi < MACHINE_GSI_COUNT);
	/* Devices drive their lines at every access; both controllers know the level already. */
	if ((machine->ioapic.lines >> pin & 1) == level)
		return;
	if (gsi < 16)
		machine_pic_irq_set(machine, gsi, level);
	machine_ioapic_pin_set(machine, pin, level);
}

/* Intel SDM 3, 11.11: the address names the processor, the data the vector. */
void machine_msi_send(struct machine *machine, uint64_t address, uint32_t data)
{
	if ((address & ~UINT64_C(0xfffff)) != MACHINE_LAPIC_BASE) {
		trace(TRACE_WARNING, "message-signalled interrupt to 0x%llx dropped",
		      (unsigned long long)address);
		return;
	}
	machine_lapic_message(machine, (uint32_t)(address >> 12 & 0xff), (address & 4) != 0,
			      (enum machine_delivery_mode)(data >> 8 & 7), (uint8_t)data,
			      (data & 0x8000) != 0);
}

/* ---- inputs and outputs ---- */

static bool input_button(struct machine *machine, uint32_t button)
{
	switch (button) {
	case MACHINE_BUTTON_POWER:
		machine_pm_power_button(machine);
		return true;
	case MACHINE_BUTTON_NMI:
		machine->lapic.nmi_pending = 1;
		machine_lines_changed(machine);
		return true;
	case MACHINE_BUTTON_RESET:
		machine_power_request(machine, MACHINE_POWER_RESET);
		return true;
	case MACHINE_BUTTON_POWER_CUT:
		machine_power_request(machine, MACHINE_POWER_OFF);
		return true;
	default:
		return false;
	}
}

bool machine_input(struct machine *machine, const struct guest_memory *memory,
		   const struct machine_input *input)
{
	switch (input->kind) {
	case MACHINE_INPUT_TIME:
		machine_time_set(machine, input->time_ns);
		return true;
	case MACHINE_INPUT_SERIAL:
		for (uint32_t i = 0; i < input->size; i++)
			machine_uart_receive(machine, input->data[i]);
		return true;
	case MACHINE_INPUT_KEYBOARD:
		machine_keyboard_keys(machine, input->data, input->size);
		return true;
	case MACHINE_INPUT_BUTTON:
		return input_button(machine, input->value);
	case MACHINE_INPUT_DATE:
		machine_rtc_set(machine, input->value);
		return true;
	default:
		return machine_virtio_input(machine, memory, input);
	}
}

void machine_power_request(struct machine *machine, enum machine_power power)
{
	if (machine->power == 0)
		machine->power = power;
}

void machine_byte_queue_put(struct machine_byte_queue *queue, uint8_t byte)
{
	if (queue->size == MACHINE_BYTE_QUEUE_SIZE)
		queue->dropped++;
	else
		queue->bytes[queue->size++] = byte;
}

static bool byte_queue_take(struct machine_byte_queue *queue, enum machine_output_kind kind,
			    struct machine_output *output)
{
	if (queue->size == 0)
		return false;
	memcpy(output->buffer, queue->bytes, queue->size);
	output->data = output->buffer;
	output->kind = kind;
	output->size = queue->size;
	memset(queue->bytes, 0, queue->size);
	queue->size = 0;
	return true;
}

bool machine_output_take(struct machine *machine, const struct guest_memory *memory,
			 struct machine_output *output)
{
	output->index = 0;
	output->value = 0;
	output->size = 0;
	if (byte_queue_take(&machine->serial_output, MACHINE_OUTPUT_SERIAL, output) ||
	    byte_queue_take(&machine->debug_output, MACHINE_OUTPUT_DEBUG, output))
		return true;
	if (machine->power) {
		output->kind = MACHINE_OUTPUT_POWER;
		output->value = machine->power;
		machine->power = 0;
		return true;
	}
	return machine_virtio_output_take(machine, memory, output);
}
