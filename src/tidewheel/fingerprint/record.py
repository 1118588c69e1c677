"""Record what a function reads from outside while it runs, and verify it later.

Python tells an audit hook of every file that it opens and every directory that it lists; environment variables are
seen by giving ``os.environ`` a class of ours for the time. What a library opens from C++ is not seen: that is the lint's work.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from stat import S_IFMT, S_ISREG
from types import FrameType
from typing import ParamSpec, TypeVar, cast
from urllib.parse import unquote, urlsplit

from tidewheel.artifacts.file import FileState, digest_file, find_state, is_settled
from tidewheel.digest import PREFIX, digest, digest_bytes
from tidewheel.fingerprint.origin import origin
from tidewheel.fingerprint.reads import Read, ReadKind

P = ParamSpec("P")
R = TypeVar("R")

_IGNORED = ("/proc/", "/sys/", "/dev/")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Recording:
    """Reads of one run. Iterating gives them in order of kind and name, each once.

    ``hidden`` are environment variables that hold secrets: their values are no part of what is recorded. ``unstable`` names
    what changed between its first read and the end of the run: no value can be told for it, so the run's result must not be
    kept.
    """

    def __init__(self, root: Path, hidden: frozenset[str] = frozenset()) -> None:
        self.root = _resolved(root.absolute())
        self.hidden = hidden
        self.unstable: list[str] = []
        self._values: dict[tuple[ReadKind, str], str | None] = {}
        self._states: dict[str, FileState | None] = {}
        self._own: set[str] = set()
        self._lock = threading.RLock()

    def __iter__(self) -> Iterator[Read]:
        for (kind, name), value in sorted(self._values.items()):
            yield Read(kind, name, value)

    def __len__(self) -> int:
        return len(self._values)

    def opened(self, path: str, writing: bool) -> None:
        """Note that a file was opened; one that the run itself wrote first is no input."""
        path = _absolute(path)
        with self._quiet():
            if self._is_ours(path):
                return
            key: tuple[ReadKind, str] = ("file", self._name(path))
            if writing:
                if key not in self._values:
                    self._own.add(path)
            elif key not in self._values:
                self._states[path] = find_state(path)
                self._values[key] = file_value(path)

    def listed(self, path: str) -> None:
        """Note that a directory was listed."""
        path = _absolute(path)
        with self._quiet():
            if self._is_ours(path):
                return
            key: tuple[ReadKind, str] = ("listing", self._name(path))
            if key not in self._values:
                self._values[key] = listing_value(path)

    def looked(self, path: str) -> None:
        """Note that a path's state was asked for: whether it is there, what it is, how large."""
        path = _absolute(path)
        with self._quiet():
            if self._is_ours(path) or f"{self.root}/".startswith(f"{path}/"):
                return
            key: tuple[ReadKind, str] = ("state", self._name(path))
            if key not in self._values:
                self._values[key] = state_value(path)

    def made(self, path: str) -> None:
        """Note that the run made a directory: what is in it is its own, and so is that it was not there before."""
        path = _absolute(path)
        self._own.add(path)
        with self._quiet():
            self._values.pop(("state", self._name(path)), None)

    def asked(self, name: str) -> None:
        """Note that an environment variable was read."""
        hidden = frozenset().union(*(each.hidden for each in _active))  # a thread of a step has no recording of its own
        if name not in hidden:
            with self._quiet():
                self._values.setdefault(("env", name), environment_value(name, without=hidden))

    def include(self, reads: Iterable[Read]) -> None:
        """Take over reads of a part whose result was used: what it depends on, the whole depends on."""
        with self._lock:
            for read in reads:
                self._values.setdefault((read.kind, read.name), read.value)

    def close(self) -> None:
        """Find what changed under the run's hands."""
        with self._quiet():
            for path, state in self._states.items():
                if find_state(path) != state:
                    self.unstable.append(self._name(path))

    def _name(self, path: str) -> str:
        root = str(self.root) + os.sep
        return path[len(root) :] if path.startswith(root) else ("." if path == str(self.root) else path)

    def _is_ours(self, path: str) -> bool:
        if os.path.basename(path).startswith(PREFIX):  # noqa: PTH119 - a hot path; a content's digest is its value
            return True
        if path in self._own or path.startswith(_IGNORED) or "/.tidewheel/" in path or "/__pycache__" in path:
            return True
        if self._own and any(str(parent) in self._own for parent in Path(path).parents):
            return True
        # Installed files are known by their version, our own by ours; but not which version the code itself asks for.
        return ".dist-info/" not in path and origin(path) in ("library", "standard", "own")

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        # Recording reads files itself; those events must not come back here.
        with unheard(), self._lock:
            yield


@functools.lru_cache(maxsize=64)
def _resolved(root: Path) -> Path:
    """A project's folder, whose links are followed once: every step has a recording of its own."""
    return root.resolve()


