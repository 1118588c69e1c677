"""Work done ahead of the one who takes it: a stage of a pipeline, in threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

T = TypeVar("T")
A = TypeVar("A")


def ahead(pool: Executor, work: Callable[[A], T], items: Iterable[A], *, depth: int) -> Iterator[T]:
    """What the work gives for each item, in order, with so many of them begun before they are asked for.

    What waits is bounded, so that a quick stage does not fill the memory for a slow one. What a call raises is raised here.

    Parameters
    ----------
    depth
        At least 1. With threads, items are taken from ``items`` in the caller's own.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> with ThreadPoolExecutor(2) as pool:
    ...     list(ahead(pool, abs, [-1, 2, -3], depth=2))
    [1, 2, 3]
    """
    begun: deque[Future[T]] = deque()
    try:
        for item in items:
            begun.append(pool.submit(work, item))
            if len(begun) > depth:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        for one in begun:
            one.cancel()
