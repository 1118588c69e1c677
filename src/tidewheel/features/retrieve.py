"""Features of many keys at many past instants: one row out per row in, in the same order, as it was known then."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self

import pyarrow as pa

from tidewheel.clock import Micros
from tidewheel.digest import Digest
from tidewheel.features.columns import service_schema, view_columns
from tidewheel.features.compute_transforms import Computer, TransformReport
from tidewheel.features.definition import FeatureView, ServiceDefinition, Use
from tidewheel.features.distribute import answer_by_engine
from tidewheel.features.divide import SLICE_ROWS, TIME, DividedAnswer, cost_of, piece_of
from tidewheel.features.match import key_column
from tidewheel.features.plan import plan_windows
from tidewheel.features.row_sum import RowSum
from tidewheel.features.spine import check_spine, request_column, spine_times
from tidewheel.features.view_answer import Asked, ViewAnswer, ViewReport, whole_numbers
from tidewheel.schema import Schema
from tidewheel.sources.definition import Source
from tidewheel.sources.query import SYSTEM, TS
from tidewheel.sources.read import Sources
from tidewheel.sources.rows import within
from tidewheel.sources.snapshot import Snapshot
from tidewheel.sources.spill import Spill
from tidewheel.sources.watch import unwatched

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]

Columns = dict[str, "pa.Array | pa.ChunkedArray"]

_SHARE = 8
"""Of what may be held, the keys and times of a spine take at most one part in so many; else they are on disk."""


class Reader(Protocol):
    """Where rows come from: :class:`tidewheel.sources.read.Sources`, or rows that are here."""

    def schema(self, source: Source) -> Schema:
        """Columns of a source, after its ``select``."""
        ...

    def batches(
        self,
        source: Source,
        columns: Sequence[str],
        *,
        snapshot: Snapshot | None = None,
        start: Micros | None = None,
        end: Micros | None = None,
    ) -> Iterator[pa.Table]:
        """Rows with their system columns, in batches; at least one. Those outside of the bounds may be left out."""
        ...


@dataclass(frozen=True, slots=True)
class Retrieved:
    """The answer: a column per output of the service, in its order, a row per row of the spine.

    ``coverage`` counts the rows in which each output is not null; ``contents`` digest the rows of views, where asked for.
    """

    table: pa.Table
    views: tuple[ViewReport, ...] = ()
    transforms: tuple[TransformReport, ...] = ()
    coverage: Mapping[str, int] = field(default_factory=dict)
    contents: Mapping[str, Digest] = field(default_factory=dict)


def retrieve(
    service: ServiceDefinition,
    spine: pa.Table,
    *,
    time: str,
    sources: Reader,
    snapshots: Mapping[str, Snapshot] | None = None,
    measure: Collection[str] = (),
) -> Retrieved:
    """Answer a service for every row of a spine.

    Parameters
    ----------
    spine
        Holds the entity keys and the request values, under the names that the service gives them. Other columns do not matter.
    time
        Column of the instant to answer for: a timestamp (UTC where it has no zone), or int64 microseconds.
    snapshots
        What to read of each source, by its name; what there is now by default.
    measure
        Views whose rows are digested while they are read (:class:`~tidewheel.features.row_sum.RowSum`), those out of reach too.

    Raises
    ------
    MissingColumns, NameCollision, KeyTypeMismatch, TypeMismatch, MissingTime
        When the spine does not fit the service; nothing is computed then.
    AmbiguousRows, FeatureOverflow
        When the data has no answer.
    """
    schemas = {view.source.name: sources.schema(view.source) for view in service.views}
    schema = service_schema(service, schemas)
    check_spine(service, spine.column_names, time)
    reports: list[ViewReport] = []
    sums = {name: RowSum() for name in measure}
    with _Room(sources) as room:
        times, given = _given(service, spine, time, room)
        columns: Columns = {one.name: given[one.name] for one in service.request}
        asked = {key.name: given[key.name] for key in service.keys}
        for uses in service.rounds:
            fresh = {name: one for name, one in sums.items() if name not in {report.view for report in reports}}
            for made, report in _answers(uses, schemas, Asked(asked, times), room, snapshots=snapshots or {}, sums=fresh):
                columns |= made
                reports.append(report)
            asked = asked | _chained(service, columns)
        computed = _transform(service, columns, asked, rows=len(times), room=room)
    table = pa.table([columns[name] for name in schema.names], schema=schema.arrow())
    coverage = {name: table.num_rows - table.column(name).null_count for name in schema.names}
    contents = {name: one.digest() for name, one in sums.items()}
    return Retrieved(table, tuple(reports), computed, coverage, contents)


class _Room:
    """Where rows come from, what may be held of them, and a folder for the rest, which is made when it is needed."""

    def __init__(self, sources: Reader) -> None:
        self.sources = sources
        self.watch = sources.watch if isinstance(sources, Sources) else unwatched
        self.budget = sources.budget if isinstance(sources, Sources) else None
        self._spill: Spill | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._spill is not None:
            self._spill.close()

    @property
    def spill(self) -> Spill:
        """The folder."""
        assert self.budget is not None
        if self._spill is None:
            self._spill = Spill(self.budget.folder)
        return self._spill

    def about(self, source: Source, snapshot: Snapshot | None) -> int | None:
        """About how many rows a source has, where that is known."""
        return self.sources.about(source, snapshot) if isinstance(self.sources, Sources) else None


def _given(service: ServiceDefinition, spine: pa.Table, time: str, room: _Room) -> tuple[Integers, Columns]:
    """The spine's times, and its keys and request values in their types: on disk, where they would take much of the memory."""

    def typed(rows: pa.Table) -> Columns:
        request = {one.name: request_column(rows.column(one.name), one) for one in service.request}
        return request | {key.name: key_column(rows.column(key.name), key) for key in service.keys}

    size, names = spine.num_rows, list(dict.fromkeys([*(one.name for one in (*service.request, *service.keys)), time]))
    if room.budget is None or _SHARE * spine.select(names).nbytes <= room.budget.size_bytes or spine.column(time).null_count:
        return spine_times(spine, time), typed(spine)
    times, strip = room.spill.numbers(size), room.spill.strip()
    for start in range(0, size, SLICE_ROWS):
        rows = spine.slice(start, SLICE_ROWS)
        times[start : start + rows.num_rows] = spine_times(rows, time)
        strip.write(pa.table(typed(rows) or {TIME: times[start : start + rows.num_rows]}))
    held = strip.mapped()
    return times, {name: held[name] for name in held.column_names}


