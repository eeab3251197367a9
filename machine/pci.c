/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's PCI bus; see pci.h. Section numbers are those of PCI Local Bus 3.0. */
#include "machine/pci.h"

#include <string.h>

#include "include/assert.h"
#include "include/byte_order.h"
#include "include/trace.h"
#include "machine/machine.h"
#include "machine/pci_host.h"

TRACE_FILE("guest-pci", TRACE_WARNING);

#define ADDRESS_ENABLE UINT32_C(0x80000000)
#define ADDRESS_PORT 0xcf8
#define DATA_PORT 0xcfc

#define CAPABILITY_MSIX 0x11
#define MSIX_ENABLE UINT16_C(0x8000)
#define MSIX_MASK_ALL UINT16_C(0x4000)
#define MSIX_CONTROL 2 /* offset in the capability */
#define MSIX_ENTRY_SIZE 16
#define MSIX_ENTRY_MASKED UINT32_C(1)

#define BAR_PORT UINT32_C(1)
#define PIRQ_COUNT 4
static const uint8_t pirq_gsi[PIRQ_COUNT] = { 10, 11, 10, 11 };

/* ---- building functions ---- */

static struct machine_pci_function *function_at(struct machine *machine, uint32_t function)
{
	ASSERT(function < machine->pci.function_count);
	return &machine->pci.functions[function];
}

static const struct machine_pci_function *function_peek(const struct machine *machine, uint32_t function)
{
	ASSERT(function < machine->pci.function_count);
	return &machine->pci.functions[function];
}

/* PIRQ A..D of a slot's INTA: the swizzle that every PC uses. */
static uint32_t pirq_of(const struct machine_pci_function *function)
{
	return ((uint32_t)(function->devfn >> 3) + function->config[MACHINE_PCI_CONFIG_INTERRUPT_PIN] - 1) %
	       PIRQ_COUNT;
}

uint8_t machine_pci_slot_gsi(uint32_t slot, uint32_t pin)
{
	return pirq_gsi[(slot + pin - 1) % PIRQ_COUNT];
}

uint32_t machine_pci_function_add(struct machine *machine, uint8_t devfn,
				  const struct machine_pci_identity *identity)
{
	struct machine_pci *pci = &machine->pci;
	struct machine_pci_function *function;

	ASSERT(pci->function_count < MACHINE_PCI_FUNCTION_MAX);
	function = &pci->functions[pci->function_count];
	memset(function, 0, sizeof(*function));
	function->present = 1;
	function->devfn = devfn;
	function->capability_end = 0x40;
	store_le16(function->config + MACHINE_PCI_CONFIG_VENDOR, identity->vendor);
	store_le16(function->config + MACHINE_PCI_CONFIG_DEVICE, identity->device);
	store_le32(function->config + MACHINE_PCI_CONFIG_REVISION,
		   identity->class_code << 8 | identity->revision);
	store_le16(function->config + MACHINE_PCI_CONFIG_SUBSYSTEM_VENDOR, identity->subsystem_vendor);
	store_le16(function->config + MACHINE_PCI_CONFIG_SUBSYSTEM, identity->subsystem);
	store_le16(function->writable + MACHINE_PCI_CONFIG_COMMAND,
		   MACHINE_PCI_COMMAND_PORT | MACHINE_PCI_COMMAND_MEMORY | MACHINE_PCI_COMMAND_MASTER |
			   MACHINE_PCI_COMMAND_INTX_DISABLE);
	if (identity->interrupt_pin) {
		function->config[MACHINE_PCI_CONFIG_INTERRUPT_PIN] = identity->interrupt_pin;
		function->config[MACHINE_PCI_CONFIG_INTERRUPT_LINE] = pirq_gsi[pirq_of(function)];
		function->writable[MACHINE_PCI_CONFIG_INTERRUPT_LINE] = 0xff;
	}
	return pci->function_count++;
}

