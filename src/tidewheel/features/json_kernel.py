# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# mypy: ignore-errors
# ruff: noqa: F821
# mypy cannot read C types in annotations; the callers of this file are checked. Tables and a C function are of the .pxd.
"""The JSON of look-ups straight from the bytes of the rows that were found: the same bytes as msgspec writes of the values.

Most of what an answer costs otherwise is to make a Python number of each slot and text of each number. Floats are written with
the fewest digits that read back the same, by Schubfach. Compiled; interpreted, each value is written by msgspec.

*Source*: R. Giulietti, *The Schubfach way to render doubles*, 2020.
"""

from __future__ import annotations

import struct

import msgspec

try:
    import cython
except ImportError:  # both forms run without Cython
    from tidewheel.features import interpreted as cython

from tidewheel.features.float_kernel import shorten

if cython.compiled:
    from cython.cimports.cpython.bytes import PyBytes_FromStringAndSize
    from cython.cimports.libc.stdlib import free, realloc
    from cython.cimports.libc.string import memcpy

COMPILED = cython.compiled
"""Whether this is the compiled form."""

STATUSES = (b'"PRESENT"', b'"NULL_VALUE"', b'"NOT_FOUND"', b'"OUTSIDE_MAX_AGE"')
_encode = msgspec.json.Encoder().encode
_FIRST_POWER = -292
_WIDEST = 40
"""More bytes than a number, a truth value or an instant takes."""

