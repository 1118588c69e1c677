"""Collect garbage: retire builds that nothing points at, and remove artifacts that nothing names, in two phases."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from sqlalchemy import Connection

from tidewheel.clock import DAY, HOUR, SECOND, Micros, format_duration
from tidewheel.digest import Digest
from tidewheel.errors import Invalid, NotFound
from tidewheel.ledger.collect import GARBAGE, Marked, Retention, mark, retire
from tidewheel.ledger.definition import NodeId
from tidewheel.project.collect_logs import OldLogs, collect_logs
from tidewheel.project.open import Workspace
from tidewheel.project.read_faces import forget_faces

LEAST_GRACE = Micros(2 * HOUR)
"""Less would remove what a build that runs has stored and not recorded yet."""

_SINCE = f"{GARBAGE}since"


@dataclass(frozen=True, slots=True)
class UnreachedBuild:
    """A build that nothing points at, and the bytes of the artifacts that only such builds name."""

    id: str
    node: NodeId
    ended_at: Micros
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Garbage:
    """What was found, and what came of it.

    Parameters
    ----------
    artifacts, size_bytes
        All that nothing reaches, and no writer has touched within the grace period.
    removed, removed_bytes
        Of these, what is gone now; with a dry run, what would be.
    partial_bytes
        Half-written files of writers that were killed.
    logs
        What the steps of runs have printed that nobody points at, and that is older than what is kept: gone, or with a dry run
        what would be.
    """

    builds: tuple[UnreachedBuild, ...]
    artifacts: int
    size_bytes: int
    removed: int
    removed_bytes: int
    partial_bytes: int
    logs: tuple[OldLogs, ...] = ()

    @property
    def waiting(self) -> int:
        """Artifacts that go once the grace period is over, if nothing points at them by then."""
        return self.artifacts - self.removed

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self) | {"waiting": self.waiting}


def collect_garbage(
    workspace: Workspace, kept: Retention | None = None, *, grace: Micros = DAY, dry_run: bool = False
) -> Garbage:
    """Retire what nothing points at, and remove artifacts that nothing has named for the grace period.

    First, in one transaction, everything that is reached is found and the builds that are not are retired, so that nobody
    begins to use them. An artifact that nothing reaches is noted with the time, and removed by a later collection: once it has
    been unreached for the grace period, was not stored again meanwhile, and every run that was at work when it was noted has
    ended. A process that is killed anywhere leaves notes that the next collection goes on from.

    Parameters
    ----------
    grace
        Longer than any process works between storing an artifact and recording the build that names it.

    Raises
    ------
    Invalid
        When the grace period is under two hours.
    """
    if grace < LEAST_GRACE:
        raise Invalid(
            f"a grace period of {format_duration(grace)} could remove what a running build has stored and not recorded yet",
            where="--grace",
            fix=f"give at least {format_duration(LEAST_GRACE)}",
        )
    return _Collection(workspace, kept or Retention(), grace, dry_run).run()


class _Collection:
    def __init__(self, workspace: Workspace, kept: Retention, grace: Micros, dry_run: bool) -> None:
        self._workspace = workspace
        self._kept = kept
        self._grace = grace
        self._dry_run = dry_run
        self._now = workspace.clock()
        self._read: dict[str, bytes | None] = {}

    def run(self) -> Garbage:
        """Mark, note, remove."""
        with self._workspace.database.read() as connection:
            marked = self._mark_in(connection)  # and so the next one finds all blobs read, and holds up writers shortly
        if not self._dry_run:
            with self._workspace.database.write() as connection:
                marked = self._mark_in(connection)
                retire(connection, marked.unreached, actor=self._workspace.actor, at=self._now)
                old = Micros(self._now - self._kept.span)
                forget_faces(self._workspace.ledger, keep=marked.reached, before=old)
        before = (self._now - self._grace) / SECOND
        unreached = {
            blob.digest: blob.size
            for blob in self._workspace.artifacts.list()
            if blob.digest not in marked.reached and blob.modified_at < before
        }
        since = self._note(unreached)
        limit = self._deadline()
        gone = {one: unreached[one] for one in self._remove([one for one in unreached if since[one] <= limit], before)}
        partial = self._workspace.artifacts.sweep(before=before, dry_run=self._dry_run)
        told = tuple(
            UnreachedBuild(one.id, one.node, one.ended_at, sum(unreached.get(Digest(name), 0) for name in one.digests))
            for one in marked.unreached
        )
        young = Micros(self._now - max(self._kept.span, self._grace))
        logs = collect_logs(self._workspace, before=young, reached=marked.reached, dry_run=self._dry_run)
        return Garbage(told, len(unreached), sum(unreached.values()), len(gone), sum(gone.values()), partial, logs)

    def _mark_in(self, connection: Connection) -> Marked:
        return mark(connection, self._kept, now=self._now, read=self._blob)

    def _blob(self, digest: str) -> bytes | None:
        if digest not in self._read:
            try:
                self._read[digest] = self._workspace.artifacts.get(Digest(digest))
            except NotFound:
                self._read[digest] = None
        return self._read[digest]

    def _note(self, unreached: dict[Digest, int]) -> dict[Digest, int]:
        """Since when each has been unreached; what is reached again, or gone, is forgotten."""
        ledger = self._workspace.ledger
        before: dict[str, int] = json.loads(ledger.recall(_SINCE) or b"{}")
        since = {one: before.get(one, self._now) for one in unreached}
        if not self._dry_run:
            ledger.remember(_SINCE, json.dumps(since).encode())  # who overwrites it at the same time notes the same, later
        return since

    def _deadline(self) -> int:
        """What has been unreached since then may go: whoever held it at that time is done."""
        runs = self._workspace.runs
        runs.settle()
        started = runs.find_oldest_running()
        limit = self._now - self._grace
        return limit if started is None else min(limit, started - 1)

    def _remove(self, found: list[Digest], before: float) -> Iterator[Digest]:
        for one in found:
            if self._dry_run or self._workspace.artifacts.collect(one, before=before):
                yield one
