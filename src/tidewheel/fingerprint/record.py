"""Record what a function reads from outside while it runs; :mod:`tidewheel.fingerprint.verify_reads` verifies it later.

Python tells an audit hook of every file that it opens and every directory that it lists; environment variables are
seen by giving ``os.environ`` a class of ours for the time. What a library opens from C++ is not seen: that is the lint's work.
"""

from __future__ import annotations

import functools
import linecache
import os
import random
import re
import secrets
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.machinery import BYTECODE_SUFFIXES
from importlib.util import source_from_cache
from pathlib import Path
from types import FrameType
from typing import Literal, ParamSpec, TypeVar, cast
from urllib.parse import unquote, urlsplit
from weakref import WeakKeyDictionary

from tidewheel.artifacts.file import FileState, find_state
from tidewheel.digest import PREFIX
from tidewheel.fingerprint.chance import chance_state, drew
from tidewheel.fingerprint.known import NOTHING, Cache, Known
from tidewheel.fingerprint.origin import origin
from tidewheel.fingerprint.reads import Read, ReadKind
from tidewheel.fingerprint.verify_reads import (
    code_value,
    environment_value,
    file_value,
    link_value,
    listing_value,
    state_value,
)

P = ParamSpec("P")
R = TypeVar("R")

_IGNORED = ("/proc/", "/sys/", "/dev/")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Recording:
    """Reads of one run. Iterating gives them in order of kind and name, each once.

    ``hidden`` are environment variables that hold secrets: their values are no part of what is recorded, and ``known`` is what
    the fingerprint of the code has told before. ``unstable`` names what changed between its first read and the end of the run:
    no value can be told for it, so the run's result must not be kept. Neither must it after something ``untracked``, unless
    the code's author has said for how long it holds.
    """

    def __init__(self, root: Path, hidden: frozenset[str] = frozenset(), known: Known = NOTHING) -> None:
        self.root = _resolved(root.absolute())
        self.hidden = hidden
        self.known = known
        self.unstable: list[str] = []
        self.untracked: dict[str, None] = {}
        self._values: dict[tuple[ReadKind, str], str | None] = {}
        self._states: dict[str, FileState | None] = {}
        self._own: set[str] = set()
        self._lock = threading.RLock()
        self._chance = chance_state()

    def __iter__(self) -> Iterator[Read]:
        for (kind, name), value in sorted(self._values.items()):
            yield Read(kind, name, value)

    def __len__(self) -> int:
        return len(self._values)

    def doubts(self, *, trusted: bool) -> list[str]:
        """Why the result must not be kept; ``trusted`` code has said itself for how long, or that there is nothing."""
        changed = [f"{name} changed while it was read" for name in self.unstable]
        return changed if trusted else [*changed, *self.untracked]

    def opened(self, path: str, flags: int) -> None:
        """Note that a file was opened; one that the run itself wrote first is no input."""
        path = _absolute(path)
        with self._quiet():
            if self._is_ours(path):
                path = os.path.realpath(path)  # a link in a folder of the run's own may lead to what is not
                if self._is_ours(path):
                    return
            key: tuple[ReadKind, str] = ("file", self._name(path))
            if key in self._values:
                return
            writes = bool(flags & _WRITING)
            if writes and (flags & os.O_TRUNC or not os.path.lexists(path)):
                self._own.add(path)
            elif not flags & os.O_WRONLY:  # one that is opened for both keeps what is in it
                self._states[path] = find_state(path)
                self._values[key] = file_value(path)

    def appended(self, path: str) -> None:
        """Note what of a database is not in its file yet."""
        with self._quiet():
            if not self._is_ours(_absolute(path.removesuffix("-wal"))):
                self._values.setdefault(("file", self._name(_absolute(path))), file_value(path))

    def linked(self, path: str) -> None:
        """Note that it was asked where a link leads."""
        path = _absolute(path)
        with self._quiet():
            key: tuple[ReadKind, str] = ("link", self._name(path))
            if not self._is_ours(path) and key not in self._values:
                self._values[key] = link_value(path)

    def loaded(self, path: str) -> None:
        """Note that a module was imported, which the fingerprint has not met: it may reach any other of the project."""
        with self._quiet():
            if path.endswith(tuple(BYTECODE_SUFFIXES)) and "__pycache__" in path:
                path = source_from_cache(path)
            if origin(path) != "project":
                return
            self._values.setdefault(("code", "*"), code_value(str(self.root)))
            if not path.startswith(str(self.root) + os.sep) and not self._is_ours(path):
                self._values.setdefault(("file", self._name(path)), file_value(path))

    def unpickled(self, module: str, name: str) -> None:
        """Note that something was looked up by its name to unpickle it."""
        if f"{module}.{name}" in self.known.names or module == "__main__":
            return
        file = getattr(sys.modules.get(module), "__file__", None)
        if file is not None:
            self.loaded(file)

    def doubt(self, reason: str) -> None:
        """Note that something was read that has no value to compare with later."""
        self.untracked.setdefault(reason)

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
        """Find what changed under the run's hands, and whether chance had a part in it."""
        with self._quiet():
            if not self.known.seeds and drew(self._chance):
                self.doubt("it is random without a seed")
            for path, state in self._states.items():
                if find_state(path) != state:
                    self.unstable.append(self._name(path))

    def _name(self, path: str) -> str:
        root = str(self.root) + os.sep
        return path[len(root) :] if path.startswith(root) else ("." if path == str(self.root) else path)

    def _is_ours(self, path: str) -> bool:
        name = os.path.basename(path)  # noqa: PTH119 - a hot path
        if name.startswith(PREFIX) and _CONTENT.match(name):
            return True  # a content's digest is its value
        if path in self._own or path.startswith(_IGNORED) or "/.tidewheel/" in path or "/__pycache__" in path:
            return True
        if self._own and any(str(parent) in self._own for parent in Path(path).parents):
            return True
        # Installed files are known by their version, our own by ours;
        # but not which version the code itself asks for.
        whose = origin(path)
        return whose in ("standard", "own") or (whose == "library" and _is_installed(path) and ".dist-info/" not in path)

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        # Recording reads files itself; those events must not come back here.
        with unheard(), self._lock:
            yield


