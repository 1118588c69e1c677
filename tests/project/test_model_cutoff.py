"""A model is trained again when what it learns from or reads has changed, and not when only what lies behind that has."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidewheel.project.apply import apply_plan
from tidewheel.project.load import load_project
from tidewheel.project.open import Workspace, open_workspace
from tidewheel.project.survey import make_plan

DEFINITIONS = """
import json
from pathlib import Path

import tidewheel as tw

shop = tw.entity("shop", shop_id=int)
visits = tw.source("visits", "data/visits.csv", time="t")
asked = tw.source("asked", "data/asked.csv", time="t")

@tw.features(visits, by=shop)
class Pace:
    seen = tw.sum("x", "1d")

service = tw.service("service", Pace)
rides = tw.training_set("rides", spine=tw.spine(asked, time="t"), label="y", features=service, split=tw.by_time(test="1d"))

@tw.model("eta", data=rides)
def eta(train, test, run):
    from sklearn.linear_model import Ridge
    return Ridge(alpha=json.loads(Path("alpha.json").read_text())).fit(train.x, train.y)
"""


def _write(path: Path, rows: list[list[object]]) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def _visits(last: float, other: float) -> list[list[object]]:
    """Visits of shops 0 to 2, which are asked for, and of shop 7, which is not."""
    rows: list[list[object]] = [["t", "shop_id", "x"]]
    rows += [[f"2026-01-{n // 24 + 1:02}T{n % 24:02}:30:00Z", n % 3, n * 1.5] for n in range(95)]
    return [*rows, ["2026-01-04T23:30:00Z", 2, last], ["2026-01-02T12:15:00Z", 7, other]]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    (tmp_path / "tidewheel.toml").write_text('project = "made"\n[workspace.local]\nonline = "memory"\n')
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "__init__.py").touch()
    (tmp_path / "made" / "definitions.py").write_text(DEFINITIONS)
    (tmp_path / "alpha.json").write_text("1.0")
    _write(tmp_path / "data" / "visits.csv", _visits(1.0, 1.0))
    asked: list[list[object]] = [["t", "shop_id", "y"]]
    asked += [[f"2026-01-{n // 24 + 1:02}T{n % 24:02}:45:00Z", n % 3, n] for n in range(24, 96)]
    _write(tmp_path / "data" / "asked.csv", asked)
    monkeypatch.chdir(tmp_path)
    with open_workspace(tmp_path, actor="tester") as opened:
        yield opened


def _apply(workspace: Workspace) -> set[str]:
    """Nodes that were built; afterwards nothing is left to do."""
    project = load_project(workspace.root)
    applied = apply_plan(project, workspace, make_plan(project, workspace, "dev"))
    assert make_plan(project, workspace, "dev").empty
    return {str(step.node) for step in applied.steps if step.built}


def test_other_source_rows_behind_the_same_training_rows_train_no_model(workspace: Workspace) -> None:
    assert "model:eta" in _apply(workspace)
    _write(workspace.root / "data" / "visits.csv", _visits(1.0, 99.0))
    assert _apply(workspace) == {"source:visits", "view:Pace", "training_set:rides"}
    _write(workspace.root / "data" / "visits.csv", _visits(99.0, 99.0))
    assert "model:eta" in _apply(workspace), "the last row is one that it learns from or is judged by"
    assert len(workspace.registry.list("eta")) == 2


def test_a_file_that_the_models_function_reads_trains_it_again(workspace: Workspace) -> None:
    _apply(workspace)
    (workspace.root / "alpha.json").write_text("9.0")
    changed = make_plan(load_project(workspace.root), workspace, "dev").changes
    assert [(str(one.node), one.reasons[0].component) for one in changed] == [("model:eta", "read:alpha.json")]
    assert _apply(workspace) == {"model:eta"}
    (workspace.root / "alpha.json").write_text("1.0")
    assert _apply(workspace) == set(), "it is found from before"
    assert len(workspace.registry.list("eta")) == 2
