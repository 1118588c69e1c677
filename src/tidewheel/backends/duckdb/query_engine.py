"""The query engine port on DuckDB.

Traps met on DuckDB 2.0, all shut off here: ``TIMESTAMPTZ_NS`` can neither be compared with ``TIMESTAMPTZ`` nor take part in
arithmetic; a cast from nanoseconds to microseconds rounds half up (a leak by rounding); ``+ INTERVAL`` follows the session's
time zone; names of Python variables are readable as tables; whole numbers of JSON are ``HUGEINT`` as soon as one is negative;
strings of JSON keep their quotes in a column that has a number too;
statistics of Parquet leave NaN out, and a filter that goes by them finds no NaN, although NaN is above all numbers (``x > 15``,
``isnan(x)``, ``x + 1 > 16``), so floats of files stand behind a CASE that no statistics pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import duckdb
import pyarrow as pa

from tidewheel.backends.duckdb.text_files import explained_text, text_reader
from tidewheel.errors import Corrupt, Invalid, NotFound, Unavailable
from tidewheel.ports.query_engine import Files, InMemory, Relation

_TEXTS_KEPT = 256
_FLOATS = re.compile(r"^(DOUBLE|FLOAT)$|^STRUCT.*\b(DOUBLE|FLOAT)\b")
_CEILED = "make_timestamp((epoch_ns({0}) // 1000) + CASE WHEN epoch_ns({0}) % 1000 > 0 THEN 1 ELSE 0 END)"


class DuckDB:
    """Runs queries in this process.

    Parameters
    ----------
    temporary
        Directory to spill to; ``None`` leaves it to DuckDB (``.tmp`` in the working directory).
    memory_limit
        Bytes; ``None`` is DuckDB's default, 80 % of the machine.
    threads
        ``None`` is one for each core.

    Examples
    --------
    >>> from tidewheel.ports.query_engine import InMemory
    >>> with DuckDB() as engine:
    ...     relations = {"this": InMemory(pa.table({"a": [3, 1, 2]}))}
    ...     engine.stream("SELECT a * 2 AS b FROM this", relations, order_by=["b"]).read_all().to_pydict()
    {'b': [2, 4, 6]}
    """

    dialect = "duckdb"

    def __init__(self, *, temporary: Path | None = None, memory_limit: int | None = None, threads: int | None = None) -> None:
        options: dict[str, str | bool | int | float | list[str]] = {
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,
            "preserve_insertion_order": True,
        }
        if temporary is not None:
            options["temp_directory"] = str(temporary)
        if memory_limit is not None:
            options["memory_limit"] = f"{memory_limit}B"
        if threads is not None:
            options["threads"] = threads
        self._texts: dict[object, str] = {}
        self._connection = duckdb.connect(":memory:", config=options)
        self._connection.execute("SET GLOBAL TimeZone = 'UTC'")
        # Statistics of Parquet leave NaN out, and this optimizer then takes isnan() for false.
        self._connection.execute("SET GLOBAL disabled_optimizers = 'statistics_propagation'")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def schema(self, sql: str, relations: Mapping[str, Relation]) -> pa.Schema:
        """Columns and types of the query's answer; reads no rows of it."""
        cursor = self._open(relations)
        try:
            return _normalised(cursor, sql).limit(0).to_arrow_table().schema
        except duckdb.Error as error:
            raise _explained(error) from error
        finally:
            cursor.close()

    def stream(
        self, sql: str, relations: Mapping[str, Relation], *, order_by: Sequence[str] = (), batch_rows: int = 1_000_000
    ) -> pa.RecordBatchReader:
        """Run the query; see the port."""
        cursor = self._open(relations)
        try:
            answer = _normalised(cursor, sql)
            if order_by:
                answer = answer.order(", ".join(f"{_quoted(name)} ASC NULLS LAST" for name in order_by))
            reader = answer.to_arrow_reader(batch_rows)
        except duckdb.Error as error:
            cursor.close()
            raise _explained(error) from error
        return pa.RecordBatchReader.from_batches(reader.schema, _batches(reader, cursor, relations))

    def close(self) -> None:
        """Release memory and spill files."""
        self._connection.close()

    def _open(self, relations: Mapping[str, Relation]) -> duckdb.DuckDBPyConnection:
        """A connection of its own for one query, with the relations as views that hold no nanoseconds."""
        cursor = self._connection.cursor()
        try:
            for name, relation in relations.items():
                raw = f"raw {name}"
                if isinstance(relation, InMemory) and not _is_fine(relation.table.schema):
                    cursor.register(name, relation.table)
                    continue
                if isinstance(relation, Files):
                    cursor.execute(f"CREATE TEMP VIEW {_quoted(raw)} AS {self._reader(cursor, relation)}")
                else:
                    cursor.register(raw, relation.table)
                columns = _plain(cursor.sql(f"SELECT * FROM {_quoted(raw)}"))
                cursor.execute(f"CREATE TEMP VIEW {_quoted(name)} AS SELECT {columns} FROM {_quoted(raw)}")
        except duckdb.Error as error:
            cursor.close()
            raise _explained(error) from error
        return cursor

    def _reader(self, cursor: duckdb.DuckDBPyConnection, files: Files) -> str:
        """The query for all rows of files; what columns of text are is looked up once for as long as the files stay."""
        if not files.paths:
            raise NotFound("there are no files to read", fix="check the path pattern of the source")
        if files.format == "parquet":
            paths = ", ".join("'" + path.replace("'", "''") + "'" for path in files.paths)
            return f"SELECT * FROM read_parquet([{paths}], union_by_name = true)"
        facts = [Path(path).stat() for path in files.paths]
        key = (files, tuple((one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns) for one in facts))
        found = self._texts.get(key)
        if found is None:
            found = self._texts[key] = text_reader(cursor, files)
            while len(self._texts) > _TEXTS_KEPT:
                self._texts.pop(next(iter(self._texts)))
        return found


