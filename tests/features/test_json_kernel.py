"""The JSON that the kernel writes from the bytes of rows is, byte for byte, what msgspec writes of the values."""

from __future__ import annotations

import random
import struct
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from types import ModuleType
from typing import cast

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.features.forms import interpreted

from tidewheel.backends.memory import MemoryOnlineStore
from tidewheel.clock import Micros
from tidewheel.features import answer_lookups, json_kernel, rows
from tidewheel.features.definition import entity, features, lookup, service, use, view_of
from tidewheel.features.online import Mark, OnlineLayout
from tidewheel.features.prepare import PreparedFeatures
from tidewheel.schema import DataType, Field, Schema
from tidewheel.serving.feature_response import shorten, write_features
from tidewheel.serving.shared_response import open_rows
from tidewheel.sources.definition import source

FORMS = [pytest.param(json_kernel, id="as installed"), pytest.param(interpreted("json_kernel"), id="interpreted")]
INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
TEXT = st.text(max_size=8) | st.sampled_from(['"', "\\", "\n", "\0", "\x7f", "zürich", "\u2028", "𝄞", "a/b"])
VALUES: Mapping[DataType, st.SearchStrategy[object]] = {
    DataType.FLOAT64: st.floats() | st.sampled_from([-0.0, 5e-324, 1e16, 1e-5, 1e-6, float("nan"), float("-inf")]),
    DataType.INT64: INT64,
    DataType.INT32: st.integers(-(1 << 31), (1 << 31) - 1),
    DataType.BOOL: st.booleans(),
    DataType.STRING: TEXT,
    DataType.FLOAT32: st.floats(width=32),
    DataType.TIMESTAMP: st.datetimes(datetime(1800, 1, 1), datetime(2200, 1, 1)).map(lambda one: one.replace(tzinfo=UTC)),
    DataType.DATE: st.dates(),
    DataType.DECIMAL: st.integers(-(10**20), 10**20).map(lambda one: Decimal(one) / 1000),
    DataType.BYTES: st.binary(max_size=5),
    DataType.LIST_FLOAT64: st.lists(st.none() | st.floats(), max_size=3),
}
SCHEMA = Schema((Field("uid", DataType.INT64), *(Field(kind.name.lower(), kind) for kind in VALUES)))
ROW = st.tuples(*(st.none() | one for one in VALUES.values()))
TIMES = st.integers(-(10**15), 2 * 10**15) | st.sampled_from([0, -1, -62_135_596_800_000_000, 253_402_300_799_999_999])
USER = entity("user", uid=int)


def views() -> list[OnlineLayout]:
    """A view of every type, as it is and with defaults and a span of life."""
    facts = source("facts", "f.parquet", time="ts")
    defaults: Mapping[str, float | str] = {"float64": 0.1, "int64": 7, "string": "ü", "float32": 1.111}
    made = {one.name: lookup(one.name) for one in SCHEMA.fields[1:]}
    plain = view_of(features(facts, by=USER)(type("Plain", (), made)))
    made = {one.name: lookup(one.name, default=defaults.get(one.name)) for one in SCHEMA.fields[3:1:-1]}
    short = view_of(
        features(facts, by=USER, ttl="1000d")(type("Short", (), made | {"float32": lookup("float32", default=1.1)}))
    )
    return [OnlineLayout(view, number, SCHEMA) for number, view in enumerate((plain, short), 1)]


LAYOUTS = views()
ASKED = service("all", LAYOUTS[0].view, use(LAYOUTS[1].view, prefix="short_"))


def prepared(held: Sequence[tuple[int, Sequence[object]]]) -> PreparedFeatures:
    """The service over one row of each user."""
    store = MemoryOnlineStore()
    for layout in LAYOUTS:
        store.write([(layout.mark_key, Mark(1, 0, 0).encode())])
        columns = [[field.name for field in SCHEMA.fields[1:]].index(name) for name in layout.columns]
        for uid, (ts, values) in enumerate(held):
            row = layout.row(ts, 0, available=ts, values=tuple(values[place] for place in columns))
            store.write([], [(layout.keys.encode((uid,)), item) for item in layout.numbered([row])])
    return PreparedFeatures(ASKED, store, {one.view.online_version: one.number for one in LAYOUTS}, {"facts": SCHEMA})


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=40)
@given(
    held=st.lists(st.tuples(TIMES, ROW), max_size=3),
    asked=st.lists(st.integers(0, 4), min_size=1, max_size=5),
    statuses=st.booleans(),
    event_times=st.booleans(),
)
def test_an_answer_is_written_as_its_values_are(
    form: ModuleType, held: list[tuple[int, tuple[object, ...]]], asked: list[int], statuses: bool, event_times: bool
) -> None:
    at = [Micros(253_402_300_799_999_999)] * len(asked)
    requests = [{"uid": uid} for uid in asked]
    include = [name for name, wanted in (("statuses", statuses), ("event_times", event_times)) if wanted]
    ends = (open_rows("all", ASKED.names, at), b"}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "json_kernel", form)  # makes the plans
        patch.setattr(answer_lookups, "json_kernel", form)
        ready = prepared(held)
        written = ready.write(requests, at=at, parts=(statuses, event_times), ends=ends)
    narrow = tuple(place for place, one in enumerate(ready.schema) if one.type is DataType.FLOAT32)
    answer = shorten(ready.answer(requests, at=at), narrow)
    told = write_features("all", ASKED.names, answer=answer, at=at, include=include, columnar=False)
    assert written == told


@pytest.mark.parametrize("form", FORMS)
@given(number=st.floats())
@example(number=9007199254740993.0)
@example(number=1.7976931348623157e308)
@example(number=2.2250738585072014e-308)
def test_a_float_has_the_fewest_digits(form: ModuleType, number: float) -> None:
    written = cast(bytes, form.write_float(number))
    assert written == msgspec.json.encode(number)


def test_floats_of_random_bits_and_all_powers_of_two_and_ten_are_written_as_ever() -> None:
    draw = random.Random(5)
    numbers = [2.0**power for power in range(-1074, 1024)] + [
        float(f"{digit}e{power}") for digit in (1, 9) for power in range(-320, 308)
    ]
    numbers += struct.unpack("<20000d", draw.randbytes(160_000))
    numbers += [round(draw.gauss(100, 30), places) for places in range(8) for _ in range(500)]
    assert b",".join(map(json_kernel.write_float, numbers)) == msgspec.json.encode(numbers)[1:-1]


def test_what_is_no_text_or_no_time_of_a_calendar_is_left_to_others() -> None:
    ends = (b"{", b"}")
    codec = rows.RowCodec(Schema((Field("name", DataType.STRING),)))
    plan = codec.writer([0], defaults=[None], reader=codec.reader([0], defaults=[None]))
    with pytest.raises(ValueError, match="codec"):
        json_kernel.write_rows([plan], [[codec.encode(0, 0, ("\ud800",))]], times=[1], parts=(False, False), ends=ends)
    late = codec.encode(1 << 60, 0, ("a",))
    assert json_kernel.write_rows([plan], [[late]], times=[1 << 61], parts=(False, True), ends=ends) is None
