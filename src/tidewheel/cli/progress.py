"""Progress on the terminal: a spinner and the clock where there is one, plain lines where there is not."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

import click

from tidewheel.project.progress import progress_text

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID


@contextmanager
def progress() -> Iterator[TerminalProgress | PlainProgress]:
    """Show progress on stderr for as long as the block lasts."""
    if not sys.stderr.isatty():
        yield PlainProgress()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    # The stream itself, not what stands for it while steps run.
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as shown:
        yield TerminalProgress(shown)


_SECONDS = 10.0
"""How long a part of a build says nothing more."""


class PlainProgress:
    """One line per thing done, and one for a part of it that takes long, now and then; for logs and pipes."""

    def __init__(self) -> None:
        self._told = time.monotonic()

    def total(self, count: int) -> None:
        """How many builds there will be."""
        if count:
            click.echo(f"{count} to build", err=True)

    @contextmanager
    def _doing(self, what: str) -> Iterator[None]:
        start = self._told = time.monotonic()
        click.echo(f"{what} ...", err=True)
        yield
        click.echo(f"{what} done in {time.monotonic() - start:.1f} s", err=True)

    def doing(self, what: str) -> AbstractContextManager[None]:
        """Work on one thing."""
        return self._doing(what)

    def step(self, what: str, done: int, of: int | None) -> None:
        """How far a part of the current work is."""
        if time.monotonic() - self._told >= _SECONDS:
            self._told = time.monotonic()
            click.echo(f"  {progress_text(what, done, of)}", err=True)

    def note(self, text: str) -> None:
        """One line for a person."""
        click.echo(text, err=True)


class TerminalProgress:
    """Bars by Rich."""

    def __init__(self, shown: RichProgress) -> None:
        self._shown = shown
        self._all: TaskID | None = None
        self._parts: dict[str, TaskID] = {}

    def total(self, count: int) -> None:
        """How many builds there will be."""
        if count:
            self._all = self._shown.add_task("builds", total=count)

    @contextmanager
    def _doing(self, what: str) -> Iterator[None]:
        start = time.monotonic()
        task = self._shown.add_task(what, total=None)
        try:
            yield
        finally:
            self._shown.remove_task(task)
            for part in self._parts.values():
                self._shown.remove_task(part)
            self._parts.clear()
        self._shown.console.print(f"{what} done in {time.monotonic() - start:.1f} s", highlight=False)
        if self._all is not None:
            self._shown.advance(self._all)

    def doing(self, what: str) -> AbstractContextManager[None]:
        """Work on one thing."""
        return self._doing(what)

    def step(self, what: str, done: int, of: int | None) -> None:
        """How far a part of the current work is."""
        if what not in self._parts:
            self._parts[what] = self._shown.add_task(what, total=of)
        self._shown.update(self._parts[what], completed=done, total=of)

    def note(self, text: str) -> None:
        """One line for a person."""
        self._shown.console.print(text, highlight=False, markup=False)
