"""Calibration: quiet while nothing changes beyond the baseline's own weeks, loud when it does."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tidewheel.clock import DAY, WEEK
from tidewheel.errors import Invalid
from tidewheel.monitors.calibrate import PRACTICAL_PSI, calibrate
from tidewheel.monitors.judge import judge_drift, judge_performance, profile

A_YEAR = 7 / 365


def season(weeks: int, *, seed: int, rows: int = 300, first_week: int = 0, swing: float = 0.4, shift: float = 0.0) -> pa.Table:
    """Weeks of rows: a feature with a yearly season and random weeks, and a label that follows the prediction."""
    random = np.random.default_rng(seed)
    week = np.repeat(np.arange(first_week, first_week + weeks), rows)
    at = week * WEEK + np.sort(random.integers(0, WEEK, size=(weeks, rows)), axis=1).ravel()
    weekly = random.normal(0, 0.1, weeks)[week - first_week]
    pace = swing * np.sin(2 * np.pi * week / 52) + weekly + random.normal(size=len(at)) + shift
    hour = at // 3_600_000_000 % 24
    still = random.exponential(size=len(at))
    prediction = 10 + pace
    return pa.table(
        {
            "f.pace": pace,
            "f.hour": hour,
            "f.still": still,
            "f.kind": np.where(still > 1, "long", "short"),
            "prediction": prediction,
            "label": prediction + random.normal(0, 2, len(at)),
            "at": at,
        }
    )


def week_of(table: pa.Table, number: int) -> pa.Table:
    at = table["at"].to_numpy()
    return table.filter(pa.array(at // WEEK == number))


@pytest.mark.slow
def test_a_second_year_like_the_first_is_quiet_and_a_shift_is_not() -> None:
    calibration = calibrate(season(52, seed=1), window=WEEK, chance=A_YEAR, metrics=("mae", "bias"))
    assert (calibration.method, calibration.windows) == ("windows", 52)
    calm = season(52, seed=2, first_week=52)
    alarms = [
        number
        for number in range(52, 104)
        if any(check.breach for check in judge_drift(calibration, profile(calibration, week_of(calm, number))))
        or any(check.breach for check in judge_performance(calibration, week_of(calm, number)))
    ]
    assert len(alarms) <= 3  # one a year is asked for; three or more come by chance in one year of twelve
    moved = judge_drift(calibration, profile(calibration, season(1, seed=3, first_week=60, shift=1.5)))
    assert [check.column for check in moved if check.breach] == ["f.pace", "prediction"] or [
        check.column for check in moved if check.breach
    ] == ["prediction", "f.pace"]


def test_a_season_widens_the_limit_of_the_feature_that_has_it_only() -> None:
    calm = calibrate(season(52, seed=4, swing=0.0), window=WEEK, chance=A_YEAR)
    wide = calibrate(season(52, seed=4, swing=1.0), window=WEEK, chance=A_YEAR)
    assert wide.columns["f.pace"].limit(300) > 3 * calm.columns["f.pace"].limit(300)
    assert wide.columns["f.still"].limit(300) == pytest.approx(calm.columns["f.still"].limit(300), rel=0.05)


def test_a_limit_is_never_below_what_matters_in_practice() -> None:
    still = calibrate(season(52, seed=5, swing=0.0, rows=3_000), window=WEEK, chance=A_YEAR)
    assert still.columns["f.still"].limit(3_000) == PRACTICAL_PSI


@pytest.mark.slow
def test_small_windows_are_allowed_to_stray_further() -> None:
    calibration = calibrate(season(52, seed=6), window=WEEK, chance=A_YEAR, metrics=("mae",))
    column, metric = calibration.columns["f.pace"], calibration.metrics["mae"]
    assert column.limit(30) > column.limit(100) > column.limit(300)
    assert (metric.limits(30)[1] or 0) > (metric.limits(300)[1] or 0)
    alarms = 0
    for seed in range(60):
        small = season(1, seed=100 + seed, rows=40, first_week=seed)
        alarms += any(check.breach for check in judge_drift(calibration, profile(calibration, small)))
    assert alarms <= 2


@pytest.mark.slow
@pytest.mark.parametrize("weeks", [1, 2, 4])
def test_a_short_baseline_is_resampled_in_days_and_stays_quiet_on_weeks_like_it(weeks: int) -> None:
    calibration = calibrate(season(weeks, seed=7, swing=0.0), window=WEEK, chance=A_YEAR, metrics=("mae",))
    assert calibration.method == "bootstrap"
    calm = season(20, seed=8, swing=0.0, first_week=weeks)
    alarms = sum(
        any(check.breach for check in judge_drift(calibration, profile(calibration, week_of(calm, number))))
        for number in range(weeks, weeks + 20)
    )
    assert alarms <= 1
    moved = judge_drift(calibration, profile(calibration, season(1, seed=9, shift=1.5)))
    assert any(check.breach for check in moved)


def test_hours_of_the_day_do_not_alarm_though_each_day_differs_from_the_other() -> None:
    calibration = calibrate(season(3, seed=10), window=DAY, chance=A_YEAR)
    assert calibration.columns["f.hour"].limit(43) < 1.5


def test_worse_answers_alarm_and_better_ones_do_not() -> None:
    calibration = calibrate(season(52, seed=11), window=WEEK, chance=A_YEAR, metrics=("mae", "bias", "rmse"))
    table = season(1, seed=12, first_week=70)
    error = table["label"].to_numpy() - table["prediction"].to_numpy()

    def with_label(label: np.ndarray[tuple[int], np.dtype[np.float64]]) -> list[str]:
        place = table.schema.get_field_index("label")
        return [c.metric for c in judge_performance(calibration, table.set_column(place, "label", pa.array(label))) if c.breach]

    prediction = table["prediction"].to_numpy()
    assert with_label(prediction + 3 * error) == ["mae", "rmse"]
    assert with_label(prediction + 0.1 * error) == []
    assert "bias" in with_label(prediction + error + 3)
    assert "bias" in with_label(prediction + error - 3)


def test_held_out_rows_give_the_level_because_a_model_flatters_itself_on_its_own() -> None:
    table = season(52, seed=13)
    split = np.where(np.arange(table.num_rows) < 48 * 300, "train", "test")
    flattered = np.where(split == "train", 0.3, 1.0) * (table["label"].to_numpy() - table["prediction"].to_numpy())
    place = table.schema.get_field_index("label")
    table = table.set_column(place, "label", pa.array(table["prediction"].to_numpy() + flattered)).append_column(
        "split", pa.array(split)
    )
    calibration = calibrate(table, window=WEEK, chance=A_YEAR, metrics=("mae",))
    honest = season(52, seed=14, first_week=52)
    alarms = [
        number
        for number in range(52, 104)
        if any(check.breach for check in judge_performance(calibration, week_of(honest, number)))
    ]
    assert len(alarms) <= 1


def test_a_column_that_is_missing_or_of_another_kind_counts_as_null_and_alarms() -> None:
    calibration = calibrate(season(52, seed=15), window=WEEK, chance=A_YEAR)
    week = season(1, seed=16)
    gone = judge_drift(calibration, profile(calibration, week.drop_columns(["f.still"])))
    assert [check.column for check in gone if check.breach] == ["f.still"]
    text = week.set_column(week.schema.get_field_index("f.still"), "f.still", week["f.still"].cast(pa.string()))
    assert [c.column for c in judge_drift(calibration, profile(calibration, text)) if c.breach] == ["f.still"]


def test_a_new_category_alarms() -> None:
    calibration = calibrate(season(52, seed=17), window=WEEK, chance=A_YEAR)
    week = season(1, seed=18)
    named = np.array(week["f.kind"].to_pylist(), dtype=object)
    named[:150] = "unseen"
    changed = week.set_column(week.schema.get_field_index("f.kind"), "f.kind", pa.array(named, pa.string()))
    [check] = [check for check in judge_drift(calibration, profile(calibration, changed)) if check.breach]
    assert (check.column, check.test) == ("f.kind", "chi_square")


@pytest.mark.slow
def test_calibrating_twice_gives_the_same_limits() -> None:
    one, two = (calibrate(season(3, seed=19), window=WEEK, chance=A_YEAR, metrics=("mae",)) for _ in range(2))
    assert [c.limit(300) for c in one.columns.values()] == [c.limit(300) for c in two.columns.values()]


def test_what_cannot_be_calibrated_is_refused_with_its_reason() -> None:
    with pytest.raises(Invalid, match="cannot calibrate"):
        calibrate(season(1, seed=1, rows=10), window=WEEK, chance=A_YEAR)
    with pytest.raises(Invalid, match="no feature 'pac'"):
        calibrate(season(1, seed=1), window=WEEK, chance=A_YEAR, features=("pac",))
    unlabelled = calibrate(season(8, seed=1).drop_columns(["label"]), window=WEEK, chance=A_YEAR, metrics=("mae",))
    assert unlabelled.metrics == {} and unlabelled.reason == "the baseline has no labels"
