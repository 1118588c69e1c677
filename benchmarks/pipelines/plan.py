"""A plan of a project of 1,000 nodes, all of it applied, with nothing changed and after one edit, beside the raw limit.

The raw limit is what any plan must do at least: read the recipes that the environment points at from SQLite, parse them, and
look at the data file. It makes no recipe, compares nothing and orders nothing.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tidewheel.ledger.build import Build
from tidewheel.project.load import load_project
from tidewheel.project.open import Workspace, open_workspace
from tidewheel.project.survey import Surveyor, make_plan, meta_id, meta_recipe

ENVIRONMENT = "dev"
EDITED = ("b = tw.mean('x', '7h')", "b = tw.mean('x', '8h')")


def write_project(folder: Path, nodes: int) -> None:
    """Sources, views and steps: a fiftieth, all but those, and a fiftieth."""
    few = max(nodes // 50, 1)
    lines = ["import tidewheel as tw", "user = tw.entity('user', uid=int)", "def helper(x): return x + 1"]
    lines += [f"s{n} = tw.source('s{n}', 'data/*.csv', time='ts', owner='me')" for n in range(few)]
    for n in range(nodes - 2 * few):
        lines += [f"@tw.features(s{n % few}, by=user)", f"class V{n}:", "    a = tw.count('1h')"]
        lines += [f"    b = tw.mean('x', '{1 + n % 20}h')"]
    lines += [f"@tw.step\ndef step{n}(x: int) -> int:\n    return helper(x) + {n}" for n in range(few)]
    (folder / "tidewheel.toml").write_text('project = "big"\n')
    for name, text in {"big/__init__.py": "", "big/definitions.py": "\n".join(lines) + "\n"}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    rows = [f"2026-01-01T00:{n:02}:00+00:00,{n % 3},{n}" for n in range(60)]
    (folder / "data").mkdir()
    (folder / "data" / "x.csv").write_text("\n".join(["ts,uid,x", *rows]) + "\n")


def point(folder: Path, workspace: Workspace) -> int:
    """Point the environment at everything as it is, without building, which this benchmark is not about."""
    project = load_project(folder)
    survey = Surveyor(project, workspace).survey()
    pointers = {}
    with workspace.database.write():
        for node, recipe in survey.state.recipes.items():
            meta = meta_recipe(project.graph.nodes[node])
            workspace.ledger.put_recipe(node, recipe)
            workspace.ledger.put_recipe(meta_id(node), meta)
            pointers |= {node: recipe.digest, meta_id(node): meta.digest}
            now = workspace.clock()
            build = Build(recipe.digest, node, recipe.digest, b"{}", (), now, now, actor="bench", id=f"bench-{node}")
            workspace.ledger.record_build(build)
        workspace.ledger.move(ENVIRONMENT, pointers, expected=0, actor="bench", reason="benchmark")
    return len(project.graph.nodes)


def spend(work: Callable[[], object], rounds: int) -> float:
    """Wall seconds, the best of the rounds."""
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def read_raw(folder: Path) -> int:
    """The recipes of the environment's pointers, parsed, and the bytes of the data."""
    connection = sqlite3.connect(folder / ".tidewheel" / "tidewheel.db")
    query = "SELECT components FROM recipes JOIN pointers ON pointers.recipe = recipes.digest WHERE environment = ?"
    parts = sum(len(json.loads(row[0])) for row in connection.execute(query, (ENVIRONMENT,)))
    return parts + len((folder / "data" / "x.csv").read_bytes())


def main() -> int:
    """Make the project, and print seconds of each plan."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--nodes", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_project(folder, asked.nodes)
        with open_workspace(folder, None) as workspace:
            count = point(folder, workspace)
            same = spend(lambda: make_plan(load_project(folder), workspace, ENVIRONMENT), asked.rounds)
            definitions = folder / "big" / "definitions.py"
            definitions.write_text(definitions.read_text().replace(*EDITED))
            changes = len(make_plan(load_project(folder), workspace, ENVIRONMENT).changes)
            edited = spend(lambda: make_plan(load_project(folder), workspace, ENVIRONMENT), asked.rounds)
        raw = spend(lambda: read_raw(folder), asked.rounds)
    print(f"{count} nodes, load and plan, nothing changed  {same:.3f} s  {same / raw:.1f} times the raw limit of {raw:.3f} s")
    print(f"{count} nodes, load and plan, {changes} changes        {edited:.3f} s  {edited / raw:.1f} times")
    return 0


if __name__ == "__main__":
    sys.exit(main())
