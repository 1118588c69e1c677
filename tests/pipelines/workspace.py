"""A project with a workspace, for tests of sessions: files on disk, steps that leave a mark when they run."""

from __future__ import annotations

import importlib
import sqlite3
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import sqlalchemy as sa

from tidewheel.artifacts.store import ArtifactStore
from tidewheel.clock import system_clock
from tidewheel.database.open import Database
from tidewheel.fingerprint.walk import Fingerprinter
from tidewheel.ledger.record import Ledger
from tidewheel.pipelines.execute import Session
from tidewheel.ports.executor import Executor

COMMAND = [sys.executable, "-m", "tidewheel.pipelines.worker"]

STEPS = """
import os, pathlib, time
import tidewheel.pipelines.definition as tw

ROOT = pathlib.Path(__file__).parent

def mark(name):
    # Not through open(), which would be recorded as a read of the step.
    number = os.open(ROOT / "marks.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(number, f"{name}\\n".encode())
    os.close(number)
"""


class Workspace:
    """One project folder with its ledger and artifacts, as one process sees it."""

    def __init__(self, root: Path, steps: str, *, executor: Executor | None = None) -> None:
        self.root = root
        (root / ".tidewheel").mkdir(parents=True, exist_ok=True)
        self.write(steps)
        self.database = Database.open(f"sqlite:///{root / '.tidewheel' / 'tidewheel.db'}")
        self.told: list[tuple[str, int, int | None]] = []
        self.session = Session(
            Ledger(self.database, system_clock),
            ArtifactStore.open(f"file://{root / '.tidewheel' / 'artifacts'}"),
            fingerprinter=Fingerprinter(root),
            actor="test",
            executor=executor,
            progress=lambda what, done, of: self.told.append((what, done, of)),
        )

    def write(self, steps: str) -> None:
        """Write the module of steps."""
        (self.root / "pipeline_steps.py").write_text(STEPS + textwrap.dedent(steps))

    def steps(self) -> ModuleType:
        """The module of steps as its file is now."""
        sys.modules.pop("pipeline_steps", None)
        importlib.invalidate_caches()
        return importlib.import_module("pipeline_steps")

    @contextmanager
    def queries(self, told: list[str]) -> Iterator[None]:
        """Collect the statements that look into the database inside of the block."""

        def hear(statement: str) -> None:
            if statement.lstrip().upper().startswith("SELECT"):
                told.append(statement)

        def taken(connection: sqlite3.Connection, *_: object) -> None:
            connection.set_trace_callback(hear)

        def given_back(connection: sqlite3.Connection, *_: object) -> None:
            connection.set_trace_callback(None)

        # By SQLite itself: what runs for every step does not pass through SQLAlchemy.
        sa.event.listen(sa.Pool, "checkout", taken)
        sa.event.listen(sa.Pool, "checkin", given_back)
        try:
            yield
        finally:
            sa.event.remove(sa.Pool, "checkout", taken)
            sa.event.remove(sa.Pool, "checkin", given_back)

    @property
    def marks(self) -> list[str]:
        """What has run, in order."""
        file = self.root / "marks.txt"
        return file.read_text().split() if file.exists() else []


@contextmanager
def workspace(root: Path, steps: str, *, executor: Executor | None = None) -> Iterator[Workspace]:
    """Open a workspace, with its folder on the path for as long as the block."""
    made = Workspace(root, steps, executor=executor)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    sys.path.insert(0, str(root))
    try:
        yield made
    finally:
        sys.path.remove(str(root))
        sys.dont_write_bytecode = before
        sys.modules.pop("pipeline_steps", None)
        made.database.close()
