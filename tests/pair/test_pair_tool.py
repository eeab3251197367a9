# SPDX-License-Identifier: Apache-2.0
"""tools/pair.py: the process it leaves behind, its commands, and what it says when it cannot."""

import json
import os
import subprocess
import sys
import threading

import pytest

from tests.pair.qemu import ROOT, TIMEOUT_FACTOR

pytestmark = pytest.mark.pair

PCAP_MAGIC = b"\xd4\xc3\xb2\xa1"


@pytest.fixture
def pair(kernel, tmp_path):
    """pair("status", "--json", ok=True) runs one command on this test's own pair; returns what it said."""
    if os.geteuid() != 0:
        pytest.skip("needs root: makes a network namespace")

    def run(*words, ok: bool = True) -> str:
        command = [sys.executable, ROOT / "tools" / "pair.py", "--folder", tmp_path, *words]
        result = subprocess.run(command, capture_output=True, text=True, timeout=600 * TIMEOUT_FACTOR)
        assert (result.returncode == 0) == ok, result.stdout + result.stderr
        return result.stdout if ok else result.stderr

    yield run
    subprocess.run([sys.executable, ROOT / "tools" / "pair.py", "--folder", tmp_path, "down"], capture_output=True)


def test_commands_reach_the_pair(pair, tmp_path):
    assert "no pair is up" in pair("status", ok=False)
    pair("up", "--mode", "single")
    assert "a pair is up already" in pair("up", ok=False)
    pair("record", tmp_path / "frames")
    pair("pause", "b")
    assert json.loads(pair("status", "--json"))["b"] == {"power": "paused"}
    pair("resume", "b")
    pair("kill", "a")
    assert "server a is off" in pair("pause", "a", ok=False)
    pair("restart", "a")
    states = json.loads(pair("status", "--json"))
    assert [states[name]["self"] for name in "ab"] == ["a", "b"]
    assert "10.77.0.1" in pair("client", "ip", "address", "show", "lan")
    pair("cut", "cs1")
    pair("rules", "cs2", "loss=0.5")
    assert "found 'loss'" in pair("rules", "all", "loss", ok=False)
    pair("heal")
    pair("down")
    assert "no pair is up" in pair("status", ok=False)
    names = sorted(path.name for path in (tmp_path / "frames").iterdir())
    assert len([name for name in names if name.startswith("a-cs1-")]) == 2, "a server that came back is recorded too"
    assert all((tmp_path / "frames" / name).read_bytes()[:4] == PCAP_MAGIC for name in names)


def test_run_shows_both_servers(kernel, tmp_path):
    """What `make run` shows, on pipes instead of a terminal, with a disk from which nothing starts; Ctrl-A X ends both."""
    if os.geteuid() != 0:
        pytest.skip("needs root: makes a network namespace")
    (tmp_path / "blank.img").write_bytes(bytes(8 << 20))
    command = [sys.executable, ROOT / "tools" / "run.py", "--folder", tmp_path, "--disk", tmp_path / "blank.img"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace") as process:
        ending = threading.Timer(600 * TIMEOUT_FACTOR, process.kill)
        ending.start()
        said = []
        for line in process.stdout:
            said.append(line)
            if "a duplex-leader  |  b duplex-follower  |  mirror1 a good, b good" in line:
                process.stdin.write("\x01x")
                process.stdin.flush()
        ending.cancel()
    text = "".join(said)
    assert process.returncode == 0, text
    assert "a simplex  |  b waiting  |  mirror1 " in text
    assert "No bootable device" in text, "the guest's console"
