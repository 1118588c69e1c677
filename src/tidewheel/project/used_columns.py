"""Which columns of its source a node uses, so that an edit of the others does not reach it. Pure.

What is told must hold all columns that can have a say, the system's own apart (time, created, event id, availability, what
drops rows: those count for every reader, see :mod:`tidewheel.sources.column_basis`). Who is not named here uses all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from tidewheel.datasets.definition import TrainingSet
from tidewheel.features.definition import FeatureView
from tidewheel.ledger.definition import NodeId, node_id
from tidewheel.sources.definition import Source
from tidewheel.sources.sql import DIALECT

_LOOKING_FURTHER = (exp.Star, exp.Columns, exp.PositionalColumn, exp.Query)


@dataclass(frozen=True, slots=True)
class UsedColumns:
    """The columns of a source that a node uses. ``source`` is the source as the node reads it, with what it leaves out itself.

    Examples
    --------
    >>> from tidewheel.sources.definition import source
    >>> UsedColumns(source("trips", "t.csv", time="ts"), ("uid",)).node
    'source:trips'
    """

    source: Source
    columns: tuple[str, ...]

    @property
    def node(self) -> NodeId:
        """The source's node."""
        return node_id("source", self.source.name)


def used_columns(definition: object) -> UsedColumns | None:
    """What a definition uses of the source that it reads by column; ``None`` when it reads none, or takes all of it.

    Examples
    --------
    >>> from tidewheel.features.definition import request, service
    >>> from tidewheel.datasets.definition import spine, training_set
    >>> from tidewheel.sources.definition import source
    >>> rows = spine(source("trips", "t.csv", time="ts"), time="asked", where="fare > 0")
    >>> used_columns(training_set("rides", spine=rows, label="y", features=service("inputs", request(miles=float)))).columns
    ('asked', 'miles', 'y', 'fare')
    >>> used_columns("a model") is None
    True
    """
    if isinstance(definition, FeatureView):
        return UsedColumns(definition.source, definition.columns)
    if isinstance(definition, TrainingSet):
        spine, service = definition.spine, definition.features
        conditions = _columns_of(spine.where)
        if conditions is None:
            return None
        keys, asked = [key.name for key in service.keys], [one.name for one in service.request]
        names = (spine.time, *keys, *asked, *spine.columns, definition.label, *conditions)
        return UsedColumns(spine.source, tuple(dict.fromkeys(names)))
    return None


def _columns_of(where: str | None) -> tuple[str, ...] | None:
    """Every name in a condition; ``None`` where it may look at more than it names."""
    if where is None:
        return ()
    try:
        tree = sqlglot.parse_one(where, read=DIALECT)
    except SqlglotError:
        return None
    if any(True for _ in tree.find_all(*_LOOKING_FURTHER)):
        return None
    return tuple(dict.fromkeys(one.name for one in tree.find_all(exp.Identifier)))
