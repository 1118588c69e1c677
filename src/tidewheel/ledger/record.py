"""Record recipes and builds, and move environments."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from typing import NamedTuple, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy import Connection

from tidewheel.clock import Clock, Micros
from tidewheel.database.open import Database
from tidewheel.database.statement import Statement
from tidewheel.digest import PREFIX, Digest
from tidewheel.errors import NotFound
from tidewheel.fingerprint.recipe import Component, Recipe
from tidewheel.ledger import move, trace
from tidewheel.ledger.build import Build
from tidewheel.ledger.build_row import dump_build, load_build
from tidewheel.ledger.definition import NodeId
from tidewheel.ledger.environment import Edge, Environment, Move
from tidewheel.ledger.remember import Memory
from tidewheel.ledger.tables import builds, nodes, recipe_nodes, recipe_upstreams, recipes
from tidewheel.ledger.trail import Trails

__all__ = ["Build", "Edge", "Environment", "Ledger", "Move"]

Name = TypeVar("Name", bound=str)

_UPSTREAM = "upstream:"
_ALGORITHM = "fingerprint"  # beside the components; absent in recipes of the first version
_BATCH = 10_000  # both databases take at least 32,766 parameters in one statement


class Ledger:
    """The one place where facts live. All methods may be called from any thread and many processes.

    Several calls inside of one ``database.write()`` block are one transaction.

    Examples
    --------
    >>> from tidewheel.clock import system_clock
    >>> from tidewheel.ledger.definition import node_id
    >>> ledger = Ledger(Database.open("sqlite://"), system_clock)
    >>> view, recipe = node_id("view", "ZonePace"), Recipe("view", {"param:ttl": Component("1d")})
    >>> ledger.put_recipe(view, recipe)
    >>> ledger.move("prod", {view: recipe.digest}, expected=0, actor="ann", reason="first apply").version
    1
    >>> ledger.environment("prod").pointers == {view: recipe.digest}
    True
    >>> ledger.move("prod", {view: None}, expected=0, actor="bob", reason="too late")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    tidewheel.errors.Conflict: environment 'prod' is at version 1, not 0: ann moved it first (first apply)...
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self.trails = Trails(database)
        self.memory = Memory(database, clock)
        self.database = database
        self._clock = clock

    # ── recipes ──────────────────────────────────────────────────────────────────────────────────

    def put_recipe(self, node: NodeId, recipe: Recipe) -> None:
        """Keep a recipe, with where its components stand and what they show; idempotent."""
        found = recipe.digest
        with self.database.read() as connection:
            known = bool(_KNOWN_OF_NODE.run(connection, {"recipe": found, "node": node}))
            if known and not _new_edges(connection, recipe):
                return
        with self.database.write() as connection:
            self._put(connection, node, recipe)

    def _put(self, connection: Connection, node: NodeId, recipe: Recipe, known: _Known | None = None) -> None:
        found, now = recipe.digest, self._clock()
        known = known or _look(connection, found, node)
        _see_node(connection, node, recipe, now, known.text)
        if not known.recipe:
            row = {"digest": found, "kind": recipe.kind, "components": _dump_components(recipe), "created_at": now}
            _INSERT_RECIPE.run(connection, row)
        edges = _new_edges(connection, recipe) if known.recipe else _edges(recipe)
        if edges:
            connection.execute(recipe_upstreams.insert(), edges)
        if not known.of_node:
            _INSERT_OF_NODE.run(connection, {"recipe": found, "node": node})

    def get_recipe(self, digest: Digest) -> Recipe:
        """The recipe of that digest.

        Raises
        ------
        NotFound
            When it was never put.
        """
        found = self.get_recipes([digest])
        return found[digest]

    def get_recipes(self, digests: Collection[Digest]) -> dict[Digest, Recipe]:
        """Many recipes in one query.

        Raises
        ------
        NotFound
            When one of them was never put.
        """
        found: dict[Digest, Recipe] = {}
        with self.database.read() as connection:
            for batch in _batches(digests):
                for row in connection.execute(sa.select(recipes).where(recipes.c.digest.in_(batch))):
                    found[Digest(row.digest)] = _load_recipe(row.kind, row.components)
        for digest in digests:
            if digest not in found:
                raise NotFound(f"no recipe {digest}", fix="apply the project that it belongs to: tidewheel apply")
        return found

    # ── builds ───────────────────────────────────────────────────────────────────────────────────

    def record_build(self, build: Build, recipe: Recipe | None = None) -> Build:
        """Record a build; when its recipe has one already, that one stands and is the answer.

        Parameters
        ----------
        recipe
            Is put in the same transaction.
        """
        with self.database.write() as connection:
            known = _look(connection, build.recipe, build.node)
            if known.build:
                (row,) = _LIVE_BUILD.run(connection, {"recipe": build.recipe})
                return load_build(row)
            if recipe is not None:
                self._put(connection, build.node, recipe, known)
            else:
                _see_node(connection, build.node, None, self._clock(), known.text)
            _INSERT_BUILD.run(connection, dump_build(build))
        return build

    def find_build(self, recipe: Digest) -> Build | None:
        """The build of a recipe, when there is one."""
        with self.database.read() as connection:
            rows = _LIVE_BUILD.run(connection, {"recipe": recipe})
        return load_build(rows[0]) if rows else None

    def find_builds(self, recipes: Collection[Digest]) -> dict[Digest, Build]:
        """The builds that there are of the recipes, in one query."""
        found: dict[Digest, Build] = {}
        with self.database.read() as connection:
            for batch in _batches(recipes):
                for row in connection.execute(sa.select(builds).where(builds.c.live.in_(batch))):
                    found[Digest(row.recipe)] = load_build(row._mapping)
        return found

    def list_builds(self, node: NodeId, *, limit: int = 50) -> list[Build]:
        """Builds of a node, newest first."""
        query = sa.select(builds).where(builds.c.node == node, builds.c.live.is_not(None))
        with self.database.read() as connection:
            rows = connection.execute(query.order_by(builds.c.number.desc()).limit(limit)).all()
        return [load_build(row._mapping) for row in rows]

    def list_spent(self, nodes: Collection[NodeId], *, limit: int) -> dict[NodeId, list[tuple[float, float | None]]]:
        """Seconds, and seconds of processors, that the last builds of many nodes took, newest first, in one query."""
        place = sa.func.row_number().over(partition_by=builds.c.node, order_by=builds.c.number.desc())
        took = (builds.c.ended_at - builds.c.started_at).label("took")
        found: dict[NodeId, list[tuple[float, float | None]]] = {}
        with self.database.read() as connection:
            for batch in _batches(nodes):
                ranked = sa.select(builds.c.node, took, builds.c.cpu_seconds, builds.c.number, place.label("place"))
                last = ranked.where(builds.c.node.in_(batch), builds.c.live.is_not(None)).subquery()
                query = sa.select(last.c.node, last.c.took, last.c.cpu_seconds).where(last.c.place <= limit)
                for row in connection.execute(query.order_by(last.c.number.desc())):
                    found.setdefault(NodeId(row.node), []).append((row.took / 1e6, row.cpu_seconds))
        return found

    def builds_like(self, beginning: str, *, limit: int = 10) -> list[Build]:
        """Builds whose id or recipe begins with some characters, retired ones too, newest first."""
        prefix = beginning if beginning.startswith(PREFIX) else PREFIX + beginning
        same = sa.or_(builds.c.id.startswith(beginning, autoescape=True), builds.c.recipe.startswith(prefix, autoescape=True))
        with self.database.read() as connection:
            rows = connection.execute(sa.select(builds).where(same).order_by(builds.c.number.desc()).limit(limit)).all()
        return [load_build(row._mapping) for row in rows]

    def retire_build(self, recipe: Digest, *, actor: str, reason: str) -> bool:
        """Stop answering with a build whose output is damaged or lost, so that the recipe is built again; the record stays.

        Returns
        -------
        Whether there was a build to retire.
        """
        note = json.dumps({"actor": actor, "reason": reason, "at": self._clock()})
        with self.database.write() as connection:
            changed = connection.execute(builds.update().where(builds.c.live == recipe).values(live=None, retired=note))
        return changed.rowcount > 0

    # ── environments ─────────────────────────────────────────────────────────────────────────────

    def environment(self, name: str) -> Environment:
        """An environment as it is; version 0 and empty when it has never been moved."""
        with self.database.read() as connection:
            return move.read_environment(connection, name)

    def list_environments(self) -> list[str]:
        """Names of all environments that have ever been moved, sorted."""
        with self.database.read() as connection:
            return move.list_names(connection)

    def move(
        self, name: str, pointers: Mapping[NodeId, Digest | None], *, expected: int, actor: str, reason: str
    ) -> Environment:
        """Point nodes elsewhere, all at once; ``None`` removes a pointer, and nodes that are not named stay.

        Parameters
        ----------
        expected
            The version that the decision was made on.

        Raises
        ------
        Conflict
            When the environment is at another version by now; nothing was written.
        """
        with self.database.write() as connection:
            return move.merge(connection, name, pointers, expected=expected, actor=actor, reason=reason, at=self._clock())

    def history(self, name: str) -> list[Move]:
        """Moves of an environment, newest first."""
        with self.database.read() as connection:
            return move.list_moves(connection, name)

    def restore(self, name: str, *, version: int, expected: int, actor: str, reason: str) -> Environment:
        """Go back to the pointers of an earlier version, by one more move.

        Raises
        ------
        NotFound
            When there was no such version.
        Conflict
            As :meth:`move`.
        """
        with self.database.write() as connection:
            pointers = move.pointers_to(connection, name, version)
            return move.merge(connection, name, pointers, expected=expected, actor=actor, reason=reason, at=self._clock())

    # ── lineage, search, memory ──────────────────────────────────────────────────────────────────

    def upstream(self, recipe: Digest) -> list[Edge]:
        """Everything that a recipe depends on, nearest first, each node's content once."""
        with self.database.read() as connection:
            return trace.upstream(connection, recipe)

    def downstream(self, recipe: Digest) -> list[Edge]:
        """Every recipe that uses what came of this one, nearest first, each once per node."""
        with self.database.read() as connection:
            return trace.downstream(connection, recipe)

    def search(self, text: str, *, limit: int = 50) -> list[NodeId]:
        """Nodes whose id, owner, description or tags contain the text, whatever its case; matches of the id first."""
        wanted = text.lower()
        in_id = sa.func.lower(nodes.c.id).contains(wanted, autoescape=True)
        in_text = nodes.c.text.contains(wanted, autoescape=True)
        query = sa.select(nodes.c.id).where(sa.or_(in_id, in_text))
        with self.database.read() as connection:
            found = connection.execute(query.order_by(sa.case((in_id, 0), else_=1), nodes.c.id).limit(limit))
            return [NodeId(row.id) for row in found]

    def remember(self, key: str, value: bytes) -> None:
        """Keep a small value that can be computed again at a cost, such as a file's digest."""
        if self.recall(key) != value:
            self.memory.remember({key: value})

    def recall(self, key: str) -> bytes | None:
        """What was remembered under a key."""
        return self.memory.recall([key]).get(key)


