"""Expectations: what rows of a source are to be, and what becomes of those that are not. Frozen values, no I/O.

A rule over one row is a condition in SQL, so it can be a part of the query that reads the source: rows in quarantine are left
out by that query, and therefore everywhere alike, in training, in materialising, and when they are pushed. As in a ``CHECK`` of
SQL, a condition that is unknown, because a value is null, does not fail.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Literal

from tidewheel.clock import Micros, format_duration, parse_duration
from tidewheel.errors import Invalid
from tidewheel.ledger.definition import place
from tidewheel.schema import DataType, data_type

Otherwise = Literal["stop", "quarantine", "warn"]
Bound = int | float | str | Decimal | date | datetime


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that is expected.

    Parameters
    ----------
    text
        The rule as a person reads it, and its name.
    condition
        What each good row meets, in DuckDB's SQL, for a rule over single rows.
    column
        Of a rule over a column: that its values are distinct, or of ``type``.
    newest
        How old, in microseconds, the newest row may be.
    """

    text: str
    condition: str | None = None
    column: str | None = None
    type: DataType | None = None
    newest: Micros | None = None

    @property
    def is_unique(self) -> bool:
        """Whether it is about no value of a column standing twice."""
        return self.column is not None and self.condition is None and self.type is None


@dataclass(frozen=True, slots=True)
class Expectation:
    """Rules, and what happens when they do not hold. Made by :func:`expect` and :func:`fresh`.

    Parameters
    ----------
    tolerate
        Share of the rows, from 0 to 1, that may fail a rule before it stops or warns.
    """

    rules: tuple[Rule, ...]
    otherwise: Otherwise = "stop"
    tolerate: float = 0.0


def expect(
    subject: str,
    *,
    type: object = None,
    null: bool = True,
    between: tuple[Bound | None, Bound | None] | None = None,
    among: Collection[Bound] | None = None,
    unique: bool = False,
    otherwise: Otherwise = "stop",
    tolerate: float = 0.0,
) -> Expectation:
    """Expect something of a column, or of each row.

    Parameters
    ----------
    subject
        A column after ``select``; without any of the rules below, a condition over one row in DuckDB's SQL.
    type
        Type of the column, as Python or the wire names it.
    null
        Whether the column may be null.
    between
        Least and greatest value, both allowed; ``None`` leaves a side open.
    among
        The values there may be.
    unique
        Whether no value may stand in two rows.
    otherwise
        ``"stop"`` fails what reads the rows (an apply, a materialisation, a training set, a push), ``"quarantine"`` leaves the
        rows out and keeps them aside, ``"warn"`` says so.
    tolerate
        Share of rows that may fail before it stops or warns.

    Raises
    ------
    Invalid
        For no rule, a condition that looks at other rows, or a quarantine by a rule that single rows cannot fail.

    Examples
    --------
    >>> [rule.text for rule in expect("fare", null=False, between=(0, 500)).rules]
    ['fare is not null', 'fare is between 0 and 500']
    >>> expect("dropoff > pickup", otherwise="quarantine").rules[0].condition
    'dropoff > pickup'
    """
    where = place()
    from tidewheel.sources.sql import quoted

    name = quoted(subject)
    rules = []
    if type is not None:
        kind = data_type(type)
        rules.append(Rule(f"{subject} is {kind.value}", column=subject, type=kind))
    if not null:
        rules.append(Rule(f"{subject} is not null", f"{name} IS NOT NULL"))
    if between is not None:
        rules.append(_range(subject, between, where))
    if among is not None:
        values = sorted(among, key=str)
        shown = ", ".join(str(value) for value in values)
        rules.append(Rule(f"{subject} is one of {shown:.200}", f"{name} IN ({', '.join(map(_literal, values))})"))
    if unique:
        rules.append(Rule(f"{subject} is unique", column=subject))
    if not rules:
        from tidewheel.sources.select import parse_select

        parse_select(f"SELECT ({subject}\n) AS good FROM this", where)
        rules.append(Rule(subject, subject))
    return _checked(Expectation(tuple(rules), otherwise, tolerate), where)


def fresh(within: str | timedelta, *, otherwise: Otherwise = "stop") -> Expectation:
    """Expect that the newest row is not older than a span.

    Examples
    --------
    >>> fresh("6h", otherwise="warn").rules[0].text
    'the newest row is at most 6h old'
    """
    span = parse_duration(within)
    rule = Rule(f"the newest row is at most {format_duration(span)} old", newest=span)
    return _checked(Expectation((rule,), otherwise), place())


