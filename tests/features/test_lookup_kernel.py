"""The loops of look-ups against NumPy and plain Python, and both forms of their kernel against each other."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest

from tidewheel.features import lookup_kernel

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


def random_groups(chance: np.random.Generator, size: int = 200, keys: int = 4) -> Integers:
    return np.concatenate([[0], np.sort(chance.integers(0, size, keys - 1)), [size]]).astype(np.int64)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", SEEDS)
def test_record_highs_are_those_above_the_running_maximum(form: ModuleType, seed: int) -> None:
    chance = np.random.default_rng(seed)
    offsets, ranks = random_groups(chance), chance.permutation(200).astype(np.int64)
    high = np.zeros(200, dtype=np.uint8)
    form.record_highs(offsets, ranks, high)
    wanted = np.zeros(200, dtype=bool)
    for lo, hi in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        group = ranks[lo:hi]
        wanted[lo:hi] = group == np.maximum.accumulate(group) if hi > lo else []
    assert high.astype(bool).tolist() == wanted.tolist()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", SEEDS)
def test_latest_is_the_last_one_known(form: ModuleType, seed: int) -> None:
    chance = np.random.default_rng(seed)
    offsets = random_groups(chance)
    known = np.concatenate([np.sort(chance.integers(-500, 500, n)) for n in np.diff(offsets)]).astype(np.int64)
    keys, times = chance.integers(-2, 4, 60), chance.integers(-600, 600, 60)
    found = np.zeros(60, dtype=np.int64)
    form.latest(offsets, known, keys=keys, times=times, found=found)
    for key, t, place in zip(keys.tolist(), times.tolist(), found.tolist(), strict=True):
        visible = [row for row in range(offsets[key], offsets[key + 1]) if known[row] <= t] if key >= 0 else []
        assert place == max(visible, default=-1)
