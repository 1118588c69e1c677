"""Find the files of a project's sources, and tell whether they are what they were."""

from __future__ import annotations

import time as wall
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tidewheel.digest import Digest, digest, digest_chunks
from tidewheel.errors import Conflict, MixedTimezones, NotFound, TypeMismatch
from tidewheel.ports.query_engine import Files
from tidewheel.sources.definition import Source
from tidewheel.sources.snapshot import FileSnapshot

_CHUNK_BYTES = 1 << 20
_RACY_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class FileFinder:
    """Finds the files of sources.

    Parameters
    ----------
    root
        Directory that relative path patterns start from.
    recall, remember
        A small persistent cache, for the digests of files that have not changed.
    """

    root: Path
    recall: Callable[[str], bytes | None]
    remember: Callable[[str, bytes], None]

    def paths(self, source: Source) -> list[Path]:
        """Every file that a pattern of the source matches, once, in order of pattern and name."""
        found: dict[Path, None] = {}
        for pattern in source.patterns:
            anchor, rest = (Path("/"), pattern.lstrip("/")) if Path(pattern).is_absolute() else (self.root, pattern)
            matched = sorted(path for path in anchor.glob(rest) if path.is_file())
            if not matched:
                raise NotFound(
                    f"source {source.name}: no file matches {pattern!r} in {self.root}",
                    where=source.where or source.name,
                    fix="check the pattern; it starts at the directory of tidewheel.toml",
                )
            found.update(dict.fromkeys(matched))
        return list(found)

    def stamp(self, source: Source) -> Digest | None:
        """What says, with nothing read, that files are those of an earlier time; ``None`` for files just written."""
        facts = [(str(path), path.stat()) for path in self.paths(source)]
        if any(wall.time_ns() - fact.st_mtime_ns <= _RACY_NS for _, fact in facts):
            return None
        return digest(["stamp", [[path, fact.st_size, fact.st_mtime_ns] for path, fact in facts]])

    def snapshot(self, path: Path) -> FileSnapshot:
        """A file as it is now; its digest is remembered by path, size and time of change."""
        facts = path.stat()
        key = f"file:{path}:{facts.st_size}:{facts.st_mtime_ns}"
        known = self.recall(key)
        name = str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)
        if known is not None:
            return FileSnapshot(name, facts.st_size, facts.st_mtime_ns, Digest(known.decode()))
        with path.open("rb") as file:
            content = digest_chunks(iter(lambda: file.read(_CHUNK_BYTES), b""))
        if wall.time_ns() - facts.st_mtime_ns > _RACY_NS:  # a file that has just been written can change within its time stamp
            self.remember(key, content.encode())
        return FileSnapshot(name, facts.st_size, facts.st_mtime_ns, content)

    def unchanged(self, source: Source, file: FileSnapshot) -> Path:
        """Where a file of a snapshot lies, if it is still what it was; otherwise a ``Conflict``."""
        path = self.root / file.path
        if not path.exists() or (
            (path.stat().st_size, path.stat().st_mtime_ns) != (file.size_bytes, file.mtime_ns)
            and self.snapshot(path).digest != file.digest
        ):
            what = f"{file.path} of source {source.name} is not what it was in the snapshot"
            raise Conflict(what, where=file.path, fix="plan again, or restore the file")
        return path


def check_zones(source: Source, files: Files) -> None:
    """Refuse Parquet files that an engine would read as one table by a guess that is not ours to make.

    Naive and aware times: the naive ones would be taken for UTC. A column of objects that is none in another file: asked for a
    field, DuckDB gives what happens to lie in memory.
    """
    if files.format != "parquet" or len(files.paths) < 2:
        return
    seen: dict[str, tuple[bool, str]] = {}
    shapes: dict[str, tuple[bool, str]] = {}
    for path in files.paths:
        schema = pq.read_schema(path)
        for column in schema:
            if pa.types.is_timestamp(column.type):
                zoned = column.type.tz is not None
                before = seen.setdefault(column.name, (zoned, path))
                if before[0] != zoned:
                    raise MixedTimezones(
                        f"column {column.name} of source {source.name} has a zone in {path if zoned else before[1]} "
                        f"and none in {before[1] if zoned else path}",
                        where=column.name,
                        fix="write all files with a zone, or all without",
                    )
        for name, is_object in _shapes(schema):
            shape = shapes.setdefault(name, (is_object, path))
            if shape[0] != is_object:
                here, there = (path, shape[1]) if is_object else (shape[1], path)
                what = f"column {name} of source {source.name} holds objects in {here} and something else in {there}"
                raise TypeMismatch(what, where=name, fix="write it alike in all files")


def _shapes(schema: pa.Schema) -> Iterator[tuple[str, bool]]:
    """Of each column, and of each field in objects, whether it is an object."""

    def inside(name: str, kind: pa.DataType) -> Iterator[tuple[str, bool]]:
        if pa.types.is_null(kind):
            return
        yield name.lower(), pa.types.is_struct(kind)
        if pa.types.is_struct(kind):
            for place in range(kind.num_fields):
                yield from inside(f"{name}.{kind.field(place).name}", kind.field(place).type)

    for column in schema:
        yield from inside(column.name, column.type)
