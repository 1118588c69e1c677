"""The fold of single keys on stored bytes: the values of the general fold for every type, and both forms of the kernel."""

from __future__ import annotations

import itertools
import struct
from array import array
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.features.forms import interpreted
from tests.features.online_world import bits, same_bits

from tidewheel.clock import HOUR, MINUTE
from tidewheel.errors import Corrupt
from tidewheel.features import bytes_kernel, ending_kernel, kernel
from tidewheel.features.aggregations.distinct import distinct
from tidewheel.features.aggregations.ratio import ratio
from tidewheel.features.condition import parse_condition
from tidewheel.features.condition_steps import condition_steps
from tidewheel.features.definition import (
    FeatureView,
    count,
    entity,
    features,
    last,
    max,
    mean,
    min,
    std,
    std_pop,
    sum,
    view_of,
)
from tidewheel.features.online import Closed, OnlineLayout
from tidewheel.features.online_fold import GeneralFold
from tidewheel.features.online_view import Held, OnlineView
from tidewheel.features.plan import plan_windows
from tidewheel.features.rows import VERSION, RowCodec
from tidewheel.schema import DataType, Field, Schema
from tidewheel.sources.definition import source

NUMBER = itertools.count()
SCHEMA = Schema(
    (
        Field("uid", DataType.INT64),
        Field("id", DataType.STRING),
        Field("f", DataType.FLOAT32),
        Field("i", DataType.INT32),
        Field("b", DataType.BOOL),
        Field("d", DataType.DATE),
        Field("w", DataType.TIMESTAMP),
        Field("x", DataType.FLOAT64),
        Field("n", DataType.INT64),
        Field("s", DataType.STRING),
    )
)
SMALL = st.floats(width=32, allow_nan=False, allow_infinity=False)
WHEN = datetime(2026, 1, 1, tzinfo=UTC)
VALUES = {
    "id": st.sampled_from(["", "a", "ab", "longer than eight", None]),
    "f": st.none() | SMALL,
    "i": st.none() | st.integers(-(2**31), 2**31 - 1),
    "b": st.none() | st.booleans(),
    "d": st.none() | st.dates(date(1900, 1, 1), date(2200, 1, 1)),
    "w": st.none() | st.integers(-(10**9), 10**9).map(lambda second: WHEN + timedelta(seconds=second, microseconds=1)),
    "x": st.none() | st.floats(-1e16, 1e16) | st.sampled_from([-0.0, 0.1, 5e-324, 1e300, -1e300]),
    "n": st.none() | st.integers(-(2**57), 2**57),
    "s": st.none() | st.sampled_from(["", "b"]),
}
TIMES = st.integers(0, 40).map(lambda five: five * 5 * MINUTE) | st.integers(0, 4 * HOUR)
EVENTS = st.lists(st.tuples(TIMES, st.integers(0, 2), st.integers(0, 2 * HOUR), st.fixed_dictionaries(VALUES)), max_size=12)


def make_view(options: dict[str, object]) -> FeatureView:
    """Numbers of every type, with conditions, offsets and ratios; and some windows that are left to the general fold."""
    made = {
        "n_all": count("1h"),
        "n_s": count("s", "10m"),
        "last_f": last("f", "1h"),
        "sum_f": sum("f", "3h"),
        "std_f": std("f", "3h"),
        "min_i": min("i", "2h"),
        "sum_i": sum("i", "2h", default=3),
        "pop_i": std_pop("i", "2h"),
        "max_b": max("b", "3h"),
        "sum_b": sum("b", "3h"),
        "std_b": std("b", "3h", default=0.5),
        "max_d": max("d", "3h"),
        "min_d": min("d", "10m", default=date(2000, 1, 1)),  # type: ignore[arg-type]  # a date is a default, too
        "last_w": last("w", "3h"),
        "max_w": max("w", "1h"),
        "sum_x": sum("x", "1h"),
        "mean_n": mean("n", "3h"),
        "n_where": count("1h", where="n > 3 AND x <= 2.5 OR s = 'b'"),
        "sum_where": sum("n", "2h", where="NOT b AND i IN (1, 2, -7)"),
        "mean_back": mean("x", "1h", hop="20m", offset="40m", where="f IS NOT NULL"),
        "min_ever": min("n", "forever", hop="1h", offset="1h"),
        "share": ratio(count("1h", where="b"), sum("i", "2h", offset="20m"), default=0.5),
        "last_s": last("s", "3h"),
        "kinds": distinct("s", "2h"),
        "n_like": count("1h", where="s LIKE 'b%'"),
        "share_s": ratio(count("s", "1h", where="s LIKE 'b%'"), count("s", "3h")),
    }
    where = source(f"of_key{next(NUMBER)}", "x.parquet", time="ts", **options)  # type: ignore[arg-type]  # options of any test
    return view_of(features(where, by=entity("user", uid=int))(type("View", (), made)))


