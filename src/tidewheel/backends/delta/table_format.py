"""The table format port on Delta Lake.

The log says which files make a version; the files are read here one by one rather than by delta-rs's own scan, because a part
must give its rows in the same order every time. Partition columns stand in the log, not in the files; deletion vectors and
mapped column names are applied on the way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote

import deltalake
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.fs import DeltaStorageHandler

from tidewheel.errors import Conflict, Incompatible, NotFound, TidewheelError, Unavailable
from tidewheel.ports.table_format import TablePart, TableVersion

_PHYSICAL = "delta.columnMapping.physicalName"
_BATCH_ROWS = 131_072
_DENIED = ("credential", "denied", "forbidden", "unauthorized", "401", "403", "signature")


def open_table_format(url: str, options: Mapping[str, str]) -> DeltaFormat:
    """Open ``delta:///folder`` or ``delta+s3://bucket/table``; options are delta-rs's storage options.

    Examples
    --------
    >>> open_table_format("delta:///data/rides", {}).uri
    '/data/rides'
    """
    scheme, _, rest = url.partition("://")
    inner = scheme.partition("+")[2]
    return DeltaFormat(f"{inner}://{rest}" if inner else rest, options)


class DeltaFormat:
    """One Delta table.

    Parameters
    ----------
    uri
        A local folder, or a URL that delta-rs takes.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> deltalake.write_deltalake(folder, pa.table({"zone": [7, 8]}))
    >>> table = DeltaFormat(folder, {})
    >>> version = table.version()
    >>> version.id, table.stream(version, version.parts[0]).read_all()["zone"].to_pylist()
    ('0', [7, 8])
    """

    def __init__(self, uri: str, options: Mapping[str, str]) -> None:
        self.uri = uri
        self._options = dict(options)
        self._opened: dict[str, deltalake.DeltaTable] = {}

    def version(self, id: str | None = None) -> TableVersion:
        """The newest version, or an earlier one; see the port."""
        table = self._open(id)
        try:
            schema = pa.schema(table.schema().to_arrow()).remove_metadata()
            fields = [field.remove_metadata() for field in schema]
            parts = tuple(sorted(self._parts(table, pa.schema(fields)), key=lambda part: part.name))
        except DeltaError as error:
            raise self._explained(error, id) from error
        return TableVersion(str(table.version()), pa.schema(fields), parts)

    def stream(self, version: TableVersion, part: TablePart) -> pa.RecordBatchReader:
        """Rows of one part; see the port."""
        table = self._open(version.id)
        path = part.name.partition("#")[0]
        physical = _physical_names(table)
        values = self._partition_values(table, path)
        keep = self._kept(table).get(path)
        handler = DeltaStorageHandler.from_table(table._table, self._options, table._table.get_add_file_sizes())
        try:
            file = pq.ParquetFile(pa.fs.PyFileSystem(handler).open_input_file(path))
        except OSError as error:
            raise Conflict(
                f"file {path} of Delta table {self.uri} is gone, which its version {version.id} needs",
                where=path,
                fix="take a new snapshot; a vacuum removes the files of old versions",
            ) from error
        rows = _rows(file, version.schema, physical=physical, values=values, keep=keep)
        return pa.RecordBatchReader.from_batches(version.schema, rows)

    def close(self) -> None:
        """Forget the log."""
        self._opened.clear()

    def _open(self, id: str | None) -> deltalake.DeltaTable:
        if id is not None and id in self._opened:
            return self._opened[id]
        try:
            number = None if id is None else int(id)
            table = deltalake.DeltaTable(self.uri, version=number, storage_options=self._options or None)
        except (DeltaError, OSError, ValueError) as error:
            raise self._explained(error, id) from error
        self._opened[str(table.version())] = table
        return table

    def _parts(self, table: deltalake.DeltaTable, schema: pa.Schema) -> Iterator[TablePart]:
        actions = pa.table(table.get_add_actions(flatten=False))
        kept = self._kept(table)
        plain = not table.metadata().partition_columns and all(a == b for a, b in _physical_names(table).items())
        for path, size in zip(actions["path"].to_pylist(), actions["size_bytes"].to_pylist(), strict=True):
            mask = kept.get(path)
            if mask is not None:
                bits = hashlib.blake2b(mask.to_numpy(zero_copy_only=False).tobytes(), digest_size=16).hexdigest()
                yield TablePart(f"{path}#{bits}", size)
                continue
            yield TablePart(path, size, self._local(path, schema) if plain else None)

    def _local(self, path: str, schema: pa.Schema) -> str | None:
        """The file itself, when an engine that knows nothing of Delta reads the same rows from it."""
        file = Path(self.uri) / unquote(path)
        if "://" in self.uri or not file.is_file():
            return None
        held = pq.read_schema(file)
        same = held.names == schema.names and all(held.field(f.name).type.equals(f.type) for f in schema)
        return str(file) if same else None

    def _kept(self, table: deltalake.DeltaTable) -> dict[str, pa.BooleanArray]:
        """Of each file with a deletion vector: which rows are still there."""
        features = table.protocol().reader_features or ()
        if "deletionVectors" not in features:
            return {}
        found = pa.table(table.deletion_vectors())
        names = {unquote(path): path for path in pa.table(table.get_add_actions(flatten=False))["path"].to_pylist()}
        masks: dict[str, pa.BooleanArray] = {}
        for uri, mask in zip(found["filepath"].to_pylist(), found["selection_vector"], strict=True):
            name = next((own for plain, own in names.items() if unquote(uri).endswith("/" + plain)), None)
            if name is not None:
                masks[name] = mask.values
        return masks

    def _partition_values(self, table: deltalake.DeltaTable, path: str) -> dict[str, object]:
        if not table.metadata().partition_columns:
            return {}
        actions = pa.table(table.get_add_actions(flatten=False))
        values: dict[str, object] = actions["partition"][actions["path"].index(path).as_py()].as_py()
        return values

    def _explained(self, error: Exception, id: str | None) -> TidewheelError:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, TableNotFoundError) or "not a Delta table" in text or "No files in log segment" in text:
            return NotFound(f"there is no Delta table at {self.uri}", where=self.uri, fix="check the path or URL")
        if any(word in str(error).lower() for word in _DENIED):
            return Unavailable(f"Delta table {self.uri} was refused: {text}", where=self.uri, fix="check the credentials")
        if id is not None:
            what = f"Delta table {self.uri} has no version {id} any more: {text}"
            return NotFound(what, where=self.uri, fix="name a version that its log still has")
        return Unavailable(f"Delta table {self.uri} cannot be read: {text}", where=self.uri, fix="check the path or URL")


def _physical_names(table: deltalake.DeltaTable) -> dict[str, str]:
    return {field.name: str(field.metadata.get(_PHYSICAL, field.name)) for field in table.schema().fields}


def _rows(
    file: pq.ParquetFile,
    schema: pa.Schema,
    *,
    physical: Mapping[str, str],
    values: Mapping[str, object],
    keep: pa.BooleanArray | None,
) -> Iterator[pa.RecordBatch]:
    """Batches of one file with the columns of the table: absent ones null, those of the partition constant."""
    held = set(file.schema_arrow.names)
    wanted = [name for name in physical.values() if name in held]
    place = 0
    for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=wanted):
        rows = batch.num_rows
        columns = []
        for field in schema:
            name = physical[field.name]
            if name in held:
                columns.append(_cast(batch.column(name), field))
            else:
                value = values.get(name, values.get(field.name))
                columns.append(pa.repeat(pa.scalar(value, _scalar_type(value)), rows).cast(field.type))
        made = pa.RecordBatch.from_arrays(columns, schema=schema)
        yield made if keep is None else made.filter(keep.slice(place, rows))
        place += rows


def _scalar_type(value: object) -> pa.DataType:
    return pa.null() if value is None else pa.scalar(value).type


def _cast(column: pa.Array, field: pa.Field) -> pa.Array:
    if column.type == field.type:
        return column
    if pa.types.is_timestamp(column.type) and column.type.tz is None and field.type.tz is not None:
        column = column.cast(pa.timestamp("ns")).cast(pa.timestamp("ns", "UTC"))  # INT96, as old Spark writes instants
    try:
        return column.cast(field.type, safe=not pa.types.is_timestamp(field.type))
    except pa.ArrowInvalid as error:
        fix = "cast it in the table, or name another column"
        raise Incompatible(f"column {field.name} is not {field.type}: {error}", where=field.name, fix=fix) from error
