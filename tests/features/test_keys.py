from __future__ import annotations

from datetime import UTC, date, datetime

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewheel.clock import to_datetime
from tidewheel.errors import Invalid, KeyTypeMismatch, UnsupportedKeyType
from tidewheel.features.key_arrays import encode_keys, number_keys
from tidewheel.features.keys import KeyCodec, view_prefix
from tidewheel.schema import DataType, Field, Schema


def codec(*kinds: DataType, view: int = 1) -> KeyCodec:
    return KeyCodec(view, Schema(tuple(Field(f"k{i}", kind) for i, kind in enumerate(kinds))))


TEXT = st.text(max_size=20)
I64 = st.integers(-(2**63), 2**63 - 1)


@given(st.tuples(TEXT, I64, st.binary(max_size=20)), st.tuples(TEXT, I64, st.binary(max_size=20)))
def test_keys_order_as_their_parts(a: tuple[str, int, bytes], b: tuple[str, int, bytes]) -> None:
    keys = codec(DataType.STRING, DataType.INT64, DataType.BYTES)
    assert keys.decode(keys.encode(a)) == a
    assert keys.decode(keys.encode(a) + b"suffix") == a
    left, right = (a[0].encode(), *a[1:]), (b[0].encode(), *b[1:])
    assert (keys.encode(a) < keys.encode(b)) == (left < right)
    assert (keys.encode(a) == keys.encode(b)) == (a == b)


def test_b9_parts_do_not_run_together() -> None:
    keys = codec(DataType.STRING, DataType.STRING)
    assert keys.encode(("1", "11")) != keys.encode(("11", "1"))


def test_e10_large_integers_are_unchanged() -> None:
    keys = codec(DataType.INT64)
    assert keys.decode(keys.encode((9007199254740993,))) == (9007199254740993,)
    assert keys.encode((9007199254740993,)) != keys.encode((9007199254740992,))


def test_keys_of_a_view_stand_under_its_prefix() -> None:
    assert codec(DataType.INT64, view=7).encode((1,)).startswith(view_prefix(7))
    assert not codec(DataType.INT64, view=8).encode((1,)).startswith(view_prefix(7))


def test_the_layout_is_pinned() -> None:
    keys = codec(DataType.INT64, DataType.STRING, DataType.BOOL, view=258)
    assert keys.encode((-1, "a\0b", True)).hex() == "00000102" + "03" + "7fffffffffffffff" + "6100ff62" + "0000" + "01"


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        (DataType.INT64, "1"),
        (DataType.INT64, 1.0),
        (DataType.INT64, True),
        (DataType.INT64, None),
        (DataType.INT64, 2**63),
        (DataType.INT64, -(2**63) - 1),
        (DataType.INT32, 2**31),
        (DataType.STRING, 1),
        (DataType.STRING, b"1"),
        (DataType.BYTES, "1"),
        (DataType.BOOL, 1),
        (DataType.DATE, datetime(2026, 1, 1, tzinfo=UTC)),
    ],
)
@pytest.mark.parametrize("others", [(), (DataType.STRING,)])
def test_d4_a_part_of_another_type_is_refused_by_name(kind: DataType, part: object, others: tuple[DataType, ...]) -> None:
    with pytest.raises(KeyTypeMismatch, match=f"k0: got .*, declared {kind.value}"):
        codec(kind, *others).encode((part, *("x" for _ in others)))


def test_d4_says_what_it_got() -> None:
    with pytest.raises(KeyTypeMismatch, match="k0: got string '1', declared int64"):
        codec(DataType.INT64).encode(("1",))


@pytest.mark.parametrize("kind", [DataType.FLOAT64, DataType.FLOAT32, DataType.DECIMAL])
def test_floats_are_no_keys(kind: DataType) -> None:
    with pytest.raises(UnsupportedKeyType, match="k0"):
        codec(kind)


def test_a_key_has_a_longest_length() -> None:
    keys = codec(DataType.STRING)
    assert len(keys.encode(("x" * 453,))) == 460
    with pytest.raises(Invalid, match="460"):
        keys.encode(("x" * 454,))


def test_times_and_dates_are_keys() -> None:
    keys = codec(DataType.TIMESTAMP, DataType.DATE)
    moment, day = datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), date(2026, 1, 1)
    assert keys.decode(keys.encode((moment, day))) == (1_000_000, day)
    assert keys.encode((moment, day)) == keys.encode((1_000_000, day))


PARTS: dict[DataType, st.SearchStrategy[object]] = {
    DataType.BOOL: st.booleans(),
    DataType.INT32: st.integers(-(2**31), 2**31 - 1),
    DataType.INT64: I64,
    DataType.STRING: TEXT,
    DataType.BYTES: st.binary(max_size=20),
    DataType.TIMESTAMP: st.integers(-(2**40), 2**40).map(to_datetime),
    DataType.DATE: st.dates(),
}


@given(st.data())
def test_keys_of_columns_are_those_of_single_rows(data: st.DataObject) -> None:
    kinds = data.draw(st.lists(st.sampled_from(list(PARTS)), min_size=1, max_size=3))
    keys = codec(*kinds)
    some = data.draw(st.lists(st.tuples(*(st.none() | PARTS[kind] for kind in kinds)), max_size=6))
    rows = some + data.draw(st.lists(st.sampled_from(some), max_size=4) if some else st.just([]))
    columns = {f"k{i}": pa.array([row[i] for row in rows], kind.arrow()) for i, kind in enumerate(kinds)}
    found = number_keys(keys, pa.table(columns))
    expected = [None if None in row else keys.encode(row) for row in rows]
    assert found.keys == sorted({key for key in expected if key is not None})
    assert [None if code < 0 else found.keys[code] for code in found.codes] == expected


def test_a_key_of_columns_may_not_be_too_long_either() -> None:
    with pytest.raises(Invalid, match="460 is the limit"):
        encode_keys(codec(DataType.STRING), [pa.array(["short", "x" * 500])])
