"""Importing is cheap: a budget in modules always, in milliseconds where the machine is quiet enough to ask."""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = ("pandas", "pyarrow", "duckdb", "sklearn", "fastapi", "numpy", "sqlalchemy", "starlette", "lightgbm", "polars")
PROBE = """
import json, sys
{statement}
print(json.dumps([name for name in {heavy!r} if name in sys.modules]))
"""


def loaded_by(statement: str) -> list[str]:
    code = PROBE.format(statement=statement, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found: list[str] = json.loads(done.stdout)
    return found


def test_import_loads_no_heavy_library() -> None:
    assert loaded_by("import tidewheel as tw") == []


def test_every_public_name_loads_no_heavy_library() -> None:
    light = (
        "import tidewheel as tw\nfor name in tw.__all__:\n"
        "    name in ('Table', 'Workspace', 'open_workspace') or getattr(tw, name)"
    )
    assert loaded_by(light) == []


def test_help_loads_no_heavy_library() -> None:
    assert loaded_by("import tidewheel.cli") == []


def test_a_supervisor_of_workers_loads_no_heavy_library() -> None:
    assert loaded_by("import tidewheel.project.supervise") == []


def test_a_server_loads_no_engine_no_library_of_models_and_nothing_that_builds() -> None:
    code = "import sys, tidewheel.web.assemble, tidewheel.web.serve\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {name.partition(".")[0] for name in loaded}.isdisjoint(
        {"duckdb", "alembic", "rich", "pandas", "sklearn", "lightgbm", "skops", "polars", "matplotlib", "pyspark", "sqlglot"}
    )
    builds = ("attend", "apply", "build", "retrain", "backfill", "run_pipeline", "explain")
    assert loaded.isdisjoint(f"tidewheel.project.{name}" for name in builds)
    assert loaded.isdisjoint({"tidewheel.pipelines.execute", "tidewheel.datasets.build", "tidewheel.features.retrieve"})
