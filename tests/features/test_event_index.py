"""Versions of one event, written at several keys by several writers: every interleaving leaves the same store."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest
from tests.servers import STORES, any_store

from tidewheel.features.definition import count, entity, features, view_of
from tidewheel.features.event_index import NOWHERE, EventIndex
from tidewheel.features.online import OnlineLayout
from tidewheel.ports.online_store import OnlineStore
from tidewheel.schema import DataType, Field, Schema
from tidewheel.sources.changes import changes
from tidewheel.sources.definition import source

NUMBER = itertools.count(1)
SCHEMA = Schema((*(Field(name, DataType.INT64) for name in ("user", "id", "made")), Field("op", DataType.STRING)))


@pytest.fixture(scope="module", params=STORES)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnlineStore]:
    with any_store(request.param, tmp_path_factory.mktemp("index")) as made:
        yield made


def make_layout(feed: bool) -> OnlineLayout:
    of = source("orders", "o.parquet", time="ts", created="made", event_id="id", changes=changes("op") if feed else None)
    view = view_of(features(of, by=entity("user", user=int))(type("Orders", (), {"n": count("1d")})))
    return OnlineLayout(view, next(NUMBER), SCHEMA)


@pytest.mark.parametrize("feed", [False, True])
def test_writers_of_versions_of_one_event_leave_the_same_store_in_any_interleaving(store: OnlineStore, feed: bool) -> None:
    layout = make_layout(feed)
    index, keys = EventIndex(layout), [layout.keys.encode((n,)) for n in range(3)]

    def writer(key: bytes, made: int) -> Iterator[Callable[[], object]]:
        row = layout.row(5, made, available=5, values=(1, False, None) if feed else (1,))
        items = [(key, item) for item in layout.numbered([row])]
        yield lambda: store.write([], [*items, *index.entries(items)])
        yield lambda: index.settle(store, items)

    left = set()
    for order in sorted(set(itertools.permutations([0, 0, 1, 1, 2, 2]))):
        steps = [writer(key, made) for made, key in enumerate(keys, start=1)]
        for who in order:
            next(steps[who])()
        sets = store.read([], [*keys, index.key(1)])[1]
        assert [len(items) for items in sets] == ([3, 3, 3, 3] if feed else [0, 0, 1, 1])
        left.add(tuple(map(tuple, sets)))
        store.delete(layout.prefix)
    assert len(left) == 1


def test_an_event_that_was_taken_away_is_remembered_while_it_is_open(store: OnlineStore) -> None:
    layout = make_layout(False)
    index, key = EventIndex(layout), layout.keys.encode((7,))
    first, second = (next(layout.numbered([layout.row(5, made, available=5, values=(1,))])) for made in (1, 2))
    for place, item, left in ((key, first, [first]), (NOWHERE, second, []), (key, first, [])):
        items = [(place, item)]
        if place != NOWHERE:
            store.write([], [*items, *index.entries(items)])
        index.settle(store, items)
        assert store.read([], [key])[1] == [left]
