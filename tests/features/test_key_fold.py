"""The fold of single keys on stored bytes: the values of the general fold for every type, and both forms of the kernel."""

from __future__ import annotations

import itertools
import struct
from array import array
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.features.forms import interpreted
from tests.features.online_world import same_bits

from tidewheel.clock import HOUR, MINUTE
from tidewheel.errors import Corrupt
from tidewheel.features import bytes_kernel, kernel
from tidewheel.features.definition import FeatureView, count, entity, features, last, max, mean, min, std, std_pop, sum, view_of
from tidewheel.features.online import Closed, OnlineLayout
from tidewheel.features.online_view import Held, OnlineView
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


def make_view(options: dict[str, object], *, general: bool) -> FeatureView:
    """Numbers of every type; ``general`` adds a feature that the fold of single keys leaves to the general one."""
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
    } | ({"last_s": last("s", "3h")} if general else {"n_s_3h": count("s", "3h")})
    where = source(f"of_key{next(NUMBER)}", "x.parquet", time="ts", **options)  # type: ignore[arg-type]  # options of any test
    return view_of(features(where, by=entity("user", uid=int))(type("View", (), made)))


def answers(
    options: dict[str, object], events: list[tuple[int, int, int, dict[str, object]]], at: list[int], *, general: bool
) -> list[list[object]]:
    """One column per feature."""
    layout = OnlineLayout(make_view(options, general=general), 1, SCHEMA)
    rows = sorted(
        layout.row(ts, created, available=ts + delay, values=[values[name] for name in layout.columns])
        for ts, created, delay, values in events
    )
    items = sorted(layout.numbered(rows))
    answer = OnlineView(layout).answer(Held([None, None], [items, []]), [0] * len(at) + [1], [*at, at[0]])
    return [list(column) for column in zip(*answer.rows, strict=True)][:-1]


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
    assert same_bits(answers(options, events, at, general=False), answers(options, events, at, general=True))


def test_foreign_bytes_are_corrupt_not_misread() -> None:
    layout = OnlineLayout(make_view({}, general=False), 1, SCHEMA)
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
    forms = ((bytes_kernel, kernel), (interpreted("bytes_kernel", kernel=folded), folded))
    chance = np.random.default_rng(seed)
    codec = RowCodec(Schema((Field("x", DataType.FLOAT64), Field("f", DataType.FLOAT32), Field("n", DataType.INT64))))
    rows = []
    for ts in np.sort(chance.integers(-500, 500, 80)).tolist():
        values = (float(chance.normal() * 1e9), float(np.float32(chance.normal())), int(chance.integers(-(2**62), 2**62)))
        rows.append(codec.encode(ts, 0, [value if chance.random() < 0.9 else None for value in values]))
    made = []
    x, f, n = (codec.slot(place) for place in range(3))
    for kind, slot, folds in ((4, x, (1, 2, 5, 6, 8)), (3, f, (1, 2, 5, 6, 8)), (2, n, (0, 3, 4, 7))):
        for fold in folds:
            wi, wf, encoding = (3, 0, 1) if fold == 0 else (2, 0, 2) if fold in (3, 4, 7) else (1, 2 if fold < 5 else 1, 3)
            made.append((fold, wi, wf, 20, encoding, kind, slot.offset, slot.presence, slot.mask, 2))
    tiles = b"".join(_tiles(chance, group[1], group[2]) for group in made)
    results = []
    for form, states in forms:
        groups, windows = array("q", itertools.chain(*made)), array("q", [60, 300] * len(made))
        plan = form.KeyPlan(groups, windows, (VERSION, codec.fingerprint, codec.size, -1, 30))
        keys = [form.Stored(b"mark" + tiles, 4, rows, -200), form.Stored(b"", 0, rows, -(1 << 62)), form.Stored(b"", 0, [], 0)]
        times = [-200, 0, 7, 333, 600]
        size = len(keys) * len(times) * len(windows)
        ints, floats = np.zeros(size * 3, dtype=np.int64), np.zeros(size * 2)
        asked = [(key, t) for key in keys for t in times]
        to = states.States(ints, floats)
        assert form.fold_keys(plan, [key for key, _ in asked], [t for _, t in asked], to=to) == -1
        assert form.fold_keys(plan, [keys[0]], [-300], to=states.States(ints.copy(), floats.copy())) == 0
        results.append((ints.tobytes(), floats.tobytes()))
    assert results[0] == results[1]


def _tiles(chance: np.random.Generator, wi: int, wf: int) -> bytes:
    """Tiles from -600 up to -200, known 50 after they end."""
    starts = np.arange(-600, -200, 20)
    ints = chance.integers(1, 50, len(starts) * wi)
    parts = (starts, np.minimum(starts + 70, -200), ints)
    floats = np.abs(chance.normal(size=len(starts) * wf)).astype("<f8").tobytes()
    return struct.pack("<I", len(starts)) + b"".join(part.astype("<i8").tobytes() for part in parts) + floats
