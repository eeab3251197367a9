/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PCI bus of the virtual server: configuration mechanism 1 (ports 0xcf8 and
 * 0xcfc), one bus, configuration space, BARs that the guest may size and move,
 * MSI-X and INTx (PCI Local Bus 3.0). The functions' own registers are elsewhere:
 *
 *     00:00.0  host bridge 8086:1237                     pci_host.c
 *     00:01.0  ISA bridge 8086:7000 (PIIX3)              pci_host.c
 *     00:01.3  power management 8086:7113 (PIIX4)        pci_host.c, pm.c
 *     00:02.0 and up, function 0   virtio devices        virtio_*.c
 *
 * MSI-X tables and pending bits are served here; all other accesses to a BAR go
 * to its device by machine_bar_read() and machine_bar_write() in machine.c. The prefix machine_
 * keeps these names apart from the server's own PCI bus in kernel/.
 */
#ifndef MACHINE_PCI_H
#define MACHINE_PCI_H

#include "include/bits.h"

struct machine;
struct guest_memory;

#define MACHINE_PCI_FUNCTION_MAX 16
#define MACHINE_PCI_BAR_MAX 6
#define MACHINE_PCI_CONFIG_SIZE 256
#define MACHINE_PCI_MSIX_MAX 8 /* vectors of one function */
#define MACHINE_PCI_WINDOW_MAX 32
#define MACHINE_PCI_DEVFN(slot, function) ((uint8_t)((slot) << 3 | (function)))
#define MACHINE_PCI_VIRTIO_SLOT_FIRST 2

/* Offsets in configuration space that devices use too. */
#define MACHINE_PCI_CONFIG_VENDOR 0x00
#define MACHINE_PCI_CONFIG_DEVICE 0x02
#define MACHINE_PCI_CONFIG_COMMAND 0x04
#define MACHINE_PCI_CONFIG_STATUS 0x06
#define MACHINE_PCI_CONFIG_REVISION 0x08
#define MACHINE_PCI_CONFIG_CLASS 0x09 /* interface, subclass, class */
#define MACHINE_PCI_CONFIG_HEADER_TYPE 0x0e
#define MACHINE_PCI_CONFIG_BAR0 0x10
#define MACHINE_PCI_CONFIG_SUBSYSTEM_VENDOR 0x2c
#define MACHINE_PCI_CONFIG_SUBSYSTEM 0x2e
#define MACHINE_PCI_CONFIG_CAPABILITIES 0x34
#define MACHINE_PCI_CONFIG_INTERRUPT_LINE 0x3c
#define MACHINE_PCI_CONFIG_INTERRUPT_PIN 0x3d

#define MACHINE_PCI_COMMAND_PORT UINT16_C(0x0001)
#define MACHINE_PCI_COMMAND_MEMORY UINT16_C(0x0002)
#define MACHINE_PCI_COMMAND_MASTER UINT16_C(0x0004)
#define MACHINE_PCI_COMMAND_INTX_DISABLE UINT16_C(0x0400)
#define MACHINE_PCI_STATUS_INTX UINT16_C(0x0008)
#define MACHINE_PCI_STATUS_CAPABILITIES UINT16_C(0x0010)

struct machine_pci_msix_entry {
	uint64_t address;
	uint32_t data;
	uint32_t control; /* bit 0: masked */
};

struct machine_pci_function {
	uint8_t present;
	uint8_t devfn;
	uint8_t intx_level;	 /* what the device drives, before the command register's disable bit */
	uint8_t msix_capability; /* offset, 0: none */
	uint8_t msix_bar;
	uint8_t msix_count;
	uint8_t capability_last; /* where the next capability is linked in */
	uint8_t capability_end;	 /* first free byte */
	uint32_t msix_table_offset;
	uint32_t msix_pending_offset;
	uint32_t msix_pending;			/* bit of each vector that was masked when it was sent */
	uint32_t bar_size[MACHINE_PCI_BAR_MAX]; /* bytes, a power of two from 16; 0: not there */
	uint32_t bar_is_port;			/* bit of each BAR */
	struct machine_pci_msix_entry msix[MACHINE_PCI_MSIX_MAX];
	uint8_t config[MACHINE_PCI_CONFIG_SIZE];
	uint8_t writable[MACHINE_PCI_CONFIG_SIZE]; /* bits of config[] that the guest may change */
};

/* A decoded BAR; rebuilt whenever a BAR or command register changes. */
struct machine_pci_window {
	uint32_t base;
	uint32_t size;
	uint8_t function; /* index in functions[] */
	uint8_t bar;
	uint8_t is_port;
	uint8_t reserved;
};

struct machine_pci {
	uint32_t config_address; /* port 0xcf8 */
	uint32_t window_count;
	uint32_t function_count;
	uint32_t bar_count;
	struct machine_pci_window windows[MACHINE_PCI_WINDOW_MAX];
	struct machine_pci_function functions[MACHINE_PCI_FUNCTION_MAX];
};

