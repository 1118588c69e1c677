"""Every aggregation is the same offline and online, to the bit: files, pushes, late ones and tiles alike."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from tests.features.online_world import NEW_YEAR, World, bits, online_source, world_on
from tests.features.test_aggregation_laws import make
from tests.servers import SERVERS

from tidewheel.clock import HOUR, MINUTE
from tidewheel.features import aggregations
from tidewheel.features.definition import Feature, entity, features, service, view_of

COLUMNS = {"uid": pa.int64(), "ts": pa.int64(), "seen": pa.int64(), "x": pa.int64(), "y": pa.float64(), "s": pa.string()}
KEEPING = ("first", "last", "min", "max", "first_k", "last_k", "distinct", "approx_distinct", "top_k", "count")


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with world_on(request.param, tmp_path, lateness=2 * HOUR) as made:
        yield made


def every() -> dict[str, Feature]:
    made = {}
    for name in aggregations.names():
        made[name] = make(name, "30m", hop="5m")
        made[f"{name}_back"] = make(name, "1h", hop="20m", offset="40m", where="x > 0")
        made[f"{name}_exact"] = make(name, "50m", tail="exact")
        made[f"{name}_ever"] = make(name, "forever", hop="1h")
    for name in [one for one in made if one.split("_ever")[0].removesuffix("_back") in KEEPING]:
        told = {field: getattr(made[name], field) for field in made[name].__dataclass_fields__}
        made[f"{name}_word"] = Feature(**{**told, "column": "s"})
    return made


def row(chance: random.Random, now: int) -> dict[str, object]:
    ts = now - chance.choice([0, 1, 7, 45, 110]) * MINUTE + chance.randint(0, MINUTE)
    late = chance.choice([0, 0, 3, 50]) * MINUTE
    word, number = chance.choice(["a", "b", "", "ß", None]), chance.choice([None, *range(-3, 7)])
    value = None if number is None else number * 1.1
    return {"uid": chance.randint(0, 2), "ts": ts, "seen": ts + late, "x": number, "y": value, "s": word}


SEEDS = [pytest.param("lmdb", seed) for seed in range(4)] + [
    pytest.param(*store.values, 4, marks=store.marks) for store in [pytest.param("memory"), *SERVERS]
]


@pytest.mark.slow
@pytest.mark.parametrize("available", ["event", "seen"])
@pytest.mark.parametrize(("world", "seed"), SEEDS, indirect=["world"])
def test_every_aggregation_is_the_same_offline_and_online(world: World, seed: int, available: str) -> None:
    chance = random.Random(seed)
    user = entity("user", uid=int)
    made = view_of(features(online_source("f", available=available), by=user)(type("F", (), every())))
    asked = service("asked", made)
    now = NEW_YEAR + 6 * HOUR
    past = [row(chance, NEW_YEAR + chance.randint(0, 360) * MINUTE) for _ in range(60)]
    world.file("f-1.parquet", pa.table({name: pa.array([one[name] for one in past], kind) for name, kind in COLUMNS.items()}))
    world.materialize(made, until=now)
    for step in range(3):
        pushed = [row(chance, now) for _ in range(12)]
        world.push(made, [*pushed, pushed[0]])
        times = [now + chance.choice([0, 1, 17, 61, 1500]) * MINUTE for _ in range(12)]
        requests: list[dict[str, object]] = [{"uid": chance.randint(0, 3)} for _ in times]
        online = world.answer(asked, requests, times).values
        offline = world.offline(asked, requests, times)
        for one, other in zip(online, offline, strict=True):
            differ = {
                name: (a, b)
                for name, a, b in zip(asked.names, one, other, strict=True)
                if [bits(part) for part in _parts(a)] != [bits(part) for part in _parts(b)]
            }
            assert not differ
        now += 70 * MINUTE
        if step < 2:
            world.materialize(made, until=now, full=step == 1)


def _parts(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]