_busy = threading.local()


@contextmanager
def unheard() -> Iterator[None]:
    """Do not record what this thread reads inside the block: work of Tidewheel's own, not of the function that is recorded.

    Examples
    --------
    >>> from pathlib import Path
    >>> with recording(Path(".")) as reads, unheard():
    ...     _ = os.environ.get("TIDEWHEEL_DOCTEST")
    >>> len(reads)
    0
    """
    before = getattr(_busy, "on", False)
    _busy.on = True
    try:
        yield
    finally:
        _busy.on = before


@contextmanager
def heard() -> Iterator[None]:
    """Record again inside of :func:`unheard`."""
    before = getattr(_busy, "on", False)
    _busy.on = False
    try:
        yield
    finally:
        _busy.on = before


_current: ContextVar[Recording | None] = ContextVar("tidewheel_recording", default=None)
_active: list[Recording] = []
_switch = threading.Lock()
_hooked = False


@contextmanager
def recording(root: Path, *, hidden: frozenset[str] = frozenset()) -> Iterator[Recording]:
    """Record reads of files, listings and environment variables inside the block, also those in threads it starts.

    What is asked about a path without opening it counts too (``os.stat``, ``os.path.exists``, ``Path.is_file``); the time of
    its last change does not, and the lint finds who reads it. Left out are files of the standard library, of installed
    packages, under ``.tidewheel/``, those that the block wrote itself, and Python source that is imported, which the
    fingerprint follows; and the environment variables that are ``hidden``.

    Examples
    --------
    >>> from pathlib import Path
    >>> with recording(Path(".")) as reads:
    ...     _ = os.environ.get("TIDEWHEEL_DOCTEST")
    >>> [read.component for read in reads]
    ['env:TIDEWHEEL_DOCTEST']
    """
    made = Recording(root, hidden)
    token = _current.set(made)
    with _switch:
        _hook()
        _active.append(made)
        os.environ.__class__ = _Environment
        os.stat, os.lstat, os.access = _watched_stat, _watched_lstat, _watched_access
    try:
        yield made
    finally:
        with _switch:
            _active.remove(made)
            if not _active:
                os.environ.__class__ = _PLAIN_ENVIRONMENT
                os.stat, os.lstat, os.access = _stat, _lstat, _access
        _current.reset(token)
        made.close()


def current_recording() -> Recording | None:
    """The recording that this code runs in, if any."""
    return _current.get()


def verify(reads: Sequence[Read], root: Path) -> list[Read]:
    """What of some recorded reads is different now, with the value of now; empty when all are as they were."""
    changed = []
    for read in reads:
        value = current_value(read, root)
        if value != read.value:
            changed.append(Read(read.kind, read.name, value))
    return changed


def current_value(read: Read, root: Path) -> str | None:
    """What a read would give now."""
    if read.kind == "env":
        return environment_value(read.name)
    path = str(Path(root, read.name))
    return _VALUES[read.kind](path)


_files: dict[str, tuple[FileState, str]] = {}


def file_value(path: str) -> str | None:
    """Digest of a file's bytes; ``None`` when it cannot be read. Kept in this process once the file has settled."""
    state = find_state(path)
    if state is None:
        return None
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
    """Digest of the names in a directory; ``None`` when there is none. Python's own cache folders do not count."""
    try:
        return digest(sorted(entry.name for entry in Path(path).iterdir() if entry.name not in ("__pycache__", ".tidewheel")))
    except OSError:
        return None


def state_value(path: str) -> str | None:
    """Digest of a path's type, and of its size when it is a file; ``None`` when it is not there."""
    try:
        stat = _stat(path)
    except OSError:
        return None
    is_file = S_ISREG(stat.st_mode)
    return digest([S_IFMT(stat.st_mode), stat.st_size if is_file else 0])


_VALUES: Mapping[ReadKind, Callable[[str], str | None]] = {
    "file": file_value,
    "listing": listing_value,
    "state": state_value,
}


def environment_value(name: str, *, without: frozenset[str] = frozenset()) -> str | None:
    """Digest of an environment variable, or of all but some; ``None`` when it is not set. Never the value."""
    data = cast("MutableMapping[bytes, bytes]", os.environ._data)  # type: ignore[attr-defined]  # asks without being recorded
    if name == "*":
        return digest({key: value for key, value in data.items() if os.fsdecode(key) not in without})
    value = data.get(os.fsencode(name))
    return None if value is None else digest_bytes(value)


def _absolute(path: str) -> str:
    return os.path.normpath(Path(path).absolute())


def _recordings() -> list[Recording]:
    if getattr(_busy, "on", False):
        return []
    current = _current.get()
    # A thread that the run started has no context of ours; then whoever records gets it.
    return [current] if current is not None else list(_active)


