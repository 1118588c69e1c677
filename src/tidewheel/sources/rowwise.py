"""One row-wise SELECT over ``this``, parsed and checked (:mod:`tidewheel.sources.select`)."""

from __future__ import annotations

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from tidewheel.errors import Invalid
from tidewheel.sources.sql import DIALECT

Names = tuple[str, ...]

_CLAUSES = ("with_", "joins", "laterals", "group", "having", "qualify", "windows", "distinct", "order", "limit", "offset")
_ROWWISE = "a select is row-wise: filter and compute here, and aggregate in features"
_WORLD = {"rand", "random", "uuid", "gen_random_uuid", "now", "today", "nextval", "get_current_timestamp", "current_setting"}
_CLOCKS = (exp.Rand, exp.CurrentTimestamp, exp.CurrentDate, exp.CurrentTime, exp.CurrentDatetime, exp.Uuid)


def read_rowwise(text: str, where: str | None) -> tuple[Names, bool, tuple[tuple[str, str], ...], Names]:
    """What a select says: columns that it names, whether it takes all, those passed through, and those computed.

    Raises
    ------
    Invalid
        When it does not parse, is more than one SELECT over ``this``, or is not row-wise.

    Examples
    --------
    >>> read_rowwise("SELECT a AS b, a + 1 AS c FROM this", None)
    (('a',), False, (('b', 'a'),), ('c',))
    """
    try:
        statements = [statement for statement in sqlglot.parse(text, read=DIALECT) if statement is not None]
    except SqlglotError as error:
        raise Invalid(f"select does not parse: {str(error).splitlines()[0]}", where=where, fix="write DuckDB's SQL") from error
    tree = statements[0] if len(statements) == 1 else None
    if not isinstance(tree, exp.Select):
        raise Invalid("select is not one SELECT", where=where, fix='write one "SELECT ... FROM this"')
    _check_from(tree, where)
    _check_rowwise(tree, where)
    names = tuple(dict.fromkeys(column.name for column in tree.find_all(exp.Column) if not isinstance(column.this, exp.Star)))
    star = any(isinstance(item, exp.Star | exp.Columns) or item.is_star for item in tree.expressions)
    plain, computed = [], []
    for item in tree.expressions:
        inner = item.unalias()
        if isinstance(inner, exp.Column) and not item.is_star:
            plain.append((item.alias_or_name, inner.name))
        elif item.alias:
            computed.append(item.alias.lower())
        computed += [replaced.alias.lower() for replaced in item.args.get("replace") or [] if replaced.alias]
    return names, star, tuple(plain), tuple(computed)


def is_filtered(text: str) -> bool:
    """Whether a select has a WHERE.

    Examples
    --------
    >>> is_filtered("SELECT a FROM this WHERE a > 0")
    True
    """
    return bool(sqlglot.parse_one(text, read=DIALECT).args.get("where"))


def _check_from(tree: exp.Select, where: str | None) -> None:
    tables = list(tree.find_all(exp.Table))
    own = len(tables) == 1 and isinstance(tables[0].this, exp.Identifier) and tables[0].name.lower() == "this"
    if not own or tables[0].db:
        found = ", ".join(table.sql(dialect=DIALECT) for table in tables) or "nothing"
        raise Invalid(f"select reads {found}", where=where, fix="read FROM this, the rows of the source itself")


def _check_rowwise(tree: exp.Select, where: str | None) -> None:
    for clause in (*_CLAUSES, "sample"):
        if tree.args.get(clause):
            word = clause.strip("_").upper()
            raise Invalid(f"select has {word}", where=where, fix=_ROWWISE)
    for node in tree.walk():
        nested = isinstance(node, exp.Query) and node is not tree
        if nested or isinstance(node, exp.AggFunc | exp.Window | exp.UDTF | exp.Explode):
            raise Invalid(
                f"select looks at other rows: {node.sql(dialect=DIALECT)[:60]}",
                where=where,
                fix=_ROWWISE,
            )
        if isinstance(node, _CLOCKS) or (isinstance(node, exp.Anonymous) and node.name.lower() in _WORLD):
            raise Invalid(
                f"select is not the same tomorrow: {node.sql(dialect=DIALECT)[:60]}",
                where=where,
                fix="compute from the row's own columns only",
            )
