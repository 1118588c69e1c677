"""Move environments: read pointers and versions, write them with their history, inside of the caller's transaction."""

from __future__ import annotations

import json
from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy import Connection

from tidewheel.clock import Micros
from tidewheel.digest import Digest
from tidewheel.errors import Conflict, NotFound
from tidewheel.ledger.definition import NodeId
from tidewheel.ledger.environment import Environment, Move, changes, undo
from tidewheel.ledger.tables import environments, moves, pointers


def read_environment(connection: Connection, name: str) -> Environment:
    """An environment as it is; version 0 and empty when there is none."""
    version = connection.execute(sa.select(environments.c.version).where(environments.c.name == name)).scalar()
    if version is None:
        return Environment(name, 0, {})
    rows = connection.execute(
        sa.select(pointers.c.node, pointers.c.recipe).where(pointers.c.environment == name).order_by(pointers.c.node)
    )
    return Environment(name, version, {NodeId(row.node): Digest(row.recipe) for row in rows})


def list_names(connection: Connection) -> list[str]:
    """Names of all environments, sorted."""
    return [row.name for row in connection.execute(sa.select(environments.c.name).order_by(environments.c.name))]


def merge(
    connection: Connection,
    name: str,
    wanted: Mapping[NodeId, Digest | None],
    *,
    expected: int,
    actor: str,
    reason: str,
    at: Micros,
) -> Environment:
    """Merge pointers into an environment that is still at the expected version."""
    before = read_environment(connection, name)
    if before.version != expected:
        raise Conflict(_lost_to(connection, before, expected), fix="plan again from the new state")
    made = changes(before.pointers, wanted)
    version = before.version + 1
    if before.version == 0:
        connection.execute(environments.insert(), {"name": name, "version": version})
    else:
        connection.execute(environments.update().where(environments.c.name == name).values(version=version))
    if made:
        connection.execute(pointers.delete().where(pointers.c.environment == name, pointers.c.node.in_(list(made))))
    added = [{"environment": name, "node": node, "recipe": new} for node, (_, new) in made.items() if new is not None]
    if added:
        connection.execute(pointers.insert(), added)
    row = {
        "environment": name,
        "version": version,
        "at": at,
        "actor": actor,
        "reason": reason,
        "changes": json.dumps(dict(made)),
    }
    connection.execute(moves.insert(), row)
    return read_environment(connection, name)


def list_moves(connection: Connection, name: str, *, after: int = 0) -> list[Move]:
    """Moves that made a version above ``after``, newest first."""
    query = sa.select(moves).where(moves.c.environment == name, moves.c.version > after)
    found = []
    for row in connection.execute(query.order_by(moves.c.version.desc())):
        made = {NodeId(node): (old, new) for node, (old, new) in json.loads(row.changes).items()}
        found.append(Move(row.version, Micros(row.at), row.actor, row.reason, made))
    return found


def pointers_to(connection: Connection, name: str, version: int) -> dict[NodeId, Digest | None]:
    """What to merge in order to be where an earlier version was."""
    now = read_environment(connection, name)
    if not 0 <= version <= now.version:
        raise NotFound(f"environment {name!r} never had version {version}", fix=f"choose one from 0 to {now.version}")
    then = undo(now.pointers, [move.changes for move in list_moves(connection, name, after=version)])
    return {node: then.get(node) for node in {*now.pointers, *then}}


def _lost_to(connection: Connection, now: Environment, expected: int) -> str:
    said = f"environment {now.name!r} is at version {now.version}, not {expected}"
    later = list_moves(connection, now.name, after=expected)
    if not later:
        return said
    return f"{said}: {later[-1].actor} moved it first ({later[-1].reason})"
