"""Find the builds that nothing points at, and retire them: the first half of garbage collection."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection

from tidewheel.clock import DAY, Micros
from tidewheel.digest import PREFIX, Digest
from tidewheel.ledger.definition import NodeId
from tidewheel.ledger.reachability import find_digests, find_far_places, reach
from tidewheel.ledger.tables import builds, moves, pointers, recipe_upstreams, trails

GARBAGE = "garbage:"
"""Beginning of the keys under which garbage collection remembers what it found: they point at nothing."""

FACE = "face-"
"""Beginning of the keys under which what recipes show is remembered: it goes with them, and does not keep them."""

_FOLLOWED = {
    "alembic_version", "audit_trail", "builds", "environments", "moves", "nodes", "pointers",
    "recipe_nodes", "recipe_upstreams", "recipes", "trails",
}  # fmt: skip
"""Tables that do not keep by naming: either they are followed from what does, or they only tell of what was."""

_BATCH = 5_000
_MONTH = Micros(30 * DAY)


@dataclass(frozen=True, slots=True)
class Retention:
    """What stays though no pointer reaches it.

    Parameters
    ----------
    moves
        The last moves of each environment to which one can go back.
    span
        Moves, builds and trails that are younger stay whatever their number.
    """

    moves: int = 20
    span: Micros = _MONTH


@dataclass(frozen=True, slots=True)
class Unreached:
    """A build that nothing points at; ``digests`` are what its output names."""

    id: str
    node: NodeId
    recipe: Digest
    ended_at: Micros
    digests: frozenset[str]


@dataclass(frozen=True, slots=True)
class Marked:
    """Every digest that is reached, be it of a recipe, a content or a blob, and the builds that are not."""

    reached: frozenset[str]
    unreached: tuple[Unreached, ...]


def mark(connection: Connection, kept: Retention, *, now: Micros, read: Callable[[str], bytes | None]) -> Marked:
    """Find what is reached, in one state of the database.

    It begins at pointers and their history as far as it is kept, at builds that are young, and at every digest that a row of
    any other noun names (versions, runs, routes, monitors, ...), whatever tables there are: a noun that is added later is safe
    without a word here. From a recipe it goes on to its build and to what it was built from, and along its trail.

    Parameters
    ----------
    read
        The bytes of a blob that names further digests; ``None`` when it is gone.
    """
    graph = _Graph(read)
    young: list[str] = []
    found: list[Unreached] = []
    columns = [builds.c[name] for name in ("id", "node", "recipe", "content", "output", "ended_at")]
    for row in connection.execute(sa.select(*columns).where(builds.c.live.is_not(None))):
        output = bytes(row.output)
        named = frozenset(find_digests(output))
        graph.far.update(find_far_places(output))
        graph.lead(row.recipe, [row.content, *named])
        graph.lead(row.content, [row.recipe])  # whoever was built from a content keeps how it came to be
        if row.ended_at >= now - kept.span:
            young.append(row.recipe)
        found.append(Unreached(row.id, NodeId(row.node), Digest(row.recipe), Micros(row.ended_at), named))
    for upstream in connection.execute(sa.select(recipe_upstreams.c.recipe, recipe_upstreams.c.content)):
        graph.lead(upstream.recipe, [upstream.content])
    for step in connection.execute(sa.select(trails.c.first, trails.c.recipe)):
        trail = f"trail:{step.first}"  # all of it or none: to begin in the middle would help nobody
        graph.lead(trail, [step.recipe])
        graph.lead(step.recipe, [trail])
    roots = [*young, *_pointed(connection, kept, now=now), *_named(connection)]
    reached = frozenset(reach(roots, graph.follow))
    return Marked(reached, tuple(one for one in found if one.recipe not in reached))


def retire(connection: Connection, unreached: Iterable[Unreached], *, actor: str, at: Micros) -> None:
    """Stop answering with builds that nothing points at; the records stay. Trails of which nothing is left go."""
    note = json.dumps({"actor": actor, "reason": "nothing points at it", "at": at})
    for batch in _batches([one.recipe for one in unreached]):
        connection.execute(builds.update().where(builds.c.live.in_(batch)).values(live=None, retired=note))
    living = sa.select(trails.c.first).join(builds, builds.c.live == trails.c.recipe)
    connection.execute(trails.delete().where(trails.c.first.not_in(living)))


class _Graph:
    """Which digest leads to which."""

    def __init__(self, read: Callable[[str], bytes | None]) -> None:
        self.far: set[str] = set()
        self._read = read
        self._edges: dict[str, set[str]] = {}

    def lead(self, one: str, to: Iterable[str]) -> None:
        """Add edges."""
        self._edges.setdefault(one, set()).update(to)

    def follow(self, one: str) -> Iterator[str]:
        """Edges of a digest; a blob that names further ones is read."""
        yield from self._edges.get(one, ())
        if one in self.far:
            data = self._read(one)
            if data is not None:
                self.far.update(find_far_places(data))
                yield from find_digests(data)


def _pointed(connection: Connection, kept: Retention, *, now: Micros) -> Iterator[str]:
    for row in connection.execute(sa.select(pointers.c.recipe)):
        yield row.recipe
    places = sa.func.row_number().over(partition_by=moves.c.environment, order_by=moves.c.version.desc())
    last = sa.select(moves.c.changes, moves.c.at, places.label("place")).subquery()
    query = sa.select(last.c.changes).where(sa.or_(last.c.place <= kept.moves, last.c.at >= now - kept.span))
    for row in connection.execute(query):
        yield from find_digests(row.changes)


def _named(connection: Connection) -> Iterator[str]:
    """Digests in the rows of all other tables."""
    every = sa.MetaData()
    every.reflect(connection, only=lambda name, _: name not in _FOLLOWED)
    for table in every.sorted_tables:
        if table.name in _FOLLOWED:
            continue  # reflected because another table refers to it
        names = [column for column in table.columns if isinstance(column.type, sa.Text | sa.String | sa.LargeBinary)]
        for column in names:
            query = sa.select(column).where(column.is_not(None))
            if not isinstance(column.type, sa.LargeBinary):
                query = query.where(column.contains(PREFIX, autoescape=True))
            if table.name == "ledger_memory":
                query = query.where(table.c.key.not_like(f"{GARBAGE}%"), table.c.key.not_like(f"{FACE}%"))
            for (value,) in connection.execute(query):
                yield from find_digests(value if isinstance(value, str) else bytes(value))


def _batches(names: list[Digest]) -> Iterator[list[Digest]]:
    for start in range(0, len(names), _BATCH):
        yield names[start : start + _BATCH]
