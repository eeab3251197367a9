#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Builds a server's disk image, or checks one. Needs neither root nor loop mounts.

The image is a GPT disk that boots on BIOS and UEFI alike:

    LBA 0            protective MBR with GRUB's boot.img in its code area
    1  BIOS boot     GRUB's core.img; boot.img holds its first sector's number,
                     and core.img's own first sector the place of all others
    2  EFI system    FAT32: EFI/BOOT/BOOTX64.EFI, boot/grub/grub.cfg, yoke/*
    3  Yoke state    zeroed; its type GUID is in include/yoke_guid.h

grub-bios-setup would write the first two, but wants mounted devices; what it
patches is little (GRUB's grub-core/boot/i386/pc/boot.S and diskboot.S): see
install_grub(). sgdisk writes the partition table, mtools the file system.

    image.py --output yoke.img [--config yoke.conf] [--file PATH ...] [--state-size 64M]
    image.py --check yoke.img
"""
import argparse
import os
import pathlib
import re
import struct
import subprocess
import sys
import uuid
import zlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
SECTOR = 512
MIB = 1 << 20
ALIGNMENT = MIB

BIOS_BOOT, EFI_SYSTEM, STATE = 1, 2, 3
BIOS_BOOT_SIZE = MIB
# FAT32 must have at least 65,525 clusters; one sector each.
EFI_SYSTEM_SIZE_MIN = 64 * MIB
STATE_SIZE_MIN = MIB
# Behind the last partition: the second partition table.
TAIL_SIZE = MIB

BIOS_BOOT_TYPE = "21686148-6449-6E6F-744E-656564454649"
EFI_SYSTEM_TYPE = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"

# boot.img: where core.img's first sector's number goes, and the jump over the check of
# the BIOS's drive number, which hard disks do without.
BOOT_CODE_SIZE = 440
BOOT_KERNEL_SECTOR = 0x5C
BOOT_DRIVE_CHECK = 0x66
# core.img: the one block-list entry at the end of its first sector, {first sector,
# number of sectors, real-mode segment to load them to}.
CORE_BLOCK_LIST = SECTOR - 12
CORE_SEGMENT = 0x820

KERNEL_HEADER_MAGIC = b"YOKEKERN"


class ImageError(Exception):
    """What is wrong, and where; told to the user as it is."""


def header_constant(header, name):
    """The value of `#define NAME value` in a header of ours: said there once, for C and Python."""
    text = (ROOT / header).read_text()
    match = re.search(rf'^#define {name} "?([^"\s]+)"?', text, re.MULTILINE)
    if not match:
        raise ImageError(f"{header}: no #define {name}")
    return match.group(1)


def state_type():
    return header_constant("include/yoke_guid.h", "YOKE_STATE_TYPE_GUID")


def firmware_name():
    return header_constant("kernel/guest_service.h", "GUEST_FIRMWARE_FILE")


def parse_size(text):
    match = re.fullmatch(r"(\d+)([KMG]?)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"'{text}' is not a size such as 64M")
    return int(match.group(1)) << {"": 0, "K": 10, "M": 20, "G": 30}[match.group(2)]


def align_up(value):
    return (value + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT


def run(*arguments):
    """Runs a tool and returns what it printed, as bytes; shown only when it fails."""
    # /usr/sbin, where sgdisk lies, is not on every user's path.
    environment = dict(os.environ, MTOOLS_SKIP_CHECK="1", PATH=os.environ["PATH"] + ":/usr/sbin:/sbin")
    try:
        result = subprocess.run([str(a) for a in arguments], env=environment, capture_output=True, check=False)
    except FileNotFoundError:
        raise ImageError(f"{arguments[0]} is not installed: run tools/setup.sh") from None
    if result.returncode != 0:
        words = (result.stderr + result.stdout).decode(errors="replace").split("\n")
        raise ImageError(f"{arguments[0]} failed: {'; '.join(word for word in words if word)}")
    return result.stdout


def read_file(path):
    try:
        return pathlib.Path(path).read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: {error.strerror}") from None


# ---- building


def files_of_yoke_folder(arguments):
    """{name in \\yoke: path}. The boot protocol passes a few files, and names without spaces."""
    files = {"yoke.elf": arguments.kernel}
    if arguments.config:
        files["yoke.conf"] = arguments.config
    if arguments.firmware:
        files[firmware_name()] = arguments.firmware
    for path in arguments.file:
        name = pathlib.Path(path).name
        if not re.fullmatch(r"[A-Za-z0-9._-]+", name):
            raise ImageError(f"{path}: a boot file's name may have letters, digits and ._- only")
        if name.lower() in (known.lower() for known in files):
            raise ImageError(f"{path}: there is already a file named {name}")
        files[name] = path
    most = int(header_constant("include/boot_info.h", "BOOT_FILE_MAX"))
    if len(files) - 1 > most:
        raise ImageError(f"{len(files) - 1} boot files, {most} are the most")
    return files


def layout(efi_system_size, state_size):
    """[(partition number, first byte, size, type, name)]"""
    first = ALIGNMENT
    partitions = []
    for number, size, kind, name in ((BIOS_BOOT, BIOS_BOOT_SIZE, BIOS_BOOT_TYPE, "BIOS boot"),
                                     (EFI_SYSTEM, efi_system_size, EFI_SYSTEM_TYPE, "EFI system"),
                                     (STATE, state_size, state_type(), "Yoke state")):
        partitions.append((number, first, size, kind, name))
        first += align_up(size)
    return partitions


def write_partition_table(image, partitions):
    number, first, size, _, _ = partitions[-1]
    with open(image, "wb") as file:
        file.truncate(align_up(first + size) + TAIL_SIZE)
    command = ["sgdisk", "--clear"]
    for number, first, size, kind, name in partitions:
        command += [f"--new={number}:{first // SECTOR}:{(first + size) // SECTOR - 1}",
                    f"--typecode={number}:{kind}", f"--change-name={number}:{name}"]
    run(*command, image)


def install_grub(image, boot_path, core_path, first):
    """boot.img into the MBR's code area, core.img into the BIOS boot partition at byte `first`."""
    boot = bytearray(read_file(boot_path))
    core = bytearray(read_file(core_path))
    sector_count = (len(core) + SECTOR - 1) // SECTOR
    if len(boot) != SECTOR or sector_count < 2:
        raise ImageError(f"{boot_path} and {core_path} are not GRUB's boot.img and core.img")
    if len(core) > BIOS_BOOT_SIZE:
        raise ImageError(f"{core_path}: {len(core)} bytes do not fit the BIOS boot partition")
    struct.pack_into("<Q", boot, BOOT_KERNEL_SECTOR, first // SECTOR)
    boot[BOOT_DRIVE_CHECK:BOOT_DRIVE_CHECK + 2] = b"\x90\x90"
    struct.pack_into("<QHH", core, CORE_BLOCK_LIST, first // SECTOR + 1, sector_count - 1, CORE_SEGMENT)
    with open(image, "r+b") as file:
        file.write(boot[:BOOT_CODE_SIZE])
        file.seek(first)
        file.write(core)


def fill_efi_system(image, first, size, folders, files):
    """Makes the FAT32 file system; `files` is {path on it: path here or bytes}."""
    where = f"{image}@@{first}"
    run("mformat", "-i", where, "-F", "-c", "1", "-T", size // SECTOR, "-H", first // SECTOR, "-v", "YOKE", "::")
    for folder in folders:
        run("mmd", "-i", where, f"::{folder}")
    for name, content in files.items():
        run("mcopy", "-i", where, content, f"::{name}")


def build(arguments):
    yoke_files = files_of_yoke_folder(arguments)
    files = {"/EFI/BOOT/BOOTX64.EFI": arguments.loader, "/boot/grub/grub.cfg": ROOT / "boot/grub.cfg"}
    files.update({f"/yoke/{name}": path for name, path in yoke_files.items()})
    sizes = [len(read_file(path)) for path in files.values()]
    kernel = read_file(arguments.kernel)
    wrong = kernel_fault(kernel)
    if wrong:
        raise ImageError(f"{arguments.kernel}: {wrong}")
    output = pathlib.Path(arguments.output)
    temporary = output.with_name(output.name + ".new")
    options = [output.with_name(output.name + ending) for ending in (".options.cfg", ".cmdline")]
    try:
        if arguments.options:
            if re.search(r"[\"'\\$\n]", arguments.options):
                raise ImageError("--options: quotes, \\, $ and line ends are not possible")
            options[0].write_text(f'set yoke_options="{arguments.options}"\n')
            options[1].write_text(arguments.options + "\n")
            files.update({"/boot/grub/options.cfg": options[0], "/yoke/yoke.cmdline": options[1]})
        efi_system_size = max(EFI_SYSTEM_SIZE_MIN, align_up(sum(sizes) * 5 // 4 + 16 * MIB))
        partitions = layout(efi_system_size, arguments.state_size)
        write_partition_table(temporary, partitions)
        install_grub(temporary, arguments.grub_boot, arguments.grub_core, partitions[0][1])
        fill_efi_system(temporary, partitions[1][1], efi_system_size,
                        ["/EFI", "/EFI/BOOT", "/boot", "/boot/grub", "/yoke"], files)
        check(temporary, quiet=True)
        os.replace(temporary, output)
    finally:
        for path in [temporary, *options]:
            path.unlink(missing_ok=True)
    print(f"{output}: {output.stat().st_size // MIB} MiB, files: {' '.join(sorted(yoke_files))}")


# ---- checking


def kernel_fault(data):
    """What is wrong with a kernel file, in the loader's terms, or None. (boot/kernel_image.c checks more.)"""
    if data[:6] != b"\x7fELF\x02\x01" or len(data) < 64:
        return "not an ELF64 file"
    program_headers, section_headers = struct.unpack_from("<QQ", data, 32)
    entry_size, entry_count, section_size, section_count = struct.unpack_from("<HHHH", data, 54)
    if program_headers + entry_size * entry_count > len(data) or section_headers + section_size * section_count > len(data):
        return "cut short"
    offset, = struct.unpack_from("<Q", data, program_headers + 8)
    if data[offset:offset + 8] != KERNEL_HEADER_MAGIC:
        return "no Yoke kernel header: some other program"
    version, = struct.unpack_from("<Q", data, offset + 8)
    wanted = int(header_constant("include/boot_info.h", "BOOT_INFO_VERSION"))
    return None if version == wanted else f"speaks boot protocol {version}, not {wanted}"


def read_table(file, lba, size):
    """The partitions of the table whose header is at `lba`; UEFI 2.10, 5.3."""
    which = "first" if lba == 1 else "second"
    file.seek(lba * SECTOR)
    header = bytearray(file.read(SECTOR))
    if header[:8] != b"EFI PART":
        raise ImageError(f"no GPT: its {which} header (sector {lba}) lacks the signature")
    header_size, header_crc = struct.unpack_from("<II", header, 12)
    header[16:20] = bytes(4)
    if header_size > SECTOR or zlib.crc32(header[:header_size]) != header_crc:
        raise ImageError(f"the {which} GPT header's checksum is wrong")
    entries_lba, entry_count, entry_size, entries_crc = struct.unpack_from("<QIII", header, 72)
    if entry_size < 128 or entry_count > 1024 or entries_lba * SECTOR > size:
        raise ImageError(f"the {which} GPT header describes no sensible table")
    file.seek(entries_lba * SECTOR)
    entries = file.read(entry_count * entry_size)
    if zlib.crc32(entries) != entries_crc:
        raise ImageError(f"the {which} GPT table's checksum is wrong")
    partitions = {}
    for index in range(entry_count):
        kind, _, first, last = struct.unpack_from("<16s16sQQ", entries, index * entry_size)
        if kind != bytes(16):
            partitions[index + 1] = (str(uuid.UUID(bytes_le=kind)).upper(), first * SECTOR, (last - first + 1) * SECTOR)
    return partitions


def check_grub(file, first, size):
    file.seek(0)
    sector = file.read(SECTOR)
    start, = struct.unpack_from("<Q", sector, BOOT_KERNEL_SECTOR)
    if sector[510:] != b"\x55\xaa" or start * SECTOR != first:
        raise ImageError("the MBR does not lead to GRUB in the BIOS boot partition")
    file.seek(first)
    block_first, block_count, segment = struct.unpack_from("<QHH", file.read(SECTOR), CORE_BLOCK_LIST)
    if block_first * SECTOR != first + SECTOR or not 0 < block_count * SECTOR < size or segment != CORE_SEGMENT:
        raise ImageError("GRUB's core.img has a wrong block list")
    return block_count + 1


def state_content(file, first, size):
    file.seek(first)
    head = file.read(min(size, MIB))
    return "zeroed" if not any(head) else "written"


def check(image, quiet=False):
    """Prints what is inside; raises ImageError at the first thing that would keep it from booting."""
    say = (lambda *_: None) if quiet else print
    size = os.path.getsize(image)
    expected = {BIOS_BOOT: BIOS_BOOT_TYPE, EFI_SYSTEM: EFI_SYSTEM_TYPE, STATE: state_type()}
    with open(image, "rb") as file:
        partitions = read_table(file, 1, size)
        if partitions != read_table(file, size // SECTOR - 1, size):
            raise ImageError("the two partition tables differ")
        for number, kind in expected.items():
            if number not in partitions:
                raise ImageError(f"partition {number} is missing")
            found, first, length = partitions[number]
            if found != kind:
                raise ImageError(f"partition {number} is of type {found}, not {kind}")
            if first + length > size:
                raise ImageError(f"partition {number} reaches beyond the disk's end")
        say(f"partition table: good, {len(partitions)} partitions")
        sectors = check_grub(file, *partitions[BIOS_BOOT][1:])
        say(f"BIOS boot: GRUB, {sectors} sectors at byte {partitions[BIOS_BOOT][1]}")
        state = state_content(file, *partitions[STATE][1:])
    where = f"{image}@@{partitions[EFI_SYSTEM][1]}"
    run("mtype", "-i", where, "::/boot/grub/grub.cfg")
    loader = run("mtype", "-i", where, "::/EFI/BOOT/BOOTX64.EFI")
    if loader[:2] != b"MZ":
        raise ImageError("EFI/BOOT/BOOTX64.EFI is no UEFI program")
    kernel = run("mtype", "-i", where, "::/yoke/yoke.elf")
    wrong = kernel_fault(kernel)
    if wrong:
        raise ImageError(f"yoke/yoke.elf: {wrong}")
    say(f"EFI system: {partitions[EFI_SYSTEM][2] // MIB} MiB, loader {len(loader)} bytes, kernel {len(kernel)} bytes")
    names = run("mdir", "-b", "-i", where, "::/yoke").decode().split()
    for name in sorted(name.split("/")[-1] for name in names):
        say(f"  /yoke/{name}")
    if not any(name.endswith("/yoke.conf") for name in names):
        say("  no yoke.conf: the server will stay at its console")
    if not any(name.endswith("/" + firmware_name()) for name in names):
        say(f"  no {firmware_name()}: no guest can be started from its disk")
    say(f"Yoke state: {partitions[STATE][2] // MIB} MiB, {state}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    build_folder = ROOT / "build"
    parser.add_argument("--check", metavar="IMAGE", help="print what an image holds and verify it")
    parser.add_argument("--output", metavar="IMAGE", help="build an image")
    parser.add_argument("--kernel", default=build_folder / "boot/yoke.elf")
    parser.add_argument("--loader", default=build_folder / "boot/yoke_loader.efi")
    parser.add_argument("--config", default=ROOT / "boot/yoke.conf", help="becomes /yoke/yoke.conf; '' for none")
    parser.add_argument("--firmware", default=build_folder / "boot" / firmware_name(),
                        help="the guest's, by the name that the kernel looks for; '' for none")
    parser.add_argument("--file", action="append", default=[], help="one more file for /yoke (may be given again)")
    parser.add_argument("--options", default="", help="command line that overrides the configuration")
    parser.add_argument("--state-size", type=parse_size, default=64 * MIB, help="of the state partition (64M)")
    parser.add_argument("--grub-boot", default="/usr/lib/grub/i386-pc/boot.img")
    parser.add_argument("--grub-core", default=build_folder / "grub/core.img")
    arguments = parser.parse_args()
    if bool(arguments.check) == bool(arguments.output):
        parser.error("either --check IMAGE or --output IMAGE")
    if arguments.state_size < STATE_SIZE_MIN or arguments.state_size % SECTOR:
        parser.error(f"--state-size: at least {STATE_SIZE_MIN} bytes, in whole sectors")
    try:
        if arguments.check:
            check(arguments.check)
        else:
            build(arguments)
    except ImageError as error:
        wrong = str(error)
    except OSError as error:
        wrong = f"{error.filename}: {error.strerror}"
    else:
        return 0
    print(f"image.py: {arguments.check or arguments.output}: {wrong}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
