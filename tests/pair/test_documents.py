# SPDX-License-Identifier: Apache-2.0
"""What the documents name is there: make's targets, files, sections and functions. No QEMU."""

import re
import subprocess

import pytest

from tests.pair.conftest import ROOT

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
# What every checkout must offer, whatever else help lists.
TARGETS = {"all", "run", "test", "check", "image", "debug", "bench", "check-layers", "check-headers", "analyze", "format",
           "clean", "help", "soak"}

every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def code(document) -> list[str]:
    """What stands in backticks or in a block of code."""
    text = document.read_text()
    return re.findall(r"`([^`\n]+)`", text) + re.findall(r"^ {4,}(\S.*)$", text, re.MULTILINE)


def tracked() -> list[str]:
    return subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()


@pytest.fixture(scope="module")
def targets() -> dict[str, str]:
    """{target: what help says of it}"""
    said = subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return dict(re.fullmatch(r"  make (\S+) +(\S.*)", line).groups() for line in said.splitlines())


def test_help_lists_every_target_with_a_line(targets):
    assert TARGETS - targets.keys() == set()


@every_document
def test_targets_are_those_of_help(document, targets):
    named = {match[1] for words in code(document) if (match := re.match(r"make ([a-z][a-z-]*)(?=\s|$)", words))}
    assert named - targets.keys() == set()


@every_document
def test_files_exist(document):
    folders = {name.split("/")[0] for name in tracked() if "/" in name}
    paths = [words for words in code(document) if re.fullmatch(r"[a-z]+/[\w./*-]*", words)]
    # NAME and the like stand for a name of the reader's.
    paths = [path for path in paths if path.split("/")[0] in folders and not re.search("[A-Z]{3}", path)]
    assert [path for path in paths if not any(ROOT.glob(path.rstrip("/")))] == []


@every_document
def test_links_lead_somewhere(document):
    for file, section in re.findall(r"\]\(([\w./-]*)(?:#([\w-]+))?\)", document.read_text()):
        target = document.parent / file if file else document
        assert target.is_file(), file
        headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
        slugs = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
        assert not section or section in slugs, f"{file}#{section}"


@every_document
def test_functions_are_in_the_source(document):
    source = "\n".join((ROOT / name).read_text() for name in tracked() if re.search(r"\.([chS]|py)$", name))
    words = set(re.findall(r"\w+", source))
    named = {match[1] for text in code(document) if (match := re.fullmatch(r"(?:\w+\.)*(\w+)\(.*\)", text))}
    assert named - words == set()
