"""Append records that survive a killed process, and read them back.

A journal is a folder of segments. Each writer appends to a segment of its own, so writers never wait for each other; a segment
that is full, or whose writer is gone, is sealed and never changes again. A segment's name starts with the time of its creation,
so that sorting by name is reading in order.

    <nanoseconds>-<writer>.log       being written; its writer holds an flock on it
    <nanoseconds>-<writer>.sealed    complete

A segment is 8 bytes of magic, then frames: length (u32), crc32 (u32) over the length and the record, then the record.
The length is part of the sum because a tail of zeros, which a power failure can leave, would otherwise be valid empty records.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import struct
import threading
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tidewheel.errors import Corrupt, Invalid, TidewheelError, Unavailable

_MAGIC = b"TWJRNL1\n"
_FRAME = struct.Struct("<II")
_LENGTH = struct.Struct("<I")
_WRITER = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_NO_POSITIONS: Mapping[str, int] = {}


@dataclass(frozen=True, slots=True)
class Segment:
    """One file of a journal."""

    name: str
    """Stays the same when the segment is sealed."""
    path: Path
    sealed: bool


class Journal:
    """One writer's end of a journal; thread safe.

    When :meth:`append` returns, the records are visible to readers and survive ``kill -9`` of the process. A background thread
    brings them to the disk at most ``sync_seconds`` later: that is the window of loss when the *machine* loses power.

    Parameters
    ----------
    folder
        Made when absent; shared by all writers and readers of the journal.
    writer
        Who writes, for people who look into the folder: letters, digits, ``_.-``. Need not be unique.
    segment_bytes
        A segment that reaches this size is sealed.
    sync_seconds
        0 brings each append to the disk before it returns.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> journal = Journal(folder, writer="docs")
    >>> journal.append([b"one", b"two"])
    >>> [record for _, _, record in read_journal(folder)]
    [b'one', b'two']
    >>> journal.close()
    """

    def __init__(self, folder: Path, *, writer: str, segment_bytes: int = 64 << 20, sync_seconds: float = 1.0) -> None:
        if _WRITER.fullmatch(writer) is None:
            raise Invalid(f"{writer!r} cannot be part of a file name", where="writer", fix="use letters, digits and _.-")
        self._folder = folder
        self._writer = writer
        self._segment_bytes = segment_bytes
        self._sync_seconds = sync_seconds
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._syncer: threading.Thread | None = None
        self._stop = threading.Event()
        self._dirty = threading.Event()
        self._file: int | None = None
        self._path = self._folder
        self._size = 0
        self._broken: OSError | None = None

    def append(self, records: Sequence[bytes]) -> None:
        """Add records, in order, in one write.

        Raises
        ------
        Unavailable
            When the disk is full or fails; then none of the records was added. Also when an earlier write could not be brought
            to the disk, because the promise of ``sync_seconds`` is broken then.
        """
        if not records:
            return
        parts = []
        for record in records:
            length = _LENGTH.pack(len(record))
            parts += [length, _LENGTH.pack(zlib.crc32(record, zlib.crc32(length))), record]
        data = b"".join(parts)
        if self._pid != os.getpid():  # after a fork: the parent's segment stays the parent's
            if self._file is not None:
                os.close(self._file)
            self._start()
        with self._lock:
            if self._broken is not None:
                raise self._unavailable(self._broken)
            if self._file is None:
                self._open()
            self._write(data)
            if self._size >= self._segment_bytes:
                self._seal()
            elif self._sync_seconds <= 0:
                self._sync()
            else:
                self._sync_later()

    def seal(self) -> None:
        """Complete the segment, on disk; the next append opens another one. Without a segment nothing happens."""
        with self._lock:
            if self._pid == os.getpid():
                self._seal()

    def close(self) -> None:
        """Seal, and end the background thread; idempotent. An append after it opens the journal again."""
        self.seal()
        if self._pid == os.getpid():
            with self._lock:
                syncer, self._syncer = self._syncer, None
            if syncer is not None:
                self._stop.set()
                self._dirty.set()
                syncer.join()

    def _open(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            while self._file is None:
                self._path = self._folder / f"{time.time_ns():020d}-{self._writer}.log"
                self._file = _create(self._path)
            self._size = 0
            self._write(_MAGIC)
            _sync_folder(self._folder)
        except OSError as error:
            raise self._unavailable(error) from error

    def _write(self, data: bytes) -> None:
        assert self._file is not None
        try:
            written = os.write(self._file, data)
            if written != len(data):
                written += os.write(self._file, data[written:])  # says why the first one was short: it raises ENOSPC
                if written != len(data):
                    raise OSError(f"wrote {written} of {len(data)} bytes")
        except OSError as error:
            os.ftruncate(self._file, self._size)  # or half a frame would hide all the frames after it
            raise self._unavailable(error) from error
        self._size += len(data)

    def _seal(self) -> None:
        if self._file is None:
            return
        self._sync()
        with contextlib.suppress(FileNotFoundError):
            self._path.rename(self._path.with_suffix(".sealed"))
        os.close(self._file)  # gives up the lock: after the rename, so that nobody takes the segment for an abandoned one
        self._file = None
        _sync_folder(self._folder)

    def _sync(self) -> None:
        assert self._file is not None
        try:
            os.fsync(self._file)
        except OSError as error:
            self._broken = error
            raise self._unavailable(error) from error

    def _sync_later(self) -> None:
        if self._syncer is None:
            self._stop, self._dirty = threading.Event(), threading.Event()
            work = (self._stop, self._dirty)
            self._syncer = threading.Thread(target=self._keep_synced, args=work, name="journal-sync", daemon=True)
            self._syncer.start()
        self._dirty.set()

    def _keep_synced(self, stop: threading.Event, dirty: threading.Event) -> None:
        while dirty.wait() and not stop.is_set():
            dirty.clear()
            with self._lock:
                file = None if self._file is None else os.dup(self._file)
            if file is not None:
                try:
                    os.fsync(file)  # outside of the lock: appends go on meanwhile
                except OSError as error:
                    self._broken = error  # the next append says so
                finally:
                    os.close(file)
            stop.wait(self._sync_seconds / 2)

    def _unavailable(self, error: OSError) -> TidewheelError:
        return Unavailable(
            f"journal {self._folder} cannot be written: {error}", fix="see that the disk has room and is healthy"
        )


def list_segments(folder: Path) -> list[Segment]:
    """Segments of a journal, in the order of their creation; none when there is no folder.

    Examples
    --------
    >>> list_segments(Path("/nowhere"))
    []
    """
    names, before = _names(folder), None
    while names != before:  # a file that is renamed while the folder is being listed can be missing from the list
        names, before = _names(folder), names
    found: dict[str, Segment] = {}
    for name in names:
        stem, dot, suffix = name.rpartition(".")
        if dot and suffix in ("log", "sealed"):
            found[stem] = Segment(stem, folder / name, suffix == "sealed")
    return [found[name] for name in sorted(found)]


def list_abandoned(folder: Path) -> list[Segment]:
    """The segments that grow no more because their writers died; nothing is changed.

    Examples
    --------
    >>> list_abandoned(Path("/nowhere"))
    []
    """
    found = []
    for segment in list_segments(folder):
        if not segment.sealed:
            with contextlib.suppress(FileNotFoundError, BlockingIOError), segment.path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # raises where the writer lives
                found.append(segment)
    return found


def seal_abandoned(folder: Path) -> list[Segment]:
    """Seal the segments whose writers are gone, without what a killed writer left half-written; answer those segments."""
    sealed = []
    for segment in list_segments(folder):
        if segment.sealed:
            continue
        try:
            file = segment.path.open("r+b")
        except FileNotFoundError:
            continue  # its writer, or somebody else, has just sealed it
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # its writer lives
            if not _is_at(file.fileno(), segment.path):
                continue
            end = len(_MAGIC) if os.fstat(file.fileno()).st_size >= len(_MAGIC) else 0
            for offset, record in _frames(file, segment, len(_MAGIC)):
                end = offset + _FRAME.size + len(record)
            file.truncate(end)
            os.fsync(file.fileno())
            path = segment.path.with_suffix(".sealed")
            segment.path.rename(path)
            sealed.append(Segment(segment.name, path, True))
    if sealed:
        _sync_folder(folder)
    return sealed


def read_journal(
    folder: Path, *, sealed_only: bool = False, since: Mapping[str, int] = _NO_POSITIONS, only: str | None = None
) -> Iterator[tuple[str, int, bytes]]:
    """Records of all writers: segment by segment in the order of creation, each in the order of its appends.

    Parameters
    ----------
    sealed_only
        Leave out the segments that can still grow.
    since
        Offset per segment at which to begin; a segment that is not named is read from its start.
    only
        Read this segment alone.

    Returns
    -------
    Name of the segment, offset of the record in it, and the record. ``offset + 8 + len(record)`` is the offset of the next one.

    Raises
    ------
    Corrupt
        When a sealed segment is damaged. What a killed writer left half-written at the end of a growing one is left out.
    """
    for segment in list_segments(folder):
        if (sealed_only and not segment.sealed) or only not in (None, segment.name):
            continue
        try:
            file = segment.path.open("rb")
        except FileNotFoundError:
            try:  # sealed since the folder was listed
                file = segment.path.with_suffix(".sealed").open("rb")
            except FileNotFoundError:
                continue  # and removed since
        with file:
            for offset, record in _frames(file, segment, since.get(segment.name, len(_MAGIC))):
                yield segment.name, offset, record


def _frames(file: BinaryIO, segment: Segment, start: int) -> Iterator[tuple[int, bytes]]:
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    magic = file.read(len(_MAGIC))
    if magic != _MAGIC and (segment.sealed or not _MAGIC.startswith(magic)) and magic:
        raise Corrupt(f"{segment.path} is not a segment of a journal", where=str(segment.path), fix="move it elsewhere")
    offset = max(start, len(_MAGIC))
    file.seek(offset)
    while offset + _FRAME.size <= size:
        head = file.read(_FRAME.size)
        length, expected = _FRAME.unpack(head)
        if offset + _FRAME.size + length > size:
            break
        record = file.read(length)
        if zlib.crc32(record, zlib.crc32(head[:4])) != expected:
            break
        yield offset, record
        offset += _FRAME.size + length
    if segment.sealed and offset < size:
        raise Corrupt(
            f"journal segment {segment.path} is damaged at byte {offset}",
            where=f"{segment.path}:{offset}",
            fix="restore the file; the records before that byte are whole",
        )


def _names(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return []


def _create(path: Path) -> int | None:
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
    except FileExistsError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    if not _is_at(file, path):  # somebody took it for abandoned and sealed it, between the creation and the lock
        os.close(file)
        return None
    return file


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.fstat(file).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