_CONTENT = re.compile(PREFIX + r"[0-9a-f]{64}")


@functools.lru_cache(maxsize=4096)
def _is_installed(path: str) -> bool:
    """Whether a file lies where this process imports libraries from, and not only in a folder of such a name."""
    places = [each for each in sys.path if each.rstrip("/").endswith(("site-packages", "dist-packages"))]
    return any(f"{path}/".startswith(each.rstrip("/") + "/") for each in (*places, sys.prefix, sys.base_prefix))


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
def recording(root: Path, *, hidden: frozenset[str] = frozenset(), known: Known = NOTHING) -> Iterator[Recording]:
    """Record reads of files, listings and environment variables inside the block, also those in threads it starts.

    What is asked about a path without opening it counts too (``os.stat``, ``os.path.exists``, ``Path.is_file``); the time of
    its last change does not, and the lint finds who reads it. Left out are files of the standard library, of installed
    packages, under ``.tidewheel/``, those that the block wrote itself, and Python source that is imported, which the
    fingerprint follows; and the environment variables that are ``hidden``. What an ``lru_cache`` of the code that is ``known``
    has kept from before counts as read; where it cannot be told what that was, the cache is emptied first.

    Examples
    --------
    >>> from pathlib import Path
    >>> with recording(Path(".")) as reads:
    ...     _ = os.environ.get("TIDEWHEEL_DOCTEST")
    >>> [read.component for read in reads]
    ['env:TIDEWHEEL_DOCTEST']
    """
    made = Recording(root, hidden, known)
    begun = [(cache, _remember(cache, made)) for cache in known.caches]
    token = _current.set(made)
    with _switch:
        _hook()
        _active.append(made)
        _watch(True)
    try:
        yield made
    finally:
        with _switch:
            _active.remove(made)
            if not _active:
                _watch(False)
        _current.reset(token)
        made.close()
        for cache, misses in begun:
            if cache.cache_info().misses != misses:
                _kept[cache] = (cache.cache_info().misses, (*_kept.get(cache, (0, ()))[1], *made))


_kept: WeakKeyDictionary[Cache, tuple[int, tuple[Read, ...]]] = WeakKeyDictionary()
"""What was read while a cache was filled, and how often it had been filled by then."""


