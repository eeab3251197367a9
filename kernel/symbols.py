#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Turns `nm -n` of the hypervisor into an assembly table for kernel/symbols.c.

Sorted by address: 32-bit offsets from KERNEL_VIRTUAL_BASE, each with the offset
of its name. Addresses of code do not depend on the table's size (it lies behind
the code), so one pass over the first link's symbols is right for the second.
"""
import sys

KERNEL_VIRTUAL_BASE = 0xFFFFFFFF80000000


def code_symbols(lines):
    for line in lines:
        fields = line.split()
        if len(fields) == 3 and fields[1] in "tT":
            address = int(fields[0], 16)
            if address >= KERNEL_VIRTUAL_BASE:
                yield address - KERNEL_VIRTUAL_BASE, fields[2]


def main():
    symbols = list(code_symbols(sys.stdin))
    print('.section symbol_table, "a"')
    print(".balign 8\n.global symbol_count\nsymbol_count: .quad", len(symbols))
    print(".global symbol_entries\nsymbol_entries:")
    offset = 0
    for address, name in symbols:
        print(f".long {address:#x}, {offset}")
        offset += len(name) + 1
    print(".global symbol_names\nsymbol_names:")
    for _, name in symbols:
        print(f'.asciz "{name}"')
    print('.section .note.GNU-stack, "", @progbits')


if __name__ == "__main__":
    main()
