"""The catalog: what an environment's nodes are called, who owns them, what columns they have, and who uses what.

It is written when a plan is applied, so it is searched without loading a project's code. Values in, values out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec


class Entry(msgspec.Struct, frozen=True):
    """One node as the catalog knows it.

    Parameters
    ----------
    columns
        Name and type; the type is empty where it is not known.
    uses
        Nodes that it needs directly.
    where
        ``file:line`` of the declaration.
    """

    node: str
    owner: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    columns: tuple[tuple[str, str], ...] = ()
    uses: tuple[str, ...] = ()
    where: str = ""

    @property
    def kind(self) -> str:
        """The part of the id before the colon."""
        return self.node.partition(":")[0]


class Hit(msgspec.Struct, frozen=True):
    """An entry that was found: which of its columns matched, and everything upstream and downstream of it, nearest first."""

    entry: Entry
    columns: tuple[str, ...]
    upstream: tuple[str, ...]
    downstream: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "node": self.entry.node,
            "kind": self.entry.kind,
            "owner": self.entry.owner,
            "description": self.entry.description,
            "tags": list(self.entry.tags),
            "where": self.entry.where,
            "columns": dict(self.entry.columns),
            "matched": list(self.columns),
            "upstream": list(self.upstream),
            "downstream": list(self.downstream),
        }


class Wanted(msgspec.Struct, frozen=True):
    """What to search for; every part that is given must match, whatever its case.

    Parameters
    ----------
    text
        Part of the id, owner, description, a tag or a column's name.
    column
        Part of a column's name.
    """

    text: str = ""
    owner: str | None = None
    tag: str | None = None
    column: str | None = None
    kind: str | None = None


def search(entries: Sequence[Entry], wanted: Wanted) -> list[Hit]:
    """Entries that match: those whose name does come first, then by id.

    Examples
    --------
    >>> trips = Entry("source:trips", owner="ann", columns=(("fare", "float64"),))
    >>> pace = Entry("view:Pace", description="how dear a trip is", uses=("source:trips",))
    >>> [(hit.entry.node, hit.columns, hit.downstream) for hit in search([trips, pace], Wanted("FARE"))]
    [('source:trips', ('fare',), ('view:Pace',))]
    >>> [hit.entry.node for hit in search([trips, pace], Wanted("trip"))]
    ['source:trips', 'view:Pace']
    """
    text = wanted.text.lower()
    up = {entry.node: entry.uses for entry in entries}
    down: dict[str, list[str]] = {}
    for entry in entries:
        for one in entry.uses:
            down.setdefault(one, []).append(entry.node)
    found = []
    for entry in entries:
        part = (wanted.column or wanted.text).lower()
        columns = tuple(name for name, _ in entry.columns if part and part in name.lower())
        if _fits(entry, wanted) and (not wanted.column or columns) and (not text or text in _words(entry)):
            found.append(Hit(entry, columns, tuple(_reach(entry.node, up)), tuple(_reach(entry.node, down))))
    return sorted(found, key=lambda hit: (text not in hit.entry.node.lower(), hit.entry.node))


def _fits(entry: Entry, wanted: Wanted) -> bool:
    return (
        (wanted.owner is None or wanted.owner.lower() in entry.owner.lower())
        and (wanted.tag is None or wanted.tag.lower() in (tag.lower() for tag in entry.tags))
        and (wanted.kind is None or wanted.kind == entry.kind)
    )


def _words(entry: Entry) -> str:
    return "\n".join([entry.node, entry.owner, entry.description, *entry.tags, *(name for name, _ in entry.columns)]).lower()


def _reach(node: str, edges: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Everything that can be reached, breadth first."""
    seen = {node}
    frontier: list[str] = [node]
    while frontier:
        reached = [far for near in frontier for far in sorted(edges.get(near, ())) if far not in seen]
        frontier = list(dict.fromkeys(reached))
        seen.update(frontier)
        yield from frontier


def memory_key(environment: str) -> str:
    """The key under which the ledger remembers an environment's catalog."""
    return f"catalog:{environment}"


def encode(entries: Sequence[Entry]) -> bytes:
    """The catalog as JSON.

    Examples
    --------
    >>> decode(encode([Entry("source:trips")]))[0].node
    'source:trips'
    """
    return msgspec.json.encode(list(entries))


def decode(data: bytes) -> list[Entry]:
    """Read what :func:`encode` wrote."""
    return msgspec.json.decode(data, type=list[Entry])
