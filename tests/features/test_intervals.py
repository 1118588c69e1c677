"""Rows that are visible for a while: both forms of the kernel beside a look at every row for every question."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from tests.features.forms import interpreted

from tidewheel.features import intervals, standing_kernel
from tidewheel.features.intervals import FOREVER, find_standing, replaced_until
from tidewheel.features.questions import order_questions

KEYS = 4


@pytest.fixture(params=["imported", "interpreted"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    made = standing_kernel if request.param == "imported" else interpreted("standing_kernel")
    monkeypatch.setattr(intervals, "standing_kernel", made)
    return made


@pytest.mark.parametrize("longest", [1, 3, 400])
def test_the_greatest_row_that_stands_is_found_however_rows_outlive_each_other(form: ModuleType, longest: int) -> None:
    for seed in range(8):
        chance = np.random.default_rng(seed)
        offsets = np.concatenate([[0], np.sort(chance.integers(0, 80, KEYS - 1)), [80]]).astype(np.int64)
        since = chance.integers(0, 100, 80) if seed % 2 else np.sort(chance.integers(0, 100, 80))
        until = since + chance.integers(-1, longest, 80)
        until[chance.random(80) < 0.1] = FOREVER
        keys, times = chance.integers(-1, KEYS, 60), chance.integers(-5, 120, 60)
        found = find_standing(offsets, since, until=until, asked=order_questions(keys, times, keys=KEYS))
        for key, t, place in zip(keys, times, found, strict=True):
            rows = range(offsets[key], offsets[key + 1]) if key >= 0 else range(0)
            assert place == max((row for row in rows if since[row] <= t < until[row]), default=-1)


def test_a_row_ends_when_a_later_one_of_its_key_and_time_is_known(form: ModuleType) -> None:
    for seed in range(8):
        chance = np.random.default_rng(seed)
        offsets = np.concatenate([[0], np.sort(chance.integers(0, 60, KEYS - 1)), [60]]).astype(np.int64)
        ts = np.concatenate([np.sort(chance.integers(0, 8, size)) for size in np.diff(offsets)]).astype(np.int64)
        known, until = chance.integers(0, 50, 60), chance.integers(0, 60, 60)
        made = replaced_until(offsets, ts, known=known, until=until)
        for key in range(KEYS):
            for row in range(offsets[key], offsets[key + 1]):
                later = [known[other] for other in range(row + 1, offsets[key + 1]) if ts[other] == ts[row]]
                assert made[row] == min([until[row], *later])
