"""Keep what the steps of a run print, and show it while they run.

On a worker the executor keeps it, in the file that is named here. In this process ``sys.stdout`` and ``sys.stderr`` are
replaced for the time of the run, also in handlers of logging that hold them; what C code and child processes write straight to
the file descriptors is not seen. Whoever shows it reads the files: a terminal that stands still stops nobody.
"""

from __future__ import annotations

import io
import logging
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO, cast

from tidewheel.fingerprint.record import unheard
from tidewheel.ports.printed import LIMIT_BYTES, Mask, PrintedFile, cut_line, read_printed
from tidewheel.runs.logs import RunLogs

RUN_BYTES = 256 << 20
"""What is kept of one run, about: when it is full, tries keep little."""
_LEAST_BYTES = 64 << 10
_SHOW_SECONDS = 0.1
_PATIENCE = 3  # looks after which a line without an end is shown
_LAST_SECONDS = 2.0

Show = Callable[[str], None]


class Attempt:
    """One try of one call in this process, as a place to print to."""

    def __init__(
        self, kept: PrintedFile, *, name: str, hidden: Sequence[str], follow: Callable[[str, Path], None] | None
    ) -> None:
        self.passes = follow is None
        """Whether what is printed goes to the terminal as it is."""
        self._kept = kept
        self._name = name
        self._follow = follow
        self._mask = Mask(value.encode(errors="surrogateescape") for value in hidden)
        self._lock = threading.Lock()

    def write(self, data: bytes) -> bytes:
        """Keep it; answers what may be shown."""
        with unheard(), self._lock:
            first = not self._kept.size_bytes
            shown = self._mask.feed(data)
            self._kept.write(shown)
        if first and self._follow is not None:
            self._follow(self._name, self._kept.path)
        return shown

    def keep(self, text: str) -> None:
        """Keep it, and show it nowhere: whoever is told of the failure sees the same."""
        self._follow = None
        self.write(text.encode(errors="backslashreplace"))

    @property
    def masks(self) -> bool:
        """Whether something is not to be shown."""
        return bool(self._mask)

    def close(self) -> None:
        """The try has ended."""
        with unheard(), self._lock:
            self._kept.write(self._mask.finish())
            self._kept.close()


@dataclass(slots=True)
class _Shown:
    name: str
    path: Path
    place: int = 0
    rest: bytes = b""
    looks: int = 0
    ended: bool = False


@dataclass(slots=True)
class _Follower:
    show: Show
    shown: dict[Path, _Shown] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    stop: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None


class Printing:
    """What the steps of one run print.

    Parameters
    ----------
    run
        The run, or what else the tries belong to.
    show
        Takes lines with the step's name for a person. Without it, what steps print in this process goes where it would go
        anyway, and what they print on workers to stderr.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     printing = Printing(RunLogs(Path(folder)), "a1b2", show=lambda line: None)
    ...     with printing.active(), printing.attempt("fit", 0, attempt=1):
    ...         print("looking")
    ...     RunLogs(Path(folder)).list("a1b2")[0].text()
    'looking\\n'
    """

    def __init__(self, logs: RunLogs, run: str, *, show: Show | None = None) -> None:
        self._logs = logs
        self._run = run
        self._passes = show is None
        plain = sys.stderr
        self._follower = _Follower(show or (lambda line: print(line, file=plain)))
        self._used = 0
        self._tries: dict[tuple[str, int], int] = {}
        self._first: dict[str, int] = {}  # the first call of each step

    @contextmanager
    def active(self) -> Iterator[None]:
        """Take over what is printed inside of the block."""
        _take_streams()
        try:
            yield
        finally:
            _give_back_streams()
            self._finish()

    @contextmanager
    def attempt(
        self, step: str, call: int, *, attempt: int | None = None, hidden: Sequence[str] = (), run: str = ""
    ) -> Iterator[Attempt]:
        """One try in this process; without a number it is the next one of the call.

        Parameters
        ----------
        hidden
            Values that are not shown and not kept.
        run
            What it belongs to, when that is not this run.
        """
        global _newest
        path = self._path(step, call, attempt, run)
        kept = PrintedFile(path, limit_bytes=self.limit_bytes)
        label = self._label(step, call)
        made = Attempt(kept, name=label, hidden=hidden, follow=None if self._passes else self._follow)
        token, before = _current.set(made), _newest
        _newest = made
        try:
            yield made
        finally:
            _current.reset(token)
            _newest = before
            made.close()
            if kept.size_bytes:
                self.ended(path)

    def submitted(self, step: str, call: int, *, attempt: int | None = None, run: str = "") -> Path:
        """The file for one try on a worker, which is shown from now on; without a number it is the next one of the call."""
        path = self._path(step, call, attempt, run)
        self._follow(self._label(step, call), path)
        return path

    def _label(self, step: str, call: int) -> str:
        return step if self._first.setdefault(step, call) == call else f"{step}#{call}"

    def _path(self, step: str, call: int, attempt: int | None, run: str) -> Path:
        if attempt is None:  # of a trial, which earlier runs may have tried
            key = (run, call)
            if key not in self._tries:
                self._tries[key] = max((each.attempt for each in self._logs.list(run, call=call)), default=0)
            attempt = self._tries[key] = self._tries[key] + 1
        return self._logs.path(run or self._run, step, call, attempt=attempt)

    def ended(self, path: Path) -> None:
        """Nothing more is printed to this file."""
        with unheard():
            self._used += path.stat().st_size if path.exists() else 0
        found = self._follower.shown.get(path)
        if found is not None:
            found.ended = True

    @property
    def limit_bytes(self) -> int:
        """What may be kept of another try."""
        return max(min(LIMIT_BYTES, RUN_BYTES - self._used), _LEAST_BYTES)

    # ── show it ──────────────────────────────────────────────────────────────────────────────────

    def _follow(self, name: str, path: Path) -> None:
        follower = self._follower
        with follower.lock:
            follower.shown[path] = _Shown(name, path)
            if follower.thread is None:
                follower.stop.clear()
                follower.thread = threading.Thread(target=_show_all, args=(follower,), name="tidewheel-printed", daemon=True)
                follower.thread.start()

    def _finish(self) -> None:
        follower = self._follower
        with follower.lock:
            thread, follower.thread = follower.thread, None
        if thread is not None:
            follower.stop.set()
            thread.join(_LAST_SECONDS)  # a terminal that stands still is not waited for: all is in the files


