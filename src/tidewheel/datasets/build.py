"""Build training sets: the spine from its source, features joined as they were known, split, and frozen by content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidewheel.artifacts.store import ArtifactStore
from tidewheel.artifacts.table import Table
from tidewheel.clock import format_duration
from tidewheel.datasets.definition import Spine, TrainingSet
from tidewheel.datasets.handle import Dataset, Split
from tidewheel.datasets.report import FeatureReport, Report, ViewReport, delay_text
from tidewheel.datasets.sort_rows import sort_rows
from tidewheel.datasets.spines import SpineRows, check_leaks, check_names, spine_table
from tidewheel.digest import Digest, digest
from tidewheel.errors import FutureLeak, MissingColumns, near_miss
from tidewheel.features.columns import view_columns
from tidewheel.features.definition import FeatureView, ServiceDefinition
from tidewheel.features.retrieve import Retrieved, retrieve
from tidewheel.features.spine import spine_times
from tidewheel.sources.definition import Source
from tidewheel.sources.query import AVAILABLE, CREATED, TS
from tidewheel.sources.read import Sources
from tidewheel.sources.snapshot import Snapshot
from tidewheel.sources.validate import enforce

Snapshots = Mapping[str, Snapshot]
_KNOWN = "__known"
_PIECE = 1 << 17


@dataclass(frozen=True, slots=True)
class _Rows:
    table: pa.Table
    dropped: dict[str, int]
    counts: dict[str, int]
    early: int


def join(
    spine: SpineRows,
    service: ServiceDefinition,
    *,
    time: str,
    sources: Sources,
    label: str | None = None,
    snapshots: Snapshots | None = None,
) -> tuple[pa.Table, Report]:
    """Features for rows at hand, each as it was known at the row's time: N rows in, N rows out, in the same order.

    Parameters
    ----------
    spine
        A table that exports Arrow (Arrow, pandas, Polars), or a list of mappings. It holds ``time``, the service's keys and
        request values, and anything else, which passes through unchanged, types and order included.
    time
        Column with the instant of prediction. Without a zone it is UTC; finer digits than microseconds are cut off.
    label
        Column of the spine that is the outcome, where it has one.
    snapshots
        Snapshot per source's name; a source that is not named is read as it is now.

    Returns
    -------
    The columns of the spine, then the features in the service's order, typed also where no row has one; and the report.

    Raises
    ------
    NameCollision, KeyTypeMismatch, TypeMismatch, MissingColumns, MissingTime, MixedTimezones, FutureLeak
        See :mod:`tidewheel.datasets.spines`. Nothing has been computed then.
    """
    table = spine_table(spine, time)
    check_names(table, service, label)
    check_leaks(table, service, time=time, label=label)
    taken = dict(snapshots or {})
    for source in (view.source for view in service.views):
        if source.is_outside and source.name not in taken:
            taken[source.name] = sources.snapshot(source)
    keys = {view.name: _rows_key(view, sources, taken.get(view.source.name)) for view in service.views}
    known = {name: _recalled(sources, key) for name, key in keys.items()}
    unknown = [name for name, content in known.items() if content is None]
    found = retrieve(service, table, time=time, sources=sources, snapshots=taken, measure=unknown)
    for name, content in found.contents.items():
        if keys[name] is not None:
            sources.remember(str(keys[name]), content.encode())
    report = _report(service, found, _span(table, time), {name: one or found.contents[name] for name, one in known.items()})
    for output in service.outputs:
        if output.name not in table.column_names:
            table = table.append_column(found.table.schema.field(output.name), found.table[output.name])
    return table, report


def build_training_set(
    definition: TrainingSet,
    *,
    sources: Sources,
    artifacts: ArtifactStore,
    snapshots: Snapshots | None = None,
    previous: Dataset | None = None,
) -> Dataset:
    """Build and freeze a training set.

    Rows whose label is null, or not known yet by the sources' clock, are left out and counted. Rows are in order of time.

    Parameters
    ----------
    snapshots
        Snapshot per source's name; a source that is not named is read as it is now.
    previous
        An earlier build: the report then names the views whose source rows have changed since.
    """
    service = definition.features
    taken = dict(_snapshots(service, sources, snapshots))
    source = definition.spine.source
    if source.name not in taken:
        taken[source.name] = (snapshots or {}).get(source.name) or sources.snapshot(source)
    expected = _validated([source, *(view.source for view in service.views)], sources, taken)
    rows = _spine_rows(definition, sources, taken[source.name])
    time = definition.spine.time
    joined, report = join(rows.table, service, time=time, sources=sources, label=definition.label, snapshots=taken)
    train, test = _split(definition, joined)
    counts = dict(rows.counts) | dict(report.counts) | expected
    if test.num_rows and definition.split is not None:
        counts["rows to train on whose label came after the first row to test with"] = _overlap(train, test, time)
    report = replace(
        report,
        dropped=rows.dropped,
        counts=counts,
        leaks=(*report.leaks, *_early(definition, rows.early), *_suspects(joined, service, definition.label)),
    )
    frozen = [
        Split(Table.write(artifacts, part.drop_columns([_KNOWN])), features=service.names, label=definition.label, time=time)
        for part in (train, test)
    ]
    if previous is not None:
        report = replace(report, changed=report.changes(previous.report))
    dataset = Dataset(definition.name, train=frozen[0], test=frozen[1], report=report)
    return Dataset(definition.name, train=frozen[0], test=frozen[1], report=replace(report, fingerprint=dataset.content))


def _snapshots(service: ServiceDefinition, sources: Sources, given: Snapshots | None) -> Snapshots:
    found = dict(given or {})
    for view in service.views:
        if view.source.name not in found:
            found[view.source.name] = sources.snapshot(view.source)
    return found


def _validated(every: Sequence[Source], sources: Sources, snapshots: Snapshots) -> dict[str, int]:
    """What to count of the sources' expectations; a rule that stops has stopped here."""
    counts: dict[str, int] = {}
    for source in {one.version: one for one in every}.values():
        verdict = sources.verdict(source, snapshots[source.name])
        enforce(source, verdict)
        if verdict.quarantined:
            counts[f"rows of {source.name} in quarantine"] = verdict.quarantined
        counts |= {f"rows of {source.name} that fail {one.rule!r}": one.failed for one in verdict.findings if one.warns}
    return counts


