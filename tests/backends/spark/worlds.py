"""Events with everything that there can be in them, and views of them, for tests that compare Spark with DuckDB."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tidewheel.clock import DAY, HOUR, Micros
from tidewheel.features.definition import FeatureView, count, entity, features, last, lookup, mean, service, std, sum, view_of
from tidewheel.features.retrieve import Retrieved, retrieve
from tidewheel.ports.query_engine import QueryEngine
from tidewheel.sources.budget import Budget
from tidewheel.sources.definition import Source
from tidewheel.sources.read import Sources

START = 1_767_225_600_000_000


def events(folder: Path, rows: int = 1_500, *, share: float = 0.5) -> Path:
    """Events, a share of them of one key; ties, nulls, null keys, late and corrected ones among them."""
    draw = np.random.default_rng(5)
    uid = np.where(draw.random(rows) < share, 1, draw.integers(2, 40, rows))
    ts = START + draw.integers(0, 4_000, rows) * 60_000_000
    made = ts + draw.choice([0, HOUR, DAY], rows)
    known = ts + draw.choice([0, 1, 5 * HOUR, 2 * DAY], rows)
    x = draw.normal(size=rows).round(1)
    times = {name: pa.array(one, pa.timestamp("us", "UTC")) for name, one in {"ts": ts, "made": made, "known": known}.items()}
    table = pa.table(
        {"uid": pa.array(uid, mask=draw.random(rows) < 0.05), **times, "x": pa.array(x, mask=draw.random(rows) < 0.2)}
    )
    pq.write_table(table, folder / "events.parquet")
    return folder / "events.parquet"


def spine(rows: int = 1_000) -> pa.Table:
    """Questions, most of them about that key."""
    draw = np.random.default_rng(6)
    uid = np.where(draw.random(rows) < 0.6, 1, draw.integers(1, 60, rows))
    times = START + draw.integers(-100, 5_000, rows) * 60_000_000
    return pa.table({"uid": pa.array(uid, mask=draw.random(rows) < 0.05), "t": pa.array(times, pa.timestamp("us", "UTC"))})


def views(of: Source) -> list[FeatureView]:
    """Look-ups and windows."""
    user = entity("user", uid=int)
    latest = {"x": lookup("x"), "filled": lookup("x", fill="last_known")}
    lately = {"n": count("6h"), "s": sum("x", "6h"), "m": mean("x", "1d"), "d": std("x", "6h"), "l": last("x", "1d")}
    return [
        view_of(features(of, by=user)(type("Latest", (), latest))),
        view_of(features(of, by=user, ttl="5h")(type("Fresh", (), {"fresh": lookup("x")}))),
        view_of(features(of, by=user)(type("Lately", (), lately))),
    ]


def answer(
    made: list[FeatureView], asked: pa.Table, engine: QueryEngine, root: Path, *, size_bytes: int = 1 << 26
) -> Retrieved:
    """What an engine answers, with sums of what was read, within a budget."""
    seen: dict[str, bytes] = {}
    budget = Budget(size_bytes, root / "aside")
    reader = Sources(root, engine, root / "pushes", seen.get, seen.__setitem__, lambda: Micros(0), budget=budget)
    return retrieve(service("s", *made), asked, time="t", sources=reader, measure=["Latest"])
