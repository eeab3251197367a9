# SPDX-License-Identifier: Apache-2.0
"""What every test in QEMU gets: the built kernel and image, servers and networks that end with
the test, and at a failure the one command that runs it again alone."""

import fcntl
import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.pair import network as network_module  # noqa: E402
from tests.pair.pair import SMALL_LINUX_SCRIPT, Pair, small_linux  # noqa: E402
from tests.pair.qemu import Server, ServerError  # noqa: E402

BUILD = ROOT / "build"


def pytest_configure(config):
    config.addinivalue_line("markers", "pair: runs two servers at once, so it gets both cores to itself")
    config.addinivalue_line("markers", "soak: has many more rounds in `make soak`")


def pytest_collection_modifyitems(items):
    for item in items:
        if "rounds" in item.fixturenames:
            item.add_marker(pytest.mark.soak)


@functools.cache
def build(*targets: str):
    """Runs make for `targets`, once at a time; says what the compiler said if it fails."""
    BUILD.mkdir(exist_ok=True)
    with open(BUILD / "tests.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Not a part of the make that may have started us: its job server is not for us.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        result = subprocess.run(["make", *targets], cwd=ROOT, env=environment, capture_output=True, text=True)
    if result.returncode:
        pytest.exit(f"make {' '.join(targets)} fails:\n{result.stdout[-2000:]}\n{result.stderr[-4000:]}", 1)


@pytest.fixture(scope="session", autouse=True)
def clean_start():
    """Network namespaces of test processes that were killed are gone first."""
    if os.geteuid() == 0:
        network_module.remove_leftovers()


@pytest.fixture
def kernel() -> Path:
    """The hypervisor as QEMU's -kernel takes it."""
    build("kernel")
    return BUILD / "yoke.elf32"


@pytest.fixture
def test_kernel() -> Path:
    """The hypervisor with the guest-side tests of tests/guest/ linked in; `test=NAME` runs one."""
    build("kernel")
    return BUILD / "yoke-test.elf32"


@pytest.fixture
def image(tmp_path) -> Path:
    """A copy of the disk image, the test's own to write to."""
    build("image")
    copy = tmp_path / "yoke.img"
    subprocess.run(["cp", "--sparse=always", str(BUILD / "yoke.img"), str(copy)], check=True)
    return copy


@pytest.fixture
def server(tmp_path):
    """server(**options) makes and starts a Server; all end with the test."""
    servers = []

    def make(**options) -> Server:
        options.setdefault("name", f"server{len(servers)}" if servers else "server")
        servers.append(Server(tmp_path, **options))
        servers[-1].start()
        return servers[-1]

    yield make
    for one in servers:
        one.kill()


@pytest.fixture
def self_test(server, test_kernel):
    """self_test("name", "more=options", expect=[patterns], exit_code=0, **server options) runs one
    test of tests/guest/ in a server, demands its verdict, and returns the server that has ended."""

    def run(name: str, options: str = "", *, expect=(), exit_code: int = 0, timeout_s: float = 300, **more):
        __tracebackhide__ = True
        more.setdefault("memory", "256M")
        machine = server(kernel=test_kernel, append=f"debug_exit test={name} {options}".strip(), **more)
        for pattern in expect:
            machine.expect(pattern, timeout_s)
        if exit_code < 2:  # else it ends in a fail-stop or a refusal, without a verdict
            verdict = machine.expect(rf"^self-test {name}: (passed|FAILED|skipped: .*)$", timeout_s)[1]
            if verdict.startswith("skipped"):
                pytest.skip(verdict)
        if machine.exit_code(timeout_s) != exit_code:
            raise ServerError(machine.describe(f"self-test {name} did not end by debug-exit {exit_code}"))
        return machine

    return run


@pytest.fixture
def network():
    """A network namespace of the test's own; without one, the test is skipped."""
    try:
        own = network_module.Network()
    except network_module.NetworkUnavailable as reason:
        pytest.skip(str(reason))
    with own:
        yield own


@pytest.fixture
def rounds():
    """rounds(4, 40): how often to go round in `make test`, and in `make soak`."""
    factor = int(os.environ.get("SOAK_ROUNDS", "0"))

    def choose(in_test: int, in_soak: int) -> int:
        return in_soak * factor if factor else in_test

    return choose


def pytest_terminal_summary(terminalreporter):
    failed = terminalreporter.stats.get("failed", []) + terminalreporter.stats.get("error", [])
    for report in dict.fromkeys(report.nodeid for report in failed):
        terminalreporter.write_line(f"alone: make test TEST='{report}'")


@pytest.fixture
def pair(kernel, tmp_path):
    """pair(script=..., conf=...) brings up two servers with a small Linux that runs `script`; they end with the test.
    `disk`: it has one, an image that each server gets a copy of, or a blank one of so many bytes. pair(guest=...) with
    another guest."""
    made = []

    def make(script=SMALL_LINUX_SCRIPT, disk=None, guest=None, **options) -> Pair:
        guest = guest or small_linux(tmp_path, script, ("virtio_pci", "virtio_net", "virtio_blk"), disk=disk)
        try:
            made.append(Pair(tmp_path, kernel=kernel, guest=guest, **options))
        except network_module.NetworkUnavailable as reason:
            pytest.skip(str(reason))
        made[0].__enter__()
        return made[0]

    yield make
    for one in made:
        one.__exit__()