def answers(
    options: dict[str, object], events: list[tuple[int, int, int, dict[str, object]]], at: list[int]
) -> tuple[list[list[object]], list[list[object]]]:
    """One column per feature, and the same by the general fold alone."""
    layout = OnlineLayout(make_view(options), 1, SCHEMA)
    rows = sorted(
        layout.row(ts, created, available=ts + delay, values=[values[name] for name in layout.columns])
        for ts, created, delay, values in events
    )
    items = sorted(layout.numbered(rows))
    asked = list(dict.fromkeys([*((0, one) for one in at), (1, at[0])]))
    keys, times = (list(one) for one in zip(*asked, strict=True))
    held = Held([None, None], [items, []])
    answer = OnlineView(layout).answer(held, keys, times)
    plan = plan_windows(layout.view, SCHEMA)
    general = GeneralFold(plan, layout, range(len(plan.windows)))
    folded = general.fold((held.rows, held.sets), asked, [-(1 << 62)] * 2)
    return [list(column) for column in zip(*answer.rows, strict=True)], folded


@given(
    options=st.sampled_from(
        [{}, {"after": "15m"}, {"available": "w"}, {"event_id": "id", "created": "w"}, {"event_id": "n", "created": "w"}]
    ),
    events=EVENTS,
    at=st.lists(TIMES, min_size=1, max_size=3),
)
def test_every_type_folds_as_in_the_general_fold(
    options: dict[str, object], events: list[tuple[int, int, int, dict[str, object]]], at: list[int]
) -> None:
    assert same_bits(*answers(options, events, at))


NUMBERS = ("n = 3", "3 < n", "n <> -2", "x >= 2", "1.5 > x", "f < 16777216", "f = 0.5", "i <= 2147483648", "n IN (1, NULL, 3)")
OTHERS = ("x BETWEEN -1 AND 2.5", "b", "b = false", "b IS TRUE", "s = 'b'", "s > ''", "id <= 'ab'", "w IS NULL", "n = NULL")
COMPARED = st.sampled_from([*NUMBERS, *OTHERS, "x = -0.0"])
CONDITIONS = st.recursive(
    COMPARED,
    lambda inner: (
        inner.map(lambda one: f"NOT ({one})")
        | st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(lambda three: f"({' '.join(three)})")
    ),
    max_leaves=5,
)


@given(condition=CONDITIONS, values=st.lists(st.fixed_dictionaries(VALUES), min_size=1, max_size=8))
def test_a_condition_on_bytes_is_what_arrow_makes_of_it(condition: str, values: list[dict[str, object]]) -> None:
    made = features(source(f"of_key{next(NUMBER)}", "x.parquet", time="ts"), by=entity("user", uid=int))(
        type("View", (), {"n": count("3h", where=condition), "every": last("s", "3h"), "other": last("id", "3h")})
    )
    layout = OnlineLayout(view_of(made), 1, SCHEMA)
    assert condition_steps(condition, layout.codec, layout.columns) is not None
    items = [
        layout.row(number, 0, available=0, values=[one[name] for name in layout.columns]) + bytes(4)
        for number, one in enumerate(values)
    ]
    counted = OnlineView(layout).answer(Held([None], [items]), [0], [MINUTE]).rows[0][0]
    schema = {name: SCHEMA[name].type.arrow() for name in parse_condition(condition).columns}
    table = pa.table({name: pa.array([one[name] for one in values], kind) for name, kind in schema.items()})
    assert counted == np.count_nonzero(parse_condition(condition).mask(table))


def test_foreign_bytes_are_corrupt_not_misread() -> None:
    layout = OnlineLayout(make_view({}), 1, SCHEMA)
    other = RowCodec(Schema((Field("y", DataType.FLOAT64),)))
    view = OnlineView(layout)
    for held in (
        Held([None], [[other.encode(1, 0, (2.0,)) + bytes(4)]]),
        Held([None], [[b"short"]]),
        Held([Closed(1, 0, 0, (), b"\xff\xff\xff\xff").encode()], [[]]),
        Held([Closed(1, 0, 0, (), b"\0\0\0").encode()], [[]]),
        Held([Closed(1, 0, 0, (), b"").encode()[:-1]], [[]]),
    ):
        with pytest.raises(Corrupt):
            view.answer(held, [0], [HOUR])


