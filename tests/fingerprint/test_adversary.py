"""Edits made by somebody who wants a stale answer: a cached run must answer what a run without a cache answers.

Each case is a project whose step ``run`` is called in a process of its own, then edited, then called again in another one.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import sys
import textwrap
from pathlib import Path

import pytest
from tests.fingerprint import edits, edits_of_files
from tests.fingerprint.edits import Case

from tidewheel.artifacts.store import ArtifactStore
from tidewheel.clock import system_clock
from tidewheel.database.open import Database
from tidewheel.fingerprint.walk import Fingerprinter
from tidewheel.ledger.record import Ledger
from tidewheel.pipelines.definition import Step, step
from tidewheel.pipelines.execute import Session

CASES: dict[str, Case] = {**edits.CASES, **edits_of_files.CASES}


def _run(root: Path, *, cached: bool) -> tuple[object, bool]:
    """Value of the step in a process of its own, and whether it ran."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        code = 1
        signal.alarm(60)
        try:
            answer = _child(root, cached)
            with os.fdopen(write, "w") as pipe:
                json.dump(answer, pipe)
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    assert status == 0, "the process failed; its traceback is on stderr"
    value, ran = json.loads(text)
    return value, ran


def _child(root: Path, cached: bool) -> list[object]:
    import traceback

    sys.dont_write_bytecode = True
    os.chdir(root)
    sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    try:
        run = importlib.import_module("steps").run
        if not cached:
            return [repr(run()), True]
        told: list[str] = []
        session = Session(
            Ledger(Database.open(f"sqlite:///{root}/.tidewheel/ledger.db"), system_clock),
            ArtifactStore.open(f"file://{root}/.tidewheel/artifacts"),
            fingerprinter=Fingerprinter(root),
            actor="ann",
            progress=lambda what, done, of: told.append(what),
        )
        made = run if isinstance(run, Step) else step(run)
        with session.active():
            value = made()
        return [repr(value), not any(line.endswith("known") for line in told)]
    except BaseException:
        traceback.print_exc()
        raise


def _write(root: Path, files: dict[str, str]) -> None:
    (root / ".tidewheel").mkdir(exist_ok=True)
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text.startswith("#sqlite"):
            _sqlite(path, text.split()[1])
        else:
            path.write_text(textwrap.dedent(text))


def _sqlite(path: Path, value: str) -> None:
    import sqlite3

    connection = sqlite3.connect(path)
    connection.executescript(f"DROP TABLE IF EXISTS t; CREATE TABLE t (a); INSERT INTO t VALUES ({value})")
    connection.close()


@pytest.fixture(scope="module")
def empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with its tables, to copy: making them takes longer than a case."""
    path = tmp_path_factory.mktemp("ledger") / "ledger.db"
    Database.open(f"sqlite:///{path}").close()
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_cached_run_answers_what_a_fresh_one_does(tmp_path: Path, empty_ledger: Path, name: str) -> None:
    case = CASES[name]
    _write(tmp_path, case.files)
    shutil.copy(empty_ledger, tmp_path / ".tidewheel" / "ledger.db")
    first, ran = _run(tmp_path, cached=True)
    assert ran
    path = tmp_path / case.edited
    if case.new is None:
        path.unlink()
    elif case.files[case.edited].startswith("#sqlite"):
        _sqlite(path, case.new)
    else:
        text = path.read_text()
        assert case.old in text
        path.write_text(text.replace(case.old, case.new))
    wanted, _ = _run(tmp_path, cached=False)
    assert wanted != first, "the edit of this case must change the answer"
    again, _ = _run(tmp_path, cached=True)
    assert again == wanted
