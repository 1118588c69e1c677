"""Laws of every aggregation that there is: found by name, made by what its constructor asks for, compared with the oracle."""

from __future__ import annotations

import importlib
import inspect
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.features import oracle
from tests.features.forms import interpreted
from tests.features.oracle import Fact
from tests.features.test_against_oracle import (
    KEYS,
    MINUTE,
    Asked,
    answer,
    asked_rows,
    bits,
    events,
    facts_of,
    floats,
    values,
    view,
)

import tidewheel
from tidewheel.errors import UnboundedState
from tidewheel.features import aggregations, map_kernel, map_sweep_kernel
from tidewheel.features.definition import Feature
from tidewheel.features.maps import MapSweep
from tidewheel.features.plan import plan_windows
from tidewheel.features.questions import order_questions
from tidewheel.features.tile_bytes import pack_many, pack_tiles, unpack_tiles
from tidewheel.features.tiles import build_tiles, fold
from tidewheel.schema import DataType, Field, Schema

ARGUMENTS: Mapping[str, object] = {"k": 3, "q": 0.75, "edges": [-2.0, 0.0, 1.5], "limit": 4}
"""What constructors may ask for beside a column and a window; a new name here is all that a new one asks of the tests."""

SPANS = [(5, 5), (30, 5), (60, 20), (3, 1), (120, 60), (None, 60)]
FEWER = settings(max_examples=25)
"""Of each law and aggregation: there are many."""

ROUNDED = ("sum", "mean", "std", "std_pop", "var", "var_pop", "ratio")
"""Aggregations that round floats as they go: another cut into tiles may change the last bits, and nothing else."""


def constructor(name: str) -> Callable[..., Feature]:
    made: Callable[..., Feature] = getattr(importlib.import_module(f"{aggregations.__name__}.{name}"), name)
    return made


def make(name: str, window: str, **options: object) -> Feature:
    """A feature of an aggregation over column ``x``."""
    build = constructor(name)
    parameters = inspect.signature(build).parameters
    if "over" in parameters:
        return build(make("sum", window, **options), make("count", window, **options))
    known = {one: value for one, value in ARGUMENTS.items() if one in parameters}
    try:
        return build("x", window, **known, **options)
    except UnboundedState:
        return build("x", "30d", **known, **options)  # longer than any story here


def span_of(minutes: int | None) -> str:
    return "forever" if minutes is None else f"{minutes}m"


def expected(name: str, feature: Feature, window: Sequence[int | float]) -> object:
    if name == "ratio":
        total = oracle.aggregate("sum", window)
        return None if not window or total is None else float(total) / len(window)
    if name in ("first_k", "last_k", "distinct", "top_k", "histogram", "quantile"):
        told = {key: list(value) if isinstance(value, tuple) else value for key, value in feature.options}
        return oracle.kept(name, window, told)
    return len(set(window)) if name == "approx_distinct" else oracle.aggregate(name, window)


def close(name: str, found: object, wanted: object) -> bool:
    if wanted is None or found is None:
        return found is wanted
    if name == "quantile":
        assert isinstance(found, float) and isinstance(wanted, int | float)
        return abs(found - wanted) <= abs(wanted) / 128
    if name in ROUNDED:
        return bool(found == pytest.approx(wanted, rel=1e-9, abs=1e-6))
    return found == wanted


@pytest.mark.parametrize("name", aggregations.names())
def test_an_aggregation_is_a_name_of_the_package_and_editors_know_it(name: str) -> None:
    assert getattr(tidewheel, name) is constructor(name)
    assert name in tidewheel.__all__
    line = f"    from tidewheel.features.aggregations.{name} import {name} as {name}\n"
    assert line in Path(tidewheel.__file__).read_text(), "add this line, so that editors complete the name"


@pytest.mark.slow
@pytest.mark.parametrize("name", aggregations.names())
def test_windows_are_those_of_the_oracle_in_any_order_of_arrival(name: str) -> None:
    @FEWER
    @given(
        facts_of(values, created=False),
        asked_rows,
        st.sampled_from(SPANS),
        st.sampled_from([0, 1, 2]),
        st.booleans(),
        st.randoms(use_true_random=False),
    )
    def check(
        facts: list[Fact], asked: Asked, window: tuple[int | None, int], hops: int, some: bool, chance: random.Random
    ) -> None:
        span, hop = window
        options: dict[str, object] = {"hop": f"{hop}m", "where": "x > 0" if some else None}
        options |= {"offset": f"{hops * hop}m"} if hops else {}
        made = make(name, span_of(span), **options)
        found = answer(view({"f": made}), facts, asked, DataType.INT64)["f"]
        kept = [f for f in facts if not some or (f.value or 0) > 0]
        for (key, t), one in zip(asked, found, strict=True):
            length = None if span is None else span * MINUTE
            inside = oracle.window(kept, key, t, length, hop * MINUTE, offset=hops * hop * MINUTE)
            assert close(name, one, expected(name, made, inside)), (inside, one)
        again = answer(view({"f": made}), chance.sample(facts, len(facts)), asked, DataType.INT64)["f"]
        assert again == found

    check()


