"""The sweep over floats that are known at once: the bits of the general one, in both of its forms, and who takes it."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from tests.features.forms import interpreted

from tidewheel.features import kernel, prompt_sweep_kernel, prompt_windows, sweep_kernel
from tidewheel.features.definition import count, entity, features, max, mean, std, sum, view_of
from tidewheel.features.events import Events
from tidewheel.features.plan import plan_windows
from tidewheel.features.prompt_windows import sweep_prompt
from tidewheel.features.questions import Questions, order_questions
from tidewheel.features.state import COUNT, MOMENTS, SUM, Fold, State
from tidewheel.features.tiles import fold_questions
from tidewheel.schema import DataType, Field, Schema
from tidewheel.sources.definition import source

LEAST, GREATEST = State(Fold.LEAST_FLOAT, "float", 1, 1), State(Fold.GREATEST_FLOAT, "float", 1, 1)
STATES = (COUNT, SUM, MOMENTS, LEAST, GREATEST)
HOP, LENGTHS = 20, (20, 60, 400, 1 << 62)
ODD = (0.0, -0.0, 1e308, -1e308, np.inf, -np.inf, np.nan, 5e-324)

Held = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]


def drawn(seed: int) -> tuple[Held, Questions]:
    """Events of some keys, busy and idle ones, and questions; of odd seeds with values at the ends of what a double holds."""
    chance = np.random.default_rng(seed)
    size, keys, asked = 120, 4, 50
    offsets = np.concatenate([[0], np.sort(chance.integers(0, size, keys - 1)), [size]]).astype(np.int64)
    span = (60, 3_000)[seed // 2 % 2]
    ts = np.concatenate([np.sort(chance.integers(-span, span, n)) for n in np.diff(offsets)]).astype(np.int64)
    values = chance.normal(size=size) * 10.0 ** chance.integers(-12, 12, size)
    if seed % 2:
        values = np.where(chance.random(size) < 0.3, chance.choice(np.array(ODD), size), values)
    codes, times = chance.integers(-2, keys, asked), chance.integers(-span - 100, span + 500, asked)
    return (offsets, ts, values), order_questions(codes, times, keys=keys)


def bits(ints: npt.NDArray[np.int64], floats: npt.NDArray[np.float64]) -> tuple[bytes, bytes]:
    """The states as bytes; all NaN are one, since which of its bits an operation leaves is up to the machine."""
    return ints.tobytes(), np.where(np.isnan(floats), np.nan, floats).tobytes()


def general(held: Held, questions: Questions, length: int, state: State) -> tuple[bytes, bytes]:
    """The state's integers and floats by the general sweep."""
    offsets, ts, values = held
    ints, floats = np.zeros(len(questions.keys), dtype=np.int64), np.zeros(len(questions.keys) * state.floats)
    room = kernel.States(np.empty(len(ts) + 3, dtype=np.int64), np.empty((len(ts) + 3) * state.floats))
    folded = kernel.Values(int(state.fold), 1, state.floats, np.empty(0, dtype=np.int64), values)
    sweep_kernel.sweep(
        [sweep_kernel.Fold(folded, room, kernel.States(ints, floats))],
        kernel.Moments(offsets, ts, ts),
        sweep_kernel.Asked(questions.offsets, questions.moments, questions.order, length, HOP, 0),
        first=np.empty(len(ts), dtype=np.int64),
        known=np.empty(len(ts), dtype=np.int64),
    )
    return bits(ints, floats)


