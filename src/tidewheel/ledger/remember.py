"""Remember small values that can be computed again at a cost, such as digests of files, many at once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import islice

import sqlalchemy as sa
from sqlalchemy import Connection

from tidewheel.clock import Clock, Micros
from tidewheel.database.open import Database
from tidewheel.ledger.tables import memory

_BATCH = 10_000  # both databases take at least 32,766 parameters in one statement


class Memory:
    """Values by key; what is lost of it is computed again.

    Examples
    --------
    >>> from tidewheel.clock import system_clock
    >>> held = Memory(Database.open("sqlite://"), system_clock)
    >>> held.remember({"a": b"1", "b": b"2"})
    >>> held.remember({"b": b"3"})
    >>> held.recall(["a", "b", "c"])
    {'a': b'1', 'b': b'3'}
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def remember(self, values: Mapping[str, bytes]) -> None:
        """Keep some values, in one transaction."""
        if not values:
            return
        with self._database.write() as connection:
            now, known = self._clock(), _recall(connection, values)
            for key in [key for key in values if key in known and known[key] != values[key]]:
                changed = memory.update().where(memory.c.key == key)
                connection.execute(changed.values(value=values[key], remembered_at=now))
            fresh = [{"key": key, "value": values[key], "remembered_at": now} for key in values if key not in known]
            if fresh:
                connection.execute(memory.insert(), fresh)

    def list_keys(self, beginning: str, *, before: Micros) -> list[str]:
        """Keys with a beginning whose values were remembered before an instant."""
        same = memory.c.key.startswith(beginning, autoescape=True)
        with self._database.read() as connection:
            return list(connection.scalars(sa.select(memory.c.key).where(same, memory.c.remembered_at < before)))

    def forget(self, keys: Collection[str]) -> int:
        """Forget what was remembered under some keys, in one transaction; how many there were."""
        gone = 0
        with self._database.write() as connection:
            for batch in _batches(keys):
                gone += connection.execute(memory.delete().where(memory.c.key.in_(batch))).rowcount
        return gone

    def recall(self, keys: Collection[str]) -> dict[str, bytes]:
        """What was remembered under some keys; those under which there is nothing are absent."""
        with self._database.read() as connection:
            return _recall(connection, keys)


def _recall(connection: Connection, keys: Collection[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    if len(keys) == 1:  # the common case, whose statement is made once
        (key,) = keys
        value = connection.execute(_ONE, {"key": key}).scalar()
        return {} if value is None else {key: bytes(value)}
    for batch in _batches(keys):
        query = sa.select(memory.c.key, memory.c.value).where(memory.c.key.in_(batch))
        found |= {row.key: bytes(row.value) for row in connection.execute(query)}
    return {key: found[key] for key in keys if key in found}


_ONE = sa.select(memory.c.value).where(memory.c.key == sa.bindparam("key"))


def _batches(keys: Collection[str]) -> Iterator[list[str]]:
    rest = iter(dict.fromkeys(keys))
    while batch := list(islice(rest, _BATCH)):
        yield batch
