"""Edits made by somebody who wants a stale answer: a cached run must answer what a run without a cache answers.

Each case is a project whose step ``run`` is called in a process of its own, then edited, then called again in another one.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fingerprint import edits, edits_again, edits_of_files
from tests.fingerprint.edits import Case

from tidewheel.database.open import Database

pytestmark = pytest.mark.slow

NIGHTLY: dict[str, Case] = {**edits.CASES, **edits_of_files.CASES}
CASES: dict[str, Case] = {**NIGHTLY, **edits_again.CASES}


class Runner:
    """Runs of steps, each in a process of its own."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.fingerprint.forking"]
        self.process = subprocess.Popen(
            command, cwd=Path(__file__).parents[2], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, root: Path, *, cached: bool) -> tuple[object, bool]:
        """Value of the step, and whether it ran."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([str(root), cached]) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert answer is not None, "the run failed; its traceback is on stderr"
        value, ran = answer
        return value, ran

    def close(self) -> None:
        """End it."""
        self.process.communicate()


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    """The process that forks."""
    started = Runner()
    yield started
    started.close()


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


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow if name in NIGHTLY else ()) for name in CASES])
def test_a_cached_run_answers_what_a_fresh_one_does(tmp_path: Path, empty_ledger: Path, runner: Runner, name: str) -> None:
    case = CASES[name]
    _write(tmp_path, case.files)
    shutil.copy(empty_ledger, tmp_path / ".tidewheel" / "ledger.db")
    first, ran = runner.run(tmp_path, cached=True)
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
    wanted, _ = runner.run(tmp_path, cached=False)
    assert wanted != first, "the edit of this case must change the answer"
    again, _ = runner.run(tmp_path, cached=True)
    assert again == wanted


@pytest.mark.parametrize("name", edits_again.UNTRACKED)
def test_what_is_not_the_same_twice_is_not_kept(tmp_path: Path, empty_ledger: Path, runner: Runner, name: str) -> None:
    _write(tmp_path, {"steps.py": edits_again.UNTRACKED[name]})
    shutil.copy(empty_ledger, tmp_path / ".tidewheel" / "ledger.db")
    assert [runner.run(tmp_path, cached=True)[1] for _ in range(2)] == [True, True]


@pytest.mark.parametrize("name", edits_again.HITS)
def test_what_cannot_change_the_answer_runs_nothing(tmp_path: Path, empty_ledger: Path, runner: Runner, name: str) -> None:
    case = edits_again.HITS[name]
    _write(tmp_path, case.files)
    shutil.copy(empty_ledger, tmp_path / ".tidewheel" / "ledger.db")
    first, ran = runner.run(tmp_path, cached=True)
    assert ran
    path = tmp_path / case.edited
    text = path.read_text()
    assert case.new is not None
    assert case.old in text
    path.write_text(text.replace(case.old, case.new))
    assert runner.run(tmp_path, cached=True) == (first, False)


COMPILED = """
#include <Python.h>
static PyObject *answer(PyObject *self, PyObject *none) { return PyLong_FromLong(ANSWER); }
static PyMethodDef methods[] = {{"answer", answer, METH_NOARGS, ""}, {0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "fast", 0, -1, methods};
PyMODINIT_FUNC PyInit_fast(void) { return PyModule_Create(&module); }
int plain(void) { return ANSWER; }
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
@pytest.mark.parametrize(
    "text",
    [
        "from pkg.fast import answer\ndef run(): return answer()",
        "import pkg.fast\nF = [pkg.fast.answer]\ndef run(): return F[0]()",
        "import ctypes, pkg.fast\nL = ctypes.CDLL(pkg.fast.__file__)\ndef run(): return L.plain()",
    ],
)
def test_what_the_project_has_compiled_is_followed(tmp_path: Path, empty_ledger: Path, runner: Runner, text: str) -> None:
    _write(tmp_path, {"steps.py": text, "pkg/__init__.py": ""})
    shutil.copy(empty_ledger, tmp_path / ".tidewheel" / "ledger.db")
    found = []
    for answer in (1, 1, 2):
        (tmp_path / "fast.c").write_text(COMPILED)
        target = tmp_path / "pkg" / f"fast{sysconfig.get_config_var('EXT_SUFFIX')}"
        command = [
            "cc",
            "-shared",
            "-fPIC",
            f"-DANSWER={answer}",
            "-I",
            sysconfig.get_path("include"),
            "fast.c",
            "-o",
            str(target),
        ]
        subprocess.run(command, cwd=tmp_path, check=True)
        found.append(runner.run(tmp_path, cached=True))
    assert found == [("1", True), ("1", False), ("2", True)]
