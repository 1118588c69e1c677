"""Sweeps: each trial once, the same points after a crash, and stopped trials."""

from __future__ import annotations

import json
import secrets
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.pipelines.workspace import COMMAND, Workspace, workspace

import tidewheel as tw
from tidewheel.artifacts.store import ArtifactStore
from tidewheel.backends.local.executor import LocalExecutor
from tidewheel.backends.optuna import open_sampler
from tidewheel.clock import system_clock
from tidewheel.errors import Conflict, Invalid, StepFailed
from tidewheel.pipelines.search import Draw, Swept
from tidewheel.runs.definition import RunStatus
from tidewheel.runs.record import Runs

FIT = """
@tw.step
def fit(rate, leaves, trial):
    mark(f"{trial.number}")
    for step in range(4):
        trial.log(loss=abs(rate - 0.3) + leaves / (step + 1))
        if trial.should_stop:
            break
    return {"leaves": leaves}
"""
LEAVES = tw.integers(1, 6)


def runs_of(ws: Workspace) -> Runs:
    return Runs(ws.database, ArtifactStore.open(ws.session.artifacts.url), system_clock)


def points(found: Swept) -> list[dict[str, object]]:
    return [dict(one.parameters) for one in found.trials]


def test_each_trial_is_a_run_and_is_not_repeated(tmp_path: Path) -> None:
    with workspace(tmp_path, FIT) as ws, ws.session.active():
        fit = ws.steps().fit
        first = tw.sweep(fit, minimize="loss", search=tw.search(6, seed=1), rate=tw.uniform(0, 1), leaves=LEAVES)
        again = tw.sweep(fit, minimize="loss", search=tw.search(6, seed=1), rate=tw.uniform(0, 1), leaves=LEAVES)
        assert again == first
        assert again.result == {"leaves": first.best.parameters["leaves"]}
        assert ws.marks == [str(number) for number in range(6)]
        more = tw.sweep(fit, minimize="loss", search=tw.search(8, seed=1), rate=tw.uniform(0, 1), leaves=LEAVES)
        assert more.trials[:6] == first.trials
        assert ws.marks == [str(number) for number in range(8)]
        record = runs_of(ws).get(first.best.run)
        assert (record.status, record.experiment) == (RunStatus.FINISHED, "fit")
        assert record.metrics == {"loss": first.best.objective}
        assert record.parameters == {name: str(value) for name, value in first.best.parameters.items()}
        assert first.best.objective == min(one.objective for one in first.trials if one.objective is not None)
        other = tw.sweep(fit, maximize="loss", search=tw.search(6, seed=2), rate=tw.uniform(0, 1), leaves=LEAVES)
        assert other.id != first.id
        assert other.best.objective == max(one.objective for one in other.trials if one.objective is not None)
    assert any(told[0].startswith("sweep fit: trial 5 finished, loss ") for told in ws.told)


def test_an_edit_or_a_file_that_changed_makes_another_sweep(tmp_path: Path) -> None:
    text = "@tw.step\ndef fit(x):\n    mark('run')\n    return float((ROOT / 'd.txt').read_text()) * x"
    with workspace(tmp_path, text) as ws, ws.session.active():
        found = []
        for content in ("1", "2", "2", "1"):
            (tmp_path / "d.txt").write_text(content)
            found.append(tw.sweep(ws.steps().fit, maximize="y", x=tw.choice([1.0, 3.0])).result)
        assert found == [3.0, 6.0, 6.0, 3.0]
        assert len(ws.marks) == 4
        ws.write(text.replace("* x", "* x + 1"))
        assert tw.sweep(ws.steps().fit, maximize="y", x=tw.choice([1.0, 3.0])).result == 4.0


