#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Proves from the #include lines that each folder includes only what it may.

The table is docs/ARCHITECTURE.md's, right-hand column. Prints each breach as
file:line and exits 1 when there is one.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

KERNEL_SERVICES = {f"kernel/{name}.h" for name in ("mmio", "port_io", "dma", "time", "pci")}
WIRE_FORMATS = {"lockstep/wire.h"}

# folder: (folders it may include, single headers it may include beside them)
MAY_INCLUDE = {
    "include": ({"include"}, set()),
    "boot": ({"include", "boot"}, set()),
    "kernel": ({"include", "kernel"}, set()),
    "drivers": ({"include", "drivers"}, KERNEL_SERVICES),
    "machine": ({"include", "machine"}, set()),
    "lockstep": ({"include", "lockstep"}, WIRE_FORMATS),
    "mirror": ({"include", "mirror"}, WIRE_FORMATS),
    "nic": ({"include", "nic"}, WIRE_FORMATS),
    "manage": ({"include", "manage"}, set()),
    "tools": ({"include", "tools"}, WIRE_FORMATS),
}
# The files that wire everybody.
WIRING = {"kernel/main.c"}

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')


def breaches():
    for folder, (folders, headers) in MAY_INCLUDE.items():
        for path in sorted((ROOT / folder).rglob("*.[chS]")):
            name = path.relative_to(ROOT).as_posix()
            if name in WIRING:
                continue
            for number, line in enumerate(path.read_text().splitlines(), 1):
                match = INCLUDE.match(line)
                if not match:
                    continue
                target = match.group(1)
                if target.split("/")[0] not in folders and target not in headers:
                    yield f"{name}:{number}: {folder}/ may not include {target}"


def main():
    found = list(breaches())
    print("\n".join(found) if found else "check-layers: every #include is allowed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