@pytest.mark.slow
@pytest.mark.parametrize("name", aggregations.names())
def test_stored_tiles_and_raw_events_give_the_same_bits(name: str) -> None:
    made = {f"f{span}": make(name, span_of(span), hop=f"{hop}m") for span, hop in SPANS}
    made |= {"back": make(name, "30m", hop="5m", offset="10m"), "some": make(name, "1h", hop="20m", where="x > 0")}
    made["exact"] = make(name, "30m", tail="exact")
    schema = Schema((Field("k", DataType.INT64), Field("x", DataType.FLOAT64), Field("w", DataType.STRING)))
    words = {} if name in ("sum", "mean", "std", "std_pop", "var", "var_pop", "ratio", "quantile", "histogram") else dict(made)
    if name == "top_k":
        made = {}
    for key, one in words.items():
        made[f"{key}_word"] = Feature(**{field: getattr(one, field) for field in one.__dataclass_fields__} | {"column": "w"})
    plan = plan_windows(view(made), schema)

    @FEWER
    @given(facts_of(floats, created=False), asked_rows, st.integers(-90, 90))
    def check(facts: list[Fact], asked: Asked, closed_at: int) -> None:
        watermark = closed_at * MINUTE
        known = [Fact(f.key, f.ts, 0, f.ts, f.value) for f in facts]
        everything = events(plan.events, known)
        recent = events(plan.events, [f for f in known if f.ts >= plan.needed_from(watermark)])
        keys = np.array([key if key < KEYS else -1 for key, _ in asked], dtype=np.int64)
        times = np.array([t for _, t in asked], dtype=np.int64)
        tiles = build_tiles(plan, everything, before=np.full(KEYS, watermark))
        packed = [pack_tiles(plan, tiles, key) for key in range(KEYS)]
        assert pack_many(plan, tiles, low=0, high=KEYS) == packed
        stored = unpack_tiles(plan, packed)
        assert [pack_tiles(plan, stored, key) for key in range(KEYS)] == packed
        raw = fold(plan, everything, keys=keys, times=times)
        after = times >= watermark
        resumed = fold(plan, recent, keys=keys, times=times, closed=stored, watermark=np.full(KEYS, watermark))
        for one, other in zip(raw.columns, resumed.columns, strict=True):
            assert bits(one.filter(pa.array(after))) == bits(other.filter(pa.array(after)))

    check()


@pytest.mark.slow
@pytest.mark.parametrize("name", aggregations.names())
def test_merging_is_associative_so_it_makes_no_difference_how_time_is_cut_into_tiles(name: str) -> None:
    @FEWER
    @given(
        facts_of(floats if name != "top_k" else values, created=False), st.lists(st.integers(0, KEYS), min_size=1, max_size=4)
    )
    def check(facts: list[Fact], keys: list[int]) -> None:
        asked = [(key, hour * 60 * MINUTE) for key in keys for hour in (-1, 0, 1)]
        kind = DataType.INT64 if name == "top_k" else DataType.FLOAT64
        cuts = [
            answer(view({"f": make(name, "1h", hop=hop, **more)}), facts, asked, kind)["f"]
            for hop in ("1m", "20m", "1h")
            for more in ({}, {"offset": "1h"})
        ]
        for cut in cuts[2:]:
            other = cuts[0] if cuts.index(cut) % 2 == 0 else cuts[1]
            assert cut == other or (name in ROUNDED and all(close(name, one, two) for one, two in zip(cut, other, strict=True)))

    check()


# ── both forms of the kernel of maps ─────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def by_python() -> ModuleType:
    return interpreted("map_kernel")


