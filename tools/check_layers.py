#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Proves from the #include lines that each folder includes only what it may.

The table is docs/ARCHITECTURE.md's, right-hand column. Checked as well: that
what is included exists and is named from the root, that no headers include each
other in a circle, and that only freestanding headers of the C library are used.
Prints each breach as file:line and exits 1 when there is one.
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
# The wiring: main.c and the parts of it that are files of their own, cut by subject.
WIRING = re.compile(r"kernel/(main\.c|(server|guest|pair|state|mirror|unique)(_[a-z]+)*\.[ch])")

# Vendor headers belong to the twin that is the vendor's.
PRIVATE = {"kernel/svm/svm.h": "kernel/svm", "kernel/vmx/vmx.h": "kernel/vmx"}

# Of the C library: what needs no operating system behind it.
FREESTANDING = {"stdarg.h", "stdbool.h", "stddef.h", "stdint.h", "limits.h", "errno.h", "stdio.h", "string.h"}
# Beside them, for single files: GNU-EFI's for its loader, Newlib's own for what Newlib needs of us.
SYSTEM = {
    "boot/efi_loader.c": {"efi.h", "efilib.h"},
    "boot/efi_serial.c": {"efi.h", "efilib.h"},
    "boot/efi_serial.h": {"efi.h", "efilib.h"},
    "kernel/newlib_glue.c": {"malloc.h", "reent.h", "stdlib.h"},
}
# Runs on a person's machine, on a whole C library.
HOSTED = {"tools"}

INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]*)"|<([^>]*)>)')


def includes(root, name):
    """(line, target, is it in quotes) of each #include in file `name`."""
    for number, line in enumerate((root / name).read_text().splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            own = match.group(1)
            yield number, own if own is not None else match.group(2), own is not None


def sources(root, folder):
    return (path.relative_to(root).as_posix() for path in sorted((root / folder).rglob("*.[chS]")))


def breach_of(root, name, folder, target, own):
    """What is wrong with `name` including `target`; None when nothing is."""
    if not own:
        if folder in HOSTED or target in FREESTANDING or target in SYSTEM.get(name, ()):
            return None
        return f"<{target}> is not freestanding"
    if target.split("/")[0] not in MAY_INCLUDE or ".." in target:
        return f'"{target}" is not named from the root of the repository'
    if not (root / target).is_file():
        return f"{target} does not exist"
    home = PRIVATE.get(target)
    if home and not name.startswith(home + "/"):
        return f"{target} is for {home}/ alone"
    folders, headers = MAY_INCLUDE[folder]
    if not WIRING.fullmatch(name) and target.split("/")[0] not in folders and target not in headers:
        return f"{folder}/ may not include {target}"
    return None


def circles(graph):
    """Each circle in {header: [headers]} once, as a list that begins and ends alike."""
    done, path = set(), []

    def visit(name):
        if name in path:
            yield path[path.index(name):] + [name]
            return
        if name in done:
            return
        path.append(name)
        for target in graph.get(name, ()):
            yield from visit(target)
        path.pop()
        done.add(name)

    for name in sorted(graph):
        yield from visit(name)


def breaches(root):
    graph = {}
    for folder in MAY_INCLUDE:
        for name in sources(root, folder):
            for number, target, own in includes(root, name):
                problem = breach_of(root, name, folder, target, own)
                if problem:
                    yield f"{name}:{number}: {problem}"
                if own and name.endswith(".h"):
                    graph.setdefault(name, []).append(target)
    for circle in circles(graph):
        yield f"{circle[0]}:1: headers in a circle: {' -> '.join(circle)}"


def main():
    found = list(breaches(ROOT))
    print("\n".join(found) if found else "check-layers: every #include is allowed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
