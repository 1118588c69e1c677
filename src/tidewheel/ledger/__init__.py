"""The ledger: nodes, recipes, builds, environments and lineage; the one place where facts live.

A **recipe** says what decides a node's result; a **build** says what came of it, once; an **environment** is a set of
pointers from nodes to recipes, whose history is only ever added to. Caching, resuming, lineage, promotion and rollback are
all readings of these three.

Examples
--------
>>> from tidewheel.ledger import node_id
>>> node_id("view", "ZonePace")
'view:ZonePace'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidewheel.ledger.build import Build
from tidewheel.ledger.definition import Declaration, Function, NodeId, collecting, declare, node_id, place
from tidewheel.ledger.environment import Edge, Environment, Move

if TYPE_CHECKING:
    from tidewheel.ledger.record import Ledger as Ledger

__all__ = [
    "Build",
    "Declaration",
    "Edge",
    "Environment",
    "Function",
    "Ledger",
    "Move",
    "NodeId",
    "collecting",
    "declare",
    "node_id",
    "place",
]


def __getattr__(name: str) -> object:
    if name == "Ledger":
        from tidewheel.ledger.record import Ledger

        return Ledger
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
