"""Environments: named sets of pointers from nodes to recipes, their moves, and the edges of lineage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tidewheel.clock import Micros
from tidewheel.digest import Digest
from tidewheel.ledger.definition import NodeId

Changes = Mapping[NodeId, tuple[Digest | None, Digest | None]]
"""Per node the pointer before and after; ``None`` where there was none."""


@dataclass(frozen=True, slots=True)
class Environment:
    """An environment as it is: version 0 and empty before its first move."""

    name: str
    version: int
    pointers: Mapping[NodeId, Digest]


@dataclass(frozen=True, slots=True)
class Move:
    """One step of an environment's history; ``version`` is what the move made."""

    version: int
    at: Micros
    actor: str
    reason: str
    changes: Changes


@dataclass(frozen=True, slots=True)
class Edge:
    """One node in a lineage: what it is, and how many steps away.

    Parameters
    ----------
    content
        What the other side used of it (upstream), or what it became (downstream; ``None`` before it is built).
    recipe
        ``None`` when the ledger does not know which recipe made that content.
    """

    node: NodeId
    recipe: Digest | None
    content: Digest | None
    depth: int


def is_node(pointer: NodeId) -> bool:
    """Whether a pointer is that of a node, and not of something beside it, such as its meta.

    Examples
    --------
    >>> is_node(NodeId("view:a/b")), is_node(NodeId("meta/view:a"))
    (True, False)
    """
    return "/" not in pointer.partition(":")[0]


def changes(old: Mapping[NodeId, Digest], merge: Mapping[NodeId, Digest | None]) -> Changes:
    """What merging pointers changes; nodes that stay as they are are left out.

    Examples
    --------
    >>> from tidewheel.digest import digest
    >>> from tidewheel.ledger.definition import node_id
    >>> a, b = node_id("view", "a"), node_id("view", "b")
    >>> changes({a: digest(1), b: digest(2)}, {a: digest(1), b: None}) == {b: (digest(2), None)}
    True
    """
    return {node: (old.get(node), new) for node, new in merge.items() if old.get(node) != new}


def undo(pointers: Mapping[NodeId, Digest], moves: Iterable[Changes]) -> dict[NodeId, Digest]:
    """Pointers as they were before the moves, which are given newest first."""
    before = dict(pointers)
    for move in moves:
        for node, (old, _) in move.items():
            if old is None:
                before.pop(node, None)
            else:
                before[node] = old
    return before
