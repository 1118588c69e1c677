"""Reading sources: snapshots of what there is, and scans that give typed rows with their times resolved."""

from __future__ import annotations

import time as wall
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tidewheel.artifacts.columns import column_digests
from tidewheel.clock import Clock, Micros
from tidewheel.digest import Digest, digest, digest_chunks
from tidewheel.errors import (
    Conflict,
    ExpectationFailed,
    Invalid,
    MixedTimezones,
    NotFound,
    TypeMismatch,
    UnknownFeature,
    near_miss,
)
from tidewheel.ports.query_engine import Files, InMemory, QueryEngine, Relation
from tidewheel.schema import DataType, Field, Schema, data_type_of_arrow
from tidewheel.sources.budget import Budget
from tidewheel.sources.definition import ENDS, GONE, UNTIL, Source
from tidewheel.sources.dialect import DIALECT, check_dialect, to_dialect
from tidewheel.sources.expectation import Rule, good_rows
from tidewheel.sources.fetch import Fetcher, Outside
from tidewheel.sources.measure import measure_rows
from tidewheel.sources.push import ALLOWANCE, Row, check_times, read_pushes, snapshot_pushes, validate_push
from tidewheel.sources.query import (
    AVAILABLE,
    CREATED,
    NAN,
    SYSTEM,
    TS,
    conditions_of,
    float_names,
    scan_query,
    select_query,
    time_query,
)
from tidewheel.sources.read_direct import find_direct
from tidewheel.sources.select import parse_select, quoted
from tidewheel.sources.snapshot import FileSnapshot, Snapshot
from tidewheel.sources.times import to_utc_micros
from tidewheel.sources.validate import Validator, Verdict, enforce, without_rules
from tidewheel.sources.watch import Watch, unwatched

_CHUNK_BYTES = 1 << 20
_RACY_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Counts:
    """What the last whole scan of a source met.

    ``null_time`` and ``null_available`` rows were dropped: they can never be visible.
    """

    rows: int = 0
    null_time: int = 0
    null_available: int = 0
    nan: int = 0


@dataclass(frozen=True, slots=True)
class ScanPlan:
    """A scan that somebody else runs.

    Parameters
    ----------
    sql, relations
        The query, in the engine's dialect, and what it reads.
    schema
        Of the rows that ``resolve`` makes: as :meth:`Sources.scan` gives them.
    resolve
        Makes rows of some rows of the query's answer; pure, and made to be sent elsewhere.
    divisible
        Whether the answer may be resolved in parts.
    """

    sql: str
    relations: Mapping[str, Relation]
    schema: pa.Schema
    resolve: Callable[[pa.Table], pa.Table]
    divisible: bool