/* ---- for the devices, at power-on and reset ---- */

struct machine_pci_identity {
	uint16_t vendor;
	uint16_t device;
	uint16_t subsystem_vendor;
	uint16_t subsystem;
	uint32_t class_code; /* class << 16 | subclass << 8 | interface */
	uint8_t revision;
	uint8_t interrupt_pin; /* 1 = INTA, 0: none */
};

/* Adds a function; the slot must be free. Returns its index, good until the next machine_reset(). */
uint32_t machine_pci_function_add(struct machine *machine, uint8_t devfn,
				  const struct machine_pci_identity *identity);

/* A memory BAR (32 bits, not prefetchable) or port BAR of `size` bytes, a power of two from 16. */
void machine_pci_bar_add(struct machine *machine, uint32_t function, uint32_t bar, uint32_t size,
			 bool is_port);

/*
 * Appends a capability of `size` bytes from `body` (which begins behind the id and
 * next bytes, so size is at least 2 and body has size - 2 bytes). Returns its offset.
 */
uint8_t machine_pci_capability_add(struct machine *machine, uint32_t function, uint8_t id, const void *body,
				   uint32_t size);

/*
 * MSI-X with `count` vectors, the table at `table_offset` and the pending bits at
 * `pending_offset` of memory BAR `bar`, both multiples of 8.
 */
void machine_pci_msix_add(struct machine *machine, uint32_t function, uint32_t count, uint32_t bar,
			  uint32_t table_offset, uint32_t pending_offset);

/* Lets the guest change the bits of `mask` in the byte at `offset`. */
void machine_pci_config_allow(struct machine *machine, uint32_t function, uint8_t offset, uint8_t mask);

/* ---- for the devices, at work ---- */

/* Has the guest switched MSI-X on (so that INTx must stay quiet)? */
bool machine_pci_msix_enabled(const struct machine *machine, uint32_t function);

/* Sends vector `vector`, or remembers it while masked. No such vector, or MSI-X off: nothing. */
void machine_pci_msix_send(struct machine *machine, uint32_t function, uint32_t vector);

/* The level of the function's INTx pin. */
void machine_pci_intx_set(struct machine *machine, uint32_t function, bool level);

/* May the device touch memory (bus master enable)? */
bool machine_pci_is_master(const struct machine *machine, uint32_t function);

/* ---- for machine.c ---- */

/* Where the ports of PCI devices begin; the window goes up to 0xffff. */
#define MACHINE_PCI_PORT_BASE 0xc000

/* Where memory BARs may lie: from here to MACHINE_PCI_MEMORY_END - 1. As SeaBIOS chooses it, and the DSDT
 * says. */
#define MACHINE_PCI_MEMORY_END UINT64_C(0xfec00000)
uint64_t machine_pci_memory_base(const struct machine *machine);

/* The global interrupt that pin 1..4 (INTA..INTD) of `slot` is wired to; level, active low. */
uint8_t machine_pci_slot_gsi(uint32_t slot, uint32_t pin);

void machine_pci_init(struct machine *machine);

/* Ports 0xcf8..0xcff but 0xcf9. */
uint32_t machine_pci_port_read(struct machine *machine, const struct guest_memory *memory, uint16_t port,
			       uint32_t size);
void machine_pci_port_write(struct machine *machine, const struct guest_memory *memory, uint16_t port,
			    uint32_t size, uint32_t value);

/* Does an access to these ports need the time? */
bool machine_pci_port_reads_time(const struct machine *machine, uint16_t port, bool is_write);

/* The window that [address, address + size) lies in, or NULL. */
const struct machine_pci_window *machine_pci_window_find(const struct machine *machine, uint64_t address,
							 uint32_t size, bool is_port);

/* The device's own registers behind a BAR: everything but MSI-X. In machine.c. */
uint64_t machine_bar_read(struct machine *machine, const struct guest_memory *memory, uint32_t function,
			  uint32_t bar, uint32_t offset, uint32_t size);
void machine_bar_write(struct machine *machine, const struct guest_memory *memory, uint32_t function,
		       uint32_t bar, uint32_t offset, uint32_t size, uint64_t value);

/* An access `offset` bytes into the window's BAR. */
uint64_t machine_pci_window_read(struct machine *machine, const struct guest_memory *memory,
				 const struct machine_pci_window *window, uint32_t offset, uint32_t size);
void machine_pci_window_write(struct machine *machine, const struct guest_memory *memory,
			      const struct machine_pci_window *window, uint32_t offset, uint32_t size,
			      uint64_t value);

/*
 * What firmware does on a real machine: gives every BAR an address, in slot order,
 * and switches decoding on. For the direct boot.
 */
void machine_pci_bars_assign(struct machine *machine);

#endif
