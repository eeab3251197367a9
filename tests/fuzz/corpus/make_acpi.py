#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seed inputs of fuzz_acpi: tables as ACPI 6.4, chapter 5.2, lays them
out, in the form that the target describes.

    tests/fuzz/corpus/make_acpi.py    (from the root of the repository)
"""
import pathlib
import struct

FOLDER = pathlib.Path(__file__).resolve().parent / "acpi"
BASE = 0xE0000
MEND, SEARCH = 0x01, 0xF0


def table(signature, body, revision=1):
    data = struct.pack("<4sIBB6s8sI4sI", signature, 36 + len(body), revision, 0, b"YOKE  ", b"SEED    ", 1, b"TEST", 1) + body
    data = bytearray(data)
    data[9] = -sum(data) & 0xFF
    return bytes(data)


def madt(cpus, x2apic=False):
    body = struct.pack("<II", 0xFEE00000, 1)
    for cpu in range(cpus):
        body += struct.pack("<BBHIII", 9, 16, 0, cpu, 1, cpu) if x2apic else struct.pack("<BBBBI", 0, 8, cpu, cpu, 1)
    body += struct.pack("<BBBBII", 1, 12, 0, 0, 0xFEC00000, 0)
    body += struct.pack("<BBBBIH", 2, 10, 0, 0, 2, 0)
    body += struct.pack("<BBHQ", 5, 12, 0, 0xFEE00000)
    return table(b"APIC", body, 3)


def fadt(dsdt, large):
    body = bytearray(240 if large else 80)
    struct.pack_into("<II", body, 0, 0, dsdt)
    struct.pack_into("<IBBBB", body, 12, 0xB2, 0xF1, 0xF0, 0, 0)
    struct.pack_into("<II", body, 28, 0x604, 0)
    struct.pack_into("<I", body, 40, 0x608)
    if large:
        struct.pack_into("<I", body, 76, 1 << 10)
        struct.pack_into("<BBBBQB", body, 80, 1, 8, 0, 1, 0xCF9, 0x0F)
        struct.pack_into("<Q", body, 104, dsdt)
    return table(b"FACP", bytes(body), 6 if large else 1)


def dsdt(filler=0):
    return table(b"DSDT", b"\x5b" * filler + b"\x08_S5_\x12\x06\x04\x0a\x05\x0a\x05\x00\x00" + b"\x00" * 4, 2)


MCFG = table(b"MCFG", bytes(8) + struct.pack("<QHBBI", 0xB0000000, 0, 0, 255, 0))


def memory(revision, tables, padding=0):
    """RSDP, root table, then the tables, each on 16 bytes; the DSDT is the first of `tables`."""
    wide = revision >= 2
    root_at = BASE + padding + 48
    addresses = []
    at = root_at + 36 + (8 if wide else 4) * (len(tables) + 1)
    blobs = []
    for make in tables:
        at = (at + 15) & ~15
        blob = make(addresses[0] if addresses else 0)
        addresses.append(at)
        blobs.append(blob)
        at += len(blob)
    entries = b"".join(struct.pack("<Q" if wide else "<I", a) for a in addresses[1:])
    root = table(b"XSDT" if wide else b"RSDT", entries)
    rsdp = bytearray(struct.pack("<8sB6sBI", b"RSD PTR ", 0, b"YOKE  ", revision, 0 if wide else root_at))
    rsdp[8] = -sum(rsdp) & 0xFF
    rsdp += struct.pack("<IQB3x", 36, root_at, 0)
    rsdp[32] = -sum(rsdp) & 0xFF
    out = bytearray(at - BASE)
    out[padding:padding + len(rsdp)] = rsdp
    out[root_at - BASE:root_at - BASE + len(root)] = root
    for address, blob in zip(addresses, blobs):
        out[address - BASE:address - BASE + len(blob)] = blob
    return bytes(out)


def seed(name, options, blob, ebda=0):
    (FOLDER / name).write_bytes(struct.pack("<BH", options, ebda) + blob)


FULL = [lambda _: dsdt(), lambda d: fadt(d, True), lambda _: madt(2), lambda _: MCFG]
OLD = [lambda _: dsdt(300), lambda d: fadt(d, False), lambda _: madt(1)]
seed("acpi2", MEND, memory(2, FULL))
seed("acpi2-strict", 0, memory(2, FULL))
seed("acpi1", MEND, memory(0, OLD))
seed("search", MEND | SEARCH, memory(2, FULL, 64))
seed("ebda", MEND | SEARCH, memory(0, OLD, 256), (BASE + 256) >> 4)
seed("many-cpus", MEND, memory(2, [lambda _: dsdt(), lambda _: madt(70, True)]))
seed("root-only", MEND, memory(2, []))
