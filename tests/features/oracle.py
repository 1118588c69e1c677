"""Point in time and windows, written again in the plainest Python: what the kernel is compared with."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Fact:
    """A row of a source; times in microseconds."""

    key: int
    ts: int
    created: int
    known: int
    value: int | float | None


def look_up(facts: Sequence[Fact], key: int, t: int, ttl: int | None, *, last_known: bool = False) -> int | float | None:
    """Value of the greatest visible row, by (event time, created time, value; a null is less than any value)."""
    seen = [f for f in facts if f.key == key and f.known <= t and f.ts <= t and not (last_known and f.value is None)]
    if not seen:
        return None
    best = max(seen, key=lambda f: (f.ts, f.created, f.value is not None, f.value or 0))
    return None if ttl is not None and t - best.ts > ttl else best.value


def window(facts: Sequence[Fact], key: int, t: int, span: int, hop: int) -> list[int | float]:
    """Values in the window, in time order; equal times in order of value."""
    start = math.floor(Fraction(t - span, hop)) * hop
    seen = [f for f in facts if f.key == key and start <= f.ts < t and f.known <= t and f.value is not None]
    return [f.value for f in sorted(seen, key=lambda f: (f.ts, f.value)) if f.value is not None]


def aggregate(name: str, values: Sequence[int | float]) -> int | float | None:
    """The aggregate of some values, exactly, then rounded once."""
    if name == "count":
        return len(values)
    if name == "sum":
        total = sum((Fraction(value) for value in values), Fraction(0))
        return int(total) if all(isinstance(value, int) for value in values) else float(total)
    if not values:
        return None
    if name == "mean":
        return float(sum((Fraction(value) for value in values), Fraction(0)) / len(values))
    if name == "std":
        return statistics.stdev(values) if len(values) > 1 else None
    if name == "std_pop":
        return statistics.pstdev(values)
    return {"min": min(values), "max": max(values), "last": values[-1]}[name]
