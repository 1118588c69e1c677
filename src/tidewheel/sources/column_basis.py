"""What decides single columns of a source, so that an edit of one column of a select is no edit of the others. Pure.

A select is row-wise, so a column follows from the columns of the row, its own expression, and the condition that decides
which rows there are. Where that is not certain from the text, the whole select counts.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from tidewheel.digest import Digest, digest
from tidewheel.sources.definition import Source
from tidewheel.sources.select import parse_select
from tidewheel.sources.sql import DIALECT

if TYPE_CHECKING:
    from sqlglot import exp

_NUMBERED = re.compile(r"(.+)[_:]\d+")


@dataclass(frozen=True, slots=True)
class Select:
    """The parts of a select by the names that they make or use, in lower case.

    Parameters
    ----------
    made
        Of each name that an item of the select makes, what makes it.
    stars
        How many items take all columns, and the names that they leave out.
    rows
        The condition, and the names in it.
    """

    made: Mapping[str, tuple[str, frozenset[str]]]
    replaced: Mapping[str, tuple[str, frozenset[str]]]
    stars: int
    excluded: frozenset[str]
    rows: tuple[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Basis:
    """What decides some columns of a source after ``select``, its data apart.

    Parameters
    ----------
    rows
        Digest of what counts for every column: which rows there are, how they are placed in time and told apart.
    columns
        Digest of what makes each of the columns, beside that.
    texts
        What makes each of the columns that the select computes, to be shown.
    """

    rows: Digest
    columns: Mapping[str, Digest]
    texts: Mapping[str, str]


def basis_of(source: Source, names: Collection[str]) -> Basis:
    """What decides some columns after ``select``, beside the data that is read.

    Two sources whose ``rows`` are equal, and which give a column one digest, give it the same values in the same rows, over
    the same data.

    Examples
    --------
    >>> from tidewheel.sources.definition import source
    >>> one = source("s", "s.csv", time="t", select="SELECT *, a / 60 AS minutes FROM this WHERE a > 0")
    >>> two = source("s", "s.csv", time="t", select="SELECT *, a / 61 AS minutes FROM this WHERE a > 0")
    >>> before, after = (basis_of(each, ("a", "minutes")) for each in (one, two))
    >>> before.rows == after.rows, before.columns["a"] == after.columns["a"], after.texts
    (True, True, {'minutes': 'a / 61'})
    """
    rows, select = _rows_of(source)
    if select is None:
        return Basis(rows, {name: digest(["column", name]) for name in names}, {})
    found = {name: sorted(_reached(select, {name.lower()})) for name in names}
    texts = {name: text for name in names if (text := _text(select, name.lower())) is not None}
    return Basis(rows, {name: digest(["column", name, reached]) for name, reached in found.items()}, texts)


def column_bases(source: Source, names: Collection[str]) -> dict[str, Digest]:
    """What decides each of some columns after ``select``, which rows there are included, in one digest each.

    Examples
    --------
    >>> from tidewheel.sources.definition import source
    >>> one = source("s", "s.csv", time="t", select="SELECT *, a / 60 AS minutes FROM this WHERE a > 0")
    >>> two = source("s", "s.csv", time="t", select="SELECT *, a / 60 AS minutes, b + 1 AS more FROM this WHERE a > 0")
    >>> column_bases(one, ("minutes",)) == column_bases(two, ("minutes",))
    True
    >>> column_bases(one, ("more",)) == column_bases(two, ("more",))
    False
    """
    found = basis_of(source, names)
    return {name: digest([found.rows, column]) for name, column in found.columns.items()}


@lru_cache(maxsize=1024)
def _rows_of(source: Source) -> tuple[Digest, Select | None]:
    """What decides the rows, and the select's parts; ``None`` for those where single columns are not certain: then all of the
    source decides the rows."""
    select, named = _read(source.select), _of_the_source(source)
    if select is None or named is None:
        return digest(["whole", source.parameters]), None
    rest = {name: value for name, value in source.parameters.items() if name != "select"}
    reached = sorted(_reached(select, {*named, *select.rows[1]}))
    return digest(["rows", rest, select.rows[0], select.stars, reached]), select


def _text(select: Select, name: str) -> str | None:
    told = select.replaced.get(name) or select.made.get(name)
    return None if told is None else told[0]


def _of_the_source(source: Source) -> frozenset[str] | None:
    """Columns that every row of the source is placed, told apart and dropped by; ``None`` where they are not certain."""
    if source.changes is not None or source.event_id is not None:
        return None  # of rows of one id the greatest counts, by all columns
    named = {source.time, source.created, source.available, source.valid_to} - {None}
    found = {str(name).lower() for name in named}
    for condition in (source.deleted, *(rule.condition for rule in source.quarantine)):
        if condition is not None:
            import sqlglot

            found |= _names(sqlglot.parse_one(condition, read=DIALECT))
    return frozenset(found)


def _reached(select: Select, names: set[str]) -> Iterator[str]:
    """Texts of all that may decide some names: an item may use the alias of another one, and so may the condition."""
    waiting, seen = set(names), set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        stem = _NUMBERED.fullmatch(name)  # of two columns of one name the second has a number
        waiting |= {stem[1]} if stem is not None else set()
        if name in select.excluded:
            yield f"{name} left out"
        for kind, told in (("is", select.made.get(name)), ("replaced", select.replaced.get(name))):
            if told is not None:
                waiting |= told[1]
                yield f"{name} {kind} {told[0]}"


@lru_cache(maxsize=256)
def _read(text: str | None) -> Select | None:
    """The parts of a select; ``None`` where which column is which is not certain."""
    if text is None:
        return Select({}, {}, 1, frozenset(), ("", frozenset()))
    import sqlglot  # who has no select does without: an answer of numbers loads nothing heavy
    from sqlglot import exp

    tree = sqlglot.parse_one(parse_select(text).sql, read=DIALECT)
    if tree.find(exp.Columns, exp.PositionalColumn) is not None:
        return None
    made: dict[str, tuple[str, frozenset[str]]] = {}
    replaced: dict[str, tuple[str, frozenset[str]]] = {}
    excluded: set[str] = set()
    stars = 0
    for item in tree.expressions:
        if isinstance(item, exp.Star):
            if item.args.get("rename"):
                return None
            stars += 1
            excluded |= {one.name.lower() for one in item.args.get("except_") or item.args.get("except") or []}
            replaced |= {one.alias.lower(): _told(one.this) for one in item.args.get("replace") or []}
            continue
        plain = isinstance(item, exp.Column) and isinstance(item.this, exp.Identifier) and not item.table
        if not (plain or isinstance(item, exp.Alias)) or not item.alias_or_name or item.alias_or_name.lower() in made:
            return None
        made[item.alias_or_name.lower()] = _told(item.unalias())
    if stars > 1:
        return None
    condition = tree.args.get("where")
    return Select(made, replaced, stars, frozenset(excluded), ("", frozenset()) if condition is None else _told(condition.this))


def _told(node: exp.Expr) -> tuple[str, frozenset[str]]:
    return node.sql(dialect=DIALECT, comments=False), _names(node)


def _names(node: exp.Expr) -> frozenset[str]:
    from sqlglot import exp

    return frozenset(one.name.lower() for one in node.find_all(exp.Identifier))
