# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# mypy: ignore-errors
# mypy cannot read C types in annotations (``cython.longlong[::1]``); the callers of this file are checked.
"""The loops that write rows and keys as bytes and read them again: compiled to C, and interpreted as their own reference.

The bytes are those of :mod:`tidewheel.features.rows` and :mod:`tidewheel.features.keys`, whose codecs do one at a time what
is done here for many.
"""

from __future__ import annotations

import struct

try:
    import cython
except ImportError:  # both forms run without Cython
    from tidewheel.features import interpreted as cython

from tidewheel.errors import Corrupt

if cython.compiled:
    from cython.cimports.cpython.bytes import PyBytes_FromStringAndSize
    from cython.cimports.libc.string import memcpy

COMPILED = cython.compiled
"""Whether this is the compiled form."""

WHOLE, REAL, RAW = 0, 1, 2
"""How a number lies in a slot: an integer with its sign flipped, a float in the order of its bits, or as it is."""
BOOL, INT32, INT64, FLOAT32, FLOAT64, TEXT, BYTES, WIDE = range(8)
"""What a slot is read as; the last are 16 bytes."""
OPEN = object()
"""Stands for a look-up that :func:`latest_values` leaves to its caller."""
_MARK = struct.Struct(">q")
_SIZE = struct.Struct(">I")
_CLOSED = struct.Struct(">qI")
_START = 24


def _items(array):
    """An array as this form indexes it: interpreted, its items must be Python numbers."""
    return array if COMPILED else memoryview(array)


# ── writing ──────────────────────────────────────────────────────────────────────────────────────


@cython.cfunc
@cython.inline
def _ordered(bits: cython.ulonglong, width: cython.Py_ssize_t) -> cython.ulonglong:
    """The bits of a float so that they order as floats do, all NaN being one."""
    one: cython.ulonglong = 1
    top: cython.ulonglong = one << (8 * width - 1)
    infinity: cython.ulonglong = 9218868437227405312 if width == 8 else 2139095040
    if bits & (top - 1) > infinity:
        bits = 9221120237041090560 if width == 8 else 2143289344
    return top + (top - 1) - bits if bits & top else bits | top


@cython.locals(stride=cython.Py_ssize_t, offset=cython.Py_ssize_t, width=cython.Py_ssize_t, form=cython.Py_ssize_t)
@cython.locals(presence=cython.Py_ssize_t, mask=cython.Py_ssize_t, empty=cython.ulonglong, bits=cython.ulonglong)
@cython.locals(row=cython.Py_ssize_t, at=cython.Py_ssize_t, j=cython.Py_ssize_t, count=cython.Py_ssize_t)
def put_column(to: object, values: object, *, valid: object, place: tuple) -> None:
    """Write one column into the slots of many rows that stand one after the other.

    Parameters
    ----------
    to
        Bytes of the rows, their presence bits zero.
    values, valid
        int64 (floats by their bits), and one byte a row that says whether it has a value; ``None`` when all have one.
    place
        Bytes of a row, offset and width of the slot, form, byte and mask of the presence, content of an empty slot.
    """
    out: cython.uchar[::1] = memoryview(to)
    number: cython.const[cython.longlong][::1] = _items(values)
    there: cython.const[cython.uchar][::1] = memoryview(b"\1" if valid is None else valid)
    some: cython.bint = valid is not None
    stride, offset, width, form, presence, mask, empty = place
    count = number.shape[0]
    one: cython.ulonglong = 1
    top: cython.ulonglong = one << (8 * width - 1) if width else 0
    all_bits: cython.ulonglong = top + (top - 1) if width else 0
    for row in range(count):
        at = row * stride + offset
        if some and not there[row]:
            bits = empty
        else:
            if COMPILED:
                bits = cython.cast(cython.ulonglong, number[row])
            else:
                bits = number[row] & ((1 << 64) - 1)
            if form == 0:
                bits = bits ^ top
            elif form == 1:
                bits = _ordered(bits & all_bits, width)
            if mask:
                out[row * stride + presence] = out[row * stride + presence] | mask
        if width == 8:  # spelled out, so that compilers make one swapped store of it
            out[at] = bits >> 56
            out[at + 1] = bits >> 48 & 255
            out[at + 2] = bits >> 40 & 255
            out[at + 3] = bits >> 32 & 255
            out[at + 4] = bits >> 24 & 255
            out[at + 5] = bits >> 16 & 255
            out[at + 6] = bits >> 8 & 255
            out[at + 7] = bits & 255
            continue
        for j in range(width - 1, -1, -1):
            out[at + j] = bits & 255
            bits = bits >> 8


