"""Write rows that arrive in batches to a Parquet file, and tell their content."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tidewheel.artifacts.columns import ColumnDigest
from tidewheel.digest import Digest, digest


def write_rows(path: Path | None, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> tuple[Digest, int]:
    """Digest and number of the rows, which are written unless there is no path.

    A column without any value counts as absent, so that a table that gets a new column keeps the content of its old rows.

    Examples
    --------
    >>> one, two = pa.record_batch({"a": [1]}), pa.record_batch({"a": [1], "b": pa.nulls(1, pa.int64())})
    >>> write_rows(None, one.schema, [one]) == write_rows(None, two.schema, [two])
    True
    """
    columns = {field.name: ColumnDigest(field.type) for field in schema}
    some = dict.fromkeys(columns, False)
    writer = None if path is None else pq.ParquetWriter(path, schema, compression="zstd")
    rows = 0
    try:
        for batch in batches:
            if not batch.num_rows:
                continue
            rows += batch.num_rows
            for name, column in zip(schema.names, batch.columns, strict=True):
                columns[name].add(column)
                some[name] |= column.null_count < len(column)
            if writer is not None:
                writer.write_batch(batch)
    finally:
        if writer is not None:
            writer.close()
    told = [[name, one.digest()] for name, one in sorted(columns.items()) if some[name]]
    return digest(["rows-of", rows, told]), rows
