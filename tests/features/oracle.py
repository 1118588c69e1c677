"""Point in time and windows, written again in the plainest Python: what the kernel is compared with."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise


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


def window(facts: Sequence[Fact], key: int, t: int, span: int | None, hop: int, *, offset: int = 0) -> list[int | float]:
    """Values in the window, in time order; equal times in order of value. No span is for ever; an offset counts whole hops."""
    start = -math.inf if span is None else math.floor(Fraction(t - offset - span, hop)) * hop
    end = math.floor(Fraction(t - offset, hop)) * hop if offset else t
    seen = [f for f in facts if f.key == key and start <= f.ts < end and f.known <= t and f.value is not None]
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
    if name == "var":
        return statistics.variance(values) if len(values) > 1 else None
    if name == "var_pop":
        return statistics.pvariance(values)
    return {"min": min(values), "max": max(values), "last": values[-1], "first": values[0]}[name]


def kept(name: str, values: Sequence[int | float], told: Mapping[str, object]) -> object:
    """Aggregates that keep more than a number: of no values too."""
    if name == "first_k":
        return list(values[: _int(told["k"])])
    if name == "last_k":
        return list(values[-_int(told["k"]) :])
    if name == "distinct":
        return min(len(set(values)), _int(told.get("limit") or len(values)))
    if name == "top_k":
        times = Counter(values)
        return sorted(times, key=lambda value: (-times[value], value))[: _int(told["k"])]
    if name == "histogram":
        edges = told["edges"]
        assert isinstance(edges, Sequence)
        borders = [-math.inf, *edges, math.inf]
        return [sum(low <= value < high for value in values) for low, high in pairwise(borders)]
    assert name == "quantile"
    return sorted(values)[math.floor(_float(told["q"]) * (len(values) - 1))] if values else None


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value


def _float(value: object) -> float:
    assert isinstance(value, float)
    return value