def cut(rows: bytes, size: int) -> list:
    """Rows of one size that stand one after the other, each by itself."""
    n: cython.Py_ssize_t
    width: cython.Py_ssize_t = size
    data: cython.const[cython.uchar][::1] = memoryview(rows)
    count: cython.Py_ssize_t = data.shape[0] // width if width else 0
    found: list = []
    for n in range(count):
        if cython.compiled:
            found.append(PyBytes_FromStringAndSize(cython.cast(cython.p_char, cython.address(data[n * width])), width))
        else:
            found.append(bytes(data[n * width : (n + 1) * width]))
    return found


@cython.locals(n=cython.Py_ssize_t, i=cython.Py_ssize_t, width=cython.Py_ssize_t, many=cython.Py_ssize_t)
@cython.locals(row=bytearray, piece=bytes, end=cython.Py_ssize_t, slot=cython.Py_ssize_t, short=cython.Py_ssize_t)
def join_pieces(rows: bytes, size: int, *, slots: list, pieces: list) -> list:
    """Rows with columns of any length: the first bytes of each in its slot, all behind the row, and their ends behind that.

    Parameters
    ----------
    slots
        Offset of each such column's slot.
    pieces
        For each such column the bytes of every row.
    """
    width = size
    many = len(slots)
    found: list = []
    for n in range(len(pieces[0])):
        row = bytearray(rows[n * width : (n + 1) * width])
        ends = bytearray()
        end = 0
        for i in range(many):
            piece = pieces[i][n]
            slot = slots[i]
            short = min(8, len(piece))
            row[slot : slot + short] = piece[:short]
            row += piece
            end += len(piece)
            ends += _SIZE.pack(end if i + 1 < many else end ^ _SIZE.unpack_from(row, 18)[0])
        row += ends
        found.append(bytes(row))
    return found


def close_rows(head: bytes, marks: object, *, lookups: list, tiles: object) -> list:
    """The closed rows of many keys (:mod:`tidewheel.features.online`).

    Parameters
    ----------
    head, marks
        The first 16 bytes of all of them, and the watermark of each.
    lookups
        For each slot the row of every key, or ``None``.
    tiles
        The packed tiles of every key; ``None`` without windows.
    """
    mark: cython.const[cython.longlong][::1] = _items(marks)
    n: cython.Py_ssize_t
    found: list = []
    size = _SIZE.pack
    if len(lookups) == 1 and tiles is None:
        rows: list = lookups[0]
        return [_closed(head, mark[n], b"" if rows[n] is None else rows[n]) for n in range(mark.shape[0])]
    for n in range(mark.shape[0]):
        parts = [head, _MARK.pack(mark[n])]
        for rows in lookups:
            row = rows[n] or b""
            parts.append(size(len(row)))
            parts.append(row)
        if tiles is not None:
            parts.append(tiles[n])
        found.append(b"".join(parts))
    return found


@cython.cfunc
@cython.locals(j=cython.Py_ssize_t, size=cython.Py_ssize_t, out=cython.p_uchar, data=cython.p_const_uchar, made=bytes)
def _closed(head: bytes, mark: cython.longlong, row: bytes) -> bytes:
    """One closed row of one slot."""
    if not cython.compiled:
        return head + _CLOSED.pack(mark, len(row)) + row
    size = len(row)
    made = PyBytes_FromStringAndSize(cython.NULL, 28 + size)
    out = cython.cast(cython.p_uchar, cython.cast(cython.p_char, made))
    data = head
    memcpy(out, data, 16)
    for j in range(8):
        out[16 + j] = mark >> (56 - 8 * j) & 255
    for j in range(4):
        out[24 + j] = size >> (24 - 8 * j) & 255
    data = row
    memcpy(out + 28, data, size)
    return made