def _chained(service: ServiceDefinition, columns: Columns) -> dict[str, pa.Array]:
    """Features that are keys of later views, in the types of these."""
    needed = {column.name: column for one in service.uses for column in one.columns}
    made = {name for one in service.uses for name in one.names}
    return {
        name: key_column(column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column]), needed[name])
        for name, column in columns.items()
        if name in needed and name in made
    }


def _answers(
    uses: Sequence[Use],
    schemas: Mapping[str, Schema],
    asked: Asked,
    room: _Room,
    *,
    snapshots: Mapping[str, Snapshot],
    sums: Mapping[str, RowSum],
) -> list[tuple[Columns, ViewReport]]:
    """Answer every view; a source is read once for all views over it, and let go before the next one."""
    sources = room.sources
    begin = {one.view.name: _start(one.view, schemas[one.view.source.name], asked.times) for one in uses}
    if isinstance(sources, Sources):
        strip = None if room.budget is None else lambda: room.spill.strip()
        near = answer_by_engine(
            uses, schemas, asked=asked, sources=sources, snapshots=snapshots, sums=sums, starts=begin, strip=strip
        )
        if near is not None:
            return [(dict(made), report) for made, report in near]
    found: dict[Use, tuple[Columns, ViewReport]] = {}
    last = int(asked.times.max()) + 1 if len(asked.times) else 0
    for version in dict.fromkeys(alias.view.source.version for alias in uses):  # views may put aside rows of their own
        here = [alias for alias in uses if alias.view.source.version == version]
        source = here[0].view.source
        views = {alias.view.name: alias.view for alias in here}
        starts = [begin[name] for name in views]
        whole = bool(views.keys() & sums.keys())
        first = None if whole or None in starts else min(start for start in starts if start is not None)
        snapshot = snapshots.get(source.name)
        about = room.about(source, snapshot)
        answers = _takers(here, schemas[source.name], asked, room, starts=begin, about=about)
        columns = list(dict.fromkeys(column for view in views.values() for column in view_columns(view)))
        batches = sources.batches(
            source,
            columns,
            snapshot=snapshot,
            start=None if first is None else Micros(first),
            end=None if whole else Micros(last),
        )
        read = 0
        for rows in batches:
            for key in views.keys() & sums.keys():
                sums[key].add(rows.select([*view_columns(views[key]), *SYSTEM, *source.ends]))
            reached = within(rows, whole_numbers(rows, TS) < last) if whole else rows
            for answer in answers:
                answer.add(reached)
            read += rows.num_rows
            room.watch(f"read {source.name}", read, None if about is None else max(about, read))
        room.watch(f"read {source.name}", read, read)
        while answers:
            found |= answers.pop(0).finish()
    ordered = dict.fromkeys(alias.view.name for alias in uses)
    return [found[alias] for name in ordered for alias in uses if alias.view.name == name]


