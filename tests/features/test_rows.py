from __future__ import annotations

import importlib.util
import math
import struct
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewheel.clock import to_datetime
from tidewheel.errors import Corrupt, TypeMismatch
from tidewheel.features import row_arrays, row_kernel
from tidewheel.features import rows as row_module
from tidewheel.features.list_bytes import pack_list
from tidewheel.features.online import Closed
from tidewheel.features.row_arrays import ArrayDecoder, ArrayEncoder
from tidewheel.features.rows import Row, RowCodec, order_prefix, split_order
from tidewheel.schema import LISTS, DataType, Field, Schema

I64 = st.integers(-(2**63), 2**63 - 1)
FLOAT32 = st.floats(width=32)
VALUES: dict[DataType, st.SearchStrategy[object]] = {
    DataType.BOOL: st.booleans(),
    DataType.INT32: st.integers(-(2**31), 2**31 - 1),
    DataType.INT64: I64,
    DataType.FLOAT32: FLOAT32,
    DataType.FLOAT64: st.floats(),
    DataType.STRING: st.text(),
    DataType.BYTES: st.binary(),
    DataType.TIMESTAMP: st.datetimes(timezones=st.just(UTC)),
    DataType.DATE: st.dates(),
    DataType.DECIMAL: st.decimals(-(10**28), 10**28, places=9),
}
ELEMENTS = dict(VALUES)
VALUES |= {LISTS[kind]: st.lists(st.none() | values, max_size=5) for kind, values in ELEMENTS.items()}


def codec(*kinds: DataType) -> RowCodec:
    return RowCodec(Schema(tuple(Field(f"c{i}", kind) for i, kind in enumerate(kinds))))


@st.composite
def rows(draw: st.DrawFn) -> tuple[list[DataType], list[object]]:
    kinds = draw(st.lists(st.sampled_from(DataType), max_size=20))
    return kinds, [draw(st.none() | VALUES[kind]) for kind in kinds]


def same(a: object, b: object) -> bool:
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return struct.pack(">d", a) == struct.pack(">d", b) or (math.isnan(a) and math.isnan(b))
    return type(a) is type(b) and a == b


@given(rows(), I64, I64, st.booleans())
def test_a_row_comes_back_as_it_was(row: tuple[list[DataType], list[object]], ts: int, created: int, tombstone: bool) -> None:
    kinds, values = row
    encoder = codec(*kinds)
    back = encoder.decode(encoder.encode(ts, created, values, tombstone=tombstone))
    assert (back.ts, back.created, back.tombstone) == (ts, created, tombstone)
    assert all(same(a, b) for a, b in zip(values, back.values, strict=True))


@given(rows(), st.data())
def test_columns_decode_like_single_rows(row: tuple[list[DataType], list[object]], data: st.DataObject) -> None:
    kinds, values = row
    encoder = codec(*kinds)
    second = [data.draw(st.none() | VALUES[kind]) for kind in kinds]
    encoded = [encoder.encode(5, 6, values), encoder.encode(-7, 0, second)]
    ts, table = ArrayDecoder(encoder, encoder.schema.names).decode(encoded)
    assert ts.tolist() == [5, -7]
    for i, column in enumerate(table.columns):
        assert column.type == kinds[i].arrow()
        for value, expected in zip(column.to_pylist(), (values[i], second[i]), strict=True):
            assert same(value, expected)