def quarantine_rules(expectations: Sequence[Expectation]) -> tuple[Rule, ...]:
    """Rules whose failing rows are left out.

    Examples
    --------
    >>> [one.text for one in quarantine_rules([expect("a > 0"), expect("b > 0", otherwise="quarantine")])]
    ['b > 0']
    """
    return tuple(rule for one in expectations if one.otherwise == "quarantine" for rule in one.rules)


def good_rows(rules: Sequence[Rule], floats: Collection[str] = ()) -> str:
    """The condition that rows outside of quarantine meet; null counts as met.

    Parameters
    ----------
    floats
        Columns whose NaN will be null, and is null here too. An engine must not compare it: DuckDB takes NaN for the greatest
        number, except where the statistics of a Parquet file say that there is no such number.

    Examples
    --------
    >>> good_rows(expect("a > 0").rules)
    '((a > 0\\n) IS NOT FALSE)'
    """
    return " AND ".join(f"(({condition_of(rule, floats)}\n) IS NOT FALSE)" for rule in rules)


def condition_of(rule: Rule, floats: Collection[str] = ()) -> str:
    """The rule's condition, with NaN for null in some columns.

    Examples
    --------
    >>> condition_of(expect("a > b").rules[0], ["a"])
    'CASE WHEN ISNAN("a") THEN NULL ELSE "a" END > b'
    """
    return _without_nan(str(rule.condition), frozenset(name.lower() for name in floats))


@lru_cache(maxsize=512)
def _without_nan(condition: str, floats: frozenset[str]) -> str:
    if not floats:
        return condition
    import sqlglot  # what answers online knows sources too, and needs no SQL
    from sqlglot import exp

    from tidewheel.sources.sql import DIALECT, quoted

    tree = sqlglot.parse_one(condition, read=DIALECT)
    for column in list(tree.find_all(exp.Column)):
        if column.name.lower() in floats and not column.table:
            name = quoted(column.name)
            clean = sqlglot.parse_one(f"CASE WHEN isnan({name}) THEN NULL ELSE {name} END", read=DIALECT)
            if column is tree:
                tree = clean
            else:
                column.replace(clean)
    return tree.sql(dialect=DIALECT, comments=False)


def _checked(made: Expectation, where: str) -> Expectation:
    if made.otherwise not in ("stop", "quarantine", "warn"):
        raise Invalid(f"otherwise={made.otherwise!r}", where=where, fix='otherwise is "stop", "quarantine" or "warn"')
    if not 0 <= made.tolerate < 1:
        raise Invalid(f"tolerate={made.tolerate!r} is not a share", where=where, fix="write a share of the rows, such as 0.01")
    for rule in made.rules:
        if made.otherwise == "quarantine" and rule.condition is None:
            fix = "use event_id=" if rule.column is not None and rule.type is None else 'use otherwise="stop" or "warn"'
            raise Invalid(f"no single row can fail {rule.text!r}, so none can be put in quarantine", where=where, fix=fix)
    return made


def _range(subject: str, between: tuple[Bound | None, Bound | None], where: str) -> Rule:
    least, greatest = between
    if least is None and greatest is None:
        raise Invalid(f"the range of {subject} has no bound", where=where, fix="write between=(least, greatest)")
    from tidewheel.sources.sql import quoted

    name = quoted(subject)
    parts = []
    if least is not None:
        parts.append(f"{name} >= {_literal(least)}")
    if greatest is not None:
        parts.append(f"{name} <= {_literal(greatest)}")
    if greatest is None:
        text = f"{subject} is at least {least}"
    else:
        text = f"{subject} is at most {greatest}" if least is None else f"{subject} is between {least} and {greatest}"
    return Rule(text, " AND ".join(parts))


def _literal(value: Bound) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, datetime):
        kind = "TIMESTAMP" if value.tzinfo is None else "TIMESTAMPTZ"
        return f"{kind} '{value.isoformat(sep=' ')}'"
    if isinstance(value, date):
        return f"DATE '{value.isoformat()}'"
    if isinstance(value, int | float | Decimal):
        return str(value)
    return "'" + value.replace("'", "''") + "'"