def _spine_rows(definition: TrainingSet, sources: Sources, snapshot: Snapshot) -> _Rows:
    """Rows of the spine's source whose label is known, in order of time; the order of equal times is that of their values."""
    spine, service, label = definition.spine, definition.features, definition.label
    schema = sources.schema(spine.source)
    needed = [spine.time, *(key.name for key in service.keys), *(one.name for one in service.request), *spine.columns, label]
    names = list(dict.fromkeys(needed))
    for name in names:
        if name not in schema and name not in spine.columns:
            what = f"source {spine.source.name} has no column {name!r}, which training set {definition.name} needs"
            raise MissingColumns(what, where=name, fix=near_miss(name, schema.names))
    sortable = [name for name in names if name in schema]
    tally = _Tally(spine, label, int(sources.clock()))
    rows = (tally.known(batch) for batch in sources.batches(spine.source, names, snapshot=snapshot, where=spine.where))
    table = sort_rows(rows, [*sortable, AVAILABLE], budget=sources.budget, keep=tally.recent)
    counted = sources.counts[spine.source.name]
    counts = {"NaN taken for null": counted.nan, "rows of the source without a time": counted.null_time}
    early = _own_labels(definition, table)
    return _Rows(table.drop_columns([TS, CREATED]).rename_columns({AVAILABLE: _KNOWN}), tally.dropped, counts, early)


class _Tally:
    """Keeps the rows of a spine that can be learnt from, and counts the others by what they lack."""

    def __init__(self, spine: Spine, label: str, now: int) -> None:
        self.dropped: dict[str, int] = {}
        self._spine = spine
        self._label = label
        self._now = now
        self._newest: int | None = None

    def known(self, found: pa.Table) -> pa.Table:
        """Rows whose label and time are known by now."""
        found = self._keep(found, pc.less_equal(found[AVAILABLE], self._now), "label not known yet")
        found = self._keep(found, pc.is_valid(found[self._label]), "no label")
        found = self._keep(found, pc.is_valid(found[self._spine.time]), f"no {self._spine.time}")
        newest = pc.max(found[AVAILABLE]).as_py()
        if newest is not None:
            self._newest = newest if self._newest is None else max(newest, self._newest)
        return found

    def recent(self, found: pa.Table) -> pa.Table:
        """Of these, when all have been seen, rows within the span before the newest label."""
        newest, last = self._newest, self._spine.last
        if last is None or newest is None:
            return found
        times = found[self._spine.time].cast(pa.int64())
        inside = pc.and_(pc.greater(times, newest - last), pc.less_equal(times, newest))
        return self._keep(found, inside, "outside of the last span")

    def _keep(self, found: pa.Table, mask: pa.ChunkedArray, why: str) -> pa.Table:
        kept = found.filter(mask)
        self.dropped[why] = self.dropped.get(why, 0) + found.num_rows - kept.num_rows
        return kept


def _own_labels(definition: TrainingSet, table: pa.Table) -> int:
    """Rows whose own event a window of the same source can see, label and all; a look-up of the label may see none.

    Raises
    ------
    FutureLeak
        When a feature looks the label up in rows that may be the spine's own.
    """
    spine = definition.spine
    own = [view for view in definition.features.views if view.source.name == spine.source.name]
    looking = [(view, one) for view in own for one in view.lookups if one.column == definition.label]
    if not looking and not any(view.windows for view in own):
        return 0
    looked = folded = 0
    for batch in table.select([spine.time, AVAILABLE, TS]).to_batches():
        times = batch[spine.time].cast(pa.int64())
        visible = pc.less_equal(batch[AVAILABLE], times)
        looked += pc.sum(pc.and_(visible, pc.less_equal(batch[TS], times))).as_py() or 0
        folded += pc.sum(pc.and_(visible, pc.less(batch[TS], times))).as_py() or 0
    if looked and looking:
        view, feature = looking[0]
        raise FutureLeak(
            f"{view.name}.{feature.name} looks up the label {definition.label}, and {looked} rows would see their own",
            where=feature.name,
            fix="use a window, which leaves out the row's own time, or a spine time before the source's",
        )
    return int(folded) if any(view.windows for view in own) else 0


