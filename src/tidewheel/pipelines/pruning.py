"""When a trial is stopped early, from what it and the others have reported. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

from tidewheel.errors import Invalid

Curve = Mapping[int, float]
"""What a trial has reported, by step."""


class Median(msgspec.Struct, frozen=True, tag=True):
    """Stop what at its best is worse than the median of the finished trials at the same step."""

    startup: int = 5
    warmup: int = 0

    def stops(self, own: Curve, *, finished: Sequence[Curve], others: Sequence[Curve], minimize: bool) -> bool:
        """Whether a trial is to stop after its last report."""
        import numpy as np  # here, since who declares a sweep has no use for it

        del others
        if not own or not finished or len(finished) < self.startup or max(own) < self.warmup:
            return False
        step = max(own)
        values = [value for value in own.values() if not math.isnan(value)]
        if not values:
            return True
        beside = [curve[step] for curve in finished if step in curve and not math.isnan(curve[step])]
        if not beside:
            return False
        middle = float(np.percentile(np.array(beside), 50))
        return min(values) > middle if minimize else max(values) < middle


class Halving(msgspec.Struct, frozen=True, tag=True):
    """At steps ``first``, ``first * keep_one_of``, ... let one of ``keep_one_of`` trials go on."""

    first: int = 1
    keep_one_of: int = 4

    def stops(self, own: Curve, *, finished: Sequence[Curve], others: Sequence[Curve], minimize: bool) -> bool:
        """Whether a trial is to stop after its last report."""
        del finished
        step, rung = max(own, default=-1), self.first
        while own and step >= rung:
            value = _at(own, rung)
            assert value is not None
            if math.isnan(value):
                return True
            beside = [found for curve in others if (found := _at(curve, rung)) is not None and not math.isnan(found)]
            ranked = sorted([value, *beside], reverse=not minimize)
            last = ranked[max(len(ranked) // self.keep_one_of - 1, 0)]
            if (value > last) if minimize else (value < last):
                return True
            rung *= self.keep_one_of
        return False


Pruner = Median | Halving


def prune_median(*, startup: int = 5, warmup: int = 0) -> Median:
    """Stop a trial that at its best is worse than the median of the finished trials at the same step.

    Parameters
    ----------
    startup
        So many trials must have finished before any is stopped.
    warmup
        No trial is stopped before this step.

    Examples
    --------
    >>> rule = prune_median(startup=1)
    >>> rule.stops({0: 0.9}, finished=[{0: 0.5}], others=[], minimize=True)
    True

    Source: Golovin et al., Google Vizier (KDD 2017), section 3.2.2; with Optuna's definition of details.
    """
    if startup < 0 or warmup < 0:
        raise Invalid(f"startup is {startup}, warmup {warmup}", where="startup, warmup", fix="give 0 or more")
    return Median(startup, warmup)


def prune_halving(*, first: int = 1, keep_one_of: int = 4) -> Halving:
    """At the steps ``first``, ``first * keep_one_of``, ... stop all but the best of every ``keep_one_of`` trials.

    Trials need not wait for each other: each is compared with those that have come as far (asynchronous successive halving).

    Parameters
    ----------
    first
        The first step at which trials are compared; 1 or more.
    keep_one_of
        2 or more.

    Examples
    --------
    >>> rule = prune_halving(first=1, keep_one_of=2)
    >>> rule.stops({1: 0.9}, finished=[], others=[{1: 0.5}], minimize=True)
    True

    Source: Li et al., A System for Massively Parallel Hyperparameter Tuning (MLSys 2020), algorithm 2.
    """
    if first < 1 or keep_one_of < 2:
        raise Invalid(f"first is {first}, keep_one_of {keep_one_of}", where="first", fix="give at least 1, and at least 2")
    return Halving(first, keep_one_of)


def _at(curve: Curve, rung: int) -> float | None:
    """The first report at a step or after it."""
    reached = [step for step in curve if step >= rung]
    return curve[min(reached)] if reached else None
