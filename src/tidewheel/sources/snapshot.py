"""Snapshots: exactly what was read from a source, as a value."""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec

from tidewheel.digest import Digest, digest


@dataclass(frozen=True, slots=True)
class FileSnapshot:
    """One file as it was: path relative to the project (or absolute outside of it), size, time of change, content.

    Examples
    --------
    >>> FileSnapshot("data/a.parquet", 10, 1, Digest("tw1-a")).size
    10
    """

    path: str
    size_bytes: int
    mtime_ns: int
    digest: Digest

    @property
    def size(self) -> int:
        """Bytes."""
        return self.size_bytes


@dataclass(frozen=True, slots=True)
class PushSnapshot:
    """One segment of pushed rows, from byte ``start`` to byte ``size_bytes``; the digest is that of all until there.

    Examples
    --------
    >>> PushSnapshot("0001-push", 120, Digest("tw1-a")).start
    0
    """

    segment: str
    size_bytes: int
    digest: Digest
    start: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a source held at one moment: files, pushed segments, or the digest of a table in memory.

    ``version`` is where a table that keeps versions of its own can be found again as it was; the content does not depend on it.

    Examples
    --------
    >>> one = Snapshot("trips", files=(FileSnapshot("a.parquet", 10, 1, Digest("tw1-a")),))
    >>> two = Snapshot("trips", files=(FileSnapshot("moved.parquet", 10, 2, Digest("tw1-a")),))
    >>> one.content == two.content
    True
    >>> Snapshot.from_json(one.to_json()) == one
    True
    """

    source: str
    files: tuple[FileSnapshot, ...] = ()
    pushes: tuple[PushSnapshot, ...] = ()
    table: Digest | None = None
    version: str | None = None

    @property
    def data(self) -> Digest:
        """Content without the pushed rows: names and times of files do not count."""
        return digest(["data", sorted(file.digest for file in self.files), self.table])

    @property
    def content(self) -> Digest:
        """Content of everything: files or table, and pushed rows."""
        return digest(["snapshot", self.data, sorted([push.digest, push.start] for push in self.pushes)])

    def since(self, earlier: Snapshot) -> Snapshot:
        """What arrived after an earlier snapshot: files whose content it did not have, and rows pushed since.

        Examples
        --------
        >>> a, b = FileSnapshot("a", 1, 1, Digest("tw1-a")), FileSnapshot("b", 1, 1, Digest("tw1-b"))
        >>> [file.path for file in Snapshot("trips", files=(a, b)).since(Snapshot("trips", files=(a,))).files]
        ['b']
        """
        known = {file.digest for file in earlier.files}
        ends = {push.segment: push.size_bytes for push in earlier.pushes}
        return Snapshot(
            self.source,
            files=tuple(file for file in self.files if file.digest not in known),
            pushes=tuple(
                replace(push, start=ends.get(push.segment, 0))
                for push in self.pushes
                if push.size_bytes > ends.get(push.segment, 0)
            ),
            table=None if self.table == earlier.table else self.table,
            version=self.version,
        )

    def to_json(self) -> bytes:
        """The snapshot as JSON."""
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, data: bytes) -> Snapshot:
        """Read what :meth:`to_json` wrote."""
        return msgspec.json.decode(data, type=cls)
