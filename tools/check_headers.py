#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Checks what the compiler does not: each source file's first line says the
licence, and each header's include guard is the one that its path gives.

    check_headers.py FILE...

Prints each breach as file:line and exits 1 when there is one.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LICENCE = "/* SPDX-License-Identifier: Apache-2.0 */"
DIRECTIVE = re.compile(r"^\s*#\s*(\w+)\s*(.*?)\s*(/\*.*)?$")


def guard_of(name):
    """kernel/svm/svm.h: KERNEL_SVM_SVM_H."""
    return re.sub(r"[^A-Z0-9]", "_", name.upper())


def breaches(name, text):
    lines = text.splitlines()
    if not lines or lines[0] != LICENCE:
        yield f"{name}:1: the first line is not {LICENCE}"
    if not name.endswith(".h"):
        return
    directives = [(number, *match.groups()[:2]) for number, line in enumerate(lines, 1)
                  if (match := DIRECTIVE.match(line))]
    guard = guard_of(name)
    if len(directives) < 3:
        yield f"{name}:1: no include guard {guard}"
        return
    for (number, word, rest), expected in zip(directives, (("ifndef", guard), ("define", guard))):
        if (word, rest) != expected:
            yield f"{name}:{number}: found #{word} {rest}, not the include guard's #{expected[0]} {guard}"
    number, word, _ = directives[-1]
    if word != "endif" or any(line.strip() for line in lines[number:]):
        yield f"{name}:{number}: the include guard does not end the file"


def main(names):
    found = [breach for name in names for breach in breaches(name, (ROOT / name).read_text())]
    if found:
        print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
