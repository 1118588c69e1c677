"""Answers that do not fit in memory are those that would have been given with room for everything."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.features.ask import sources

import tidewheel as tw
from tidewheel.features.definition import FeatureView, ServiceDefinition, Use, service, view_of
from tidewheel.features.read import Features
from tidewheel.features.retrieve import Retrieved, retrieve
from tidewheel.sources.budget import Budget
from tidewheel.sources.definition import Source, source
from tidewheel.sources.read import Sources

pytestmark = pytest.mark.slow

HOUR = 3_600_000_000
KINDS = {"uid": pa.int64(), "ts": pa.int64(), "made": pa.int64(), "x": pa.float64(), "word": pa.string(), "next": pa.int64()}
PAIR = tw.entity("pair", uid=int, word=str)
USER = tw.entity("user", uid=int)

Row = tuple[object, ...]
Reader = Callable[[], Sources]
_keys = st.one_of(st.none(), st.integers(0, 6))
_times = st.integers(0, 8).map(lambda n: n * HOUR // 2)
_names = st.sampled_from([None, "", "a", "bb"])
_rows = st.lists(
    st.tuples(
        _keys,
        _times,
        _times,
        st.one_of(st.none(), st.floats(-1e9, 1e9), st.sampled_from([1e16, 1.0, -1e16])),
        _names,
        st.integers(0, 6),
    ),
    max_size=40,
)
_asked = st.lists(st.tuples(_keys, _times, _names), min_size=1, max_size=30)
_budgets = st.sampled_from([400, 3_000, 20_000])


def table(rows: Sequence[Row]) -> pa.Table:
    return pa.table({name: pa.array([row[n] for row in rows], kind) for n, (name, kind) in enumerate(KINDS.items())})


def spine(asked: Sequence[Row]) -> pa.Table:
    kinds = {"uid": pa.int64(), "t": pa.int64(), "word": pa.string()}
    held = {name: pa.array([row[n] for row in asked], kind) for n, (name, kind) in enumerate(kinds.items())}
    return pa.table(held | {"other": pa.array([None if row[0] is None else 6 - int(str(row[0])) for row in asked], pa.int64())})


def latest(of: Source) -> FeatureView:
    features = {"x": tw.lookup("x", fill="last_known"), "seen": tw.lookup("word", default="?"), "next": tw.lookup("next")}
    return view_of(tw.features(of, by=USER, ttl="2h")(type("Latest", (), features)))


def lately(of: Source) -> FeatureView:
    features = {
        "count_1h": tw.count("1h"),
        "sum_2h": tw.sum("x", "2h"),
        "std_3h": tw.std("x", "3h"),
        "before": tw.mean("x", "1h", offset="1h"),
        "some": tw.count("2h", where="word = 'a'"),
        "last": tw.last("word", "4h"),
        "names": tw.distinct("word", "4h", limit=3),
        "ever": tw.sum("next", "forever"),
        "now": tw.lookup("x"),
    }
    return view_of(tw.features(of, by=USER)(type("Lately", (), features)))


def by_pair(of: Source) -> FeatureView:
    return view_of(tw.features(of, by=PAIR)(type("Paired", (), {"pair_sum": tw.sum("x", "2h"), "pair_x": tw.lookup("x")})))


def overall(of: Source) -> FeatureView:
    return view_of(tw.features(of, by=None)(type("Overall", (), {"all_count": tw.count("1h"), "all_x": tw.lookup("x")})))


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    """Behind a function, because Hypothesis prints what a test is given."""
    made = sources()
    yield lambda: made
    made.engine.close()


def answered(reader: Reader, wanted: ServiceDefinition, asked: pa.Table, size_bytes: int | None) -> Retrieved:
    measure = [view.name for view in wanted.views]
    with tempfile.TemporaryDirectory() as folder:
        spill = Path(folder) / "spill"
        limited = reader() if size_bytes is None else replace(reader(), budget=Budget(size_bytes, spill))
        try:
            return retrieve(wanted, asked, time="t", sources=limited, measure=measure)
        finally:
            assert not spill.exists() or not list(spill.iterdir())


def assert_no_difference(reader: Reader, wanted: ServiceDefinition, asked: pa.Table, size_bytes: int) -> None:
    whole, divided = answered(reader, wanted, asked, None), answered(reader, wanted, asked, size_bytes)
    assert divided.table.schema == whole.table.schema
    for name in whole.table.column_names:
        assert repr(divided.table[name].to_pylist()) == repr(whole.table[name].to_pylist()), name
    assert (divided.views, divided.transforms) == (whole.views, whole.transforms)
    assert (divided.coverage, divided.contents) == (whole.coverage, whole.contents)


@settings(max_examples=8)
@given(rows=_rows, asked=_asked, budget=_budgets)
def test_any_number_of_parts_gives_the_same_bits_and_the_same_report(
    reader: Reader, rows: list[Row], asked: list[Row], budget: int
) -> None:
    of = source("f", table(rows), time="ts", available="made", created="made")
    wanted = service("s", latest(of), lately_apart(of), by_pair(of), overall(of), Use(latest(of), "o_", (("uid", "other"),)))
    assert_no_difference(reader, wanted, spine(asked), budget)


def lately_apart(of: Source) -> FeatureView:
    """Names that the other view does not have."""
    made = lately(of)
    return replace(made, features=tuple(one for one in made.features if one.name != "now"))


@pytest.mark.slow
@settings(max_examples=40)
@given(rows=_rows, asked=_asked, budget=_budgets)
def test_look_ups_and_windows_of_one_view_and_hot_keys_cut_by_time(
    reader: Reader, rows: list[Row], asked: list[Row], budget: int
) -> None:
    hot = [(1, *row[1:]) for row in rows]
    of = source("f", table(hot), time="ts", created="made")
    assert_no_difference(reader, service("s", lately(of)), spine([(1, *row[1:]) for row in asked]), budget)


@pytest.mark.slow
@settings(max_examples=40)
@given(rows=_rows, asked=_asked, budget=_budgets)
def test_rows_that_end_are_answered_in_parts_too(reader: Reader, rows: list[Row], asked: list[Row], budget: int) -> None:
    ended = [(*row[:2], max(int(str(row[1])), int(str(row[2]))) + 1, *row[3:]) for row in rows]
    assert_no_difference(
        reader, service("s", latest(source("f", table(ended), valid_from="ts", valid_to="made"))), spine(asked), budget
    )
    gone = source("g", table(rows), time="ts", deleted="next > 3")
    assert_no_difference(reader, service("s", latest(gone)), spine(asked), budget)


@pytest.mark.slow
@settings(max_examples=40)
@given(rows=_rows, asked=_asked, budget=_budgets)
def test_a_key_that_is_an_answer_and_a_transform_of_answers(
    reader: Reader, rows: list[Row], asked: list[Row], budget: int
) -> None:
    of = source("f", table(rows), time="ts")
    first = latest(of)
    then = Use(lately(of), "then_", (("uid", first["next"]),))

    @tw.on_request
    def inverse(x: float | None, then_count_1h: int) -> float:
        return then_count_1h + 1.0 / (x or 0.0)

    assert_no_difference(reader, service("s", first, then, inverse), spine(asked), budget)


def test_an_error_of_one_part_is_the_error_and_leaves_no_files(reader: Reader) -> None:
    twice = [(1, 0, 0, 1.0, "a", 1), (1, 0, 0, 2.0, "a", 1)]
    made = replace(latest(source("f", table(twice), time="ts")), strict_ties=True)
    for budget in (None, 1):
        with pytest.raises(tw.errors.AmbiguousRows):
            answered(reader, service("s", made), spine([(1, HOUR, "a")]), budget)


@settings(max_examples=4)
@given(rows=_rows, asked=_asked, budget=_budgets)
def test_snapshots_and_histories_do_not_differ_either(reader: Reader, rows: list[Row], asked: list[Row], budget: int) -> None:
    made = latest(source("f", table(rows), time="ts", created="made"))
    whole = Features(reader())
    with tempfile.TemporaryDirectory() as folder:
        parts = Features(replace(reader(), budget=Budget(budget, Path(folder))))
        keys = [{"uid": row[0]} for row in asked]
        found, wanted = (
            [
                one.snapshot(made, at=2 * HOUR),
                one.history(made, keys, start=0, end=4 * HOUR),
                one.history(lately(made.source), keys, start=0, end=4 * HOUR, step="1h"),
            ]
            for one in (parts, whole)
        )
        assert repr([table.to_pylist() for table in found]) == repr([table.to_pylist() for table in wanted])


def test_the_nearest_vectors_are_found_piece_by_piece(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[Features.__module__], "SLICE_ROWS", 7)
    draw = np.random.default_rng(3)
    vectors = draw.integers(-2, 3, (100, 2)).astype(np.float64)
    held = {"uid": list(range(100)), "ts": [0] * 100, "v": vectors.tolist()}
    made = view_of(tw.features(source("f", pa.table(held), time="ts"), by=USER)(type("Item", (), {"v": tw.lookup("v")})))
    found = Features(reader()).nearest(made, [0.5, 0.5], k=30, metric="l2", at=1)
    distances = np.sqrt(((vectors - 0.5) ** 2).sum(axis=1))
    order = np.argsort(distances, kind="stable")[:30]
    assert found["uid"].to_pylist() == order.tolist()
    assert np.allclose(found["distance"].to_numpy(), distances[order])
