"""What is told of a number adds up to the number, whatever kind of window it is."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

import tidewheel as tw
from tidewheel.clock import Micros, format_instant
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
