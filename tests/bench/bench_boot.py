# SPDX-License-Identifier: Apache-2.0
"""How big the hypervisor is and how long it takes from power-on to the end of kernel_main."""

import subprocess
from pathlib import Path

from tests.bench.report import Result

BUILD = Path(__file__).resolve().parents[2] / "build"


def stripped_size(directory: Path) -> int:
    stripped = directory / "yoke.stripped"
    subprocess.run(["strip", "-o", str(stripped), str(BUILD / "yoke.elf")], check=True)
    return stripped.stat().st_size


def measure(directory):
    yield Result("kernel image, stripped", stripped_size(directory) / 1024, "KiB", most=512)
