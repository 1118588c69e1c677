# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# mypy: ignore-errors
# mypy cannot read C types in annotations; the callers of this file are checked.
"""What the states of one question's windows come to, as Python values. Compiled or interpreted, as the fold's kernel."""

from __future__ import annotations

import math

try:
    import cython
except ImportError:  # the compiled kernel and the interpreted one both run without Cython
    from tidewheel.features import interpreted as cython

from tidewheel.errors import FeatureOverflow
from tidewheel.features.state import TOO_LARGE

if cython.compiled:
    from cython.cimports.libc.math import sqrt
    from cython.cimports.tidewheel.features.kernel import States
else:
    from math import sqrt

    from tidewheel.features.kernel import States

COMPILED = cython.compiled
"""Whether this is the compiled form."""


@cython.final
@cython.cclass
class Endings:
    """How states end.

    Parameters
    ----------
    answers
        Flat, 4 numbers an answer: how it ends (:class:`tidewheel.features.state.Ending`), where its state's integers and floats
        are (-1: it has none); of a ratio the places of the two answers that it is made of, which come before it. And its place
        among what is shown, or -1.
    defaults, converters
        Of each answer; ``None`` where there is none.
    shown
        How many are.
    """

    answers: cython.const[cython.longlong][::1]
    defaults: list
    converters: list
    shown: cython.Py_ssize_t

    def __init__(self, answers: object, *, defaults: list, converters: list, shown: int) -> None:
        self.answers = answers if COMPILED else memoryview(answers)
        self.defaults, self.converters, self.shown = defaults, converters, shown


@cython.cfunc
@cython.locals(n=cython.longlong, x=cython.double)
def _end(states: States, ending: cython.longlong, i: cython.Py_ssize_t, f: cython.Py_ssize_t) -> object:
    """What a state comes to, whose floats begin at ``f``, or which has none; ``None`` where there is no value."""
    n = states.ints[i]
    if ending == 0:
        return n
    if ending == 2:
        return _fitting(_total(states, i)) if f < 0 else _sum(states, f)
    if n == 0:
        return None
    if ending == 1:
        return states.ints[i + 1] if f < 0 else states.floats[f]
    if ending == 3:  # Python divides large integers correctly rounded
        return _total(states, i) / n if f < 0 else _sum(states, f) / cython.cast(cython.double, n)
    if ending <= 5:
        n -= 1
        if n == 0:
            return None
    x = states.floats[f + 1] / cython.cast(cython.double, n)
    if ending == 4 or ending == 6:
        return x
    return sqrt(x) if x >= 0 else math.nan


@cython.cfunc
@cython.locals(low=cython.longlong, high=cython.longlong)
def _total(states: States, i: cython.Py_ssize_t) -> object:
    """The integer that two limbs are."""
    low = states.ints[i + 1]
    high = states.ints[i + 2]
    if -536870912 < high < 536870912 and low < 2305843009213693952:
        return high * 4294967296 + low
    whole: object = high
    return whole * 4294967296 + low


@cython.cfunc
def _fitting(total: object) -> object:
    if not -(1 << 63) <= total < 1 << 63:
        raise FeatureOverflow(f"sum {total} does not fit int64", fix=TOO_LARGE)
    return total


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _sum(states: States, f: cython.Py_ssize_t) -> cython.double:
    """Sum and lost part as one number; an infinite sum has no lost part."""
    s: cython.double = states.floats[f]
    return s + states.floats[f + 1] if s - s == 0.0 else s


@cython.cfunc
@cython.locals(x=cython.double, y=cython.double)
def _divided(over: object, under: object) -> object:
    """One value over another; nothing where either is missing, or of 0."""
    if over is None or under is None:
        return None
    x = over
    y = under
    return None if y == 0.0 else x / y


@cython.locals(e=cython.Py_ssize_t, n=cython.Py_ssize_t, ending=cython.longlong, place=cython.Py_ssize_t)
def end_windows(plan: Endings, states: States) -> list:
    """The values shown of one question."""
    shown: list = [None] * plan.shown
    found: list = []
    for n in range(plan.answers.shape[0] // 4):
        e = 4 * n
        ending = plan.answers[e]
        default = plan.defaults[n]
        if ending == 8:
            value = _divided(found[plan.answers[e + 1]], found[plan.answers[e + 2]])
        else:
            value = _end(states, ending, plan.answers[e + 1], plan.answers[e + 2])
            if default is not None and not states.ints[plan.answers[e + 1]]:
                value = None
        if value is None:
            value = default
        elif plan.converters[n] is not None:
            value = plan.converters[n](value)
        found.append(value)
        place = plan.answers[e + 3]
        if place >= 0:
            shown[place] = value
    return shown