def interpreted() -> ModuleType:
    """The kernel's source, interpreted, beside whatever form is imported."""
    path = Path(row_kernel.__file__).with_name("row_kernel.py")
    spec = importlib.util.spec_from_file_location("interpreted_row_kernel", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert not module.COMPILED
    return module


KERNELS = [pytest.param(row_kernel, id="as installed"), pytest.param(interpreted(), id="interpreted")]


@pytest.mark.parametrize("kernel", KERNELS)
def test_columns_encode_like_single_rows(kernel: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_arrays, "row_kernel", kernel)

    @given(rows(), I64, I64, st.data())
    def check(row: tuple[list[DataType], list[object]], ts: int, created: int, data: st.DataObject) -> None:
        kinds, values = row
        second = [data.draw(st.none() | VALUES[kind]) for kind in kinds]
        columns = [pa.array([None, *pair], kind.arrow()).slice(1) for kind, *pair in zip(kinds, values, second, strict=True)]
        made = ArrayEncoder(codec(*kinds)).encode(np.array([ts, created]), np.array([created, ts]), columns=columns)
        assert made == [codec(*kinds).encode(ts, created, values), codec(*kinds).encode(created, ts, second)]

    check()


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_kernel_reads_what_the_codec_wrote(kernel: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_module, "row_kernel", kernel)

    @given(rows(), I64, I64, st.integers(0, 40), st.data())
    def check(row: tuple[list[DataType], list[object]], ts: int, created: int, cut: int, data: st.DataObject) -> None:
        kinds, values = row
        encoder, wanted = codec(*kinds), data.draw(st.permutations(range(len(kinds))))
        reader = encoder.reader(wanted, defaults=[None] * len(wanted))
        encoded = encoder.encode(ts, created, values)
        found = kernel.read_values(reader, encoded)
        assert isinstance(found, list)
        assert all(same(one, values[place]) for one, place in zip(found, wanted, strict=True))
        short = encoded[: len(encoded) - 1 - cut]
        assert kernel.read_values(reader, short) is None
        with pytest.raises(Corrupt):
            encoder.decode(short)

    check()


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_row_cut_where_an_offset_could_be_taken_for_another_is_known_for_it(
    kernel: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_module, "row_kernel", kernel)
    encoder = codec(DataType.STRING, DataType.BYTES)
    reader = encoder.reader([0, 1], defaults=[None, None])
    whole = encoder.encode(0, 0, ["abcd", bytes(4)])  # without its last offset it ends with that of the first column
    for cut in range(1, len(whole) + 1):
        assert kernel.read_values(reader, whole[:-cut]) is None
        with pytest.raises(Corrupt):
            encoder.decode(whole[:-cut])
    assert kernel.read_values(reader, whole + whole) is None
    with pytest.raises(Corrupt, match="says that it has"):
        encoder.decode(whole[:-4])


@pytest.mark.parametrize("kernel", KERNELS)
@given(
    marks=st.lists(I64, max_size=4),
    slots=st.integers(0, 3),
    tiles=st.booleans(),
    revision=I64,
    data=st.data(),
)
def test_closed_rows_are_those_of_single_keys(
    kernel: ModuleType, marks: list[int], slots: int, tiles: bool, revision: int, data: st.DataObject
) -> None:
    piece = st.binary(min_size=1, max_size=30)
    lookups = [[data.draw(st.none() | piece) for _ in marks] for _ in range(slots)]
    packed = [data.draw(piece) for _ in marks] if tiles else None
    made = kernel.close_rows(order_prefix(revision, 7), np.array(marks, np.int64), lookups=lookups, tiles=packed)
    assert made == [
        Closed(revision, 7, mark, tuple(one[n] for one in lookups), b"" if packed is None else packed[n]).encode()
        for n, mark in enumerate(marks)
    ]


@pytest.mark.parametrize("kind", ELEMENTS)
def test_bytes_order_as_values_do(kind: DataType) -> None:
    encoder = codec(kind)

    @given(VALUES[kind], VALUES[kind])
    def check(a: object, b: object) -> None:
        left, right = encoder.canonical([a]), encoder.canonical([b])
        if isinstance(a, float) and isinstance(b, float):
            assert (left < right) == (_float_order(a) < _float_order(b))
        elif isinstance(a, str) and isinstance(b, str):
            if "\0" not in a + b:  # beyond that the order is any total order
                assert (left < right) == (a.encode() < b.encode())
        elif isinstance(a, bytes) and isinstance(b, bytes):
            if b"\0" not in a + b:
                assert (left < right) == (a < b)
        else:
            assert (left < right) == (a < b)  # type: ignore[operator]  # both of one ordered type

    check()


@pytest.mark.parametrize("kind", ELEMENTS)
def test_bytes_of_lists_order_as_lists_do(kind: DataType) -> None:
    @given(st.lists(ELEMENTS[kind], max_size=4), st.lists(ELEMENTS[kind], max_size=4))
    def check(a: list[object], b: list[object]) -> None:
        assert (pack_list(kind, a) < pack_list(kind, b)) == ([_order(one) for one in a] < [_order(one) for one in b])

    check()


def _order(value: object) -> object:
    return _float_order(value) if isinstance(value, float) else value.encode() if isinstance(value, str) else value


def _float_order(x: float) -> tuple[int, float, float]:
    return (1, 0.0, 0.0) if math.isnan(x) else (0, x, math.copysign(1.0, x))


@given(I64, I64, I64, I64)
def test_times_come_before_values(ts: int, created: int, other_ts: int, other_created: int) -> None:
    encoder = codec(DataType.INT64)
    a, b = encoder.encode(ts, created, [1]), encoder.encode(other_ts, other_created, [0])
    expected = (ts, created) > (other_ts, other_created) or (ts, created) == (other_ts, other_created)
    assert (a > b) == expected
    assert split_order(a) == (ts, created)


def test_a_tombstone_beats_values_of_its_time_and_a_value_beats_a_null() -> None:
    encoder = codec(DataType.INT64, DataType.STRING)
    null, value = encoder.encode(1, 1, [None, None]), encoder.encode(1, 1, [-5, None])
    tombstone = encoder.encode(1, 1, [None, None], tombstone=True)
    later = encoder.encode(1, 2, [None, None])
    order = [null, value, tombstone, later]
    assert sorted(order) == order


def test_exact_values_stay_exact() -> None:
    encoder = codec(DataType.INT64, DataType.FLOAT32, DataType.DECIMAL)
    f32 = struct.unpack("f", struct.pack("f", 1.111))[0]
    row = encoder.decode(encoder.encode(0, 0, [9007199254740993, f32, Decimal("12345678901234567890.123456789")]))
    assert row == Row(0, 0, False, (9007199254740993, f32, Decimal("12345678901234567890.123456789")))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (DataType.INT64, "1"),
        (DataType.INT64, 1.0),
        (DataType.INT64, True),
        (DataType.INT64, 2**63),
        (DataType.INT32, 2**31),
        (DataType.BOOL, 1),
        (DataType.FLOAT64, "x"),
        (DataType.FLOAT32, 1e300),
        (DataType.STRING, b"x"),
        (DataType.BYTES, "x"),
        (DataType.TIMESTAMP, "2026-01-01"),
        (DataType.DATE, datetime(2026, 1, 1, tzinfo=UTC)),
        (DataType.DECIMAL, Decimal("0.0000000001")),
        (DataType.DECIMAL, 1.5),
        (DataType.LIST_INT64, 1),
        (DataType.LIST_INT64, "12"),
        (DataType.LIST_INT64, [1.0]),
        (DataType.LIST_INT32, [None, 2**31]),
        (DataType.LIST_FLOAT32, [1e300]),
        (DataType.LIST_FLOAT64, [True]),
        (DataType.LIST_STRING, [b"x"]),
        (DataType.LIST_DECIMAL, [Decimal("0.0000000001")]),
    ],
)
def test_a_value_of_another_type_is_refused_by_name(kind: DataType, value: object) -> None:
    with pytest.raises(TypeMismatch, match="c1 is"):
        codec(DataType.INT64, kind).encode(0, 0, [1, value])


