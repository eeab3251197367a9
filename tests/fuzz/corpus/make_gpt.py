#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seed inputs of fuzz_gpt: partition tables as UEFI 2.10, chapter 5.3,
lays them out, and disks without one, in the form that the target describes.

    tests/fuzz/corpus/make_gpt.py    (from the root of the repository)
"""
import pathlib
import struct
import zlib

FOLDER = pathlib.Path(__file__).resolve().parent / "gpt"
MEND, LARGE = 1, 2
SECTORS = 131072


def entry(kind, first, last, size=128):
    return struct.pack("<16s16sQQQ72s", bytes([kind]) * 16, bytes([kind + 1]) * 16, first, last, 0, b"").ljust(size, b"\0")


def disk(sector, entries, entry_size=128, header_size=92):
    table = b"".join(entries)
    header = bytearray(struct.pack("<8sIIIIQQQQ16sQIIII", b"EFI PART", 0x10000, header_size, 0, 0, 1, SECTORS - 1, 34,
                                   SECTORS - 34, b"G" * 16, 2, len(entries), entry_size, zlib.crc32(table), 0)[:92])
    header = header.ljust(header_size, b"\0")
    struct.pack_into("<I", header, 16, zlib.crc32(header))
    mbr = bytearray(sector)
    mbr[450] = 0xEE
    mbr[510:512] = b"\x55\xaa"
    return bytes(mbr) + bytes(header).ljust(sector, b"\0") + table


TWO = [entry(1, 2048, 4095), entry(9, 4096, 8191), bytes(128), bytes(128)]
SEEDS = {
    "two-partitions": (MEND, disk(512, TWO)),
    "strict": (0, disk(512, TWO)),
    "large-entries": (MEND, disk(512, [entry(3, 34, SECTORS - 34, 256), bytes(256)], 256, 96)),
    "no-partitions": (MEND, disk(512, [bytes(128)] * 4)),
    "mbr": (0, disk(512, TWO)[:512] + bytes(512)),
    "blank": (0, bytes(1024)),
    "noise": (0, bytes(i * 7 % 251 for i in range(1500))),
}

FOLDER.mkdir(exist_ok=True)
for name, (options, data) in SEEDS.items():
    (FOLDER / name).write_bytes(bytes([options]) + data)