@pytest.mark.parametrize("form", ["imported", "interpreted"])
@pytest.mark.parametrize("seed", range(8))
def test_its_bits_are_those_of_the_general_sweep(seed: int, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if form == "interpreted":
        monkeypatch.setattr(prompt_windows, "prompt_sweep_kernel", interpreted("prompt_sweep_kernel"))
    held, questions = drawn(seed)
    wanted = [(length, state) for length in LENGTHS for state in STATES]
    with np.errstate(all="ignore"):
        found = sweep_prompt(held, questions, wanted, hop=HOP)
        for (length, state), (ints, floats) in zip(wanted, found, strict=True):
            assert general(held, questions, length, state) == bits(ints, floats), (length, state.fold.name)


def test_a_fold_asked_alone_is_as_with_the_others() -> None:
    held, questions = drawn(2)
    for state in STATES:
        ((ints, floats),) = sweep_prompt(held, questions, [(60, state)], hop=HOP)
        assert general(held, questions, 60, state) == bits(ints, floats)


class Counted:
    """A kernel that says how often it swept."""

    def __init__(self, inner: ModuleType) -> None:
        self.inner, self.spans = inner, list[int]()

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    def sweep(self, events: object, spans: list[object], room: object, *, hop: int, folds: int) -> None:
        self.spans.append(len(spans))
        self.inner.sweep(events, spans, room, hop=hop, folds=folds)


@pytest.mark.parametrize(("delay", "swept"), [(0, [1, 2]), (1, [])])
def test_windows_of_one_hop_are_one_sweep_where_events_are_known_at_once(
    delay: int, swept: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted(prompt_sweep_kernel)
    monkeypatch.setattr(prompt_windows, "prompt_sweep_kernel", counted)
    made = {"n": count("1h"), "sum": sum("x", "1h"), "most": max("x", "1d"), "mean": mean("x", "7d"), "std": std("x", "7d")}
    empty = pa.table({"k": pa.array([], pa.int64()), "ts": pa.array([], pa.int64())})
    view = view_of(features(source("f", empty, time="ts"), by=entity("k", k=int))(type("F", (), made)))
    plan = plan_windows(view, Schema((Field("k", DataType.INT64), Field("x", DataType.FLOAT64))))
    (offsets, ts, values), questions = drawn(0)
    found = fold_questions(plan, Events(offsets, ts, ts + delay, pa.table({"x": values})), questions)
    assert sorted(counted.spans) == swept
    assert len(found) == len(made)


KEEPING = [
    *(State(fold, "integer", 1 + room, 0) for fold, room in ((Fold.LEAST, 1), (Fold.GREATEST, 1), (Fold.LAST, 1))),
    *(State(fold, "integer", 1 + room, 0) for fold in (Fold.FIRST, Fold.SOME_LAST) for room in (1, 3)),
    *(State(fold, "float", 1, 1) for fold in (Fold.LEAST_FLOAT, Fold.GREATEST_FLOAT, Fold.LAST_FLOAT)),
    *(State(fold, "float", 1, room) for fold in (Fold.FIRST_FLOAT, Fold.SOME_LAST_FLOAT) for room in (1, 3)),
]


@pytest.mark.parametrize("form", ["imported", "interpreted"])
@pytest.mark.parametrize("seed", range(6))
def test_folds_that_keep_events_have_the_same_bits_without_tiles(seed: int, form: str) -> None:
    made = sweep_kernel if form == "imported" else interpreted("sweep_kernel", kernel=interpreted("kernel"))
    states = kernel if form == "imported" else made
    (offsets, ts, values), questions = drawn(seed)
    whole = np.random.default_rng(seed).integers(-9, 9, len(ts))
    for state in KEEPING:
        folded = states.Values(int(state.fold), state.ints, state.floats, whole, values)
        for length, offset in ((20, 0), (400, 0), (1 << 62, 0), (60, 40), (400, 20)):
            found = []
            for tiled in (True, False):
                ints = np.zeros(len(questions.keys) * state.ints, dtype=np.int64)
                floats = np.zeros(len(questions.keys) * state.floats)
                room = len(ts) + 3
                held = states.States(np.empty(room * state.ints, dtype=np.int64), np.empty(room * state.floats))
                fold = made.Fold(folded, held, states.States(ints, floats))
                moments = states.Moments(offsets, ts, ts)
                asked = made.Asked(questions.offsets, questions.moments, questions.order, length, HOP, offset)
                spare = [np.empty(len(ts), dtype=np.int64) for _ in range(2)]
                if tiled:
                    made.sweep([fold], moments, asked, first=spare[0], known=spare[1])
                else:
                    made.sweep_rows(fold, moments, asked, queue=spare[0])
                found.append((ints.tobytes(), floats.tobytes()))
            assert found[0] == found[1], (state.fold.name, length, offset)