void machine_pci_bar_add(struct machine *machine, uint32_t index, uint32_t bar, uint32_t size, bool is_port)
{
	struct machine_pci_function *function = function_at(machine, index);
	uint32_t offset = MACHINE_PCI_CONFIG_BAR0 + bar * 4;

	ASSERT(bar < MACHINE_PCI_BAR_MAX);
	ASSERT(is_power_of_two(size));
	ASSERT(size >= 16);
	ASSERT(machine->pci.bar_count < MACHINE_PCI_WINDOW_MAX); /* each may become a window */
	machine->pci.bar_count++;
	function->bar_size[bar] = size;
	if (is_port)
		function->bar_is_port |= (uint32_t)BIT(bar);
	store_le32(function->config + offset, is_port ? BAR_PORT : 0);
	store_le32(function->writable + offset, ~(size - 1)); /* 6.2.5.1: sizing by the bits that stick */
}

uint8_t machine_pci_capability_add(struct machine *machine, uint32_t index, uint8_t id, const void *body,
				   uint32_t size)
{
	struct machine_pci_function *function = function_at(machine, index);
	uint8_t offset = function->capability_end;
	uint8_t link = function->capability_last ? (uint8_t)(function->capability_last + 1)
						 : MACHINE_PCI_CONFIG_CAPABILITIES;

	ASSERT(size >= 2);
	ASSERT(offset + size <= MACHINE_PCI_CONFIG_SIZE);
	function->config[link] = offset;
	function->config[offset] = id;
	memcpy(function->config + offset + 2, body, size - 2);
	function->config[MACHINE_PCI_CONFIG_STATUS] |= MACHINE_PCI_STATUS_CAPABILITIES;
	function->capability_last = offset;
	function->capability_end = (uint8_t)align_up(offset + size, 4);
	return offset;
}

void machine_pci_msix_add(struct machine *machine, uint32_t index, uint32_t count, uint32_t bar,
			  uint32_t table_offset, uint32_t pending_offset)
{
	struct machine_pci_function *function = function_at(machine, index);
	uint8_t body[10];

	ASSERT(count >= 1);
	ASSERT(count <= MACHINE_PCI_MSIX_MAX);
	ASSERT(is_aligned(table_offset | pending_offset, 8));
	store_le16(body, (uint16_t)(count - 1));
	store_le32(body + 2, table_offset | bar);
	store_le32(body + 6, pending_offset | bar);
	function->msix_capability = machine_pci_capability_add(machine, index, CAPABILITY_MSIX, body, 12);
	store_le16(function->writable + function->msix_capability + MSIX_CONTROL,
		   MSIX_ENABLE | MSIX_MASK_ALL);
	function->msix_bar = (uint8_t)bar;
	function->msix_count = (uint8_t)count;
	function->msix_table_offset = table_offset;
	function->msix_pending_offset = pending_offset;
	for (uint32_t i = 0; i < count; i++)
		function->msix[i].control = MSIX_ENTRY_MASKED;
}

void machine_pci_config_allow(struct machine *machine, uint32_t function, uint8_t offset, uint8_t mask)
{
	function_at(machine, function)->writable[offset] |= mask;
}

/* ---- windows ---- */

static uint32_t bar_base(const struct machine_pci_function *function, uint32_t bar)
{
	return load_le32(function->config + MACHINE_PCI_CONFIG_BAR0 + bar * 4) &
	       ~(function->bar_size[bar] - 1);
}

static void window_add(struct machine *machine, uint32_t index, uint32_t bar)
{
	struct machine_pci *pci = &machine->pci;
	const struct machine_pci_function *function = &pci->functions[index];
	bool is_port = (function->bar_is_port >> bar) & 1;
	uint16_t needed = is_port ? MACHINE_PCI_COMMAND_PORT : MACHINE_PCI_COMMAND_MEMORY;

	if (!function->bar_size[bar] ||
	    !(load_le16(function->config + MACHINE_PCI_CONFIG_COMMAND) & needed) ||
	    bar_base(function, bar) == 0)
		return;
	pci->windows[pci->window_count++] = (struct machine_pci_window){
		.base = bar_base(function, bar),
		.size = function->bar_size[bar],
		.function = (uint8_t)index,
		.bar = (uint8_t)bar,
		.is_port = is_port,
	};
}

static void windows_rebuild(struct machine *machine)
{
	memset(machine->pci.windows, 0, sizeof(machine->pci.windows));
	machine->pci.window_count = 0;
	for (uint32_t i = 0; i < machine->pci.function_count; i++)
		for (uint32_t bar = 0; bar < MACHINE_PCI_BAR_MAX; bar++)
			window_add(machine, i, bar);
}

