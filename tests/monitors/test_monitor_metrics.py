"""The numbers of monitors, against SciPy and plain arithmetic."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from tidewheel.errors import NotFound
from tidewheel.monitors import distributions
from tidewheel.monitors.metrics import LOSSES, find_loss
from tidewheel.monitors.metrics.chi_square import chi_square
from tidewheel.monitors.metrics.kolmogorov_smirnov import kolmogorov_smirnov
from tidewheel.monitors.metrics.psi import psi, psi_noise
from tidewheel.monitors.profile import FINE, Bins

counts = st.lists(st.integers(0, 500), min_size=2, max_size=12)


@given(st.floats(0.01, 300), st.integers(1, 80))
def test_chi_square_tail_is_that_of_scipy(value: float, freedom: int) -> None:
    assert distributions.chi_square_tail(value, freedom) == pytest.approx(stats.chi2.sf(value, freedom), rel=1e-8, abs=1e-13)


@given(st.floats(0.5001, 0.99999), st.integers(1, 80))
def test_quantiles_are_those_of_scipy(probability: float, freedom: int) -> None:
    assert distributions.chi_square_quantile(probability, freedom) == pytest.approx(
        stats.chi2.ppf(probability, freedom), rel=1e-7
    )
    assert distributions.student_quantile(probability, freedom) == pytest.approx(
        stats.t.ppf(probability, freedom), rel=1e-7, abs=1e-9
    )
    assert distributions.normal_quantile(probability) == pytest.approx(stats.norm.ppf(probability), abs=1e-9)


@given(st.floats(0.001, 5))
def test_kolmogorov_tail_is_that_of_scipy(value: float) -> None:
    assert distributions.kolmogorov_tail(value) == pytest.approx(special.kolmogorov(value), rel=1e-9, abs=1e-13)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_benjamini_hochberg_is_that_of_scipy(p_values: list[float]) -> None:
    found = distributions.benjamini_hochberg(p_values)
    assert found == pytest.approx(stats.false_discovery_control(p_values, method="bh").tolist(), abs=1e-12)


@given(counts, st.data())
def test_psi_is_the_sum_in_its_definition(expected: list[int], data: st.DataObject) -> None:
    actual = data.draw(st.lists(st.integers(0, 500), min_size=len(expected), max_size=len(expected)))
    used = [(e + 0.5, a + 0.5) for e, a in zip(expected, actual, strict=True) if e + a > 0]
    all_expected, all_actual = sum(e for e, _ in used), sum(a for _, a in used)
    told = sum((a / all_actual - e / all_expected) * math.log((a / all_actual) / (e / all_expected)) for e, a in used)
    assert psi(np.array(expected), np.array(actual)) == pytest.approx(told, abs=1e-12)


def test_psi_of_two_samples_of_one_population_is_the_noise_on_average() -> None:
    random = np.random.default_rng(1)
    share = np.full(10, 0.1)
    values = [psi(random.multinomial(20_000, share), random.multinomial(1_000, share)) for _ in range(400)]
    assert float(np.mean(values)) == pytest.approx(psi_noise(10, 20_000, 1_000), rel=0.1)


@given(st.lists(st.integers(0, 30), min_size=5, max_size=200), st.lists(st.integers(0, 30), min_size=5, max_size=200))
def test_kolmogorov_smirnov_distance_is_that_of_scipy_when_each_value_has_a_bin(one: list[int], two: list[int]) -> None:
    bins = Bins.of(pa.chunked_array([pa.array(range(31), pa.int64())]))
    found, _ = kolmogorov_smirnov(bins.count(pa.chunked_array([one]))[:-1], bins.count(pa.chunked_array([two]))[:-1])
    assert found == pytest.approx(stats.ks_2samp(one, two, method="asymp").statistic, abs=1e-12)


def test_kolmogorov_smirnov_on_quantile_bins_is_close_to_scipy_and_never_above() -> None:
    random = np.random.default_rng(2)
    for shift in (0.0, 0.02, 0.05, 0.2):
        one, two = random.normal(size=20_000), random.normal(shift, size=3_000)
        bins = Bins.of(pa.chunked_array([one]))
        found, p_value = kolmogorov_smirnov(bins.count(pa.chunked_array([one]))[:-1], bins.count(pa.chunked_array([two]))[:-1])
        told = stats.ks_2samp(one, two, method="asymp")
        assert told.statistic - 1 / FINE <= found <= told.statistic + 1e-12
        at_this_distance = stats.kstwo.sf(found, round(20_000 * 3_000 / 23_000))
        assert p_value == pytest.approx(at_this_distance, rel=0.05, abs=1e-9)


@given(counts, st.data())
def test_chi_square_is_that_of_scipy(expected: list[int], data: st.DataObject) -> None:
    actual = data.draw(st.lists(st.integers(0, 500), min_size=len(expected), max_size=len(expected)))
    found, p_value = chi_square(np.array(expected), np.array(actual))
    table = np.array([expected, actual])[:, (np.array(expected) + np.array(actual)) > 0]
    if table.shape[1] < 2 or 0 in table.sum(axis=1):
        assert (found, p_value) == (0.0, 1.0)
        return
    told = stats.chi2_contingency(table, correction=False)
    assert p_value == pytest.approx(told.pvalue, rel=1e-7, abs=1e-12)
    assert found == pytest.approx(math.sqrt(told.statistic / table.sum()), abs=1e-12)


@given(st.lists(st.floats(-5, 5) | st.none(), min_size=2, max_size=60), st.integers(0, 60))
def test_profiles_of_parts_add_up_to_the_profile_of_the_whole(values: list[float | None], cut: int) -> None:
    column = pa.chunked_array([pa.array(values, pa.float64())])
    bins = Bins.of(column)
    assert (bins.count(column[:cut]) + bins.count(column[cut:])).tolist() == bins.count(column).tolist()
    assert bins.count(column).sum() == len(values)
    assert bins.grouped(bins.count(column)).sum() == len(values)


@pytest.mark.parametrize(
    "values",
    [
        [True, False, None],
        ["a", "b", None],
        [1, 2, 3],
        pa.array([0, 86_400_000_000], pa.timestamp("us", tz="UTC")),
        pa.array([1, None], pa.date32()),
        pa.array(["1.50"], pa.string()).cast(pa.decimal128(10, 2)),
        pa.nulls(3),
        [float("nan"), float("inf"), -float("inf"), 1e308],
        [b"x", b"\xff"],
    ],
)
def test_a_column_of_any_type_is_counted_and_nulls_apart(values: list[object] | pa.Array) -> None:
    column = pa.chunked_array([values])
    bins = Bins.of(column)
    found = bins.count(column)
    empty = sum(value is None or value != value for value in column.to_pylist())
    assert (int(found.sum()), int(found[-1])) == (len(column), empty)


def test_groups_hold_a_tenth_of_the_rows_each_and_one_heavy_value_is_a_group_of_its_own() -> None:
    even = Bins.of(pa.chunked_array([np.random.default_rng(3).normal(size=10_000)]))
    shares = even.grouped(even.count(pa.chunked_array([np.random.default_rng(3).normal(size=10_000)])))[:-1] / 10_000
    assert len(shares) == 10
    assert shares.min() > 0.08 and shares.max() < 0.12
    heavy = Bins.of(pa.chunked_array([[0] * 900 + list(range(1, 101))]))
    assert 900 in heavy.grouped(heavy.count(pa.chunked_array([[0] * 900 + list(range(1, 101))]))).tolist()


def test_categories_beyond_the_most_common_share_a_bin() -> None:
    text = [name for number in range(40) for name in [f"c{number}"] * (50 - number)]
    bins = Bins.of(pa.chunked_array([text]))
    common = Counter(text).most_common(20)
    assert bins.categories == tuple(name for name, _ in common)
    assert bins.count(pa.chunked_array([["c39", "never seen", "c0"]])).tolist()[0] == 1
    assert bins.count(pa.chunked_array([["c39", "never seen", "c0"]])).tolist()[20] == 2


PREDICTIONS, LABELS = np.array([0.2, 0.9, 0.6, 0.4]), np.array([0.0, 1.0, 0.0, 0.0])


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("mae", (0.2 + 0.1 + 0.6 + 0.4) / 4),
        ("bias", (0.2 - 0.1 + 0.6 + 0.4) / 4),
        ("rmse", math.sqrt((0.04 + 0.01 + 0.36 + 0.16) / 4)),
        ("accuracy", 3 / 4),
        ("log_loss", -(math.log(0.8) + math.log(0.9) + math.log(0.4) + math.log(0.6)) / 4),
    ],
)
def test_a_loss_metric_is_its_formula(name: str, told: float) -> None:
    metric = find_loss(name)
    assert metric.over(metric.losses(PREDICTIONS, LABELS)) == pytest.approx(told, abs=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_metric_over_a_window_is_made_of_its_parts(name: str) -> None:
    metric = find_loss(name)
    losses = metric.losses(PREDICTIONS, LABELS)
    assert metric.name == name
    assert losses.shape == (4,)
    assert metric.over(losses) == pytest.approx(metric.finish((losses[:1].sum() + losses[1:].sum()) / 4))


def test_an_unknown_metric_is_named_with_its_near_miss() -> None:
    with pytest.raises(NotFound, match="mea") as caught:
        find_loss("mea")
    assert caught.value.fix == "did you mean mae?"
