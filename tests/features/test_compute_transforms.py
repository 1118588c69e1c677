"""Transforms that run row by row, spread over processes: the same answers, failures told by the same rows."""

from __future__ import annotations

import io
import math
import os

import pyarrow as pa
import pytest

from tidewheel.errors import Invalid
from tidewheel.features import compute_transforms
from tidewheel.features.call_rows import open_workers, receive, send
from tidewheel.features.compute_transforms import Computer
from tidewheel.features.definition import Transform, on_request
from tidewheel.features.row_worker import answer
from tidewheel.features.transform import plain_values, run_transform


@on_request
def logarithm(a: float) -> float:
    return math.log(a)


@on_request(on_error="raise")
def careful(a: float) -> float:
    return math.log(a)


@on_request
def leaving(a: float) -> float:
    if a < 0:
        os._exit(3)
    return a


@on_request(on_error="raise")
def halved(a: float, b: int) -> int:
    return int(a) // b


def column(rows: int, *, bad: int) -> pa.Array:
    return pa.array([None if row % 7 == 0 else -1.0 if row == bad else row / 3 for row in range(rows)])


def test_a_transform_that_stops_is_told_by_the_rows_own_number() -> None:
    asked, told = io.BytesIO(), io.BytesIO()
    send(asked, {"first": 301}, pa.table({"a": column(50, bad=20)}))
    asked.seek(0)
    answer(careful, asked, told)
    told.seek(0)
    head, _ = receive(told)
    assert str(head["raised"]).startswith("transform careful failed on row 321: ValueError")


@pytest.mark.slow
def test_many_slow_rows_go_to_processes_and_tell_how_far_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute_transforms, "_WORTH_SECONDS", 0.0)
    monkeypatch.setattr(compute_transforms, "_PIECE", 100)
    monkeypatch.setattr(compute_transforms, "WORKER_ROWS", 1_000)
    told: list[tuple[str, int, int | None]] = []
    given = column(1_050, bad=1_002)
    expected = run_transform(logarithm, {"a": plain_values(given)}, 1_050)
    with Computer([logarithm], rows=1_050, watch=lambda *how: told.append(how)) as computer:
        made = computer.run({"a": given}, 1_050, first=5_000)
    assert made["logarithm"].to_pylist() == expected.values
    (report,) = computer.reports
    assert (report.form, report.errors) == ("rows", 1)
    assert report.first_error is not None and report.first_error.startswith("row 6002: ValueError")
    assert report.microseconds > 0
    assert told == [("transform logarithm", done, 1_050) for done in [*range(100, 1_001, 100), 1_050]]


@pytest.mark.slow
def test_a_function_that_ends_its_process_is_told_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute_transforms, "_WORTH_SECONDS", 0.0)
    monkeypatch.setattr(compute_transforms, "_PIECE", 100)
    monkeypatch.setattr(compute_transforms, "WORKER_ROWS", 1_000)
    with (
        Computer([leaving], rows=1_000) as computer,
        pytest.raises(Invalid, match="leaving has ended its process, on a row from 5700 to 5799"),
    ):
        computer.run({"a": column(1_000, bad=720)}, 1_000, first=5_000)


def test_a_later_piece_that_stops_is_told_by_the_number_of_its_row_among_all() -> None:
    given = {"a": pa.array([4.0, 4.0]), "b": pa.array([2, 0])}
    for one, failed in ((careful, {"a": pa.array([4.0, -1.0])}), (halved, given)):
        with Computer([one], rows=9) as computer, pytest.raises(Invalid, match=r"failed on row 8: "):
            computer.run(failed, 2, first=7)


def test_a_function_that_no_other_process_can_import_stays_here() -> None:
    @on_request
    def local(a: float) -> float:
        return math.log(a)

    assert open_workers(local) is None
    assert isinstance(local, Transform)