@dataclass(slots=True)
class Sources:
    """Reads the sources of one project.

    Parameters
    ----------
    root
        Directory that relative path patterns start from.
    pushes
        Directory with one folder of pushed rows for each source.
    recall, remember
        A small persistent cache, for the digests of files that have not changed.
    outside
        How to reach object stores, tables and databases; without it what is fetched is kept beside the pushes.
    budget
        What work on the rows may hold in memory; without it anything.
    watch
        Is told how far long work on the rows is.

    Examples
    --------
    >>> from tidewheel.backends.duckdb import DuckDB
    >>> from tidewheel.clock import system_clock
    >>> from tidewheel.sources import source
    >>> seen = {}
    >>> sources = Sources(Path("."), DuckDB(), Path("/nowhere"), seen.get, seen.__setitem__, system_clock)
    >>> rides = source("rides", pa.table({"ended": [2, 1], "zone": [7, 8]}), time="ended", after="1s")
    >>> sources.scan(rides, ["zone"], order_by=["__ts"]).to_pylist()[0]
    {'zone': 8, '__ts': 1, '__created': 0, '__avail': 1000001}
    """

    root: Path
    engine: QueryEngine
    pushes: Path
    recall: Callable[[str], bytes | None]
    remember: Callable[[str, bytes], None]
    clock: Clock
    outside: Outside | None = None
    budget: Budget | None = None
    watch: Watch = unwatched
    counts: dict[str, Counts] = field(default_factory=dict)
    _fetcher: Fetcher = field(init=False)
    _schemas: dict[object, pa.Schema] = field(default_factory=dict)
    _described: dict[Digest, pa.Schema] = field(default_factory=dict)
    _tables: dict[int, tuple[object, pa.Table]] = field(default_factory=dict)
    _contents: dict[int, Digest] = field(default_factory=dict)

    def __post_init__(self) -> None:
        outside = self.outside or Outside(self.pushes.parent / "fetched")
        self._fetcher = Fetcher(outside, root=self.root, engine=self.engine, recall=self.recall, remember=self.remember)

    # ── what there is ────────────────────────────────────────────────────────────────────────────

    def snapshot(self, source: Source) -> Snapshot:
        """What the source holds now. Digests of files are remembered by path, size and time of change."""
        pushes = snapshot_pushes(self.pushes / source.name, self.recall, self.remember)
        if source.format == "memory":
            return Snapshot(source.name, pushes=pushes, table=self._memory_content(source))
        if source.is_outside:
            return replace(self._fetcher.snapshot(source), pushes=pushes)
        return Snapshot(source.name, files=tuple(self._file(path) for path in self._paths(source)), pushes=pushes)

    def stamp(self, source: Source) -> Digest | None:
        """What says, with nothing read, that files are those of an earlier time: paths, sizes and times of change.

        ``None`` where nothing does: tables in memory, what lies outside, pushed rows, and files that have just been written.
        """
        if source.format == "memory" or source.is_outside or (self.pushes / source.name).is_dir():
            return None
        facts = [(str(path), path.stat()) for path in self._paths(source)]
        if any(wall.time_ns() - fact.st_mtime_ns <= _RACY_NS for _, fact in facts):
            return None
        return digest(["stamp", [[path, fact.st_size, fact.st_mtime_ns] for path, fact in facts]])

    def raw_schema(self, source: Source) -> pa.Schema:
        """Columns of the files or the table, before ``select``; timestamps in microseconds."""
        return self._describe(source, None)

    def schema(self, source: Source) -> Schema:
        """Columns after ``select``; lists of scalars are among them, structs and maps are not: project them in ``select``."""
        fields, unread = [], {}
        for column in self._describe(source, select_query(source)):
            try:
                fields.append(Field(column.name, data_type_of_arrow(column.type)))
            except Invalid:
                unread[column.name] = str(column.type)
        return Schema(tuple(fields), unread)

    def about(self, source: Source, snapshot: Snapshot | None = None) -> int:
        """About how many rows there are, before ``select``; pushed ones, which are in memory anyway, do not count."""
        return measure_rows(self._base(source, snapshot), len(self.raw_schema(source)))

    # ── rows ─────────────────────────────────────────────────────────────────────────────────────

    def scan(
        self,
        source: Source,
        columns: Sequence[str],
        *,
        snapshot: Snapshot | None = None,
        order_by: Sequence[str] = (),
        start: Micros | None = None,
        end: Micros | None = None,
        where: str | None = None,
    ) -> pa.Table:
        """Rows of files and pushes as one table, after ``select``.

        Parameters
        ----------
        columns
            Columns after ``select``.
        snapshot
            Read exactly this; ``None`` reads what there is now.
        order_by
            Any of ``columns`` and the three system columns; ascending, nulls last. Without it the order is unspecified.
        start, end
            Bounds on the event's time: ``start <= __ts < end``.
        where
            Condition in DuckDB's SQL on columns after ``select``.

        Returns
        -------
        ``columns`` (types as :meth:`schema` says; nested ones as they are), then ``__ts``, ``__created`` (0 when there is
        none) and ``__avail``: int64 microseconds UTC, never null. Where the source :attr:`~Source.retracts`,
        ``__gone``: whether the row says that something is gone; where it is :attr:`~Source.bounded`, ``__until``: from when on
        the row is not visible any more, null for never.

        Raises
        ------
        AmbiguousTime, MixedTimezones, UnknownFeature
            See :func:`tidewheel.sources.times.to_utc_micros`; the last one for a column that does not exist.
        Conflict
            When the files are no longer what the snapshot says.
        """
        relations = self._relations(source, snapshot)
        return self._rows(source, columns, relations, order_by=order_by, start=start, end=end, where=where)

    def batches(
        self,
        source: Source,
        columns: Sequence[str],
        *,
        snapshot: Snapshot | None = None,
        start: Micros | None = None,
        end: Micros | None = None,
        where: str | None = None,
    ) -> Iterator[pa.Table]:
        """What :meth:`scan` gives, in batches that together need not fit in memory; at least one, be it empty."""
        relations = self._relations(source, snapshot)
        yield from self._batches(source, columns, relations, start=start, end=end, where=where)

    def plan_scan(
        self,
        source: Source,
        columns: Sequence[str],
        *,
        snapshot: Snapshot | None = None,
        start: Micros | None = None,
        end: Micros | None = None,
    ) -> ScanPlan:
        """What :meth:`scan` would read, for an engine that hands the rows to workers of its own."""
        described = self._describe(source, select_query(source))
        columns = [name for name in columns if name not in ENDS]
        self._check_columns(source, columns, described)
        relations = self._relations(source, snapshot)
        sql = scan_query(source, described, columns, raw=self._raw_names(relations), start=start, end=end)
        raw = self.engine.schema(to_dialect(sql, self.engine.dialect), relations)
        bare = replace(source, data=())  # a table in memory is not for the workers
        schema = self._resolved(source, columns, raw.empty_table())[0].schema
        whole = pa.types.is_string(described.field(source.time).type)  # whether texts have zones is told from all of them
        resolve = partial(_resolve, bare, tuple(columns), start, end)
        return ScanPlan(to_dialect(sql, self.engine.dialect), relations, schema, resolve, divisible=not whole)

    def transform(self, source: Source, rows: pa.Table) -> pa.Table:
        """A small batch of raw rows as :meth:`scan` would give them, all columns; for rows that are being pushed."""
        described = self._described.get(source.version) or self._describe(source, select_query(source))
        self._described[source.version] = described
        relations: dict[str, Relation] = {"this": InMemory(rows)}
        if (source.event_id is not None and rows.num_rows > 1) or source.retracts:
            sql = to_dialect(scan_query(source, described, described.names), self.engine.dialect)
            found = self.engine.stream(sql, relations).read_all()
        else:  # the select alone: half of the engine's time for a few rows is planning what is around it
            sql = to_dialect(select_query(source, floats=float_names(source, described)), self.engine.dialect)
            found, _ = _with_system_columns(source, self.engine.stream(sql, relations).read_all())
        return self._resolved(source, described.names, found)[0]

    def departures(self, source: Source, rows: pa.Table) -> pa.Table | None:
        """Of raw changes that are being pushed: the images before an update, as rows that are gone; ``None`` without images."""
        if source.changes is None or source.changes.before is None:
            return None
        described = self._describe(source, select_query(source))
        names = [*described.names]
        extra = [f"{quoted(source.time)} AS {TS}"]
        extra += [] if source.created is None else [f"{quoted(source.created)} AS {CREATED}"]
        extra += [] if source.available == "event" else [f"{quoted(source.available)} AS {AVAILABLE}"]
        sql = (
            f"SELECT *, {', '.join(extra)}, true AS {GONE}, CAST(NULL AS TIMESTAMP) AS {UNTIL} "
            f"FROM ({select_query(source, departed=True, floats=float_names(source, described))}) AS departed"
        )
        found = self.engine.stream(to_dialect(sql, self.engine.dialect), {"this": InMemory(rows)}).read_all()
        return self._resolved(source, names, found)[0]

    def validate(self, source: Source, rows: Sequence[Row], *, now: Micros, allowance: Micros = ALLOWANCE) -> pa.Table:
        """:func:`tidewheel.sources.push.validate_push` with this source's columns; also where ``select`` computes the time."""
        table = validate_push(source, self.raw_schema(source), rows, now=now, allowance=allowance)
        select = parse_select(source.select, source.where)
        computed = select.raw_column(source.time) not in table.column_names
        if computed and table.num_rows:
            sql = to_dialect(time_query(source), self.engine.dialect)
            times = self.engine.stream(sql, {"this": InMemory(table)}).read_all()
            check_times(source, times[0], source.time, now=now, allowance=allowance)
        self.refuse(source, table)
        return table

    def verdict(self, source: Source, snapshot: Snapshot | None = None) -> Verdict:
        """How a snapshot fares against what is expected of the source; looked at once, and then remembered."""
        if not source.expect:
            return Verdict()
        taken = snapshot or self.snapshot(source)
        relations = self._relations(source, taken)
        plain = without_rules(source)

        def ask(sql: str, some: Mapping[str, Relation] | None) -> pa.RecordBatchReader:
            inside = relations if some is None else some
            names = ", ".join(quoted(name) for name in self._raw_names(inside))
            union = f"SELECT {names} FROM files UNION ALL SELECT {names} FROM pushed" if names else ""
            text = f"WITH rows AS ({select_query(plain, union=union)}\n) {sql}"
            return self.engine.stream(to_dialect(text, self.engine.dialect), inside)

        newest = None
        if any(rule.newest is not None for one in source.expect for rule in one.rules):
            newest = pc.max(self.scan(source, [], snapshot=taken)[TS]).as_py()
        described = self._describe(source, select_query(source))
        folder = self.pushes.parent / "quarantine" / source.name
        validator = Validator(source, described, ask, folder, self.recall, self.remember)
        return validator.judge(taken, self._places(taken, relations), newest=newest, now=self.clock())

    def guard(self, source: Source, snapshot: Snapshot | None = None) -> tuple[str, ...]:
        """What to warn of before the rows of a snapshot are used.

        Raises
        ------
        ExpectationFailed
            When a rule that stops does not hold.
        """
        return enforce(source, self.verdict(source, snapshot))

    def quarantined(self, source: Source, rows: pa.Table) -> int:
        """How many raw rows, which are being pushed, a rule of the source puts aside."""
        return self._count_bad(without_rules(source), rows, source.quarantine) if source.quarantine else 0

    def refuse(self, source: Source, rows: pa.Table) -> None:
        """Refuse raw rows of a push where one fails a rule that stops: in the journal it would stop all that follows.

        Raises
        ------
        ExpectationFailed
            Naming the row and the rule.
        """
        stops = [rule for one in source.expect if one.otherwise == "stop" for rule in one.rules if rule.condition is not None]
        if not stops or not self._count_bad(source, rows, stops):
            return
        for place in range(rows.num_rows):
            for rule in stops:
                if self._count_bad(source, rows.slice(place, 1), [rule]):
                    what = f"row {place} of the push to {source.name} fails {rule.text!r}"
                    raise ExpectationFailed(what, where=f"rows[{place}]", fix="send rows that meet it")

    def _count_bad(self, source: Source, rows: pa.Table, rules: Sequence[Rule]) -> int:
        floats = float_names(source, self._describe(source, select_query(source)))
        bad = f"WHERE NOT ({good_rows(rules, floats)})"
        sql = to_dialect(f"SELECT 1 AS bad FROM ({select_query(source, floats=floats)}\n) AS rows {bad}", self.engine.dialect)
        return int(self.engine.stream(sql, {"this": InMemory(rows)}).read_all().num_rows)

    # ── how ──────────────────────────────────────────────────────────────────────────────────────

    def _rows(
        self,
        source: Source,
        columns: Sequence[str],
        relations: Mapping[str, Relation],
        *,
        order_by: Sequence[str],
        start: Micros | None,
        end: Micros | None,
        where: str | None,
    ) -> pa.Table:
        tables = list(self._batches(source, columns, relations, start=start, end=end, where=where))
        found = pa.concat_tables(tables)
        if order_by:
            keys = [(name, "ascending") for name in order_by]
            found = found.take(pc.sort_indices(found, sort_keys=keys))
        return found

    def _batches(
        self,
        source: Source,
        columns: Sequence[str],
        relations: Mapping[str, Relation],
        *,
        start: Micros | None,
        end: Micros | None,
        where: str | None,
    ) -> Iterator[pa.Table]:
        """At least one table, be it empty; without bounds, what was met is counted at the end."""
        described = self._describe(source, select_query(source))
        columns = [name for name in columns if name not in ENDS]
        self._check_columns(source, columns, described)
        bounded, met = start is not None or end is not None, Counts()
        for raw, nan in self._raw_batches(source, described, columns, relations, start=start, end=end, where=where):
            found, null_time, null_available = self._resolved(source, columns, raw)
            met = Counts(
                met.rows + found.num_rows,
                met.null_time + null_time,
                met.null_available + null_available,
                met.nan + nan,
            )
            if bounded:
                inside = _between(found[TS], start, end)
                found = found if pc.all(inside).as_py() else found.filter(inside)
            yield found
        if not bounded:
            self.counts[source.name] = met

    def _raw_batches(
        self,
        source: Source,
        described: pa.Schema,
        columns: Sequence[str],
        relations: Mapping[str, Relation],
        *,
        start: Micros | None,
        end: Micros | None,
        where: str | None,
    ) -> Iterator[tuple[pa.Table, int]]:
        """Columns and the raw values of the system columns, from the engine or, where that gives the same, as they lie; and
        how many NaN became null."""
        direct = None if where else find_direct(source, described, relations=tuple(relations.values()), columns=columns)
        if direct is not None:
            for rows in direct.batches(start, end):
                yield _with_system_columns(source, rows)
            yield _with_system_columns(source, direct.schema.empty_table())
            return
        sql = scan_query(source, described, columns, raw=self._raw_names(relations), start=start, end=end, where=where)
        reader = self.engine.stream(to_dialect(sql, self.engine.dialect), relations)
        if pa.types.is_string(described.field(source.time).type):  # whether texts have zones is told from all of them
            tables = iter([reader.read_all()])
        else:
            tables = (pa.Table.from_batches([batch]) for batch in reader)
        for rows in tables:
            yield rows, pc.sum(rows[NAN]).as_py() or 0 if NAN in rows.column_names else 0
        yield reader.schema.empty_table(), 0

    @staticmethod
    def _resolved(source: Source, columns: Sequence[str], found: pa.Table) -> tuple[pa.Table, int, int]:
        """Typed columns and system columns; rows without a time, or never available, are dropped and counted."""
        ts = _micros(source, found[TS], source.time)
        null_time = ts.null_count
        created = pa.chunked_array([pa.repeat(pa.scalar(0, pa.int64()), found.num_rows)])
        if source.created is not None:
            created = pc.fill_null(_micros(source, found[CREATED], source.created), 0)
        if source.available != "event":
            available = _micros(source, found[AVAILABLE], source.available)
        else:
            available = ts if source.after is None else pc.add(ts, int(source.after))
        keep = pc.and_(pc.is_valid(ts), pc.is_valid(available))
        ends: dict[str, pa.ChunkedArray] = {GONE: found[GONE]} if source.retracts else {}
        if source.bounded:
            until = _micros(source, found[UNTIL], source.valid_to or source.time).cast(pa.int64())
            delay = 0 if source.changes is None or source.after is None else int(source.after)
            ends[UNTIL] = pc.add(until, delay) if delay else until
        typed = {name: _typed(source, found[name], name) for name in dict.fromkeys(columns)}
        table = pa.table(typed | {TS: ts, CREATED: created, AVAILABLE: available} | ends)
        null_available = available.null_count - null_time if source.available == "event" else available.null_count
        if null_time or available.null_count:
            table = table.filter(keep)
        return table, null_time, max(null_available, 0)

    def _check_columns(self, source: Source, columns: Sequence[str], described: pa.Schema) -> None:
        available = None if source.available == "event" else source.available
        op = None if source.changes is None else source.changes.op
        own = (source.time, source.created, source.event_id, available, source.valid_to, op)
        for name in (*columns, *(one for one in own if one is not None)):
            if name not in described.names:
                fix = near_miss(name, described.names)
                raise UnknownFeature(f"source {source.name} has no column {name!r}", where=source.where or name, fix=fix)
        for name in (*SYSTEM, *ENDS):
            if name in described.names:
                raise Invalid(f"source {source.name} has a column {name}", where=source.where, fix="rename it in the select")

    def _describe(self, source: Source, sql: str | None) -> pa.Schema:
        base = self._base(source, self._fetcher.known(source) if source.is_outside else None)
        key = (source.version, sql, base.paths if isinstance(base, Files) else id(base.table))
        stamp = tuple(Path(path).stat().st_mtime_ns for path in base.paths) if isinstance(base, Files) else ()
        if (key, stamp) not in self._schemas:
            if isinstance(base, Files):
                _check_zones(source, base)
            query = to_dialect(sql or "SELECT * FROM this", self.engine.dialect)
            if sql is not None and self.engine.dialect != DIALECT:
                check_dialect(sql, self.engine.dialect, self._describe(source, None), where=source.where or source.name)
            self._schemas[key, stamp] = self.engine.schema(query, {"this": base})
            if sql is not None and self.engine.dialect != DIALECT:
                for condition in conditions_of(source):
                    check_dialect(condition, self.engine.dialect, self._schemas[key, stamp], where=source.where or source.name)
        return self._schemas[key, stamp]

    def _relations(self, source: Source, snapshot: Snapshot | None) -> dict[str, Relation]:
        base = self._base(source, snapshot)
        pushed = None
        folder = self.pushes / source.name
        if (snapshot is None and folder.is_dir()) or (snapshot is not None and snapshot.pushes):
            pushed = read_pushes(folder, self.raw_schema(source), None if snapshot is None else snapshot.pushes)
        if isinstance(base, Files) and not base.paths:
            empty = self.raw_schema(source).empty_table() if pushed is None else pushed
            return {"this": InMemory(empty)}
        if pushed is None or not pushed.num_rows:
            return {"this": base}
        return {"files": base, "pushed": InMemory(pushed)}

    def _places(self, snapshot: Snapshot, relations: Mapping[str, Relation]) -> dict[str, Mapping[str, Relation]]:
        """Relations of each file alone, by its name in the snapshot, and of the pushed rows."""
        found: dict[str, Mapping[str, Relation]] = {}
        files = relations.get("this", relations.get("files"))
        if isinstance(files, Files) and len(snapshot.files) <= len(files.paths):
            own = files.paths[len(files.paths) - len(snapshot.files) :]
            for file, path in zip(snapshot.files, own, strict=True):
                columns = files.paths[: len(files.paths) - len(snapshot.files)]
                found[file.path] = {"this": Files(files.format, (*columns, path))}
        if "pushed" in relations:
            found["pushed rows"] = {"this": relations["pushed"]}
        return found

    def _raw_names(self, relations: Mapping[str, Relation]) -> tuple[str, ...]:
        pushed = relations.get("pushed")
        return tuple(pushed.table.column_names) if isinstance(pushed, InMemory) else ()

    def _base(self, source: Source, snapshot: Snapshot | None) -> Files | InMemory:
        if source.format == "memory":
            table = self._memory(source)
            if snapshot is not None and snapshot.table is not None and snapshot.table != self._memory_content(source):
                what = f"the table of source {source.name} is not what it was in the snapshot"
                raise Conflict(what, where=source.where, fix="take a new snapshot")
            return InMemory(table.slice(0, 0) if snapshot is not None and snapshot.table is None else table)
        if source.is_outside:
            return self._fetcher.files(source, snapshot or self._fetcher.snapshot(source))
        if snapshot is None:
            paths = [str(path) for path in self._paths(source)]
        else:
            paths = [str(self._unchanged(source, one)) for one in snapshot.files]
        return Files(source.file_format, tuple(paths))

    def _paths(self, source: Source) -> list[Path]:
        found: dict[Path, None] = {}
        for pattern in source.patterns:
            anchor, rest = (Path("/"), pattern.lstrip("/")) if Path(pattern).is_absolute() else (self.root, pattern)
            matched = sorted(path for path in anchor.glob(rest) if path.is_file())
            if not matched:
                raise NotFound(
                    f"source {source.name}: no file matches {pattern!r} in {self.root}",
                    where=source.where or source.name,
                    fix="check the pattern; it starts at the directory of tidewheel.toml",
                )
            found.update(dict.fromkeys(matched))
        return list(found)

    def _file(self, path: Path) -> FileSnapshot:
        facts = path.stat()
        key = f"file:{path}:{facts.st_size}:{facts.st_mtime_ns}"
        known = self.recall(key)
        name = str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)
        if known is not None:
            return FileSnapshot(name, facts.st_size, facts.st_mtime_ns, Digest(known.decode()))
        with path.open("rb") as file:
            content = digest_chunks(iter(lambda: file.read(_CHUNK_BYTES), b""))
        if wall.time_ns() - facts.st_mtime_ns > _RACY_NS:  # a file that has just been written can change within its time stamp
            self.remember(key, content.encode())
        return FileSnapshot(name, facts.st_size, facts.st_mtime_ns, content)

    def _unchanged(self, source: Source, file: FileSnapshot) -> Path:
        path = self.root / file.path
        if not path.exists() or (
            (path.stat().st_size, path.stat().st_mtime_ns) != (file.size_bytes, file.mtime_ns)
            and self._file(path).digest != file.digest
        ):
            what = f"{file.path} of source {source.name} is not what it was in the snapshot"
            raise Conflict(what, where=file.path, fix="plan again, or restore the file")
        return path

    def _memory(self, source: Source) -> pa.Table:
        held = self._tables.get(id(source.data))
        if held is None:
            held = self._tables[id(source.data)] = (source.data, _table(source))
        return held[1]

    def _memory_content(self, source: Source) -> Digest:
        found = self._contents.get(id(source.data))
        if found is None:
            found = self._contents[id(source.data)] = _content(self._memory(source))
        return found


