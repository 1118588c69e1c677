"""What steps print is kept by step and try, wherever they run and whoever is killed, and nobody who looks on stops them."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.pipelines.workspace import COMMAND, workspace

from tidewheel.artifacts.store import ArtifactStore
from tidewheel.backends.local.executor import LocalExecutor
from tidewheel.clock import system_clock
from tidewheel.pipelines.calls import CallLog
from tidewheel.pipelines.definition import map as tw_map
from tidewheel.pipelines.printing import Printing
from tidewheel.runs.record import Runs

pytestmark = pytest.mark.slow

STEPS = """
import logging, signal, subprocess, sys

def speak(x):
    print("out", x)
    print("err", x, file=sys.stderr)
    logging.getLogger("steps").warning("log %s", x)

@tw.step(retries=1)
def talk(x):
    speak(x)
    if x == 1 and not (ROOT / "tried").exists():
        (ROOT / "tried").touch()
        raise ValueError("no such zone")
    return x

@tw.step
def below(x):
    subprocess.run(["sh", "-c", "echo child; echo child-err >&2"], check=True)
    os.write(1, b"as C does\\n")
    sys.stdout.buffer.write(b"bytes\\n")
    return x

@tw.step(retries=1)
def dies(x):
    print("last words", end="")
    if not (ROOT / "died").exists():
        (ROOT / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return x

@tw.step
def floods(x):
    sys.stdout.write("begin\\n" + "x" * (30 << 20) + "\\nend\\n")
    return x

@tw.step
def silent(x):
    return x
"""


@pytest.fixture(params=["here", "workers"])
def executor(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LocalExecutor | None]:
    if request.param == "here":
        yield None
        return
    opened = LocalExecutor(COMMAND, folder=tmp_path / "jobs", workers=2)
    yield opened
    opened.close()


def test_all_that_a_step_prints_is_kept_by_call_and_try_and_shown_with_its_name(
    tmp_path: Path, executor: LocalExecutor | None
) -> None:
    shown: list[str] = []
    handler = logging.StreamHandler(sys.stderr)  # as logging.basicConfig() makes it, before there is a run
    logging.root.addHandler(handler)
    with workspace(tmp_path, STEPS, executor=executor) as ws:
        runs = Runs(ws.database, ArtifactStore.open("memory:///"), system_clock, logs=tmp_path / "logs")
        steps = ws.steps()
        with runs.start("r", experiment="e", environment_lock={}) as run:
            calls, printing = CallLog(ws.database, run.id, system_clock), Printing(runs.logs, run.id, show=shown.append)
            with ws.session.active(calls=calls, printing=printing):
                assert tw_map(steps.talk, x=[0, 1]) == [0, 1]
                assert steps.silent(1) == 1
                assert steps.floods(1) == 1
                if executor is not None:
                    assert steps.below(1) == 1
                    assert steps.dies(1) == 1
                print("not a step's")
            assert {log.step for log in run.printed()} >= {"talk", "floods"}
    told = {(log.step, log.call, log.attempt): log.text() for log in runs.printed(run.id)}
    assert told["talk", 0, 1].split("\n") == ["out 0", "err 0", "log 0", ""]
    assert told["talk", 1, 1].startswith("out 1\nerr 1\nlog 1\nTraceback")
    assert told["talk", 1, 1].endswith("ValueError: no such zone\n")
    assert told["talk", 1, 2] == "out 1\nerr 1\nlog 1\n"
    flood = told["floods", 3, 1]
    assert flood.startswith("begin\nxxx")
    assert flood.endswith("xxx\nend\n")
    assert "bytes were printed here and not kept" in flood
    assert len(flood) < 11 << 20
    assert all(step != "silent" for step, _, _ in told)
    assert "not a step's" not in str(told).replace("xxx", "")
    if executor is not None:
        assert sorted(told["below", 4, 1].splitlines()) == ["as C does", "bytes", "child", "child-err"]
        assert told["dies", 5, 1] == "last words"
        assert told["dies", 5, 2] == "last words"
    for line in ("talk | out 0", "talk#1 | err 1", "talk#1 | log 1"):
        assert line in shown
    assert [log.attempt for log in runs.printed(run.id, "talk", attempt=2)] == [2]
    logging.root.removeHandler(handler)
    assert handler.stream is sys.stderr


def test_a_terminal_that_stands_still_stops_no_step(tmp_path: Path, executor: LocalExecutor | None) -> None:
    never = threading.Event()
    with workspace(tmp_path, STEPS, executor=executor) as ws:
        runs = Runs(ws.database, ArtifactStore.open("memory:///"), system_clock, logs=tmp_path / "logs")
        with runs.start("r", experiment="e", environment_lock={}) as run:
            calls = CallLog(ws.database, run.id, system_clock)
            printing = Printing(runs.logs, run.id, show=lambda line: [never.wait(60)].clear())
            with ws.session.active(calls=calls, printing=printing):
                assert ws.steps().floods(1) == 1
        assert runs.printed(run.id, "floods")[0].text(tail=1) == "end\n"
        never.set()


def test_a_driver_that_kills_itself_has_kept_its_last_words(tmp_path: Path) -> None:
    (tmp_path / "tidewheel.toml").write_text('project = "weeks"\n')
    (tmp_path / "weeks.py").write_text(
        textwrap.dedent(
            """
            import os, signal
            import tidewheel as tw

            @tw.step(reads=[])
            def dies(x: int) -> int:
                print("first")
                print("last words", end="")
                os.kill(os.getpid(), signal.SIGKILL)

            @tw.pipeline
            def weekly() -> int:
                return dies(1)
            """
        )
    )
    ended = subprocess.run([sys.executable, "-m", "tidewheel", "run", "weekly"], cwd=tmp_path, capture_output=True, check=False)
    assert ended.returncode == -9
    followed = subprocess.run(
        [sys.executable, "-m", "tidewheel", "logs", "last", "--follow", "--json"], cwd=tmp_path, capture_output=True, check=True
    )
    lines = [json.loads(line) for line in followed.stdout.splitlines()]
    assert [(each["step"], each["attempt"], each["line"]) for each in lines] == [
        ("dies", 1, "first"),
        ("dies", 1, "last words"),
    ]
