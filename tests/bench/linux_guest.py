# SPDX-License-Identifier: Apache-2.0
"""A small Linux in QEMU that runs one shell script: the yardstick that our drivers are measured
against, on the very same virtual devices, and the independent judge of what they wrote.

    from tests.bench.linux_guest import boot_linux
    from tests.pair.qemu import Disk

    output = boot_linux(tmp_path, '''
        fio --name=a --filename=/dev/nvme0n1 --rw=read --bs=64k --size=16m --direct=1 --output-format=json
        ''', modules=["nvme"], binaries=["/usr/bin/fio"], disks=[Disk(image, "nvme")])

Debian's own kernel (`flavour` "generic", or "cloud": smaller and quicker to boot, but without AHCI,
e1000, e1000e), a busybox root in memory, `modules` and all that they need loaded in order, `binaries`
with their libraries at the paths they have here, `files` {path in the guest: path here}. Whatever the
script prints comes back; a status that is not 0 raises ServerError with the console. Every other keyword
goes to tests.pair.qemu.Server (disks, nics, memory, icount, machine ...).

Where the host has to act meanwhile (a network peer), split it:

    with linux_server(tmp_path, script, modules=["e1000"], nics=[Nic(tap, "e1000")]) as guest:
        guest.expect("^ready$")          # printed by the script
        ...
        output = script_output(guest)

`compile_static(source, directory)` makes a C program that runs in the guest without libraries.
The first use fetches a kernel package (50 to 70 MB) into build/cache.
"""

import functools
import re
import stat
import subprocess
from pathlib import Path

from tests.bench.debian import first_dependency, run, unpacked
from tests.pair.qemu import Server, ServerError

METAPACKAGES = {"cloud": "linux-image-cloud-amd64", "generic": "linux-image-amd64"}
COMMAND_LINE = ("console=ttyS0,115200 quiet mitigations=off nokaslr tsc=reliable no_timer_check panic=-1 "
                "rdinit=/init")
START_MARK = "@@ script starts"
END_MARK = "@@ script ended"

INIT = f"""#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/
mkdir -p /proc /sys /dev /tmp /run /mnt
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
ip link set lo up
for module in $(cat /modules/order); do insmod /modules/$module || echo "@@ insmod $module failed"; done
echo "{START_MARK}"
sh /script
echo "{END_MARK} $?"
sync
poweroff -f
"""


@functools.cache
def kernel_package(flavour: str) -> tuple[Path, Path]:
    """The kernel image and the folder of its modules, with modules.dep made."""
    folder = unpacked(first_dependency(METAPACKAGES[flavour], "linux-image-"))
    image = next(folder.glob("boot/vmlinuz-*"))
    version = image.name.removeprefix("vmlinuz-")
    modules = folder / "lib" / "modules" / version
    if not (modules / "modules.dep").exists():
        run("/sbin/depmod", "-b", folder, version)
    return image, modules


@functools.cache
def _dependencies(modules: Path) -> dict[str, list[str]]:
    """Module name to paths: its own, then those it needs, the deepest last."""
    table = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        path, needed = line.split(":")
        table[Path(path).name.removesuffix(".ko").replace("-", "_")] = [path, *needed.split()]
    return table


def _builtin(modules: Path) -> set[str]:
    lines = (modules / "modules.builtin").read_text().splitlines()
    return {Path(line).name.removesuffix(".ko").replace("-", "_") for line in lines}


def load_order(modules: Path, wanted) -> list[Path]:
    """Files to insmod for `wanted`, each behind all that it needs; what is built in is left out."""
    table, builtin, order = _dependencies(modules), _builtin(modules), []
    for name in (word.replace("-", "_") for word in wanted):
        if name in builtin:
            continue
        if name not in table:
            raise KeyError(f"this kernel ({modules.name}) has no module {name}")
        order += [path for path in reversed(table[name]) if path not in order]
    return [modules / path for path in order]


class Archive:
    """An initramfs: the "newc" cpio format of the kernel's early userspace documentation."""

    def __init__(self):
        self.parts = []
        self.inode = 0
        self.folders = {""}

    def _add(self, name: str, mode: int, data: bytes):
        self.inode += 1
        encoded = name.encode() + b"\0"
        fields = (self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(encoded), 0)
        header = b"070701" + b"".join(b"%08x" % field for field in fields) + encoded
        for piece in (header, data):
            self.parts.append(piece + bytes(-len(piece) % 4))

    def folder(self, name: str):
        name = name.strip("/")
        if name not in self.folders:
            self.folder(str(Path(name).parent) if "/" in name else "")
            self.folders.add(name)
            self._add(name, stat.S_IFDIR | 0o755, b"")

    def file(self, name: str, data: bytes, mode: int = 0o755):
        name = name.strip("/")
        self.folder(str(Path(name).parent) if "/" in name else "")
        self._add(name, stat.S_IFREG | mode, data)

    def bytes(self) -> bytes:
        self._add("TRAILER!!!", 0, b"")
        return b"".join(self.parts)


def libraries(binary) -> list[str]:
    """Paths of the shared libraries and the loader that `binary` needs."""
    result = subprocess.run(["ldd", str(binary)], capture_output=True, text=True)
    return re.findall(r"(/\S+) \(0x", result.stdout)


def build_initramfs(path, script: str, modules: Path, wanted, binaries=(), files=None):
    archive = Archive()
    archive.file("bin/busybox", Path("/bin/busybox").read_bytes())
    archive.file("init", INIT.encode())
    archive.file("script", script.encode())
    order = load_order(modules, wanted)
    for module in order:
        archive.file(f"modules/{module.name}", module.read_bytes(), 0o644)
    archive.file("modules/order", "\n".join(module.name for module in order).encode() + b"\n", 0o644)
    shared = {library for binary in binaries for library in libraries(binary)}
    for name in sorted({*map(str, binaries), *shared}):
        archive.file(name, Path(name).read_bytes())
    for name, source in (files or {}).items():
        archive.file(name, Path(source).read_bytes())
    Path(path).write_bytes(archive.bytes())


def compile_static(source, directory) -> Path:
    """Compiles one C file into a program without shared libraries."""
    program = Path(directory) / Path(source).stem
    run("gcc", "-static", "-O2", "-Wall", "-Wextra", "-o", program, source)
    return program


def linux_server(directory, script: str, *, flavour="generic", modules=(), binaries=(), files=None,
                 append="", **options) -> Server:
    """The guest as a Server that is not started yet."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    image, module_folder = kernel_package(flavour)
    name = options.setdefault("name", "linux")
    initrd = directory / f"{name}.initrd"
    build_initramfs(initrd, script, module_folder, modules, binaries, files)
    return Server(directory, kernel=image, initrd=initrd, append=f"{COMMAND_LINE} {append}".strip(), **options)


def script_output(guest: Server, timeout_s: float = 600) -> str:
    """Waits for the script's end and returns all that it printed."""
    status = int(guest.expect(rf"^{END_MARK} (\d+)$", timeout_s).group(1))
    guest.wait()
    output = guest.output.split(START_MARK + "\n", 1)[1].split(END_MARK, 1)[0]
    if status != 0:
        raise ServerError(guest.describe(f"the script in Linux ended with status {status}"))
    return output


def boot_linux(directory, script: str, *, timeout_s: float = 600, **options) -> str:
    """Boots, runs `script`, returns what it printed. See the top of the file."""
    with linux_server(directory, script, **options) as guest:
        return script_output(guest, timeout_s)
