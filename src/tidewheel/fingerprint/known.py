"""What the fingerprint of some code tells to those who watch it run."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Cache = functools._lru_cache_wrapper[Any]
else:
    Cache = functools._lru_cache_wrapper


@dataclass(frozen=True, slots=True)
class Known:
    """What is known before some code runs.

    Parameters
    ----------
    names
        Full names of the functions and classes that its recipe holds.
    seeds
        Whether it gives a seed to a generator of random numbers that all code shares.
    caches
        Functions that it reaches and that keep what they have answered.

    Examples
    --------
    >>> Known().seeds
    False
    """

    names: frozenset[str] = frozenset()
    seeds: bool = False
    caches: tuple[Cache, ...] = ()


NOTHING = Known()
"""Of code that nobody has looked at."""
