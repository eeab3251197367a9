#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the inputs of tests/fuzz/corpus/machine/: lists of steps as fuzz_machine.c reads them."""
import pathlib
import struct

FOLDER = pathlib.Path(__file__).resolve().parent / "machine"
PORT_READ, MMIO_READ, MMIO_WRITE, MSR, TIME, INTERRUPT, MEMORY, VIRTIO, NOTIFY, INPUT, INSTRUCTION = (
    0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
LAPIC, IOAPIC, BAR = 0x00000000, 0x30000000, 0x50000000


def step(operation, size=4, port=0, number=0, value=0):
    return struct.pack("<BBHIQ", operation, {1: 0, 2: 1, 4: 2, 8: 3}[size], port, number, value)


def port_write(port, value, size=1):
    return step(PORT_READ, size, port, 1, value)


def lapic(offset, value):
    return step(MMIO_WRITE, 4, 0, LAPIC | offset, value)


def ioapic(index, value):
    return step(MMIO_WRITE, 4, 0, IOAPIC, index) + step(MMIO_WRITE, 4, 0, IOAPIC | 0x10, value)


def queue(device, descriptors, chain_head=0):
    """Rings of 8 entries: descriptors at 0x1000, available at 0x2000, used at 0x3000."""
    out = step(VIRTIO, 4, device, 3, 0x1000 // 16 | (0x2000 // 2) << 16 | (0x3000 // 4) << 32)
    for i, (gpa, size, flags, following) in enumerate(descriptors):
        out += step(MEMORY, 8, 0, 0x1000 + 16 * i, gpa)
        out += step(MEMORY, 8, 0, 0x1008 + 16 * i, size | flags << 32 | following << 48)
    return out + step(MEMORY, 8, 0, 0x2000, 1 << 16 | chain_head << 32)


def pic():
    out = b""
    for base, vector, wire in ((0x20, 0x20, 4), (0xa0, 0x28, 2)):
        out += port_write(base, 0x11) + port_write(base + 1, vector) + port_write(base + 1, wire)
        out += port_write(base + 1, 1) + port_write(base + 1, 0)
    return out


INPUTS = {
    "empty": b"",
    "pit": pic() + port_write(0x43, 0x34) + port_write(0x40, 0x9c) + port_write(0x40, 0x2e)
    + (step(TIME, value=20000000) + step(INTERRUPT)) * 4,
    "rtc": pic() + port_write(0x70, 0x0b) + port_write(0x71, 0x72)
    + (step(TIME, value=1100000000) + step(INTERRUPT) + port_write(0x70, 0x0c) + step(PORT_READ, 1, 0x71)) * 3,
    "lapic": lapic(0xf0, 0x1ff) + lapic(0x320, 0x200ec) + lapic(0x3e0, 3) + lapic(0x380, 1000)
    + (step(TIME, value=20000) + step(INTERRUPT)) * 4 + lapic(0x300, 0x40055) + step(INTERRUPT),
    "x2apic": step(MSR, 4, 1, 0x1b, 0xfee00d00) + step(MSR, 4, 1, 0x80f, 0x1ff) + step(MSR, 4, 1, 0x83f, 0x70)
    + step(INTERRUPT) + step(MSR, 4, 1, 0x832, 0x400ec) + step(MSR, 4, 1, 0x6e0, 5000) + step(TIME, value=9000),
    "ioapic": lapic(0xf0, 0x1ff) + ioapic(0x12 + 2 * 10, 0xa044) + ioapic(0x10 + 8, 0x34) + port_write(0x3fc, 8)
    + port_write(0x3f9, 3) + step(INPUT, 4, 0, 5, 4 << 32) + step(INTERRUPT),
    "uart": port_write(0x3fa, 0xc7) + port_write(0x3fc, 0x0b) + port_write(0x3f9, 1) + port_write(0x3f8, 0x41)
    + step(INPUT, 4, 0, 5, 20 << 32) + step(PORT_READ, 1, 0x3f8),
    "keyboard": port_write(0x64, 0xaa) + step(PORT_READ, 1, 0x60) + port_write(0x60, 0xf2)
    + step(INPUT, 1, 0, 7, 3 << 32) + step(PORT_READ, 1, 0x60) + port_write(0x64, 0xfe),
    "power": port_write(0x602, 0x100, 2) + step(INPUT, 4, 0, 9, 1) + port_write(0x604, 0x3400, 2)
    + port_write(0xcf9, 6),
    "pci": port_write(0xcf8, 0x80001010, 4) + port_write(0xcfc, 0xffffffff, 4) + step(PORT_READ, 4, 0xcfc)
    + port_write(0xcfc, 0x90000000, 4) + port_write(0xcf8, 0x80001004, 4) + port_write(0xcfc, 7, 4),
    "fw_cfg": port_write(0x510, 0x19, 2) + step(PORT_READ, 1, 0x511) * 4
    + step(MEMORY, 8, 0, 0x5000, 0x40000000_0a002000) + step(MEMORY, 8, 0, 0x5008, 0x0060000000000000)
    + port_write(0x518, 0x00500000, 4),
    "instruction": step(INSTRUCTION, 4, 0x4003, 0x000000f0, 0x00000000_000001ff_0789 & 0xffffffffffffffff)
    + step(INSTRUCTION, 4, 0x4003, 0x30, 0xa5f3) + step(INSTRUCTION, 4, 0x4005, 0x40, 0x03470b0f01),
    "watchdog": port_write(0xcf8, 0x8000f868, 4) + port_write(0xcfc, 2) + step(TIME, value=3999999999) * 3,
}
for device in range(5):
    # Out: header, 512 bytes, status. In: one buffer to fill.
    INPUTS[f"virtio_{device}_read"] = (
        queue(device, [(0x6000, 16, 1, 1), (0x7000, 512, 3, 2), (0x8000, 1, 2, 0)]) + step(NOTIFY, 4, device)
        + step(INPUT, 4, 0, 4, 1 | 512 << 32))
    INPUTS[f"virtio_{device}_write"] = (
        step(MEMORY, 8, 0, 0x6000, 1) + queue(device, [(0x6000, 16, 1, 1), (0x7000, 512, 1, 2), (0x8000, 1, 2, 0)])
        + step(NOTIFY, 4, device) + step(NOTIFY, 4, device, 1))
    INPUTS[f"virtio_{device}_in"] = (
        queue(device, [(0x6000, 2048, 2, 0)]) + step(NOTIFY, 4, device) + step(INPUT, 4, 0, 2, 100 << 32)
        + step(INPUT, 4, 0, 6, 100 << 32) + step(INPUT, 4, 0, 8, 100 << 32))
    INPUTS[f"virtio_{device}_loop"] = queue(device, [(0x6000, 16, 1, 1), (0x7000, 16, 1, 0)]) + step(NOTIFY, 4, device)

FOLDER.mkdir(exist_ok=True)
for name, data in INPUTS.items():
    (FOLDER / name).write_bytes(data)
