/* SPDX-License-Identifier: Apache-2.0 */
/* The chipset's own PCI functions: host bridge, ISA bridge, power management. */
#ifndef MACHINE_PCI_HOST_H
#define MACHINE_PCI_HOST_H

struct machine;

/* Adds the three functions to an empty bus. */
void machine_pci_host_init(struct machine *machine);

#endif