def _split(definition: TrainingSet, joined: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Rows are in order of time, so both parts are slices."""
    if definition.split is None or not joined.num_rows:
        return joined, joined.slice(0, 0)
    times = joined[definition.spine.time]
    cut = times[-1].cast(pa.int64()).as_py() - definition.split.test
    first = sum(pc.sum(pc.less_equal(chunk.cast(pa.int64()), cut)).as_py() or 0 for chunk in times.chunks)
    return joined.slice(0, first), joined.slice(first)


def _overlap(train: pa.Table, test: pa.Table, time: str) -> int:
    first = pc.min(test[time].cast(pa.int64())).as_py()
    return int(pc.sum(pc.greater(train[_KNOWN], first)).as_py() or 0)


def _span(table: pa.Table, time: str) -> tuple[int, int] | tuple[None, None]:
    """The first and the last time of a spine, looked for a piece at a time."""
    pieces = (spine_times(table.slice(start, _PIECE), time) for start in range(0, table.num_rows, _PIECE))
    ends = [(int(times.min()), int(times.max())) for times in pieces]
    return (min(low for low, _ in ends), max(high for _, high in ends)) if ends else (None, None)


def _report(
    service: ServiceDefinition, found: Retrieved, span: tuple[int, int] | tuple[None, None], contents: Mapping[str, Digest]
) -> Report:
    rows = found.table.num_rows
    features = tuple(FeatureReport(one.name, one.origin, rows, rows - found.coverage[one.name]) for one in service.outputs)
    of = {view.name: view for view in service.views}
    views = tuple(
        ViewReport(
            one.view,
            one.prefix,
            of[one.view].source.name,
            contents[one.view],
            rows=one.rows,
            unknown=one.unknown,
            too_old=one.too_old,
            ties=one.ambiguous,
            null_keys=one.null_keys,
            late=one.late,
            delays=one.delays,
        )
        for one in found.views
    )
    leaks = tuple(dict.fromkeys(leak for one in found.views if (leak := _optimistic(of[one.view], one.delays)) is not None))
    counts = {f"{one.transform} failed, first with {one.first_error}": one.errors for one in found.transforms if one.errors}
    return Report(rows, features, views, counts=counts, leaks=leaks, start=span[0], end=span[1])


def _rows_key(view: FeatureView, sources: Sources, snapshot: Snapshot | None) -> str | None:
    """What the digest of a source's rows, as a view sees them, is remembered under; ``None``: it is not."""
    if snapshot is None:
        data = sources.stamp(view.source)
        return None if data is None else f"rows:{digest([view.source.version, list(view_columns(view)), data])}"
    partitions = [file.path for file in snapshot.files if "=" in file.path]  # a partition's column is in its path
    return f"rows:{digest([view.source.version, list(view_columns(view)), snapshot.content, partitions])}"


def _recalled(sources: Sources, key: str | None) -> Digest | None:
    known = None if key is None else sources.recall(key)
    return None if known is None else Digest(known.decode())


def _optimistic(view: FeatureView, delays: tuple[int, int] | None) -> str | None:
    """Whether rows were made later than the source says that they are known."""
    source = view.source
    if source.available != "event" or source.created is None or delays is None or delays[1] <= (source.after or 0):
        return None
    half, most = (delay_text(delay) for delay in delays)
    said = "at once" if source.after is None else f"after {format_duration(source.after)}"
    return (
        f"PossibleLeak: source {source.name} says that rows are known {said}; by {source.created!r} half of them were there "
        f"after {half}, and 99 % after {most}: declare available={source.created!r} or after="
    )


def _early(definition: TrainingSet, rows: int) -> tuple[str, ...]:
    if not rows:
        return ()
    spine = definition.spine
    return (f"{rows} rows end before their {spine.time}, so windows over {spine.source.name} see their own label",)


def _suspects(joined: pa.Table, service: ServiceDefinition, label: str) -> tuple[str, ...]:
    """Features that say almost exactly what the label is: nobody forbids them, and most often they are leaks."""
    kinds = (pa.types.is_integer, pa.types.is_floating)
    if joined.num_rows < 50 or not any(test(joined.schema.field(label).type) for test in kinds):
        return ()
    truth = joined[label].cast(pa.float64()).to_numpy()
    found = []
    for name in service.names:
        if not any(test(joined.schema.field(name).type) for test in kinds):
            continue
        values = joined[name].cast(pa.float64()).to_numpy()
        both = np.isfinite(values) & np.isfinite(truth)
        if both.sum() < 50 or values[both].std() == 0 or truth[both].std() == 0:
            continue
        correlation = float(np.corrcoef(values[both], truth[both])[0, 1])
        if abs(correlation) > 0.999:
            found.append(f"{name} has a correlation of {correlation:.4f} with the label")
    return tuple(found)
