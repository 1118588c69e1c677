"""Features of many keys at many past instants: one row out per row in, in the same order, as it was known then."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

from tidewheel.clock import Micros
from tidewheel.digest import Digest
from tidewheel.features.columns import service_schema, view_columns
from tidewheel.features.compiled import run_compiled
from tidewheel.features.definition import FeatureView, ServiceDefinition, Use
from tidewheel.features.distribute import answer_by_engine
from tidewheel.features.match import key_column
from tidewheel.features.plan import plan_windows
from tidewheel.features.row_sum import RowSum
from tidewheel.features.spine import check_spine, request_column, spine_times
from tidewheel.features.transform import run_transform
from tidewheel.features.view_answer import Asked, ViewAnswer, ViewReport, whole_numbers
from tidewheel.schema import DataType, Schema
from tidewheel.sources.definition import Source
from tidewheel.sources.query import SYSTEM, TS
from tidewheel.sources.read import Sources
from tidewheel.sources.snapshot import Snapshot

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]


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
class TransformReport:
    """How many rows a transform failed on, and the first failure."""

    transform: str
    errors: int
    first_error: str | None


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
    times = spine_times(spine, time)
    columns = {one.name: request_column(spine.column(one.name), one) for one in service.request}
    asked = {key.name: key_column(spine.column(key.name), key) for key in service.keys}
    reports: list[ViewReport] = []
    sums = {name: RowSum() for name in measure}
    for uses in service.rounds:
        fresh = {name: one for name, one in sums.items() if name not in {report.view for report in reports}}
        for made, report in _answers(uses, schemas, Asked(asked, times), sources, snapshots=snapshots or {}, sums=fresh):
            columns |= made
            reports.append(report)
        asked = asked | _chained(service, columns)
    computed = _transform(service, columns, asked, schema, rows=len(times))
    table = pa.table([columns[name] for name in schema.names], schema=schema.arrow())
    coverage = {name: table.num_rows - table.column(name).null_count for name in schema.names}
    contents = {name: one.digest() for name, one in sums.items()}
    return Retrieved(table, tuple(reports), computed, coverage, contents)


def _chained(service: ServiceDefinition, columns: Mapping[str, pa.Array]) -> dict[str, pa.Array]:
    """Features that are keys of later views, in the types of these."""
    needed = {column.name: column for one in service.uses for column in one.columns}
    made = {name for one in service.uses for name in one.names}
    return {
        name: key_column(pa.chunked_array([column]), needed[name])
        for name, column in columns.items()
        if name in needed and name in made
    }


def _answers(
    uses: Sequence[Use],
    schemas: Mapping[str, Schema],
    asked: Asked,
    sources: Reader,
    *,
    snapshots: Mapping[str, Snapshot],
    sums: Mapping[str, RowSum],
) -> list[tuple[dict[str, pa.Array], ViewReport]]:
    """Answer every view; a source is read once for all views over it, and let go before the next one."""
    begin = {one.view.name: _start(one.view, schemas[one.view.source.name], asked.times) for one in uses}
    if isinstance(sources, Sources):
        near = answer_by_engine(uses, schemas, asked=asked, sources=sources, snapshots=snapshots, sums=sums, starts=begin)
        if near is not None:
            return near
    found: dict[Use, tuple[dict[str, pa.Array], ViewReport]] = {}
    for version in dict.fromkeys(alias.view.source.version for alias in uses):  # views may put aside rows of their own
        here = [alias for alias in uses if alias.view.source.version == version]
        source = here[0].view.source
        name = source.name
        views = {alias.view.name: alias.view for alias in here}
        starts = {key: _start(view, schemas[name], asked.times) for key, view in views.items()}
        whole = bool(views.keys() & sums.keys())
        first = None if whole or None in starts.values() else min(start for start in starts.values() if start is not None)
        last = int(asked.times.max()) + 1 if len(asked.times) else 0
        answers = {one: ViewAnswer(one, schemas[name], asked, start=starts[one.view.name]) for one in here}
        columns = list(dict.fromkeys(column for view in views.values() for column in view_columns(view)))
        batches = sources.batches(
            source,
            columns,
            snapshot=snapshots.get(name),
            start=None if first is None else Micros(first),
            end=None if whole else Micros(last),
        )
        for rows in batches:
            for key in views.keys() & sums.keys():
                sums[key].add(rows.select([*view_columns(views[key]), *SYSTEM, *source.ends]))
            reached = _before(rows, last) if whole else rows
            for answer in answers.values():
                answer.add(reached)
        found |= {one: answer.finish() for one, answer in answers.items()}
    ordered = dict.fromkeys(alias.view.name for alias in uses)
    return [found[alias] for name in ordered for alias in uses if alias.view.name == name]


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


def _before(rows: pa.Table, end: int) -> pa.Table:
    inside = whole_numbers(rows, TS) < end
    return rows if inside.all() else rows.filter(pa.array(inside))


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
    service: ServiceDefinition, columns: dict[str, pa.Array], asked: Mapping[str, pa.Array], schema: Schema, *, rows: int
) -> tuple[TransformReport, ...]:
    """Run the transforms in their order, over features, request values, each other and keys; adds their columns."""
    reports = []
    values: dict[str, Sequence[object]] = {}
    for one in service.transforms:
        held = {taken.name: columns.get(taken.name, asked.get(taken.name)) for taken in one.inputs}
        by_column = run_compiled(one, held)
        if by_column is not None:
            columns[one.name], computed = by_column
        else:
            for name, column in held.items():
                if column is not None and name not in values:
                    values[name] = plain_values(column)
            computed = run_transform(one, values, rows)
            columns[one.name] = pa.array(computed.values, schema[one.name].type.arrow())
        reports.append(TransformReport(one.name, computed.errors, computed.first_error))
    return tuple(reports)


def plain_values(column: pa.Array) -> Sequence[object]:
    """A column as Python values; instants as microseconds, which transforms take too.

    Examples
    --------
    >>> plain_values(pa.array([1.5, None]))
    [1.5, None]
    """
    if pa.types.is_timestamp(column.type):
        column = column.cast(DataType.TIMESTAMP.arrow()).cast(pa.int64())
    found: list[object] = column.to_pylist()
    return found
