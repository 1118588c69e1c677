"""Look-ups and windows on random rows against the plain oracle; arrival, stored tiles and both kernels give the same bits."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.features import oracle
from tests.features.forms import interpreted
from tests.features.oracle import Fact

from tidewheel.features import kernel, sweep_kernel
from tidewheel.features.definition import (
    Feature,
    FeatureView,
    Use,
    count,
    entity,
    features,
    last,
    lookup,
    max,
    mean,
    min,
    std,
    std_pop,
    sum,
    view_of,
)
from tidewheel.features.events import Events, order_rows
from tidewheel.features.plan import plan_windows
from tidewheel.features.questions import order_questions
from tidewheel.features.retrieve import answer_view
from tidewheel.features.state import Fold
from tidewheel.features.tile_bytes import pack_tiles, unpack_tiles
from tidewheel.features.tiles import build_tiles, fold
from tidewheel.schema import DataType, Field, Schema
from tidewheel.sources.definition import source

MINUTE = 60_000_000
KEYS = 3
KEY = entity("k", k=int)
EMPTY = pa.table({"k": pa.array([], pa.int64()), "ts": pa.array([], pa.int64())})
Asked = Sequence[tuple[int, int]]
AGGREGATIONS = {"sum": sum, "mean": mean, "min": min, "max": max, "std": std, "std_pop": std_pop, "last": last}


def view(made: dict[str, Feature], ttl: str | None = None) -> FeatureView:
    return view_of(features(source("f", EMPTY, time="ts"), by=KEY, ttl=ttl)(type("F", (), made)))


def rows_of(facts: Sequence[Fact], kind: pa.DataType) -> pa.Table:
    return pa.table(
        {
            "k": pa.array([f.key for f in facts], pa.int64()),
            "x": pa.array([f.value for f in facts], kind),
            "__ts": pa.array([f.ts for f in facts], pa.int64()),
            "__created": pa.array([f.created for f in facts], pa.int64()),
            "__avail": pa.array([f.known for f in facts], pa.int64()),
        }
    )


def answer(made: FeatureView, facts: Sequence[Fact], asked: Asked, kind: DataType) -> dict[str, list[object]]:
    schema = Schema((Field("k", DataType.INT64), Field("x", kind)))
    times = np.array([t for _, t in asked], dtype=np.int64)
    keys = {"k": pa.array([key for key, _ in asked], pa.int64())}
    columns, _ = answer_view(Use(made), schema, rows_of(facts, kind.arrow()), asked=keys, times=times)
    return {name: column.to_pylist() for name, column in columns.items()}


values = st.one_of(st.none(), st.integers(-5, 5))
floats = st.one_of(st.none(), st.floats(-1e6, 1e6, allow_nan=False))
moments = st.integers(-90, 90).map(lambda minutes: minutes * MINUTE // 2)
asked_rows = st.lists(st.tuples(st.integers(0, KEYS), moments), min_size=1, max_size=12)


@st.composite
def facts_of(draw: st.DrawFn, kinds: st.SearchStrategy[int | float | None], *, created: bool = True) -> list[Fact]:
    made = []
    for _ in range(draw(st.integers(0, 25))):
        ts = draw(moments)
        delay = draw(st.sampled_from([0, 0, MINUTE, 7 * MINUTE, 45 * MINUTE]))
        made.append(
            Fact(draw(st.integers(0, KEYS - 1)), ts, draw(st.integers(0, 2)) if created else 0, ts + delay, draw(kinds))
        )
    return made


@given(facts_of(values), asked_rows, st.sampled_from([None, 5, 30]))
@example([Fact(0, 0, 0, 0, None), Fact(0, 0, 0, 0, None), Fact(0, 0, 1, 0, None)], [(0, 0)], None)  # a tie that is then outdone
def test_lookups_are_those_of_the_oracle(facts: list[Fact], asked: Asked, ttl: int | None) -> None:
    made = view({"now": lookup("x"), "known": lookup("x", fill="last_known")}, None if ttl is None else f"{ttl}m")
    found = answer(made, facts, asked, DataType.INT64)
    limit = None if ttl is None else ttl * MINUTE
    assert found["now"] == [oracle.look_up(facts, key, t, limit) for key, t in asked]
    assert found["known"] == [oracle.look_up(facts, key, t, limit, last_known=True) for key, t in asked]


def windows() -> dict[str, Feature]:
    made = {f"{name}_{span}": make("x", f"{span}m", hop="5m") for name, make in AGGREGATIONS.items() for span in (5, 30)}
    return made | {"count_5": count("x", "5m", hop="5m"), "count_30": count("x", "30m", hop="5m")}


def expected(facts: Sequence[Fact], asked: Asked, name: str) -> list[int | float | None]:
    aggregation, span = name.rsplit("_", 1)
    return [oracle.aggregate(aggregation, oracle.window(facts, key, t, int(span) * MINUTE, 5 * MINUTE)) for key, t in asked]


@given(facts_of(values, created=False), asked_rows)
def test_windows_of_integers_are_those_of_the_oracle(facts: list[Fact], asked: Asked) -> None:
    for name, column in answer(view(windows()), facts, asked, DataType.INT64).items():
        wanted = expected(facts, asked, name)
        if name.startswith("std"):
            assert [value if value is None else pytest.approx(value, abs=1e-9) for value in wanted] == column
        else:
            assert column == wanted


@given(facts_of(values, created=False), asked_rows, st.integers(0, 20))
def test_an_exact_tail_begins_where_the_window_begins(facts: list[Fact], asked: Asked, back: int) -> None:
    span = 30 * MINUTE - 7
    made = {"ends": sum("x", timedelta(microseconds=span), tail="exact", offset=timedelta(microseconds=back * MINUTE + back))}
    wanted = [oracle.window(facts, key, t, span, 1, offset=back * (MINUTE + 1)) for key, t in asked]
    assert answer(view(made), facts, asked, DataType.INT64)["ends"] == [oracle.aggregate("sum", inside) for inside in wanted]


@given(facts_of(floats, created=False), asked_rows, st.randoms(use_true_random=False))
def test_windows_of_floats_are_those_of_the_oracle_in_any_order_of_arrival(
    facts: list[Fact], asked: Asked, chance: random.Random
) -> None:
    found = answer(view(windows()), facts, asked, DataType.FLOAT64)
    for name, column in found.items():
        wanted = expected(facts, asked, name)
        assert [None if value is None else pytest.approx(value, rel=1e-9, abs=1e-6) for value in wanted] == column
    shuffled = chance.sample(facts, len(facts))
    assert answer(view(windows()), shuffled, asked, DataType.FLOAT64) == found


@given(facts_of(floats, created=False), asked_rows, st.integers(-90, 90))
def test_stored_tiles_and_raw_events_give_the_same_bits(facts: list[Fact], asked: Asked, closed_at: int) -> None:
    made = windows() | {"word": last("w", "30m", hop="5m"), "least": min("w", "30m", hop="5m")}
    made["some"] = sum("x", "1h", hop="20m", where="x > 0")
    made["exact"] = sum("x", "25m", tail="exact")
    schema = Schema((Field("k", DataType.INT64), Field("x", DataType.FLOAT64), Field("w", DataType.STRING)))
    plan = plan_windows(view(made), schema)
    watermark = closed_at * MINUTE
    known = [Fact(f.key, f.ts, 0, f.ts, f.value) for f in facts]
    everything = events(plan.events, known)
    recent = events(plan.events, [f for f in known if f.ts >= plan.needed_from(watermark)])
    keys = np.array([key if key < KEYS else -1 for key, _ in asked], dtype=np.int64)
    times = np.array([t for _, t in asked], dtype=np.int64)
    tiles = build_tiles(plan, everything, before=np.full(KEYS, watermark))
    stored = unpack_tiles(plan, [pack_tiles(plan, tiles, key) for key in range(KEYS)])
    raw = fold(plan, everything, keys=keys, times=times)
    after = times >= watermark
    resumed = fold(plan, recent, keys=keys, times=times, closed=stored, watermark=np.full(KEYS, watermark))
    for one, other in zip(raw.columns, resumed.columns, strict=True):
        assert bits(one.filter(pa.array(after))) == bits(other.filter(pa.array(after)))


def events(schema: Schema, facts: Sequence[Fact]) -> Events:
    table = rows_of(facts, pa.float64())
    words = [None if f.value is None else f"{f.value:.0f}" for f in facts]
    table = table.append_column("w", pa.array(words, pa.string()))
    ts = table.column("__ts").to_numpy()
    ordered = order_rows(table.column("k").to_numpy(), KEYS, ts=ts, created=None, rows=table, schema=schema)
    return Events(
        ordered.offsets, ts[ordered.order], ts[ordered.order], table.select(list(schema.names)).take(pa.array(ordered.order))
    )


def bits(column: pa.Array) -> list[object]:
    return [value.hex() if isinstance(value, float) else value for value in column.to_pylist()]


def test_a_query_that_reaches_behind_a_closed_tile_that_was_not_known_yet_is_blocked() -> None:
    schema = Schema((Field("k", DataType.INT64), Field("x", DataType.FLOAT64), Field("w", DataType.STRING)))
    plan = plan_windows(view({"n": count("1h")}), schema)
    one = events(plan.events, [Fact(0, 0, 0, 0, 1.0)])
    late = Events(one.offsets, one.ts, one.known + 30 * MINUTE, one.rows)
    stored = build_tiles(plan, late, before=np.full(KEYS, 10 * MINUTE))
    nothing = events(plan.events, [])
    times = np.array([20 * MINUTE, 30 * MINUTE])
    found = fold(plan, nothing, keys=np.array([0, 0]), times=times, closed=stored, watermark=np.full(KEYS, 10 * MINUTE))
    assert (found.blocked.tolist(), found.columns[0][1].as_py()) == ([True, False], 1)


# ── both forms of the kernel ─────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def by_python() -> tuple[ModuleType, ModuleType]:
    """The kernels' source, interpreted, beside whatever form is imported."""
    folded = interpreted("kernel")
    return folded, interpreted("sweep_kernel", kernel=folded)


