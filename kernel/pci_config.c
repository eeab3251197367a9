/* SPDX-License-Identifier: Apache-2.0 */
/* BAR sizes and the capability list, from bytes that a device chose. */
#include "kernel/pci_config.h"

#include <string.h>

#include "include/byte_order.h"

#define BAR_IS_PORT BIT(0)
#define BAR_TYPE_64BIT 0x4
#define BAR_TYPE_MASK 0x6
#define BAR_MEMORY_MASK UINT64_C(0xfffffffffffffff0)
#define BAR_PORT_MASK 0xfffc

#define CONFIG_STATUS 0x06
#define CONFIG_STATUS_CAPABILITIES BIT(4)
#define CONFIG_CAPABILITIES 0x34
#define CAPABILITY_FIRST 0x40 /* the standard header ends here */
#define CAPABILITY_MAX 48     /* more do not fit into the space */

/* The lowest bit that can be set is the size; a real BAR's writable bits reach up from there without a gap.
 */
static uint64_t size_of_mask(uint64_t mask, uint64_t width_mask)
{
	uint64_t size = mask & (~mask + 1);

	return ((mask | (size - 1)) & width_mask) == width_mask ? size : 0;
}

uint32_t pci_bar_decode(const struct pci_bar_probe *probe, struct pci_bar *bar)
{
	memset(bar, 0, sizeof(*bar));
	if (probe->low & BAR_IS_PORT) {
		bar->is_port = true;
		bar->base = probe->low & BAR_PORT_MASK;
		/* The upper half of a port BAR may be hard-wired to 0. */
		bar->size = (probe->low_mask & BAR_PORT_MASK)
				    ? size_of_mask(probe->low_mask & BAR_PORT_MASK, 0xffff)
				    : 0;
		return 1;
	}
	if ((probe->low & BAR_TYPE_MASK) == BAR_TYPE_64BIT) {
		uint64_t mask = ((uint64_t)probe->high_mask << 32 | probe->low_mask) & BAR_MEMORY_MASK;

		bar->is_64bit = true;
		bar->base = ((uint64_t)probe->high << 32 | probe->low) & BAR_MEMORY_MASK;
		/* Devices may leave out address bits that no processor has. */
		bar->size = mask ? size_of_mask(mask, BIT(48) - 1) : 0;
		return 2;
	}
	bar->base = probe->low & BAR_MEMORY_MASK & UINT32_MAX;
	bar->size = probe->low_mask & BAR_MEMORY_MASK
			    ? size_of_mask(probe->low_mask & BAR_MEMORY_MASK, UINT32_MAX)
			    : 0;
	return 1;
}

/* Pointers have their low two bits reserved; one below the standard header ends the list, a loop by the
 * count. */
uint8_t pci_capability_find(const uint8_t config[PCI_CONFIG_SIZE], uint8_t id, uint8_t after)
{
	bool past = after == 0;
	uint8_t at;

	if (!(load_le16(config + CONFIG_STATUS) & CONFIG_STATUS_CAPABILITIES))
		return 0;
	at = config[CONFIG_CAPABILITIES] & 0xfc;
	for (int count = 0; at >= CAPABILITY_FIRST && count < CAPABILITY_MAX; count++) {
		if (past && config[at] == id)
			return at;
		if (at == after)
			past = true;
		at = config[at + 1] & 0xfc;
	}
	return 0;
}