def _resolve(source: Source, columns: tuple[str, ...], start: Micros | None, end: Micros | None, raw: pa.Table) -> pa.Table:
    """Rows as a scan gives them."""
    found = Sources._resolved(source, columns, raw)[0]
    return found if start is None and end is None else found.filter(_between(found[TS], start, end))


def _table(source: Source) -> pa.Table:
    try:
        return pa.table(source.data)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        fix = "give each column of the frame values of one type"
        raise TypeMismatch(f"the data of source {source.name}: {error}", where=source.where, fix=fix) from error


def _content(table: pa.Table) -> Digest:
    return digest(["table", list(column_digests(table.column_names, table.columns).items())])


def _micros(source: Source, column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    return to_utc_micros(column, name=name, timezone=source.timezone, ambiguous=source.ambiguous, rounding="up")


def _with_system_columns(source: Source, found: pa.Table) -> tuple[pa.Table, int]:
    """What the query around a select does, for rows that are here; and how many NaN became null."""
    unknown = 0
    for index, column in enumerate(found.columns if source.nan == "null" else []):
        if pa.types.is_floating(column.type):
            nan = pc.is_nan(column)
            here = pc.sum(nan).as_py() or 0
            if here:
                clean = pc.if_else(nan, pa.scalar(None, column.type), column)
                found = found.set_column(index, found.schema.field(index), clean)
                unknown += here
    found = found.append_column(TS, found[source.time])
    if source.created is not None:
        found = found.append_column(CREATED, found[source.created])
    if source.available != "event":
        found = found.append_column(AVAILABLE, found[source.available])
    if source.valid_to is not None:
        found = found.append_column(UNTIL, found[source.valid_to])
    return found, unknown


def _typed(source: Source, column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """A column in one of our types; timestamps without a zone get the source's; nested types stay as they are."""
    try:
        kind = data_type_of_arrow(column.type).arrow()
    except Invalid:
        return column
    if pa.types.is_timestamp(column.type) and column.type.tz is None:
        return _micros(source, column, name).cast(kind)
    if kind == pa.list_(DataType.TIMESTAMP.arrow()):
        return _typed_instants(source, column, name, kind)
    try:
        return column if column.type == kind else column.cast(kind)
    except pa.ArrowInvalid as error:
        raise TypeMismatch(f"{name}: {error}", where=name, fix=f"cast it to {kind} in the select") from error


def _typed_instants(source: Source, column: pa.ChunkedArray, name: str, kind: pa.DataType) -> pa.ChunkedArray:
    """Lists of instants: each as one of a plain column would be."""
    lists = column.combine_chunks().cast(pa.list_(column.type.value_type))
    inner = _typed(source, pa.chunked_array([lists.flatten()]), name).combine_chunks()
    ends = pc.cumulative_sum(pc.fill_null(pc.list_value_length(lists), 0)).cast(pa.int32())
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends])
    return pa.chunked_array([pa.ListArray.from_arrays(offsets, inner, mask=lists.is_null()).cast(kind)])


def _between(times: pa.ChunkedArray, start: Micros | None, end: Micros | None) -> pa.ChunkedArray:
    if start is None:
        return pc.less(times, int(end or 0))
    after = pc.greater_equal(times, int(start))
    return after if end is None else pc.and_(after, pc.less(times, int(end)))


def _check_zones(source: Source, files: Files) -> None:
    """An engine reads naive and aware files as one table by taking the naive ones for UTC; that guess is not ours to make."""
    if files.format != "parquet" or len(files.paths) < 2:
        return
    seen: dict[str, tuple[bool, str]] = {}
    for path in files.paths:
        for column in pq.read_schema(path):
            if pa.types.is_timestamp(column.type):
                zoned = column.type.tz is not None
                before = seen.setdefault(column.name, (zoned, path))
                if before[0] != zoned:
                    raise MixedTimezones(
                        f"column {column.name} of source {source.name} has a zone in {path if zoned else before[1]} "
                        f"and none in {before[1] if zoned else path}",
                        where=column.name,
                        fix="write all files with a zone, or all without",
                    )
