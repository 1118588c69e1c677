"""Digest of an Arrow table by what it says: order, names, types and values, not chunks, offsets or bytes behind nulls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidewheel.digest import Digest, digest, digest_bytes

if TYPE_CHECKING:
    import pyarrow as pa


def digest_table(table: pa.Table) -> Digest:
    """One digest over the digests of all columns.

    Examples
    --------
    >>> import pyarrow as pa
    >>> whole = pa.table({"a": [1, 2, None, 4]})
    >>> parts = pa.concat_tables([whole.slice(0, 1), whole.slice(1)])
    >>> digest_table(whole) == digest_table(parts)
    True
    """
    return digest([[name, digest_column(column)] for name, column in zip(table.column_names, table.columns, strict=True)])


def digest_column(column: pa.ChunkedArray) -> Digest:
    """Digest of one column: its type, which values are null, and the others."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    compact = column.drop_null().combine_chunks()
    valid = column.is_valid().cast(pa.uint8()).combine_chunks() if column.null_count else None
    sink = pa.BufferOutputStream()
    rebuilt = pa.concat_arrays([compact, compact.slice(0, 0)]) if compact.offset else compact
    with pa.ipc.new_stream(sink, pa.schema([pa.field("c", column.type)])) as writer:
        writer.write_batch(pa.record_batch([rebuilt], names=["c"]))
    nulls = None if valid is None else digest_bytes(valid.to_numpy(zero_copy_only=False).tobytes())
    return digest([str(column.type), len(column), nulls, digest_bytes(memoryview(sink.getvalue()))])