def open_query_engine(url: str, *, temporary: Path | None = None, memory_limit: int | None = None) -> DuckDB:
    """The engine that ``engine = "duckdb"`` in ``tidewheel.toml`` names, spilling to ``temporary`` above so many bytes.

    Examples
    --------
    >>> open_query_engine("duckdb").dialect
    'duckdb'
    """
    if url not in ("duckdb", "duckdb://"):
        raise Invalid(f"engine {url!r} names a place, and DuckDB runs in this process", where="engine", fix='engine = "duckdb"')
    return DuckDB(temporary=temporary, memory_limit=memory_limit)


def _is_fine(schema: pa.Schema) -> bool:
    """Whether a time is finer or coarser than microseconds."""
    return any(pa.types.is_timestamp(kind) and kind.unit != "us" for kind in schema.types)


def _normalised(cursor: duckdb.DuckDBPyConnection, sql: str) -> duckdb.DuckDBPyRelation:
    answer = cursor.sql(sql)
    columns = _plain(answer)
    return answer if columns == "*" else answer.project(columns)


def _plain(relation: duckdb.DuckDBPyRelation) -> str:
    """The projection that rounds times finer than microseconds up, widens coarser ones, and hides floats from statistics."""
    kinds = {name: str(kind) for name, kind in zip(relation.columns, relation.types, strict=True)}
    columns, changed = [], False
    for name, kind in kinds.items():
        quoted = _quoted(name)
        if kind in ("TIMESTAMP_NS", "TIMESTAMPTZ_NS"):
            expression = _CEILED.format(quoted)
            if kind != "TIMESTAMP_NS":
                expression = f"({expression})::TIMESTAMPTZ"
        elif kind in ("TIMESTAMP_S", "TIMESTAMP_MS"):
            expression = f"{quoted}::TIMESTAMP"
        elif _FLOATS.search(kind):
            expression = f"CASE WHEN {quoted} IS NULL THEN NULL ELSE {quoted} END"
        else:
            columns.append(quoted)
            continue
        columns.append(f"{expression} AS {quoted}")
        changed = True
    return ", ".join(columns) if changed else "*"


def _batches(
    reader: pa.RecordBatchReader, cursor: duckdb.DuckDBPyConnection, relations: Mapping[str, Relation]
) -> Iterator[pa.RecordBatch]:
    """The batches; holds the tables in memory that the query reads until it has been read to its end."""
    try:
        yield from reader
    except (duckdb.Error, pa.ArrowInvalid, OSError) as error:
        raise _explained(error) from error
    finally:
        del relations
        cursor.close()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _explained(error: Exception) -> Exception:
    """The engine's error as one of ours: what the caller can do decides the class."""
    text = str(error).strip()
    first = text.splitlines()[0] if text else type(error).__name__
    if (told := explained_text(error)) is not None:
        return told
    if isinstance(error, duckdb.OutOfMemoryException):
        return Unavailable(f"the query does not fit in memory: {first}", fix="raise memory_limit, or read fewer rows")
    if isinstance(error, duckdb.IOException) and "No files found" in text:
        return NotFound(first, fix="check the path pattern of the source")
    if isinstance(error, duckdb.InvalidInputException | duckdb.IOException) and any(
        word in text.lower() for word in ("parquet", "magic", "malformed json")
    ):
        return Corrupt(f"a file cannot be read: {first}", fix="write the file again, or remove it from the source")
    return Invalid(f"the query failed: {first}", fix="check the source's select and the types of its columns")