_OF_NODE = sa.select(recipe_nodes.c.recipe).where(
    recipe_nodes.c.recipe == sa.bindparam("recipe"), recipe_nodes.c.node == sa.bindparam("node")
)
_KNOWN_OF_NODE = Statement(_OF_NODE)
_LIVE_BUILD = Statement(sa.select(builds).where(builds.c.live == sa.bindparam("recipe")))
_INSERT_RECIPE, _INSERT_OF_NODE, _INSERT_BUILD, _INSERT_NODE = (
    Statement(each.insert()) for each in (recipes, recipe_nodes, builds, nodes)
)
_KNOWN = Statement(
    sa.select(
        sa.select(nodes.c.text).where(nodes.c.id == sa.bindparam("node")).scalar_subquery().label("text"),
        sa.exists().where(recipes.c.digest == sa.bindparam("recipe")).label("recipe"),
        _OF_NODE.exists().label("of_node"),
        sa.exists().where(builds.c.live == sa.bindparam("recipe")).label("build"),
    )
)
"""Statements that run for every step, made once: to make one takes longer than SQLite takes to answer it."""


class _Known(NamedTuple):
    """What there is already: the node's text, the recipe, the recipe as one of the node's, and its build that lives."""

    text: str | None
    recipe: bool
    of_node: bool
    build: bool


