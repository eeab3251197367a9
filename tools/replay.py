#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Compares two digest trails of one guest (docs/VCPU.md) and names the first position and field that differ.

    replay.py A B

Status 0: equal, 1: they differ, 2: no trails. A line that was cut short at the end of a file is left out.
"""

import argparse
import dataclasses
import re
import sys
from pathlib import Path

LINE = re.compile(r"(?P<position>\d+ \+ \d+, rip 0x[0-9a-f]+)(?P<fields>(?:\t[^\t=]+=[0-9a-f]{16})+)")


class TrailError(Exception):
    """Why a file is no trail, in one line."""


@dataclasses.dataclass
class Check:
    position: str  # "391027 + 11518, rip 0xffffffff81e3b0f4"
    digests: dict[str, str]  # field to digest, in the order of the line


def read_trail(path) -> list[Check]:
    try:
        lines = Path(path).read_text(encoding="ascii").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise TrailError(f"{path}: {error}") from None
    checks = []
    for number, line in enumerate(lines[:-1], 1):
        match = LINE.fullmatch(line)
        if not match:
            raise TrailError(f"{path}:{number}: not a line of a digest trail")
        fields = (field.split("=") for field in match["fields"].split("\t")[1:])
        checks.append(Check(match["position"], dict(fields)))
    if not checks:
        raise TrailError(f"{path}: holds no check")
    return checks


def different_fields(a: Check, b: Check) -> list[str]:
    names = list(dict.fromkeys([*a.digests, *b.digests]))
    return [name for name in names if a.digests.get(name) != b.digests.get(name)]


def equal_before(checks: list[Check], index: int) -> str:
    if index == 0:
        return "  equal before: none"
    return f"  equal before: {index} checks, the last at {checks[index - 1].position}"


def first_difference(a: list[Check], b: list[Check]) -> str | None:
    """In words, or None: there is none."""
    for index, (in_a, in_b) in enumerate(zip(a, b)):
        fields = different_fields(in_a, in_b)
        if in_a.position != in_b.position:
            what = f"check {index} is at {in_a.position} in the first, at {in_b.position} in the second"
        elif fields:
            what = f"check {index} differs, at {in_a.position}: first in {fields[0]}"
        else:
            continue
        there = [f"  there differ: {', '.join(fields)}"] if fields else []
        return "\n".join([what, *there, equal_before(a, index)])
    if len(a) != len(b):
        longer = "first" if len(a) > len(b) else "second"
        return f"the {longer} goes on for {abs(len(a) - len(b))} checks more\n{equal_before(a, min(len(a), len(b)))}"
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("trails", nargs=2, metavar="TRAIL")
    try:
        a, b = (read_trail(path) for path in parser.parse_args().trails)
    except TrailError as error:
        print(f"replay.py: {error}", file=sys.stderr)
        return 2
    difference = first_difference(a, b)
    print(difference or f"equal: {len(a)} checks, the last at {a[-1].position}")
    return 1 if difference else 0


if __name__ == "__main__":
    sys.exit(main())
