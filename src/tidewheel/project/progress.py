"""Progress of long work, as those who do the work tell it; a face (the terminal, nobody) shows it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


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