def _look(connection: Connection, recipe: Digest, node: NodeId) -> _Known:
    (row,) = _KNOWN.run(connection, {"recipe": recipe, "node": node})
    return _Known(cast("str | None", row["text"]), bool(row["recipe"]), bool(row["of_node"]), bool(row["build"]))


def _see_node(connection: Connection, node: NodeId, recipe: Recipe | None, now: Micros, known: str | None) -> None:
    told = {} if recipe is None else {n: p.note or p.value for n, p in recipe.components.items() if n.startswith("meta:")}
    text = " ".join(told[name] for name in sorted(told)).lower().replace("\x00", " ")
    if known is None:
        _INSERT_NODE.run(connection, {"id": node, "text": text, "seen_at": now})
    elif text and text != known:
        connection.execute(nodes.update().where(nodes.c.id == node).values(text=text))


def _edges(recipe: Recipe) -> list[dict[str, str]]:
    above = {name.removeprefix(_UPSTREAM): part for name, part in recipe.components.items() if name.startswith(_UPSTREAM)}
    found = recipe.digest if above else ""
    return [{"recipe": found, "node": node, "content": part.stands_for or part.value} for node, part in above.items()]


def _new_edges(connection: Connection, recipe: Recipe) -> list[dict[str, str]]:
    """Edges that a recipe which is known has not: contents that are equal, in what is used of them, to those that it has."""
    if all(part.stands_for is None for part in recipe.components.values()):
        return []
    query = sa.select(recipe_upstreams.c.node, recipe_upstreams.c.content).where(recipe_upstreams.c.recipe == recipe.digest)
    known = {(row.node, row.content) for row in connection.execute(query)}
    return [edge for edge in _edges(recipe) if (edge["node"], edge["content"]) not in known]


def _batches(names: Collection[Name]) -> Iterator[list[Name]]:
    rest = iter(dict.fromkeys(names))
    while batch := list(islice(rest, _BATCH)):
        yield batch


def _dump_components(recipe: Recipe) -> str:
    # ASCII, because neither database takes every Python string as text, and a file's name can be any.
    parts = {name: [part.value, part.where, part.note] for name, part in recipe.components.items()}
    if recipe.algorithm > 1:
        parts[_ALGORITHM] = [str(recipe.algorithm), None, None]
    return json.dumps(parts, separators=(",", ":"))


def _load_recipe(kind: str, text: str) -> Recipe:
    parts = {name: Component(value, where, note) for name, (value, where, note) in json.loads(text).items()}
    made_by = parts.pop(_ALGORITHM, None)
    return Recipe(kind, parts, 1 if made_by is None else int(made_by.value))