@pytest.mark.skipif(not kernel.COMPILED, reason="no compiled kernel: python setup.py build_ext --inplace")
@pytest.mark.parametrize("seed", range(5))
def test_both_forms_of_the_kernel_fold_bytes_to_the_same_bits(seed: int) -> None:
    folded = interpreted("kernel")
    ended = interpreted("ending_kernel", kernel=folded)
    slow = interpreted("bytes_kernel", kernel=folded, ending_kernel=ended)
    chance = np.random.default_rng(seed)
    codec = RowCodec(Schema((Field("x", DataType.FLOAT64), Field("f", DataType.FLOAT32), Field("n", DataType.INT64))))
    rows = []
    for ts in np.sort(chance.integers(-500, 500, 80)).tolist():
        values = (float(chance.normal() * 1e9), float(np.float32(chance.normal())), int(chance.integers(-(2**50), 2**50)))
        rows.append(codec.encode(ts, 0, [value if chance.random() < 0.9 else None for value in values]) + bytes(4))
    groups: list[tuple[int, ...]] = []
    columns: list[tuple[int, ...]] = []
    windows: list[int] = []
    answers: list[tuple[int, ...]] = []
    i = f = 0
    x, f32, n = (codec.slot(place) for place in range(3))
    for kind, slot, folds in ((4, x, (1, 2, 5, 6, 8)), (3, f32, (1, 2, 5, 6, 8)), (2, n, (0, 3, 4, 7))):
        for fold in folds:
            wi, wf, encoding = (3, 0, 1) if fold == 0 else (2, 0, 2) if fold in (3, 4, 7) else (1, 2 if fold < 5 else 1, 3)
            columns.append((encoding, kind, slot.offset, slot.presence, slot.mask, 0 if fold == 1 else -1))
            groups.append((fold, wi, wf, 20, len(groups), 2, 0))
            for span in ((60, 0), (300, 40)):
                windows += span
                endings = (3, 6)[fold == 2], (2, 7)[fold == 2], 0
                for ending in endings if fold < 3 else (1,):
                    answers.append((ending, i, f if wf else -1, len(answers)))
                i, f = i + wi, f + wf
    tiles = b"".join(_tiles(chance, group[1], group[2]) for group in groups)
    results = []
    for form, endings_form in ((bytes_kernel, ending_kernel), (slow, ended)):
        shown = [*itertools.chain(*answers)]
        plan = form.KeyPlan(
            tuple(array("q", one) for one in (itertools.chain(*columns), itertools.chain(*groups), windows)),
            conditions=[form.Condition(array("q", [2, 4, x.offset, x.presence, x.mask, 2, 0]), array("d", [1e8]), [])],
            endings=endings_form.Endings(
                array("q", shown), defaults=[None] * len(answers), converters=[None] * len(answers), shown=len(answers)
            ),
            layout=(0, VERSION, codec.fingerprint, codec.size, 0, -1, 30),
            sizes=(1, 400, 3, 2, i, f),
        )
        head = bytes(16) + struct.pack(">q", -200)
        held = [head + tiles, None, None], [rows, rows, []]
        asked = [(key, t) for key in range(3) for t in (-200, 0, 7, 333, 600)]
        keys, times = [key for key, _ in asked], [t for _, t in asked]
        how, _, made = form.fold_keys(plan, *held, keys=keys, times=times, since=-(1 << 62))
        assert how == form.FOLDED
        assert form.fold_keys(plan, *held, keys=[1, 0], times=[0, -300], since=-(1 << 62))[:2] == (form.EARLY, 1)
        assert form.fold_keys(plan, *held, keys=[0], times=[-200], since=-199)[:2] == (form.EARLY, 0)
        assert form.fold_keys(plan, [b"short"], [[]], keys=[0], times=[0], since=0)[:2] == (form.CORRUPT, 0)
        results.append([[bits(value) for value in row] for row in made])
    assert results[0] == results[1]


def _tiles(chance: np.random.Generator, wi: int, wf: int) -> bytes:
    """Tiles from -600 up to -200, known 50 after they end."""
    starts = np.arange(-600, -200, 20)
    ints = chance.integers(1, 50, len(starts) * wi)
    parts = (starts, np.minimum(starts + 70, -200), ints)
    floats = np.abs(chance.normal(size=len(starts) * wf)).astype("<f8").tobytes()
    return struct.pack("<I", len(starts)) + b"".join(part.astype("<i8").tobytes() for part in parts) + floats
