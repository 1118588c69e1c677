"""Views answered where the rows are: by an engine that runs our kernel over buckets of keys (:class:`CoGroups`).

The spine goes through one co-grouping for each source and key: its rows come out with the view's columns added, so N rows in
are N rows out by construction. What was met is told in rows of their own, which travel with the spine's: their ``__note`` is
not null.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidewheel.clock import Micros
from tidewheel.digest import Digest
from tidewheel.features.columns import feature_type, view_columns
from tidewheel.features.definition import FeatureView, Use
from tidewheel.features.delays import Delays
from tidewheel.features.divide import ROW, SLICE_ROWS, TIME, piece_of
from tidewheel.features.match import key_column
from tidewheel.features.plan import plan_windows
from tidewheel.features.row_sum import RowSum
from tidewheel.features.view_answer import Asked, ViewAnswer, ViewReport, whole_numbers
from tidewheel.ports.query_engine import OWN, CoGroups, InMemory, Relation, Side
from tidewheel.schema import Schema
from tidewheel.sources.query import AVAILABLE, CREATED, SYSTEM, TS
from tidewheel.sources.read import ScanPlan, Sources
from tidewheel.sources.snapshot import Snapshot
from tidewheel.sources.spill import Strip

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]

NOTE = "__note"
"""Column of a spine on its way, beside the place of a row and its time: the text of a row that is no row of it."""

_SEEN, _ALL = "__seen", "__all"
_COUNTS = tuple(one.name for one in fields(ViewReport) if one.type == "int")

_BATCH_ROWS = 100_000

Answer = tuple[dict[str, pa.Array | pa.ChunkedArray], ViewReport]


@dataclass(frozen=True, slots=True)
class Reach:
    """How far back in event time a view's answers look: from ``start`` on, or from the first row with ``None``."""

    start: int | None
    end: int


def answer_by_engine(
    uses: Sequence[Use],
    schemas: Mapping[str, Schema],
    *,
    asked: Asked,
    sources: Sources,
    snapshots: Mapping[str, Snapshot],
    sums: Mapping[str, RowSum],
    starts: Mapping[str, int | None],
    strip: Callable[[], Strip] | None = None,
) -> list[Answer] | None:
    """Answer every view in the engine's workers; ``None`` when the engine does not do that, or a source cannot be cut.

    Parameters
    ----------
    sums
        By view: takes what the view's rows sum up to.
    starts
        By view: the first instant of event time that an answer can need, ``None`` where there is no end to it.
    strip
        Where an answer is put that the engine does not hold in memory either; without it, in memory.
    """
    engine = sources.engine
    if not isinstance(engine, CoGroups):
        return None
    end = int(asked.times.max()) + 1 if len(asked.times) else 0
    steps = _steps(uses, schemas, sources, snapshots=snapshots, sums=sums, reach={n: Reach(s, end) for n, s in starts.items()})
    if not all(scan.divisible for _, scan in steps):
        return None
    spine = _spine(asked, strip)
    found: Relation = InMemory(spine)
    kind = spine.schema
    for step, scan in steps:
        left = Side("SELECT * FROM spine", {"spine": found}, keys=step.spine_keys or (_ALL,), time=TIME, schema=kind)
        kind = step.answers(kind)
        found = engine.cogroup(left, step.side(scan), step, schema=kind)
    names = [name for alias in uses for name in alias.names]
    whole, notes = _in_order(found, sources, names, strip)
    told = Notes()
    for note in notes:
        told.add(note)
    told.sum_up(sums)
    return [
        ({name: _joined(whole[name]) for name in alias.names}, told.report(alias))
        for name in dict.fromkeys(alias.view.name for alias in uses)
        for alias in uses
        if alias.view.name == name
    ]


