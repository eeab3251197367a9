/* SPDX-License-Identifier: Apache-2.0 */
/* Binary search in the table that symbols.py made: ascending offsets from KERNEL_VIRTUAL_BASE. */
#include "kernel/symbols.h"

#include "include/memory_layout.h"

struct symbol_entry {
	uint32_t address_offset; /* from KERNEL_VIRTUAL_BASE */
	uint32_t name_offset;	 /* in symbol_names */
};

extern const uint64_t symbol_count;
extern const struct symbol_entry symbol_entries[];
extern const char symbol_names[];
extern const char kernel_constants[]; /* the end of the code */

const char *symbol_find(uint64_t address, uint64_t *offset)
{
	uint64_t low = 0;
	uint64_t high = symbol_count;

	if (address < KERNEL_VIRTUAL_BASE || address >= (uint64_t)kernel_constants)
		return NULL;
	address -= KERNEL_VIRTUAL_BASE;
	while (low < high) {
		uint64_t middle = (low + high) / 2;

		if (symbol_entries[middle].address_offset <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0)
		return NULL;
	*offset = address - symbol_entries[low - 1].address_offset;
	return symbol_names + symbol_entries[low - 1].name_offset;
}
