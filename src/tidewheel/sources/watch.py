"""How far long work is: told by who does it, to whoever wants to show it."""

from __future__ import annotations

from collections.abc import Callable

Watch = Callable[[str, int, int | None], None]
"""Is told what is done, how far it is, and of how much, where that is known; at the end both are the same."""


def unwatched(what: str, done: int, of: int | None) -> None:
    """Nobody looks.

    Examples
    --------
    >>> unwatched("read trips", 10, None)
    """