def _spine(asked: Asked, strip: Callable[[], Strip] | None) -> pa.Table:
    """The questions as a table that travels, put together on disk where the keys are there."""
    aside = None
    if strip is not None and any(isinstance(column, pa.ChunkedArray) for column in asked.columns.values()):
        aside = strip()
    step = max(len(asked.times), 1) if aside is None else SLICE_ROWS
    for start in range(0, max(len(asked.times), 1), step):
        times = asked.times[start : start + step]
        table = pa.table(
            {
                **{name: piece_of(column, start, step) for name, column in asked.columns.items()},
                ROW: np.arange(start, start + len(times)),
                TIME: times,
                _ALL: pa.repeat(pa.scalar(0, pa.int8()), len(times)),
                NOTE: pa.nulls(len(times), pa.string()),
            }
        )
        if aside is not None:
            aside.write(table)
    return table if aside is None else aside.mapped()


def _in_order(
    found: Relation, sources: Sources, names: Sequence[str], strip: Callable[[], Strip] | None
) -> tuple[pa.Table, list[str]]:
    """Some columns of the spine's rows, in its order, and what was noted; a batch at a time where that is not in memory."""
    if isinstance(found, InMemory):
        order = pc.sort_indices(found.table, sort_keys=[(ROW, "ascending")])  # nulls last
        rows, notes = _apart(found.table.take(order), names)
        return rows.combine_chunks(), notes
    reader = sources.engine.stream("SELECT * FROM answers", {"answers": found}, order_by=[ROW], batch_rows=_BATCH_ROWS)
    pieces, notes = [reader.schema.empty_table().select(names)], list[str]()
    aside = None if strip is None else strip()
    if aside is not None:
        aside.write(pieces[0])
    for batch in reader:
        rows, more = _apart(pa.Table.from_batches([batch]), names)
        notes += more
        if aside is None:
            pieces.append(rows)
        else:
            aside.write(rows)
    return (pa.concat_tables(pieces).combine_chunks() if aside is None else aside.mapped()), notes


