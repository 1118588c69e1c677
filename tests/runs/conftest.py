"""A place for runs, on both databases."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pytest

from tidewheel.artifacts.store import ArtifactStore
from tidewheel.clock import Micros
from tidewheel.database.open import Database
from tidewheel.runs.record import Runs


class Ticks(Protocol):
    now: int

    def __call__(self) -> Micros: ...


@pytest.fixture
def runs(database: Database, clock: Ticks, tmp_path: Path) -> Runs:
    return Runs(database, ArtifactStore.open(f"file://{tmp_path}/artifacts"), clock)
