"""The log of labels: what really happened, as it became known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from tidewheel.clock import Clock, system_clock
from tidewheel.errors import Corrupt, MissingColumns
from tidewheel.predictions.definition import Label, LabelSource
from tidewheel.predictions.record_log import Compaction, RecordLog, unite

_FORMAT = 1
_COLUMNS: dict[str, pa.DataType] = {
    "value": pa.float64(),
    "at": pa.int64(),
    "received_at": pa.int64(),
    "sequence": pa.int64(),
    "prediction_id": pa.string(),
    "keys": pa.string(),
    "time": pa.int64(),
}


class LabelLog:
    """Labels of one deployment's predictions, in any order, any number of times.

    Nothing is overwritten: which label holds is decided when they are joined. So a label may come before its prediction is
    compacted or after, twice, or late and out of order.

    Parameters
    ----------
    clock
        Stamps the arrival, which decides between labels of the same ``at``.

    Examples
    --------
    >>> import tempfile
    >>> from tidewheel.clock import Micros
    >>> log = LabelLog(Path(tempfile.mkdtemp()), clock=lambda: Micros(5))
    >>> log.add([Label(value=11.0, prediction_id="p1"), Label(value=7.5, keys={"zone": 4}, time=Micros(0))])
    2
    >>> log.read().select(["prediction_id", "keys", "time", "value", "at"]).to_pylist()[1]
    {'prediction_id': None, 'keys': '{"zone":4}', 'time': 0, 'value': 7.5, 'at': 5}
    >>> log.close()
    """

    def __init__(self, folder: Path, clock: Clock = system_clock, *, sync_seconds: float = 1.0) -> None:
        self._records = RecordLog(folder, decode_labels, sync_seconds=sync_seconds)
        self._clock = clock
        self._count = count()

    def add(self, labels: Sequence[Label]) -> int:
        """Write labels with one ``write(2)``; they survive a kill when this returns. Answers how many."""
        now = self._clock()
        self._records.append([_encode(label, now, next(self._count)) for label in labels])
        return len(labels)

    def read(self) -> pa.Table:
        """All labels as they arrived, columns ``value at received_at sequence prediction_id keys time``."""
        tables = self._records.read()
        return unite(tables).select(list(_COLUMNS)) if tables else no_labels()

    def compact(self) -> Compaction:
        """Turn finished journal segments into Parquet; exactly once whatever is killed."""
        return self._records.compact()

    def start_compaction(self, every_seconds: float = 60.0) -> None:
        """Compact in the background until :meth:`close`."""
        self._records.start_compaction(every_seconds)

    def close(self) -> None:
        """Stop compacting and close the journal; idempotent."""
        self._records.close()


def labels_of_source(definition: LabelSource, rows: pa.Table) -> pa.Table:
    """Rows that :class:`tidewheel.sources.read.Sources` scanned, as labels.

    Parameters
    ----------
    rows
        The columns that the definition names, and the system columns ``__ts`` and ``__created``. A row without a value, key or
        time is no label.

    Returns
    -------
    The columns of :meth:`LabelLog.read`. A naive time column is local time of the source's zone.
    """
    named = [definition.value, *definition.by, *(name for name in (definition.time, definition.id) if name), "__ts"]
    missing = [name for name in named if name not in rows.schema.names]
    if missing:
        raise MissingColumns(f"labels of source {definition.source.name!r} lack {', '.join(missing)}", where=missing[0])
    rows = rows.filter(pc.is_finite(rows[definition.value].cast(pa.float64())))
    for name in named:
        rows = rows.filter(pc.is_valid(rows[name]))
    nothing = pa.nulls(rows.num_rows)
    created = rows["__created"] if "__created" in rows.schema.names else rows["__ts"]
    keys, time = nothing.cast(pa.string()), nothing.cast(pa.int64())
    if definition.time is not None:
        columns = [rows[name].to_pylist() for name in definition.by]
        keys = pa.array(
            [canonical(dict(zip(definition.by, key, strict=True))) for key in zip(*columns, strict=True)], pa.string()
        )
        time = _micros(rows[definition.time], definition.source.timezone)
    return pa.table(
        {
            "value": rows[definition.value].cast(pa.float64()),
            "at": rows["__ts"].cast(pa.int64()),
            "received_at": created.cast(pa.int64()),
            "sequence": pa.array(range(rows.num_rows), pa.int64()),
            "prediction_id": nothing.cast(pa.string()) if definition.id is None else rows[definition.id].cast(pa.string()),
            "keys": keys,
            "time": time,
        }
    )


def canonical(keys: Mapping[str, object]) -> str:
    """Keys as text that is equal for equal keys: names sorted, whole floats as integers.

    Examples
    --------
    >>> canonical({"b": 2.0, "a": "x"})
    '{"a":"x","b":2}'
    """
    plain = {
        name: int(value) if isinstance(value, float) and value.is_integer() else value for name, value in sorted(keys.items())
    }
    return msgspec.json.encode(plain).decode()


def no_labels() -> pa.Table:
    """The empty table of labels."""
    return pa.schema(list(_COLUMNS.items())).empty_table()


def decode_labels(records: Sequence[bytes]) -> pa.Table:
    """Journal records as a table."""
    rows = [msgspec.msgpack.decode(record) for record in records]
    for row in rows:
        if row[0] != _FORMAT:
            raise Corrupt(f"a label has format {row[0]}, which this version cannot read", fix="read it with the newer version")
    return pa.table({name: pa.array([row[at] for row in rows], kind) for at, (name, kind) in enumerate(_COLUMNS.items(), 1)})


def _encode(label: Label, now: int, sequence: int) -> bytes:
    at = now if label.at is None else label.at
    keys = None if label.keys is None else canonical(label.keys)
    return msgspec.msgpack.encode((_FORMAT, float(label.value), at, now, sequence, label.prediction_id, keys, label.time))


def _micros(column: pa.ChunkedArray, timezone: str | None) -> pa.ChunkedArray:
    if pa.types.is_integer(column.type):
        return column.cast(pa.int64())
    if column.type.tz is None:
        column = pc.assume_timezone(column, timezone or "UTC", ambiguous="earliest", nonexistent="latest")
    return column.cast(pa.timestamp("us", tz="UTC"), safe=False).cast(pa.int64())
