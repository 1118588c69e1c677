"""``why`` of a step: what changed since it was applied, else between its last two runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tidewheel.cli import cli
from tidewheel.fingerprint.walk import Fingerprinter
from tidewheel.pipelines.definition import Step
from tidewheel.pipelines.execute import Session
from tidewheel.project.load import load_project
from tidewheel.project.open import open_workspace

STEPS = """
import tidewheel as tw

def scale(n):
    return n * RATE

RATE = 2

@tw.step
def fit(rows, alpha: float):
    return [scale(row) + alpha for row in rows]
"""


def run(root: Path, rows: list[int]) -> None:
    """One run of a pipeline that calls the step twice, and an apply."""
    project = load_project(root)
    step = next(one.definition for one in project.graph.nodes.values() if one.kind == "step")
    assert isinstance(step, Step)
    with open_workspace(root, actor="tester") as ws:
        session = Session(ws.ledger, ws.artifacts, fingerprinter=Fingerprinter(root), actor="tester")
        with session.active():
            step(rows, 0.5)
            step(rows, 0.7)
    call(root, "apply", "--yes")


def call(root: Path, *command: str) -> str:
    told = CliRunner().invoke(cli, [*command, "--project", str(root)])
    assert told.exit_code == 0, told.output
    return told.stdout


@pytest.mark.slow
def test_why_of_a_step_tells_what_changed_since_it_was_applied_and_then_between_its_runs(tmp_path: Path) -> None:
    (tmp_path / "tidewheel.toml").write_text('project = "shop"\n[workspace.local]\nonline = "memory"\n')
    file = tmp_path / "shop.py"
    file.write_text(STEPS)
    run(tmp_path, [1, 2])
    file.write_text(STEPS.replace("n * RATE", "n * RATE + 1"))
    told = json.loads(call(tmp_path, "why", "step:fit", "--json"))
    assert [(one["component"], one["where"]) for one in told["reasons"]] == [("code:shop.scale", "shop.py:4")]

    run(tmp_path, [1, 2])
    between = json.loads(call(tmp_path, "why", "fit", "--json"))
    assert between["verdict"] == "1 component differs, and gave other content"
    assert [one["component"] for one in between["reasons"]] == ["code:shop.scale"]  # and not the argument of the other call
    text = call(tmp_path, "why", "step:fit")
    assert "-     return n * RATE\n" in text
    assert "+     return n * RATE + 1\n" in text
    assert "shop.py:4" in text

    run(tmp_path, [1, 2, 3])
    assert [one["component"] for one in json.loads(call(tmp_path, "why", "step:fit", "--json"))["reasons"]] == ["arg:rows"]
    file.write_text(STEPS.replace("RATE = 2", "RATE = 3"))
    told = json.loads(call(tmp_path, "why", "step:fit", "--json"))
    assert {one["component"] for one in told["reasons"]} == {"const:shop.RATE", "code:shop.scale"}
