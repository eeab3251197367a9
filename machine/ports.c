/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The port map. Most devices are 8 bits wide: a wider access to them is one of each
 * byte, lowest first, as a bus controller splits it. A few take any width.
 *
 *     20 21 a0 a1 4d0 4d1   8259 pair       3f8..3ff    COM1
 *     40..43 61             8254            402         firmware's debug output
 *     70 71                 clock, CMOS     600..60f    ACPI
 *     92 cf9                reset           cf8 cfc..   PCI configuration
 *     60 64                 8042            3c0..3df    VGA
 *     510..51b              fw_cfg
 *
 * and behind fw_cfg, where the guest has put the port BARs of PCI devices. Elsewhere
 * reads give all ones and writes are ignored: that includes 0x80, which systems write
 * to wait. The narrow ports all come first, so that an access to one is short.
 */
#include "machine/ports.h"

#include "machine/machine.h"

#define DEBUG_PORT 0x402
#define DEBUG_PORT_ANSWER 0xe9 /* "something listens" */

BUILD_ASSERT(MACHINE_PM_PORT >= MACHINE_NARROW_PORT_END);
BUILD_ASSERT(MACHINE_FW_CFG_PORT >= MACHINE_NARROW_PORT_END);
BUILD_ASSERT(MACHINE_VGA_PORT + MACHINE_VGA_PORT_COUNT <= MACHINE_NARROW_PORT_END);

static bool is_narrow(uint16_t port, uint32_t size)
{
	return size == 1 && port < MACHINE_NARROW_PORT_END;
}

static bool is_pm(uint16_t port, uint32_t size)
{
	return port >= MACHINE_PM_PORT && port + size <= MACHINE_PM_PORT + MACHINE_PM_PORT_COUNT;
}

static bool is_fw_cfg(uint16_t port, uint32_t size)
{
	return port >= MACHINE_FW_CFG_PORT && port + size <= MACHINE_FW_CFG_DMA_PORT + 8;
}

static bool is_pci_config(uint16_t port)
{
	return port >= 0xcf8 && port <= 0xcff && port != MACHINE_RESET_PORT;
}

static ALWAYS_INLINE uint8_t port_read8(struct machine *machine, uint16_t port)
{
	switch (port) {
	case 0x20 ... 0x21:
	case 0xa0 ... 0xa1:
	case 0x4d0 ... 0x4d1:
		return machine_pic_port_read(machine, port);
	case 0x40 ... 0x43:
	case 0x61:
		return machine_pit_port_read(machine, port);
	case 0x60:
	case 0x64:
		return machine_keyboard_port_read(machine, port);
	case 0x70 ... 0x71:
		return machine_rtc_port_read(machine, port);
	case MACHINE_FAST_RESET_PORT:
	case MACHINE_RESET_PORT:
		return machine_pm_reset_read(machine, port);
	case MACHINE_UART_PORT ... MACHINE_UART_PORT + 7:
		return machine_uart_port_read(machine, port - MACHINE_UART_PORT);
	case MACHINE_VGA_PORT ... MACHINE_VGA_PORT + MACHINE_VGA_PORT_COUNT - 1:
		return machine_vga_port_read(machine, port - MACHINE_VGA_PORT);
	case DEBUG_PORT:
		return DEBUG_PORT_ANSWER;
	default:
		return 0xff;
	}
}

static ALWAYS_INLINE void port_write8(struct machine *machine, uint16_t port, uint8_t value)
{
	switch (port) {
	case 0x20 ... 0x21:
	case 0xa0 ... 0xa1:
	case 0x4d0 ... 0x4d1:
		machine_pic_port_write(machine, port, value);
		break;
	case 0x40 ... 0x43:
	case 0x61:
		machine_pit_port_write(machine, port, value);
		break;
	case 0x60:
	case 0x64:
		machine_keyboard_port_write(machine, port, value);
		break;
	case 0x70 ... 0x71:
		machine_rtc_port_write(machine, port, value);
		break;
	case MACHINE_FAST_RESET_PORT:
	case MACHINE_RESET_PORT:
		machine_pm_reset_write(machine, port, value);
		break;
	case MACHINE_UART_PORT ... MACHINE_UART_PORT + 7:
		machine_uart_port_write(machine, port - MACHINE_UART_PORT, value);
		break;
	case MACHINE_VGA_PORT ... MACHINE_VGA_PORT + MACHINE_VGA_PORT_COUNT - 1:
		machine_vga_port_write(machine, port - MACHINE_VGA_PORT, value);
		break;
	case DEBUG_PORT:
		machine_byte_queue_put(&machine->debug_output, value);
		break;
	default:
		break;
	}
}

