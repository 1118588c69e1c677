"""The quick way of plain look-ups answers what the way that knows all cases does: same values, types, statuses and times."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.features.online_world import same_bits

from tidewheel.backends.memory import MemoryOnlineStore
from tidewheel.clock import Micros
from tidewheel.errors import KeyTypeMismatch, MissingColumns, NotMaterialized
from tidewheel.features import answer_lookups, online_view, row_kernel
from tidewheel.features import rows as row_module
from tidewheel.features.answer_lookups import NEWEST
from tidewheel.features.definition import ServiceDefinition, entity, features, lookup, service, use, view_of
from tidewheel.features.online import Closed, Mark, OnlineLayout
from tidewheel.features.prepare import PreparedFeatures
from tidewheel.schema import DataType, Field, Schema
from tidewheel.sources.definition import source

FIELDS = (
    Field("a", DataType.FLOAT64),
    Field("b", DataType.INT64),
    Field("c", DataType.STRING),
    Field("d", DataType.FLOAT32),
    Field("e", DataType.DATE),
)
SCHEMA = Schema((Field("uid", DataType.INT64), *FIELDS))
VALUES = st.tuples(
    st.none() | st.floats(),
    st.none() | st.integers(-(1 << 63), (1 << 63) - 1),
    st.none() | st.text(max_size=12),
    st.none() | st.floats(width=32),
    st.none() | st.dates(),
)
ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(-3, 30), st.integers(0, 2), VALUES), max_size=60)


def interpreted() -> ModuleType:
    path = Path(row_kernel.__file__).with_name("row_kernel.py")
    spec = importlib.util.spec_from_file_location("interpreted_row_kernel_of_answers", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


INTERPRETED = interpreted()


@cache
def a_service(ttl: str | None) -> tuple[ServiceDefinition, list[OnlineLayout]]:
    """A view as it is and once more under another name, and a view with a delay."""
    user = entity("user", uid=int)
    made = {name: lookup(name) for name in ("a", "c", "d", "e")} | {"b": lookup("b", default=7)}
    plain = view_of(features(source("facts", "f.parquet", time="ts"), by=user, ttl=ttl)(type("Plain", (), made)))
    late = source("late", "l.parquet", time="ts", after="2us")
    delayed = view_of(features(late, by=user)(type("Delayed", (), {"late_b": lookup("b"), "late_a": lookup("a")})))
    layouts = [OnlineLayout(view, number, SCHEMA) for number, view in enumerate((plain, delayed), 1)]
    return service("all", plain, use(plain, prefix="other_", keys={"uid": "oid"}), delayed), layouts


def fill(store: MemoryOnlineStore, layout: OnlineLayout, rows: list[tuple[int, int, int, tuple[object, ...]]]) -> None:
    places = [[field.name for field in FIELDS].index(name) for name in layout.columns]
    store.write([(layout.mark_key, Mark(1, 0, 0).encode())])
    for number, (uid, ts, created, values) in enumerate(rows):
        row = layout.row(ts, created, available=ts, values=tuple(values[place] for place in places))
        key = layout.keys.encode((uid,))
        if number % 7 == 0:
            store.write([(key, Closed(number, ts, 0, (row,), b"").encode())])
        else:
            store.write([], [(key, item) for item in layout.numbered([row])])


def prepared(asked: ServiceDefinition, layouts: list[OnlineLayout], store: MemoryOnlineStore) -> PreparedFeatures:
    numbers = {layout.view.online_version: layout.number for layout in layouts}
    return PreparedFeatures(asked, store, numbers, {"facts": SCHEMA, "late": SCHEMA})


@pytest.mark.parametrize("kernel", [pytest.param(row_kernel, id="as installed"), pytest.param(INTERPRETED, id="interpreted")])
@settings(max_examples=40)
@given(rows=ROWS, ttl=st.sampled_from([None, "5us"]), asked=st.lists(st.tuples(*[st.integers(0, 4)] * 2, st.integers(0, 40))))
def test_the_quick_way_answers_what_the_other_does(
    kernel: ModuleType,
    rows: list[tuple[int, int, int, tuple[object, ...]]],
    ttl: str | None,
    asked: list[tuple[int, int, int]],
) -> None:
    wanted, layouts = a_service(ttl)
    store = MemoryOnlineStore()
    for layout in layouts:
        fill(store, layout, rows)
    quick, slow = prepared(wanted, layouts, store), prepared(wanted, layouts, store)
    assert quick._plain is not None
    slow._plain = None
    requests = [{"uid": uid, "oid": oid} for uid, oid, _ in asked]
    times = [Micros(40 + at) for *_, at in asked]
    with pytest.MonkeyPatch.context() as patch:
        if kernel is INTERPRETED:  # its plans, too
            for module in (row_module, online_view, answer_lookups):
                patch.setattr(module, "row_kernel", kernel)
            quick, slow = prepared(wanted, layouts, store), prepared(wanted, layouts, store)
            slow._plain = None
        left, right = quick.answer(requests, at=times), slow.answer(requests, at=times)
    assert same_bits(left.values, right.values)
    assert left.statuses == right.statuses
    assert left.event_times == right.event_times


def test_what_is_out_of_the_ordinary_is_said_as_ever() -> None:
    wanted, layouts = a_service(None)
    store = MemoryOnlineStore()
    with pytest.raises(NotMaterialized, match="Plain"):
        prepared(wanted, layouts, store).answer([{"uid": 1, "oid": 1}], at=[Micros(9)])
    for layout in layouts:
        fill(store, layout, [])
    ready = prepared(wanted, layouts, store)
    for wrong in ("1", 1.0, True, 1 << 63, None):
        with pytest.raises(KeyTypeMismatch, match="uid"):
            ready.answer([{"uid": 1, "oid": 1}, {"uid": wrong, "oid": 1}], at=[Micros(9)] * 2)
    with pytest.raises(MissingColumns, match="oid"):
        ready.answer([{"uid": 1}], at=[Micros(9)])


def test_keys_of_several_parts_take_the_quick_way_too() -> None:
    place = entity("place", city=str, zone=int)
    view = view_of(features(source("facts", "f.parquet", time="ts"), by=place)(type("Places", (), {"b": lookup("b")})))
    layout = OnlineLayout(view, 1, Schema((Field("city", DataType.STRING), Field("zone", DataType.INT64), *FIELDS)))
    store = MemoryOnlineStore()
    store.write([(layout.mark_key, Mark(1, 0, 0).encode())])
    keys = [("a", 11), ("a1", 1), ("", -1), ("\0", 0)]
    for number, key in enumerate(keys):
        row = layout.row(5, 0, available=5, values=(number,))
        store.write([], [(layout.keys.encode(key), item) for item in layout.numbered([row])])
    ready = PreparedFeatures(service("s", view), store, {view.online_version: 1}, {"facts": layout.schema})
    assert ready._plain is not None
    requests: list[Mapping[str, object]] = [{"city": city, "zone": zone} for city, zone in [*keys, ("1", 11), keys[1]]]
    assert ready._plain.find(requests, [Micros(9)] * 6) is not None
    assert ready.answer(requests, at=[Micros(9)] * 6).values == [[0], [1], [2], [3], [None], [1]]
    with pytest.raises(KeyTypeMismatch, match="zone"):
        ready.answer([{"city": "a", "zone": "11"}], at=[Micros(9)])
    with pytest.raises(MissingColumns, match="zone"):
        ready.answer([{"city": "a"}], at=[Micros(9)])


def test_a_busy_key_is_answered_as_of_any_instant() -> None:
    wanted, layouts = a_service(None)
    store = MemoryOnlineStore()
    layout = layouts[0]
    rows = [layout.row(10 * n, 0, available=0, values=(None,) * len(layout.columns)) for n in range(5 * NEWEST)]
    fill(store, layout, [])
    store.write([], [(layout.keys.encode((1,)), item) for item in layout.numbered(rows)])
    fill(store, layouts[1], [])
    ready = prepared(wanted, layouts, store)
    for at in range(30, 900, 7):
        answered = ready.answer([{"uid": 1, "oid": 2}], at=[Micros(at)])
        assert answered.event_times[0][0] == min(at // 10, 5 * NEWEST - 1) * 10