def pack_ranges(ends: object, *, columns: list, widths: list) -> list:
    """For each range its length, lowest byte first, and its part of every column.

    Parameters
    ----------
    ends
        int64: range ``r`` is ``ends[r]`` up to ``ends[r + 1]``, counted from ``ends[0]``.
    columns, widths
        Bytes, and how many of them an item takes.
    """
    end: cython.const[cython.longlong][::1] = _items(ends)
    n: cython.Py_ssize_t
    low: cython.Py_ssize_t
    high: cython.Py_ssize_t
    width: cython.Py_ssize_t
    found: list = []
    pack = struct.Struct("<I").pack
    for n in range(end.shape[0] - 1):
        low = end[n] - end[0]
        high = end[n + 1] - end[0]
        parts = [pack(high - low)]
        for column, width in zip(columns, widths, strict=True):
            parts.append(column[width * low : width * high])
        found.append(b"".join(parts))
    return found


# ── reading ──────────────────────────────────────────────────────────────────────────────────────


@cython.final
@cython.cclass
class RowPlan:
    """Which columns of a row are wanted, and how they are read.

    Parameters
    ----------
    columns
        Flat, 6 numbers a column: what it is read as, offset of its slot, byte and mask of its presence, its place among the
        columns of any length, and whether ``converters`` has a function for it.
    converters
        What makes a value of the number or bytes read, one per column.
    layout
        Version, fingerprint, bytes of a row without those of any length, how many columns of any length there are.
    visible
        Offset of the slot that says from when a row is visible, or -1, and then how long after its time it is.
    whole
        Whether rows in bytewise order are in the order in which they win.
    ttl
        Microseconds for which a row stays good, negative for ever.
    """

    columns: cython.const[cython.longlong][::1]
    count: cython.Py_ssize_t
    converters: list
    defaults: list
    version: cython.longlong
    fingerprint: cython.longlong
    size: cython.Py_ssize_t
    strings: cython.Py_ssize_t
    available: cython.Py_ssize_t
    after: cython.longlong
    whole: cython.bint
    ttl: cython.longlong

    def __init__(
        self, columns: object, converters: list, defaults: list, *, layout: tuple, visible: tuple, whole: bool, ttl: int
    ) -> None:
        self.columns = _items(columns)
        self.count = len(columns) // 6
        self.converters = converters
        self.defaults = defaults
        self.version, self.fingerprint, self.size, self.strings = layout
        self.available, self.after = visible
        self.whole = whole
        self.ttl = ttl


@cython.cfunc
@cython.inline
def _unsigned(data: cython.p_const_uchar, at: cython.Py_ssize_t, width: cython.Py_ssize_t) -> cython.ulonglong:
    """Bytes as a number, the highest first."""
    if not cython.compiled:
        return int.from_bytes(data[at : at + width], "big")
    j: cython.Py_ssize_t
    number: cython.ulonglong = 0
    for j in range(width):
        number = number << 8 | data[at + j]
    return number


@cython.cfunc
@cython.inline
def _eight(data: cython.p_const_uchar, at: cython.Py_ssize_t) -> cython.ulonglong:
    """Eight bytes as a number: spelled out, so that compilers make one swapped load of it."""
    if not cython.compiled:
        return int.from_bytes(data[at : at + 8], "big")
    a: cython.ulonglong = data[at]
    b: cython.ulonglong = data[at + 1]
    c: cython.ulonglong = data[at + 2]
    d: cython.ulonglong = data[at + 3]
    e: cython.ulonglong = data[at + 4]
    f: cython.ulonglong = data[at + 5]
    g: cython.ulonglong = data[at + 6]
    h: cython.ulonglong = data[at + 7]
    return a << 56 | b << 48 | c << 40 | d << 32 | e << 24 | f << 16 | g << 8 | h


@cython.cfunc
@cython.inline
def _signed(data: cython.p_const_uchar, at: cython.Py_ssize_t) -> cython.longlong:
    """An int64 as rows hold it."""
    if not cython.compiled:
        return _eight(data, at) - (1 << 63)
    one: cython.ulonglong = 1
    return cython.cast(cython.longlong, _eight(data, at) ^ (one << 63))


@cython.cfunc
@cython.inline
def _real64(bits: cython.ulonglong) -> cython.double:
    """The float64 whose bits order so."""
    one: cython.ulonglong = 1
    top: cython.ulonglong = one << 63
    bits = bits ^ top if bits & top else top + (top - 1) - bits
    if not cython.compiled:
        return struct.unpack(">d", struct.pack(">Q", bits))[0]
    number: cython.double = 0.0
    memcpy(cython.address(number), cython.address(bits), 8)
    return number


