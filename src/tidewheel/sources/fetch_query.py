"""Fetch the answer of a query: streamed from the database, kept as one Parquet file in an order of its own.

A database answers in any order, so the kept rows are sorted by all their columns: the same rows are the same content.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from tidewheel.digest import Digest
from tidewheel.errors import Conflict, Invalid, MissingExtra, TidewheelError, TypeMismatch, Unavailable
from tidewheel.ports.query_engine import Files, QueryEngine
from tidewheel.schema import DataType
from tidewheel.sources.keep import Kept
from tidewheel.sources.location import Query, masked, secrets_in
from tidewheel.sources.snapshot import FileSnapshot
from tidewheel.sources.write_rows import write_rows
from tidewheel.url import resolve

_ENDING = ".parquet"
_BATCH_ROWS = 20_000
_DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
_DENIED = ("password", "authentication", "permission denied", "access denied")


@dataclass(slots=True)
class QueryFetcher:
    """Snapshots of queries, and Parquet files with their rows."""

    root: Path
    kept: Kept
    engine: QueryEngine
    environment: Mapping[str, str]
    recall: Callable[[str], bytes | None]
    remember: Callable[[str, bytes], None]

    def snapshot(self, query: Query) -> tuple[FileSnapshot, ...]:
        """What the query answers now; with ``since``, the answers kept so far and what came after them."""
        parts = self._known(query)
        last = _decoded(parts[-1][2]) if parts else None
        content, size, newest = self._fetch(query, None if query.since is None else last)
        if query.since is None:
            parts = [(content, size, None)]
        elif newest is not None or not parts:
            parts.append((content, size, newest))
        if query.since is not None:
            self.remember(_memory(query), json.dumps(parts).encode())
        return tuple(FileSnapshot(f"query {number}", size, 0, Digest(one)) for number, (one, size, _) in enumerate(parts, 1))

    def files(self, query: Query, parts: tuple[FileSnapshot, ...]) -> list[Path]:
        """Parquet files with the rows of a snapshot.

        Raises
        ------
        Conflict
            When the rows are not kept and the database answers something else by now.
        """
        found = []
        for one in parts:
            path = self.kept.find(one.digest, _ENDING)
            if path is None:
                self._fetch(query, None)
                path = self.kept.find(one.digest, _ENDING)
            if path is None:
                what = f"the answer of the query over {query.url} is not what it was in the snapshot"
                raise Conflict(what, where=query.url, fix="plan again")
            found.append(path)
        return found

    def _known(self, query: Query) -> list[tuple[str, int, object]]:
        remembered = self.recall(_memory(query)) if query.since is not None else None
        parts = [(one, size, last) for one, size, last in json.loads(remembered)] if remembered else []
        whole = all(self.kept.find(Digest(one), _ENDING) is not None for one, _, _ in parts)
        return parts if whole else []

    def _fetch(self, query: Query, last: object) -> tuple[str, int, object]:
        """Digest and size of the answer, which is kept, and its greatest ``since``."""
        with self.kept.writing(".arrow") as spool, self.kept.writing(_ENDING) as raw, self.kept.writing(_ENDING) as made:
            schema, newest = self._spool(query, last, spool)
            write_rows(raw, schema, _unspooled(spool, schema))
            ordered = self.engine.stream(
                "SELECT * FROM answer", {"answer": Files("parquet", (str(raw),))}, order_by=schema.names, batch_rows=131_072
            )
            content, _ = write_rows(made, ordered.schema, ordered)
            size = made.stat().st_size
            self.kept.adopt(made, content, _ENDING)
        return content, size, _encoded(newest)

    def _spool(self, query: Query, last: object, spool: Path) -> tuple[pa.Schema, object]:
        """Stream the answer to disk as it comes; the types of all rows are known at its end."""
        secrets = secrets_in((query.url, query.sql), self.environment)
        engine = self._engine(query)
        schemas: list[pa.Schema] = []
        newest = last
        seen = False
        connected = False
        try:
            with engine.connect() as connection, pa.OSFile(str(spool), "wb") as file:
                connected = True
                result = connection.execution_options(stream_results=True, yield_per=_BATCH_ROWS).execute(
                    _statement(query, last), {} if last is None else {"last": last}
                )
                names = _names(query, list(result.keys()))
                for rows in result.partitions(_BATCH_ROWS):
                    seen = True
                    batch = _batch(names, rows, query)
                    schemas.append(batch.schema)
                    _append(file, batch)
                    if query.since is not None:
                        newest = _greatest(newest, batch.column(query.since))
        except SQLAlchemyError as error:
            raise _explained(query, error, secrets=secrets, connected=connected) from None
        finally:
            engine.dispose()
        if not seen:
            schemas = [pa.schema([(name, pa.string()) for name in names])]
        return _unified(schemas, query), newest if seen else None

    def _engine(self, query: Query) -> sa.Engine:
        text = resolve(query.url, self.environment, query.url)
        try:
            url = make_url(text)
            url = url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))
            if url.drivername.startswith("sqlite") and url.database not in (None, "", ":memory:"):
                url = url.set(database=str(self.root / str(url.database)))
            return sa.create_engine(url, hide_parameters=True, poolclass=sa.NullPool)
        except ArgumentError:
            fix = 'write "postgresql://..." or "sqlite:///..."'
            raise Invalid(f"{query.url!r} is not the URL of a database", where=query.url, fix=fix) from None
        except (ModuleNotFoundError, NoSuchModuleError) as error:
            name = getattr(error, "name", None) or str(error)
            fix = "pip install 'tidewheel[postgres]'" if name == "psycopg" else f"install the driver: pip install {name}"
            raise MissingExtra(f"{query.url} needs {name}, which is not installed", where=query.url, fix=fix) from error


def _statement(query: Query, last: object) -> sa.TextClause:
    sql = query.sql.replace(":", "\\:")
    if last is None:
        return sa.text(sql)
    column = '"' + str(query.since).replace('"', '""') + '"' if not str(query.since).isidentifier() else query.since
    return sa.text(f"SELECT * FROM ({sql}) AS answer WHERE {column} > :last")


def _names(query: Query, names: list[str]) -> list[str]:
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        what = f"the query over {query.url} answers two columns called {twice[0]}"
        raise Invalid(what, where=twice[0], fix="name one of them with AS")
    if query.since is not None and query.since not in names:
        raise Invalid(f"the query over {query.url} answers no column {query.since}", where=query.since, fix="select it too")
    return names


def _batch(names: Sequence[str], rows: Sequence[Sequence[object]], query: Query) -> pa.RecordBatch:
    columns = [_column(name, [row[place] for row in rows], query) for place, name in enumerate(names)]
    return pa.RecordBatch.from_arrays(columns, names=list(names))


def _column(name: str, values: list[object], query: Query) -> pa.Array:
    first = next((value for value in values if value is not None), None)
    if isinstance(first, memoryview):
        values = [None if value is None else bytes(value) for value in values]  # type: ignore[call-overload]
    elif isinstance(first, datetime):
        zoned = {value.tzinfo is not None for value in values if isinstance(value, datetime)}
        kind = pa.timestamp("us", "UTC" if zoned == {True} else None)
        return _made(name, values, kind, query)
    elif isinstance(first, Decimal):
        return _made(name, values, DataType.DECIMAL.arrow(), query)
    elif first is not None and not isinstance(first, bool | int | float | str | bytes | date | list | dict):
        values = [None if value is None else str(value) for value in values]  # such as UUIDs and times of day
    return _made(name, values, None, query)


def _made(name: str, values: list[object], kind: pa.DataType | None, query: Query) -> pa.Array:
    try:
        if kind is None and any(isinstance(value, float) for value in values):
            values = [float(value) if isinstance(value, int) else value for value in values]
        return pa.array(values, kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        what = f"column {name} of the query over {query.url} has no one type: {str(error).splitlines()[0]}"
        raise TypeMismatch(what, where=name, fix=f"cast it in the query: CAST({name} AS ...)") from error


def _append(file: pa.NativeFile, batch: pa.RecordBatch) -> None:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    data = sink.getvalue()
    file.write(len(data).to_bytes(8, "little"))
    file.write(data)


def _unspooled(spool: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    with pa.OSFile(str(spool), "rb") as file:
        while head := file.read(8):
            batch = pa.ipc.open_stream(file.read_buffer(int.from_bytes(head, "little"))).read_next_batch()
            yield batch.cast(schema)


def _unified(schemas: Sequence[pa.Schema], query: Query) -> pa.Schema:
    """One type for each column: a batch without a value in it, or with whole numbers among others, does not decide."""
    distinct = list(dict.fromkeys(schemas))
    try:
        found = pa.unify_schemas(distinct, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        what = f"a column of the query over {query.url} has no one type: {str(error).splitlines()[0]}"
        raise TypeMismatch(what, where=query.url, fix="cast it in the query") from error
    return pa.schema([pa.field(f.name, pa.string() if pa.types.is_null(f.type) else f.type) for f in found])


def _greatest(before: object, column: pa.Array) -> object:
    found = [one for one in (before, pc.max(column).as_py()) if one is not None]
    return max(found) if found else None  # type: ignore[type-var]  # values of one column compare


def _encoded(value: object) -> object:
    """A bound as JSON has it."""
    if isinstance(value, datetime):
        return {"time": value.isoformat()}
    if isinstance(value, date):
        return {"date": value.isoformat()}
    return {"decimal": str(value)} if isinstance(value, Decimal) else value


def _decoded(value: object) -> object:
    if not isinstance(value, dict):
        return value
    ((kind, text),) = value.items()
    readers: dict[str, Callable[[str], object]] = {
        "time": datetime.fromisoformat,
        "date": date.fromisoformat,
        "decimal": Decimal,
    }
    return readers[kind](text)


def _explained(query: Query, error: SQLAlchemyError, *, secrets: Mapping[str, str], connected: bool) -> TidewheelError:
    text = masked(str(getattr(error, "orig", None) or error).strip().partition("\n")[0], secrets)
    if any(word in text.lower() for word in _DENIED):
        return Unavailable(f"{query.url} refused the query: {text}", where=query.url, fix="check user, password and rights")
    if not connected or getattr(error, "connection_invalidated", False):
        return Unavailable(f"{query.url} does not answer: {text}", where=query.url, fix="see that it runs and may be reached")
    return Invalid(f"the query over {query.url} failed: {text}", where=query.url, fix="check the query, and what it reads")


def _memory(query: Query) -> str:
    return f"query:{query.identity}"
