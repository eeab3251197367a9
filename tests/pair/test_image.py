# SPDX-License-Identifier: Apache-2.0
"""tools/image.py: what an image holds, seen by other tools too, and every refusal by its words. No QEMU."""

import re
import struct
import subprocess
import zlib
from pathlib import Path

import pytest

from tests.pair.conftest import BUILD, ROOT, build

SECTOR = 512
GUID_HEADER = (ROOT / "include/yoke_guid.h").read_text()
STATE_TYPE = re.search(r'YOKE_STATE_TYPE_GUID "([0-9A-F-]+)"', GUID_HEADER)[1]


def run_tool(*words):
    command = ["/usr/bin/python3", str(ROOT / "tools/image.py"), *[str(word) for word in words]]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    build("image")
    path = tmp_path_factory.mktemp("image") / "good.img"
    result = run_tool("--output", path, "--file", ROOT / "LICENSE", "--options", "a.b=1 c", "--state-size", "8M")
    assert result.returncode == 0, result.stderr
    return path


@pytest.fixture
def copy(good, tmp_path):
    path = tmp_path / "copy.img"
    subprocess.run(["cp", "--sparse=always", good, path], check=True)
    return path


def write_at(path, offset, data):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


def read_at(path, offset, size):
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(size)


def efi_system(path):
    first, = struct.unpack("<Q", read_at(path, 2 * SECTOR + 128 + 32, 8))
    return f"{path}@@{first * SECTOR}"


def refused(*words):
    result = run_tool(*words)
    assert result.returncode == 1, result.stdout
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr


def test_partitions_as_sgdisk_sees_them(good):
    text = subprocess.run(["/usr/sbin/sgdisk", "--verify", "--print", good], capture_output=True, text=True, check=True).stdout
    assert "No problems found" in text
    assert re.search(r"^ +1 +2048 +4095 .* EF02 +BIOS boot$", text, re.MULTILINE)
    assert re.search(r"^ +2 +4096 .* 64\.0 MiB +EF00 +EFI system$", text, re.MULTILINE)
    assert re.search(r"^ +3 .* 8\.0 MiB +FFFF +Yoke state$", text, re.MULTILINE)
    text = subprocess.run(["/usr/sbin/sgdisk", "--info=3", good], capture_output=True, text=True, check=True).stdout
    assert STATE_TYPE in text


