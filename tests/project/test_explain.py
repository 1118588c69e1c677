"""What is told of a number adds up to the number, whatever kind of window it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

import tidewheel as tw
from tidewheel.clock import Micros, format_instant
from tidewheel.features.definition import ServiceDefinition
from tidewheel.features.explain import Evidence
from tidewheel.features.view import view_of
from tidewheel.project.explain import explain
from tidewheel.project.open import open_workspace

HOUR = 3_600_000_000
NEW_YEAR = 1_767_225_600_000_000
NOW = Micros(NEW_YEAR + 80 * HOUR + 30_000_000)
AGO = (1, 5, 20, 26, 30, 49, 60, 71)
"""Hours before now at which something was sold."""


def values(one: Evidence | None) -> int:
    assert one is not None
    return sum(tile.count for tile in one.tiles) + one.count


@pytest.mark.parametrize("until", [NOW, Micros(NOW + 40 * HOUR)])
def test_tiles_and_events_add_up_to_every_kind_of_count(tmp_path: Path, until: Micros) -> None:
    (tmp_path / "tidewheel.toml").write_text('project = "shop"\n[workspace.local]\nonline = "memory"\n')
    times = [NOW - ago * HOUR for ago in AGO]
    sold = pa.table({"uid": [1] * 8, "ts": times, "x": [1.0, 2, None, 4, 5, 6, 7, 8], "ok": [True, False] * 4})

    @tw.features(tw.source("sold", sold, time="ts"), by=tw.entity("user", uid=int))
    class Sold:
        n_1d = tw.count("1d")
        n_before = tw.count("1d", offset="1d")
        n_ever = tw.count()
        n_x = tw.count("x", "2d")
        share = tw.ratio(tw.count("2d", where="ok"), tw.count("2d"))
        largest = tw.top_k("uid", "1d", k=1)

    service = tw.service("sold_inputs", Sold)
    with open_workspace(tmp_path, clock=lambda: until) as workspace:
        workspace.materializer.materialize(view_of(Sold), until=until)
        told = explain(workspace, service, {"uid": 1}, at=until)
    assert (told.agree, told.trouble) == (True, None)
    found = {one.name: one for one in told.features}
    for name in ("n_1d", "n_before", "n_ever", "n_x"):
        one = found[name]
        assert values(one.evidence_offline) == values(one.evidence_online) == one.offline, name
    if until == NOW:
        assert [found[name].offline for name in ("n_1d", "n_before", "n_ever", "n_x")] == [3, 2, 8, 4]
    start, end = found["n_before"].window or (None, Micros(0))
    assert start is not None
    assert (format_instant(start), end) == (format_instant(Micros((until - 48 * HOUR) // HOUR * HOUR)), start + 24 * HOUR)
    assert found["n_ever"].window == (None, until)
    over, under = found["share"].parts
    share = values(over.evidence_online) / values(under.evidence_online) if values(under.evidence_online) else None
    assert found["share"].online == share
    assert over.definition == "count('2d', where='ok')"
    assert told.to_json()["agree"] is True


USER = tw.entity("user", uid=int)


def tombstones() -> tuple[list[type], ServiceDefinition]:
    rows = pa.table({"uid": [1, 1, 1], "ts": hours(0, 1, 79), "x": [1.0, 2.0, 3.0], "op": ["u", "u", "delete"]})

    @tw.features(tw.source("ended", rows, time="ts", deleted="op = 'delete'"), by=USER)
    class Ended:
        x = tw.lookup("x")
        n = tw.count("10d")

    return [Ended], tw.service("ended_inputs", Ended)


def states() -> tuple[list[type], ServiceDefinition]:
    rows = pa.table(
        {"uid": [1, 1, 1], "since": hours(0, 1, 1), "to": hours(99, 70, 2), "x": [1.0, 2.0, 3.0], "made": hours(0, 1, 5)}
    )

    @tw.features(tw.source("states", rows, valid_from="since", valid_to="to", created="made", available="made"), by=USER)
    class State:
        x = tw.lookup("x")

    return [State], tw.service("state_inputs", State)


def changes() -> tuple[list[type], ServiceDefinition]:
    rows = pa.table(
        {"op": list("ccud"), "id": [1, 2, 1, 2], "uid": [1] * 4, "ts": hours(0, 1, 2, 3), "x": [1.0, 2.0, 5.0, 2.0]}
    )

    @tw.features(tw.source("orders", rows, time="ts", created="ts", event_id="id", changes=tw.changes("op")), by=USER)
    class Order:
        x = tw.lookup("x")
        n = tw.count("10d")

    return [Order], tw.service("order_inputs", Order)


def chained() -> tuple[list[type], ServiceDefinition]:
    buys = pa.table({"uid": [1], "ts": hours(0), "shop": [7]})
    shops = pa.table({"sid": [7, 8], "ts": hours(0, 0), "x": [4.0, 1.0]})

    @tw.features(tw.source("buys", buys, time="ts"), by=USER)
    class Last:
        shop = tw.lookup("shop")

    @tw.features(tw.source("shops", shops, time="ts"), by=tw.entity("shop", sid=int))
    class Shop:
        x = tw.lookup("x")
        n = tw.count("10d")

    return [Last, Shop], tw.service("chained_inputs", Last, tw.use(Shop, keys={"sid": Last.shop}))


def hours(*at: int) -> pa.Array:
    return pa.array([NEW_YEAR + hour * HOUR for hour in at], pa.int64())


@pytest.mark.parametrize(("make", "x", "n"), [(tombstones, None, 2), (states, 1.0, None), (changes, 5.0, 1), (chained, 4.0, 1)])
def test_rows_that_end_something_and_chained_keys_are_explained_by_what_they_were_answered_from(
    tmp_path: Path, make: Callable[[], tuple[list[type], ServiceDefinition]], x: float | None, n: int | None
) -> None:
    (tmp_path / "tidewheel.toml").write_text('project = "shop"\n[workspace.local]\nonline = "memory"\n')
    views, service = make()
    with open_workspace(tmp_path, clock=lambda: NOW) as workspace:
        for one in views:
            workspace.materializer.materialize(view_of(one), until=NOW)
        told = explain(workspace, service, {"uid": 1}, at=NOW)
    assert (told.agree, told.trouble) == (True, None)
    found = {one.name: one for one in told.features}
    assert found["x"].offline == found["x"].online == x
    offline, online = found["x"].evidence_offline, found["x"].evidence_online
    assert offline.row is not None
    assert online is not None
    if x is None:
        assert offline.row.gone, "the tombstone is why there is nothing"
        assert online.row is None
    else:
        assert online.row is not None
        assert offline.row.values["x"] == online.row.values["x"] == x
        assert (offline.row.event_time, offline.row.until) == (online.row.event_time, online.row.until)
    if n is not None:
        assert found["n"].offline == values(found["n"].evidence_offline) == values(found["n"].evidence_online) == n
    told.to_json()
