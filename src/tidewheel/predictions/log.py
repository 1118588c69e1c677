"""The log of predictions: written before the answer leaves, read as one Arrow table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidewheel.errors import Corrupt
from tidewheel.predictions.record_log import Compaction, RecordLog, unite
from tidewheel.predictions.row import PredictionRow

_FORMAT = 1
_DECIMAL, _DATE = 1, 2
_IDENTITY = ("prediction_id", "answered_at", "at")

_FIXED: dict[str, pa.DataType] = {
    "prediction_id": pa.string(),
    "deployment": pa.string(),
    "model": pa.string(),
    "version": pa.int64(),
    "arm": pa.string(),
    "at": pa.int64(),
    "answered_at": pa.int64(),
    "latency_us": pa.int64(),
    "inputs": pa.string(),
}


class PredictionLog:
    """Every answer of one deployment.

    Any number of processes may write, read and compact at the same time. A row survives ``kill -9`` of the writer as soon as
    :meth:`append` returns, so an answer that is sent afterwards is always in the log. A failure of power can lose the last
    ``sync_seconds``.

    Parameters
    ----------
    folder
        One per deployment; made when the first row is written.

    Examples
    --------
    >>> import tempfile
    >>> from tidewheel.clock import Micros
    >>> log = PredictionLog(Path(tempfile.mkdtemp()))
    >>> row = PredictionRow(prediction_id="p1", deployment="eta", model="eta", version=1, at=Micros(0),
    ...                     answered_at=Micros(9), inputs={"zone": 4}, features={"trips_1h": 3}, prediction=12.5)
    >>> log.append([row])
    >>> log.read(columns=["prediction_id", "f.trips_1h", "prediction"]).to_pylist()
    [{'prediction_id': 'p1', 'f.trips_1h': 3, 'prediction': 12.5}]
    >>> log.close()
    """

    def __init__(self, folder: Path, *, sync_seconds: float = 1.0, segment_bytes: int = 16 << 20) -> None:
        self._records = RecordLog(folder, decode_rows, segment_bytes=segment_bytes, sync_seconds=sync_seconds)

    @property
    def folder(self) -> Path:
        """Where the log lies."""
        return self._records.folder

    @property
    def failure(self) -> BaseException | None:
        """Why the last compaction in the background failed; nothing is lost by it."""
        return self._records.failure

    def append(self, rows: Sequence[PredictionRow]) -> None:
        """Write rows with one ``write(2)``; never waits for Parquet.

        Raises
        ------
        Unavailable
            When the disk is full or fails; then no row was added, and the answer must not be sent.
        """
        self._records.append([encode_row(row) for row in rows])

    def read(self, *, start: int | None = None, end: int | None = None, columns: Sequence[str] | None = None) -> pa.Table:
        """Rows as one table, each prediction id once, in the order of ``at`` and id.

        Of several rows with one id, the one that was answered first is kept.

        Parameters
        ----------
        start, end
            Only rows whose ``at`` lies in ``[start, end)``, microseconds UTC.
        columns
            Only these; one that no row has is left out.

        Returns
        -------
        Columns ``prediction_id deployment model version arm at answered_at latency_us inputs prediction``, and
        ``f.<feature>`` for each feature that a row has; ``inputs`` is JSON text. A feature that changed its type between
        versions is text.
        """
        wanted = None if columns is None else list(dict.fromkeys([*_IDENTITY, *columns]))
        tables = self._records.read(wanted, where=("at", start, end))
        table = _once(unite(tables)) if tables else _no_rows()
        for index, field in enumerate(table.schema):
            if pa.types.is_null(field.type):
                table = table.set_column(index, field.name, table.column(index).cast(pa.float64()))
        return table if columns is None else table.select([name for name in columns if name in table.schema.names])

    def compact(self) -> Compaction:
        """Turn finished journal segments into Parquet; safe at any time, exactly once whatever is killed."""
        return self._records.compact()

    def start_compaction(self, every_seconds: float = 60.0) -> None:
        """Compact in the background until :meth:`close`."""
        self._records.start_compaction(every_seconds)

    def close(self) -> None:
        """Stop compacting and close the journal; idempotent."""
        self._records.close()


def encode_row(row: PredictionRow) -> bytes:
    """A row as one journal record."""
    features = {name: value if type(value) in _PLAIN else _plain(value) for name, value in row.features.items()}
    return msgspec.msgpack.encode(
        (
            _FORMAT,
            row.prediction_id,
            row.deployment,
            row.model,
            row.version,
            row.arm,
            row.at,
            row.answered_at,
            row.latency_us,
            msgspec.json.encode(row.inputs).decode(),
            row.prediction,
            features,
        )
    )


def decode_rows(records: Sequence[bytes]) -> pa.Table:
    """Journal records as a table."""
    decoder = msgspec.msgpack.Decoder(ext_hook=_extension)
    rows = [decoder.decode(record) for record in records]
    for row in rows:
        if row[0] != _FORMAT:
            raise Corrupt(
                f"a prediction has format {row[0]}, which this version cannot read", fix="read it with the newer version"
            )
    columns = {name: pa.array([row[place] for row in rows], kind) for place, (name, kind) in enumerate(_FIXED.items(), start=1)}
    columns["prediction"] = _array([row[10] for row in rows])
    for name in dict.fromkeys(name for row in rows for name in row[11]):
        columns[f"f.{name}"] = _array([row[11].get(name) for row in rows])
    return pa.table(columns)


_PLAIN = frozenset({type(None), bool, int, float, str, bytes})


def _plain(value: object) -> object:
    """MessagePack keeps no decimals and no dates, and no scalars of NumPy."""
    if isinstance(value, datetime):
        return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return msgspec.msgpack.Ext(_DATE, value.isoformat().encode())
    if isinstance(value, Decimal):
        return msgspec.msgpack.Ext(_DECIMAL, str(value).encode())
    return value.item() if isinstance(value, np.generic) else value


def _extension(code: int, data: memoryview) -> object:
    text = bytes(data).decode()
    if code == _DECIMAL:
        return Decimal(text)
    if code == _DATE:
        return date.fromisoformat(text)
    raise Corrupt(f"a prediction holds a value of the unknown kind {code}", fix="read it with the version that wrote it")


def _array(values: list[object]) -> pa.Array:
    try:
        found = pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([None if value is None else str(value) for value in values], pa.string())
    return found.cast(pa.decimal128(38, 9)) if pa.types.is_decimal(found.type) else found


def _once(table: pa.Table) -> pa.Table:
    """Each id once, the first answer of it; ordered by ``at``, then id, so that compacting changes nothing."""
    order = pc.sort_indices(
        table.select(["at", "prediction_id", "answered_at"]),
        sort_keys=[("at", "ascending"), ("prediction_id", "ascending"), ("answered_at", "ascending")],
    )
    table = table.take(order)
    codes = np.asarray(table["prediction_id"].combine_chunks().dictionary_encode().indices)
    if len(np.unique(codes)) == len(codes):
        return table
    first = np.lexsort((table["answered_at"].to_numpy(), codes))
    keep = first[np.r_[True, codes[first][1:] != codes[first][:-1]]]
    return table.take(pa.array(np.sort(keep)))


def _no_rows() -> pa.Table:
    return pa.schema(list(_FIXED.items())).empty_table().append_column("prediction", pa.array([], pa.float64()))