def _joined(column: pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """One array, where that copies nothing."""
    return column.combine_chunks() if column.num_chunks < 2 else column


def _apart(rows: pa.Table, names: Sequence[str]) -> tuple[pa.Table, list[str]]:
    """Rows of the spine, and the texts of those that are none."""
    noted = pc.is_valid(rows[NOTE])
    return rows.filter(pc.invert(noted)).select(names), rows.filter(noted)[NOTE].to_pylist()


def _steps(
    uses: Sequence[Use],
    schemas: Mapping[str, Schema],
    sources: Sources,
    *,
    snapshots: Mapping[str, Snapshot],
    sums: Mapping[str, RowSum],
    reach: Mapping[str, Reach],
) -> list[tuple[Step, ScanPlan]]:
    """One for each source and key columns of the spine: all views over them read the source once."""
    groups: dict[tuple[Digest, tuple[str, ...]], list[Use]] = {}
    for alias in uses:  # views may put aside rows of their own, which makes another version of the source
        groups.setdefault((alias.view.source.version, tuple(key.name for key in alias.columns)), []).append(alias)
    steps, measured = [], set[str]()
    for (_, spine_keys), here in groups.items():
        views = {alias.view.name: alias.view for alias in here}
        measure = tuple(sorted((views.keys() & sums.keys()) - measured))
        measured.update(measure)
        begin = [reach[one].start for one in views]
        start = None if measure or None in begin else Micros(min(one for one in begin if one is not None))
        end = None if measure else Micros(max(reach[one].end for one in views))
        columns = list(dict.fromkeys(column for view in views.values() for column in view_columns(view)))
        source = here[0].view.source
        name = source.name
        scan = sources.plan_scan(source, columns, snapshot=snapshots.get(name), start=start, end=end)
        bare = tuple(_without_data(alias) for alias in here)
        steps.append((Step(bare, schemas[name], spine_keys, {one: reach[one] for one in views}, measure), scan))
    return steps


def _without_data(alias: Use) -> Use:
    """The same view for a worker, which has no use for a table in this process's memory."""
    return replace(alias, view=replace(alias.view, source=replace(alias.view.source, data=())))


@dataclass(frozen=True, slots=True)
class Step:
    """What workers run: the views of one source by the same key columns of the spine, over one bucket of keys."""

    uses: tuple[Use, ...]
    schema: Schema
    spine_keys: tuple[str, ...]
    reach: Mapping[str, Reach]
    measure: tuple[str, ...]

    def side(self, scan: ScanPlan) -> Side:
        """The source as the right side of a co-grouping."""
        whole = Prepared(scan.resolve, self.uses[0].view).side(scan)
        return replace(whole, reach=self._reach(), condense=self.condense)

    def answers(self, spine: pa.Schema) -> pa.Schema:
        """Columns of the spine with those of the views."""
        for alias in self.uses:
            for name, feature in zip(alias.names, alias.view.features, strict=True):
                spine = spine.append(pa.field(name, feature_type(feature, self.schema).arrow()))
        return spine

    def condense(self, rows: pa.Table) -> pa.Table:
        """Of the rows of one key, those that a look-up can still find once all can be seen: the last ones, with a value too."""
        ts, created = whole_numbers(rows, TS), whole_numbers(rows, CREATED)
        fills = {one.column for alias in self.uses for one in alias.view.lookups if one.fill == "last_known"}
        keep = _last(ts, created, np.ones(len(ts), dtype=np.bool_))
        for name in sorted(one for one in fills if one is not None):
            keep |= _last(ts, created, rows.column(name).is_valid().to_numpy())
        return rows.filter(pa.array(keep))

    def __call__(self, left: pa.Table, right: pa.Table) -> pa.Table:
        """The left rows with the views' columns, and a row that tells what was met."""
        noted = pc.is_valid(left[NOTE])
        asked_rows, notes = left.filter(pc.invert(noted)), left.filter(noted)
        keys = {key.name: asked_rows.column(key.name).combine_chunks() for alias in self.uses for key in alias.columns}
        asked = Asked(keys, whole_numbers(asked_rows, TIME))
        own = right.filter(right[OWN])
        kind = self.answers(left.schema)
        made: dict[str, pa.Array] = {}
        told: list[dict[str, object]] = []
        for alias in self.uses:
            reach = self.reach[alias.view.name]
            answer = ViewAnswer(alias, self.schema, asked, start=reach.start)
            answer.add(_within(right, reach).drop_columns([OWN, _SEEN, _ALL]))
            columns, report = answer.finish()
            made |= columns
            told.append(self._note(alias, report, own))
        complete = pa.table([made[name] if name in made else asked_rows[name] for name in kind.names], schema=kind)
        rest = [_filled(notes, kind), _filled(pa.table({TIME: [0], NOTE: [json.dumps(told)]}), kind)]
        return pa.concat_tables([complete, *rest])

    def _note(self, alias: Use, report: ViewReport, own: pa.Table) -> dict[str, object]:
        view = alias.view
        near = _within(own, self.reach[view.name], both=True)
        ts, created, known = (whole_numbers(near, name) for name in SYSTEM)
        absent = np.zeros(len(ts), dtype=np.bool_)
        for key in view.keys:
            absent |= near.column(key.name).is_null().to_numpy()
        late = int(np.count_nonzero(known > ts))
        delays = Delays()
        delays.add((known if view.source.available != "event" else created) - ts)
        sums = RowSum()
        if view.name in self.measure:
            sums.add(own.select([*view_columns(view), *SYSTEM, *view.source.ends]))
        report = replace(report, rows=len(ts), null_keys=int(absent.sum()), late=late)
        note = asdict(report) | {"spread": delays.counts()}
        return note | ({"sums": sums.state()} if view.name in self.measure else {})

    def _reach(self) -> int | None:
        """How far before a question lies what its windows need; look-ups find earlier rows among the condensed ones.

        Rows that cease to be visible may uncover any earlier row, so they all stay together.
        """
        source = self.uses[0].view.source
        filled = any(one.fill is not None for alias in self.uses for one in alias.view.lookups)
        if source.bounded or (source.retracts and filled):
            return None
        plans = [plan_windows(alias.view, self.schema) for alias in self.uses if alias.view.windows]
        if any(plan.endless for plan in plans):
            return None
        return max((plan.longest + max(group.hop for group in plan.groups) for plan in plans), default=0)


@dataclass(frozen=True, slots=True)
class Prepared:
    """Resolves rows, gives keys their declared types, and adds the instant from which each row can be seen."""

    resolve: Callable[[pa.Table], pa.Table]
    view: FeatureView

    def side(self, scan: ScanPlan) -> Side:
        """The source as the right side of a co-grouping by the view's keys."""
        kind = scan.schema
        for key in self.view.keys:
            kind = kind.set(kind.get_field_index(key.name), pa.field(key.name, key.type.arrow()))
        kind = kind.append(pa.field(_SEEN, pa.int64())).append(pa.field(_ALL, pa.int8()))
        keys = tuple(key.name for key in self.view.keys) or (_ALL,)
        return Side(scan.sql, scan.relations, keys=keys, time=_SEEN, schema=kind, prepare=self)

    def __call__(self, raw: pa.Table) -> pa.Table:
        rows = self.resolve(raw)
        for key in self.view.keys:
            place = rows.schema.get_field_index(key.name)
            rows = rows.set_column(place, key.name, key_column(rows.column(key.name), key))
        rows = rows.append_column(_SEEN, pc.max_element_wise(rows[TS], rows[AVAILABLE]))
        return rows.append_column(_ALL, pa.nulls(rows.num_rows, pa.int8()).fill_null(0))


class Notes:
    """What the calls of steps tell, put together."""

    def __init__(self) -> None:
        self._reports: dict[tuple[str, str], ViewReport] = {}
        self._delays: dict[tuple[str, str], Delays] = {}
        self._sums: dict[str, RowSum] = {}

    def add(self, note: str) -> None:
        """Take what one call said."""
        for told in json.loads(note):
            key = (told["view"], told["prefix"])
            self._delays.setdefault(key, Delays()).merge(told.pop("spread"))
            if "sums" in told:
                self._sums.setdefault(told["view"], RowSum()).merge(told.pop("sums"))
            told["delays"] = None if told["delays"] is None else tuple(told["delays"])
            report = ViewReport(**told)
            before = self._reports.get(key)
            if before is not None:
                report = replace(report, **{name: getattr(before, name) + getattr(report, name) for name in _COUNTS})
            self._reports[key] = report

    def report(self, alias: Use) -> ViewReport:
        """The report of a view under an alias."""
        key = (alias.view.name, alias.prefix)
        report, delays = self._reports.get(key, ViewReport(*key, 0)), self._delays.get(key, Delays())
        return report if report.delays is None else replace(report, delays=(delays.quantile(0.5), delays.quantile(0.99)))

    def sum_up(self, sums: Mapping[str, RowSum]) -> None:
        """Add what was measured to these sums."""
        for name, found in self._sums.items():
            sums[name].merge(found.state())


def _within(rows: pa.Table, reach: Reach, *, both: bool = False) -> pa.Table:
    """Rows before the end; those before the start are left out by the answer itself, or here."""
    ts = whole_numbers(rows, TS)
    inside = ts < reach.end
    if both and reach.start is not None:
        inside &= ts >= reach.start
    return rows if inside.all() else rows.filter(pa.array(inside))


def _last(ts: Integers, created: Integers, among: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Rows among some that have the last time, and of these the last time of creation: their values tell them apart later."""
    if not among.any():
        return among
    last = among & (ts == ts[among].max())
    kept: npt.NDArray[np.bool_] = last & (created == created[last].max())
    return kept


def _filled(rows: pa.Table, kind: pa.Schema) -> pa.Table:
    """Rows with the columns of a schema, null where they had none."""
    columns = [rows[one.name] if one.name in rows.column_names else pa.nulls(rows.num_rows, one.type) for one in kind]
    return pa.table(columns, schema=kind)