def test_a_row_of_another_schema_is_corrupt() -> None:
    row = codec(DataType.INT64).encode(0, 0, [1])
    with pytest.raises(Corrupt):
        codec(DataType.FLOAT64).decode(row)


def test_many_rows_decode_into_columns() -> None:
    encoder = codec(DataType.INT64, DataType.DATE)
    rows = [encoder.encode(n, 0, [n, date(2026, 1, 1 + n)]) for n in range(3)]
    assert encoder.decode_many(rows) == [[0, 1, 2], [date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 3)]]


def test_timestamps_may_be_given_in_microseconds() -> None:
    encoder = codec(DataType.TIMESTAMP)
    assert encoder.decode(encoder.encode(0, 0, [1_000_000])).values == (to_datetime(1_000_000),)


def test_the_layout_is_pinned() -> None:
    encoder = codec(DataType.INT64, DataType.STRING)
    expected = "8000000000000001" + "8000000000000000" + "02" + "00" + f"{encoder.fingerprint:08x}" + "c0"
    expected += "8000000000000005" + b"ab".ljust(8, b"\0").hex() + b"ab".hex() + f"{2 ^ encoder.fingerprint:08x}"
    assert encoder.encode(1, 0, [5, "ab"]).hex() == expected
    assert order_prefix(1, 0).hex() == expected[:32]


def test_rows_behind_a_lead_are_the_rows_with_the_lead_and_their_numbers() -> None:
    codec = RowCodec(Schema((Field("a", DataType.FLOAT64), Field("b", DataType.INT32), Field("c", DataType.DECIMAL))))
    columns = [
        pa.array([1.5, None]),
        pa.array([None, -3], pa.int32()),
        pa.array([Decimal("1.5"), None], DataType.DECIMAL.arrow()),
    ]
    ts, created, marks = np.array([5, -6]), np.array([1, 0]), np.array([-7, 1 << 40])
    encoder = ArrayEncoder(codec)
    plain = encoder.encode(ts, created, columns=columns)
    led = encoder.encode(ts, created, columns=columns, lead=bytes(range(28)), marks=marks)
    expected = [bytes(range(16)) + int(mark).to_bytes(8, "big", signed=True) + bytes(range(24, 28)) for mark in marks]
    assert led == [lead + row for lead, row in zip(expected, plain, strict=True)]
    assert encoder.width == len(plain[0])
