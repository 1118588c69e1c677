"""Spark passes the contract of the query engine port, and that of its optional ability."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tidewheel.backends.spark import Spark
from tidewheel.testing.query_engine import QueryEngineContract

pytestmark = pytest.mark.slow


class TestSpark(QueryEngineContract):
    @pytest.fixture
    def engine(self, tmp_path: Path, spark: Spark) -> Iterator[Spark]:
        with Spark("local[2]", temporary=tmp_path / "spill") as engine:
            yield engine
