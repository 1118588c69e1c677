"""One SELECT from DuckDB's words into those of another engine (:mod:`tidewheel.sources.dialect`), or refused."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import cast

import sqlglot
from sqlglot import exp

from tidewheel.errors import EngineCannot
from tidewheel.sources.sql import DIALECT

Node = exp.Expression

_QUERY = {"Select", "From", "Table", "TableAlias", "Alias", "Identifier", "Column", "Star", "Where", "Subquery", "With", "CTE"}
_QUERY |= {"Union", "Window", "WindowSpec", "RowNumber", "Min", "Count", "Sum", "Distinct", "Order", "Ordered", "Group"}
_QUERY |= {"Having", "Limit"}
_LOGIC = {"Literal", "Boolean", "Null", "Paren", "And", "Or", "Not", "Is", "Case", "If", "Coalesce", "Nullif", "Between", "In"}
_LOGIC |= {"EQ", "NEQ", "GT", "GTE", "LT", "LTE", "NullSafeEQ", "NullSafeNEQ"}
_VALUES = {"Add", "Sub", "Mul", "Neg", "Div", "Mod", "Abs", "IsNan", "DPipe", "Like", "Length", "Interval", "Var", "DataType"}
_VALUES |= {"DataTypeParam", "Cast", "TryCast", "TimeToUnix", "Hour", "Minute", "Day", "Month", "Year", "DayOfWeek"}
_VALUES |= {"DayOfWeekIso", "Extract", "Substring"}
_SAME = _QUERY | _LOGIC | _VALUES
_FUNCTIONS = {"epoch_us"}
_PARTS = {"hour": "HOUR", "minute": "MINUTE", "day": "DAY", "month": "MONTH", "year": "YEAR"}
_PARTS |= {"dow": "DAYOFWEEK_ISO % 7", "isodow": "DAYOFWEEK_ISO"}
_MIXING = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between, exp.In)
_FIX = "compute it before, in a file; or use the duckdb engine"
_CLOCK = "[0-9]{1,2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?"
_ZONE = "( ?(Z|[+-][0-9]{2}(:[0-9]{2})?))?"
_TIME = f"^[0-9]{{4}}-[0-9]{{1,2}}-[0-9]{{1,2}}([ T]{_CLOCK}{_ZONE})?$"


def check_types(sql: str, dialect: str, *, narrow: set[str], whole: set[str], where: str | None) -> None:
    """Refuse what means something else for columns of these types.

    Parameters
    ----------
    narrow, whole
        Columns of 32-bit floats, and of integers and booleans, in small letters.

    Raises
    ------
    EngineCannot
        Naming the expression.

    Examples
    --------
    >>> check_types("SELECT a + 1 AS b FROM this", "spark", narrow=set(), whole={"a"}, where=None)
    """
    for node in sqlglot.parse_one(sql, read=DIALECT).walk():
        operands = [one for one in node.iter_expressions() if isinstance(one, exp.Column)]
        if isinstance(node, _MIXING) and any(one.name.lower() in narrow for one in operands):
            raise _cannot(node, dialect, "float32 is widened at another place", where)
        if isinstance(node, exp.Cast) and _kind(node) in _WHOLE and not _is_whole(node.this, whole):
            raise _cannot(node, dialect, "halves are rounded, texts are read in another way", where)
        if isinstance(node, exp.Cast) and _kind(node) == "BOOLEAN" and not _is_truth(node.this, whole):
            raise _cannot(node, dialect, "of texts and fractions others are true", where)
        if isinstance(node, exp.Cast) and _kind(node) in ("VARCHAR", "TEXT") and not _is_whole(node.this, whole):
            raise _cannot(node, dialect, "numbers and times are written in another way", where)


_WHOLE = ("INT", "BIGINT", "SMALLINT", "TINYINT", "HUGEINT", "UINT", "UBIGINT", "USMALLINT", "UTINYINT")


def _is_whole(node: Node, names: set[str]) -> bool:
    if isinstance(node, exp.Column):
        return node.name.lower() in names
    if isinstance(node, exp.Paren | exp.Neg):
        return _is_whole(node.this, names)
    if isinstance(node, exp.Add | exp.Sub | exp.Mul):
        return _is_whole(node.this, names) and _is_whole(node.expression, names)
    return (isinstance(node, exp.Literal) and not node.is_string and node.is_int) or isinstance(
        node, exp.Predicate | exp.Length
    )


def _is_positive(node: Node | None) -> bool:
    return node is None or (isinstance(node, exp.Literal) and not node.is_string and node.is_int and int(node.name) > 0)


def _is_truth(node: Node, names: set[str]) -> bool:
    """Whether a cast to a boolean means the same: of texts, other words are true."""
    inner = cast("Node", node.unnest())
    return isinstance(inner, exp.Predicate | exp.Connector | exp.Not | exp.Boolean | exp.Null) or _is_whole(inner, names)


def _kind(node: exp.Cast) -> str:
    return str(node.to.this.value)


@lru_cache(maxsize=256)
def translate(sql: str, dialect: str) -> str:
    """DuckDB's SQL in the words of another engine, which mean the same.

    Raises
    ------
    EngineCannot
        Naming the expression that would mean something else.

    Examples
    --------
    >>> translate("SELECT isnan(a) AS x FROM this", "spark")
    'SELECT IF(a IS NULL, NULL, ISNAN(a)) AS x FROM this'
    """
    tree = sqlglot.parse_one(sql, read=DIALECT)
    for node in tree.walk():
        _check(cast("Node", node), dialect)
    changed = tree.transform(_changed)
    return changed.sql(dialect=dialect, comments=False)


def _check(node: Node, dialect: str) -> None:
    name = type(node).__name__
    if isinstance(node, exp.Anonymous):
        if node.name.lower() not in _FUNCTIONS:
            raise _cannot(node, dialect, "it may mean something else there")
    elif name not in _SAME:
        raise _cannot(node, dialect, "it may mean something else there")
    elif isinstance(node, exp.Star) and (node.args.get("replace") or node.args.get("rename")):
        raise _cannot(node, dialect, "there is no REPLACE or RENAME")
    elif isinstance(node, exp.Mod) and not (isinstance(node.expression, exp.Literal) and node.expression.name.strip("0.")):
        raise _cannot(node, dialect, "a remainder of a division by zero is another one")
    elif isinstance(node, exp.Like) and not (node.expression.is_string and "\\" not in node.expression.name):
        raise _cannot(node, dialect, "a backslash means something else in a pattern")
    elif isinstance(node, exp.Extract) and node.name.lower() not in _PARTS:
        raise _cannot(node, dialect, "this part of a time is counted in another way")
    elif isinstance(node, exp.Substring) and not all(_is_positive(node.args.get(name)) for name in ("start", "length")):
        raise _cannot(node, dialect, "what lies before the first letter is counted in another way")
    elif isinstance(node, exp.Cast) and _kind(node) not in _CASTS:
        raise _cannot(node, dialect, "it has no such type, or another one of that name")


_CASTS = {*_WHOLE[:4], "BOOLEAN", "DOUBLE", "VARCHAR", "TEXT", "TIMESTAMP", "TIMESTAMPTZ", "TIMESTAMPLTZ", "TIMESTAMPNTZ"}


def _changed(node: Node) -> Node:
    """One expression in Spark's words, with DuckDB's meaning."""
    for kind, change in _CHANGES:
        if isinstance(node, kind):
            return change(node)
    if isinstance(node, exp.Anonymous):
        return _spark(f"unix_micros({_instant(node.expressions[0])})")
    return node


def _text(node: Node) -> str:
    """A part of what is changed, in Spark's words itself."""
    return node.transform(_changed).sql(dialect="spark")