def _remember(cache: Cache, made: Recording) -> int:
    """Take over what a cache's content was made of; answers how often it was filled."""
    misses = cache.cache_info().misses
    if cache.cache_info().currsize:
        known = _kept.get(cache)
        if known is not None and known[0] == misses:
            made.include(known[1])
        else:
            cache.cache_clear()
            _kept.pop(cache, None)
            return 0
    return misses


def current_recording() -> Recording | None:
    """The recording that this code runs in, if any."""
    return _current.get()


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
        if isinstance(path, str | bytes | os.PathLike):
            name, importing = os.fsdecode(path), _is_import(os.fsdecode(path))
            for each in _recordings():
                if importing == "module":
                    each.loaded(_absolute(name))
                elif not importing:
                    each.opened(name, flags if isinstance(flags, int) else 0)
    elif event in ("os.listdir", "os.scandir"):
        path = "." if args[0] is None else _of_descriptor(args[0]) if isinstance(args[0], int) else args[0]
        if isinstance(path, str | bytes | os.PathLike) and not _is_import(""):
            for each in _recordings():
                each.listed(os.fsdecode(path))
    elif event in _EVENTS:
        _EVENTS[event](args)


def _on_move(args: tuple[object, ...]) -> None:
    if isinstance(args[0], str | bytes | os.PathLike) and Path(os.fsdecode(args[0])).is_file():
        for each in _recordings():
            each.opened(os.fsdecode(args[0]), os.O_RDONLY)


def _on_connect(args: tuple[object, ...]) -> None:
    if isinstance(args[1], tuple):  # not a path: those are of this machine
        for each in _recordings():
            each.doubt("it reads the network")


def _on_unpickle(args: tuple[object, ...]) -> None:
    for each in _recordings():
        each.unpickled(str(args[0]), str(args[1]))


def _on_mkdir(args: tuple[object, ...]) -> None:
    if isinstance(args[0], str | bytes | os.PathLike):
        for each in _recordings():
            each.made(os.fsdecode(args[0]))


def _on_sqlite(args: tuple[object, ...]) -> None:
    path = _sqlite_file(os.fsdecode(args[0])) if isinstance(args[0], str | bytes | os.PathLike) else ""
    for each in _recordings() if path else ():
        each.opened(path, os.O_RDWR | os.O_CREAT)
        each.appended(path + "-wal")


def _on_library(args: tuple[object, ...]) -> None:
    if isinstance(args[0], str) and os.sep in args[0]:
        for each in _recordings():
            each.opened(args[0], os.O_RDONLY)


_EVENTS: Mapping[str, Callable[[tuple[object, ...]], None]] = {
    "os.mkdir": _on_mkdir,
    "os.rename": _on_move,
    "os.link": _on_move,
    "sqlite3.connect": _on_sqlite,
    "ctypes.dlopen": _on_library,
    "socket.connect": _on_connect,
    "pickle.find_class": _on_unpickle,
}


def _of_descriptor(number: int) -> str | None:
    """The path that a descriptor was opened by, where the system tells."""
    try:
        return _readlink(f"/proc/self/fd/{number}")
    except OSError:
        return None


def _sqlite_file(name: str) -> str:
    """The file of a SQLite connection; empty for a database in memory."""
    if name.startswith("file:"):
        name = unquote(urlsplit(name).path)
    return "" if name in ("", ":memory:") else name


_stat, _lstat, _access, _readlink, _open, _urandom = os.stat, os.lstat, os.access, os.readlink, os.open, os.urandom
_INTERNAL = ("/linecache.py", "/tokenize.py", "/inspect.py", "/traceback.py", "/warnings.py", "/zipimport.py", "/pkgutil.py")


def _watched(plain: Callable[P, R], note: Callable[[Recording, str], None]) -> Callable[P, R]:
    """A function of ``os`` that asks about a path, which tells the recordings first."""

    @functools.wraps(plain)
    def watched(*args: P.args, **kwargs: P.kwargs) -> R:
        path = args[0] if args else kwargs.get("path")
        folder = kwargs.get("dir_fd")
        if isinstance(folder, int) and isinstance(path, str | bytes):
            path = f"{_of_descriptor(folder) or '.'}/{os.fsdecode(path)}"
        if isinstance(path, str | bytes | os.PathLike) and not getattr(_busy, "on", False):
            caller = sys._getframe(1).f_code.co_filename
            if (
                not caller.startswith("<frozen importlib")
                and not caller.endswith(_INTERNAL)
                and not _is_search(sys._getframe(1))
            ):
                for each in _recordings():
                    note(each, os.fsdecode(path))
        return plain(*args, **kwargs)

    return watched