def _takers(
    uses: Sequence[Use],
    schema: Schema,
    asked: Asked,
    room: _Room,
    *,
    starts: Mapping[str, int | None],
    about: int | None,
) -> list[_Taker]:
    """What takes the rows of a source: the views one by one, in memory, or dealt to disk where that would be too much."""
    budget, size = room.budget, len(asked.times)
    if budget is None or about is None or not size or cost_of(uses, schema).of(size, about) <= budget.size_bytes:
        return [_Held(alias, ViewAnswer(alias, schema, asked, start=starts[alias.view.name])) for alias in uses]
    groups: dict[object, list[Use]] = {}
    for alias in uses:
        groups.setdefault((alias.columns, alias.view.keys), []).append(alias)
    share = budget.size_bytes // len(groups)
    return [
        DividedAnswer(group, schema, asked, starts=starts, spill=room.spill, about=about, budget=share, watch=room.watch)
        for group in groups.values()
    ]


class _Taker(Protocol):
    """Takes rows, then answers views."""

    def add(self, rows: pa.Table) -> None: ...

    def finish(self) -> Mapping[Use, tuple[Columns, ViewReport]]: ...


@dataclass(frozen=True, slots=True)
class _Held:
    """One view, answered in memory."""

    alias: Use
    answer: ViewAnswer

    def add(self, rows: pa.Table) -> None:
        self.answer.add(rows)

    def finish(self) -> dict[Use, tuple[Columns, ViewReport]]:
        columns, report = self.answer.finish()
        return {self.alias: (dict(columns), report)}


def _start(view: FeatureView, schema: Schema, times: Integers) -> int | None:
    """First instant of event time that any answer can need; ``None`` where there is no end to it."""
    plan = plan_windows(view, schema)
    if plan.endless:
        return None
    reaches = [plan.longest] if view.windows else []
    if view.lookups:
        if view.ttl is None:
            return None
        reaches.append(view.ttl)
    return (int(times.min()) if len(times) else 0) - max(reaches)


def answer_view(
    alias: Use, schema: Schema, rows: pa.Table, *, asked: Mapping[str, pa.Array], times: Integers
) -> tuple[dict[str, pa.Array], ViewReport]:
    """Answer one view from rows that are here; pure.

    Parameters
    ----------
    schema
        The source's.
    rows
        As a scan gives them, with the view's columns and ``__ts``, ``__created``, ``__avail``.
    asked
        Key columns by their names in the spine, in their declared types.
    times
        Of each spine row, in microseconds.

    Returns
    -------
    A column per feature by its output name, and what was met.
    """
    answer = ViewAnswer(alias, schema, Asked(asked, times))
    answer.add(rows)
    return answer.finish()


def _transform(
    service: ServiceDefinition, columns: Columns, asked: Mapping[str, pa.Array], *, rows: int, room: _Room
) -> tuple[TransformReport, ...]:
    """Run the transforms over features, request values, each other and keys; adds their columns."""
    names = {taken.name for one in service.transforms for taken in one.inputs}
    held = {name: columns.get(name, asked.get(name)) for name in names if name in columns or name in asked}
    engine = room.sources.engine if isinstance(room.sources, Sources) else None
    with Computer(service.transforms, engine=engine, watch=room.watch, rows=rows) as computer:
        if not service.transforms or not any(isinstance(column, pa.ChunkedArray) for column in held.values()):
            columns |= computer.run({name: column for name, column in held.items() if column is not None}, rows)
            return computer.reports
        strip = room.spill.strip()
        for start in range(0, rows, SLICE_ROWS):  # what does not fit in memory comes by in pieces
            count = min(SLICE_ROWS, rows - start)
            pieces = {name: piece_of(column, start, count) for name, column in held.items() if column is not None}
            strip.write(pa.table(computer.run(pieces, count, first=start)))
            room.watch("transform", start + count, rows)
        table = strip.mapped()
        columns |= {name: table[name] for name in table.column_names}
        return computer.reports
