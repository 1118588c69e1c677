"""What is at fault when an engine refuses a source's rows: its select, one of its rules, or one of its files.

An engine tells of its query, which nobody has written; a person knows selects, rules and files. Looked for when something has
failed, so that what works pays nothing for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pyarrow as pa

from tidewheel.errors import Invalid, TidewheelError, TypeMismatch, UnknownFeature, near_miss
from tidewheel.sources.definition import Source
from tidewheel.sources.expectation import Rule
from tidewheel.sources.query import select_query
from tidewheel.sources.sql import DIALECT, quoted
from tidewheel.sources.validate import without_rules

_FAILED = "the query failed: "


def fault_of_query(source: Source, error: Invalid, describe: Callable[[str], pa.Schema]) -> TidewheelError:
    """The error of a query over a source, as one that names what to change.

    Parameters
    ----------
    describe
        Columns of a query over ``this``, the raw rows; raises ``Invalid`` where the engine refuses it.
    """
    plain = select_query(without_rules(source))
    try:
        described = describe(plain)
    except Invalid as refused:
        if source.select is None:
            return named(source, error)
        what = f"the select of source {source.name} cannot run: {_reason(refused)}"
        return Invalid(what, where=source.where, fix="check the names and the types of the columns in it")
    for rule in (rule for one in source.expect for rule in one.rules if rule.condition is not None):
        found = _fault_of_rule(source, rule, described, describe, plain=plain)
        if found is not None:
            return found
    return named(source, error)


def fault_of_rows(source: Source, error: TidewheelError, places: Iterable[tuple[str, Callable[[], object]]]) -> TidewheelError:
    """The error of reading a source, with the place that has it alone.

    Parameters
    ----------
    places
        Files and pushed rows by their names, each with what reads it alone.
    """
    for name, read in places:
        try:
            read()
        except TidewheelError as alone:
            if type(alone) is type(error) and alone.what[:40] == error.what[:40]:
                return named(source, error, place=name)
    return named(source, error)


def named(source: Source, error: TidewheelError, *, place: str | None = None) -> TidewheelError:
    """The error with the name of its source, and of the place in it.

    Examples
    --------
    >>> from tidewheel.sources.definition import source
    >>> told = named(source("trips", "a.csv", time="t"), Invalid("the query failed: no"), place="a.csv")
    >>> told.what
    'source trips, in a.csv: no'
    """
    reason = _reason(error)
    inside = f", in {place}" if place is not None and place not in reason else ""
    if not inside and f"source {source.name}" in reason:
        return error
    return type(error)(f"source {source.name}{inside}: {reason}", where=error.where or source.where, fix=error.fix)


def _fault_of_rule(
    source: Source, rule: Rule, described: pa.Schema, describe: Callable[[str], pa.Schema], *, plain: str
) -> TidewheelError | None:
    import sqlglot  # what answers online knows sources too, and needs no SQL
    from sqlglot import exp

    columns = [one.name for one in sqlglot.parse_one(str(rule.condition), read=DIALECT).find_all(exp.Column) if not one.table]
    known = {name.lower(): name for name in described.names}
    for name in columns:
        if name.lower() not in known:
            what = f"source {source.name} has no column {name!r}, which the expectation {rule.text!r} names"
            return UnknownFeature(what, where=source.where, fix=near_miss(name, described.names))
    try:
        describe(f"SELECT CAST(({rule.condition}\n) AS BOOLEAN) AS good FROM ({plain}\n) AS rows")
    except Invalid as refused:
        kinds = {known[name.lower()]: str(described.field(known[name.lower()]).type) for name in columns}
        told = ", ".join(f"{name} is {kind}" for name, kind in kinds.items())
        what = f"the expectation {rule.text!r} of source {source.name} does not fit: {told or _reason(refused)}"
        first = quoted(next(iter(kinds), "column"))
        fix = f"cast the column in the select: SELECT * REPLACE (CAST({first} AS ...) AS {first}) FROM this"
        return TypeMismatch(what, where=source.where, fix=fix)
    return None


def _reason(error: TidewheelError) -> str:
    return error.what.removeprefix(_FAILED)
