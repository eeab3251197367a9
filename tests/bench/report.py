# SPDX-License-Identifier: Apache-2.0
"""One measured figure, and the table that shows it beside what it must reach."""

import dataclasses
import json
import subprocess
import time
from pathlib import Path


@dataclasses.dataclass
class Result:
    name: str  # "boot, BIOS: kernel": what it is, the general first
    value: float
    unit: str
    most: float | None = None  # the target: at most ...
    least: float | None = None  # ... or at least this
    note: str = ""

    @property
    def missed(self) -> bool:
        over = self.most is not None and self.value > self.most
        under = self.least is not None and self.value < self.least
        return over or under

    def line(self) -> str:
        target = ""
        if self.most is not None:
            target = f"at most {self.most:g}"
        elif self.least is not None:
            target = f"at least {self.least:g}"
        verdict = "MISSED" if self.missed else "reached" if target else ""
        value = f"{self.value:.4g}" if abs(self.value) < 1000 else f"{self.value:,.0f}"
        text = f"{self.name:<52} {value:>14} {self.unit:<18} {target:<16} {verdict:<8} {self.note}"
        return text.rstrip()


def save(path: Path, bench: str, results: list[Result], root: Path):
    """Puts the results of one bench file into the JSON document, in place of its older ones."""
    document = json.loads(path.read_text()) if path.exists() else {}
    describe = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(describe, cwd=root, capture_output=True, text=True)
    document[bench] = {
        "commit": commit.stdout.strip(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "results": [dict(dataclasses.asdict(result), missed=result.missed) for result in results],
    }
    path.write_text(json.dumps(document, indent=1) + "\n")
