"""Files by content: the typed way to hand a path to a reader that opens it inside a C++ library."""

from __future__ import annotations

import time
from pathlib import Path

from tidewheel.digest import Digest, digest_chunks
from tidewheel.errors import Invalid, NotFound, StalePlan

_CHUNK_BYTES = 1 << 20


class File:
    """A typed handle to a file: whatever uses it depends on the file's bytes.

    DuckDB, Polars, PyArrow and XGBoost open a path where Python does not see it, so a step that is handed a path as a string
    cannot know that the file changed. Handed a ``File``, as an argument or as a constant of the module, it does: the digest of
    the bytes is part of its recipe, and :attr:`path` refuses when they are others by the time they are read.

    Parameters
    ----------
    path
        Of the file, absolute or relative to the directory of the process, which is the project's.

    Raises
    ------
    NotFound
        When there is no such file.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "zones.csv").write_text("zone,name")
    >>> zones = File(folder / "zones.csv")
    >>> Path(zones.path).read_text()
    'zone,name'
    >>> _ = (folder / "copy.csv").write_text("zone,name")
    >>> File(folder / "copy.csv") == zones
    True
    """

    __slots__ = ("_name", "_state", "digest")

    def __init__(self, path: str | Path) -> None:
        self._name = str(path)
        self._state = _state(self._name)
        self.digest: Digest = _digest(self._name)

    @property
    def path(self) -> str:
        """Where the file is, for a reader.

        Raises
        ------
        StalePlan
            When its bytes have changed since the handle was made.
        """
        state = _state(self._name)
        if state != self._state or not is_settled(state):
            if _digest(self._name) != self.digest:
                raise StalePlan(
                    f"file {self._name} changed after it was handed over",
                    where=self._name,
                    fix="do not write to it while the pipeline runs, or make the tw.File after the writing",
                )
            self._state = state
        return self._name

    def __fspath__(self) -> str:
        return self.path

    def __eq__(self, other: object) -> bool:
        return isinstance(other, File) and other.digest == self.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __reduce__(self) -> tuple[object, ...]:
        return (open_file, (self._name, self.digest))

    def __repr__(self) -> str:
        return f"File({self._name!r}, {self.digest[:12]})"


def open_file(path: str, digest: Digest) -> File:
    """The handle that was written down, once more.

    Raises
    ------
    StalePlan
        When the file holds other bytes than it did.

    Examples
    --------
    >>> file = File(__file__)
    >>> open_file(file.path, file.digest) == file
    True
    """
    file = File(path)
    if file.digest != digest:
        raise StalePlan(
            f"file {path} is not what it was when the call was made",
            where=path,
            fix="do not write to it while the pipeline runs, or run again",
        )
    return file


FileState = tuple[int, int, int, int]
"""Times of change of content and of entry in nanoseconds, size in bytes, and number: of equal ones the bytes are equal."""

_RECENT_NS = 2_000_000_000


def find_state(path: str | Path) -> FileState | None:
    """What tells a changed file without reading it; ``None`` when it is not there.

    The time of the entry is in it because a copy can keep size and time of the content (``cp -p``), but never that one.

    Examples
    --------
    >>> find_state(__file__) == find_state(__file__)
    True
    >>> find_state("no such file") is None
    True
    """
    try:
        stat = Path(path).stat()
    except OSError:
        return None
    return (stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino)


def is_settled(state: FileState) -> bool:
    """Whether a file was written so long ago that another write would show in its times, which not every system keeps fine."""
    return time.time_ns() - max(state[0], state[1]) > _RECENT_NS


def digest_file(path: str | Path) -> Digest:
    """Digest of a file's bytes, which are read.

    Examples
    --------
    >>> digest_file(__file__) == File(__file__).digest
    True
    """
    with Path(path).open("rb") as file:
        return digest_chunks(iter(lambda: file.read(_CHUNK_BYTES), b""))


def _state(path: str) -> FileState:
    state = find_state(path)
    if state is None:
        raise NotFound(f"there is no file {path}", where=path, fix="paths are relative to the project's folder")
    return state


def _digest(path: str) -> Digest:
    try:
        return digest_file(path)
    except IsADirectoryError as error:
        raise Invalid(f"{path} is a directory", where=path, fix="make a tw.File of each file in it") from error
