"""Builds: what came of a recipe."""

from __future__ import annotations

from dataclasses import dataclass

from tidewheel.clock import Micros
from tidewheel.digest import Digest
from tidewheel.fingerprint.reads import Read
from tidewheel.ledger.definition import NodeId


@dataclass(frozen=True, slots=True)
class Build:
    """One ledger record: recipe to content.

    Parameters
    ----------
    content
        Digest of what was produced.
    output
        What the builder needs in order to open the result again; JSON.
    trace
        What was read while building.
    id
        Unique name of this record; given by whoever built.
    cpu_seconds
        Of all processors together, as far as they were measured.
    cost
        In the project's currency, by the rates of the day; ``None`` where there were none.

    Examples
    --------
    >>> from tidewheel.digest import digest
    >>> from tidewheel.ledger.definition import node_id
    >>> view = node_id("view", "ZonePace")
    >>> Build(digest("recipe"), view, digest("content"), b"{}", (), Micros(0), Micros(2_000_000), "ann", "b1").seconds
    2.0
    """

    recipe: Digest
    node: NodeId
    content: Digest
    output: bytes
    trace: tuple[Read, ...]
    started_at: Micros
    ended_at: Micros
    actor: str
    id: str
    cpu_seconds: float | None = None
    cost: float | None = None

    @property
    def seconds(self) -> float:
        """How long the build took."""
        return (self.ended_at - self.started_at) / 1e6