@cython.cfunc
@cython.inline
def _real32(bits: cython.ulonglong) -> cython.double:
    """The float32 whose bits order so."""
    bits = bits ^ 2147483648 if bits >> 31 else 4294967295 - bits
    if not cython.compiled:
        return struct.unpack(">f", struct.pack(">I", bits))[0]
    number: cython.float = 0.0
    half: cython.uint = bits
    memcpy(cython.address(number), cython.address(half), 4)
    return number


@cython.cfunc
@cython.locals(n=cython.Py_ssize_t, c=cython.Py_ssize_t, kind=cython.longlong, at=cython.Py_ssize_t)
def _values(plan: RowPlan, row: bytes) -> list:
    """The wanted values of a row that is well formed."""
    data: cython.p_const_uchar = row
    found: list = [None] * plan.count
    for n in range(plan.count):
        c = 6 * n
        if not data[plan.columns[c + 2]] & plan.columns[c + 3]:
            found[n] = plan.defaults[n]
            continue
        kind = plan.columns[c]
        at = plan.columns[c + 1]
        if kind == 4:
            found[n] = _real64(_eight(data, at))
        elif kind == 2:
            found[n] = _signed(data, at)
        elif kind == 3:
            found[n] = _real32(_unsigned(data, at, 4))
        elif kind == 1:
            found[n] = cython.cast(cython.longlong, _unsigned(data, at, 4)) - 2147483648
        elif kind == 0:
            found[n] = data[at] != 0
        else:
            found[n] = _bytes(plan, row, c)
        if plan.columns[c + 5]:
            found[n] = _converted(plan.converters[n], found[n])
    return found


@cython.cfunc
def _converted(converter: object, value: object) -> object:
    """What a function makes of a value that was stored."""
    try:
        return converter(value)
    except (ValueError, IndexError, OverflowError, struct.error) as error:
        raise Corrupt("stored bytes are no value of their type", fix="materialise the view again") from error


@cython.cfunc
@cython.locals(c=cython.Py_ssize_t, kind=cython.longlong, at=cython.Py_ssize_t, behind=cython.Py_ssize_t)
@cython.locals(start=cython.Py_ssize_t, stop=cython.Py_ssize_t, i=cython.Py_ssize_t)
def _bytes(plan: RowPlan, row: bytes, c: cython.Py_ssize_t) -> object:
    """Bytes or text, given the place of its column in the plan."""
    data: cython.p_const_uchar = row
    kind = plan.columns[c]
    at = plan.columns[c + 1]
    if kind == 7:
        return row[at : at + 16]
    i = plan.columns[c + 4]
    behind = len(row) - 4 * plan.strings
    start = plan.size + (cython.cast(cython.Py_ssize_t, _unsigned(data, behind + 4 * (i - 1), 4)) if i else 0)
    stop = behind
    if i + 1 < plan.strings:
        stop = plan.size + cython.cast(cython.Py_ssize_t, _unsigned(data, behind + 4 * i, 4))
    value = row[start:stop]
    return _converted(_text, value) if kind == 5 else value


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


@cython.cfunc
@cython.inline
def _well_formed(plan: RowPlan, row: bytes) -> cython.bint:
    """Whether a row is of this plan and whole, so that nothing is read behind it."""
    data: cython.p_const_uchar = row
    end: cython.ulonglong
    size: cython.Py_ssize_t = len(row)
    if size < plan.size + 4 * plan.strings or data[16] != plan.version:
        return False
    if cython.cast(cython.longlong, _unsigned(data, 18, 4)) != plan.fingerprint:
        return False
    if plan.strings:
        end = _unsigned(data, size - 4, 4) ^ _unsigned(data, 18, 4)
        return plan.size + cython.cast(cython.Py_ssize_t, end) + 4 * plan.strings == size
    return size == plan.size


def read_values(plan: RowPlan, row: bytes) -> object:
    """The wanted values of a row, or ``None`` when its bytes are of another layout or schema.

    Raises
    ------
    Corrupt
        When they look like this plan's, but hold no values.
    """
    return _values(plan, row) if _well_formed(plan, row) else None


