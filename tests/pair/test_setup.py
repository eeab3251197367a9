# SPDX-License-Identifier: Apache-2.0
"""tools/setup.sh in every situation it may meet, with stand-ins for apt, dpkg, id and sudo. No QEMU, nothing installed."""

import os
import subprocess

import pytest

from tests.pair.conftest import ROOT

NEEDED = [line.split()[:2] for line in (ROOT / "tools/packages.txt").read_text().splitlines() if line[:1] not in "#"]
BUILD_PACKAGES = [package for group, package in NEEDED if group == "build"]


@pytest.fixture
def setup(tmp_path):
    """setup(commands={name: script}) runs setup.sh build with these commands ahead of the real ones."""

    def run(*, installed=BUILD_PACKAGES, uid=0, group="build", **commands):
        commands.setdefault("dpkg_query", "for p in $INSTALLED; do echo installed $p; done; exit 1")
        commands.setdefault("id", f"echo {uid}")
        commands.setdefault("apt_get", 'echo "$@" >> "$CALLS"')
        commands.setdefault("sudo", "exit 1")
        for name, script in commands.items():
            path = tmp_path / name.replace("_", "-")
            path.write_text(f"#!/bin/bash\n{script}\n")
            path.chmod(0o755)
        calls = tmp_path / "calls"
        calls.write_text("")
        environment = dict(os.environ, PATH=f"{tmp_path}:{os.environ['PATH']}", INSTALLED=" ".join(installed),
                           CALLS=str(calls), TMPDIR=str(tmp_path))
        result = subprocess.run(["bash", ROOT / "tools/setup.sh", group], env=environment, capture_output=True, text=True,
                                stdin=subprocess.DEVNULL)
        return result, calls.read_text().splitlines()

    return run


def test_nothing_is_said_or_done_when_nothing_is_missing(setup):
    result, calls = setup()
    assert (result.returncode, result.stdout, result.stderr, calls) == (0, "", "", [])


def test_what_is_missing_is_installed_and_nothing_else(setup):
    result, calls = setup(installed=[package for package in BUILD_PACKAGES if package not in ("gcc", "mtools")])
    assert result.returncode == 0
    assert result.stdout == "setup: installing gcc mtools\n"
    assert len(calls) == 2
    assert calls[0].endswith(" update")
    assert calls[1].endswith(" install -y --no-install-recommends gcc mtools")


def test_only_the_groups_asked_for(setup):
    result, calls = setup(installed=[], group="analyze")
    assert result.returncode == 0
    assert calls[1].split("--no-install-recommends ")[1].split() == [p for group, p in NEEDED if group == "analyze"]


def test_no_root_but_sudo_without_password(setup):
    result, calls = setup(installed=BUILD_PACKAGES[1:], uid=1000, sudo='[ "$1" != -n ] || exit 0; exec "$@"')
    assert result.returncode == 0, result.stderr
    assert len(calls) == 2


def one_line(result):
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert result.stderr.endswith(f"install with: apt-get install {BUILD_PACKAGES[0]}\n")
    return result.stderr


def test_no_root_and_sudo_wants_a_password(setup):
    result, calls = setup(installed=BUILD_PACKAGES[1:], uid=1000)
    assert one_line(result).startswith("setup: sudo wants a password and there is no terminal to ask on;")
    assert calls == []


def test_no_network(setup):
    result, _ = setup(installed=BUILD_PACKAGES[1:], apt_get='''
        case "$*" in
        *update) echo "W: Failed to fetch http://mirror/ Temporary failure resolving" ;;
        *) echo "E: Unable to locate package"; exit 100 ;;
        esac''')
    assert "(Failed to fetch http://mirror/ Temporary failure resolving)" in one_line(result)


def test_apt_fails(setup):
    result, _ = setup(installed=BUILD_PACKAGES[1:], apt_get='''
        case "$*" in
        *install*) echo "E: Could not get lock /var/lib/dpkg/lock-frontend."; exit 100 ;;
        esac''')
    assert "(E: Could not get lock /var/lib/dpkg/lock-frontend.)" in one_line(result)


def test_another_system_than_debian(setup, tmp_path):
    """No dpkg-query at all: a path with only what the script itself uses."""
    for name in ("bash", "dirname", "grep", "id", "rm"):
        (tmp_path / "only").mkdir(exist_ok=True)
        (tmp_path / "only" / name).symlink_to(f"/usr/bin/{name}")
    result = subprocess.run(["/bin/bash", ROOT / "tools/setup.sh", "build"], env={"PATH": str(tmp_path / "only")},
                            capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.startswith("setup: this is no Debian system; install with: apt-get install make gcc ")


def test_every_package_has_a_group_and_a_reason():
    for line in (ROOT / "tools/packages.txt").read_text().splitlines():
        if not line.startswith("#"):
            words = line.split(maxsplit=2)
            assert len(words) == 3, line
            assert words[0] in ("build", "test", "analyze"), line
