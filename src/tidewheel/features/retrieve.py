"""Features of many keys at many past instants: one row out per row in, in the same order, as it was known then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tidewheel.clock import Micros
from tidewheel.features.columns import service_schema, view_columns
from tidewheel.features.definition import FeatureView, ServiceDefinition, Use
from tidewheel.features.events import Events, order_rows
from tidewheel.features.lookups import Rows, look_up
from tidewheel.features.match import key_column, match_keys
from tidewheel.features.plan import WindowPlan, plan_windows
from tidewheel.features.spine import check_spine, request_column, spine_times
from tidewheel.features.tiles import NULL_KEY, fold
from tidewheel.features.transform import run_transform
from tidewheel.schema import DataType, Schema
from tidewheel.sources.read import Sources
from tidewheel.sources.snapshot import Snapshot

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ViewReport:
    """What was met while one view of a service was answered.

    Parameters
    ----------
    rows
        Rows of the source that were read.
    null_keys
        Of these, rows with a null in their key: ignored.
    late
        Of these, rows that were known only after their own time.
    ambiguous
        Keys and times at which rows differ only in value; the greater was taken.
    found, too_old
        Spine rows for which a look-up found a row, and those for which it was older than ``ttl``.
    unknown
        Spine rows whose key the source does not have (or has only in rows out of reach).
    """

    view: str
    prefix: str
    rows: int
    null_keys: int = 0
    late: int = 0
    ambiguous: int = 0
    found: int = 0
    too_old: int = 0
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class TransformReport:
    """How many rows a transform failed on, and the first failure."""

    transform: str
    errors: int
    first_error: str | None


@dataclass(frozen=True, slots=True)
class Retrieved:
    """The answer: a column per output of the service, in its order, a row per row of the spine.

    ``coverage`` counts the rows in which each output is not null.
    """

    table: pa.Table
    views: tuple[ViewReport, ...] = ()
    transforms: tuple[TransformReport, ...] = ()
    coverage: Mapping[str, int] = field(default_factory=dict)


def retrieve(
    service: ServiceDefinition,
    spine: pa.Table,
    *,
    time: str,
    sources: Sources,
    snapshots: Mapping[str, Snapshot] | None = None,
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
    reports = []
    for view in service.views:
        source = view.source
        snapshot = None if snapshots is None else snapshots.get(source.name)
        rows = _scan(view, schemas[source.name], times, sources, snapshot)
        for alias in service.uses:
            if alias.view.name == view.name:
                made, report = answer_view(alias, schemas[source.name], rows, asked=asked, times=times)
                columns |= made
                reports.append(report)
    computed = _transform(service, columns, asked, schema, rows=len(times))
    table = pa.table([columns[name] for name in schema.names], schema=schema.arrow())
    coverage = {name: table.num_rows - table.column(name).null_count for name in schema.names}
    return Retrieved(table, tuple(reports), computed, coverage)


def _scan(view: FeatureView, schema: Schema, times: Integers, sources: Sources, snapshot: Snapshot | None) -> pa.Table:
    """The rows that any answer can need: none after the last time asked, none further back than any feature reaches."""
    reaches = [plan_windows(view, schema).longest] if view.windows else []
    if view.lookups:
        reaches.append(-1 if view.ttl is None else view.ttl)
    first, last = (int(times.min()), int(times.max())) if len(times) else (0, -1)
    start = None if min(reaches) < 0 else Micros(first - max(reaches))
    return sources.scan(view.source, view_columns(view), snapshot=snapshot, start=start, end=Micros(last + 1))


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
    view = alias.view
    held = [key_column(rows.column(key.name), key) for key in view.keys]
    matched = match_keys([asked[column.name] for column in alias.columns], held)
    ts, created, known = (_int64(rows, name) for name in ("__ts", "__created", "__avail"))
    have = np.bincount(matched.held[matched.held >= 0], minlength=max(matched.keys, 1)) > 0
    report = ViewReport(
        view.name,
        alias.prefix,
        rows.num_rows,
        null_keys=int(np.count_nonzero(matched.held == NULL_KEY)),
        late=int(np.count_nonzero(known > ts)),
        unknown=int(np.count_nonzero((matched.asked >= 0) & ~have[np.maximum(matched.asked, 0)])),
    )
    here = Rows(matched.held, matched.keys, ts, created, known, rows)
    columns: dict[str, pa.Array] = {}
    if view.lookups:
        looked = look_up(view, schema, rows=here, keys=matched.asked, times=times)
        columns |= {one.name: column for one, column in zip(view.lookups, looked.columns, strict=True)}
        report = replace(report, ambiguous=looked.ambiguous, found=looked.found, too_old=looked.too_old)
    if view.windows:
        folded = _fold(plan_windows(view, schema), here, matched.asked, times)
        columns |= {one.name: column for one, column in zip(view.windows, folded, strict=True)}
    return {alias.prefix + name: column for name, column in columns.items()}, report


def _fold(plan: WindowPlan, rows: Rows, keys: Integers, times: Integers) -> list[pa.Array]:
    ordered = order_rows(rows.codes, rows.keys, ts=rows.ts, created=None, rows=rows.table, schema=plan.events)
    names = list(plan.events.names)
    picked = rows.table.select(names).take(pa.array(ordered.order)) if names else rows.table.select([])
    events = Events(ordered.offsets, rows.ts[ordered.order], rows.known[ordered.order], picked)
    by_key = np.lexsort((times, keys))
    folded = fold(plan, events, keys=keys[by_key], times=times[by_key])
    back = np.empty(len(by_key), dtype=np.int64)
    back[by_key] = np.arange(len(by_key))
    return [column.take(pa.array(back)) for column in folded.columns]


def _int64(rows: pa.Table, name: str) -> Integers:
    return np.ascontiguousarray(rows.column(name).to_numpy(), dtype=np.int64)


def _transform(
    service: ServiceDefinition, columns: dict[str, pa.Array], asked: Mapping[str, pa.Array], schema: Schema, *, rows: int
) -> tuple[TransformReport, ...]:
    """Run the transforms in their order, over features, request values, each other and keys; adds their columns."""
    reports = []
    values: dict[str, Sequence[object]] = {}
    for one in service.transforms:
        for taken in one.inputs:
            column = columns.get(taken.name, asked.get(taken.name))
            if column is not None and taken.name not in values:
                values[taken.name] = plain_values(column)
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
