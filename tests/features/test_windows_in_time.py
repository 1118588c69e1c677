"""Windows answered a stretch of time after the other have the bits of those that see all events at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.features.ask import view

from tidewheel.backends.duckdb import DuckDB
from tidewheel.clock import DAY, HOUR, Micros
from tidewheel.features.aggregations.distinct import distinct
from tidewheel.features.aggregations.last_k import last_k
from tidewheel.features.aggregations.top_k import top_k
from tidewheel.features.definition import FeatureView, Use, count, entity, last, lookup, mean, min, service, std, sum, use
from tidewheel.features.events import Events
from tidewheel.features.retrieve import Retrieved, retrieve
from tidewheel.features.view_answer import Asked, ViewAnswer
from tidewheel.features.windows_in_time import WindowsInTime
from tidewheel.schema import DataType, Field, Schema
from tidewheel.sources.budget import Budget
from tidewheel.sources.definition import Source, source
from tidewheel.sources.read import Sources

pytestmark = pytest.mark.slow


def rows(size: int) -> pa.Table:
    """Two in three of one key; some late, some of no key, some that say that something is gone."""
    draw = np.random.default_rng(9)
    uid = np.where(draw.random(size) < 0.66, 1, draw.integers(2, 9, size))
    ts = draw.integers(0, 20 * 24 * 60, size) * 60_000_000
    return pa.table(
        {
            "uid": pa.array(uid, mask=draw.random(size) < 0.05),
            "ts": ts,
            "seen": ts + draw.choice([0, HOUR // 2, 30 * HOUR], size, p=[0.7, 0.2, 0.1]),
            "x": pa.array(draw.normal(size=size), mask=draw.random(size) < 0.1),
            "w": [f"w{n}" for n in draw.integers(0, 9, size)],
            "gone": draw.random(size) < 0.05,
        }
    )


def spine(size: int) -> pa.Table:
    draw = np.random.default_rng(10)
    uid = np.where(draw.random(size) < 0.6, 1, draw.integers(1, 12, size))
    times = draw.integers(-DAY, 22 * DAY, size)
    return pa.table({"uid": pa.array(uid, mask=draw.random(size) < 0.05), "t": times})


def views(of: Source) -> list[FeatureView]:
    user = entity("user", uid=int)
    ever = {"ever": sum("x"), "n": count(), "said": last("w"), "m": mean("x"), "d": std("x"), "most": min("x", hop="1h")}
    some = {"s": sum("x", "3h"), "before": mean("x", "2d", offset="7d"), "top": top_k("w", "1d", k=2), "x": lookup("x")}
    kept = {"kinds": distinct("w", "2d"), "latest": last_k("x", "5d", k=3), "words": top_k("w", "10d", k=3)}
    return [view(ever, of, user, name="Ever"), view(ever | some, of, user, name="Both"), view(kept, of, None, name="All")]


def answer(made: list[FeatureView], asked: pa.Table, folder: Path, size_bytes: int) -> Retrieved:
    seen: dict[str, bytes] = {}
    with DuckDB(threads=1) as engine:
        budget = Budget(size_bytes, folder / "aside")
        reader = Sources(folder, engine, folder, seen.get, seen.__setitem__, lambda: Micros(0), budget=budget)
        uses = [use(one, prefix=f"{one.name}_") for one in made]
        return retrieve(service("s", *uses), asked, time="t", sources=reader)


@pytest.mark.parametrize("options", [{}, {"available": "seen"}, {"deleted": "gone"}, {"after": "2h"}], ids=str)
def test_answers_and_reports_are_the_same(options: dict[str, str], tmp_path: Path) -> None:
    made = views(source("f", rows(1_200), time="ts", **options))  # type: ignore[arg-type]  # options are checked there
    whole = answer(made, spine(150), tmp_path, 1 << 40)
    parts = answer(made, spine(150), tmp_path, 15_000)
    assert parts.table.equals(whole.table)
    assert parts.views == whole.views


@pytest.mark.parametrize("cuts", [1, 7])
def test_no_stretch_holds_more_than_its_share_of_the_events(cuts: int) -> None:
    """All questions come at the end, and of one key there are 30,000 events: each is in hand once, or again in its own hop."""
    size, hour = 30_000, HOUR
    events = pa.table({"uid": pa.repeat(1, size), "ts": np.arange(size) * 10_000_000, "x": np.arange(size) / 7})
    made = view({"ever": sum("x", hop="1h"), "n": count(hop="1h")}, source("f", events, time="ts"), entity("user", uid=int))
    times = np.full(5, size * 10_000_000)
    held: list[int] = []

    class Watched(WindowsInTime):
        def _close(self, events: Events, end: int) -> None:
            held.append(len(events.ts))
            super()._close(events, end)

    system = [events["ts"], pa.repeat(0, size), events["ts"]]
    scanned = pa.table([*events.columns, *system], names=[*events.column_names, "__ts", "__created", "__avail"])
    schema = Schema((Field("uid", DataType.INT64), Field("x", DataType.FLOAT64)))
    asked = Asked({"uid": pa.array([1] * 5)}, times)
    windows = Watched(Use(made), schema, asked, start=None)
    found, _ = windows.answer(lambda: iter([scanned.slice(0, size // 2), scanned.slice(size // 2)]), cuts=cuts)
    wanted = ViewAnswer(Use(made), schema, asked)
    wanted.add(scanned)
    assert pa.table(found).equals(pa.table(wanted.finish()[0]))
    assert max(held) <= size // cuts + 2 * hour // 10_000_000
