"""Sample real rows for a transform, from the training sets that it is part of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tidewheel.datasets.handle import Dataset
from tidewheel.digest import Digest
from tidewheel.errors import Corrupt, NotFound
from tidewheel.features.definition import Transform
from tidewheel.ledger.definition import node_id
from tidewheel.project.graph import Graph
from tidewheel.project.open import Workspace

MOST = 1_000
"""Rows of a sample, spread evenly over the time of the training set."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows as a transform takes them, and the content of the training set that they are from."""

    content: Digest
    rows: Mapping[str, Sequence[object]]


def find_sample(graph: Graph, workspace: Workspace, transform: Transform) -> Sample | None:
    """Rows of the newest build of a training set that has all inputs of a transform; ``None`` before there is one."""
    for node in graph.downstream(node_id("transform", transform.name)):
        if node.startswith("training_set:"):
            for build in workspace.ledger.list_builds(node, limit=1):
                try:
                    rows = rows_of(Dataset.from_json(workspace.artifacts, build.output), transform)
                except (NotFound, Corrupt):
                    continue  # it is lost, and built again by who needs it
                if rows is not None:
                    return Sample(build.content, rows)
    return None


def rows_of(dataset: Dataset, transform: Transform) -> Mapping[str, Sequence[object]] | None:
    """The inputs of a transform in some rows of a training set; ``None`` when it does not have them all, of their types."""
    split = dataset.train
    kinds = {one.name: one.type.arrow() for one in transform.inputs}
    schema = split.table.schema
    if not split.num_rows or any(name not in schema.names or schema.field(name).type != kind for name, kind in kinds.items()):
        return None
    places = np.unique(np.linspace(0, split.num_rows - 1, min(MOST, split.num_rows)).astype(np.int64))
    table = split.arrow(list(kinds)).take(pa.array(places))
    return {name: table[name].to_pylist() for name in kinds}
