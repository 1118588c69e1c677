"""Many rows at once as columns: the same bytes as :mod:`tidewheel.features.rows`, written and read column by column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidewheel.errors import Corrupt
from tidewheel.features import row_kernel
from tidewheel.features.list_bytes import pack_list, unpack_list
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

_ANY_LENGTH = (DataType.STRING, DataType.BYTES, *LISTS.values())


class ArrayEncoder:
    """Encodes Arrow columns into rows of one schema.

    Examples
    --------
    >>> from tidewheel.schema import Field, Schema
    >>> codec = RowCodec(Schema((Field("zone", DataType.STRING), Field("minutes", DataType.FLOAT64))))
    >>> columns = [pa.array(["Harlem", None]), pa.array([-2.5, 1.0])]
    >>> rows = ArrayEncoder(codec).encode(np.array([5, 6]), np.array([0, 0]), columns=columns)
    >>> rows == [codec.encode(5, 0, ("Harlem", -2.5)), codec.encode(6, 0, (None, 1.0))]
    True
    """

    def __init__(self, codec: RowCodec) -> None:
        self._codec = codec
        self._slots = [codec.slot(place) for place in range(len(codec.schema))]
        self._head = codec.encode(0, 0, [None] * len(codec.schema))[: codec.size]
        self.width = None if codec.strings else len(self._head)
        """Bytes of every row, where all have as many."""

    def encode(
        self,
        ts: npt.NDArray[np.int64],
        created: npt.NDArray[np.int64],
        *,
        columns: Sequence[pa.Array | pa.ChunkedArray],
        lead: bytes = b"",
        marks: npt.NDArray[np.int64] | None = None,
    ) -> list[bytes]:
        """The bytes of every row, in order.

        Parameters
        ----------
        ts, created
            Microseconds UTC.
        columns
            One per column of the schema, of its Arrow type.
        lead
            Stands before each row; not for rows of columns of any length.
        marks
            A number of each row, which takes the lead's bytes 16 to 24: so a closed row of one slot is written in one go.

        Raises
        ------
        TypeMismatch
            Naming the column whose value does not fit its type: a decimal of more than 9 places.
        """
        size, shift = len(lead) + len(self._head), len(lead)
        puts: list[_Put] = [
            (_contiguous(times), None, (8 * place, 8, row_kernel.WHOLE, 0, 0, 0)) for place, times in enumerate((ts, created))
        ]
        pieces = []
        for place, column in enumerate(columns):
            flat = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
            puts += self._puts(place, flat)
            if place in self._codec.strings:
                pieces.append(_pieces(flat, self._codec.schema.fields[place].type))
        offsets = [self._slots[place].offset for place in self._codec.strings]
        step = max(1, _BLOCK_BYTES // size)
        made: list[bytes] = []
        for low in range(0, len(ts), step):
            high = min(low + step, len(ts))
            block = bytearray((lead + self._head) * (high - low))
            if marks is not None:
                row_kernel.put_column(block, marks[low:high], valid=None, place=(size, 16, 8, row_kernel.RAW, 0, 0, 0))
            for numbers, valid, (offset, width, form, presence, mask, empty) in puts:
                there = None if valid is None else valid[low:high]
                where = (size, offset + shift, width, form, presence + shift, mask, empty)
                row_kernel.put_column(block, numbers[low:high], valid=there, place=where)
            if pieces:
                made += row_kernel.join_pieces(bytes(block), size, slots=offsets, pieces=[one[low:high] for one in pieces])
            else:
                made += row_kernel.cut(bytes(block), size)
        return made

    def _puts(self, place: int, column: pa.Array) -> list[_Put]:
        """What to write into the slot of one column: numbers, which of them are there, and where they go."""
        kind, slot = self._codec.schema.fields[place].type, self._slots[place]
        valid = column.is_valid().to_numpy(zero_copy_only=False).view(np.uint8) if column.null_count else None
        if place in self._codec.strings:
            nothing = np.zeros(len(column), dtype=np.int64)
            return [(nothing, valid, (0, 0, row_kernel.RAW, slot.presence, slot.mask, 0))]
        if kind is DataType.DECIMAL:
            words = np.frombuffer(column.buffers()[1] or b"", "<i8").reshape(-1, 2)[column.offset : column.offset + len(column)]
            high = (slot.offset, 8, row_kernel.WHOLE, slot.presence, slot.mask, 0)
            low = (slot.offset + 8, 8, row_kernel.RAW, 0, 0, 0)
            return [(_contiguous(words[:, 0]), valid, low), (_contiguous(words[:, 1]), valid, high)]
        numbers, form = _bits(column, kind)
        where = (slot.offset, slot.size, form, slot.presence, slot.mask, _EMPTY.get(kind, 0))
        return [(numbers, valid, where)]


_Put = tuple["npt.NDArray[np.int64]", "npt.NDArray[np.uint8] | None", tuple[int, ...]]
_BLOCK_BYTES = 1 << 18
_EMPTY = {DataType.TIMESTAMP: 1 << 63, DataType.DATE: 1 << 31}
"""Slots of null values that are not zero."""


def _contiguous(values: npt.NDArray[np.generic]) -> npt.NDArray[np.int64]:
    return np.ascontiguousarray(values, dtype=np.int64)


def _bits(column: pa.Array, kind: DataType) -> tuple[npt.NDArray[np.int64], int]:
    """Numbers of a column by their bits, those of nulls being any, and how they lie in a slot."""
    if kind in (DataType.FLOAT64, DataType.FLOAT32):
        floats = _filled(column)
        bits = floats.view(np.int64) if kind is DataType.FLOAT64 else floats.view(np.uint32).astype(np.int64)
        return np.ascontiguousarray(bits), row_kernel.REAL
    if kind is DataType.BOOL:
        return _filled(column.cast(pa.uint8())).astype(np.int64), row_kernel.RAW
    if kind is DataType.DATE:
        column = column.view(pa.int32())
    elif kind is DataType.TIMESTAMP:
        column = column.view(pa.int64())
    return _filled(column).astype(np.int64), row_kernel.WHOLE


def _filled(column: pa.Array) -> npt.NDArray[np.generic]:
    """Values of a column of numbers without its nulls, whose places hold whatever lies there."""
    width = column.type.bit_width // 8
    kind = np.dtype(column.type.to_pandas_dtype())
    values: npt.NDArray[np.generic] = np.frombuffer(column.buffers()[1] or b"", kind, len(column), column.offset * width)
    return values


def _pieces(column: pa.Array, kind: DataType) -> list[bytes]:
    """Bytes of every value of a column of any length, none for null."""
    if kind.is_list:
        return [b"" if one is None else pack_list(kind.element, one) for one in column.to_pylist()]
    if kind is DataType.STRING:
        column = column.cast(pa.large_binary())
    pieces: list[bytes] = pc.fill_null(column, b"").to_pylist()
    return pieces


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
        self._any_length = any(kind in _ANY_LENGTH for _, kind in self._wanted)

    def decode(self, rows: Sequence[bytes]) -> tuple[npt.NDArray[np.int64], pa.Table]:
        """Event times, and the wanted columns; bytes behind a row's own are not looked at, unless it holds strings.

        Raises
        ------
        Corrupt
            When a row is of another layout or another schema.
        """
        data = self._fixed(rows)
        ends = self._ends(rows) if self._any_length else None
        columns = []
        for place, kind in self._wanted:
            there = (data["present"][:, place >> 3] & (0x80 >> (place & 7))) != 0
            absent = None if there.all() else ~there
            if ends is None or kind not in _ANY_LENGTH:
                columns.append(_column(data[f"c{place}"], kind, absent))
                continue
            number = self._codec.strings.index(place)
            start, stop = self._codec.size if number == 0 else ends[:, number - 1], ends[:, number]
            columns.append(_pieces_column(rows, kind, starts=np.broadcast_to(start, stop.shape), stops=stop, absent=absent))
        return _times(data), pa.Table.from_arrays(columns, schema=self._schema)

    def _ends(self, rows: Sequence[bytes]) -> npt.NDArray[np.int64]:
        """Where in each row every column of any length ends: shape (rows, columns)."""
        count = len(self._codec.strings)
        tails = b"".join([row[-4 * count :] for row in rows])
        ends = (
            np.frombuffer(tails, ">u4").reshape(len(rows), count).astype(np.int64)
            if len(rows)
            else np.empty((0, count), np.int64)
        )
        ends[:, -1] ^= self._codec.fingerprint
        ends += self._codec.size
        sizes = np.fromiter(map(len, rows), np.int64, len(rows))
        if (ends[:, -1] + 4 * count != sizes).any() or (np.diff(ends, prepend=self._codec.size, axis=1) < 0).any():
            raise Corrupt("a stored row is not as long as it says", fix="materialise the view again")
        return ends

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
        whole = b"".join([row[:size] for row in rows])
        if len(whole) != size * len(rows):
            raise Corrupt("a stored row is shorter than any", fix="materialise the view again")
        data = np.frombuffer(whole, dtype=self._dtype, count=len(rows))
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


def _pieces_column(
    rows: Sequence[bytes],
    kind: DataType,
    *,
    starts: npt.NDArray[np.int64],
    stops: npt.NDArray[np.int64],
    absent: npt.NDArray[np.bool_] | None,
) -> pa.Array:
    """Strings, bytes and lists, by where they stand in each row."""
    pieces = [row[start:stop] for row, start, stop in zip(rows, starts.tolist(), stops.tolist(), strict=True)]
    if kind.is_list:
        gone = [False] * len(rows) if absent is None else absent.tolist()
        lists = [None if out else unpack_list(kind.element, one) for one, out in zip(pieces, gone, strict=True)]
        return pa.array(lists, kind.arrow())
    found = pa.array(pieces, pa.binary(), mask=absent)
    return found.cast(pa.string()) if kind is DataType.STRING else found


def _decimals(slots: npt.NDArray[np.generic], absent: npt.NDArray[np.bool_] | None) -> pa.Array:
    """Decimals from 16-byte integers, highest byte first and sign flipped, whose nulls are zeros."""
    words = np.ascontiguousarray(slots).view(">u8").reshape(-1, 2)
    turned = np.empty((len(words), 2), "<u8")
    turned[:, 0] = words[:, 1]
    turned[:, 1] = words[:, 0] ^ _SIGN64
    valid = None if absent is None else pa.py_buffer(np.packbits(~absent, bitorder="little").tobytes())
    return pa.Array.from_buffers(DataType.DECIMAL.arrow(), len(words), [valid, pa.py_buffer(turned.tobytes())])


def _column(slots: npt.NDArray[np.generic], kind: DataType, absent: npt.NDArray[np.bool_] | None) -> pa.Array:
    if kind is DataType.DECIMAL:
        return _decimals(slots, absent)
    if kind is DataType.BOOL:
        return pa.array(slots.astype(np.bool_), pa.bool_(), mask=absent)
    numbers = pa.array(_numbers(slots, kind), mask=absent)
    if kind is DataType.DATE:
        return numbers.view(pa.date32())
    return numbers.cast(kind.arrow()) if kind is DataType.TIMESTAMP else numbers