LAYOUTS = {fold: (2, 0) if fold in (3, 4, 7) else (1, 1) if fold >= 5 else (1, 2) for fold in range(1, 9)} | {0: (3, 0)}
LAYOUTS |= {9: (4, 0), 10: (1, 3), 11: (4, 0), 12: (1, 3)}


def run(form: ModuleType, sweep_form: ModuleType, fold_code: int, seed: int) -> tuple[bytes, ...]:
    """One random fold by one form of the kernels, over tiles and as a sweep, as bytes."""
    chance = np.random.default_rng(seed)
    wi, wf = LAYOUTS[fold_code]
    size, keys = 200, 4
    offsets = np.concatenate([[0], np.sort(chance.integers(0, size, keys - 1)), [size]]).astype(np.int64)
    ts = np.concatenate([np.sort(chance.integers(-500, 500, n)) for n in np.diff(offsets)]).astype(np.int64)
    known = ts + chance.integers(0, 2, size) * chance.integers(0, 300, size) * (seed % 2)
    ints: npt.NDArray[np.int64] = chance.integers(-(2**31), 2**31, size * (wi - 1)).astype(np.int64)
    reals = chance.normal(size=size) * 10.0 ** chance.integers(-12, 12, size)
    values = form.Values(fold_code, wi, wf, ints, reals)
    hop, window, offset = 20, (200, 1 << 62)[seed % 5 == 4], (0, 60)[seed % 5 == 3]
    opens = np.flatnonzero(np.concatenate([[True], ts[1:] // hop != ts[:-1] // hop]) | np.isin(np.arange(size), offsets[:-1]))
    first = np.concatenate([opens, [size]]).astype(np.int64)
    tile_ints, tile_floats = np.zeros(len(opens) * wi, dtype=np.int64), np.zeros(len(opens) * wf)
    states = form.States(tile_ints, tile_floats)
    form.fold_ranges(values, first, states)
    tiles = form.Tiles(
        np.searchsorted(opens, offsets).astype(np.int64),
        ts[opens] // hop * hop,
        np.maximum.reduceat(known, opens),
        np.ascontiguousarray(first[:-1]),
        states,
    )
    asked = 60
    made_ints, made_floats = np.zeros(asked * wi, dtype=np.int64), np.zeros(asked * wf)
    blocked = np.zeros(asked, dtype=np.uint8)
    moments = form.Moments(offsets, ts, known)
    codes, times = chance.integers(-1, keys, asked), chance.integers(-600, 600, asked)
    if seed > 1:  # in order each question goes on from the one before it
        codes, times = (one[np.lexsort((times, codes))] for one in (codes, times))
    form.fold_windows(
        values,
        moments,
        tiles,
        queries=form.Queries(codes, times, window, hop, offset),
        to=form.States(made_ints, made_floats),
        scratch=form.States(np.zeros(2 * wi, dtype=np.int64), np.zeros(2 * wf)),
        blocked=blocked,
    )
    in_order = order_questions(codes, times, keys=keys)
    swept = [(np.zeros(asked * wi, dtype=np.int64), np.zeros(asked * wf)) for _ in range(2)]
    folds = []
    for to in swept:
        room = form.States(np.zeros((size + 3) * wi, dtype=np.int64), np.zeros((size + 3) * wf))
        folds.append(sweep_form.Fold(values, room, form.States(*to)))
    sweep_form.sweep(
        folds,
        moments,
        sweep_form.Asked(in_order.offsets, in_order.moments, in_order.order, window, hop, offset),
        first=np.empty(size, dtype=np.int64),
        known=np.empty(size, dtype=np.int64),
    )
    for swept_ints, swept_floats in swept:
        assert (swept_ints.tobytes(), swept_floats.tobytes()) == (made_ints.tobytes(), made_floats.tobytes())
    arrays = (tile_ints, tile_floats, made_ints, made_floats, blocked)
    return tuple(array.tobytes() for array in arrays)


@pytest.mark.skipif(not kernel.COMPILED, reason="no compiled kernel: python setup.py build_ext --inplace")
@pytest.mark.parametrize("fold_code", list(Fold), ids=[one.name for one in Fold])
@pytest.mark.parametrize("seed", range(5))
def test_a_sweep_gives_the_bits_of_the_fold_over_tiles_and_both_forms_the_same(
    by_python: tuple[ModuleType, ModuleType], fold_code: Fold, seed: int
) -> None:
    assert run(kernel, sweep_kernel, int(fold_code), seed) == run(*by_python, int(fold_code), seed)


def test_the_kernel_runs_where_neither_a_compiler_nor_cython_is(tmp_path: Path) -> None:
    folder = str(Path(kernel.__file__).parent)
    code = (
        "import sys, importlib.machinery as m\n"
        "sys.modules['cython'] = None\n"
        "m.EXTENSION_SUFFIXES.clear()\n"
        "class Bare:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.startswith('tidewheel.features.') and name.endswith('kernel'):\n"
        "            import importlib.util\n"
        f"            return importlib.util.spec_from_file_location(name, {folder!r} + '/' + name.rsplit('.', 1)[1] + '.py')\n"
        "sys.meta_path.insert(0, Bare())\n"
        "import numpy as np\n"
        "from tidewheel.features import bytes_kernel, kernel, lookup_kernel, sweep_kernel\n"
        "offsets, order = np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.int64)\n"
        "lookup_kernel.group(np.array([1, 0, 1]), offsets, order)\n"
        "print([one.COMPILED for one in (bytes_kernel, kernel, lookup_kernel, sweep_kernel)], order.tolist())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("[False, False, False, False] [1, 0, 2]\n", "")
