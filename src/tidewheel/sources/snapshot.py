"""Snapshots: exactly what was read from a source, as a value."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from tidewheel.digest import Digest, digest


@dataclass(frozen=True, slots=True)
class FileSnapshot:
    """One file as it was: path relative to the project (or absolute outside of it), size, time of change, content."""

    path: str
    size_bytes: int
    mtime_ns: int
    digest: Digest


@dataclass(frozen=True, slots=True)
class PushSnapshot:
    """The first ``size_bytes`` bytes of one segment of pushed rows."""

    segment: str
    size_bytes: int
    digest: Digest


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a source held at one moment: files, pushed segments, or the digest of a table in memory.

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

    @property
    def data(self) -> Digest:
        """Content without the pushed rows: names and times of files do not count."""
        return digest(["data", sorted(file.digest for file in self.files), self.table])

    @property
    def content(self) -> Digest:
        """Content of everything: files or table, and pushed rows."""
        return digest(["snapshot", self.data, sorted(push.digest for push in self.pushes)])

    def to_json(self) -> bytes:
        """The snapshot as JSON."""
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, data: bytes) -> Snapshot:
        """Read what :meth:`to_json` wrote."""
        return msgspec.json.decode(data, type=cls)