def _hook() -> None:
    global _hooked  # an audit hook cannot be removed, so there is one for the life of the process
    if not _hooked:
        _hooked = True
        sys.addaudithook(_audit)


def _audit(event: str, args: tuple[object, ...]) -> None:
    if not _active or getattr(_busy, "on", False):
        return
    if event == "open":
        path, _, flags = args
        if isinstance(path, str | bytes | os.PathLike) and not _is_import():
            for each in _recordings():
                each.opened(os.fsdecode(path), isinstance(flags, int) and bool(flags & _WRITING))
    elif event in ("os.listdir", "os.scandir"):
        path = args[0]
        if (path is None or isinstance(path, str | bytes | os.PathLike)) and not _is_import():
            for each in _recordings():
                each.listed(os.fsdecode(path) if path is not None else ".")
    elif event == "os.mkdir" and isinstance(args[0], str | bytes | os.PathLike):
        for each in _recordings():
            each.made(os.fsdecode(args[0]))
    elif event == "sqlite3.connect" and isinstance(args[0], str | bytes | os.PathLike):
        path = _sqlite_file(os.fsdecode(args[0]))
        if path:
            absent = state_value(path) is None
            for each in _recordings():
                each.opened(path, absent)
    elif event == "ctypes.dlopen" and isinstance(args[0], str) and os.sep in args[0]:
        for each in _recordings():
            each.opened(args[0], False)


def _sqlite_file(name: str) -> str:
    """The file of a SQLite connection; empty for a database in memory."""
    if name.startswith("file:"):
        name = unquote(urlsplit(name).path)
    return "" if name in ("", ":memory:") else name


_stat, _lstat, _access = os.stat, os.lstat, os.access
_INTERNAL = ("/linecache.py", "/tokenize.py", "/inspect.py", "/traceback.py", "/warnings.py", "/zipimport.py", "/pkgutil.py")


def _watched(plain: Callable[P, R]) -> Callable[P, R]:
    """A function of ``os`` that asks about a path, which tells the recordings first."""

    @functools.wraps(plain)
    def watched(*args: P.args, **kwargs: P.kwargs) -> R:
        path = args[0] if args else kwargs.get("path")
        if isinstance(path, str | bytes | os.PathLike) and not getattr(_busy, "on", False):
            caller = sys._getframe(1).f_code.co_filename
            if (
                not caller.startswith("<frozen importlib")
                and not caller.endswith(_INTERNAL)
                and not _is_search(sys._getframe(1))
            ):
                for each in _recordings():
                    each.looked(os.fsdecode(path))
        return plain(*args, **kwargs)

    return watched


_watched_stat, _watched_lstat, _watched_access = _watched(os.stat), _watched(os.lstat), _watched(os.access)


def _is_import() -> bool:
    """Whether the import system asks, for code: its own frame then calls itself. A resource is asked for from elsewhere."""
    frame = sys._getframe(2)
    name = frame.f_code.co_filename
    if name.endswith(("/linecache.py", "/tokenize.py", "/inspect.py")) or _is_search(frame):
        return True
    if not name.startswith("<frozen importlib"):
        return False
    return frame.f_back is not None and frame.f_back.f_code.co_filename.startswith("<frozen importlib")


def _is_search(frame: FrameType | None) -> bool:
    """Whether a library, not the project's own code, looks for what is installed: it goes through all folders of ``sys.path``.

    What a library finds there is a library too, and known by its version.
    """
    passed = False
    for _ in range(_DEEPEST):
        if frame is None:
            return False
        name = frame.f_code.co_filename
        if "/importlib/metadata/" in name:
            passed = True
        elif passed and not name.endswith(_BETWEEN):
            return origin(name) != "project"
        elif not passed and not name.endswith(_BETWEEN):
            return False
        frame = frame.f_back
    return False


_DEEPEST = 32
_BETWEEN = ("/pathlib.py", "/contextlib.py", "/zipfile.py", "/functools.py", "/email/__init__.py", "/csv.py", "/codecs.py")
_PLAIN_ENVIRONMENT = type(os.environ)


class _Environment(_PLAIN_ENVIRONMENT):  # type: ignore[misc, valid-type]  # the class of os.environ, which has no public name
    """``os.environ`` while somebody records."""

    def __getitem__(self, key: str) -> str:
        if isinstance(key, str):  # subprocess tries it with bytes first, to see whether it may
            for each in _recordings():
                each.asked(key)
        return cast(str, super().__getitem__(key))

    def __contains__(self, key: object) -> bool:
        if isinstance(key, str):
            for each in _recordings():
                each.asked(key)
        return bool(super().__contains__(key))

    def __iter__(self) -> Iterator[str]:
        for each in _recordings():
            each.asked("*")
        return cast("Iterator[str]", super().__iter__())
