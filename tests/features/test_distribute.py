"""Views answered in buckets of keys, in memory or through files, are the answers of one table, and so is the report."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.backends.spark.worlds import answer, events, spine, views
from tests.features.bucket_engine import BucketEngine

from tidewheel.backends.duckdb import DuckDB
from tidewheel.sources.definition import source


@pytest.mark.parametrize("options", [{"created": "made"}, {"available": "known"}], ids=["created", "known"])
@pytest.mark.parametrize("files", [False, True], ids=["in memory", "in files"])
def test_answers_and_reports_are_those_of_one_table(options: dict[str, str], files: bool, tmp_path: Path) -> None:
    of = source("events", str(events(tmp_path)), time="ts", **options)  # type: ignore[arg-type]  # options are checked there
    with DuckDB(threads=1) as duckdb, BucketEngine(tmp_path if files else None) as engine:
        expected = answer(views(of), spine(), duckdb, tmp_path)
        found = answer(views(of), spine(), engine, tmp_path, size_bytes=1 << 12 if files else 1 << 26)
    assert found.table.equals(expected.table)
    assert found.contents == expected.contents
    assert found.views == expected.views
    assert not list((tmp_path / "aside").glob("*"))
