"""Digests of columns: by the values and their order, not by how Arrow or Parquet happen to lay them out.

Chunks, offsets, bytes under nulls, dictionary encoding, 32 or 64 bit string offsets and Parquet's settings make no difference.
The type does (int32 and int64 differ), and so does every bit of a float, except that all NaNs are one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from tidewheel.digest import Digest, digest
from tidewheel.errors import Invalid

_ALGORITHM = "column-1"


class ColumnDigest:
    """Digest of one column that arrives in pieces.

    Examples
    --------
    >>> whole, pieces = ColumnDigest(pa.int64()), ColumnDigest(pa.int64())
    >>> whole.add(pa.array([1, None, 3]))
    >>> pieces.add(pa.array([1])), pieces.add(pa.array([None, 3], pa.int64()))
    (None, None)
    >>> whole.digest() == pieces.digest()
    True
    """

    def __init__(self, kind: pa.DataType) -> None:
        self._kind = kind
        self._name = _type_name(kind)
        self._rows = 0
        self._validity = hashlib.blake2b(digest_size=32)
        self._lengths = hashlib.blake2b(digest_size=32)
        self._values = hashlib.blake2b(digest_size=32)
        self._children = [ColumnDigest(child) for child in _children(kind)]

    def add(self, array: pa.Array) -> None:
        """Take the next values."""
        if isinstance(array, pa.ExtensionArray):
            array = array.storage
        if kinds.is_dictionary(array.type):
            array = array.dictionary_decode()
        if kinds.is_map(array.type):
            array = array.cast(pa.list_(_children(array.type)[0]))
        rows = len(array)
        self._rows += rows
        valid = b"\1" * rows if array.null_count == 0 else array.is_valid().to_numpy(zero_copy_only=False).tobytes()
        self._validity.update(valid)
        if _is_listing(array.type):
            lengths = pc.fill_null(pc.list_value_length(array), 0).cast(pa.int64())
            self._lengths.update(lengths.to_numpy(zero_copy_only=False).tobytes())
            self._children[0].add(array.flatten())
        elif kinds.is_struct(array.type):
            for child, values in zip(self._children, array.flatten(), strict=True):
                child.add(values)
        elif _is_bytes(array.type):
            self._add_bytes(array)
        elif not kinds.is_null(array.type):
            self._values.update(_fixed(array))

    def digest(self) -> Digest:
        """Digest of all values so far."""
        parts = [self._validity.hexdigest(), self._lengths.hexdigest(), self._values.hexdigest()]
        return digest([_ALGORITHM, self._name, self._rows, parts, [child.digest() for child in self._children]])

    def _add_bytes(self, array: pa.Array) -> None:
        if len(array) == 0:
            return
        plain = pc.fill_null(array.cast(pa.large_binary()), b"")
        _, offset_buffer, data = plain.buffers()
        offsets = np.frombuffer(offset_buffer, np.int64)[plain.offset : plain.offset + len(plain) + 1]
        self._lengths.update(np.diff(offsets).tobytes())
        if data is not None:
            self._values.update(memoryview(data)[int(offsets[0]) : int(offsets[-1])])


def column_digests(names: Iterable[str], columns: Iterable[pa.ChunkedArray]) -> dict[str, Digest]:
    """Digest per column, in order.

    Examples
    --------
    >>> table = pa.table({"zone": [1, 2], "name": ["a", "b"]})
    >>> list(column_digests(table.column_names, table.columns))
    ['zone', 'name']
    """
    found = {}
    for name, column in zip(names, columns, strict=True):
        one = ColumnDigest(column.type)
        for chunk in column.chunks:
            one.add(chunk)
        found[name] = one.digest()
    return found


def _fixed(array: pa.Array) -> memoryview | bytes:
    kind = array.type
    if kinds.is_boolean(kind):
        return memoryview(pc.fill_null(array, False).to_numpy(zero_copy_only=False).view(np.uint8))
    if kinds.is_floating(kind):
        floats = pc.fill_null(array, pa.scalar(0.0, kind)).to_numpy(zero_copy_only=False)
        unknown = np.isnan(floats)
        if unknown.any():
            floats = np.where(unknown, floats.dtype.type(np.nan), floats)
        return np.ascontiguousarray(floats).tobytes()
    width = kind.bit_width // 8
    buffer = array.buffers()[1]
    if buffer is None:
        return b""
    raw = np.frombuffer(buffer, np.uint8)[array.offset * width : (array.offset + len(array)) * width].reshape(len(array), width)
    if array.null_count:
        raw = np.where(array.is_valid().to_numpy(zero_copy_only=False)[:, None], raw, np.uint8(0))
    return np.ascontiguousarray(raw).tobytes()


def _is_bytes(kind: pa.DataType) -> bool:
    tests = (kinds.is_string, kinds.is_large_string, kinds.is_string_view, kinds.is_binary, kinds.is_large_binary)
    return any(test(kind) for test in tests) or bool(kinds.is_binary_view(kind))


def _is_listing(kind: pa.DataType) -> bool:
    return bool(kinds.is_list(kind) or kinds.is_large_list(kind) or kinds.is_fixed_size_list(kind))


def _children(kind: pa.DataType) -> list[pa.DataType]:
    if isinstance(kind, pa.BaseExtensionType):
        return _children(kind.storage_type)
    if kinds.is_map(kind):
        return [pa.struct([("key", kind.key_type), ("value", kind.item_type)])]
    if _is_listing(kind):
        return [kind.value_type]
    if kinds.is_struct(kind):
        return [kind.field(index).type for index in range(kind.num_fields)]
    return []


def _type_name(kind: pa.DataType) -> str:
    if isinstance(kind, pa.BaseExtensionType):
        return f"{kind.extension_name}<{_type_name(kind.storage_type)}>"
    if kinds.is_dictionary(kind):
        return _type_name(kind.value_type)
    if kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind):
        return "string"
    if _is_bytes(kind):
        return "binary"
    if kinds.is_map(kind):
        return "map"
    if kinds.is_fixed_size_list(kind):
        return f"list[{kind.list_size}]"
    if _is_listing(kind):
        return "list"
    if kinds.is_struct(kind):
        return "struct<" + ",".join(kind.field(index).name for index in range(kind.num_fields)) + ">"
    if kinds.is_union(kind) or kinds.is_run_end_encoded(kind):
        raise Invalid(f"a column of Arrow type {kind} cannot be stored", fix="cast it to a plain type")
    return str(kind)