def _instant(node: Node) -> str:
    return f"CAST({_text(node)} AS TIMESTAMP_LTZ)"


def _division(node: Node) -> Node:
    """Of floats, as the processor does it: by zero is infinite, and zero by zero is no number."""
    above, below = (f"CAST({_text(one)} AS DOUBLE)" for one in (node.this, node.expression))
    if isinstance(node.expression, exp.Literal) and node.expression.name.strip("0."):
        return _spark(f"({above} / {below})")
    infinite = f"IF(CAST({below} AS STRING) = '-0.0', CAST('-Infinity' AS DOUBLE), CAST('Infinity' AS DOUBLE))"
    return _spark(f"(CASE WHEN {below} = 0 THEN {above} * {infinite} ELSE {above} / {below} END)")


def _seconds(node: Node) -> Node:
    """Seconds of a time since 1970, or of a span, which is the difference of two."""
    inner = node.this.unnest()
    if isinstance(inner, exp.Sub) and not isinstance(inner.expression, exp.Interval):
        return _spark(
            f"((unix_micros({_instant(inner.this)}) - unix_micros({_instant(inner.expression)})) / CAST(1000000 AS DOUBLE))"
        )
    return _spark(f"(unix_micros({_instant(inner)}) / CAST(1000000 AS DOUBLE))")


