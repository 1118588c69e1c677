"""Remember which parts of a run are written, so that the run after one that was killed goes on where it stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
from sqlalchemy import delete, insert, select, update

from tidewheel.clock import Micros
from tidewheel.database.open import Database
from tidewheel.features.rows import split_order
from tidewheel.features.tables import online_runs
from tidewheel.ports.online_store import OnlineStore
from tidewheel.sources.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A run in parts that has not come to its end, as far as is known.

    Parameters
    ----------
    closed
        The instant at which it closes.
    schema
        Fingerprint of the stored rows' columns.
    bounds
        Keys at which each part but the first begins.
    done
        Parts that are written, each with a key that was, if it has any: it tells whether the store still has the part.
    """

    revision: int
    closed: Micros
    until: Micros
    full: bool
    snapshot: Snapshot
    schema: int = 0
    bounds: Sequence[bytes] = ()
    done: Mapping[int, bytes | None] = field(default_factory=dict)

    def still_written(self, store: OnlineStore) -> frozenset[int]:
        """The parts that the store really has: somebody may have emptied it in between."""
        keys = [(part, key) for part, key in self.done.items() if key is not None]
        rows = store.read([key for _, key in keys])[0]
        lost = {part for (part, _), row in zip(keys, rows, strict=True) if row is None or split_order(row)[0] < self.revision}
        return frozenset(self.done.keys() - lost)


class OpenRuns:
    """Runs in parts that are at work, one for each view at most."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, view: int) -> Unfinished | None:
        """The run of a view that did not come to its end, or is still at work."""
        with self._database.read() as connection:
            row = connection.execute(select(online_runs).where(online_runs.c.view == view)).mappings().first()
        if row is None:
            return None
        return Unfinished(
            int(row["revision"]),
            Micros(row["closed"]),
            Micros(row["until"]),
            bool(row["full"]),
            Snapshot.from_json(row["snapshot"].encode()),
            int(row["schema"]),
            msgspec.msgpack.decode(row["bounds"], type=list[bytes]),
            msgspec.msgpack.decode(row["done"], type=dict[int, bytes | None]),
        )

    def begin(self, view: int, run: Unfinished) -> None:
        """Remember a run instead of any earlier one."""
        values = {
            "revision": run.revision,
            "closed": run.closed,
            "until": run.until,
            "full": run.full,
            "snapshot": run.snapshot.to_json().decode(),
            "schema": run.schema,
            "bounds": msgspec.msgpack.encode(list(run.bounds)),
            "done": msgspec.msgpack.encode(dict(run.done)),
        }
        with self._database.write() as connection:
            connection.execute(delete(online_runs).where(online_runs.c.view == view))
            connection.execute(insert(online_runs).values(view=view, **values))

    def done(self, view: int, revision: int, *, part: int, key: bytes | None) -> None:
        """A part is written; a run that another one has taken the place of says nothing."""
        mine = (online_runs.c.view == view) & (online_runs.c.revision == revision)
        with self._database.write() as connection:
            held = connection.execute(select(online_runs.c.done).where(mine)).scalar()
            if held is not None:
                done = msgspec.msgpack.decode(held, type=dict[int, bytes | None]) | {part: key}
                connection.execute(update(online_runs).where(mine).values(done=msgspec.msgpack.encode(done)))

    def end(self, view: int, revision: int) -> None:
        """Forget a run."""
        mine = (online_runs.c.view == view) & (online_runs.c.revision == revision)
        with self._database.write() as connection:
            connection.execute(delete(online_runs).where(mine))