_watched_stat, _watched_lstat, _watched_access = (_watched(each, Recording.looked) for each in (os.stat, os.lstat, os.access))
_watched_readlink = _watched(os.readlink, Recording.linked)


def _watched_open(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
    """``os.open``, whose audit event does not tell of a folder that is given as a descriptor."""
    if dir_fd is None or getattr(_busy, "on", False):
        return _open(path, flags, mode, dir_fd=dir_fd)
    for each in _recordings():
        each.opened(f"{_of_descriptor(dir_fd) or '.'}/{os.fsdecode(path)}", flags)
    with unheard():
        return _open(path, flags, mode, dir_fd=dir_fd)


def _watched_urandom(size: int) -> bytes:
    """What ``secrets`` and generators of NumPy take that were given no seed; a module that is imported may make one."""
    if not getattr(_busy, "on", False):
        with unheard():
            unseeded = not _is_seeded(sys._getframe(1))
        for each in _recordings() if unseeded else ():
            each.doubt("it is random without a seed")
    return _urandom(size)


def _is_seeded(frame: FrameType | None) -> bool:
    """Whether what is taken from the system is not used: NumPy's ``RandomState(seed)`` does so before it takes its seed."""
    while frame is not None and frame.f_code.co_filename in (random.__file__, secrets.__file__):
        frame = frame.f_back
    if frame is None or re.search(r"\bRandomState\((?!\)|None\))", linecache.getline(frame.f_code.co_filename, frame.f_lineno)):
        return True
    while frame is not None and not frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return frame is not None


_TAKEN: tuple[tuple[object, str, object, object], ...] = (
    (os, "stat", _stat, _watched_stat),
    (os, "lstat", _lstat, _watched_lstat),
    (os, "access", _access, _watched_access),
    (os, "readlink", _readlink, _watched_readlink),
    (os, "open", _open, _watched_open),
    (random, "_urandom", _urandom, _watched_urandom),  # where SystemRandom finds it
)
"""Functions that raise no audit event, or tell too little in it, and ours, which take their places while somebody records."""


def plain_of(value: object) -> object:
    """What a function is when nobody records: a recipe must not depend on that.

    >>> plain_of(_watched_open) is _open, plain_of(len) is len
    (True, True)
    """
    return next((plain for _, _, plain, watched in _TAKEN if value is watched), value)


def _watch(on: bool) -> None:
    os.environ.__class__ = _Environment if on else _PLAIN_ENVIRONMENT
    setattr(os.environb, "__class__", _BytesEnvironment if on else _PLAIN_ENVIRONMENT)  # noqa: B010 - of another type
    for module, name, plain, watched in _TAKEN:
        setattr(module, name, watched if on else plain)


def _is_import(path: str) -> Literal["", "module", "text"]:
    """Whether the import system asks, for code: its own frame then calls itself. A resource is asked for from elsewhere.

    So do those who show the text of code in a traceback.
    """
    frame: FrameType | None = sys._getframe(2)
    if _is_search(frame):
        return "text"
    while frame is not None and frame.f_code.co_filename.endswith(("/linecache.py", "/tokenize.py", "/inspect.py")):
        frame = frame.f_back
    if frame is None:
        return ""
    name = frame.f_code.co_filename
    if frame is not sys._getframe(2) and path.endswith((".py", ".pyi")):
        with unheard():
            if origin(name) in ("standard", "library"):
                return "text"
    if not name.startswith("<frozen importlib"):
        return ""
    caller = frame.f_back.f_code.co_filename if frame.f_back is not None else ""
    return "module" if caller.startswith("<frozen importlib") else ""


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
            with unheard():
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


class _BytesEnvironment(_PLAIN_ENVIRONMENT):  # type: ignore[misc, valid-type]  # as above
    """``os.environb`` while somebody records; only what is asked for by bytes comes by here."""

    def __getitem__(self, key: bytes) -> bytes:
        for each in _recordings():
            each.asked(os.fsdecode(key))
        return cast(bytes, super().__getitem__(key))

    def __iter__(self) -> Iterator[bytes]:
        for each in _recordings():
            each.asked("*")
        return cast("Iterator[bytes]", super().__iter__())
