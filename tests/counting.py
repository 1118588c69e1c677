"""The cost of work as a number that is the same on every machine, for tests that hold a cost down."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType


def calls(work: Callable[[], object]) -> int:
    """How many functions, Python's and C's, some work calls in this thread. Seconds depend on who else uses the machine.

    >>> calls(lambda: [abs(-1), abs(-2)])
    3
    """
    counted = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal counted
        counted += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return counted - 1  # the end of the counting is a call, too
