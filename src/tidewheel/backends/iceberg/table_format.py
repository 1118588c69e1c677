"""The table format port on Apache Iceberg: a catalog, a table in it, and one part for each data file with its deletes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog import load_catalog
from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError, NotInstalledError, RESTError, SignError
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io.pyarrow import ArrowScan, schema_to_pyarrow
from pyiceberg.schema import Schema
from pyiceberg.table import FileScanTask, Table
from pyiceberg.table.snapshots import Snapshot
from sqlalchemy.exc import SQLAlchemyError

from tidewheel.errors import Conflict, MissingExtra, NotFound, TidewheelError, Unavailable
from tidewheel.ports.table_format import TablePart, TableVersion

_EMPTY = "empty"
_FAILURES = (
    *(NoSuchNamespaceError, NoSuchTableError, NotInstalledError, RESTError, SignError),
    *(SQLAlchemyError, ImportError, KeyError, OSError, ValueError),  # what its catalogs and file systems let through
)
_DENIED = ("credential", "denied", "forbidden", "unauthorized", "password", "not authorized")


def open_table_format(url: str, options: Mapping[str, str]) -> IcebergFormat:
    """Open ``iceberg://catalog/namespace.table``; options are the catalog's properties, pyiceberg's own settings beside them.

    Examples
    --------
    >>> table = open_table_format("iceberg://shop/sales.orders", {"type": "sql", "uri": "sqlite://"})
    >>> table.catalog, table.name
    ('shop', 'sales.orders')
    """
    _, _, rest = url.partition("://")
    catalog, _, name = rest.partition("/")
    return IcebergFormat(catalog, name, options)


class IcebergFormat:
    """One Iceberg table.

    Parameters
    ----------
    catalog
        Its name in pyiceberg's settings, or any when the options say all.
    name
        ``namespace.table``.

    Examples
    --------
    >>> IcebergFormat("shop", "sales.orders", {"type": "sql", "uri": "sqlite://"}).name
    'sales.orders'
    """

    def __init__(self, catalog: str, name: str, options: Mapping[str, str]) -> None:
        self.catalog = catalog
        self.name = name
        self._options = dict(options)
        self._tasks: dict[str, dict[str, FileScanTask]] = {}
        self._table: Table | None = None

    def version(self, id: str | None = None) -> TableVersion:
        """The newest version, or an earlier one: ``snapshot@schema``, since a column is renamed without a new snapshot."""
        try:
            table = self._load() if id is None or self._table is None else self._table
            snapshot = table.current_snapshot() if id is None else self._snapshot(table, id)
            schema = table.schema() if id is None else self._schema(table, snapshot, id)
            arrow = _plain(schema_to_pyarrow(schema, include_field_ids=False))
            found = f"{_EMPTY if snapshot is None else snapshot.snapshot_id}@{schema.schema_id}"
            if snapshot is None:
                return TableVersion(found, arrow, ())
            if found not in self._tasks:
                scan = table.scan(snapshot_id=snapshot.snapshot_id)
                self._tasks[found] = {_name(task): task for task in scan.plan_files()}
        except _FAILURES as error:
            raise self._explained(error) from error
        parts = [
            TablePart(name, task.file.file_size_in_bytes, _local(task, arrow)) for name, task in self._tasks[found].items()
        ]
        return TableVersion(found, arrow, tuple(sorted(parts, key=lambda part: part.name)))

    def stream(self, version: TableVersion, part: TablePart) -> pa.RecordBatchReader:
        """Rows of one part; see the port."""
        table = self._table or self._load()
        task = self._tasks[version.id][part.name]
        schema = self._schema(table, self._snapshot(table, version.id), version.id)
        scan = ArrowScan(table.metadata, table.io, schema, AlwaysTrue())
        try:
            batches = iter(scan.to_record_batches([task]))
            first = next(batches, None)
        except OSError as error:
            raise Conflict(
                f"a file of Iceberg table {self.name} is gone, which its snapshot {version.id} needs: {task.file.file_path}",
                where=self.name,
                fix="take a new snapshot; expiry removes the files of old ones",
            ) from error
        rows = (one.cast(version.schema) for one in (*(() if first is None else (first,)), *batches))
        return pa.RecordBatchReader.from_batches(version.schema, rows)

    def close(self) -> None:
        """Forget the catalog."""
        self._table = None
        self._tasks.clear()

    def _load(self) -> Table:
        self._table = load_catalog(self.catalog, **self._options).load_table(self.name)
        return self._table

    def _snapshot(self, table: Table, id: str) -> Snapshot | None:
        number = id.partition("@")[0]
        found = table.snapshot_by_id(int(number)) if number.isdigit() else None
        if found is None and number != _EMPTY:
            what = f"Iceberg table {self.name} has no snapshot {number} any more"
            raise NotFound(what, where=self.name, fix="name a snapshot that the table still has")
        return found

    def _schema(self, table: Table, snapshot: Snapshot | None, id: str) -> Schema:
        named = id.partition("@")[2]
        number = int(named) if named else -1 if snapshot is None or snapshot.schema_id is None else snapshot.schema_id
        return table.schemas().get(number, table.schema())

    def _explained(self, error: Exception) -> TidewheelError:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, NoSuchTableError | NoSuchNamespaceError):
            return NotFound(f"catalog {self.catalog} has no table {self.name}", where=self.name, fix="check the name")
        if isinstance(error, ImportError | NotInstalledError):
            return MissingExtra(f"the catalog {self.catalog} needs a package: {text}", fix="install it")
        refused = any(word in str(error).lower() for word in _DENIED) or isinstance(error, RESTError)
        fix = "check the credentials" if refused else "check the options of the catalog: its uri, type and warehouse"
        return Unavailable(f"Iceberg table {self.catalog}/{self.name} cannot be read: {text}", where=self.name, fix=fix)


def _name(task: FileScanTask) -> str:
    deletes = sorted(str(file.file_path) for file in task.delete_files)
    if not deletes:
        return str(task.file.file_path)
    return f"{task.file.file_path}#{hashlib.blake2b(chr(10).join(deletes).encode(), digest_size=16).hexdigest()}"


def _local(task: FileScanTask, schema: pa.Schema) -> str | None:
    """The file itself, when an engine that knows nothing of Iceberg reads the same rows from it."""
    parts = urlsplit(str(task.file.file_path))
    file = Path(unquote(parts.path))
    if task.delete_files or parts.scheme not in ("", "file") or not file.is_file() or file.suffix != ".parquet":
        return None
    held = _plain(pq.read_schema(file))
    return str(file) if held.equals(schema) else None


def _plain(schema: pa.Schema) -> pa.Schema:
    """Without field ids, and with the short forms of strings and lists, which is what the files say."""
    return pa.schema([pa.field(field.name, _short(field.type)) for field in schema])


def _short(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_large_string(kind):
        return pa.string()
    if pa.types.is_large_binary(kind):
        return pa.binary()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(_short(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(kind.field(i).name, _short(kind.field(i).type)) for i in range(kind.num_fields)])
    return kind
