"""Paired comparison, against SciPy's bootstrap."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tidewheel.monitors.metrics import find_loss
from tidewheel.releases.compare import compare, row_losses, slices

RANDOM = np.random.default_rng(1)
HARD = RANDOM.exponential(3, 4_000)
CHAMPION = HARD * RANDOM.uniform(0.9, 1.1, 4_000)
CHALLENGER = CHAMPION * 0.97


def test_the_interval_is_that_of_the_paired_bootstrap_of_scipy() -> None:
    champion = HARD + RANDOM.normal(0, 0.3, 4_000) ** 2
    challenger = HARD + RANDOM.normal(0, 0.25, 4_000) ** 2
    found = compare("mae", challenger, champion, seed=3)

    def improvement(ours: np.ndarray, theirs: np.ndarray, axis: int = -1) -> np.ndarray:
        told: np.ndarray = (theirs.mean(axis=axis) - ours.mean(axis=axis)) / theirs.mean(axis=axis)
        return told

    told = stats.bootstrap(
        (challenger, champion),
        improvement,
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=2_000,
        rng=4,
        batch=100,
    ).confidence_interval
    width = told.high - told.low
    assert found.low == pytest.approx(told.low, abs=0.1 * width)
    assert found.high == pytest.approx(told.high, abs=0.1 * width)
    assert found.improvement == pytest.approx(improvement(challenger, champion))


def test_pairing_sees_a_small_but_steady_advantage_that_the_noise_of_the_rows_would_hide() -> None:
    assert compare("mae", CHALLENGER, CHAMPION).low > 0.0
    assert compare("mae", RANDOM.permutation(CHALLENGER), CHAMPION).low < 0.0


def test_the_same_seed_gives_the_same_interval() -> None:
    assert compare("mae", CHALLENGER, CHAMPION, seed=7) == compare("mae", CHALLENGER, CHAMPION, seed=7)
    assert compare("mae", CHALLENGER, CHAMPION, seed=7) != compare("mae", CHALLENGER, CHAMPION, seed=8)


def test_two_equal_models_hold_zero_and_a_worse_one_is_below_it() -> None:
    same = compare("rmse", CHAMPION, CHAMPION)
    assert (same.improvement, same.low, same.high) == (0.0, 0.0, 0.0)
    assert compare("mae", CHAMPION, CHALLENGER).high < 0.0


@pytest.mark.slow
def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    held = 0
    for seed in range(100):
        random = np.random.default_rng(seed)
        hard = random.exponential(1, 200)
        ours, theirs = hard + random.exponential(0.9, 200), hard + random.exponential(1.0, 200)
        found = compare("mae", ours, theirs, seed=seed)
        held += found.low <= 0.05 <= found.high  # (2.0 - 1.9) / 2.0
    assert 88 <= held <= 100


def test_for_a_metric_where_more_is_better_more_is_an_improvement() -> None:
    right, wrong = np.array([1.0] * 90 + [0.0] * 10), np.array([1.0] * 60 + [0.0] * 40)
    assert compare("accuracy", right, wrong).low > 0
    assert compare("accuracy", right, wrong).improvement == pytest.approx(0.5)


def test_a_champion_without_error_leaves_nothing_to_say() -> None:
    found = compare("mae", np.ones(50), np.zeros(50))
    assert (found.low, found.high) == (-np.inf, np.inf)


def test_losses_of_several_classes_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import accuracy_score, log_loss

    share = RANDOM.dirichlet([1, 1, 1], 200)
    label = RANDOM.integers(0, 3, 200).astype(np.float64)
    for name, told in (("accuracy", accuracy_score(label, share.argmax(axis=1))), ("log_loss", log_loss(label, share))):
        metric = find_loss(name)
        assert metric.over(row_losses(metric, share, label)) == pytest.approx(told)


@given(
    st.lists(st.floats(-9, 9) | st.none(), min_size=1, max_size=200)
    | st.lists(st.sampled_from(["a", "b"]) | st.none(), min_size=1)
)
def test_slices_hold_each_row_once(values: list[object]) -> None:
    found = slices(pa.chunked_array([values]))
    rows = np.concatenate([rows for _, rows in found])
    assert sorted(rows.tolist()) == list(range(len(values)))
    assert len({name for name, _ in found}) == len(found)


def test_a_number_of_many_values_is_cut_into_eight_parts_of_about_as_many_rows() -> None:
    found = slices(pa.chunked_array([RANDOM.normal(size=800)]))
    assert len(found) == 8
    assert all(80 <= len(rows) <= 120 for _, rows in found)
