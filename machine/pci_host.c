/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 82441FX host bridge, PIIX3 ISA bridge, PIIX4 power management: identities that
 * firmware and systems know what to do with. Their registers are memory only:
 * the BIOS area is plain RAM whatever PAM says, PCI interrupts are wired to 10 and
 * 11, and the power management block stays at 0x600.
 */
#include "machine/pci_host.h"

#include "include/byte_order.h"
#include "machine/machine.h"

#define VENDOR_INTEL 0x8086
#define CLASS_HOST_BRIDGE 0x060000
#define CLASS_ISA_BRIDGE 0x060100
#define CLASS_OTHER_BRIDGE 0x068000

#define HEADER_MULTI_FUNCTION 0x80
#define HOST_PAM 0x59 /* seven registers, read/write enables of 0xc0000..0xfffff */
#define HOST_PAM_COUNT 7
#define ISA_PIRQ 0x60 /* four registers */
#define PM_BASE 0x40
#define PM_SMI_DONE 0x5b /* APMC enable: tells firmware that there is no SMM left to set up */
#define PM_ENABLE 0x80

static void registers_allow(struct machine *machine, uint32_t function, uint8_t offset, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		machine_pci_config_allow(machine, function, (uint8_t)(offset + i), 0xff);
}

void machine_pci_host_init(struct machine *machine)
{
	const struct machine_pci_identity host = {
		.vendor = VENDOR_INTEL, .device = 0x1237, .class_code = CLASS_HOST_BRIDGE, .revision = 2
	};
	const struct machine_pci_identity isa = { .vendor = VENDOR_INTEL,
						  .device = 0x7000,
						  .class_code = CLASS_ISA_BRIDGE };
	const struct machine_pci_identity power = {
		.vendor = VENDOR_INTEL, .device = 0x7113, .class_code = CLASS_OTHER_BRIDGE, .revision = 3
	};
	struct machine_pci_function *functions = machine->pci.functions;
	uint32_t index;

	index = machine_pci_function_add(machine, MACHINE_PCI_DEVFN(0, 0), &host);
	registers_allow(machine, index, HOST_PAM, HOST_PAM_COUNT);

	index = machine_pci_function_add(machine, MACHINE_PCI_DEVFN(1, 0), &isa);
	functions[index].config[MACHINE_PCI_CONFIG_HEADER_TYPE] = HEADER_MULTI_FUNCTION;
	registers_allow(machine, index, ISA_PIRQ, 4);

	index = machine_pci_function_add(machine, MACHINE_PCI_DEVFN(1, 3), &power);
	store_le32(functions[index].config + PM_BASE, MACHINE_PM_PORT | 1);
	functions[index].config[PM_SMI_DONE] = 0x02;
	functions[index].config[PM_ENABLE] = 1;
}
