# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# mypy: ignore-errors
# mypy cannot read C types in annotations (``cython.double[::1]``); the callers of this file are checked.
"""The loops that number keys: a hash table from values to numbers, in order of first appearance; and sums over rows' bytes.

A table has a power of two of places, at least twice as many as it will hold values, all -1 before. Compiled or interpreted,
as the fold's kernel.
"""

from __future__ import annotations

try:
    import cython
except ImportError:  # the compiled kernel and the interpreted one both run without Cython
    from tidewheel.features import interpreted as cython

COMPILED = cython.compiled
"""Whether this is the compiled form."""


def _items(array):
    """An array as this form of the kernel indexes it: interpreted, its items must be Python numbers."""
    return array if COMPILED else memoryview(array)


@cython.cfunc
@cython.exceptval(check=False)
@cython.inline
def _product(value: cython.ulonglong, factor: cython.longlong) -> cython.ulonglong:
    """The product's low 64 bits. The factor is signed, because Cython takes a literal beyond int64 for a Python number."""
    if cython.compiled:
        return value * cython.cast(cython.ulonglong, factor)
    return value * factor & 0xFFFFFFFFFFFFFFFF


@cython.cfunc
@cython.exceptval(check=False)
@cython.inline
def _sum(value: cython.ulonglong, other: cython.ulonglong) -> cython.ulonglong:
    """The sum's low 64 bits."""
    return value + other if cython.compiled else (value + other) & 0xFFFFFFFFFFFFFFFF


@cython.cfunc
@cython.exceptval(check=False)
@cython.inline
def _mixed(value: cython.ulonglong) -> cython.ulonglong:
    """The finaliser of SplitMix64: every bit of the value moves every bit of the answer."""
    value = _sum(value, 0)
    value = _product(value ^ (value >> 30), -4658895280553007687)
    value = _product(value ^ (value >> 27), -7723592293110705685)
    return value ^ (value >> 31)


# ── whole numbers ────────────────────────────────────────────────────────────────────────────────


def number_integers(values: object, table: object, *, distinct: object, codes: object) -> int:
    """Number values, and write each distinct one to its number's place; how many there are."""
    value: cython.const[cython.longlong][::1] = _items(values)
    place: cython.longlong[::1] = _items(table)
    known: cython.longlong[::1] = _items(distinct)
    code: cython.longlong[::1] = _items(codes)
    mask: cython.ulonglong = place.shape[0] - 1
    at: cython.ulonglong
    i: cython.Py_ssize_t
    count: cython.longlong = 0
    for i in range(value.shape[0]):
        at = _mixed(value[i]) & mask
        while place[at] >= 0 and known[place[at]] != value[i]:
            at = (at + 1) & mask
        if place[at] < 0:
            place[at] = count
            known[count] = value[i]
            count += 1
        code[i] = place[at]
    return count


def find_integers(values: object, table: object, *, distinct: object, codes: object) -> None:
    """The number of each value, or -1."""
    value: cython.const[cython.longlong][::1] = _items(values)
    place: cython.const[cython.longlong][::1] = _items(table)
    known: cython.const[cython.longlong][::1] = _items(distinct)
    code: cython.longlong[::1] = _items(codes)
    mask: cython.ulonglong = place.shape[0] - 1
    at: cython.ulonglong
    i: cython.Py_ssize_t
    for i in range(value.shape[0]):
        at = _mixed(value[i]) & mask
        while place[at] >= 0 and known[place[at]] != value[i]:
            at = (at + 1) & mask
        code[i] = place[at]


def find_near(values: object, table: object, *, low: int, codes: object) -> None:
    """The number of each value, or -1, from a table with a place for every value from ``low`` on."""
    value: cython.const[cython.longlong][::1] = _items(values)
    place: cython.const[cython.longlong][::1] = _items(table)
    code: cython.longlong[::1] = _items(codes)
    least: cython.longlong = low
    most: cython.longlong = low + place.shape[0] - 1
    i: cython.Py_ssize_t
    for i in range(value.shape[0]):
        code[i] = place[value[i] - least] if least <= value[i] <= most else -1


# ── strings ──────────────────────────────────────────────────────────────────────────────────────


@cython.final
@cython.cclass
class Pieces:
    """Strings or bytes: piece ``i`` lies in ``data`` from ``offsets[i]`` up to ``offsets[i + 1]``."""

    offsets: cython.const[cython.longlong][::1]
    data: cython.const[cython.uchar][::1]

    def __init__(self, offsets: object, data: object) -> None:
        self.offsets = _items(offsets)
        self.data = _items(data)


