"""Times of a column as int64 microseconds UTC: zones resolved, finer digits rounded, what cannot be known refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tidewheel.errors import AmbiguousTime, Invalid, MixedTimezones, TypeMismatch

if TYPE_CHECKING:
    import pyarrow as pa

Ambiguous = Literal["raise", "earlier", "later"]
Rounding = Literal["up", "down"]
_PYARROW: dict[str, Literal["earliest", "latest"]] = {"earlier": "earliest", "later": "latest"}


def to_utc_micros(
    column: pa.ChunkedArray | pa.Array,
    *,
    name: str,
    timezone: str | None = None,
    ambiguous: Ambiguous = "raise",
    rounding: Rounding = "down",
) -> pa.ChunkedArray | pa.Array:
    """A time column as int64 microseconds UTC, nulls kept.

    Parameters
    ----------
    column
        Timestamps of any unit, dates (midnight), ISO 8601 strings, or int64 microseconds UTC.
    timezone
        Zone of times that carry none; ``None`` is UTC. A local time that a clock skips is the first instant after the gap.
    ambiguous
        What a local time that the clock shows twice is.
    rounding
        Of digits finer than a microsecond: up for what happened, down for when one asks, so that nothing is seen early.

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
        column = _parsed(column.cast(pa.string()), name)
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("us"))
    if pa.types.is_int64(column.type):
        return column
    if not pa.types.is_timestamp(column.type):
        fix = "use a timestamp, an ISO 8601 string, or int64 microseconds UTC"
        raise TypeMismatch(f"{name} is {column.type}, not a time", where=name, fix=fix)
    zoned = column.type.tz is not None
    column = _micros(column, rounding)
    if not zoned and timezone not in (None, "UTC"):
        column = _localised(column.cast(pa.timestamp("us")), name, str(timezone), ambiguous)
    return column.cast(pa.int64())


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


def _parsed(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    zoned = pc.match_substring_regex(column, r"\d{1,2}:\d{2}.*([zZ]|[+-]\d{2}(:?\d{2})?)\s*$")
    with_zone, without = pc.any(zoned).as_py() or False, pc.any(pc.invert(zoned)).as_py() or False
    if with_zone and without:
        wrong = pc.filter(
            column, pc.fill_null(pc.invert(pc.match_substring_regex(column, r"^\s*[+-]?\d{4,}-\d{2}-\d{2}")), False)
        )
        if len(wrong):
            fix = "write ISO 8601, such as 2026-01-01T10:00:00Z, in all rows"
            raise TypeMismatch(f"{name} is {str(wrong[0].as_py())[:60]!r} in a row, not a time", where=name, fix=fix)
        raise MixedTimezones(
            f"{name} holds times with and without a zone",
            where=name,
            fix="write all of them with an offset, or all of them without",
        )
    try:
        return column.cast(pa.timestamp("us", "UTC" if with_zone else None))
    except pa.ArrowInvalid as error:
        raise TypeMismatch(f"{name}: {error}", where=name, fix="write ISO 8601, such as 2026-01-01T10:00:00Z") from error