if cython.compiled:
    for _k in range(617):  # 128 bits of each power of ten, rounded up
        _power = _k + _FIRST_POWER
        _bits = (10**_power).bit_length() if _power >= 0 else -(10**-_power - 1).bit_length() + 1
        _shift = 128 - _bits
        if _power >= 0:
            _number = 10**_power << _shift if _shift >= 0 else -(-(10**_power) >> -_shift)
        else:
            _number = -((-1 << _shift) // 10**-_power)
        _powers[2 * _k] = _number >> 64
        _powers[2 * _k + 1] = _number & ((1 << 64) - 1)
    for _k in range(20):
        _tens[_k] = 10**_k
    for _k in range(100):
        _pairs[2 * _k] = 48 + _k // 10
        _pairs[2 * _k + 1] = 48 + _k % 10


@cython.final
@cython.cclass
class JsonPlan:
    """How the values of a row are written.

    Parameters
    ----------
    columns
        As of :class:`tidewheel.features.row_kernel.RowPlan`.
    defaults
        JSON of what stands for a value that is not there.
    layout
        Bytes of a row without columns of any length, and how many of these there are.
    ttl
        Microseconds for which a row stays good, negative for ever.
    read
        Gives the values of a row as Python has them, for those that are written by msgspec.
    """

    columns: cython.const[cython.longlong][::1]
    count: cython.Py_ssize_t
    defaults: list
    size: cython.Py_ssize_t
    strings: cython.Py_ssize_t
    ttl: cython.longlong
    read: object
    blank: bytes
    told: tuple
    nothing: bytes

    def __init__(self, columns: object, defaults: list, *, layout: tuple, ttl: int, read: object) -> None:
        self.columns = columns if COMPILED else memoryview(columns)
        self.count = len(columns) // 6
        self.defaults = defaults
        self.size, self.strings = layout
        self.ttl = ttl
        self.read = read
        self.blank = b",".join(defaults)
        self.told = tuple([b",".join([status] * self.count) for status in STATUSES])
        self.nothing = b",".join([b"null"] * self.count)


@cython.final
@cython.cclass
class Text:
    """Bytes that grow."""

    data: cython.p_uchar
    size: cython.Py_ssize_t
    room: cython.Py_ssize_t
    made: bytearray

    def __init__(self) -> None:
        if not cython.compiled:
            self.made = bytearray()

    def __dealloc__(self):
        free(self.data)


@cython.cfunc
@cython.inline
@cython.exceptval(check=True)
@cython.locals(wanted=cython.Py_ssize_t, data=cython.p_uchar)
def _make_room(text: Text, more: cython.Py_ssize_t) -> cython.void:
    """See to it that so many bytes fit."""
    if not cython.compiled or text.room - text.size >= more:
        return
    wanted = 2 * text.room + more + 1024
    data = cython.cast(cython.p_uchar, realloc(text.data, wanted))
    if data == cython.NULL:
        raise MemoryError
    text.data = data
    text.room = wanted


@cython.cfunc
@cython.inline
@cython.exceptval(check=True)
@cython.locals(data=cython.p_const_uchar)
def _put(text: Text, piece: bytes) -> cython.void:
    if not cython.compiled:
        text.made += piece
        return
    _make_room(text, len(piece) + _WIDEST)
    data = piece
    memcpy(text.data + text.size, data, len(piece))
    text.size += len(piece)


@cython.cfunc
@cython.exceptval(check=False)
@cython.inline
def _byte(text: Text, one: cython.uchar) -> cython.void:
    """Put one byte, for which there is room."""
    if cython.compiled:
        text.data[text.size] = one
        text.size += 1
    else:
        text.made.append(one)


@cython.cfunc
@cython.exceptval(check=False)
@cython.locals(value=cython.ulonglong, width=cython.Py_ssize_t, at=cython.p_uchar, part=cython.uint, pair=cython.uint)
def _digits(text: Text, value: cython.ulonglong, width: cython.Py_ssize_t) -> cython.void:
    """Put a number with so many digits, zeros in front; there is room."""
    if not cython.compiled:
        text.made += b"%0*d" % (width, value)
        return
    at = text.data + text.size + width
    text.size += width
    while width >= 8:
        part = cython.cast(cython.uint, value % 100000000)
        value = value // 100000000
        for _ in range(4):
            pair = part % 100
            part = part // 100
            at -= 2
            memcpy(at, _pairs + 2 * pair, 2)
        width -= 8
    part = cython.cast(cython.uint, value)
    while width >= 2:
        pair = part % 100
        part = part // 100
        at -= 2
        memcpy(at, _pairs + 2 * pair, 2)
        width -= 2
    if width:
        at -= 1
        at[0] = 48 + part % 10


@cython.cfunc
@cython.exceptval(check=False)
@cython.inline
@cython.locals(length=cython.Py_ssize_t)
def _length(value: cython.ulonglong) -> cython.Py_ssize_t:
    """How many digits a number has; compiled only."""
    length = 20
    while length > 1 and value < _tens[length - 1]:
        length -= 1
    return length


@cython.cfunc
@cython.exceptval(check=False)
@cython.locals(bits=cython.ulonglong)
def _put_whole(text: Text, value: cython.longlong) -> cython.void:
    """Put an integer; there is room."""
    if not cython.compiled:
        text.made += b"%d" % value
        return
    bits = cython.cast(cython.ulonglong, value)
    if value < 0:
        _byte(text, 45)
        bits = 0 - bits
    _digits(text, bits, _length(bits))


# ── floats ───────────────────────────────────────────────────────────────────────────────────────


@cython.cfunc
@cython.exceptval(check=False)
@cython.inline
@cython.locals(y0=cython.ulonglong, y1=cython.ulonglong, x1=cython.ulonglong)
def _rounded(high: cython.ulonglong, low: cython.ulonglong, by: cython.ulonglong) -> cython.ulonglong:
    """The upper 64 bits of a product of 192, odd where bits were lost."""
    x1 = tidewheel_upper(low, by)
    y0 = high * by
    y1 = tidewheel_upper(high, by)
    y0 = y0 + x1
    if y0 < x1:
        y1 += 1
    return y1 | (y0 > 1)


@cython.cfunc
@cython.exceptval(check=False)
@cython.locals(
    bits=cython.ulonglong, fraction=cython.ulonglong, c=cython.ulonglong, high=cython.ulonglong, low=cython.ulonglong
)
@cython.locals(exponent=cython.int, q=cython.int, k=cython.int, h=cython.int, closer=cython.int, odd=cython.int)
@cython.locals(lower=cython.ulonglong, middle=cython.ulonglong, upper=cython.ulonglong, s=cython.ulonglong, t=cython.ulonglong)
@cython.locals(down=cython.bint, up=cython.bint)
def _put_float(text: Text, value: cython.double) -> cython.void:
    """Put a float, null where it is no number; there is room."""
    if not cython.compiled:
        text.made += _encode(value)
        return
    bits = 0
    memcpy(cython.address(bits), cython.address(value), 8)
    one: cython.ulonglong = 1  # C has no constants of 64 bits here: they would be objects of Python
    fraction = bits & ((one << 52) - 1)
    exponent = cython.cast(cython.int, bits >> 52 & 2047)
    if exponent == 2047:
        memcpy(text.data + text.size, cython.cast(cython.p_const_uchar, b"null"), 4)
        text.size += 4
        return
    if bits >> 63:
        _byte(text, 45)
    closer = 0
    if exponent:
        c = fraction | one << 52
        q = exponent - 1075
        if -52 <= q <= 0 and not c & ((one << -q) - 1):
            c = c >> -q  # an integer below 2^53, as it is
            _digits(text, c, _length(c))
            _byte(text, 46)
            _byte(text, 48)
            return
        closer = fraction == 0 and exponent > 1
    else:
        c = fraction
        q = -1074
        if not c:
            memcpy(text.data + text.size, cython.cast(cython.p_const_uchar, b"0.0"), 3)
            text.size += 3
            return
    odd = cython.cast(cython.int, c & 1)
    k = (q * 1262611 - (524031 if closer else 0)) >> 22
    h = q + ((-k * 1741647) >> 19) + 1
    high = _powers[2 * (-k + 292)]
    low = _powers[2 * (-k + 292) + 1]
    lower = _rounded(high, low, (4 * c - 2 + closer) << h) + odd
    middle = _rounded(high, low, 4 * c << h)
    upper = _rounded(high, low, (4 * c + 2) << h) - odd
    s = middle >> 2
    if s >= 10:
        t = s // 10
        down = lower <= 40 * t
        up = 40 * t + 40 <= upper
        if down != up:
            _put_decimal(text, t + up, k + 1)
            return
    down = lower <= 4 * s
    up = 4 * s + 4 <= upper
    if down != up:
        _put_decimal(text, s + up, k)
        return
    t = 4 * s + 2
    up = middle > t or (middle == t and s & 1)
    _put_decimal(text, s + up, k)


@cython.cfunc
@cython.exceptval(check=False)
@cython.locals(length=cython.Py_ssize_t, point=cython.Py_ssize_t, tail=cython.ulonglong, i=cython.Py_ssize_t)
def _put_decimal(text: Text, digits: cython.ulonglong, exponent: cython.int) -> cython.void:
    """Put digits times a power of ten, without a sign; there is room. Compiled only."""
    while digits % 100000000 == 0:
        digits = digits // 100000000
        exponent += 8
    if digits % 10000 == 0:
        digits = digits // 10000
        exponent += 4
    if digits % 100 == 0:
        digits = digits // 100
        exponent += 2
    if digits % 10 == 0:
        digits = digits // 10
        exponent += 1
    length = _length(digits)
    point = length + exponent  # where the point stands, from the first digit
    if exponent >= 0 and point <= 16:
        _digits(text, digits * _tens[exponent], point)
        _byte(text, 46)
        _byte(text, 48)
    elif 0 < point <= 16:
        tail = _tens[-exponent]
        _digits(text, digits // tail, point)
        _byte(text, 46)
        _digits(text, digits % tail, -exponent)
    elif -5 < point <= 0:
        _byte(text, 48)
        _byte(text, 46)
        for i in range(-point):  # noqa: B007 - counted in C
            _byte(text, 48)
        _digits(text, digits, length)
    else:
        tail = _tens[length - 1]
        _byte(text, 48 + cython.cast(cython.uchar, digits // tail))
        if length > 1:
            _byte(text, 46)
            _digits(text, digits % tail, length - 1)
        _byte(text, 101)
        _put_whole(text, point - 1)


# ── text and time ────────────────────────────────────────────────────────────────────────────────


@cython.cfunc
@cython.exceptval(check=True)
@cython.locals(start=cython.Py_ssize_t, stop=cython.Py_ssize_t, i=cython.Py_ssize_t, one=cython.uchar, plain=cython.bint)
@cython.locals(data=cython.p_const_uchar)
def _put_text(text: Text, row: bytes, start: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> cython.void:
    """Put the text that stands somewhere in a row."""
    plain = cython.compiled
    data = row
    if plain:
        for i in range(start, stop):
            one = data[i]
            if one < 32 or one > 127 or one == 34 or one == 92:
                plain = False
                break
    if not plain:
        _put(text, _encode(row[start:stop].decode()))
        return
    _make_room(text, stop - start + _WIDEST)
    _byte(text, 34)
    memcpy(text.data + text.size, data + start, stop - start)
    text.size += stop - start
    _byte(text, 34)


@cython.cfunc
@cython.exceptval(check=False)
@cython.locals(days=cython.longlong, rest=cython.longlong, era=cython.longlong, of_era=cython.longlong, year=cython.longlong)
@cython.locals(of_year=cython.longlong, month=cython.longlong, seconds=cython.longlong)
def _put_time(text: Text, ts: cython.longlong) -> cython.void:
    """Put an instant between the years 1 and 9999; there is room."""
    day: cython.longlong = 86400000000
    rest = ts + 719528 * day  # 60 days before the first of March of the year 0: never negative
    days = rest // day
    rest = rest % day
    days = days - 60
    era = days // 146097
    of_era = days - era * 146097
    year = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    year = year + era * 400
    month = (5 * of_year + 2) // 153
    days = of_year - (153 * month + 2) // 5 + 1
    month = month + 3 if month < 10 else month - 9
    if month <= 2:
        year += 1
    _byte(text, 34)
    _digits(text, year, 4)
    _byte(text, 45)
    _digits(text, month, 2)
    _byte(text, 45)
    _digits(text, days, 2)
    _byte(text, 84)
    seconds = rest // 1000000
    rest = rest % 1000000
    _digits(text, seconds // 3600, 2)
    _byte(text, 58)
    _digits(text, seconds // 60 % 60, 2)
    _byte(text, 58)
    _digits(text, seconds % 60, 2)
    if rest:
        _byte(text, 46)
        _digits(text, rest, 6)
    _byte(text, 90)
    _byte(text, 34)


# ── rows ─────────────────────────────────────────────────────────────────────────────────────────


@cython.cfunc
@cython.exceptval(check=False)
@cython.inline
@cython.locals(j=cython.Py_ssize_t, number=cython.ulonglong)
def _unsigned(data: cython.p_const_uchar, at: cython.Py_ssize_t, width: cython.Py_ssize_t) -> cython.ulonglong:
    """Bytes as a number, the highest first."""
    if not cython.compiled:
        return int.from_bytes(data[at : at + width], "big")
    number = 0
    for j in range(width):
        number = number << 8 | data[at + j]
    return number


@cython.cfunc
@cython.exceptval(check=False)
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
@cython.exceptval(check=False)
@cython.inline
def _signed(data: cython.p_const_uchar, at: cython.Py_ssize_t) -> cython.longlong:
    """An int64 as rows hold it."""
    if not cython.compiled:
        return _eight(data, at) - (1 << 63)
    one: cython.ulonglong = 1
    return cython.cast(cython.longlong, _eight(data, at) ^ (one << 63))


@cython.cfunc
@cython.exceptval(check=False)
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
@cython.exceptval(check=False)
@cython.inline
def _real32(bits: cython.ulonglong) -> cython.double:
    """The float32 whose bits order so."""
    one: cython.ulonglong = 1
    top: cython.ulonglong = one << 31
    bits = bits ^ top if bits & top else top + (top - 1) - bits
    if not cython.compiled:
        return struct.unpack(">f", struct.pack(">I", bits))[0]
    number: cython.float = 0.0
    half: cython.uint = bits
    memcpy(cython.address(number), cython.address(half), 4)
    return number


@cython.cfunc
@cython.exceptval(check=True)
@cython.locals(n=cython.Py_ssize_t, c=cython.Py_ssize_t, kind=cython.longlong, at=cython.Py_ssize_t, i=cython.Py_ssize_t)
@cython.locals(behind=cython.Py_ssize_t, start=cython.Py_ssize_t, stop=cython.Py_ssize_t)
@cython.locals(data=cython.p_const_uchar)
def _put_values(text: Text, plan: JsonPlan, row: bytes) -> cython.void:
    """Put the values of a row that is well formed."""
    one: cython.longlong = 1
    data = row
    values = None
    _make_room(text, (plan.count + 1) * _WIDEST)
    for n in range(plan.count):
        if n:
            _byte(text, 44)
        c = 6 * n
        if not data[plan.columns[c + 2]] & plan.columns[c + 3]:
            _put(text, plan.defaults[n])
            _make_room(text, (plan.count + 1) * _WIDEST)
            continue
        kind = -1 if plan.columns[c + 5] else plan.columns[c]
        at = plan.columns[c + 1]
        if kind == 4:
            _put_float(text, _real64(_eight(data, at)))
        elif kind == 2:
            _put_whole(text, _signed(data, at))
        elif kind == 1:
            _put_whole(text, cython.cast(cython.longlong, _unsigned(data, at, 4)) - (one << 31))
        elif kind == 0:
            _put(text, b"true" if data[at] else b"false")
            _make_room(text, (plan.count + 1) * _WIDEST)
        elif kind == 5:
            i = plan.columns[c + 4]
            behind = len(row) - 4 * plan.strings
            start = plan.size + (cython.cast(cython.Py_ssize_t, _unsigned(data, behind + 4 * (i - 1), 4)) if i else 0)
            stop = behind
            if i + 1 < plan.strings:
                stop = plan.size + cython.cast(cython.Py_ssize_t, _unsigned(data, behind + 4 * i, 4))
            if not plan.size <= start <= stop <= behind:
                raise ValueError("the ends of texts in a row are out of order")
            _put_text(text, row, start, stop)
            _make_room(text, (plan.count + 1) * _WIDEST)
        elif kind == 3:
            _put_float(text, shorten(_real32(_unsigned(data, at, 4))))
        else:
            if values is None:
                values = plan.read(row)
            _put(text, _encode(values[n]))
            _make_room(text, (plan.count + 1) * _WIDEST)


@cython.cfunc
@cython.exceptval(check=True)
@cython.locals(n=cython.Py_ssize_t, c=cython.Py_ssize_t, there=cython.Py_ssize_t, data=cython.p_const_uchar, row=bytes)
def _put_statuses(text: Text, plan: JsonPlan, found: object, at: cython.longlong) -> cython.void:
    """Put why each value of a row is what it is."""
    if found is None:
        _put(text, plan.told[2])
        return
    row = found
    data = row
    if plan.ttl >= 0 and at - _signed(data, 0) > plan.ttl:
        _put(text, plan.told[3])
        return
    there = 0
    for n in range(plan.count):
        c = 6 * n
        there += 1 if data[plan.columns[c + 2]] & plan.columns[c + 3] else 0
    if there == plan.count or not there:
        _put(text, plan.told[0 if there else 1])
        return
    for n in range(plan.count):
        c = 6 * n
        if n:
            _put(text, b",")
        _put(text, STATUSES[0] if data[plan.columns[c + 2]] & plan.columns[c + 3] else STATUSES[1])


@cython.cfunc
@cython.exceptval(check=True)
@cython.locals(n=cython.Py_ssize_t, start=cython.Py_ssize_t, size=cython.Py_ssize_t, data=cython.p_const_uchar, row=bytes)
def _put_times(text: Text, plan: JsonPlan, found: object) -> cython.void:
    """Put the event time of a row, once for each value."""
    if found is None:
        _put(text, plan.nothing)
        return
    row = found
    data = row
    if not cython.compiled:
        one = Text()
        _put_time(one, _signed(data, 0))
        text.made += b",".join([bytes(one.made)] * plan.count)
        return
    _make_room(text, (plan.count + 1) * _WIDEST)
    start = text.size
    _put_time(text, _signed(data, 0))
    size = text.size - start
    for n in range(1, plan.count):  # noqa: B007 - counted in C
        _byte(text, 44)
        memcpy(text.data + text.size, text.data + start, size)
        text.size += size


@cython.locals(n=cython.Py_ssize_t, u=cython.Py_ssize_t, plan=JsonPlan, row=bytes, ts=cython.longlong, at=cython.longlong)
@cython.locals(data=cython.p_const_uchar)
def write_rows(plans: list, found: list, *, times: list, parts: tuple, ends: tuple) -> object:
    """Bytes of an answer; ``None`` where an event time lies outside of the years 1 to 9999, which are left to the caller.

    Parameters
    ----------
    plans, found
        Of each use of a view how its values are written, and the row that answers every query.
    parts
        Whether statuses are told, and whether event times.
    ends
        What stands before the values, and at the end.

    Raises
    ------
    ValueError
        Where stored bytes are no text.
    """
    first: cython.longlong = -62135596800000000
    last: cython.longlong = 253402300799999999
    text = Text()
    _put(text, ends[0])
    _put(text, b',"values":[')
    for n in range(len(times)):
        at = times[n]
        _put(text, b",[" if n else b"[")
        for u in range(len(plans)):
            plan = plans[u]
            if u:
                _put(text, b",")
            if found[u][n] is None:
                _put(text, plan.blank)
                continue
            row = found[u][n]
            data = row
            ts = _signed(data, 0)
            if not first <= ts <= last:
                return None
            if plan.ttl >= 0 and at - ts > plan.ttl:
                _put(text, plan.blank)
            else:
                _put_values(text, plan, row)
        _put(text, b"]")
    for part in (0, 1):
        if not parts[part]:
            continue
        _put(text, b'],"event_times":[' if part else b'],"statuses":[')
        for n in range(len(times)):
            _put(text, b",[" if n else b"[")
            for u in range(len(plans)):
                if u:
                    _put(text, b",")
                if part:
                    _put_times(text, plans[u], found[u][n])
                else:
                    _put_statuses(text, plans[u], found[u][n], times[n])
            _put(text, b"]")
    _put(text, b"]")
    _put(text, ends[1])
    if not cython.compiled:
        return bytes(text.made)
    return PyBytes_FromStringAndSize(cython.cast(cython.p_char, text.data), text.size)


def write_float(value: float) -> bytes:
    """A float as JSON: the fewest digits that read back the same, ``null`` where it is no number.

    Examples
    --------
    >>> write_float(0.1), write_float(-0.0), write_float(1e16), write_float(float("nan"))
    (b'0.1', b'-0.0', b'1e16', b'null')
    """
    text = Text()
    _make_room(text, _WIDEST)
    _put_float(text, value)
    if not cython.compiled:
        return bytes(text.made)
    return PyBytes_FromStringAndSize(cython.cast(cython.p_char, text.data), text.size)
