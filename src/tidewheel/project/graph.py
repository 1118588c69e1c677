"""The graph of declarations: unique names, known upstreams, no circle, one order."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from tidewheel.errors import AlreadyExists, CyclicGraph, NotFound, near_miss
from tidewheel.ledger.definition import Declaration, NodeId


@dataclass(frozen=True, slots=True)
class Graph:
    """Declarations in topological order: every node after its upstreams, ties by id.

    Examples
    --------
    >>> from tidewheel.ledger.definition import node_id
    >>> a = Declaration(node_id("source", "a"), None, "f.py:1")
    >>> b = Declaration(node_id("view", "b"), None, "f.py:2", upstream=(a.id,))
    >>> graph = Graph.of([b, a])
    >>> list(graph.nodes), graph.downstream(a.id)
    (['source:a', 'view:b'], ('view:b',))
    """

    nodes: Mapping[NodeId, Declaration]
    _users: dict[NodeId, list[NodeId]] = field(init=False, repr=False, compare=False)
    _places: dict[NodeId, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Of a thousand nodes that change, each is asked for what hangs on it: looking at all others each time is a million.
        users: dict[NodeId, list[NodeId]] = {node: [] for node in self.nodes}
        for node, declaration in self.nodes.items():
            for upstream in declaration.upstream:
                users[upstream].append(node)
        object.__setattr__(self, "_users", users)
        object.__setattr__(self, "_places", {node: place for place, node in enumerate(self.nodes)})

    @classmethod
    def of(cls, declarations: Iterable[Declaration]) -> Graph:
        """Check and order declarations.

        Raises
        ------
        AlreadyExists
            Two declarations have one id; both places are named.
        NotFound
            A declaration names an upstream that nobody declares.
        CyclicGraph
            Declarations need each other in a circle.
        """
        found: dict[NodeId, Declaration] = {}
        for declaration in declarations:
            first = found.get(declaration.id)
            if first is not None and first.definition is not declaration.definition:
                raise AlreadyExists(
                    f"{declaration.id} is declared twice",
                    where=f"{first.where} and {declaration.where}",
                    fix="rename one of them",
                )
            found[declaration.id] = declaration
        for declaration in found.values():
            for upstream in declaration.upstream:
                if upstream not in found:
                    raise NotFound(
                        f"{declaration.id} needs {upstream}, which nothing declares",
                        where=declaration.where,
                        fix=near_miss(upstream, found),
                    )
        return cls({node: found[node] for node in _order(found)})

    def downstream(self, *nodes: NodeId) -> tuple[NodeId, ...]:
        """Everything that depends on any of the nodes, directly or not, in order; without the nodes themselves."""
        return self._reached(nodes, self._users)

    def upstream(self, *nodes: NodeId) -> tuple[NodeId, ...]:
        """Everything that the nodes depend on, directly or not, in order; without the nodes themselves."""
        return self._reached(nodes, {node: one.upstream for node, one in self.nodes.items()})

    def _reached(self, nodes: Collection[NodeId], edges: Mapping[NodeId, Collection[NodeId]]) -> tuple[NodeId, ...]:
        reached, waiting = set(nodes), list(nodes)
        while waiting:
            for node in edges.get(waiting.pop(), ()):
                if node not in reached:
                    reached.add(node)
                    waiting.append(node)
        return tuple(sorted(reached.difference(nodes), key=self._places.__getitem__))

    def find(self, name: str, *, kinds: Collection[str] | None = None) -> Declaration:
        """The node of that id, or of that bare name.

        Where several kinds have the name, a model is meant before the deployment, the gate and the monitor that bear its name.

        Parameters
        ----------
        kinds
            What the caller can do something with: where several kinds have the name, the others are not meant.

        Raises
        ------
        NotFound
            No node, or more than one, answers to the name.
        """
        exact = self.nodes.get(NodeId(name))
        if exact is not None:
            return exact
        matches = [declaration for declaration in self.nodes.values() if declaration.name == name]
        if kinds is not None and len(matches) > 1:
            matches = [declaration for declaration in matches if declaration.kind in kinds] or matches
        if len(matches) > 1 and (kinds is None or "model" in kinds):
            rest = [declaration for declaration in matches if declaration.kind not in _OF_A_MODEL]
            matches = rest if [declaration.kind for declaration in rest] == ["model"] else matches
        if len(matches) == 1:
            return matches[0]
        if matches:
            listed = [declaration.id for declaration in matches]
            raise NotFound(f"{name!r} could be {', '.join(listed)}", where=name, fix=f"write {' or '.join(listed)}")
        names = [declaration.name for declaration in self.nodes.values()]
        raise NotFound(f"nothing is called {name!r}", where=name, fix=near_miss(name, [*names, *self.nodes]))


_OF_A_MODEL = frozenset({"deployment", "gate", "monitor"})


def _order(found: Mapping[NodeId, Declaration]) -> list[NodeId]:
    waiting = {node: len(set(declaration.upstream)) for node, declaration in found.items()}
    users: dict[NodeId, list[NodeId]] = {node: [] for node in found}
    for node, declaration in found.items():
        for upstream in set(declaration.upstream):
            users[upstream].append(node)
    ready = [node for node, count in waiting.items() if count == 0]
    heapq.heapify(ready)
    order: list[NodeId] = []
    while ready:
        node = heapq.heappop(ready)
        order.append(node)
        for user in users[node]:
            waiting[user] -= 1
            if waiting[user] == 0:
                heapq.heappush(ready, user)
    if len(order) < len(found):
        circle = sorted(node for node in found if node not in set(order))
        raise CyclicGraph(
            "these need each other in a circle: " + ", ".join(circle),
            where=found[circle[0]].where,
            fix="remove one of the references",
        )
    return order
