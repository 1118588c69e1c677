"""Measure a change: new values beside the old ones, in a sample of the rows of the training sets that an environment points at.

The old values are those that were frozen when the training set was built: code of before is never run. The new ones are
computed from what the same rows hold. What a sample shows says how much changes; that nothing changes it cannot show, so it
stops no build: that is left to recipes and to the content of what is built.
"""

from __future__ import annotations

import math
import struct
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa

from tidewheel.datasets.build import join
from tidewheel.datasets.definition import TrainingSet
from tidewheel.datasets.handle import Dataset
from tidewheel.errors import TidewheelError
from tidewheel.features.compute_transforms import Computer
from tidewheel.features.definition import Transform
from tidewheel.ledger.definition import NodeId, node_id
from tidewheel.monitors.metrics.psi import psi
from tidewheel.monitors.profile import Bins
from tidewheel.project.choose_rows import choose_rows, read_chosen
from tidewheel.project.column_change import Measured
from tidewheel.project.load import Project
from tidewheel.project.open import Workspace
from tidewheel.project.plan import Change, Plan
from tidewheel.sources.snapshot import Snapshot

MOST = 1_000
"""Rows of a sample."""

LOOKED_THROUGH = 1_000_000
"""Rows of a training set that a sample is drawn from, most: the first ones."""

SECONDS = 1.0
"""After so long the rows that are done are the sample."""

_PIECE = 100


def measure_plan(
    project: Project,
    workspace: Workspace,
    plan: Plan,
    *,
    snapshots: Mapping[NodeId, Snapshot],
    thorough: bool,
) -> Plan:
    """The plan with what was measured of the columns that change.

    Parameters
    ----------
    snapshots
        Of the sources, as they are now.
    thorough
        Measure what is computed from sources too, which are read for it; otherwise transforms alone.
    """
    moved = {change.node: change for change in plan.changes if any(one.what == "changed" for one in change.columns)}
    wanted = [node for node in moved if thorough or node.startswith("transform:")]
    if not wanted:
        return plan
    pointers = workspace.ledger.environment(plan.environment).pointers
    found: dict[NodeId, dict[str, Measured]] = {}
    for node in (*wanted, *project.graph.downstream(*wanted)):
        definition, pointer = project.graph.nodes[node].definition, pointers.get(node)
        if not isinstance(definition, TrainingSet) or pointer is None:
            continue
        build = workspace.ledger.find_build(pointer)
        try:
            frozen = None if build is None else Dataset.from_json(workspace.artifacts, build.output)
            sample = None if frozen is None else _sample(frozen, definition)
            if sample is None:
                continue
            if thorough:
                new = _joined(definition, sample, workspace, snapshots)
            else:
                new = _computed(definition.features.transforms, sample)
        except TidewheelError:
            continue  # what is wrong with it is told where it is built
        told = {name: compare_columns(sample[name], new[name]) for name in new if name in sample.column_names}
        _tell(found, node, definition, told)
    changes = tuple(_with(change, found.get(change.node, {})) if change.node in moved else change for change in plan.changes)
    return replace(plan, changes=changes)


def compare_columns(old: pa.ChunkedArray, new: pa.ChunkedArray) -> Measured:
    """How far two columns of one type are apart, row by row and as distributions.

    Examples
    --------
    >>> found = compare_columns(pa.chunked_array([[1, 2, None, 4]]), pa.chunked_array([[1, 3, None]]))
    >>> found.rows, found.changed, found.nulls_before, found.nulls_after
    (3, 1, 1, 1)
    """
    rows = len(new)
    old = old.slice(0, rows)
    pairs = zip(old.to_pylist(), new.to_pylist(), strict=True)
    changed = sum(not _same(one, other) for one, other in pairs)
    plain = not pa.types.is_nested(old.type) and old.null_count < rows and new.null_count < rows
    apart = None
    if plain:
        bins = Bins.of(old)
        apart = psi(bins.grouped(bins.count(old)), bins.grouped(bins.count(new)))
    return Measured(rows, changed, changed / rows if rows else 0.0, apart, old.null_count, new.null_count)


def _same(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return (math.isnan(one) and math.isnan(other)) or struct.pack("d", one) == struct.pack("d", other)
    return bool(one == other)


def _sample(frozen: Dataset, definition: TrainingSet) -> pa.Table | None:
    """Rows to train on, chosen by their keys and time."""
    table = frozen.train.table
    names = table.schema.names
    keys = [key.name for key in definition.features.keys if key.name in names]
    if not table.num_rows or frozen.train.time not in names:
        return None
    told = pa.Table.from_batches(_first(table.batches([*keys, frozen.train.time])))
    return read_chosen(_first(table.batches()), choose_rows(told, MOST))


def _first(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    seen = 0
    for batch in batches:
        if seen >= LOOKED_THROUGH:
            return
        yield batch
        seen += batch.num_rows


def _computed(transforms: Sequence[Transform], sample: pa.Table) -> dict[str, pa.ChunkedArray]:
    """The transforms as they are now, over what the rows held, until the time is over."""
    quiet = [replace(one, on_error="null") for one in transforms]
    named = {one.name for one in transforms}
    given = {name: sample[name].combine_chunks() for name in sample.column_names if name not in named}
    made: dict[str, list[pa.Array]] = {one.name: [] for one in transforms}
    started = time.perf_counter()
    with Computer(quiet, rows=sample.num_rows) as computer:
        for start in range(0, sample.num_rows, _PIECE):
            count = min(_PIECE, sample.num_rows - start)
            piece = computer.run({name: column.slice(start, count) for name, column in given.items()}, count, first=start)
            for name, column in piece.items():
                made[name].append(column)
            if time.perf_counter() - started > SECONDS:
                break
    return {name: pa.chunked_array(pieces) for name, pieces in made.items() if pieces}


def _joined(
    definition: TrainingSet, sample: pa.Table, workspace: Workspace, snapshots: Mapping[NodeId, Snapshot]
) -> dict[str, pa.ChunkedArray]:
    """All features as they would be now, at the sample's keys and times."""
    service, moment = definition.features, definition.spine.time
    names = [moment, *(key.name for key in service.keys), *(one.name for one in service.request)]
    rows = sample.select([name for name in dict.fromkeys(names) if name in sample.column_names])
    taken = {node.partition(":")[2]: snapshot for node, snapshot in snapshots.items()}
    joined, _ = join(rows, service, time=moment, sources=workspace.sources, snapshots=taken)
    return {name: joined[name] for name in service.names if joined[name].type == _type(sample, name)}


def _type(table: pa.Table, name: str) -> pa.DataType | None:
    return table.schema.field(name).type if name in table.column_names else None


def _tell(
    found: dict[NodeId, dict[str, Measured]], node: NodeId, definition: TrainingSet, told: Mapping[str, Measured]
) -> None:
    """Note it for the training set, its service, its transforms and its views; who was told of before stays."""
    service = definition.features
    for each in (node, node_id("service", service.name)):
        found.setdefault(each, dict(told))
    for one in service.transforms:
        if one.name in told:
            found.setdefault(node_id("transform", one.name), {one.name: told[one.name]})
    for use in service.uses:
        plain = {feature.name: told[name] for name, feature in zip(use.names, use.view.features, strict=True) if name in told}
        if plain:
            found.setdefault(node_id("view", use.view.name), plain)


def _with(change: Change, told: Mapping[str, Measured]) -> Change:
    columns = tuple(replace(one, measured=told.get(one.name)) if one.what == "changed" else one for one in change.columns)
    return replace(change, columns=columns)
