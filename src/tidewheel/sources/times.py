"""Times of a column as int64 microseconds UTC: zones resolved, finer digits rounded, what cannot be known refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tidewheel.clock import Micros, format_instant
from tidewheel.errors import AmbiguousTime, Invalid, MixedTimezones, TypeMismatch

if TYPE_CHECKING:
    import pyarrow as pa

Ambiguous = Literal["raise", "earlier", "later"]
Rounding = Literal["up", "down"]
TimeUnit = Literal["s", "ms", "us", "ns"]
_PER_MICRO = {"s": 1_000_000, "ms": 1_000, "us": 1}
_ISO = "write ISO 8601, such as 2026-01-01T10:00:00Z, or read it in the select: strptime(column, '%d/%m/%Y')"
_FINE = r"\.\d{6}\d*[1-9]"
_AGE = (9 * 10**8, 42 * 10**8)
"""Seconds of the years 1998 to 2103: as microseconds, these and the same in milliseconds lie in January or February of 1970."""
_LAST = 253_402_300_800_000_000
"""Microseconds from here on lie behind the year 9999."""


def to_utc_micros(
    column: pa.ChunkedArray | pa.Array,
    *,
    name: str,
    timezone: str | None = None,
    ambiguous: Ambiguous = "raise",
    rounding: Rounding = "down",
    unit: TimeUnit | None = None,
) -> pa.ChunkedArray | pa.Array:
    """A time column as int64 microseconds UTC, nulls kept.

    Parameters
    ----------
    column
        Timestamps of any unit, dates (midnight), ISO 8601 strings, or numbers since 1970 UTC.
    timezone
        Zone of times that carry none; ``None`` is UTC. A local time that a clock skips is the first instant after the gap.
    ambiguous
        What a local time that the clock shows twice is.
    rounding
        Of digits finer than a microsecond: up for what happened, down for when one asks, so that nothing is seen early.
    unit
        Of numbers; ``None`` takes int64 for microseconds, and no other number for a time.

    Raises
    ------
    AmbiguousTime
        For a local time that the clock shows twice, under ``ambiguous="raise"``.
    MixedTimezones
        For strings with and without a zone.
    TypeMismatch
        For a column that holds no times.
    """
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
        column = _parsed(column.cast(pa.string()), name, rounding)
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("us"))
    if unit is not None and (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return _counted(column, name, unit, rounding)
    if pa.types.is_int64(column.type):
        return column
    if not pa.types.is_timestamp(column.type):
        number = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
        fix = "use a timestamp, an ISO 8601 string, or int64 microseconds UTC"
        fix = 'say what the numbers count: tw.source(..., time_unit="s"), or "ms", "us", "ns"' if number else fix
        raise TypeMismatch(f"{name} is {column.type}, not a time", where=name, fix=fix)
    zoned = column.type.tz is not None
    column = _micros(column, rounding)
    if not zoned and timezone not in (None, "UTC"):
        column = _localised(column.cast(pa.timestamp("us")), name, str(timezone), ambiguous)
    return column.cast(pa.int64())


def check_unit(column: pa.ChunkedArray | pa.Array, name: str) -> None:
    """Refuse whole numbers for microseconds when they must be something else.

    Raises
    ------
    TypeMismatch
        When the greatest is seconds or milliseconds of this age, or lies behind the year 9999.

    Examples
    --------
    >>> import pyarrow as pa
    >>> check_unit(pa.array([1_767_261_600]), "at")
    Traceback (most recent call last):
    tidewheel.errors.TypeMismatch: at is 1767261600, which in microseconds is 1970-01-01T00:29:27.261600Z (at at). Fix: say \