def _show_all(follower: _Follower) -> None:
    _aside.on = True
    last = False
    while not last:
        last = follower.stop.wait(_SHOW_SECONDS)
        with follower.lock:
            found = list(follower.shown.values())
        for each in found:
            ended = each.ended or last
            for line in _new_lines(each, ended=ended):
                follower.show(f"{each.name} | {line}")
            if ended:
                with follower.lock:
                    follower.shown.pop(each.path, None)


def _new_lines(shown: _Shown, *, ended: bool) -> Iterator[str]:
    with unheard():
        while True:
            begin, data = read_printed(shown.path, shown.place)
            if not data:
                break
            if begin > shown.place:
                yield cut_line(begin - shown.place).strip()
            shown.place, shown.looks = begin + len(data), 0
            *lines, shown.rest = (shown.rest + data).split(b"\n")
            for line in lines:
                yield _readable(line)
        shown.looks += 1
        if shown.rest and (ended or shown.looks >= _PATIENCE):  # a prompt, perhaps, or a bar of progress
            yield _readable(shown.rest)
            shown.rest = b""


def _readable(line: bytes) -> str:
    """A line as a terminal would leave it: what was written over is not shown."""
    return line.rstrip(b"\r").rpartition(b"\r")[2].decode(errors="replace")


# ── in this process ──────────────────────────────────────────────────────────────────────────────

_current: ContextVar[Attempt | None] = ContextVar("tidewheel_attempt", default=None)
_newest: Attempt | None = None
# A thread that a step starts has no context of ours: what it prints is the newest try's.
_streams = threading.Lock()
_taken = 0
_aside = threading.local()


def current_attempt() -> Attempt | None:
    """The try that this code runs in, if any.

    Examples
    --------
    >>> current_attempt() is None
    True
    """
    return None if getattr(_aside, "on", False) else _current.get() or _newest


@contextmanager
def aside() -> Iterator[None]:
    """What this thread prints inside of the block is no step's: it is told by Tidewheel.

    Examples
    --------
    >>> with aside():
    ...     print("step fit: running")
    step fit: running
    """
    before = getattr(_aside, "on", False)
    _aside.on = True
    try:
        yield
    finally:
        _aside.on = before


class _Stream(io.TextIOBase):
    """``sys.stdout`` or ``sys.stderr`` while a run is at work."""

    def __init__(self, plain: TextIO) -> None:
        self.plain = plain
        self.buffer = cast("io.BufferedIOBase", _Bytes(plain))

    @property
    def encoding(self) -> str:  # type: ignore[override]  # typeshed has it as an attribute
        return self.plain.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]  # typeshed has it as an attribute
        return self.plain.errors

    def write(self, text: str, /) -> int:
        attempt = current_attempt()
        if attempt is None:
            return self.plain.write(text)
        shown = attempt.write(text.encode(errors="backslashreplace"))
        if attempt.passes:
            self.plain.write(shown.decode(errors="replace") if attempt.masks else text)
        return len(text)

    def flush(self) -> None:
        self.plain.flush()

    def fileno(self) -> int:
        return self.plain.fileno()

    def isatty(self) -> bool:
        attempt = current_attempt()
        return (attempt is None or attempt.passes) and self.plain.isatty()

    def writable(self) -> bool:
        return True


class _Bytes(io.RawIOBase):
    def __init__(self, plain: TextIO) -> None:
        self._plain = plain

    def write(self, data: bytes, /) -> int:  # type: ignore[override]  # any buffer, as its parent
        attempt = current_attempt()
        shown = bytes(data) if attempt is None else attempt.write(bytes(data))
        if attempt is None or attempt.passes:
            self._plain.flush()
            self._plain.buffer.write(shown)
        return len(data)

    def flush(self) -> None:
        self._plain.flush()

    def writable(self) -> bool:
        return True


def _take_streams() -> None:
    global _taken
    with _streams:
        _taken += 1
        if _taken > 1:
            return
        sys.stdout, sys.stderr = (cast(TextIO, _Stream(stream)) for stream in (sys.stdout, sys.stderr))
        for stream in (sys.stdout, sys.stderr):
            _redirect(cast(_Stream, stream).plain, stream)


def _give_back_streams() -> None:
    global _taken
    with _streams:
        _taken -= 1
        if _taken:
            return
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if isinstance(stream, _Stream):  # else somebody has put another one there meanwhile
                setattr(sys, name, stream.plain)
                _redirect(stream, stream.plain)


def _redirect(before: object, after: TextIO) -> None:
    """Handlers that hold the one stream hold the other then."""
    loggers = [logging.root, *(each for each in logging.root.manager.loggerDict.values() if isinstance(each, logging.Logger))]
    for logger in loggers:
        for handler in logger.handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream is before:
                handler.setStream(after)