const struct machine_pci_window *machine_pci_window_find(const struct machine *machine, uint64_t address,
							 uint32_t size, bool is_port)
{
	for (uint32_t i = 0; i < machine->pci.window_count; i++) {
		const struct machine_pci_window *window = &machine->pci.windows[i];

		if (window->is_port == is_port && address >= window->base &&
		    range_fits(address - window->base, size, window->size))
			return window;
	}
	return NULL;
}

/* ---- interrupts ---- */

static uint16_t msix_control(const struct machine_pci_function *function)
{
	if (!function->msix_capability)
		return 0;
	return load_le16(function->config + function->msix_capability + MSIX_CONTROL);
}

bool machine_pci_msix_enabled(const struct machine *machine, uint32_t function)
{
	return (msix_control(function_peek(machine, function)) & MSIX_ENABLE) != 0;
}

bool machine_pci_is_master(const struct machine *machine, uint32_t function)
{
	return (function_peek(machine, function)->config[MACHINE_PCI_CONFIG_COMMAND] &
		MACHINE_PCI_COMMAND_MASTER) != 0;
}

static bool vector_is_masked(const struct machine_pci_function *function, uint32_t vector)
{
	return (msix_control(function) & MSIX_MASK_ALL) ||
	       (function->msix[vector].control & MSIX_ENTRY_MASKED);
}

void machine_pci_msix_send(struct machine *machine, uint32_t index, uint32_t vector)
{
	struct machine_pci_function *function = function_at(machine, index);

	if (vector >= function->msix_count || !machine_pci_msix_enabled(machine, index))
		return;
	if (vector_is_masked(function, vector))
		function->msix_pending |= (uint32_t)BIT(vector);
	else
		machine_msi_send(machine, function->msix[vector].address, function->msix[vector].data);
}

/* After an unmask: sends what had to wait (6.8.2.7). */
static void msix_pending_send(struct machine *machine, uint32_t index)
{
	struct machine_pci_function *function = function_at(machine, index);

	if (!machine_pci_msix_enabled(machine, index))
		return;
	for (uint32_t vector = 0; vector < function->msix_count; vector++) {
		if (!(function->msix_pending & BIT(vector)) || vector_is_masked(function, vector))
			continue;
		function->msix_pending &= ~(uint32_t)BIT(vector);
		machine_msi_send(machine, function->msix[vector].address, function->msix[vector].data);
	}
}

/* The four PIRQs from all pins that are driven and not disabled. */
static void intx_update(struct machine *machine)
{
	bool levels[MACHINE_GSI_COUNT] = { false };

	for (uint32_t i = 0; i < machine->pci.function_count; i++) {
		struct machine_pci_function *function = &machine->pci.functions[i];
		uint16_t command = load_le16(function->config + MACHINE_PCI_CONFIG_COMMAND);

		if (function->intx_level && !(command & MACHINE_PCI_COMMAND_INTX_DISABLE))
			levels[pirq_gsi[pirq_of(function)]] = true;
	}
	for (uint32_t i = 0; i < 2; i++)
		machine_irq_set(machine, pirq_gsi[i], levels[pirq_gsi[i]]);
}

void machine_pci_intx_set(struct machine *machine, uint32_t index, bool level)
{
	struct machine_pci_function *function = function_at(machine, index);

	if (function->intx_level == level)
		return;
	ASSERT(function->config[MACHINE_PCI_CONFIG_INTERRUPT_PIN]);
	function->intx_level = level;
	if (level)
		function->config[MACHINE_PCI_CONFIG_STATUS] |= (uint8_t)MACHINE_PCI_STATUS_INTX;
	else
		function->config[MACHINE_PCI_CONFIG_STATUS] &= (uint8_t)~MACHINE_PCI_STATUS_INTX;
	intx_update(machine);
}

/* ---- MSI-X table and pending bits ---- */

/* Bytes of the table that [offset, offset + size) may touch: aligned 4 or 8 (6.8.2). */
static bool msix_range(const struct machine_pci_function *function, uint32_t bar, uint32_t base,
		       uint32_t length, uint32_t offset)
{
	return function->msix_capability && bar == function->msix_bar && offset >= base &&
	       offset - base < length;
}

