#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seed inputs of fuzz_boot_info: struct boot_info as small and large
machines have it, in the cut form that the target describes.

    tests/fuzz/corpus/make_boot_info.py    (from the root of the repository)
"""
import pathlib
import struct

FREE, RESERVED, ACPI, NVS, DEFECTIVE, LOADED = range(1, 7)
MIB = 1 << 20
SIZE = 608 + 256 * 24 + 8 * 272  # of the whole structure
FOLDER = pathlib.Path(__file__).resolve().parent / "boot_info"


def boot_info(ranges, files, command_line=b"", framebuffer=(0, 0, 0, 0, 0, 0, 0), rsdp=0):
    head = struct.pack("<QIIQQQQ", 0x4F464E49454B4F59, 1, SIZE, 2 * MIB, 0x90000, rsdp, 12345)
    head += struct.pack("<256s256s", b"GRUB 2.06", command_line)
    head += struct.pack("<QIIIIII", *framebuffer)
    head += struct.pack("<IIII", len(ranges), 0, len(files), 0)
    assert len(head) == 48 + 512 + 32 + 16
    body = b"".join(struct.pack("<QQQ", *r) for r in ranges)
    body += b"".join(struct.pack("<QQ256s", base, size, name) for base, size, name in files)
    return head + body


QEMU = [
    (0, 0x9FC00, FREE),
    (0x9FC00, 0x400, RESERVED),
    (0xF0000, 0x10000, RESERVED),
    (1 * MIB, 511 * MIB - 0x20000, FREE),
    (512 * MIB - 0x20000, 0x20000, RESERVED),
    (0xFFFC0000, 0x40000, RESERVED),
    (2 * MIB, 0x90000, LOADED),
    (0x400000, 0x1000, LOADED),
    (0x500000, 0x800000, LOADED),
]
FILES = [(0x400000, 0x321, b"yoke.conf"), (0x500000, 0x7F0000, b"vmlinuz"), (0, 0, b"empty")]

FIRMWARE = [
    (0x0, 0xA0000, FREE),
    (0x100000, 0x700000, FREE),
    (0x800000, 0x8000, NVS),
    (0x808000, 0x3000, FREE),
    (0x80B000, 0x1000, NVS),
    (0x80C000, 0x4000, FREE),
    (0x810000, 0xF0000, NVS),
    (0x900000, 0x1E000000, FREE),
    (0x1E900000, 0x20000, RESERVED),
    (0x1E920000, 0x10000, ACPI),
    (0x1E930000, 0x100000, NVS),
    (0x1EA00000, 0x1000, DEFECTIVE),
    (0x100000000, 0x3C0000000, FREE),
    (0xFD00000000, 0x300000000, RESERVED),
    (0x200000, 0x90000, LOADED),
]

SEEDS = {
    "qemu": boot_info(QEMU, FILES, b"guest.memory=256M debug_exit"),
    "firmware": boot_info(FIRMWARE, [], b"", (0xC0000000, 1280, 800, 5120, 32, 2, 0), 0x1E920014),
    "smallest": boot_info([(0, 16 * MIB, LOADED)], []),
    "overlaps": boot_info([(0, 64 * MIB, k) for k in (FREE, RESERVED)] + [(2 * MIB, 4 * MIB, k) for k in (LOADED, ACPI)], []),
    "text-screen": boot_info(QEMU[:6] + [(0, 8 * MIB, LOADED)], [], b"x" * 255, (0xB8000, 80, 25, 160, 16, 3, 0)),
}

for name, data in SEEDS.items():
    (FOLDER / name).write_bytes(data)