@cython.cfunc
@cython.exceptval(check=False)
@cython.inline
def _hashed(pieces: Pieces, number: cython.Py_ssize_t, seed: cython.ulonglong) -> cython.ulonglong:
    """FNV-1a over the bytes, mixed once more."""
    value: cython.ulonglong = seed ^ _product(1, -3750763034362895579)
    j: cython.Py_ssize_t
    for j in range(pieces.offsets[number], pieces.offsets[number + 1]):
        value = _product(value ^ pieces.data[j], 1099511628211)
    return _mixed(value)


@cython.cfunc
@cython.exceptval(check=False)
@cython.inline
def _alike(left: Pieces, one: cython.Py_ssize_t, right: Pieces, other: cython.Py_ssize_t) -> cython.bint:
    size: cython.longlong = left.offsets[one + 1] - left.offsets[one]
    a: cython.Py_ssize_t = left.offsets[one]
    b: cython.Py_ssize_t = right.offsets[other]
    j: cython.Py_ssize_t = 0
    if right.offsets[other + 1] - b != size:
        return False
    while j < size and left.data[a + j] == right.data[b + j]:
        j += 1
    return j == size


def number_pieces(pieces: Pieces, table: object, *, first: object, codes: object) -> int:
    """Number pieces, and write the first of each to its number's place in ``first``; how many there are."""
    place: cython.longlong[::1] = _items(table)
    known: cython.longlong[::1] = _items(first)
    code: cython.longlong[::1] = _items(codes)
    mask: cython.ulonglong = place.shape[0] - 1
    at: cython.ulonglong
    i: cython.Py_ssize_t
    count: cython.longlong = 0
    for i in range(pieces.offsets.shape[0] - 1):
        at = _hashed(pieces, i, 0) & mask
        while place[at] >= 0 and not _alike(pieces, known[place[at]], pieces, i):
            at = (at + 1) & mask
        if place[at] < 0:
            place[at] = count
            known[count] = i
            count += 1
        code[i] = place[at]
    return count


@cython.locals(at=cython.ulonglong, i=cython.Py_ssize_t)
def find_pieces(pieces: Pieces, known: Pieces, *, table: object, first: object, codes: object) -> None:
    """The number of each piece among those that :func:`number_pieces` numbered, or -1."""
    place: cython.const[cython.longlong][::1] = _items(table)
    earliest: cython.const[cython.longlong][::1] = _items(first)
    code: cython.longlong[::1] = _items(codes)
    mask: cython.ulonglong = place.shape[0] - 1
    for i in range(pieces.offsets.shape[0] - 1):
        at = _hashed(pieces, i, 0) & mask
        while place[at] >= 0 and not _alike(known, earliest[place[at]], pieces, i):
            at = (at + 1) & mask
        code[i] = place[at]


# ── sums over rows ───────────────────────────────────────────────────────────────────────────────


def mix_words(words: object, seed: int, *, real: bool, sums: object, chains: object) -> None:
    """Take the mixed word of one column into each row's sum and chain; ``seed`` tells one column from another.

    ``real``: the words are the bits of doubles, of which all NaN are one.
    """
    word: cython.const[cython.ulonglong][::1] = _items(words)
    total: cython.ulonglong[::1] = _items(sums)
    chain: cython.ulonglong[::1] = _items(chains)
    salt: cython.ulonglong = seed
    floats: cython.bint = real
    unsigned: cython.ulonglong = 9223372036854775807
    infinity: cython.ulonglong = 9218868437227405312
    nan: cython.ulonglong = 9221120237041090560
    mixed: cython.ulonglong
    i: cython.Py_ssize_t
    for i in range(word.shape[0]):
        mixed = word[i]
        if floats and mixed & unsigned > infinity:
            mixed = nan
        mixed = _mixed(mixed ^ salt)
        total[i] = _sum(total[i], mixed)
        chain[i] = _product(chain[i] ^ mixed, -7046029254386353131)


def hash_pieces(pieces: Pieces, seed: int, *, words: object) -> None:
    """One word for each piece."""
    salt: cython.ulonglong = seed
    word: cython.ulonglong[::1] = _items(words)
    i: cython.Py_ssize_t
    for i in range(pieces.offsets.shape[0] - 1):
        word[i] = _hashed(pieces, i, salt)


def mixed_total(sums: object) -> int:
    """The sum, over rows, of every row's sum mixed once more: rows in any order give the same."""
    row: cython.const[cython.ulonglong][::1] = _items(sums)
    total: cython.ulonglong = 0
    i: cython.Py_ssize_t
    for i in range(row.shape[0]):
        total = _sum(total, _mixed(row[i]))
    return total
