"""Functions of the subset that have a form in SQL, in groups over the same inputs, and rows that are hard for them."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from tidewheel.features.compiled import RETURN_TYPES, RETURNS, run_compiled, settled
from tidewheel.features.definition import Parameter, Transform, on_request
from tidewheel.features.sql_form import RELATION, sql_of
from tidewheel.features.transform import run_transform
from tidewheel.ports.query_engine import InMemory, QueryEngine
from tidewheel.schema import DataType

Row = tuple[object, ...]
Rows = Sequence[Row]


@on_request
def arithmetic(a: float, b: float, c: float) -> float:
    return (a - b) / c + abs(-b) * 2 if a < b <= c or not c > 0 else min(a, b, 0.5) - max(c, 1)


@on_request
def signed_zero(a: float, b: float, c: float) -> float:
    return 1.0 / min(a, b, -0.0) if -a != 3 else -b + float(0) * c


@on_request
def nan_compared(a: float, b: float, c: float) -> int:
    x = a * 1e308 * 10 - b * 1e308 * 10
    less = 1 if x < a else 2 if x >= b else 3 if x == x else 4
    more = 1 if x != a else 2
    return less * 100 + (more if a > x or x <= c else 5)


@on_request
def nan_ordered(a: float, b: float, c: float) -> float:
    x = a * 1e308 * 10 - b * 1e308 * 10
    return max(x, c) if math.isnan(x) else min(c, x)


@on_request
def unused(a: float, b: float, c: float) -> float:
    x = a / b
    y = x  # noqa: F841  # raises all the same
    return c


@on_request
def sometimes(a: float, b: float, c: float) -> float:
    if b > 0:
        return a / b
    elif c > 0:
        return None  # type: ignore[return-value]  # as users write it
    return None  # type: ignore[return-value]


@on_request
def roots(a: float, b: float, c: float) -> float:
    return math.sqrt(a) if math.isfinite(b) and not math.isinf(c) else math.fabs(a)


@on_request
def half_even(a: float, b: float, c: float) -> int:
    return round(a)


@on_request
def cut_off(a: float, b: float, c: float) -> int:
    return int(a) + math.trunc(b) * 3 - math.floor(a) + math.ceil(c)


@on_request
def doubled_up(a: float, b: float, c: float) -> float:
    a = a + b
    a = a + a
    a = a * a + a
    a = a * a - a
    return a + c


@on_request
def floored(a: int, b: int, c: int) -> int:
    return a // b + a % c


@on_request
def overflowing(a: int, b: int, c: int) -> int:
    return (a + b) * c - (-a) if a < b < c <= 7 or c == 0 else abs(a) - b * c


@on_request
def shares(a: int, b: int, c: int) -> float:
    return a / b if a > c else float(b) - c


@on_request
def members(a: int, b: int, c: int) -> bool:
    return a in (1, 2, 4611686018427387904) or (b not in [0, 7] and a != c)


@on_request
def bounded(a: int, b: int, c: int) -> int:
    return max(min(a, b), c, -9223372036854775807)


@on_request
def mixed(i: int, x: float) -> float:
    return i * x + i - x / 3 if i < x else max(x, i)


@on_request
def exactly(i: int, x: float) -> bool:
    return i == x or i > x


@on_request
def cased(s: str, t: str) -> str:
    return s.lower() + "|" + t.upper().strip() + s.lstrip() + t.rstrip("ab")


@on_request
def sliced(s: str, t: str) -> str:
    return s[1:3] + "|" + s[:-1] + "|" + t[-2:] + "|" + s[-3:-1] + t[2:1]


@on_request
def prefixed(s: str, t: str) -> str:
    return s.removeprefix(t) + "-" + t.removesuffix(s) + "'\\{0}" + s.replace(t, "é")


@on_request
def searched(s: str, t: str) -> int:
    return s.find(t) * 100 + len(s) + (1 if s.endswith(t) else 0) if s < t or t in s else -len(t)


@on_request
def begun(s: str, t: str) -> bool:
    return s.startswith(t) or (s in ("", "none", "ß") and s != t)


@on_request
def hour_of_week(at: datetime) -> int:
    return at.weekday() * 24 + at.hour


@on_request
def calendar(at: datetime) -> int:
    date = (at.year * 100 + at.month) * 100 + at.day
    return (date * 1_000_000 + at.minute * 10_000 + at.second * 100 + at.isoweekday()) * 10 + at.microsecond % 10


@on_request
def filled(p: float | None, q: float | None, yes: bool) -> float:
    if p is None or q is None:
        return 0.5 if p is None else p
    return p * q if yes else -p


@on_request
def agreed(p: float | None, q: float | None, yes: bool) -> bool:
    return (yes and p is not None) == (not yes or q is None)


@on_request
def lost_in_remainder(n: int | None, z: str | None, i: int, s: str) -> int:
    return n % i  # type: ignore[operator]  # an error of Python's where it is None


@on_request
def lost_in_search(n: int | None, z: str | None, i: int, s: str) -> int:
    return z.find(s)  # type: ignore[union-attr]


@on_request
def lost_unused(n: int | None, z: str | None, i: int, s: str) -> int:
    x = math.ceil(n)  # type: ignore[arg-type]
    y = +x  # noqa: F841
    return i


@on_request
def lost_at_the_end(n: int | None, z: str | None, i: int, s: str) -> str:
    if n is None or z is not None:
        return z[1:] + s  # type: ignore[index]
    return s.removeprefix(z)  # type: ignore[arg-type]


GROUPS: Mapping[str, Sequence[Transform]] = {
    "floats": [arithmetic, signed_zero, unused, sometimes, doubled_up],
    "not numbers": [nan_compared, nan_ordered, roots, half_even, cut_off],
    "integers": [floored, overflowing, shares, members, bounded],
    "both": [mixed, exactly],
    "strings": [cased, sliced, prefixed, searched, begun],
    "times": [hour_of_week, calendar],
    "options": [filled, agreed],
    "nothing": [lost_in_remainder, lost_in_search, lost_unused, lost_at_the_end],
}

_FLOATS = (
    0.0,
    -0.0,
    0.5,
    -0.5,
    1.5,
    2.5,
    3.0,
    5e-324,
    2.2e-308,
    2.0**53,
    2.0**53 + 2,
    1e308,
    -1.7e308,
    9.2e18,
    9.3e18,
    -(2.0**63),
)
_INTEGERS = (0, 1, -1, 7, -7, 1 << 31, 1 << 53, (1 << 53) + 1, -(1 << 53) - 1, 1 << 62, (1 << 63) - 1, -(1 << 63))
_TEXTS = ("", "ab", "xa", " a ", "İa", "ß", "ǅ", "\ta\x0b\x1c", "Å", "a\x00b", "🤦🏼x", "\u2003a", "'", "\\", "none")
HARD: Mapping[DataType, Sequence[object]] = {
    DataType.FLOAT64: (*_FLOATS, math.inf, -math.inf, math.nan, 0.49999999999999994),
    DataType.INT64: _INTEGERS,
    DataType.STRING: _TEXTS,
    DataType.BOOL: (False, True),
    DataType.TIMESTAMP: (
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2024, 2, 29, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    ),
}


def hard_rows(inputs: Sequence[Parameter], count: int) -> list[Row]:
    """Rows of values at the border of their types and of others, the same each time."""
    chance = random.Random(7)

    def value(one: Parameter) -> object:
        if one.optional and chance.random() < 0.3:
            return None
        if chance.random() < 0.6:
            return chance.choice(HARD[one.type])
        if one.type is DataType.FLOAT64:
            return chance.choice([chance.uniform(-3, 3), chance.uniform(-1e19, 1e19), chance.randint(-9, 9) * 0.5])
        if one.type is DataType.INT64:
            return chance.choice([chance.randint(-9, 9), chance.randint(-(1 << 63), (1 << 63) - 1)])
        if one.type is DataType.STRING:
            return "".join(chance.choice("abxAB Bé😀\n") for _ in range(chance.randint(0, 5)))
        if one.type is DataType.TIMESTAMP:
            seconds = chance.randint(0, 9998 * 365 * 86400)
            return datetime(1, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds, microseconds=chance.randint(0, 999_999))
        return chance.random() < 0.5

    return [tuple(value(one) for one in inputs) for _ in range(count)]


def holds_on(engine: QueryEngine, group: Sequence[Transform], rows: Rows) -> list[int]:
    """By query, by column and by call each row has the same value to the bit and the same rows fail.

    Answers on how many rows each query was sure.
    """
    inputs = group[0].inputs
    columns = {one.name: [row[place] for row in rows] for place, one in enumerate(inputs)}
    arrays = {one.name: pa.array(columns[one.name], one.type.arrow()) for one in inputs}
    form = sql_of(group, engine.dialect)
    assert form is not None, "all of it has a form in SQL"
    table = pa.table({**{name: arrays[name] for name in form.inputs}, "row": pa.array(range(len(rows)))})
    found = engine.stream(form.query(keep=["row"]), {RELATION: InMemory(table)}, order_by=["row"]).read_all()
    sure = []
    for place, one in enumerate(group):
        expected = run_transform(one, columns, len(rows))
        wanted = pa.array(expected.values, one.returns.type.arrow())
        result = found.column(f"r{place}").combine_chunks().cast(RETURN_TYPES[RETURNS[one.returns.type]])
        by_column = run_compiled(one, arrays)
        assert by_column is not None
        for form_name, (made, computed) in {"query": settled(one, arrays, result), "column": by_column}.items():
            assert _bits(made) == _bits(wanted), f"{one.name} by {form_name}"
            assert (computed.errors, computed.first_error) == (expected.errors, expected.first_error)
        sure.append(len(rows) - result.null_count)
    return sure


def _bits(column: pa.Array) -> list[object]:
    return [one.hex() if isinstance(one, float) else one for one in column.to_pylist()]