def _cast(node: Node) -> Node:
    """Texts are read as times only in the forms that both read alike; whatever else a time is made of has one of them."""
    made = cast("exp.Cast", node)
    kind = _kind(made)
    if not kind.startswith("TIMESTAMP"):
        return node
    zoned = kind in ("TIMESTAMPTZ", "TIMESTAMPLTZ")
    text = made.this.sql(dialect="spark")
    value = f"CAST({text} AS TIMESTAMP_LTZ)" if zoned else f"CAST(CAST({text} AS TIMESTAMP_LTZ) AS TIMESTAMP_NTZ)"
    if made.this.is_string:
        return _spark(value)
    tried = value.replace("CAST(", "TRY_CAST(")
    plain = f"CAST({text} AS STRING) RLIKE '{_TIME}'"
    if isinstance(node, exp.TryCast):
        return _spark(f"(CASE WHEN {plain} THEN {tried} END)")
    refused = f"raise_error(concat('no time: ', CAST({text} AS STRING)))"
    return _spark(f"(CASE WHEN {text} IS NULL OR {plain} THEN {value} ELSE {refused} END)")


def _part(node: Node) -> Node:
    name = node.name.lower() if isinstance(node, exp.Extract) else type(node).__name__.lower()
    name = {"dayofweek": "dow", "dayofweekiso": "isodow"}.get(name, name)
    inner = (node.expression if isinstance(node, exp.Extract) else node.this).sql(dialect="spark")
    field = _PARTS[name].partition(" ")
    made = f"EXTRACT({field[0]} FROM {inner}){field[1]}{field[2]}"
    return _spark(f"CAST({made} AS BIGINT)")


def _is_nan(node: Node) -> Node:
    text = _text(node.this)
    return _spark(f"IF({text} IS NULL, NULL, ISNAN({text}))")


def _length(node: Node) -> Node:
    return _spark(f"CAST(char_length({_text(node.this)}) AS BIGINT)")


def _inlined(node: Node) -> Node:
    """Spark always inlines, and has no word for it."""
    node.set("materialized", None)
    return node


def _spark(text: str) -> Node:
    """Text that is Spark's already, to be left alone."""
    return exp.Var(this=text)


_CHANGES: tuple[tuple[type[Node] | tuple[type[Node], ...], Callable[[Node], Node]], ...] = (
    (exp.Div, _division),
    (exp.TimeToUnix, _seconds),
    (exp.Cast, _cast),
    ((exp.Extract, exp.Hour, exp.Minute, exp.Day, exp.Month, exp.Year, exp.DayOfWeek, exp.DayOfWeekIso), _part),
    (exp.Length, _length),
    (exp.IsNan, _is_nan),
    (exp.CTE, _inlined),
)


def _cannot(node: Node, dialect: str, why: str, where: str | None = None) -> EngineCannot:
    text = node.sql(dialect=DIALECT)[:60]
    return EngineCannot(f"{dialect} cannot run {text!r} as it is meant: {why}", where=where, fix=_FIX)
