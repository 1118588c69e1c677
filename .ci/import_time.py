"""The import-time budget: the best of several fresh interpreters, against the limits that users were promised."""

from __future__ import annotations

import subprocess
import sys
import time

ONLINE = "tidewheel.features.prepare, tidewheel.backends.lmdb.online_store"
BUDGETS = (
    ("import tidewheel", [sys.executable, "-c", "import tidewheel"], 0.150),
    ("import of what answers online", [sys.executable, "-c", f"import {ONLINE}"], 0.400),
    ("tidewheel --help", [sys.executable, "-m", "tidewheel", "--help"], 0.300),
)
RUNS = 15


def best_seconds(command: list[str]) -> float:
    seconds = []
    for _ in range(RUNS):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main() -> int:
    bare = best_seconds([sys.executable, "-c", "pass"])
    failed = False
    for name, command, budget in BUDGETS:
        took = best_seconds(command)
        own = took - bare if name.startswith("import") else took
        failed |= own > budget
        print(f"{name}: {own * 1000:.0f} ms of {budget * 1000:.0f} ms (bare interpreter {bare * 1000:.0f} ms)")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
