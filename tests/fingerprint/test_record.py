"""Reads are recorded while a function runs, and verified later."""

from __future__ import annotations

import importlib.resources
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from tidewheel.fingerprint.reads import Read
from tidewheel.fingerprint.record import recording
from tidewheel.fingerprint.verify_reads import verify


def test_files_listings_and_variables_are_recorded_and_verified(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    file = tmp_path / "data" / "a.csv"
    file.write_text("1")
    with recording(tmp_path) as reads:
        file.read_text()
        list((tmp_path / "data").iterdir())
        os.environ.get("TW_ABSENT")
    assert [read.component for read in reads] == ["env:TW_ABSENT", "read:data/a.csv", "read:data/"]
    assert verify(list(reads), tmp_path) == []
    file.write_text("22")
    assert [read.component for read in verify(list(reads), tmp_path)] == ["read:data/a.csv"]
    (tmp_path / "data" / "b.csv").write_text("1")
    assert [read.component for read in verify(list(reads), tmp_path)] == ["read:data/a.csv", "read:data/"]


def test_a_file_that_is_absent_is_a_read_too(tmp_path: Path) -> None:
    with recording(tmp_path) as reads:
        assert not _readable(tmp_path / "maybe.txt")
    assert list(reads) == [Read("file", "maybe.txt", None)]
    (tmp_path / "maybe.txt").write_text("here now")
    assert len(verify(list(reads), tmp_path)) == 1


def test_what_the_run_writes_itself_is_no_input(tmp_path: Path) -> None:
    with recording(tmp_path) as reads:
        (tmp_path / "out.txt").write_text("x")
        (tmp_path / "out.txt").read_text()
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "a").write_text("x")
            list(Path(folder).iterdir())
    assert [read for read in reads if read.kind != "env"] == []


def test_a_file_changed_under_the_runs_hands_is_unstable(tmp_path: Path) -> None:
    (tmp_path / "state.txt").write_text("1")
    with recording(tmp_path) as reads:
        text = (tmp_path / "state.txt").read_text()
        (tmp_path / "state.txt").write_text(text + "1")
    assert reads.unstable == ["state.txt"]


def test_reads_in_threads_of_the_run_are_recorded(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    with recording(tmp_path) as reads:
        thread = threading.Thread(target=(tmp_path / "a").read_text)
        thread.start()
        thread.join()
    assert [read.name for read in reads] == ["a"]


def test_imported_source_is_no_read_but_a_package_resource_is(tmp_path: Path) -> None:
    package = tmp_path / "respkg"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "words.txt").write_text("a b")
    sys.path.insert(0, str(tmp_path))
    try:
        with recording(tmp_path) as reads:
            importlib.resources.files("respkg").joinpath("words.txt").read_text()
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("respkg", None)
    assert [read.name for read in reads if read.kind == "file"] == ["respkg/words.txt"]


def test_nothing_is_recorded_outside_of_the_block(tmp_path: Path) -> None:
    with recording(tmp_path) as reads:
        pass
    os.environ.get("HOME")
    assert len(reads) == 0
    assert type(os.environ).__name__ == "_Environ"


def _readable(path: Path) -> bool:
    try:
        path.read_text()
    except FileNotFoundError:
        return False
    return True


def test_what_is_asked_about_a_path_is_recorded_and_what_the_run_makes_is_not(tmp_path: Path) -> None:
    (tmp_path / "there.txt").write_text("one")
    with recording(tmp_path) as reads:
        assert os.path.exists(tmp_path / "there.txt")  # noqa: PTH110 - the point
        assert not (tmp_path / "absent.txt").is_file()
        (tmp_path / "out").mkdir(parents=True, exist_ok=True)
        os.makedirs(tmp_path / "out" / "deep", exist_ok=True)  # noqa: PTH103 - the point
        (tmp_path / "out" / "deep" / "x.txt").write_text("made")
    assert [read.component for read in reads] == ["read:absent.txt?", "read:there.txt?"]
    assert verify(list(reads), tmp_path) == []
    (tmp_path / "there.txt").write_text("two")
    assert verify(list(reads), tmp_path) == [], "of one size: nobody has read what is in it"
    (tmp_path / "absent.txt").write_text("")
    assert [read.name for read in verify(list(reads), tmp_path)] == ["absent.txt"]


def test_a_file_that_is_written_twice_in_one_tick_of_the_clock_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    now = time.time_ns()
    found = []
    for text in ("one", "two"):
        path.write_text(text)
        os.utime(path, ns=(now, now))
        with recording(tmp_path) as reads:
            path.read_text()
        found.append(list(reads))
    assert found[0] != found[1]
    assert verify(found[1], tmp_path) == []


def test_a_copy_that_keeps_size_and_time_is_another_file(tmp_path: Path) -> None:
    path, long_ago = tmp_path / "a.txt", 1_000_000_000 * 10**9
    path.write_text("one")
    os.utime(path, ns=(long_ago, long_ago))
    with recording(tmp_path) as reads:
        path.read_text()
    path.write_text("two")
    os.utime(path, ns=(long_ago, long_ago))
    assert [read.name for read in verify(list(reads), tmp_path)] == ["a.txt"]


@pytest.mark.parametrize("asking", ["a library", "the project"])
def test_what_is_installed_is_a_read_where_the_project_asks_for_it(tmp_path: Path, asking: str) -> None:
    installed = tmp_path / "site-packages"
    (installed / "other-1.2.dist-info").mkdir(parents=True)
    (installed / "other-1.2.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.2\n")
    project = tmp_path / "project"
    project.mkdir()
    home = installed if asking == "a library" else project
    (home / "asks.py").write_text("import importlib.metadata\ndef ask(): return importlib.metadata.version('other')\n")
    code = (
        "import sys; from pathlib import Path; from tidewheel.fingerprint.record import recording\n"
        "from asks import ask\n"
        "with recording(Path('.')) as reads:\n    assert ask() == '1.2'\n"
        "print(*(f'{read.kind}:{Path(read.name).name}' for read in reads))"
    )
    environment = os.environ | {"PYTHONPATH": f"{project}:{installed}"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project, env=environment, capture_output=True, text=True, check=True
    )
    found = done.stdout.split()
    assert ("file:METADATA" in found) == (asking == "the project")
    assert asking == "the project" or not found
    assert not any("python3" in one for one in found), "Python's own folders are no reads"
