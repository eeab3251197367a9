# SPDX-License-Identifier: Apache-2.0
"""Every way from power-on to kernel_main, and what is said when something on the way is missing or damaged.

Each test brings a yoke.conf that names server b, so that the kernel's first line tells whether it was found. UEFI
runs without -icount: OVMF polls a timer 810,000 times, which takes a minute of exact virtual time."""

import hashlib
import os
import re
import shutil
import socket
import struct
import subprocess

import pytest

from tests.pair.conftest import BUILD, ROOT, build
from tests.pair.qemu import Disk, Nic

FIRMWARE = {"bios": {}, "uefi": {"uefi": True, "icount": None}}
LOADER = {"bios": "GRUB .*", "uefi": "Yoke UEFI loader"}
BOOT_FILE_MAX = 8
STATE = 3  # number of the state partition


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "yoke.conf"
    path.write_text("# brought by a test\n[server]\nname = b\n[guest]\nmemory = 64M\nautostart = no\n")
    return path


@pytest.fixture
def make_image(tmp_path, config):
    """make_image("--file", path, ...) builds an image by tools/image.py and returns its path."""
    build("image")

    def make(*arguments):
        path = tmp_path / "boot.img"
        command = ["/usr/bin/python3", ROOT / "tools/image.py", "--output", path, "--config", config, *arguments]
        result = subprocess.run([str(word) for word in command], capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return path

    return make


@pytest.fixture
def second_disk(server, tmp_path):
    """second_disk(image, firmware) starts a server whose first disk is empty and whose second is `image`."""

    def start(image, firmware, kind="ahci", **options):
        empty = tmp_path / "empty.img"
        with open(empty, "wb") as file:
            file.truncate(16 << 20)
        first = "ide" if kind == "ide" else "ahci"
        return server(disks=[Disk(empty, first), Disk(image, kind, boot_index=0)], **FIRMWARE[firmware], **options)

    return start


@pytest.fixture
def network_boot(server, tmp_path, config):
    """network_boot(firmware, change) starts a server from a TFTP folder, which change(folder) may alter first."""
    build("netboot")

    def start(firmware, change=lambda folder: None, **options):
        folder = tmp_path / "tftp"
        shutil.copytree(BUILD / "boot", folder)
        # Without a disk there is no state partition, and so no pair.
        (folder / "yoke.conf").write_text(config.read_text() + "[pair]\nmode = single\n")
        change(folder)
        nic = Nic(f"user,tftp={folder},bootfile=yoke.ipxe", boot=True, properties="bootindex=0")
        return server(nics=[nic], **{**FIRMWARE[firmware], "icount": None, **options})

    return start


def partition(image, number):
    """(first byte, size) of a partition, from the GPT."""
    with open(image, "rb") as file:
        file.seek(1024 + (number - 1) * 128 + 32)
        first, last = struct.unpack("<QQ", file.read(16))
    return first * 512, (last - first + 1) * 512


def in_image(image, command, *words):
    """Runs an mtools command on the EFI system partition."""
    where = ["-i", f"{image}@@{partition(image, 2)[0]}"]
    subprocess.run([command, *where, *[str(word) for word in words]], check=True)


def kernel_cut_short(tmp_path, size=30000):
    """A copy of the kernel file that ends too early."""
    path = tmp_path / "cut.elf"
    path.write_bytes((BUILD / "boot/yoke.elf").read_bytes()[:size])
    return path


def expect_kernel(machine, loader, name="b"):
    machine.expect(rf"Yoke \S+, server {name}, loaded by {loader}$", 180)
    machine.expect("^ready: ")
    machine.never("guest is not started")


def read_kernel(machine, what, count):
    """`count` 64-bit words of the running kernel's memory from C object `what` on, by QEMU's monitor."""
    command = ["gdb", "-batch", "-ex", f"print/x (unsigned long)&{what}", str(BUILD / "yoke.elf")]
    address = re.search(r"0x[0-9a-f]+", subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    dump = machine.hmp(f"x /{count}gx {address[0]}")
    return [int(word, 16) for word in re.findall(r" (0x[0-9a-f]{16})\b", dump)]


# ---- every way in


def test_direct(server, kernel, config):
    expect_kernel(server(kernel=kernel, initrd=[(config, "yoke.conf")]), "qemu")


@pytest.mark.parametrize("firmware", FIRMWARE)
def test_second_disk(second_disk, make_image, firmware):
    image = make_image("--file", ROOT / "LICENSE", "--options", "console.rate=57600")
    expect_kernel(second_disk(image, firmware), LOADER[firmware])


@pytest.mark.parametrize("kind, firmware", [("nvme", "uefi"), ("virtio", "uefi"), ("virtio", "bios"), ("ide", "bios")])
def test_second_disk_of_other_kinds(second_disk, make_image, kind, firmware):
    machine = second_disk(make_image(), firmware, kind, machine="pc" if kind == "ide" else "q35")
    expect_kernel(machine, LOADER[firmware])


@pytest.mark.parametrize("firmware", FIRMWARE)
def test_network(network_boot, firmware):
    expect_kernel(network_boot(firmware), "iPXE .*" if firmware == "bios" else LOADER["uefi"])


def test_uefi_hands_over_acpi_framebuffer_and_place(second_disk, make_image):
    machine = second_disk(make_image(), "uefi", vga="std", memory="6G")
    machine.expect("^ACPI: revision 2 by", 180)  # a BIOS's is revision 0
    machine.expect(r"^memory: (6\d\d\d|61\d\d) MiB")  # all of it, also what lies above 4 GiB
    machine.expect("^ready: ")
    physical, = read_kernel(machine, "server.boot.kernel_physical", 1)
    assert physical % (2 << 20) == 0
    assert 0 < physical < 4 << 30
    base, size, pitch_and_bits, form = read_kernel(machine, "server.boot.framebuffer", 4)
    regions = re.findall(r"BAR\d: 32 bit prefetchable memory at (0x[0-9a-f]+) ", machine.hmp("info pci"))
    assert base in [int(region, 16) for region in regions]
    assert pitch_and_bits & 0xFFFFFFFF == (size & 0xFFFFFFFF) * 4
    assert (pitch_and_bits >> 32, form & 0xFFFFFFFF) == (32, 2)


def test_uefi_memory_map_changes_at_the_last_moment(second_disk, make_image, config):
    build("build/efi_meddler.efi")
    config.write_text("[guest]\nmemory = 64M\nautostart = no\n")
    image = make_image()
    in_image(image, "mren", "::EFI/BOOT/BOOTX64.EFI", "LOADER.EFI")
    in_image(image, "mcopy", BUILD / "efi_meddler.efi", "::EFI/BOOT/BOOTX64.EFI")
    machine = second_disk(image, "uefi")
    machine.expect("meddler: the key was out of date", 180)
    expect_kernel(machine, LOADER["uefi"])  # server b by the load options


# ---- something is missing or damaged


def test_uefi_kernel_cut_short(second_disk, make_image, tmp_path):
    image = make_image()
    in_image(image, "mcopy", "-o", kernel_cut_short(tmp_path), "::yoke/yoke.elf")
    second_disk(image, "uefi").expect(r"yoke loader: refused: yoke\.elf \(30000 bytes\): it is cut short", 180)


def test_uefi_kernel_missing(second_disk, make_image):
    image = make_image()
    in_image(image, "mdel", "::yoke/yoke.elf")
    second_disk(image, "uefi").expect(r"yoke loader: refused: yoke\.elf: cannot be opened: Not Found", 180)


def test_uefi_folder_missing(second_disk, make_image):
    image = make_image()
    in_image(image, "mdeltree", "::yoke")
    machine = second_disk(image, "uefi")
    machine.expect(r"yoke loader: refused: neither \\yoke\\yoke\.elf nor \\yoke\.elf", 180)


def test_uefi_configuration_missing_and_too_many_files(second_disk, make_image, tmp_path):
    image = make_image()
    in_image(image, "mdel", "::yoke/yoke.conf")
    for index in range(BOOT_FILE_MAX):  # beside the guest's firmware
        file = tmp_path / f"more{index}"
        file.write_text("x" * index)  # the first is empty
        in_image(image, "mcopy", file, "::yoke")
    machine = second_disk(image, "uefi")
    machine.expect(f"yoke loader: warning: more7: left out, {BOOT_FILE_MAX} files are the most", 180)
    machine.expect(r"yoke loader: warning: no yoke\.conf")
    machine.expect("^boot information: 0 memory ranges and 1 boot files did not fit, and are left out$")
    machine.expect("^yoke.conf: not among the files that the loader brought")
    machine.expect("^the guest is not started$")


def test_uefi_network_without_kernel(network_boot):
    def forget_the_kernel(folder):
        script = (folder / "yoke.ipxe").read_text()
        (folder / "yoke.ipxe").write_text(script.replace("initrd yoke.elf\n", ""))

    machine = network_boot("uefi", forget_the_kernel)
    machine.expect(r"yoke loader: refused: neither \\yoke\\yoke\.elf nor \\yoke\.elf", 180)


@pytest.mark.parametrize("firmware, file, words", [
    ("bios", "yoke.elf32", "yoke.elf32: Exec format error|Could not boot"),
    ("uefi", "yoke.elf", r"yoke loader: refused: yoke\.elf \(30000 bytes\): it is cut short"),
], ids=FIRMWARE)
def test_network_kernel_cut_short(network_boot, firmware, file, words):
    machine = network_boot(firmware, lambda folder: os.truncate(folder / file, 30000),
                           machine="q35,graphics=off")  # then the BIOS shows the serial port what iPXE says
    machine.expect(words, 180)
    machine.never("^Yoke ")


def test_uefi_network_without_ipxe(server):
    """The firmware's own network boot, which offers no file system: the loader says what to do instead."""
    build("netboot")
    nic = Nic(f"user,tftp={BUILD / 'boot'},bootfile=yoke_loader.efi", model="virtio-net-pci", properties="bootindex=0")
    machine = server(nics=[nic], **FIRMWARE["uefi"])
    machine.expect("yoke loader: refused: it cannot see the place it was loaded from .* load it with iPXE", 180)


def test_bios_kernel_cut_short(second_disk, make_image, tmp_path):
    image = make_image()
    in_image(image, "mcopy", "-o", kernel_cut_short(tmp_path), "::yoke/yoke.elf")
    second_disk(image, "bios").expect("error: .*premature end of file", 120)


def test_bios_kernel_missing(second_disk, make_image):
    image = make_image()
    in_image(image, "mdel", "::yoke/yoke.elf")
    second_disk(image, "bios").expect(r"error: file .*/yoke/yoke\.elf' not found", 120)


def test_bios_configuration_missing(second_disk, make_image):
    image = make_image()
    in_image(image, "mdel", "::yoke/yoke.conf")
    machine = second_disk(image, "bios")
    machine.expect("^yoke.conf: not among the files that the loader brought", 120)
    machine.expect("^the guest is not started$")


@pytest.mark.parametrize("firmware", FIRMWARE)
def test_foreign_disk_and_noise_in_the_state_partition_stay_as_they_are(server, make_image, tmp_path, firmware):
    """The first disk has another system's MBR, the state partition is full of noise: both are named, none written."""
    image = make_image()
    first, size = partition(image, STATE)
    noise = b"".join(hashlib.sha256(bytes([i % 256, i // 256])).digest() for i in range(4096))
    with open(image, "r+b") as file:
        file.seek(first)
        file.write(noise)
    foreign = tmp_path / "foreign.img"
    table = struct.pack("<B3sB3sII", 0x80, b"\1\1\0", 0x83, b"\xfe\xff\xff", 2048, 16384)
    foreign.write_bytes(bytes(446) + table + bytes(48) + b"\x55\xaa" + bytes((16 << 20) - 512))
    before = [hashlib.sha256(path.read_bytes()).digest() for path in (image, foreign)]
    machine = server(disks=[Disk(foreign, "ahci"), Disk(image, "ahci", boot_index=0)], **FIRMWARE[firmware])
    machine.expect(r"^  00:1f\.2\.0 ahci: .*MBR", 180)
    machine.expect(r"^  00:1f\.2\.1 ahci: Yoke state partition, of unknown contents: left as it is")
    machine.expect("^ready: ")
    machine.kill()
    assert [hashlib.sha256(path.read_bytes()).digest() for path in (image, foreign)] == before


@pytest.mark.parametrize("cpu, words", [("max,-lm", "long mode"), ("max,-nx", "no-execute pages")],
                         ids=["long_mode", "no_execute"])
def test_processor_that_cannot_run_the_first_c(server, kernel, cpu, words):
    machine = server(kernel=kernel, cpu=cpu, vga="std")
    machine.expect(f"^yoke: refused: this CPU has no {words}$")
    screen = machine.hmp("xp /96hx 0xb8000")  # 16-bit cells
    cells = [int(cell, 16) for cell in re.findall(r" 0x([0-9a-f]{4})\b", screen)]
    assert "".join(chr(cell & 0xFF) for cell in cells).startswith(f"yoke: refused: this CPU has no {words}")


# ---- make run SERVERS=1 and make debug


def test_run_one_server(tmp_path, make_image):
    """What `make run SERVERS=1` starts, with the console on a pipe instead of the terminal; Ctrl-A X ends it."""
    command = ["/usr/bin/python3", ROOT / "tools/server.py", "--directory", tmp_path / "run"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace") as process:
        said = []
        for line in process.stdout:
            said.append(line)
            if line.startswith("ready: "):
                process.stdin.write("\x01x")
                process.stdin.flush()
    assert process.returncode == 0, "".join(said)
    assert any("mirror1: 00:1f.2.0" in line for line in said), "".join(said)


def test_debug(tmp_path):
    build("image", "kernel")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["/usr/bin/python3", ROOT / "tools/server.py", "--debug", "--port", str(port), "--directory", tmp_path]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert "waiting for gdb" in process.stdout.readline()
        gdb = subprocess.run(["gdb", "-batch", "-ex", "set tcp connect-timeout 300", "-x", tmp_path / "debug.gdb",
                              "-ex", "backtrace", "-ex", "kill"], capture_output=True, text=True, timeout=600)
    finally:
        process.kill()
        process.wait()
    assert re.search(r"^#0 +kernel_main \(from_loader=0xffffffff8", gdb.stdout, re.MULTILINE), gdb.stdout + gdb.stderr
