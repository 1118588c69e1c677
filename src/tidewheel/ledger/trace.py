"""Trace lineage: from a recipe to what it used, and to what used it."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection

from tidewheel.digest import Digest
from tidewheel.ledger.definition import NodeId
from tidewheel.ledger.environment import Edge
from tidewheel.ledger.tables import builds, recipe_nodes, recipe_upstreams


def upstream(connection: Connection, recipe: Digest) -> list[Edge]:
    """What a recipe depends on, breadth first; a node whose content was seen is not followed again."""
    found: dict[tuple[str, str], Edge] = {}
    frontier, depth = [recipe], 0
    while frontier:
        depth += 1
        query = sa.select(recipe_upstreams.c.node, recipe_upstreams.c.content).where(recipe_upstreams.c.recipe.in_(frontier))
        frontier = []
        for node, content in sorted({(row.node, row.content) for row in connection.execute(query)}):
            if (node, content) in found:
                continue
            made_by = _made_by(connection, node, content)
            found[node, content] = Edge(NodeId(node), made_by, Digest(content), depth)
            if made_by is not None:
                frontier.append(made_by)
    return list(found.values())


def downstream(connection: Connection, recipe: Digest) -> list[Edge]:
    """What uses what came of a recipe, breadth first."""
    found: dict[tuple[str, str], Edge] = {}
    frontier, depth = [recipe], 0
    while frontier:
        depth += 1
        users: set[str] = set()
        for one in frontier:
            node_query = sa.select(recipe_nodes.c.node).where(recipe_nodes.c.recipe == one)
            made = {one, *connection.execute(sa.select(builds.c.content).where(builds.c.recipe == one)).scalars()}
            query = sa.select(recipe_upstreams.c.recipe).where(
                recipe_upstreams.c.node.in_(node_query), recipe_upstreams.c.content.in_(made)
            )
            users.update(connection.execute(query).scalars())
        frontier = []
        for user in sorted(users):
            content = connection.execute(sa.select(builds.c.content).where(builds.c.live == user)).scalar()
            named = connection.execute(sa.select(recipe_nodes.c.node).where(recipe_nodes.c.recipe == user)).scalars().all()
            fresh = [node for node in sorted(named) if (node, user) not in found]
            for node in fresh:
                found[node, user] = Edge(NodeId(node), Digest(user), None if content is None else Digest(content), depth)
            if fresh:
                frontier.append(Digest(user))
    return list(found.values())


def _made_by(connection: Connection, node: str, content: str) -> Digest | None:
    """The recipe of a content: what was built, or, where there is nothing to build, the recipe that is its own content."""
    query = sa.select(builds.c.recipe).where(builds.c.content == content, builds.c.node == node).order_by(builds.c.number)
    recipe = connection.execute(query.limit(1)).scalar()
    if recipe is None:
        own = sa.select(recipe_nodes.c.recipe).where(recipe_nodes.c.recipe == content, recipe_nodes.c.node == node)
        recipe = connection.execute(own).scalar()
    return None if recipe is None else Digest(recipe)
