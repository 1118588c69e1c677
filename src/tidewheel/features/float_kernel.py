# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# mypy: ignore-errors
# mypy cannot read C types in annotations; the callers of this file are checked.
"""Numbers of 32 bits on their way to text: 1.111, not 1.1109999418258667.

Python and JSON know 64 bits only, so a float32 is written with digits that it never had. For each such number this finds the
number of 64 bits that is nearest to its *shortest* decimal, the one with the fewest digits that reads back as the same 32 bits;
every writer of shortest decimals then writes just these digits. Compiled or interpreted, as the fold's kernel.
"""

from __future__ import annotations

import struct

try:
    import cython
except ImportError:  # the compiled kernel and the interpreted one both run without Cython
    from tidewheel.features import interpreted as cython

COMPILED = cython.compiled
"""Whether this is the compiled form."""

_FLOAT = struct.Struct("f")
_LEAST: cython.double = 1e-7
_GREATEST: cython.double = 1e6


@cython.cfunc
def _narrow(value: cython.double) -> cython.double:
    if cython.compiled:
        return cython.cast(cython.double, cython.cast(cython.float, value))
    return _FLOAT.unpack(_FLOAT.pack(value))[0]


def shorten(value: cython.double) -> cython.double:
    """The number of 64 bits that prints as the shortest decimal of a number of 32 bits.

    Examples
    --------
    >>> shorten(1.1109999418258667), shorten(16777216.0)
    (1.111, 16777216.0)
    """
    size: cython.double = -value if value < 0 else value
    power: cython.double = 1.0
    scaled: cython.double
    near: cython.double
    whole: cython.longlong
    tried: cython.int
    if not _LEAST <= size < _GREATEST:
        return _by_text(value)
    # The power of ten that leaves six digits before the point: six always survive, nine always suffice.
    while size * power < 99999.5:
        power *= 10.0
    for tried in range(6, 10):  # noqa: B007 - counted in C
        scaled = size * power
        whole = cython.cast(cython.longlong, scaled + 0.5)
        if whole - scaled == 0.5 and whole % 2:
            whole -= 1
        near = whole / power  # both are exact, so this is the nearest number to the decimal
        if _narrow(near) == size:
            return -near if value < 0 else near
        power *= 10.0
    return _by_text(value)


def _by_text(value):
    if value != value or value in (float("inf"), float("-inf")):
        return value
    for digits in range(1, 10):
        near = float(f"{value:.{digits}g}")
        try:
            if _FLOAT.unpack(_FLOAT.pack(near))[0] == value:
                return near
        except OverflowError:  # a decimal just above the greatest number of 32 bits
            continue
    return value


def shorten_places(rows: list, places: tuple) -> None:
    """Shorten the numbers at some places of every row, in place; null stays null."""
    for row in rows:
        for place in places:
            value = row[place]
            if value is not None:
                row[place] = (
                    [one if one is None else shorten(one) for one in value] if isinstance(value, list) else shorten(value)
                )
