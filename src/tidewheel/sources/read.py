"""Reading sources: snapshots of what there is, and scans that give typed rows with their times resolved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from tidewheel.artifacts.columns import column_digests
from tidewheel.clock import Clock, Micros
from tidewheel.digest import Digest, digest
from tidewheel.errors import (
    AmbiguousTime,
    Conflict,
    Invalid,
    MixedTimezones,
    TypeMismatch,
    UnknownFeature,
    near_miss,
)
from tidewheel.ports.query_engine import Files, InMemory, QueryEngine, Relation
from tidewheel.schema import Field, Schema, data_type_of_arrow
from tidewheel.sources.budget import Budget
from tidewheel.sources.compare_files import compare_files
from tidewheel.sources.definition import ENDS, GONE, UNTIL, Source
from tidewheel.sources.dialect import check_dialect, to_dialect
from tidewheel.sources.expectation import Rule
from tidewheel.sources.fault import fault_of_query, fault_of_rows
from tidewheel.sources.fetch import Fetcher, Outside
from tidewheel.sources.find_files import FileFinder, check_zones
from tidewheel.sources.measure import measure_rows
from tidewheel.sources.push import ALLOWANCE, Row, check_times, read_pushes, snapshot_pushes, validate_push
from tidewheel.sources.query import (
    AVAILABLE,
    CREATED,
    NAN,
    ONLY,
    PLACE,
    SYSTEM,
    TS,
    Only,
    conditions_of,
    failing_query,
    float_names,
    scan_query,
    select_query,
    time_query,
)
from tidewheel.sources.read_direct import find_direct, plain_schema
from tidewheel.sources.rows import between, resolved, scanned, with_system_columns, within
from tidewheel.sources.select import parse_select
from tidewheel.sources.snapshot import PushSnapshot, Snapshot
from tidewheel.sources.sql import DIALECT, quoted
from tidewheel.sources.validate import Failed, Validator, Verdict, enforce, refused_push, without_rules
from tidewheel.sources.watch import Watch, unwatched


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
    _files: FileFinder = field(init=False)
    _schemas: dict[object, pa.Schema] = field(default_factory=dict)
    _described: dict[Digest, pa.Schema] = field(default_factory=dict)
    _tables: dict[int, tuple[object, pa.Table]] = field(default_factory=dict)
    _contents: dict[int, Digest] = field(default_factory=dict)

    def __post_init__(self) -> None:
        outside = self.outside or Outside(self.pushes.parent / "fetched")
        self._fetcher = Fetcher(outside, root=self.root, engine=self.engine, recall=self.recall, remember=self.remember)
        self._files = FileFinder(self.root, self.recall, self.remember)

    # ── what there is ────────────────────────────────────────────────────────────────────────────

    def snapshot(self, source: Source) -> Snapshot:
        """What the source holds now. Digests of files are remembered by path, size and time of change."""
        pushes = self.list_pushes(source)
        if source.format == "memory":
            return Snapshot(source.name, pushes=pushes, table=self._memory_content(source))
        if source.is_outside:
            return replace(self._fetcher.snapshot(source), pushes=pushes)
        return Snapshot(
            source.name, files=tuple(self._files.snapshot(path) for path in self._files.paths(source)), pushes=pushes
        )

    def list_pushes(self, source: Source) -> tuple[PushSnapshot, ...]:
        """What was pushed until now, as a snapshot holds it."""
        return snapshot_pushes(self.pushes / source.name, self.recall, self.remember)

    def stamp(self, source: Source) -> Digest | None:
        """What says, with nothing read, that files are those of an earlier time: paths, sizes and times of change.

        ``None`` where nothing does: tables in memory, what lies outside, pushed rows, and files that have just been written.
        """
        if source.format == "memory" or source.is_outside or (self.pushes / source.name).is_dir():
            return None
        return self._files.stamp(source)

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

    def compare_files(self, source: Source, snapshot: Snapshot | None = None) -> tuple[str, ...]:
        """What is to be told of files that do not agree: columns that some lack, texts among numbers, rounded digits.

        Each file is looked at once, and remembered by its content.
        """
        if source.format in ("memory", "table", "query"):
            return ()
        taken = snapshot or self.snapshot(source)
        base = self._base(source, taken)
        if not isinstance(base, Files) or not taken.files or (source.format == "parquet" and len(taken.files) == 1):
            return ()
        united = self.raw_schema(source)
        return compare_files(source, taken, base, united=united, recall=self.recall, remember=self.remember)

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
        where: str | Only | None = None,
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
            Condition in DuckDB's SQL on columns after ``select``, or the few rows that are asked for.

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
        where: str | Only | None = None,
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
        schema = resolved(raw.empty_table(), source, columns=columns)[0].schema
        whole = pa.types.is_string(described.field(source.time).type)  # whether texts have zones is told from all of them
        resolve = partial(scanned, source=bare, columns=tuple(columns), start=start, end=end)
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
            found, _ = with_system_columns(source, self.engine.stream(sql, relations).read_all())
        return resolved(found, source, columns=described.names)[0]

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
        return resolved(found, source, columns=names)[0]

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
        try:
            return validator.judge(taken, self._places(taken, relations), newest=newest, now=self.clock())
        except Invalid as error:
            first = relations.get("this", relations.get("files"))
            raise fault_of_query(source, error, partial(self._columns_of, source, {"this": first} if first else {})) from error

    def guard(self, source: Source, snapshot: Snapshot | None = None) -> tuple[str, ...]:
        """What to warn of before the rows of a snapshot are used.

        Raises
        ------
        ExpectationFailed
            When a rule that stops does not hold.
        """
        return enforce(source, self.verdict(source, snapshot))

    def aside(self, source: Source, rows: pa.Table) -> tuple[Failed, ...]:
        """Those of the raw rows, which are being pushed, that a rule of the source puts aside."""
        return self._failing(without_rules(source), rows, source.quarantine) if source.quarantine else ()

    def refuse(self, source: Source, rows: pa.Table) -> None:
        """Refuse raw rows of a push where some fail a rule that stops: in the journal they would stop all that follows.

        Raises
        ------
        ExpectationFailed
            Naming the rows and the rules.
        """
        stops = [rule for one in source.expect if one.otherwise == "stop" and not one.tolerate for rule in one.rules]
        failing = self._failing(source, rows, [rule for rule in stops if rule.condition is not None])
        for rule in stops:
            if rule.is_unique:
                failing += self._twice(source, rows, rule)
        if failing:
            raise refused_push(source.name, rows.num_rows, failing)

    def _twice(self, source: Source, rows: pa.Table, rule: Rule) -> tuple[Failed, ...]:
        """Raw rows with a value that an earlier one of the same push has."""
        everything = replace(rule, condition=f"{quoted(str(rule.column))} IS NULL")
        found: dict[str, int] = {}
        held = self._failing(source, rows, [everything], also=str(rule.column))
        return tuple(Failed(one.row, (rule.text,)) for one in held if found.setdefault(repr(one.value), one.row) != one.row)

    def _failing(self, source: Source, rows: pa.Table, rules: Sequence[Rule], *, also: str | None = None) -> tuple[Failed, ...]:
        """Rows that fail rules over single rows, by their places, with the value of a column where one is asked for."""
        if not rules or not rows.num_rows:
            return ()
        floats = float_names(source, self._describe(source, select_query(source)))
        sql = to_dialect(failing_query(source, rules, floats, also=also), self.engine.dialect)
        placed = rows.append_column(PLACE, pa.array(range(rows.num_rows), pa.int64()))
        found = self.engine.stream(sql, {"this": InMemory(placed)}).read_all().to_pylist()
        told = [
            Failed(
                row[PLACE],
                tuple(rule.text for place, rule in enumerate(rules) if row[f"f{place}"]),
                row[also] if also else None,
            )
            for row in found
        ]
        return tuple(sorted(told, key=lambda one: one.row))

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
        where: str | Only | None,
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
        where: str | Only | None,
    ) -> Iterator[pa.Table]:
        """At least one table, be it empty; without bounds, what was met is counted at the end."""
        described = self._describe(source, select_query(source))
        columns = [name for name in columns if name not in ENDS]
        self._check_columns(source, columns, described)
        bounded, met = start is not None or end is not None, Counts()
        read = partial(self._raw_batches, source, described, columns, start=start, end=end, where=where)
        try:
            for raw, nan in read(relations):
                found, null_time, null_available = resolved(raw, source, columns=columns)
                met = Counts(
                    met.rows + found.num_rows,
                    met.null_time + null_time,
                    met.null_available + null_available,
                    met.nan + nan,
                )
                if bounded:
                    found = within(found, between(found[TS], start, end).to_numpy())
                yield found
        except (Invalid, TypeMismatch, MixedTimezones, AmbiguousTime) as error:

            def alone(part: Mapping[str, Relation]) -> None:
                for raw, _ in read(part):
                    resolved(raw, source, columns=columns)

            parts = self._parts(source, relations)
            raise fault_of_rows(source, error, ((name, partial(alone, part)) for name, part in parts)) from error
        if not bounded:
            self.counts[source.name] = met

    def _parts(self, source: Source, relations: Mapping[str, Relation]) -> Iterator[tuple[str, Mapping[str, Relation]]]:
        """Each file of the project that is read alone, by its name, and the pushed rows."""
        files = relations.get("this", relations.get("files"))
        if isinstance(files, Files) and not source.is_outside:
            for path in files.paths:
                name = str(Path(path).relative_to(self.root)) if Path(path).is_relative_to(self.root) else path
                yield name, {"this": Files(files.format, (path,))}
        if "pushed" in relations:
            yield "pushed rows", {"this": relations["pushed"]}

    def _raw_batches(
        self,
        source: Source,
        described: pa.Schema,
        columns: Sequence[str],
        relations: Mapping[str, Relation],
        *,
        start: Micros | None,
        end: Micros | None,
        where: str | Only | None,
    ) -> Iterator[tuple[pa.Table, int]]:
        """Columns and the raw values of the system columns, from the engine or, where that gives the same, as they lie; and
        how many NaN became null."""
        direct = None if where else find_direct(source, described, relations=tuple(relations.values()), columns=columns)
        if direct is not None:
            for rows in direct.batches(start, end):
                yield with_system_columns(source, rows)
            yield with_system_columns(source, direct.schema.empty_table())
            return
        sql = scan_query(source, described, columns, raw=self._raw_names(relations), start=start, end=end, where=where)
        more: dict[str, Relation] = {ONLY: InMemory(where.rows)} if isinstance(where, Only) else {}
        reader = self.engine.stream(to_dialect(sql, self.engine.dialect), {**relations, **more})
        if pa.types.is_string(described.field(source.time).type):  # whether texts have zones is told from all of them
            tables = iter([reader.read_all()])
        else:
            tables = (pa.Table.from_batches([batch]) for batch in reader)
        for rows in tables:
            yield rows, pc.sum(rows[NAN]).as_py() or 0 if NAN in rows.column_names else 0
        yield reader.schema.empty_table(), 0

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
                check_zones(source, base)
                told = bool(source.select or source.quarantine or source.changes)
                told |= self.engine.dialect != DIALECT and any(conditions_of(source))
                plain = None if told else plain_schema(base)
                if plain is not None:  # to ask an engine for it takes ten times as long
                    self._schemas[key, stamp] = plain
                    return plain
            query = to_dialect(sql or "SELECT * FROM this", self.engine.dialect)
            if sql is not None and self.engine.dialect != DIALECT:
                check_dialect(sql, self.engine.dialect, self._describe(source, None), where=source.where or source.name)
            try:
                self._schemas[key, stamp] = self.engine.schema(query, {"this": base})
            except Invalid as error:
                raise fault_of_query(source, error, partial(self._columns_of, source, {"this": base})) from error
            if sql is not None and self.engine.dialect != DIALECT:
                for condition in conditions_of(source):
                    check_dialect(condition, self.engine.dialect, self._schemas[key, stamp], where=source.where or source.name)
        return self._schemas[key, stamp]

    def _columns_of(self, source: Source, relations: Mapping[str, Relation], sql: str) -> pa.Schema:
        if self.engine.dialect != DIALECT:
            check_dialect(sql, self.engine.dialect, self._describe(source, None), where=source.where or source.name)
        return self.engine.schema(to_dialect(sql, self.engine.dialect), relations)

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
            paths = [str(path) for path in self._files.paths(source)]
        else:
            paths = [str(self._files.unchanged(source, one)) for one in snapshot.files]
        return Files(source.file_format, tuple(paths))

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


def _table(source: Source) -> pa.Table:
    try:
        return pa.table(source.data)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        fix = "give each column of the frame values of one type"
        raise TypeMismatch(f"the data of source {source.name}: {error}", where=source.where, fix=fix) from error


def _content(table: pa.Table) -> Digest:
    return digest(["table", list(column_digests(table.column_names, table.columns).items())])
