"""Write and read the audit trail."""

from __future__ import annotations

import json

import sqlalchemy as sa

from tidewheel.access.definition import Actor, Entry, State
from tidewheel.access.tables import audit_trail
from tidewheel.clock import Clock, Micros
from tidewheel.database.open import Database
from tidewheel.errors import Invalid


class AuditTrail:
    """What was done, by whom, when; only ever added to.

    Examples
    --------
    >>> from tidewheel.clock import system_clock
    >>> trail = AuditTrail(Database.open("sqlite://"), system_clock)
    >>> _ = trail.record(Actor("ann"), "promote", "eta@champion", before=3, after=4)
    >>> [(line.actor, line.verb, line.before, line.after) for line in trail.list()]
    [('ann', 'promote', 3, 4)]
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def record(self, actor: Actor | str, verb: str, object: str, *, before: State = None, after: State = None) -> Entry:
        """Add a line. Inside of the ``database.write()`` block of the change itself, both happen or neither.

        Parameters
        ----------
        before, after
            Plain values: what JSON can hold.

        Raises
        ------
        Invalid
            When the actor has no name, or a state is not plain.
        """
        who = actor if isinstance(actor, Actor) else Actor(actor)
        row = {
            "at": self._clock(),
            "actor": who.name,
            "verb": verb,
            "object": object,
            "before": _dump(before, "before"),
            "after": _dump(after, "after"),
        }
        with self._database.write() as connection:
            added = connection.execute(sa.insert(audit_trail).values(row).returning(audit_trail)).one()
        return _load(added)

    def list(
        self,
        *,
        actor: str | None = None,
        verb: str | None = None,
        object: str | None = None,
        since: Micros | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> list[Entry]:
        """Lines, newest first.

        Parameters
        ----------
        since
            Only lines of this instant and later.
        before
            Only lines with a smaller number: the next page begins below the last number of this one.
        """
        column = audit_trail.c
        query = sa.select(audit_trail).order_by(column.number.desc()).limit(limit)
        for name, wanted in (("actor", actor), ("verb", verb), ("object", object)):
            if wanted is not None:
                query = query.where(column[name] == wanted)
        if since is not None:
            query = query.where(column.at >= since)
        if before is not None:
            query = query.where(column.number < before)
        with self._database.read() as connection:
            return [_load(row) for row in connection.execute(query)]


def _dump(state: State, where: str) -> str | None:
    if state is None:
        return None
    try:
        return json.dumps(state, separators=(",", ":"), sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise Invalid(f"{state!r:.80} is not plain: {error}", where=where, fix="pass what JSON can hold") from error


def _load(row: sa.Row[*tuple[object, ...]]) -> Entry:
    found = row._mapping
    return Entry(
        number=found["number"],
        at=Micros(found["at"]),
        actor=found["actor"],
        verb=found["verb"],
        object=found["object"],
        before=None if found["before"] is None else json.loads(found["before"]),
        after=None if found["after"] is None else json.loads(found["after"]),
    )