what the numbers count: tw.source(..., time_unit="s"), or "ms", "us", "ns"
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_int64(column.type):
        return
    most = pc.max(column).as_py()
    seconds, milliseconds = (most is not None and _AGE[0] <= most // per <= _AGE[1] for per in (1, 1_000))
    if most is None or not (seconds or milliseconds or most >= _LAST):
        return
    unit = "s" if seconds else "ms" if milliseconds else "ns"
    moment = "after the year 9999" if most >= _LAST else format_instant(Micros(most))
    fix = f'say what the numbers count: tw.source(..., time_unit="{unit}"), or {_others(unit)}'
    raise TypeMismatch(f"{name} is {most}, which in microseconds is {moment}", where=name, fix=fix)


def _others(unit: str) -> str:
    return ", ".join(f'"{one}"' for one in ("s", "ms", "us", "ns") if one != unit)


def _counted(column: pa.ChunkedArray | pa.Array, name: str, unit: TimeUnit, rounding: Rounding) -> pa.ChunkedArray | pa.Array:
    """Numbers since 1970 as microseconds; of fractions, what a double cannot tell apart from a whole microsecond is one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        if pa.types.is_floating(column.type):
            column = pc.if_else(pc.is_finite(column), column, pa.scalar(None, column.type)).cast(pa.float64())
            scaled = pc.divide(column, 1_000.0) if unit == "ns" else pc.multiply(column, float(_PER_MICRO[unit]))
            nearest = pc.round(scaled)
            strict = pc.ceil(scaled) if rounding == "up" else pc.floor(scaled)
            near = pc.less_equal(pc.abs(pc.subtract(scaled, nearest)), 0.25)
            return pc.if_else(near, nearest, strict).cast(pa.int64())
        whole = column.cast(pa.int64())
        if unit == "ns":
            return _micros(whole.cast(pa.timestamp("ns")), rounding).cast(pa.int64())
        return pc.multiply_checked(whole, _PER_MICRO[unit])
    except pa.ArrowInvalid as error:
        raise TypeMismatch(f"{name}: {error}", where=name, fix=f'time_unit="{unit}" does not fit: choose another') from error


def ceiled(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Timestamps in microseconds UTC, or without a zone where they have none; finer digits rounded up.

    Examples
    --------
    >>> import pyarrow as pa
    >>> ceiled(pa.chunked_array([pa.array([1001], pa.timestamp("ns"))])).cast(pa.int64()).to_pylist()
    [2]
    """
    import pyarrow as pa

    return _micros(column, "up").cast(pa.timestamp("us", None if column.type.tz is None else "UTC"))


def _micros(column: pa.ChunkedArray, rounding: Rounding) -> pa.ChunkedArray:
    """Timestamps in microseconds; finer digits rounded, also before 1970."""
    import pyarrow as pa
    import pyarrow.compute as pc

    zone = column.type.tz
    if column.type.unit != "ns":
        try:
            return column.cast(pa.timestamp("us", zone))
        except pa.ArrowInvalid as error:
            raise Invalid(f"a time is out of range: {error}", fix="keep times between the years -290000 and 290000") from error
    fine = column.cast(pa.int64())
    short = pc.divide(fine, 1_000)  # towards zero
    rest = pc.subtract(fine, pc.multiply(short, 1_000))
    over = pc.greater(rest, 0) if rounding == "up" else pc.less(rest, 0)
    step = pc.multiply(over.cast(pa.int64()), 1 if rounding == "up" else -1)
    return pc.add(short, step).cast(pa.timestamp("us", zone))


def _localised(column: pa.ChunkedArray, name: str, timezone: str, ambiguous: Ambiguous) -> pa.ChunkedArray:
    import pyarrow.compute as pc

    early = pc.assume_timezone(column, timezone, ambiguous="earliest", nonexistent="latest")
    if ambiguous == "earlier":
        return early
    late = pc.assume_timezone(column, timezone, ambiguous="latest", nonexistent="latest")
    if ambiguous == "later":
        return late
    twice = pc.not_equal(early, late)
    if pc.any(twice).as_py():
        first = column.filter(twice)[0].as_py()
        raise AmbiguousTime(
            f"{name} has {pc.sum(twice).as_py()} local times that the clocks of {timezone} show twice, such as {first}",
            where=name,
            fix='store times with an offset, or choose: tw.source(..., ambiguous="later")',
        )
    return early


def _parsed(column: pa.ChunkedArray, name: str, rounding: Rounding) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    zoned = pc.match_substring_regex(column, r"\d{1,2}:\d{2}.*([zZ]|[+-]\d{2}(:?\d{2})?)\s*$")
    with_zone, without = pc.any(zoned).as_py() or False, pc.any(pc.invert(zoned)).as_py() or False
    if with_zone and without:
        wrong = pc.filter(
            column, pc.fill_null(pc.invert(pc.match_substring_regex(column, r"^\s*[+-]?\d{4,}-\d{2}-\d{2}")), False)
        )
        if len(wrong):
            raise TypeMismatch(f"{name} is {str(wrong[0].as_py())[:60]!r} in a row, not a time", where=name, fix=_ISO)
        one, other = (pc.filter(column, pc.fill_null(mask, False))[0].as_py() for mask in (zoned, pc.invert(zoned)))
        raise MixedTimezones(
            f"{name} holds times with and without a zone, such as {str(one)[:60]!r} and {str(other)[:60]!r}",
            where=name,
            fix="write all of them with an offset, or all of them without",
        )
    column = pc.utf8_trim_whitespace(column)
    fine = pc.match_substring_regex(column, _FINE)
    plain = pc.replace_substring_regex(column, r"(\.\d{6})\d+", r"\1")  # Arrow reads no digits finer than the unit
    try:
        times = plain.cast(pa.timestamp("us", "UTC" if with_zone else None))
    except pa.ArrowInvalid as error:
        raise TypeMismatch(f"{name}: {error}", where=name, fix=_ISO) from error
    if rounding == "down" or not pc.any(fine).as_py():
        return times
    return pc.add(times.cast(pa.int64()), pc.fill_null(fine, False).cast(pa.int64())).cast(times.type)
