# SPDX-License-Identifier: Apache-2.0
"""The virtual processor: its step counter, exact stops, record and replay of the torture guest."""


def test_step_counter_is_exact(self_test):
    self_test("step_counter", expect=[r"icount is exact: 48 runs of \d+ instructions in \d+ slices"])


def test_step_counter_without_icount_says_so(self_test):
    """Plain TCG: the TSC runs with the host's clock, so no two runs take the same count."""
    self_test("step_counter_refuses", icount=None, expect=["step counter is not exact, so no record, replay or duplex"])


def test_torture_in_slices(self_test, rounds):
    """Whole and in random slices down to one instruction: equal totals, registers and memory."""
    for seed in range(1, rounds(1, 20) + 1):
        self_test("torture_slices", f"seed={seed}", expect=["whole, slices of 0", "sliced, slices of 1:"])


def test_torture_replay(self_test, rounds):
    """Interrupts at random positions, recorded and replayed in other slices."""
    for seed in range(1, rounds(1, 20) + 1):
        self_test("torture_replay", f"seed={seed}", expect=["recorded, slices of 1:", "replayed, slices of 7"],
                  timeout_s=600)


def test_torture_through_snapshots(self_test):
    """At random places all state is copied out, wiped and loaded back: the run ends the same."""
    self_test("torture_snapshot", expect=["by snapshots, slices of 5:"], timeout_s=600)


def test_written_pages_are_named(self_test):
    """A copy that gets only the pages that tracking names stays equal, and no page is named for nothing."""
    self_test("tracking", expect=[r"\d+ pages named, 0 of them unchanged"])
