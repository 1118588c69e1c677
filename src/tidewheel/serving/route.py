"""Routes of deployments, kept in the workspace's database: an append-only list of revisions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from tidewheel.clock import Clock, Micros
from tidewheel.errors import Conflict, NotFound
from tidewheel.serving.arm import WHOLE, Arm, Role, Route, check_arms

if TYPE_CHECKING:
    from sqlalchemy import Connection, RowMapping

    from tidewheel.database import Database

__all__ = ["WHOLE", "Arm", "Role", "Route", "Routes", "check_arms"]

_ARMS = msgspec.json.Decoder(tuple[Arm, ...])


class Routes:
    """Which versions answer for each deployment, now and before.

    Setting a route is one insert. A running server notices it and loads what is new beside what answers; nothing is dropped.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def current(self, deployment: str) -> Route:
        """The newest revision; revision 0 without arms when there is none."""
        with self._database.read() as connection:
            return _newest(connection, deployment)

    def list_deployments(self) -> list[str]:
        """Names of all deployments that were ever routed, sorted."""
        import sqlalchemy as sa

        from tidewheel.serving.tables import routes

        with self._database.read() as connection:
            return list(connection.scalars(sa.select(routes.c.deployment).distinct().order_by(routes.c.deployment)))

    def set(self, deployment: str, arms: Sequence[Arm], *, expected_revision: int, actor: str, reason: str) -> Route:
        """Write the next revision.

        Parameters
        ----------
        expected_revision
            The revision that the caller has seen; 0 for the first.

        Raises
        ------
        Invalid
            When the arms cannot be routed: see :func:`tidewheel.serving.arm.check_arms`.
        Conflict
            When another revision was written meanwhile; nothing is written.
        """
        from tidewheel.serving.tables import routes

        checked = check_arms(arms)
        with self._database.write() as connection:
            found = _newest(connection, deployment)
            if found.revision != expected_revision:
                raise Conflict(
                    f"route of {deployment!r} is at revision {found.revision}, not {expected_revision}",
                    where=deployment,
                    fix="read the route again, then set it",
                )
            made = Route(deployment, expected_revision + 1, checked, self._clock(), actor, reason)
            connection.execute(
                routes.insert().values(
                    deployment=deployment,
                    revision=made.revision,
                    arms=msgspec.json.encode(checked).decode(),
                    at=made.at,
                    actor=actor,
                    reason=reason,
                )
            )
        return made

    def history(self, deployment: str, *, limit: int = 100) -> list[Route]:
        """Revisions, newest first."""
        import sqlalchemy as sa

        from tidewheel.serving.tables import routes

        query = sa.select(routes).where(routes.c.deployment == deployment).order_by(routes.c.revision.desc()).limit(limit)
        with self._database.read() as connection:
            return [_route(row) for row in connection.execute(query).mappings()]

    def rollback(self, deployment: str, to: int | None = None, *, actor: str, reason: str) -> Route:
        """Write one more revision with the arms of an earlier one.

        Parameters
        ----------
        to
            Revision to go back to; without it, the newest one whose arms differ from those of now.

        Raises
        ------
        NotFound
            When there is no such revision, or nothing before the current one.
        """
        revisions = self.history(deployment, limit=1_000_000)
        earlier = [old for old in revisions[1:] if (old.arms != revisions[0].arms if to is None else old.revision == to)]
        if not earlier:
            asked = "an earlier route" if to is None else f"revision {to}"
            raise NotFound(f"deployment {deployment!r} has no {asked}", where=deployment, fix="see the history of its route")
        return self.set(deployment, earlier[0].arms, expected_revision=revisions[0].revision, actor=actor, reason=reason)


def _newest(connection: Connection, deployment: str) -> Route:
    import sqlalchemy as sa

    from tidewheel.serving.tables import routes

    query = sa.select(routes).where(routes.c.deployment == deployment).order_by(routes.c.revision.desc()).limit(1)
    row = connection.execute(query).mappings().one_or_none()
    return Route(deployment) if row is None else _route(row)


def _route(row: RowMapping) -> Route:
    return Route(
        row["deployment"],
        row["revision"],
        _ARMS.decode(row["arms"]),
        Micros(row["at"]),
        row["actor"],
        row["reason"],
    )
