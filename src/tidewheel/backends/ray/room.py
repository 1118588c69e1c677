"""Whether a cluster can hold a job, and why one waits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import ray

_GROUP = "ray.io/node-group"
"""Label of nodes that were started by an autoscaler."""


@dataclass(frozen=True, slots=True)
class Room:
    """What the nodes of a cluster have, in use or not.

    Parameters
    ----------
    nodes
        Processors, and bytes that may be asked for, of each.
    grows
        Whether an autoscaler may start others.

    Examples
    --------
    >>> room = Room(((2.0, 4 << 30), (1.0, 16 << 30)), grows=False)
    >>> room.holds(2, None), room.holds(2, 8 << 30)
    (True, False)
    >>> room.lack(2, 8 << 30)
    'it asks for 2 processors with 8 GiB; the nodes of the cluster have 2 processors with 4 GiB, 1 processors with 16 GiB'
    """

    nodes: tuple[tuple[float, float], ...]
    grows: bool

    def holds(self, cpus: float, memory_bytes: int | None) -> bool:
        """Whether one node has as much as a job asks for."""
        return any(has >= cpus and memory >= (memory_bytes or 0) for has, memory in self.nodes)

    def lack(self, cpus: float, memory_bytes: int | None) -> str:
        """Why it does not hold a job."""
        each = [_amount(has, None if memory_bytes is None else memory) for has, memory in self.nodes]
        have = ", ".join(dict.fromkeys(each)) or "ended"
        return f"it asks for {_amount(cpus, memory_bytes)}; the nodes of the cluster have {have}"


def measure_room() -> Room:
    """The cluster as it is now."""
    found = cast("Callable[[], Sequence[dict[str, Any]]]", ray.nodes)()
    alive = [node for node in found if node["Alive"]]
    nodes = tuple((float(node["Resources"].get("CPU", 0)), float(node["Resources"].get("memory", 0))) for node in alive)
    return Room(nodes, grows=any(_GROUP in node.get("Labels", {}) for node in alive))


def _amount(cpus: float, memory_bytes: float | None) -> str:
    memory = "" if memory_bytes is None else f" with {memory_bytes / 2**30:.4g} GiB"
    return f"{cpus:g} processors{memory}"
