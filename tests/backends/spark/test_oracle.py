"""Hundreds of small worlds, each with keys of its own, in one question to Spark: every answer is that of the plain oracle."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest
from tests.features import oracle
from tests.features.ask import ask, engine_of, view
from tests.features.oracle import Fact
from tests.features.oracle_ends import Row, events
from tests.features.test_ends import KINDS, MINUTE, Oracle, found_of, int_sum

from tidewheel.backends.spark import Spark
from tidewheel.features.aggregations.distinct import distinct
from tidewheel.features.aggregations.first_k import first_k
from tidewheel.features.aggregations.histogram import histogram
from tidewheel.features.aggregations.last_k import last_k
from tidewheel.features.aggregations.top_k import top_k
from tidewheel.features.definition import Feature, entity, last, lookup, max, mean, min, std, sum
from tidewheel.sources.definition import source

pytestmark = pytest.mark.slow
WORLDS, KEYS = 150, 3
AGGREGATIONS = {"sum": sum, "mean": mean, "min": min, "max": max, "std": std, "last": last}
KEPT: dict[str, tuple[Feature, dict[str, object]]] = {
    "first_k": (first_k("x", "10m", k=2, hop="5m"), {"k": 2}),
    "last_k": (last_k("x", "10m", k=2, hop="5m"), {"k": 2}),
    "distinct": (distinct("x", "10m", hop="5m"), {}),
    "top_k": (top_k("x", "10m", k=2, hop="5m"), {"k": 2}),
    "histogram": (histogram("x", "10m", edges=[-1, 2], hop="5m"), {"edges": [-1, 2]}),
}
HIGH = 20


@pytest.fixture
def on_spark(spark: Spark, tmp_path: Path) -> Iterator[None]:
    """Buckets of a few worlds, answers through files."""
    token = engine_of.set(partial(Spark, "local[2]", temporary=tmp_path, small_bytes=0, bucket_rows=400))
    yield
    engine_of.reset(token)


def moment(chance: random.Random) -> int:
    return chance.randint(0, HIGH) * MINUTE


@pytest.mark.usefixtures("on_spark")
@pytest.mark.parametrize(("ends", "options", "plain"), KINDS, ids=[kind[0] for kind in KINDS])
def test_rows_that_end(ends: str, options: dict[str, object], plain: Oracle) -> None:
    chance = random.Random(ends)
    worlds = [[row_of(chance, ends, world, number) for number in range(chance.randint(0, 10))] for world in range(WORLDS)]
    asked = [(KEYS * world + chance.randint(0, 2), moment(chance)) for world in range(WORLDS) for _ in range(3)]
    rows = [row for world in worlds for row in world]
    found = found_of(chance.sample(rows, len(rows)), asked, ttl=6 * MINUTE, options=options)
    own = [worlds[key // KEYS] for key, _ in asked]
    limits = [(rows, key, t) for rows, (key, t) in zip(own, asked, strict=True)]
    assert found.column("now").to_pylist() == [plain(rows, key, t, ttl=6 * MINUTE) for rows, key, t in limits]
    known = [plain(rows, key, t, ttl=6 * MINUTE, last_known=True) for rows, key, t in limits]
    assert found.column("known").to_pylist() == known
    if ends == "until":
        return
    folded = [
        events(counted(rows, ends), key, t, start=(t - 10 * MINUTE) // (5 * MINUTE) * 5 * MINUTE) for rows, key, t in limits
    ]
    assert found.column("n").to_pylist() == [len(values) for values in folded]
    assert found.column("total").to_pylist() == [int_sum(values) for values in folded]


def row_of(chance: random.Random, ends: str, world: int, number: int) -> Row:
    ts = moment(chance)
    return Row(
        key=KEYS * world + chance.randint(0, 1),
        ts=ts,
        created=number,
        known=ts + chance.choice([0, 0, 2, 9]) * MINUTE,
        value=chance.choice([None, *range(-3, 4)]),
        gone=ends != "until" and chance.random() < 0.3,
        until=moment(chance) if ends == "until" and chance.random() < 0.5 else None,
        id=KEYS * world + chance.randint(0, 2),
    )


def counted(rows: list[Row], ends: str) -> list[Row]:
    """Without an id every row is an event of its own."""
    return rows if ends == "id" else [Row(r.key, r.ts, n, r.known, r.value, r.gone, id=n) for n, r in enumerate(rows)]


@pytest.mark.usefixtures("on_spark")
def test_lookups_and_windows() -> None:
    chance = random.Random(3)
    worlds = [[fact_of(chance, world) for _ in range(chance.randint(0, 15))] for world in range(WORLDS)]
    asked = [(KEYS * world + chance.randint(0, KEYS - 1), moment(chance)) for world in range(WORLDS) for _ in range(3)]
    facts = [fact for world in worlds for fact in world]
    held = pa.table(
        {
            "k": pa.array([fact.key for fact in facts], pa.int64()),
            "ts": pa.array([fact.ts for fact in facts], pa.int64()),
            "made": pa.array([fact.created for fact in facts], pa.int64()),
            "seen": pa.array([fact.known for fact in facts], pa.int64()),
            "x": pa.array([fact.value for fact in facts], pa.int64()),
        }
    )
    of = source("f", held, time="ts", created="made", available="seen")
    spine = pa.table({"k": pa.array([key for key, _ in asked], pa.int64()), "t": pa.array([t for _, t in asked], pa.int64())})
    latest = view({"now": lookup("x"), "known": lookup("x", fill="last_known")}, of, entity("k", k=int), name="A", ttl="5m")
    windows = {f"{name}_5": make("x", "5m", hop="5m") for name, make in AGGREGATIONS.items()}
    windows |= {f"{name}_15": make("x", "15m", hop="5m") for name, make in AGGREGATIONS.items()}
    lately = view(
        windows | {name: made for name, (made, _) in KEPT.items()},
        source("g", held, time="ts", available="seen"),
        entity("k", k=int),
    )
    found = ask([latest, lately], spine).table
    own = [(worlds[key // KEYS], key, t) for key, t in asked]
    assert found.column("now").to_pylist() == [oracle.look_up(rows, key, t, 5 * MINUTE) for rows, key, t in own]
    known = [oracle.look_up(rows, key, t, 5 * MINUTE, last_known=True) for rows, key, t in own]
    assert found.column("known").to_pylist() == known
    for name in windows:
        aggregation, span = name.split("_")
        wanted = [
            oracle.aggregate(aggregation, oracle.window(rows, key, t, int(span) * MINUTE, 5 * MINUTE)) for rows, key, t in own
        ]
        close = [one if one is None or aggregation != "std" else pytest.approx(one, abs=1e-9) for one in wanted]
        assert close == found.column(name).to_pylist(), name
    for name, (_, told) in KEPT.items():
        folded = [oracle.window(rows, key, t, 10 * MINUTE, 5 * MINUTE) for rows, key, t in own]
        assert found.column(name).to_pylist() == [oracle.kept(name, values, told) for values in folded], name


def fact_of(chance: random.Random, world: int) -> Fact:
    ts = moment(chance)
    known = ts + chance.choice([0, 0, 1, 7]) * MINUTE
    return Fact(
        KEYS * world + chance.randint(0, KEYS - 1), ts, chance.randint(0, 2), known, chance.choice([None, *range(-5, 6)])
    )
