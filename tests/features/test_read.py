"""Snapshots and histories, compared with asking for each instant by itself."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest
from tests.features.ask import INSTANT, ask, at, memory, sources, table, view

from tidewheel.clock import to_micros
from tidewheel.errors import Invalid, MissingColumns
from tidewheel.features.definition import FeatureView, count, entity, lookup, request, service, use
from tidewheel.features.read import Features
from tidewheel.sources.definition import source

pytestmark = pytest.mark.usefixtures("on_every_engine")

UID = entity("user", uid=int)
TYPES = {"uid": pa.int64(), "ts": INSTANT, "x": pa.int64(), "gone": pa.bool_()}
DATA: list[dict[str, object]] = [
    {"uid": 2, "ts": "08:00", "x": 1},
    {"uid": 1, "ts": "09:00", "x": 2},
    {"uid": 1, "ts": "09:30", "x": 2},
    {"uid": 1, "ts": "10:00", "x": 3},
    {"uid": 3, "ts": "11:00", "x": 4},
    {"uid": None, "ts": "08:00", "x": 5},
    {"uid": 1, "ts": "10:30", "gone": True},
]


@pytest.fixture
def read() -> Iterator[Features]:
    reader = sources()
    yield Features(reader)
    reader.engine.close()


def scores(ttl: str | None = None) -> FeatureView:
    return view({"fx": lookup("x")}, memory("f", table(DATA, TYPES), deleted="gone"), UID, ttl=ttl)


def test_a_snapshot_has_all_keys_known_at_the_instant_in_order(read: Features) -> None:
    assert read.snapshot(scores(), at=at("10:15")).to_pylist() == [{"uid": 1, "fx": 3}, {"uid": 2, "fx": 1}]
    assert read.snapshot(scores(), at="2026-01-01T07:00:00Z").num_rows == 0
    assert read.snapshot(scores(), at=at("12:00"), keys=[{"uid": 9}, {"uid": 3}]).column("fx").to_pylist() == [None, 4]


def test_a_row_that_is_not_available_yet_makes_no_key_known(read: Features) -> None:
    made = view({"fx": lookup("x")}, memory("f", table(DATA, TYPES), after="90m"), UID)
    assert read.snapshot(made, at=at("09:45")).to_pylist() == [{"uid": 2, "fx": 1}]


def test_a_history_has_the_start_and_each_change(read: Features) -> None:
    found = read.history(scores(), [{"uid": 1}, {"uid": 2}], start=at("08:30"), end=at("12:00"))
    told = [(row["uid"], row["at"].strftime("%H:%M"), row["fx"]) for row in found.to_pylist()]
    assert told == [(1, "08:30", None), (1, "09:00", 2), (1, "10:00", 3), (1, "10:30", None), (2, "08:30", 1)]


def test_a_history_tells_when_a_row_becomes_too_old(read: Features) -> None:
    found = read.history(scores("1h"), [{"uid": 2}], start=at("07:30"), end=at("12:00"))
    assert [(row["at"].isoformat(), row["fx"]) for row in found.to_pylist()] == [
        ("2026-01-01T07:30:00+00:00", None),
        ("2026-01-01T08:00:00+00:00", 1),
        ("2026-01-01T09:00:00.000001+00:00", None),
    ]


def test_a_history_of_states_ends_with_them(read: Features) -> None:
    held = pa.table({"uid": [1, 1], "a": [10, 40], "b": [30, None], "x": [5, 6]})
    made = view({"fx": lookup("x")}, source("d", held, valid_from="a", valid_to="b"), UID)
    found = read.history(made, [{"uid": 1}], start=0, end=100)
    assert [(to_micros(row["at"]), row["fx"]) for row in found.to_pylist()] == [(0, None), (10, 5), (30, None), (40, 6)]


def test_between_its_rows_a_history_is_what_each_instant_is_answered(read: Features) -> None:
    made = scores("45m")
    moments = [to_micros(at("08:00")) + minute * 60_000_000 for minute in range(0, 200, 7)]
    spine = pa.table({"uid": pa.array([1] * len(moments)), "t": pa.array(moments, pa.int64())})
    asked = ask([made], spine).table.column("fx").to_pylist()
    told = read.history(made, [{"uid": 1}], start=moments[0], end=moments[-1] + 1).to_pylist()
    assert asked == [[row["fx"] for row in told if to_micros(row["at"]) <= moment][-1] for moment in moments]


def test_windows_are_sampled_by_step(read: Features) -> None:
    made = view({"n": count("1h", hop="1h"), "fx": lookup("x")}, memory("f", table(DATA[:5], TYPES)), UID)
    found = read.history(made, [{"uid": 1}], start=at("09:00"), end=at("11:00"), step="30m")
    assert found.column("n").to_pylist() == [0, 1, 2, 3]
    assert found.column("fx").to_pylist() == [2, 2, 3, 3]
    with pytest.raises(Invalid, match="windows of F"):
        read.history(made, [{"uid": 1}], start=at("09:00"), end=at("11:00"))


def test_what_cannot_be_read_is_refused(read: Features) -> None:
    with pytest.raises(Invalid, match="takes d from a request"):
        read.snapshot(service("s", scores(), request(d=float)), at=0)
    with pytest.raises(Invalid, match="ends at"):
        read.history(scores(), [{"uid": 1}], start=5, end=5)
    with pytest.raises(MissingColumns, match="lacks uid"):
        read.history(scores(), [{"id": 1}], start=0, end=5)
    with pytest.raises(Invalid, match="too small"):
        read.history(scores(), [{"uid": 1}], start=0, end=5, step="0s")
    with pytest.raises(Invalid, match="different keys"):
        read.snapshot(service("s", scores(), use(scores(), prefix="o_", keys={"uid": "other"})), at=0)


def test_features_of_everything_are_one_row(read: Features) -> None:
    made = view({"fx": lookup("x")}, memory("f", table(DATA, TYPES)), None)
    assert read.snapshot(made, at=at("09:10")).to_pylist() == [{"fx": 2}]