static bool in_msix_table(const struct machine_pci_function *function, uint32_t bar, uint32_t offset)
{
	return msix_range(function, bar, function->msix_table_offset,
			  (uint32_t)function->msix_count * MSIX_ENTRY_SIZE, offset);
}

static bool in_msix_pending(const struct machine_pci_function *function, uint32_t bar, uint32_t offset)
{
	return msix_range(function, bar, function->msix_pending_offset, 8, offset);
}

static uint32_t msix_table_read(const struct machine_pci_function *function, uint32_t offset)
{
	const struct machine_pci_msix_entry *entry = &function->msix[offset / MSIX_ENTRY_SIZE];

	switch (offset % MSIX_ENTRY_SIZE / 4) {
	case 0:
		return (uint32_t)entry->address;
	case 1:
		return (uint32_t)(entry->address >> 32);
	case 2:
		return entry->data;
	default:
		return entry->control;
	}
}

static void msix_table_write(struct machine *machine, uint32_t index, uint32_t offset, uint32_t value)
{
	struct machine_pci_msix_entry *entry = &function_at(machine, index)->msix[offset / MSIX_ENTRY_SIZE];

	switch (offset % MSIX_ENTRY_SIZE / 4) {
	case 0:
		entry->address = (entry->address & ~UINT64_C(0xffffffff)) | (value & ~UINT32_C(3));
		return;
	case 1:
		entry->address = (uint64_t)value << 32 | (uint32_t)entry->address;
		return;
	case 2:
		entry->data = value;
		return;
	default:
		entry->control = value & MSIX_ENTRY_MASKED;
		msix_pending_send(machine, index);
	}
}

uint64_t machine_pci_window_read(struct machine *machine, const struct guest_memory *memory,
				 const struct machine_pci_window *window, uint32_t offset, uint32_t size)
{
	const struct machine_pci_function *function = function_at(machine, window->function);
	uint32_t table = offset - function->msix_table_offset;
	uint64_t value;

	if (in_msix_table(function, window->bar, offset)) {
		value = msix_table_read(function, table);
		if (size == 8 && in_msix_table(function, window->bar, offset + 4))
			value |= (uint64_t)msix_table_read(function, table + 4) << 32;
		return value >> offset % 4 * 8;
	}
	if (in_msix_pending(function, window->bar, offset))
		return (uint64_t)function->msix_pending >> (offset - function->msix_pending_offset) * 8;
	return machine_bar_read(machine, memory, window->function, window->bar, offset, size);
}

void machine_pci_window_write(struct machine *machine, const struct guest_memory *memory,
			      const struct machine_pci_window *window, uint32_t offset, uint32_t size,
			      uint64_t value)
{
	const struct machine_pci_function *function = function_at(machine, window->function);
	uint32_t index = window->function;
	uint32_t table = offset - function->msix_table_offset;

	if (in_msix_table(function, window->bar, offset)) {
		if (size < 4 || offset % 4)
			return; /* undefined by 6.8.2; ignored */
		msix_table_write(machine, index, table, (uint32_t)value);
		if (size == 8 && in_msix_table(function, window->bar, offset + 4))
			msix_table_write(machine, index, table + 4, (uint32_t)(value >> 32));
		return;
	}
	if (in_msix_pending(function, window->bar, offset))
		return;
	machine_bar_write(machine, memory, index, window->bar, offset, size, value);
}

/* ---- configuration space ---- */

static struct machine_pci_function *function_find(struct machine *machine, uint8_t devfn)
{
	for (uint32_t i = 0; i < machine->pci.function_count; i++)
		if (machine->pci.functions[i].devfn == devfn)
			return &machine->pci.functions[i];
	return NULL;
}

static void config_written(struct machine *machine, const struct machine_pci_function *function,
			   uint32_t offset)
{
	uint32_t index = (uint32_t)(function - machine->pci.functions);

	if (offset < MACHINE_PCI_CONFIG_BAR0 + MACHINE_PCI_BAR_MAX * 4)
		windows_rebuild(machine);
	if (offset == MACHINE_PCI_CONFIG_COMMAND + 1)
		intx_update(machine);
	machine_watchdog_config_written(machine, index, offset);
	if (function->msix_capability && offset == function->msix_capability + MSIX_CONTROL + 1u)
		msix_pending_send(machine, index);
}

