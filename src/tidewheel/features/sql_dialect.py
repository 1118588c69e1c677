"""What SQL engines write differently, in the words of transforms: data, no branches. Pure.

Everything here is total: where Python would raise, and where a number leaves 64 bits, it gives null and never an error, since
an engine may compute a branch that no row takes. And of an operand that is null everything is null, or a doubt would be lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

_SPACES = bytes([*range(9, 14), *range(28, 33)]).decode()
"""What ``str.strip`` removes from a string of ASCII."""
_EPOCH = 719_162 * 86_400_000_000
"""Microseconds from the first Monday of the calendar, 0001-01-01, to 1970."""


@dataclass(frozen=True, slots=True)
class SqlDialect:
    """Templates of one engine, by what they mean.

    Parameters
    ----------
    quote
        Of names, on both sides.
    text
        A literal of a string; ``None`` where it has none.
    """

    name: str
    quote: str
    text: Callable[[str], str | None]
    templates: Mapping[str, str]

    def write(self, meaning: str, *operands: str) -> str:
        """An expression of this engine.

        Examples
        --------
        >>> DIALECTS["spark"].write("add_int", "a", "b")
        'try_add(a, b)'
        """
        return self.templates[meaning].format(*operands)

    def name_of(self, column: str) -> str:
        """A quoted name.

        Examples
        --------
        >>> DIALECTS["duckdb"].name_of('a"b')
        '"a""b"'
        """
        return f"{self.quote}{column.replace(self.quote, 2 * self.quote)}{self.quote}"


_SHARED: Mapping[str, str] = {
    "add_float": "({0} + {1})",
    "sub_float": "({0} - {1})",
    "mul_float": "({0} * {1})",
    "double": "CAST({0} AS DOUBLE)",
    "whole": "TRY_CAST({0} AS BIGINT)",
    "bigint": "CAST({0} AS BIGINT)",
    "remainder": "CASE WHEN {1} = 0 THEN NULL WHEN {1} = -1 THEN {0} - {0} WHEN ({0} % {1}) <> 0 AND ({0} < 0) <> ({1} < 0)"
    " THEN ({0} % {1}) + {1} ELSE {0} % {1} END",
    "abs": "abs({0})",
    "ceil": "ceil({0})",
    "floor": "floor({0})",
    "isnan": "isnan({0})",
    "isinf": "(abs({0}) = CAST('Infinity' AS DOUBLE))",
    "concat": "({0} || {1})",
    "contains": "contains({0}, {1})",
    "lower": "lower({0})",
    "upper": "upper({0})",
    "replace": "CASE WHEN {1} <> '' THEN replace({0}, {1}, {2}) END",
    "find": "CASE WHEN {1} = '' AND {0} IS NOT NULL THEN CAST(0 AS BIGINT) ELSE CAST(instr({0}, {1}) - 1 AS BIGINT) END",
    "part_of": "substring({0}, CAST({1} + 1 AS INT), CAST({2} AS INT))",
    "year": "CAST(year({0}) AS BIGINT)",
    "month": "CAST(month({0}) AS BIGINT)",
    "day": "CAST(day({0}) AS BIGINT)",
    "hour": "CAST(hour({0}) AS BIGINT)",
    "minute": "CAST(minute({0}) AS BIGINT)",
    "second": "CAST(second({0}) AS BIGINT)",
}
_DUCKDB: Mapping[str, str] = {
    **_SHARED,
    "add_int": "TRY({0} + {1})",
    "sub_int": "TRY({0} - {1})",
    "mul_int": "TRY({0} * {1})",
    "quotient": "TRY(CASE WHEN {1} = 0 THEN NULL WHEN {1} = -1 THEN 0 - {0} WHEN ({0} % {1}) <> 0 AND ({0} < 0) <> ({1} < 0)"
    " THEN ({0} // {1}) - 1 ELSE {0} // {1} END)",
    "remainder": f"TRY({_SHARED['remainder']})",
    "div_float": "CASE WHEN {1} <> 0 THEN {0} / {1} END",
    "rint": "round_even({0}, 0)",
    "trunc": "trunc({0})",
    "sqrt": "TRY(CASE WHEN {0} >= 0 THEN sqrt({0}) END)",
    "length": "length({0})",
    "size": "strlen({0})",
    "strip": "trim({0}, {1})",
    "lstrip": "ltrim({0}, {1})",
    "rstrip": "rtrim({0}, {1})",
    "startswith": "starts_with({0}, {1})",
    "endswith": "ends_with({0}, {1})",
    # microseconds, since fields of TIMESTAMPTZ go through a calendar library; + _EPOCH is not negative from year 1 on
    "time": "epoch_us({0})",
    "year": "CAST(year(make_timestamp({0})) AS BIGINT)",
    "month": "CAST(month(make_timestamp({0})) AS BIGINT)",
    "day": "CAST(day(make_timestamp({0})) AS BIGINT)",
    "hour": f"(({{0}} + {_EPOCH}) // 3600000000 % 24)",
    "minute": f"(({{0}} + {_EPOCH}) // 60000000 % 60)",
    "second": f"(({{0}} + {_EPOCH}) // 1000000 % 60)",
    "weekday": f"(({{0}} + {_EPOCH}) // 86400000000 % 7)",
    "microsecond": f"(({{0}} + {_EPOCH}) % 1000000)",
    "spaces": " || ".join(f"chr({ord(one)})" for one in _SPACES),
}
_SPARK: Mapping[str, str] = {
    **_SHARED,
    "add_int": "try_add({0}, {1})",
    "sub_int": "try_subtract({0}, {1})",
    "mul_int": "try_multiply({0}, {1})",
    "quotient": "CASE WHEN {1} = 0 THEN NULL WHEN {1} = -1 THEN try_subtract(0L, {0})"
    " WHEN ({0} % {1}) <> 0 AND ({0} < 0) <> ({1} < 0) THEN ({0} div {1}) - 1 ELSE {0} div {1} END",
    "div_float": "try_divide({0}, {1})",
    "rint": "rint({0})",
    "trunc": "({0})",  # a cast to integers cuts
    "sqrt": "CASE WHEN {0} >= 0 THEN sqrt({0}) END",
    "length": "CAST(char_length({0}) AS BIGINT)",
    "size": "CAST(octet_length({0}) AS BIGINT)",
    "strip": "trim(BOTH {1} FROM {0})",
    "lstrip": "trim(LEADING {1} FROM {0})",
    "rstrip": "trim(TRAILING {1} FROM {0})",
    "startswith": "startswith({0}, {1})",
    "endswith": "endswith({0}, {1})",
    "time": "{0}",
    "weekday": "CAST(weekday({0}) AS BIGINT)",
    "microsecond": "pmod(unix_micros({0}), 1000000L)",
    "spaces": f"CAST(X'{_SPACES.encode().hex()}' AS STRING)",
}


def _duckdb_text(value: str) -> str | None:
    return None if "\x00" in value or not _is_unicode(value) else "'" + value.replace("'", "''") + "'"


def _spark_text(value: str) -> str | None:
    # a literal would have its backslashes read
    return f"CAST(X'{value.encode().hex()}' AS STRING)" if _is_unicode(value) else None


def _is_unicode(value: str) -> bool:
    """Whether it has no half of a surrogate pair."""
    return not any("\ud800" <= one <= "\udfff" for one in value)


DIALECTS: Mapping[str, SqlDialect] = {
    "duckdb": SqlDialect("duckdb", '"', _duckdb_text, _DUCKDB),
    "spark": SqlDialect("spark", "`", _spark_text, _SPARK),
}
"""By SQLGlot's names of the dialects, as an engine tells its own."""