@pytest.mark.slow
def test_trials_are_stopped_by_the_rule(tmp_path: Path) -> None:
    with workspace(tmp_path, FIT) as ws, ws.session.active():
        how = tw.search(12, seed=3, prune=tw.prune_median(startup=2))
        found = tw.sweep(ws.steps().fit, minimize="loss", search=how, rate=tw.uniform(0, 1), leaves=LEAVES)
        stopped = [one for one in found.trials if one.state == "stopped"]
        assert stopped and len(stopped) < 10
        assert all(len(runs_of(ws).history(one.run, "loss")) < 4 for one in stopped)
        assert found.best.state == "finished"
        finished = [one for one in found.ranked if one.state == "finished"]
        assert found.ranked[: len(finished)] == finished == sorted(finished, key=lambda one: one.objective or 0.0)


def test_a_trial_that_fails_does_not_end_the_sweep_but_all_of_them_do(tmp_path: Path) -> None:
    text = "@tw.step\ndef fit(x):\n    mark(x)\n    return 1 / x"
    with workspace(tmp_path, text) as ws, ws.session.active():
        found = tw.sweep(ws.steps().fit, minimize="y", x=tw.choice([0, 1, 2]))
        assert [one.state for one in found.trials] == ["failed", "finished", "finished"]
        assert found.trials[0].error == "ZeroDivisionError: division by zero"
        assert runs_of(ws).get(found.trials[0].run).status is RunStatus.FAILED
        with pytest.raises(StepFailed, match="all 1 trials of sweep fit failed, the first with: ZeroDivisionError"):
            tw.sweep(ws.steps().fit, minimize="y", x=tw.choice([0]))
        with pytest.raises(StepFailed, match="not a number"):
            tw.sweep(ws.steps().fit, minimize="y", x=tw.choice([float("nan")]))


def test_axes_depend_on_each_other_in_plain_python(tmp_path: Path) -> None:
    def space(draw: Draw) -> dict[str, object]:
        kind = draw("kind", tw.choice(["tree", "line"]))
        return {"kind": kind, "size": draw("depth", tw.integers(1, 2)) if kind == "tree" else 0}

    with workspace(tmp_path, "@tw.step\ndef fit(kind, size, data):\n    return size + sum(data)") as ws, ws.session.active():
        found = tw.sweep(ws.steps().fit, space, maximize="score", data=[10, 20])
        assert points(found) == [{"kind": "tree", "depth": 1}, {"kind": "tree", "depth": 2}, {"kind": "line"}]
        assert found.result == 32


def test_what_is_no_sweep_is_refused(tmp_path: Path) -> None:
    with workspace(tmp_path, "@tw.step\ndef fit(x):\n    return x") as ws, ws.session.active():
        fit = ws.steps().fit
        with pytest.raises(Invalid, match="one aim"):
            tw.sweep(fit, x=tw.integers(1, 2))
        with pytest.raises(Invalid, match="needs a space"):
            tw.sweep(fit, minimize="y", x=1)
        with pytest.raises(Invalid, match="step fit: missing a required argument: 'x'"):
            tw.sweep(fit, minimize="y", z=tw.integers(1, 2))
        with pytest.raises(Invalid, match="has no end"):
            tw.search(sampler="random")
        with pytest.raises(Invalid, match="endlessly many"):
            tw.sweep(fit, minimize="y", x=tw.uniform(0, 1))

        def moody(draw: Draw) -> dict[str, object]:
            return {"x": draw("x", tw.integers(secrets.randbelow(10**9), 10**10))}

        tw.sweep(fit, moody, minimize="y", search=tw.search(2, sampler="random"))
        with pytest.raises(Conflict, match="trial 0 of sweep fit was drawn as"):
            tw.sweep(fit, moody, minimize="y", search=tw.search(2, sampler="random"))


@pytest.fixture
def executor(tmp_path: Path) -> Iterator[LocalExecutor]:
    opened = LocalExecutor(COMMAND, folder=tmp_path / "jobs", workers=2)
    yield opened
    opened.close()