static void config_write(struct machine *machine, struct machine_pci_function *function, uint32_t offset,
			 uint8_t value)
{
	uint8_t mask = function->writable[offset];
	uint8_t merged = (uint8_t)((function->config[offset] & ~mask) | (value & mask));

	if (merged == function->config[offset])
		return;
	function->config[offset] = merged;
	config_written(machine, function, offset);
}

/* The selected function, or NULL; `offset` of the first byte that `port` names. */
static struct machine_pci_function *config_target(struct machine *machine, uint16_t port, uint32_t *offset)
{
	uint32_t address = machine->pci.config_address;

	*offset = (address & 0xfc) | (port & 3);
	if (!(address & ADDRESS_ENABLE) || (address >> 16 & 0xff) != 0)
		return NULL;
	return function_find(machine, (uint8_t)(address >> 8));
}

bool machine_pci_port_reads_time(const struct machine *machine, uint16_t port, bool is_write)
{
	uint32_t address = machine->pci.config_address;

	if (!is_write || port < DATA_PORT || !(address & ADDRESS_ENABLE))
		return false;
	for (uint32_t i = 0; i < machine->pci.function_count; i++)
		if (machine->pci.functions[i].devfn == (uint8_t)(address >> 8))
			return machine_watchdog_config_reads_time(machine, i, address & 0xfc);
	return false;
}

uint32_t machine_pci_port_read(struct machine *machine, const struct guest_memory *memory, uint16_t port,
			       uint32_t size)
{
	const struct machine_pci_function *function;
	uint32_t value = 0;
	uint32_t offset;

	(void)memory;
	if (port < DATA_PORT)
		return port == ADDRESS_PORT && size == 4 ? machine->pci.config_address : UINT32_MAX;
	function = config_target(machine, port, &offset);
	if (!function)
		return UINT32_MAX;
	for (uint32_t i = 0; i < size && (port & 3) + i < 4; i++)
		value |= (uint32_t)function->config[offset + i] << i * 8;
	return value;
}

void machine_pci_port_write(struct machine *machine, const struct guest_memory *memory, uint16_t port,
			    uint32_t size, uint32_t value)
{
	struct machine_pci_function *function;
	uint32_t offset;

	(void)memory;
	if (port < DATA_PORT) {
		if (port == ADDRESS_PORT && size == 4)
			machine->pci.config_address = value & 0x80fffffc;
		return;
	}
	function = config_target(machine, port, &offset);
	if (!function)
		return;
	for (uint32_t i = 0; i < size && (port & 3) + i < 4; i++)
		config_write(machine, function, offset + i, (uint8_t)(value >> i * 8));
}

/* ---- start ---- */

void machine_pci_init(struct machine *machine)
{
	memset(&machine->pci, 0, sizeof(machine->pci));
	machine_pci_host_init(machine);
}

void machine_pci_bars_assign(struct machine *machine)
{
	uint64_t memory_next = machine_pci_memory_base(machine);
	uint64_t port_next = MACHINE_PCI_PORT_BASE;

	for (uint32_t i = 0; i < machine->pci.function_count; i++) {
		struct machine_pci_function *function = &machine->pci.functions[i];

		for (uint32_t bar = 0; bar < MACHINE_PCI_BAR_MAX; bar++) {
			bool is_port = (function->bar_is_port >> bar) & 1;
			uint64_t *next = is_port ? &port_next : &memory_next;
			uint32_t size = function->bar_size[bar];

			if (!size)
				continue;
			*next = align_up(*next, max_u64(size, is_port ? 64 : 4 * KIB));
			store_le32(function->config + MACHINE_PCI_CONFIG_BAR0 + bar * 4,
				   (uint32_t)*next | (is_port ? BAR_PORT : 0));
			*next += size;
		}
		function->config[MACHINE_PCI_CONFIG_COMMAND] |=
			MACHINE_PCI_COMMAND_PORT | MACHINE_PCI_COMMAND_MEMORY;
	}
	windows_rebuild(machine);
}
