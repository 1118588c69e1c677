"""Keep what became of each call of a step in a run, for those who look at the run while it is at work and later."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec
import sqlalchemy as sa

from tidewheel.clock import SECOND, Clock, Micros
from tidewheel.database.open import Database
from tidewheel.digest import PREFIX, Digest, digest_bytes
from tidewheel.pipelines.codec import Packed
from tidewheel.pipelines.tables import calls as calls_table

CallState = Literal["waiting", "running", "retrying", "done", "known", "failed", "cancelled"]

_OPEN: tuple[CallState, ...] = ("waiting", "running", "retrying")
_ERROR = 4_000
_LOOKED_INTO = 1 << 20
"""Bytes of an argument in which answers of earlier calls are looked for."""
_BATCH = 10_000
_MOVED = 2 * SECOND
"""How much the begin of a silence is seen to move by the clocks alone."""


@dataclass(slots=True)
class Call:
    """One call of a step in a run, as far as it has come.

    Parameters
    ----------
    caller
        The call in which it was made; ``None`` when the run's own code made it.
    inputs
        Earlier calls whose answers are among the arguments, by content.
    silent_since
        Since when it has used no processor and printed nothing, as far as its executor sees.
    note
        What it waits for, or what is seen of its process, while it has no end.
    """

    ordinal: int
    step: str
    caller: int | None = None
    inputs: tuple[int, ...] = ()
    state: CallState = "waiting"
    recipe: str = ""
    tries: int = 0
    started_at: Micros | None = None
    ended_at: Micros | None = None
    error: str = ""
    silent_since: Micros | None = None
    note: str = ""


class CallLog:
    """The calls of one run. Changes are written in batches by :meth:`flush`: a step never waits for it.

    Examples
    --------
    >>> from tidewheel.artifacts.store import ArtifactStore
    >>> from tidewheel.clock import system_clock
    >>> from tidewheel.runs.record import Runs
    >>> database = Database.open("sqlite://")
    >>> runs = Runs(database, ArtifactStore.open("memory:///"), system_clock)
    >>> with runs.start("r", experiment="e", environment_lock={}) as run:
    ...     log = CallLog(database, run.id, system_clock)
    ...     call = log.begin("load", {})
    ...     log.note(call, "running", tries=1)
    ...     log.close()
    >>> [(one.step, one.state) for one in read_calls(database, run.id)]
    [('load', 'cancelled')]
    >>> database.close()
    """

    def __init__(self, database: Database, run_id: str, clock: Clock) -> None:
        self.run_id = run_id
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._calls: list[Call] = []
        self._changed: set[int] = set()
        self._written: set[int] = set()
        self._made: dict[Digest, int] = {}
        self._caller: int | None = None

    def begin(self, step: str, arguments: Mapping[str, Packed]) -> Call:
        """A call that was asked for."""
        inputs = {self._made[found] for packed in arguments.values() for found in _contents(packed) if found in self._made}
        with self._lock:
            call = Call(len(self._calls), step, self._caller, tuple(sorted(inputs)))
            self._calls.append(call)
            self._changed.add(call.ordinal)
        return call

    def note(
        self, call: Call, state: CallState, *, tries: int | None = None, error: str = "", recipe: str = "", content: str = ""
    ) -> None:
        """What became of a call; ``content`` is that of its answer."""
        with self._lock:
            call.state, call.tries = state, call.tries if tries is None else tries
            call.error = error[-_ERROR:] or call.error
            # Without its prefix it is no digest to the collector of garbage: what was called in a run may be collected.
            call.recipe = recipe.removeprefix(PREFIX) or call.recipe
            if state == "running" and call.started_at is None:
                call.started_at = self._clock()
            if state not in _OPEN:
                call.note, call.silent_since = "", None
                call.ended_at = self._clock()
                call.started_at = call.started_at or call.ended_at
            if content and content not in _TELLS_NOTHING:
                self._made[Digest(content)] = call.ordinal
            self._changed.add(call.ordinal)

    def look(self, call: Call, *, silent_seconds: float, note: str) -> None:
        """What is seen of a call that has no end yet."""
        since = Micros(self._clock() - round(silent_seconds * SECOND)) if silent_seconds else None
        moved = since is None or call.silent_since is None or abs(since - call.silent_since) > _MOVED
        with self._lock:
            if note != call.note or (moved and since != call.silent_since):
                call.note, call.silent_since = note, since
                self._changed.add(call.ordinal)

    def enter(self, call: Call | None) -> int | None:
        """Calls from now on are made in this one; answers whose they were, for :meth:`leave`."""
        before, self._caller = self._caller, self._caller if call is None else call.ordinal
        return before

    def leave(self, before: int | None) -> None:
        """Calls from now on are made where they were before."""
        self._caller = before

    def flush(self) -> None:
        """Write what has changed."""
        with self._flushing:
            with self._lock:
                changed = sorted(self._changed)
                rows = [_row(self.run_id, self._calls[ordinal]) for ordinal in changed]
                self._changed.clear()
            if not rows:
                return
            mine = calls_table.c.run_id == self.run_id
            try:
                with self._database.write() as connection:
                    for start in range(0, len(rows), _BATCH):
                        part = changed[start : start + _BATCH]
                        again = [ordinal for ordinal in part if ordinal in self._written]
                        if again:
                            connection.execute(sa.delete(calls_table).where(mine, calls_table.c.ordinal.in_(again)))
                        connection.execute(sa.insert(calls_table), rows[start : start + _BATCH])
            except BaseException:
                with self._lock:  # the database is away for a moment: they are written next time
                    self._changed.update(changed)
                raise
            finally:  # also when it failed: it may have done so after the database had them
                self._written.update(changed)

    def close(self) -> None:
        """Say of calls that have no end that they were stopped, and write the rest."""
        for call in self._calls:
            if call.state in _OPEN:
                self.note(call, "cancelled")
        self.flush()


def read_calls(database: Database, run_id: str) -> list[Call]:
    """The calls of a run, in order."""
    query = sa.select(calls_table).where(calls_table.c.run_id == run_id).order_by(calls_table.c.ordinal)
    with database.read() as connection:
        rows = connection.execute(query).mappings().all()
    return [
        Call(**{**{name: value for name, value in row.items() if name != "run_id"}, "inputs": tuple(json.loads(row["inputs"]))})
        for row in rows
    ]


def _row(run_id: str, call: Call) -> dict[str, object]:
    return {"run_id": run_id, "inputs": json.dumps(call.inputs)} | {
        name: getattr(call, name) for name in Call.__slots__ if name != "inputs"
    }


def _contents(packed: Packed) -> Iterator[Digest]:
    """Content of an argument, and of each item in it: a pipeline hands on lists of what a map answered."""
    yield packed.content
    if len(packed.data) > _LOOKED_INTO:
        return
    node = msgspec.json.decode(packed.data)
    for item in _items(node):
        yield digest_bytes(msgspec.json.encode(item))


def _items(node: object) -> Iterable[object]:
    if isinstance(node, list):
        return node
    if isinstance(node, dict) and isinstance(node.get("v"), list):
        inside = node["v"]
        return [item[1] for item in inside] if node.get("$") == "dict" else inside
    return ()


_TELLS_NOTHING = frozenset(digest_bytes(text) for text in (b"null", b"true", b"false", b'""', b"[]", b"0", b"1"))
"""Contents that any argument may have by itself."""
