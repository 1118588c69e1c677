"""The ``select`` of a source: one row-wise SELECT over ``this``, checked, with the columns that it reads.

Row-wise is what makes it mean the same on a file of a million rows and on one pushed row, so whatever looks at other rows
(aggregates, windows, sorting, joins) or at the world (clock, randomness) is refused here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from tidewheel.errors import Invalid
from tidewheel.sources.dialect import DIALECT

_CLAUSES = ("with_", "joins", "laterals", "group", "having", "qualify", "windows", "distinct", "order", "limit", "offset")
_ROWWISE = "a select is row-wise: filter and compute here, and aggregate in features"
_WORLD = {"rand", "random", "uuid", "gen_random_uuid", "now", "today", "nextval", "get_current_timestamp", "current_setting"}
_CLOCKS = (exp.Rand, exp.CurrentTimestamp, exp.CurrentDate, exp.CurrentTime, exp.CurrentDatetime, exp.Uuid)


@dataclass(frozen=True, slots=True)
class Select:
    """A checked select.

    Parameters
    ----------
    sql
        The text as written, without a final semicolon.
    names
        Columns that it names; one of them may be an alias made further left.
    star
        Whether it takes all columns.
    plain
        Output column to raw column, for those that are passed through as they are under a name given.

    Examples
    --------
    >>> checked = parse_select("SELECT *, a - b AS d, c AS e FROM this WHERE a > b")
    >>> checked.names, checked.star, checked.plain
    (('c', 'a', 'b'), True, (('e', 'c'),))
    """

    sql: str
    names: tuple[str, ...]
    star: bool
    plain: tuple[tuple[str, str], ...]
    computed: tuple[str, ...]

    def raw_column(self, output: str) -> str | None:
        """The raw column that an output column is, unchanged; ``None`` when it is computed."""
        for name, raw in self.plain:
            if name.lower() == output.lower():
                return raw
        return output if self.star and output.lower() not in self.computed else None

    def reads(self, raw: tuple[str, ...]) -> tuple[str, ...]:
        """Those of the raw columns that must be there, in their order."""
        if self.star:
            return raw
        wanted = {name.lower() for name in self.names}
        return tuple(name for name in raw if name.lower() in wanted)


@lru_cache(maxsize=256)
def parse_select(text: str | None, where: str | None = None) -> Select:
    """Check a source's select; ``None`` is ``SELECT * FROM this``.

    Raises
    ------
    Invalid
        When it does not parse, is more than one SELECT over ``this``, or is not row-wise.
    """
    if text is None:
        return Select("SELECT * FROM this", (), True, (), ())
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
    return Select(text.strip().rstrip(";"), names, star, tuple(plain), tuple(computed))


def has_condition(text: str | None) -> bool:
    """Whether a select has a WHERE.

    Examples
    --------
    >>> has_condition("SELECT a FROM this"), has_condition("SELECT a FROM this WHERE a > 0")
    (False, True)
    """
    return text is not None and bool(sqlglot.parse_one(parse_select(text).sql, read=DIALECT).args.get("where"))


def quoted(name: str) -> str:
    """A name as an SQL identifier.

    Examples
    --------
    >>> print(quoted('a "b" c'))
    "a ""b"" c"
    """
    return '"' + name.replace('"', '""') + '"'


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
