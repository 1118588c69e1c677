"""The import-time budget: the best of several fresh interpreters, against the limits that users were promised.

What pip installs has its bytecode; so has what is measured, also where this interpreter is told to write none.
"""

from __future__ import annotations

import compileall
import subprocess
import sys
import time
from collections.abc import Sequence
from math import inf
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ONLINE = "tidewheel.features.prepare, tidewheel.backends.lmdb.online_store"
BUDGETS = (
    ("import tidewheel", [sys.executable, "-c", "import tidewheel"], 0.150),
    ("import of what answers online", [sys.executable, "-c", f"import {ONLINE}"], 0.400),
    ("tidewheel --help", [sys.executable, "-m", "tidewheel", "--help"], 0.300),
)
RUNS = 20


def best_seconds(commands: Sequence[Sequence[str]]) -> list[float]:
    """The best of each, taken in turn: a machine that is slow for some seconds is so for all of them."""
    best = [inf] * len(commands)
    for _ in range(RUNS):
        for number, command in enumerate(commands):
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            best[number] = min(best[number], time.perf_counter() - start)
    return best


def main() -> int:
    compileall.compile_dir(ROOT / "src" / "tidewheel", quiet=1)
    bare, *taken = best_seconds([[sys.executable, "-c", "pass"], *(command for _, command, _ in BUDGETS)])
    failed = False
    for (name, _, budget), took in zip(BUDGETS, taken, strict=True):
        own = took - bare if name.startswith("import") else took
        failed |= own > budget
        print(f"{name}: {own * 1000:.0f} ms of {budget * 1000:.0f} ms (bare interpreter {bare * 1000:.0f} ms)")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
