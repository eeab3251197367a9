# SPDX-License-Identifier: Apache-2.0
"""`make bench`: runs every bench_*.py (or those named), prints each figure beside its target as it
comes, and keeps them in build/bench.json.

A bench file defines `measure(directory)`, which yields report.Result; `directory` is its own to
write to. Counts under icount are exact and the same everywhere; wall times are not, and say so in
their note. The status is 1 when something could not be measured and 2 when no bench file has a
name that was asked for; a missed target is told, and the last line counts them."""

import importlib
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.bench import report

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).resolve().parent


def run(name: str) -> tuple[list, bool]:
    """Runs one bench file; returns its results and whether it came to its end."""
    directory = Path(tempfile.mkdtemp(prefix=f"yoke-bench-{name}-"))
    results = []
    try:
        for result in importlib.import_module(f"tests.bench.bench_{name}").measure(directory):
            results.append(result)
            print(result.line(), flush=True)
    except Exception:  # told, counted, and the other files still run
        traceback.print_exc()
        print(f"bench_{name}: not measured; its files are in {directory}; alone: make bench BENCH={name}")
        return results, False
    shutil.rmtree(directory)
    return results, True


def main(names: list[str]) -> int:
    known = sorted(path.stem.removeprefix("bench_") for path in FOLDER.glob("bench_*.py"))
    unknown = sorted(set(names) - set(known))
    if unknown:
        print(f"bench: no benchmark is called {' or '.join(unknown)}; there are {' '.join(known)}", file=sys.stderr)
        return 2
    names = names or known
    started, missed, failed = time.monotonic(), 0, []
    for name in names:
        results, complete = run(name)
        report.save(ROOT / "build" / "bench.json", name, results, ROOT)
        missed += sum(result.missed for result in results)
        failed += [] if complete else [name]
    unmeasured = f"{len(failed)} files not measured ({' '.join(failed)})" if failed else "all measured"
    print(f"bench: {missed} targets missed, {unmeasured}, after {time.monotonic() - started:.0f} s")
    return 1 if failed else 0


sys.exit(main(sys.argv[1:]))
