# SPDX-License-Identifier: Apache-2.0
"""Debian packages as files: fetched from the machine's own mirror, unpacked, never installed
(so no hook runs), and kept under build/cache for the next time."""

import fcntl
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "build" / "cache"


def run(*words, **options) -> str:
    result = subprocess.run(words, capture_output=True, text=True, **options)
    if result.returncode:
        raise RuntimeError(f"{' '.join(map(str, words))}: {result.stderr.strip() or result.stdout.strip()}")
    return result.stdout


def first_dependency(package: str, prefix: str) -> str:
    """The package beginning with `prefix` that a metapackage stands for."""
    for line in run("apt-cache", "depends", package).splitlines():
        name = line.split()[-1]
        if "Depends:" in line and name.startswith(prefix):
            return name
    raise RuntimeError(f"{package} depends on no {prefix}*: is the package list there? (apt-get update)")


def unpacked(package: str) -> Path:
    """The folder holding what `package` would install; fetched at the first call."""
    CACHE.mkdir(parents=True, exist_ok=True)
    folder = CACHE / package
    with open(CACHE / f"{package}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return folder
        partial = CACHE / f"{package}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        run("apt-get", "-o", "APT::Sandbox::User=root", "download", package, cwd=partial)
        archive = next(partial.glob("*.deb"))
        run("dpkg", "-x", archive, partial)
        archive.unlink()
        partial.rename(folder)  # whole or not at all
    return folder
