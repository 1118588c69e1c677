"""Declarations: what a project's files say exists, before anything is built.

A definition (a source, a feature view, a model ...) is an ordinary frozen value. Creating one calls :func:`declare`, which is
heard only while somebody collects: loading a project does, an import elsewhere does not. So definitions have no
side effect on import, and one without a name (``tw.monitor(...)`` as a bare line) is not lost.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import NewType

NodeId = NewType("NodeId", str)
"""``kind:name``, such as ``view:ZonePace``."""

Function = Callable[..., object]

_PACKAGE = str(Path(__file__).resolve().parent.parent)


def node_id(kind: str, name: str) -> NodeId:
    """The id of a node.

    Examples
    --------
    >>> node_id("view", "ZonePace")
    'view:ZonePace'
    """
    return NodeId(f"{kind}:{name}")


@dataclass(frozen=True, slots=True)
class Declaration:
    """One node as declared.

    Parameters
    ----------
    id
        ``kind:name``; unique in a project.
    definition
        The frozen definition itself.
    parameters
        What is part of the recipe: plain values that :func:`tidewheel.digest.encode` takes.
    functions
        Code that is part of the recipe, by fingerprint.
    upstream
        Nodes whose content is part of the recipe.
    meta
        What never causes a rebuild: owner, description, tags, schedule, resources.
    where
        ``file:line`` of the declaration.
    """

    id: NodeId
    definition: object
    where: str
    parameters: Mapping[str, object] = field(default_factory=dict)
    functions: tuple[Function, ...] = ()
    upstream: tuple[NodeId, ...] = ()
    meta: Mapping[str, object] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The part of the id before the colon."""
        return self.id.partition(":")[0]

    @property
    def name(self) -> str:
        """The part of the id after the colon."""
        return self.id.partition(":")[2]


_collector: ContextVar[list[Declaration] | None] = ContextVar("tidewheel_declarations", default=None)


def declare(declaration: Declaration) -> None:
    """Tell whoever collects that a node was declared; nobody else."""
    collected = _collector.get()
    if collected is not None:
        collected.append(declaration)


@contextmanager
def collecting() -> Iterator[list[Declaration]]:
    """Collect what is declared inside the block, in order.

    Examples
    --------
    >>> with collecting() as declared:
    ...     declare(Declaration(node_id("source", "trips"), None, "x.py:1"))
    >>> [d.id for d in declared]
    ['source:trips']
    """
    collected: list[Declaration] = []
    token = _collector.set(collected)
    try:
        yield collected
    finally:
        _collector.reset(token)


def place() -> str:
    """``file:line`` of the first caller outside of this package."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
