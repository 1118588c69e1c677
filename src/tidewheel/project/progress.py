"""Progress of long work, as those who do the work tell it; a face (the terminal, nobody) shows it, or it is told here."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TextIO


class Progress(Protocol):
    """Where builds report what they are doing."""

    def total(self, count: int) -> None:
        """How many builds there will be."""
        ...

    def doing(self, what: str) -> AbstractContextManager[None]:
        """Work on one thing, for as long as the block lasts."""
        ...

    def step(self, what: str, done: int, of: int | None) -> None:
        """How far a part of the current work is."""
        ...

    def note(self, text: str) -> None:
        """One line that a person would want to read."""
        ...


class _Silent:
    def total(self, count: int) -> None: ...

    def doing(self, what: str) -> AbstractContextManager[None]:
        return _nothing()

    def step(self, what: str, done: int, of: int | None) -> None: ...

    def note(self, text: str) -> None: ...


@contextmanager
def _nothing() -> Iterator[None]:
    yield


silent: Progress = _Silent()
"""Shows nothing."""


_PATIENCE_SECONDS = 2.0
"""Work that is done within it is not worth a word."""
_TERMINAL_SECONDS, _LOG_SECONDS = 0.2, 10.0


class Teller:
    """Tells how far long work is where no face shows it: on one line of the terminal that is written over, or in the log.

    What a script prints is on stdout; this is on stderr where that is a terminal, and else in lines of the logger
    ``tidewheel``, at level INFO, every ten seconds.

    Examples
    --------
    >>> import io
    >>> teller = Teller(io.StringIO())
    >>> teller("read trips", 1_000, 50_000)
    """

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._what = ""
        self._begun = self._told = 0.0
        self._shown = False

    def __call__(self, what: str, done: int, of: int | None) -> None:
        stream, now = self._stream or sys.stderr, self._clock()
        if what != self._what:
            self._what, self._begun, self._told = what, now, now
        if done == of:
            if self._shown:
                stream.write("\r\x1b[2K")
                stream.flush()
            self._what, self._shown = "", False
            return
        terminal = stream.isatty()
        wait = _TERMINAL_SECONDS if terminal else _LOG_SECONDS
        if now - self._begun < _PATIENCE_SECONDS or now - self._told < wait:
            return
        self._told = now
        text = progress_text(what, done, of)
        if terminal:
            stream.write(f"\r\x1b[2K{text}")
            stream.flush()
            self._shown = True
        else:
            logging.getLogger("tidewheel").info(text)


def progress_text(what: str, done: int, of: int | None) -> str:
    """How far a work is, for a person.

    Examples
    --------
    >>> progress_text("read trips", 12_000_000, 50_000_000), progress_text("read trips", 7, None)
    ('read trips: 12,000,000 of 50,000,000', 'read trips: 7')
    """
    return f"{what}: {done:,}" + (f" of {of:,}" if of else "")