static uint32_t size_mask(uint32_t size)
{
	return size >= 4 ? UINT32_MAX : (UINT32_C(1) << size * 8) - 1;
}

static NOINLINE uint32_t port_read_wide(struct machine *machine, const struct guest_memory *memory,
					uint16_t port, uint32_t size)
{
	const struct machine_pci_window *window;
	uint32_t value = 0;

	if (is_pm(port, size))
		return machine_pm_port_read(machine, port - MACHINE_PM_PORT, size);
	if (is_fw_cfg(port, size))
		return machine_fw_cfg_port_read(machine, port - MACHINE_FW_CFG_PORT, size) & size_mask(size);
	if (is_pci_config(port))
		return machine_pci_port_read(machine, memory, port, size) & size_mask(size);
	window = machine_pci_window_find(machine, port, size, true);
	if (window)
		return (uint32_t)machine_bar_read(machine, memory, window->function, window->bar,
						  port - window->base, size) &
		       size_mask(size);
	for (uint32_t i = 0; i < size; i++)
		value |= (uint32_t)port_read8(machine, (uint16_t)(port + i)) << i * 8;
	return value;
}

uint32_t machine_port_read(struct machine *machine, const struct guest_memory *memory, uint16_t port,
			   uint32_t size)
{
	return is_narrow(port, size) ? port_read8(machine, port)
				     : port_read_wide(machine, memory, port, size);
}

static NOINLINE void port_write_wide(struct machine *machine, const struct guest_memory *memory,
				     uint16_t port, uint32_t size, uint32_t value)
{
	const struct machine_pci_window *window;

	value &= size_mask(size);
	if (is_pm(port, size)) {
		machine_pm_port_write(machine, port - MACHINE_PM_PORT, size, value);
		return;
	}
	if (is_fw_cfg(port, size)) {
		machine_fw_cfg_port_write(machine, memory, port - MACHINE_FW_CFG_PORT, size, value);
		return;
	}
	if (is_pci_config(port)) {
		machine_pci_port_write(machine, memory, port, size, value);
		return;
	}
	window = machine_pci_window_find(machine, port, size, true);
	if (window) {
		machine_bar_write(machine, memory, window->function, window->bar, port - window->base, size,
				  value);
		return;
	}
	for (uint32_t i = 0; i < size; i++)
		port_write8(machine, (uint16_t)(port + i), (uint8_t)(value >> i * 8));
}

void machine_port_write(struct machine *machine, const struct guest_memory *memory, uint16_t port,
			uint32_t size, uint32_t value)
{
	if (is_narrow(port, size))
		port_write8(machine, port, (uint8_t)value);
	else
		port_write_wide(machine, memory, port, size, value);
}

static bool port_reads_time8(const struct machine *machine, uint16_t port, bool is_write)
{
	switch (port) {
	case 0x40 ... 0x43:
	case 0x61:
		return machine_pit_reads_time(machine, port, is_write);
	case 0x70 ... 0x71:
		return machine_rtc_reads_time(machine, port, is_write);
	default:
		return false;
	}
}

static NOINLINE bool port_reads_time_wide(const struct machine *machine, uint16_t port, uint32_t size,
					  bool is_write)
{
	if (is_pm(port, size))
		return machine_pm_reads_time(port - MACHINE_PM_PORT, size, is_write);
	if (is_pci_config(port))
		return machine_pci_port_reads_time(machine, port, is_write);
	for (uint32_t i = 0; i < size; i++)
		if (port_reads_time8(machine, (uint16_t)(port + i), is_write))
			return true;
	return false;
}

bool machine_port_asks_time(const struct machine *machine, uint16_t port, uint32_t size, bool is_write)
{
	return is_narrow(port, size) ? port_reads_time8(machine, port, is_write)
				     : port_reads_time_wide(machine, port, size, is_write);
}
