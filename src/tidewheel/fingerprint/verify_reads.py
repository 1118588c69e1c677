"""What is outside now: the value of each thing that a run can read, and which recorded reads have another one than then."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from pathlib import Path
from stat import S_IFMT, S_ISREG, S_IXUSR
from typing import cast

from tidewheel.artifacts.file import FileState, digest_file, find_state, is_settled
from tidewheel.digest import digest, digest_bytes
from tidewheel.fingerprint.distributions import Distributions
from tidewheel.fingerprint.reads import Read, ReadKind
from tidewheel.fingerprint.units import Units

_stat, _readlink = os.stat, os.readlink  # as Python has them: while somebody records, others stand in their place


def verify(reads: Sequence[Read], root: Path) -> list[Read]:
    """What of some recorded reads is different now, with the value of now; empty when all are as they were."""
    changed = []
    for read in reads:
        value = current_value(read, root)
        if value != read.value:
            changed.append(Read(read.kind, read.name, value))
    return changed


def verified(reads: Iterable[Read], root: Path) -> list[Read]:
    """What of some recorded reads is as it was when they were made, after the work that made them.

    >>> verified([Read("env", "TIDEWHEEL_DOCTEST", None), Read("env", "TIDEWHEEL_DOCTEST", "1")], Path("."))
    [Read(kind='env', name='TIDEWHEEL_DOCTEST', value=None)]
    """
    return [read for read in reads if current_value(read, root) == read.value]


def current_value(read: Read, root: Path) -> str | None:
    """What a read would give now."""
    if read.kind == "env":
        return environment_value(read.name)
    path = str(root) if read.kind == "code" else str(Path(root, read.name))
    return _VALUES[read.kind](path)


_files: dict[str, tuple[FileState, str]] = {}


def file_value(path: str) -> str | None:
    """Digest of a file's bytes; ``None`` when it cannot be read. Kept in this process once the file has settled."""
    state = find_state(path)
    if state is None or (path.endswith("-wal") and state[2] == 0):
        return None  # SQLite leaves an empty one, or none, when all of it is in the database
    known = _files.get(path)
    if known is not None and known[0] == state:
        return known[1]
    try:
        value = digest_file(path)
    except OSError:
        return None
    if is_settled(state):
        _files[path] = (state, value)
    return value


def listing_value(path: str) -> str | None:
    """Digest of names and types in a directory; ``None`` when there is none. Python's own cache folders do not count."""
    try:
        with os.scandir(path) as entries:
            found = [entry for entry in entries if entry.name not in ("__pycache__", ".tidewheel")]
            return digest(sorted([entry.name, entry.is_dir(), entry.is_symlink()] for entry in found))
    except OSError:
        return None


def state_value(path: str) -> str | None:
    """Digest of a path's type, and of a file's size and whether it may be run; ``None`` when it is not there."""
    try:
        stat = _stat(path)
    except OSError:
        return None
    is_file = S_ISREG(stat.st_mode)
    return digest([S_IFMT(stat.st_mode), stat.st_size if is_file else 0, is_file and bool(stat.st_mode & S_IXUSR)])


def link_value(path: str) -> str | None:
    """Digest of where a link leads; ``None`` when it is none."""
    try:
        return digest(_readlink(path))
    except OSError:
        return None


_units: dict[str, Units] = {}


def code_value(root: str) -> str:
    """Digest of all code of a project."""
    if root not in _units:
        _units[root] = Units(Path(root), Distributions())
    return _units[root].whole_project()


_VALUES: Mapping[ReadKind, Callable[[str], str | None]] = {
    "file": file_value,
    "listing": listing_value,
    "state": state_value,
    "link": link_value,
    "code": code_value,
}


def environment_value(name: str, *, without: frozenset[str] = frozenset()) -> str | None:
    """Digest of an environment variable, or of all but some; ``None`` when it is not set. Never the value."""
    data = cast("MutableMapping[bytes, bytes]", os.environ._data)  # type: ignore[attr-defined]  # asks without being recorded
    if name == "*":
        return digest({key: value for key, value in data.items() if os.fsdecode(key) not in without})
    value = data.get(os.fsencode(name))
    return None if value is None else digest_bytes(value)
