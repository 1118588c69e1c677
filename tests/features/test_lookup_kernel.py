"""The loops of look-ups against NumPy and plain Python, and both forms of their kernel against each other."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest

from tidewheel.features import lookup_kernel
from tidewheel.features.questions import order_questions

Integers = npt.NDArray[np.int64]


def interpreted() -> ModuleType:
    """The kernel's source, interpreted, beside whatever form is imported."""
    path = Path(lookup_kernel.__file__).with_name("lookup_kernel.py")
    spec = importlib.util.spec_from_file_location("interpreted_lookup_kernel", path)
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    assert not made.COMPILED
    return made


FORMS = [
    pytest.param(lookup_kernel, id="compiled" if lookup_kernel.COMPILED else "as imported"),
    pytest.param(interpreted(), id="interpreted"),
]
SEEDS = range(5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", SEEDS)
def test_rows_are_grouped_stably(form: ModuleType, seed: int) -> None:
    codes = np.random.default_rng(seed).integers(-2, 7, 200)
    offsets, order = np.zeros(8, dtype=np.int64), np.zeros(200, dtype=np.int64)
    kept = form.group(codes, offsets, order)
    assert order[:kept].tolist() == [row for row in np.argsort(codes, kind="stable").tolist() if codes[row] >= 0]
    assert np.diff(offsets).tolist() == [int((codes == code).sum()) for code in range(7)]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("span", [1, 7, 2_047, 2_048, 1 << 40, (1 << 63) - 1])
def test_times_are_put_in_order_stably(form: ModuleType, span: int) -> None:
    chance = np.random.default_rng(span % 97)
    times = chance.integers(-(span // 3), span - span // 3, 300)
    times[::5] = times[0]
    order, spare, counts = np.empty(300, dtype=np.int64), np.empty(300, dtype=np.int64), np.empty(2_048, dtype=np.int64)
    moved = form.order_times(times, int(times.min()), most=int(times.max()), order=order, spare=spare, counts=counts)
    assert (spare if moved else order).tolist() == np.argsort(times, kind="stable").tolist()


@pytest.mark.parametrize("spread", [1_000, 1 << 62])
def test_many_questions_are_ordered_by_key_and_time(spread: int) -> None:
    chance = np.random.default_rng(3)
    codes, times = chance.integers(-1, 9, 5_000), chance.integers(-spread, spread, 5_000)
    asked = order_questions(codes, times, keys=9)
    wanted = [row for row in np.lexsort((times, codes)).tolist() if codes[row] >= 0]
    assert asked.order.tolist() == wanted
    assert asked.moments.tolist() == times[wanted].tolist()


class Slots:
    """Questions of some keys, and what one form of the kernel keeps of them."""

    def __init__(self, form: ModuleType, chance: np.random.Generator, *, keys: int = 4, questions: int = 30) -> None:
        self.offsets = np.concatenate([[0], np.sort(chance.integers(0, questions, keys - 1)), [questions]]).astype(np.int64)
        sizes = np.diff(self.offsets)
        self.times = np.concatenate([np.sort(chance.integers(-20, 20, n)) for n in sizes]).astype(np.int64)
        held = np.zeros((questions, 4), dtype=np.int64)
        held[:, 0], held[:, 3] = self.times, -1
        self.ts, self.created, self.row = held[:, 1], held[:, 2], held[:, 3]
        self.tied = np.zeros(questions, dtype=np.uint8)
        self.kernel = form.Slots(self.offsets, held, self.tied, self.offsets[:-1].copy())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", SEEDS)
def test_the_greatest_visible_row_of_every_question_is_found(form: ModuleType, seed: int) -> None:
    chance = np.random.default_rng(seed)
    slots, size = Slots(form, chance), 60
    codes, ts = chance.integers(-2, 4, size), chance.integers(-20, 20, size)
    created, known = chance.permutation(size), ts + chance.integers(-3, 5, size)  # no two rows are alike
    buffers = [np.empty(size, dtype=np.int64) for _ in range(3)]
    offers = form.Offers(codes, ts, created, known)
    taken, ties = form.offer(slots.kernel, offers, touched=buffers[0], rivals=buffers[1], rival_slots=buffers[2])
    assert ties == 0
    changed = buffers[0][:taken]
    assert sorted(changed.tolist()) == np.flatnonzero(slots.row < -1).tolist()
    slots.row[changed] = -2 - slots.row[changed]
    marks, doubts = np.zeros(30, dtype=np.uint8), np.zeros(30, dtype=np.uint8)
    found = np.empty(30, dtype=np.int64)
    assert form.equals(slots.kernel, marks) == 0
    assert form.settle(slots.kernel, np.empty(0, dtype=np.int64), found=found, doubts=doubts) == 0
    for key in range(4):
        for at in range(int(slots.offsets[key]), int(slots.offsets[key + 1])):
            t = int(slots.times[at])
            seen = [row for row in range(size) if codes[row] == key and ts[row] <= t and known[row] <= t]
            assert found[at] == max(seen, key=lambda row: (ts[row], created[row]), default=-1)


@pytest.mark.parametrize("seed", SEEDS)
def test_both_forms_keep_the_same(seed: int) -> None:
    kept = []
    for form in (lookup_kernel, interpreted()):
        chance = np.random.default_rng(seed)
        slots, size = Slots(form, chance), 60
        codes, ts = chance.integers(-2, 4, size), chance.integers(-5, 5, size)
        offers = form.Offers(codes, ts, chance.integers(0, 2, size), ts + chance.integers(0, 3, size))
        buffers = [np.zeros(size, dtype=np.int64) for _ in range(3)]
        counts = form.offer(slots.kernel, offers, touched=buffers[0], rivals=buffers[1], rival_slots=buffers[2])
        slots.row[buffers[0][: counts[0]]] = np.arange(counts[0])
        slots.tied[::3] = 1
        marks, doubts = np.zeros(30, dtype=np.uint8), np.zeros(30, dtype=np.uint8)
        found = np.empty(30, dtype=np.int64)
        equal = form.equals(slots.kernel, marks)
        ambiguous = form.settle(slots.kernel, chance.integers(0, 3, 30), found=found, doubts=doubts)
        arrays: tuple[npt.NDArray[np.generic], ...] = (
            slots.ts,
            slots.created,
            slots.row,
            slots.tied,
            marks,
            doubts,
            found,
            *buffers,
        )
        kept.append((counts, equal, ambiguous, *(array.tobytes() for array in arrays)))
    assert kept[0] == kept[1]
