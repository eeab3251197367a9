#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""One server in QEMU with its serial console on this terminal; Ctrl-A X ends it.

The machine is that of the tests (tests/pair/qemu.py describes it once): one
processor with an exact instruction counter, a first disk that is empty, and the
image as the second disk, which the firmware boots. Ports in the order of the
default roles: cs1 and cs2 without a cable, management and public1 in QEMU's user
network; there is no second server, so it is told to be `single`. Both disks
stay in build/run/ from one run to the next; a newly built image replaces the
boot disk.

With --debug the kernel is started directly, and only when gdb says so.
"""
import argparse
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
sys.path.insert(0, str(ROOT))

from tests.pair.qemu import Disk, Nic, Server  # noqa: E402

MIRROR_SIZE = 1 << 30
# One port a user, so that two people can debug on one machine.
DEBUG_PORT = 25000 + os.getuid() % 5000


def disks(directory, boot_index):
    empty = directory / "mirror1.img"
    boot = directory / "boot.img"
    image = BUILD / "yoke.img"
    if not empty.exists():
        with open(empty, "wb") as file:
            file.truncate(MIRROR_SIZE)
    if not boot.exists() or boot.stat().st_mtime < image.stat().st_mtime:
        subprocess.run([sys.executable, ROOT / "tools" / "image.py", "--output", boot, "--options",
                        "pair.mode=single"], check=True, stdout=subprocess.DEVNULL)
    return [Disk(empty, "ahci", serial="mirror1"), Disk(boot, "ahci", serial="boot", boot_index=boot_index)]


def ports():
    return [Nic(None, "e1000e"), Nic(None, "e1000e"), Nic("user", "e1000e"), Nic("user", "e1000e")]


def debug_script(directory, elf, port):
    """What gdb reads: the symbols, where QEMU waits, and the first C function. Before paging
    is on, code runs at its physical address, and has no symbols."""
    script = directory / "debug.gdb"
    script.write_text(f"file {elf}\nset architecture i386:x86-64\ntarget remote 127.0.0.1:{port}\n"
                      "hbreak kernel_main\ncontinue\n")
    return script


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--uefi", action="store_true", help="UEFI instead of BIOS")
    parser.add_argument("--memory", default="1G")
    parser.add_argument("--append", default="", help="with --debug: the kernel's options")
    parser.add_argument("--debug", action="store_true", help="start the kernel directly, and wait for gdb")
    parser.add_argument("--port", type=int, default=DEBUG_PORT, help="with --debug: where gdb connects")
    parser.add_argument("--directory", type=pathlib.Path, default=BUILD / "run", help="keeps the disks")
    arguments = parser.parse_args()
    directory = arguments.directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    options = {"memory": arguments.memory, "nics": ports(), "uefi": arguments.uefi,
               "disks": disks(directory, None if arguments.debug else 0), "icount": "on", "rtc": "base=utc"}
    if arguments.debug:
        script = debug_script(directory, BUILD / "yoke.elf", arguments.port)
        options.update(kernel=BUILD / "yoke.elf32", append=arguments.append,
                       initrd=[(BUILD / "boot" / name, "") for name in ("yoke.conf", "bios-256k.bin")],
                       extra=["-S", "-gdb", f"tcp:127.0.0.1:{arguments.port}"])
        print(f"server: waiting for gdb; in another terminal: gdb -x {os.path.relpath(script)}")
    command = Server(directory, **options).arguments + ["-serial", "mon:stdio"]
    if not shutil.which(command[0]):
        sys.exit(f"server: {command[0]} is not installed: run tools/setup.sh build test")
    print("server: Ctrl-A X ends the server, Ctrl-A C switches to QEMU's monitor", flush=True)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
