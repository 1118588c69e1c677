"""An error of a definition, of data, or of the project's own code says where to look: file and line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tidewheel.errors import Invalid, MissingColumns, StepFailed, TidewheelError
from tidewheel.ledger.definition import NodeId
from tidewheel.project.apply import apply_plan
from tidewheel.project.load import load_project
from tidewheel.project.open import open_workspace
from tidewheel.project.run_pipeline import run_pipeline
from tidewheel.project.survey import make_plan

pytestmark = pytest.mark.slow

DEFINITIONS = """\
import time

import tidewheel as tw

user = tw.entity("user", uid=int)
events = tw.source("events", "data/*.csv", time="ts")


@tw.features(events, by=user)
class Spent:
    spent_7d = tw.sum("amount", "7d")


@tw.step(reads=[])
def half(n: int) -> float:
    return n / 0


@tw.step(reads=[], timeout="1s")
def sleep(n: int) -> int:
    time.sleep(9)
    return n


@tw.pipeline
def divide(n: int) -> float:
    return 1 / n


@tw.pipeline
def halve(n: int) -> float:
    return half(n)


@tw.pipeline
def wait(n: list[int]) -> int:
    return sleep(n[0])
"""


def write(root: Path, name: str, *edits: tuple[str, str]) -> None:
    text = DEFINITIONS
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    (root / "tidewheel.toml").write_text(f'project = "{name}"\n[workspace.local]\nonline = "memory"\n')
    (root / f"{name}.py").write_text(text)
    (root / "data").mkdir(exist_ok=True)
    (root / "data" / "events.csv").write_text("ts,uid,amount,kind\n2026-01-01T10:00:00Z,1,2.5,a\n")


@pytest.mark.parametrize(
    ("edit", "place"),
    [
        (('"7d")', '"7days")'), 11),
        (('"7d")', '"7d", hop="7h")'), 11),
        (("uid=int", "uid=float"), 5),
        (("uid=int", "uid=str"), 9),
        (('"amount"', '"amout"'), 9),
        (('"amount"', '"kind"'), 9),
        (("uid=int", "user_id=int"), 9),
    ],
    ids=["window", "hop", "float_key", "key_type", "column", "type", "key"],
)
def test_a_wrong_definition_is_told_at_plan_with_file_and_line(
    tmp_path: Path, request: pytest.FixtureRequest, edit: tuple[str, str], place: int
) -> None:
    name = f"placed_{request.node.callspec.id}"
    write(tmp_path, name, edit)
    with open_workspace(tmp_path) as workspace, pytest.raises(TidewheelError) as caught:
        make_plan(load_project(tmp_path), workspace, "dev")
    assert re.match(rf"{name}\.py:{place}\b", caught.value.where or ""), caught.value


def test_a_column_that_goes_after_the_plan_is_told_with_the_view_s_place(tmp_path: Path) -> None:
    write(tmp_path, "placed_late")
    with open_workspace(tmp_path) as workspace:
        project = load_project(tmp_path)
        plan = make_plan(project, workspace, "dev")
        apply_plan(project, workspace, plan)
        (tmp_path / "data" / "events.csv").write_text("ts,uid,spent\n2026-01-01T10:00:00Z,1,2.5\n")
        with pytest.raises(MissingColumns) as caught:
            make_plan(project, workspace, "dev")
    assert caught.value.where == "placed_late.py:9 (amount)"


@pytest.mark.parametrize(
    ("pipeline", "given", "kind", "line", "told"),
    [
        ("divide", "0", Invalid, 27, "pipeline:divide failed: ZeroDivisionError: division by zero"),
        ("halve", "0", StepFailed, 16, "step half failed: ZeroDivisionError"),
        ("wait", "[1]", StepFailed, 21, "longer than its limit of 1s"),
        ("wait", '[1, "a"]', Invalid, 35, r"Expected `int`, got `str` - at `\$\[1\]`"),
    ],
    ids=["body", "step", "limit", "argument"],
)
def test_what_a_pipeline_raises_is_told_with_the_line_of_the_project(
    tmp_path: Path, pipeline: str, given: str, kind: type[TidewheelError], line: int, told: str
) -> None:
    write(tmp_path, f"placed_{pipeline}")
    project = load_project(tmp_path)
    declaration = project.graph.nodes[NodeId(f"pipeline:{pipeline}")]
    with open_workspace(tmp_path) as workspace, pytest.raises(kind, match=told) as caught:
        run_pipeline(workspace, declaration, given={"n": given}, environment="dev")
    assert (caught.value.where or "").endswith(f"placed_{pipeline}.py:{line}"), caught.value


def test_a_model_whose_function_raises_is_told_with_its_line_and_no_frames(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tidewheel.cli import main

    monkeypatch.chdir(tmp_path)
    write(tmp_path, "placed_model")
    with (tmp_path / "placed_model.py").open("a") as file:
        file.write(
            'inputs = tw.service("inputs", Spent)\n'
            'rows = tw.training_set("rows", spine=tw.spine(events, time="ts"), label="amount", features=inputs,'
            ' split=tw.by_time(test="1d"))\n'
            '@tw.model("spending", data=rows)\ndef spending(train, test, run):\n    raise ValueError("no rows")\n'
        )
    (tmp_path / "data" / "events.csv").write_text(
        "ts,uid,amount,kind\n" + "".join(f"2026-01-{day:02}T10:00:00Z,1,2.5,a\n" for day in range(1, 20))
    )
    with pytest.raises(SystemExit):
        main(["apply", "--yes"])
    told = capsys.readouterr().err
    assert "error: model:spending failed: ValueError: no rows" in told
    assert "placed_model.py:42" in told
    assert "Traceback" not in told
