"""Fingerprints of a function that reaches 50 others in ten modules of a project, beside what step caches hash of a function.

Ours is told as milliseconds a function in a process that is warm: walked anew, as after an edit of any of them, and asked for
again, as every call of a step does. The peers hash the same 50 functions by what their own caches call: joblib's
``get_func_code`` (the text that ``Memory`` compares), hashed by ``joblib.hash``, Hamilton's ``hash_source_code``, and Prefect's
``TASK_SOURCE`` policy. They are quicker because they do less, and wrong for it: each sees the text of one function and nothing
that it reaches. So the last column says which of them sees that a helper was edited. The best of several rounds.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tidewheel.fingerprint.walk import Fingerprinter

sys.path.insert(0, str(Path(__file__).parents[1]))
from peers import ensure_environment

FUNCTIONS, MODULES = 50, 10

HASHES = {
    "joblib": (
        ("joblib",),
        """
import joblib
from joblib.func_inspect import get_func_code
def one(f): return joblib.hash(get_func_code(f)[0])
""",
    ),
    "Hamilton": (
        ("sf-hamilton",),
        """
from hamilton.graph_types import hash_source_code
def one(f): return hash_source_code(f, strip=True)
""",
    ),
    "Prefect": (
        ("prefect>=3",),
        """
from prefect import task
from prefect.cache_policies import TASK_SOURCE
from prefect.context import TaskRunContext
def one(f): return TASK_SOURCE.compute_key(TaskRunContext.model_construct(task=task(f)), {}, {})
""",
    ),
}

MEASURE = """
import importlib, json, linecache, pathlib, sys, time
folder, rounds, count, modules = sys.argv[1], *map(int, sys.argv[2:])
sys.path.insert(0, folder)
sys.dont_write_bytecode = True
def load():
    for name in [name for name in sys.modules if name.startswith("part")]: del sys.modules[name]
    importlib.invalidate_caches(); linecache.clearcache()
    return [getattr(importlib.import_module(f"part{n % modules}"), f"f{n}") for n in range(count)]
functions = load()
best = 1e9
for _ in range(rounds):
    start = time.perf_counter(); before = [one(f) for f in functions]; best = min(best, time.perf_counter() - start)
path = pathlib.Path(folder, f"part{(count - 1) % modules}.py"); text = path.read_text()
path.write_text(text.replace(f"+ {count - 1}", f"+ {count}00")); after = one(load()[0]); path.write_text(text)
print("TOLD" + json.dumps([best / count * 1e3, after != before[0]]))
"""


def write_project(folder: Path) -> None:
    """Functions that call one another across modules, with a constant, a default and a library among what they reach."""
    for module in range(MODULES):
        lines = ["import math", f"import part{(module + 1) % MODULES}", f"LIMIT = {module}.5"]
        for number in range(module, FUNCTIONS, MODULES):
            after = number + 1
            call = f"part{after % MODULES}.f{after}(x)" if after < FUNCTIONS else "x"
            lines += ["", f"def f{number}(x, scale=LIMIT):", f'    """Function {number}."""']
            lines += [f"    total = math.sqrt(abs(x)) * scale + {number}", "    if total > LIMIT:", f"        total += {call}"]
            lines += ["    return total"]
        (folder / f"part{module}.py").write_text("\n".join(lines) + "\n")


def spend(work: Callable[[], object], rounds: int) -> float:
    """Wall milliseconds a function, the best of the rounds."""
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best / FUNCTIONS * 1e3


def run_ours(folder: Path, rounds: int) -> dict[str, float]:
    """The first walk of this process, walks anew, and asking again."""
    sys.path.insert(0, str(folder))
    function = importlib.import_module("part0").f0

    def walk() -> int:
        found = Fingerprinter(folder).components([function])
        return sum(name.startswith("code:part") and ".f" in name for name in found)

    told = {"the first": spend(walk, 1)}
    assert walk() == FUNCTIONS, "the walk reaches every function"
    told["walked anew"] = spend(walk, rounds)
    kept = Fingerprinter(folder)
    kept.components([function])
    told["asked for again"] = spend(lambda: kept.components([function]), rounds)
    return told


def run_peer(name: str, folder: Path, rounds: int) -> tuple[float, bool] | None:
    """Milliseconds a function, and whether an edit of a helper is seen; ``None`` where the peer cannot be had."""
    requirements, text = HASHES[name]
    python = ensure_environment(name.lower(), requirements)
    if python is None:
        return None
    command = [str(python), "-c", text + MEASURE, str(folder), str(rounds), str(FUNCTIONS), str(MODULES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        if line.startswith("TOLD"):
            took, seen = json.loads(line.removeprefix("TOLD"))
            return float(took), bool(seen)
    print(f"{name} is left out: {done.stderr[-1_500:]}", file=sys.stderr)
    return None


def main() -> int:
    """Run all, and print milliseconds a function."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--peers", nargs="*", default=list(HASHES), choices=list(HASHES))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_project(folder)
        for work, took in run_ours(folder, asked.rounds).items():
            print(f"{'ours':<10}{work:<18}{took:9.4f} ms a function  sees an edit of a helper", flush=True)
        for peer in asked.peers:
            found = run_peer(peer, folder, asked.rounds)
            if found is not None:
                seen = "sees" if found[1] else "does not see"
                print(f"{peer:<10}{'its own text':<18}{found[0]:9.4f} ms a function  {seen} an edit of a helper", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
