"""A source's select for other engines: translated where both mean the same, refused where they do not.

Only what is listed here passes. Engines differ in ways that no error tells of: a float divided by zero is infinite in DuckDB
and an error in Spark, a day of the week starts at 0 or at 1, letters outside ASCII have other capitals, logarithms another last
bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidewheel.sources.sql import DIALECT

if TYPE_CHECKING:
    import pyarrow as pa


def to_dialect(sql: str, dialect: str) -> str:
    """SQL written in DuckDB's dialect for another engine; unchanged for DuckDB itself.

    Raises
    ------
    EngineCannot
        For what does not mean the same there.

    Examples
    --------
    >>> to_dialect('SELECT "a b" AS x FROM this WHERE t < TIMESTAMPTZ \\'2020-01-01 00:00:00+00\\'', "spark")
    "SELECT `a b` AS x FROM this WHERE t < CAST('2020-01-01 00:00:00+00' AS TIMESTAMP_LTZ)"
    """
    if dialect == DIALECT:
        return sql
    from tidewheel.sources.translate import translate

    return translate(sql, dialect)


def check_dialect(sql: str, dialect: str, raw: pa.Schema, *, where: str | None = None) -> None:
    """Refuse a select whose meaning for columns of these types is another in the dialect.

    Parameters
    ----------
    raw
        Columns of ``this``.

    Raises
    ------
    EngineCannot
        Naming the expression.
    """
    if dialect == DIALECT:
        return
    import pyarrow as pa

    from tidewheel.sources.translate import check_types

    narrow = {field.name.lower() for field in raw if pa.types.is_float32(field.type)}
    whole = {field.name.lower() for field in raw if pa.types.is_integer(field.type) or pa.types.is_boolean(field.type)}
    check_types(sql, dialect, narrow=narrow, whole=whole, where=where)