def run(form: ModuleType, seed: int, most: bool, limit: int) -> list[bytes]:
    """A random fold by one form of the kernel."""
    chance = np.random.default_rng(seed)
    size, keys, hop, asked = 200, 4, 20, 60
    offsets = np.concatenate([[0], np.sort(chance.integers(0, size, keys - 1)), [size]]).astype(np.int64)
    ts = np.concatenate([np.sort(chance.integers(-500, 500, n)) for n in np.diff(offsets)]).astype(np.int64)
    known = ts + chance.integers(0, 2, size) * chance.integers(0, 300, size)
    added, counts = chance.integers(-30, 30, size), chance.integers(1, 9, size)
    opens = np.flatnonzero(np.concatenate([[True], ts[1:] // hop != ts[:-1] // hop]) | np.isin(np.arange(size), offsets[:-1]))
    first = np.concatenate([opens, [size]]).astype(np.int64)
    values = form.Entries(first, added, counts)
    tile_sizes, sizes = np.empty(len(opens), dtype=np.int64), np.empty(asked, dtype=np.int64)
    tiles, made = form.Bag(most, limit), form.Bag(most, limit)
    form.fold_ranges(values, first, tiles, sizes=tile_sizes)
    held, adds = (np.frombuffer(one, np.int64) for one in tiles.taken())
    form.fold_windows(
        values,
        form.Entries(np.concatenate([[0], np.cumsum(tile_sizes)]).astype(np.int64), held, adds),
        form.Moments(
            (offsets, ts, known),
            (
                np.searchsorted(opens, offsets).astype(np.int64),
                ts[opens] // hop * hop,
                np.maximum.reduceat(known, opens),
                np.ascontiguousarray(first[:-1]),
            ),
        ),
        queries=(chance.integers(-1, keys, asked), chance.integers(-600, 600, asked)),
        window=(200, hop, int(chance.integers(0, 2)) * 40),
        made=made,
        sizes=sizes,
    )
    return [*tiles.taken(), *made.taken(), tile_sizes.tobytes(), sizes.tobytes()]


@pytest.mark.skipif(not map_kernel.COMPILED, reason="no compiled kernel: python setup.py build_ext --inplace")
@pytest.mark.parametrize(("most", "limit"), [(False, 0), (True, 0), (True, 5), (False, 3)])
def test_compiled_and_interpreted_maps_have_the_same_bits(by_python: ModuleType, most: bool, limit: int) -> None:
    for seed in range(5):
        assert run(map_kernel, seed, most, limit) == run(by_python, seed, most, limit)


PARTS = {"ALL": 0, "SIZE": 0, "RANK": 0, "TOP": 3, "LEVELS": 4}
"""Of what is wanted of a map its number, where it has one."""


def swept(form: ModuleType, seed: int, part: str, limit: int) -> tuple[object, object]:
    """What is wanted of the maps of random windows by one form of the kernel; and by a look at all events for each question."""
    chance = np.random.default_rng(seed)
    size, keys, hop, asked, span, offset, share = 150, 3, 20, 40, 200, seed % 2 * 40, 0.6
    code = np.sort(chance.integers(0, keys, size))
    ts = chance.integers(-500, 500, size)[np.lexsort((np.arange(size), code))]
    ts = ts[np.lexsort((ts, code))]
    known = ts + chance.integers(0, 2, size) * chance.integers(0, 300, size)
    added, counts = chance.integers(0, 40, size), chance.integers(1, 4, size)
    enters = np.maximum(known, ts // hop * hop + hop + offset if offset else ts + 1)
    begins, names, entry = MapSweep((added, counts), (np.searchsorted(code, np.arange(keys + 1)), ts, known))._numbered()
    most = int(np.diff(begins).max())
    number = PARTS[part] or limit
    if part == "LEVELS":
        entry, most = added, 40
    room = (np.zeros(max(2 << most.bit_length(), most * number), dtype=np.int64), np.zeros(40, dtype=np.int64))
    wanted = form.Wanted(getattr(form, part), number, share, room=(*room, np.zeros(4, dtype=np.int64)))
    events = (np.searchsorted(code, np.arange(keys + 1)), ts, entry, counts)
    questions = order_questions(chance.integers(0, keys, asked), chance.integers(-600, 900, asked), keys=keys)
    sweep = form.Sweep(
        form.Numbered((begins, names), events, (enters, np.lexsort((enters, code)))),
        (questions.offsets, questions.moments),
        (span, hop, offset),
        wanted,
    )
    found: list[object] = []
    while len(found) < asked:
        made = [np.empty(length, dtype=np.int64) for length in (most + 20, most + 20, asked - len(found))]
        at = 0
        for count in made[2][: sweep.run(form.Made(*made))].tolist():
            pairs = list(zip(made[0][at : at + count].tolist(), made[1][at : at + count].tolist(), strict=True))
            told = {"SIZE": count, "RANK": made[0][at], "LEVELS": made[1][at + 1 : at + count].tolist()}
            found.append(told.get(part, pairs))
            at += 0 if part == "SIZE" else count
    expected = []
    for row in questions.order.tolist():
        k, t = questions.keys[row], int(questions.times[row])
        end = (t - offset) // hop * hop if offset else t
        seen = (code == k) & (ts >= (t - offset - span) // hop * hop) & (ts < end) & (known <= t)
        one: dict[int, int] = {}
        for a, c in zip(added[seen].tolist(), counts[seen].tolist(), strict=True):
            one[a] = max(one.get(a, 0), c) if part == "LEVELS" else one.get(a, 0) + c
        every = sorted(one.items(), key=lambda pair: (-pair[1], pair[0]) if part == "TOP" else (0, pair[0]))
        each = [a for a, c in every for _ in range(c)]
        expected.append(
            {
                "ALL": every,
                "SIZE": min(len(every), limit or size),
                "RANK": each[int(share * (len(each) - 1))] if each else 0,
                "TOP": every[:3],
                "LEVELS": [list(one.values()).count(level) for level in range(1, 4)],
            }[part]
        )
    return found, expected


@pytest.mark.parametrize(("part", "limit"), [*((part, 0) for part in PARTS), ("SIZE", 5)])
def test_what_is_wanted_of_the_maps_of_questions_in_order_is_that_of_the_events_that_each_sees(part: str, limit: int) -> None:
    for form in (map_sweep_kernel, interpreted("map_sweep_kernel")):
        for seed in range(4):
            found, expected = swept(form, seed, part, limit)
            assert found == expected