@cython.cfunc
@cython.locals(lo=cython.Py_ssize_t, hi=cython.Py_ssize_t, middle=cython.Py_ssize_t, at=cython.longlong)
@cython.locals(event=bytes, data=cython.p_const_uchar, other=bytes, known=cython.longlong)
def _newest(plan: RowPlan, items: list, at: cython.longlong) -> object:
    """The greatest open row visible at an instant, ``None``, or ``OPEN`` when its bytes do not tell which is."""
    lo = 0
    hi = len(items)
    while lo < hi:
        middle = (lo + hi) >> 1
        event = items[middle]
        data = event
        if _signed(data, 0) <= at:
            lo = middle + 1
        else:
            hi = middle
    while lo > 0:
        lo -= 1
        event = items[lo]
        event = event[: len(event) - 4]
        if not _well_formed(plan, event):
            return OPEN
        data = event
        known = _signed(data, plan.available) if plan.available >= 0 else _signed(data, 0) + plan.after
        if known > at:
            continue
        if not plan.whole and lo > 0:
            other = items[lo - 1]
            if other[:8] == event[:8]:
                return OPEN
        return event
    return None


@cython.cfunc
@cython.locals(event=bytes, shut=bytes, data=cython.p_const_uchar, size=cython.Py_ssize_t, known=cython.longlong)
def _latest(plan: RowPlan, row: object, items: list, at: cython.longlong) -> object:
    """The greatest row visible of a key, ``None``, or ``OPEN``."""
    best = _newest(plan, items, at) if len(items) else None
    if best is OPEN or row is None:
        return best
    shut = row
    data = shut
    if len(shut) < 28:
        return OPEN
    size = _unsigned(data, 24, 4)
    if not size:
        return best
    if len(shut) < 28 + size:
        return OPEN
    shut = shut[28 : 28 + size]
    if not _well_formed(plan, shut):
        return OPEN
    data = shut
    known = _signed(data, plan.available) if plan.available >= 0 else _signed(data, 0) + plan.after
    if known > at or _signed(data, 0) > at:
        return OPEN
    if best is None:
        return shut
    event = best
    if event[:16] == shut[:16] and not plan.whole and event != shut:
        return OPEN
    return event if event > shut else shut


@cython.locals(n=cython.Py_ssize_t, k=cython.Py_ssize_t, at=cython.longlong, data=cython.p_const_uchar, row=bytes)
def latest_values(plan: RowPlan, held: tuple, *, keys: list, times: list, found: list) -> list:
    """The wanted values of the greatest visible row of every query.

    Parameters
    ----------
    held
        The closed rows of the keys, of one look-up slot, and their open sets in order.
    found
        Is given the row that each answer is from; :data:`OPEN` where the answer is left to the caller.
    """
    closed: list = held[0]
    sets: list = held[1]
    values: list = []
    for n in range(len(keys)):
        k = keys[n]
        at = times[n]
        best = _latest(plan, closed[k], sets[k], at)
        found.append(best)
        if best is None or best is OPEN:
            values.append(list(plan.defaults))
            continue
        row = best
        data = row
        values.append(list(plan.defaults) if plan.ttl >= 0 and at - _signed(data, 0) > plan.ttl else _values(plan, row))
    return values


@cython.locals(n=cython.Py_ssize_t, c=cython.Py_ssize_t, there=cython.Py_ssize_t)
@cython.locals(data=cython.p_const_uchar, row=bytes, ts=cython.longlong, at=cython.longlong)
def tell_rows(plan: RowPlan, found: list, *, times: list, codes: bytearray) -> list:
    """The event time of the row that each answer is from, ``None`` without one.

    ``codes`` is given what a row's values have in common: 0 all are present, 1 there is no row, 2 it is too old, 3 all are
    null, 4 they differ.
    """
    told: list = []
    for n in range(len(found)):
        if found[n] is None:
            codes.append(1)
            told.append(None)
            continue
        row = found[n]
        data = row
        ts = _signed(data, 0)
        at = times[n]
        told.append(ts)
        if plan.ttl >= 0 and at - ts > plan.ttl:
            codes.append(2)
            continue
        there = 0
        for c in range(plan.count):
            there += 1 if data[plan.columns[6 * c + 2]] & plan.columns[6 * c + 3] else 0
        codes.append(0 if there == plan.count else 4 if there else 3)
    return told


# ── answering ────────────────────────────────────────────────────────────────────────────────────