@pytest.mark.slow
def test_trials_run_on_workers_and_find_the_same_as_here(tmp_path: Path, executor: LocalExecutor) -> None:
    text = (
        FIT
        + "    \n"
        + textwrap.dedent("""
    @tw.step
    def dies(x):
        if x == 2:
            os.kill(os.getpid(), 9)
        return x
    """)
    )
    found = {}
    for name, used in (("here", None), ("there", executor)):
        (tmp_path / name).mkdir()
        with workspace(tmp_path / name, text, executor=used) as ws, ws.session.active():
            how = tw.search(6, seed=5, sampler="random", parallel=2)
            found[name] = tw.sweep(ws.steps().fit, minimize="loss", search=how, rate=tw.uniform(0, 1), leaves=LEAVES)
            assert sorted(ws.marks) == [str(number) for number in range(6)]
            if used is not None:
                killed = tw.sweep(ws.steps().dies, maximize="y", x=tw.integers(1, 3))
                assert [one.state for one in killed.trials] == ["finished", "failed", "finished"]
    assert points(found["here"]) == points(found["there"])
    assert [one.objective for one in found["here"].trials] == [one.objective for one in found["there"].trials]


DRIVER = """
import sys, json
sys.path.insert(0, {repository!r})
from pathlib import Path
from tests.pipelines.workspace import COMMAND, Workspace
from tidewheel.backends.local.executor import LocalExecutor
from tidewheel.backends.optuna import open_sampler
import tidewheel as tw
root = Path({root!r})
sys.path.insert(0, str(root))
executor = LocalExecutor(COMMAND, workers=2) if {workers} else None
ws = Workspace(root, (root / "steps.txt").read_text(), executor=executor)
ws.session.samplers = lambda name: open_sampler
with ws.session.active():
    how = tw.search(12, sampler="optuna", seed=4, parallel={parallel})
    found = tw.sweep(ws.steps().fit, minimize="loss", search=how, rate=tw.log_uniform(1e-3, 1), leaves=tw.integers(1, 6))
print(json.dumps([[one.state, dict(one.parameters), one.objective] for one in found.trials]))
if executor is not None:
    executor.close()
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [False, True])
def test_a_sweep_whose_driver_was_killed_goes_on_with_the_same_points(tmp_path: Path, workers: bool) -> None:
    slow = FIT.replace("for step", "time.sleep(0.1)\n    for step")
    slow = slow.replace("return {", "mark(f'end-{trial.number}')\n    return {")
    (root := tmp_path / "killed").mkdir()
    (root / "steps.txt").write_text(slow)
    parallel = 2 if workers else 1
    repository = str(Path(__file__).parents[2])
    script = DRIVER.format(repository=repository, root=str(root), workers=workers, parallel=parallel)
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.DEVNULL)
    marks = root / "marks.txt"
    deadline = time.monotonic() + 60
    while not (marks.exists() and marks.read_text().count("end-") >= 4):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(1.0)  # workers of a killed driver end by themselves
    before = marks.read_text().split()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    ended = {mark[4:] for mark in before if mark.startswith("end-")}
    repeated = [mark for mark in marks.read_text().split()[len(before) :] if mark in ended]
    assert 4 <= len(ended) < 12
    assert len(repeated) <= parallel  # a trial is at its end a moment before that is written down

    (tmp_path / "whole").mkdir()
    with workspace(tmp_path / "whole", FIT) as ws, ws.session.active():
        ws.session.samplers = lambda name: open_sampler
        how = tw.search(12, sampler="optuna", seed=4, parallel=parallel)
        whole = tw.sweep(ws.steps().fit, minimize="loss", search=how, rate=tw.log_uniform(1e-3, 1), leaves=LEAVES)
    assert json.loads(done.stdout) == [["finished", dict(one.parameters), one.objective] for one in whole.trials]


@pytest.mark.slow
def test_points_by_optuna_are_the_same_when_more_are_asked_for(tmp_path: Path) -> None:
    with workspace(tmp_path, FIT) as ws, ws.session.active():
        ws.session.samplers = lambda name: open_sampler
        found = [
            tw.sweep(
                ws.steps().fit,
                minimize="loss",
                search=tw.search(count, sampler="optuna", prune=tw.prune_halving(keep_one_of=2)),
                rate=tw.uniform(0, 1),
                leaves=LEAVES,
            )
            for count in (12, 16)
        ]
        assert found[1].trials[:12] == found[0].trials
        assert len(ws.marks) == 16
