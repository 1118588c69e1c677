"""Many rows at once as columns: the same bytes as :mod:`tidewheel.features.rows`, decoded by NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tidewheel.errors import Corrupt
from tidewheel.features.rows import VERSION, RowCodec
from tidewheel.schema import LISTS, DataType

if TYPE_CHECKING:
    import numpy.typing as npt

_SIGN64 = np.uint64(1 << 63)
_SIGN32 = np.uint32(1 << 31)
_SLOTS = {
    **dict.fromkeys(LISTS.values(), "V8"),
    DataType.BOOL: "u1",
    DataType.INT32: ">u4",
    DataType.INT64: ">u8",
    DataType.FLOAT32: ">u4",
    DataType.FLOAT64: ">u8",
    DataType.STRING: "V8",
    DataType.BYTES: "V8",
    DataType.TIMESTAMP: ">u8",
    DataType.DATE: ">u4",
    DataType.DECIMAL: "V16",
}
Numbers = tuple["npt.NDArray[np.generic]", "npt.NDArray[np.bool_] | None"]
"""A column, and which of its values are there; ``None`` when all are."""

_BY_ROW = (DataType.STRING, DataType.BYTES, DataType.DECIMAL, *LISTS.values())


class ArrayDecoder:
    """Decodes rows of one schema into Arrow columns.

    Parameters
    ----------
    names
        Columns to decode; the others are skipped.

    Examples
    --------
    >>> from tidewheel.schema import Field, Schema
    >>> codec = RowCodec(Schema((Field("zone", DataType.INT64), Field("minutes", DataType.FLOAT64))))
    >>> decoder = ArrayDecoder(codec, ("minutes",))
    >>> ts, table = decoder.decode([codec.encode(5, 0, (1, -2.5)), codec.encode(6, 0, (1, None))])
    >>> ts.tolist(), table.to_pydict()
    ([5, 6], {'minutes': [-2.5, None]})
    """

    def __init__(self, codec: RowCodec, names: Sequence[str]) -> None:
        self._codec = codec
        self._bitmap = (len(codec.schema) + 7) // 8
        slots = [(f"c{i}", _SLOTS[field.type]) for i, field in enumerate(codec.schema)]
        head = [("ts", ">u8"), ("created", ">u8"), ("version", "u1"), ("flags", "u1"), ("schema", ">u4")]
        self._dtype = np.dtype([*head, ("present", "u1", (self._bitmap,)), *slots])
        self._size = self._dtype.itemsize
        places = {field.name: i for i, field in enumerate(codec.schema)}
        self._wanted = [(places[name], codec.schema.fields[places[name]].type) for name in names]
        self._schema = pa.schema([pa.field(name, kind.arrow()) for name, (_, kind) in zip(names, self._wanted, strict=True)])
        self._by_row = any(kind in _BY_ROW for _, kind in self._wanted)

    def decode(self, rows: Sequence[bytes]) -> tuple[npt.NDArray[np.int64], pa.Table]:
        """Event times, and the wanted columns; bytes behind a row's own are not looked at, unless it holds strings.

        Raises
        ------
        Corrupt
            When a row is of another layout or another schema.
        """
        data = self._fixed(rows)
        present = np.unpackbits(data["present"], axis=1) if self._bitmap else np.empty((len(rows), 0), np.uint8)
        values = [self._codec.decode(row).values for row in rows] if self._by_row else []
        columns = []
        for place, kind in self._wanted:
            if kind in _BY_ROW:
                columns.append(pa.array([value[place] for value in values], kind.arrow()))
                continue
            absent = present[:, place] == 0
            columns.append(_column(data[f"c{place}"], kind, absent if absent.any() else None))
        return _times(data), pa.Table.from_arrays(columns, schema=self._schema)

    def decode_numbers(self, rows: Sequence[bytes]) -> tuple[npt.NDArray[np.int64], list[Numbers]]:
        """Event times, and the wanted columns as NumPy arrays, all of which hold numbers (:attr:`numeric`)."""
        data = self._fixed(rows)
        columns = []
        for place, kind in self._wanted:
            there = (data["present"][:, place >> 3] & (0x80 >> (place & 7))) != 0
            columns.append((_numbers(data[f"c{place}"], kind), None if there.all() else there))
        return _times(data), columns

    @property
    def numeric(self) -> bool:
        """Whether :meth:`decode_numbers` can decode the wanted columns."""
        return all(kind in (DataType.INT32, DataType.INT64, DataType.FLOAT32, DataType.FLOAT64) for _, kind in self._wanted)

    def _fixed(self, rows: Sequence[bytes]) -> npt.NDArray[np.void]:
        size = self._size
        data = np.frombuffer(b"".join([row[:size] for row in rows]), dtype=self._dtype, count=len(rows))
        if len(rows) and ((data["version"] != VERSION) | (data["schema"] != self._codec.fingerprint)).any():
            raise Corrupt("a stored row has another layout or schema than expected", fix="materialise the view again")
        return data

    def integers(self, rows: Sequence[bytes], place: int) -> npt.NDArray[np.int64]:
        """One int64 column that is never null."""
        data = np.frombuffer(b"".join([row[: self._size] for row in rows]), dtype=self._dtype, count=len(rows))
        return (data[f"c{place}"].astype(np.uint64) ^ _SIGN64).view(np.int64)


def _times(data: npt.NDArray[np.void]) -> npt.NDArray[np.int64]:
    times: npt.NDArray[np.int64] = (data["ts"].astype(np.uint64) ^ _SIGN64).view(np.int64)
    return times


def _numbers(slots: npt.NDArray[np.generic], kind: DataType) -> npt.NDArray[np.generic]:
    if kind in (DataType.INT32, DataType.DATE):
        return (slots.astype(np.uint32) ^ _SIGN32).view(np.int32)
    if kind is DataType.FLOAT32:
        small = slots.astype(np.uint32)
        return np.where(small & _SIGN32, small ^ _SIGN32, ~small).view(np.float32)
    bits = slots.astype(np.uint64)
    if kind is DataType.FLOAT64:
        return np.where(bits & _SIGN64, bits ^ _SIGN64, ~bits).view(np.float64)
    return (bits ^ _SIGN64).view(np.int64)


def _column(slots: npt.NDArray[np.generic], kind: DataType, absent: npt.NDArray[np.bool_] | None) -> pa.Array:
    if kind is DataType.BOOL:
        return pa.array(slots.astype(np.bool_), pa.bool_(), mask=absent)
    numbers = pa.array(_numbers(slots, kind), mask=absent)
    if kind is DataType.DATE:
        return numbers.view(pa.date32())
    return numbers.cast(kind.arrow()) if kind is DataType.TIMESTAMP else numbers
