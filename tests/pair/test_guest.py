# SPDX-License-Identifier: Apache-2.0
"""Every self-test of tests/guest/, each in a server of its own.

A SELF_TEST() runs here by itself with the defaults of Row; one that needs another machine gets an
entry in ROWS. One that needs a disk, a peer or a closer look is started by the file that gives it
these (with the self_test fixture); a name that begins a string or stands behind `test=` in another
test file is left out here."""

import dataclasses
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent
GUEST_FOLDER = FOLDER.parent / "guest"


@dataclasses.dataclass
class Row:
    options: str = ""  # on the boot command line
    memory: str = "256M"
    cpu: str = "max"
    icount: str | None = "auto"
    exit_code: int = 0  # as written to debug-exit: kernel/debug_exit.h
    expect: tuple = ()  # patterns, in this order, ahead of the verdict
    timeout_s: float = 300


def fail_stop(reason: str, *functions: str) -> Row:
    """Ends as a broken server must: with the reason and the names of the guilty function and its callers."""
    places = [rf"^  [0-9a-f]{{16}} {function}\+" for function in functions]
    return Row(exit_code=2, expect=(rf"^fail-stop: .*{reason}", "^registers:", *places))


ROWS: dict[str, Row] = {
    "fault_null": fail_stop("page fault", "fault_read_null"),
    "fault_write_code": fail_stop("page fault: write", "self_test_fault_write_code"),
    "fault_write_code_alias": fail_stop("page fault: write", "self_test_fault_write_code_alias"),
    "fault_execute_data": fail_stop("page fault: execution", "self_test_run"),
    "fault_stack_overflow": fail_stop("", "fault_recurse"),
    "fault_assert": fail_stop(r"ASSERT\(1 \+ 1 == 3\)", "self_test_fault_assert"),
    "fault_invalid_opcode": fail_stop("invalid opcode", "self_test_fault_invalid_opcode"),
    "fault_in_handler": fail_stop("invalid opcode", "fault_handler", "trap_entry", "fault_interrupted",
                                  "self_test_run", "start_up", "trap_switch_stack"),
    "fault_no_stack": fail_stop("page fault: write to 0xff8", "self_test_fault_no_stack"),
}


def found(paths, pattern: str) -> set[str]:
    return {name for path in paths for name in re.findall(pattern, path.read_text(), re.MULTILINE)}


def defined() -> set[str]:
    return found(GUEST_FOLDER.glob("*.c"), r"^SELF_TEST\((\w+)\)")


def names() -> list[str]:
    others = [path for path in FOLDER.glob("test_*.py") if path.name != Path(__file__).name]
    return sorted(defined() - found(others, r"(?:\"|test=)(\w+)"))


@pytest.mark.parametrize("name", names())
def test_self(self_test, name):
    row = ROWS.get(name, Row())
    self_test(name, row.options, expect=row.expect, exit_code=row.exit_code, timeout_s=row.timeout_s,
              memory=row.memory, cpu=row.cpu, icount=row.icount)


def test_rows_name_self_tests_that_exist():
    assert set(ROWS) <= defined(), "a row of ROWS is left over"


def test_unknown_name_is_refused(server, test_kernel):
    machine = server(kernel=test_kernel, append="debug_exit test=no_such_test", memory="256M")
    machine.expect("^self-test no_such_test: this image has no such test")
    assert machine.exit_code() == 3


def test_image_lists_what_the_sources_define(server, test_kernel):
    """None is lost between the source and the linker's table."""
    machine = server(kernel=test_kernel, append="debug_exit test=list", memory="256M")
    assert machine.exit_code() == 0
    listed = re.findall(r"^self-test (\w+)$", machine.output, re.M)
    assert sorted(listed) == sorted(defined())