def test_files_arrive_whole(good):
    def content(name):
        return subprocess.run(["mtype", "-i", efi_system(good), f"::{name}"], capture_output=True, check=True).stdout

    assert content("yoke/yoke.elf") == (BUILD / "boot/yoke.elf").read_bytes()
    assert content("yoke/yoke.conf") == (ROOT / "boot/yoke.conf").read_bytes()
    assert content("yoke/bios-256k.bin") == Path("/usr/share/seabios/bios-256k.bin").read_bytes()
    assert content("yoke/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert content("EFI/BOOT/BOOTX64.EFI") == (BUILD / "yoke_loader.efi").read_bytes()
    assert content("yoke/yoke.cmdline") == b"a.b=1 c\n"
    assert content("boot/grub/options.cfg") == b'set yoke_options="a.b=1 c"\n'


def test_check_tells_what_is_inside(good):
    result = run_tool("--check", good)
    assert result.returncode == 0, result.stderr
    assert "/yoke/LICENSE" in result.stdout
    assert "Yoke state: 8 MiB, zeroed" in result.stdout


def test_check_tells_a_written_state_partition(copy):
    first, = struct.unpack("<Q", read_at(copy, 2 * SECTOR + 256 + 32, 8))
    write_at(copy, first * SECTOR + 4096, b"x")
    assert "Yoke state: 8 MiB, written" in run_tool("--check", copy).stdout


def repair_first_table(path):
    """Checksums of the first GPT made right again after a change of its entries."""
    header = bytearray(read_at(path, SECTOR, SECTOR))
    header[88:92] = struct.pack("<I", zlib.crc32(read_at(path, 2 * SECTOR, 128 * 128)))
    header[16:20] = bytes(4)
    header[16:20] = struct.pack("<I", zlib.crc32(header[:92]))
    write_at(path, SECTOR, header)


def clear_partition_3(path):
    write_at(path, 2 * SECTOR + 256, bytes(128))
    repair_first_table(path)


def on_efi_system(*words):
    def change(path):
        subprocess.run([words[0], "-i", efi_system(path), *words[1:]], check=True, stdin=subprocess.DEVNULL)
    return change


def cut_kernel(path):
    cut = path.with_name("cut")
    cut.write_bytes((BUILD / "boot/yoke.elf").read_bytes()[:5000])
    on_efi_system("mcopy", "-o", str(cut), "::yoke/yoke.elf")(path)


DAMAGES = {
    "no table": (lambda path: write_at(path, SECTOR, bytes(SECTOR)), "first header .* lacks the signature"),
    "header": (lambda path: write_at(path, SECTOR + 60, b"\xff"), "first GPT header's checksum is wrong"),
    "entry": (lambda path: write_at(path, 2 * SECTOR + 32, b"\xff"), "first GPT table's checksum is wrong"),
    "second table": (lambda path: write_at(path, path.stat().st_size - SECTOR, bytes(8)), "second header"),
    "tables differ": (clear_partition_3, "the two partition tables differ"),
    "cut image": (lambda path: write_at(path, 0, b"") or path.open("r+b").truncate(40 << 20), "second header"),
    "MBR": (lambda path: write_at(path, 0x5C, bytes(8)), "MBR does not lead to GRUB"),
    "block list": (lambda path: write_at(path, (1 << 20) + 500, bytes(12)), "wrong block list"),
    "no file system": (lambda path: write_at(path, 2 << 20, bytes(64 << 10)), "mtype failed"),
    "no kernel": (on_efi_system("mdel", "::yoke/yoke.elf"), "mtype failed: .*yoke.elf"),
    "cut kernel": (cut_kernel, r"yoke/yoke\.elf: cut short"),
    "no loader": (on_efi_system("mcopy", "-o", str(ROOT / "LICENSE"), "::EFI/BOOT/BOOTX64.EFI"), "no UEFI program"),
    "other kernel": (on_efi_system("mcopy", "-o", "/bin/true", "::yoke/yoke.elf"), "some other program"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_check_refuses(copy, damage):
    change, words = DAMAGES[damage]
    change(copy)
    assert re.search(words, refused("--check", copy))


def test_missing_files_are_named(tmp_path):
    output = tmp_path / "x.img"
    assert "/no/such.conf: No such file" in refused("--output", output, "--config", "/no/such.conf")
    assert "/no/such: No such file" in refused("--output", output, "--file", "/no/such")
    assert "No such file" in refused("--check", tmp_path / "none.img")
    assert list(tmp_path.iterdir()) == []  # nothing half done is left


def test_unsuitable_files_are_refused(tmp_path):
    output = tmp_path / "x.img"
    assert "not an ELF64 file" in refused("--output", output, "--kernel", ROOT / "LICENSE")
    assert "may have letters" in refused("--output", output, "--file", "two words")
    assert "already a file named yoke.conf" in refused("--output", output, "--file", ROOT / "boot/yoke.conf")
    many = [word for index in range(7) for word in ("--file", f"file{index}")]
    assert "9 boot files, 8 are the most" in refused("--output", output, *many)
    assert "--options: quotes" in refused("--output", output, "--options", 'guest.command_line="x"')


def test_odd_sizes_are_refused(tmp_path):
    for size in ("12X", "100", "1000001"):
        result = run_tool("--output", tmp_path / "x.img", "--state-size", size)
        assert result.returncode == 2
        assert "--state-size" in result.stderr