def find_latest(
    read: object, uses: list, *, marks: list, requests: list, times: list, newest: int, decoded: bool = True
) -> object:
    """Answers of plain look-ups (:mod:`tidewheel.features.answer_lookups`) with one read of the store.

    Parameters
    ----------
    read
        What reads rows and sets (:meth:`tidewheel.ports.online_store.OnlineStore.read`).
    uses
        Of each the prefix of its keys, the name of the request's value that is the key, the :class:`RowPlan`, and what makes
        the keys of requests where a key is not one int64, otherwise ``None``.
    marks
        Rows that must be there.
    newest
        How many items of a set are read.
    decoded
        Whether values are wanted, and not the rows alone.

    Returns
    -------
    Values of every query (none where they are not wanted), and of each use the row that every answer is from; ``None`` when
    something about a request is out of the ordinary, or bytes do not tell an answer.
    """
    sets: list = []
    for use in uses:
        if use[3] is not None:
            keys = use[3](requests)
            if keys is None:
                return None
            sets = sets + keys
        elif not _add_keys(sets, use[0], requests, use[1]):
            return None
    rows, items = read(marks + sets, sets, newest=newest)
    for n in range(len(marks)):
        if rows[n] is None:
            return None
    values: list = []
    made = values if decoded else None
    everything: list = []
    for n in range(len(uses)):
        found: list = []
        if not _add_latest(uses[n][2], (rows, items), (n * len(times), len(marks), newest), times, made, found):
            return None
        everything.append(found)
    return values, everything


@cython.cfunc
@cython.locals(n=cython.Py_ssize_t, number=cython.longlong, size=cython.Py_ssize_t, j=cython.Py_ssize_t)
@cython.locals(out=cython.p_uchar, head=cython.p_const_uchar, made=bytes, bits=cython.ulonglong, request=dict)
def _add_keys(found: list, prefix: bytes, requests: list, name: str) -> cython.bint:
    """Add the key of every request whose entity is one int64 by that name; whether all requests have such a number."""
    one: cython.ulonglong = 1
    size = len(prefix)
    head = prefix
    for n in range(len(requests)):
        if type(requests[n]) is not dict:
            return False
        request = requests[n]
        part = request.get(name)
        if type(part) is not int:
            return False
        if not cython.compiled:
            if not -(1 << 63) <= part < 1 << 63:
                return False
            found.append(prefix + (part + (1 << 63)).to_bytes(8, "big"))
            continue
        try:
            number = part
        except OverflowError:
            return False
        bits = cython.cast(cython.ulonglong, number) ^ (one << 63)
        made = PyBytes_FromStringAndSize(cython.NULL, size + 8)
        out = cython.cast(cython.p_uchar, cython.cast(cython.p_char, made))
        memcpy(out, head, size)
        for j in range(8):
            out[size + j] = bits >> (56 - 8 * j) & 255
        found.append(made)
    return True


@cython.cfunc
@cython.locals(n=cython.Py_ssize_t, first=cython.Py_ssize_t, at=cython.longlong, data=cython.p_const_uchar)
@cython.locals(row=bytes, second=bytes, items=list, marks=cython.Py_ssize_t, newest=cython.Py_ssize_t)
def _add_latest(plan: RowPlan, held: tuple, place: tuple, times: list, values: object, found: list) -> cython.bint:
    """Add what one use answers to every query's values (unless ``None``), and the row it is from; whether bytes told all.

    ``place`` is the first of its sets, how many rows stand before the first closed one, and how many items of a set were read.
    """
    rows: list = held[0]
    sets: list = held[1]
    first, marks, newest = place
    new: cython.bint = not values
    for n in range(len(times)):
        at = times[n]
        items = sets[first + n]
        if len(items) == newest:  # what was left out may be all that was visible
            second = items[1]
            data = second
            if _signed(data, 0) > at - plan.after:
                return False
        best = _latest(plan, rows[marks + first + n], items, at)
        if best is OPEN:
            return False
        found.append(best)
        if values is None:
            continue
        if best is None:
            own = list(plan.defaults)
        else:
            row = best
            data = row
            own = list(plan.defaults) if plan.ttl >= 0 and at - _signed(data, 0) > plan.ttl else _values(plan, row)
        if new:
            values.append(own)
        else:
            values[n] += own
    return True
