"""Spines, answers and closed keys on their way through an object store: workers write and read them there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import obstore
import pytest
from obstore.store import from_url
from tests.backends.spark.worlds import START, answer, events, spine, views
from tests.servers import S3, new_bucket, server_url

from tidewheel.backends.duckdb import DuckDB
from tidewheel.backends.spark import Spark
from tidewheel.clock import Micros
from tidewheel.features.close_by_engine import Tally, close_by_engine
from tidewheel.features.online import OnlineLayout
from tidewheel.features.run import Reading
from tidewheel.sources.definition import source
from tidewheel.sources.read import Sources

pytestmark = pytest.mark.slow


@pytest.fixture
def place() -> str:
    return f"s3://{new_bucket()}/on/its/way"


def listed(place: str) -> list[str]:
    store = from_url(place, config=reaching(), client_options={"allow_http": True})  # type: ignore[call-overload]  # S3's
    return [str(one["path"]) for batch in obstore.list(store) for one in batch]


def reaching() -> dict[str, str]:
    return {"endpoint": server_url(S3), "access_key_id": "k", "secret_access_key": "s", "region": "us-east-1"}


@pytest.fixture
def far(spark: Spark, place: str, tmp_path: Path) -> Iterator[Spark]:
    with Spark(
        "local[2]", temporary=tmp_path, storage=place, storage_options=reaching(), small_bytes=0, bucket_rows=600
    ) as engine:
        yield engine


def test_answers_and_closed_keys_are_the_same_and_nothing_stays(far: Spark, place: str, tmp_path: Path) -> None:
    of = source("events", str(events(tmp_path)), time="ts", created="made")
    made = views(of)
    with DuckDB(threads=1) as duckdb:
        expected = answer(made, spine(), duckdb, tmp_path)
        layout = OnlineLayout(made[2], 1, reader(duckdb, tmp_path).schema(of))
    found = answer(made, spine(), far, tmp_path)
    assert found.table.equals(expected.table)
    assert found.contents == expected.contents
    sources, tally = reader(far, tmp_path), Tally()
    reading = Reading(sources.snapshot(of), None)
    until = START + 3_000 * 60_000_000
    pieces = close_by_engine(layout, sources, reading, held=spine, revision=1, until=until, tally=tally)
    assert pieces is not None
    assert listed(place)
    keys = [key for piece in pieces for key, _ in piece.rows]
    assert (keys, tally.rows_read) == (sorted(set(keys)), 1_500)
    far.close()
    assert not listed(place)


def reader(engine: DuckDB | Spark, root: Path) -> Sources:
    seen: dict[str, bytes] = {}
    return Sources(root, engine, root / "pushes", seen.get, seen.__setitem__, lambda: Micros(0))
