"""The ``select`` of a source: one row-wise SELECT over ``this``, checked, with the columns that it reads.

Row-wise is what makes it mean the same on a file of a million rows and on one pushed row, so whatever looks at other rows
(aggregates, windows, sorting, joins) or at the world (clock, randomness) is refused here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache


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
    from tidewheel.sources.rowwise import read_rowwise  # parses SQL, which most sources need not

    return Select(text.strip().rstrip(";"), *read_rowwise(text, where))


def has_condition(text: str | None) -> bool:
    """Whether a select has a WHERE.

    Examples
    --------
    >>> has_condition("SELECT a FROM this"), has_condition("SELECT a FROM this WHERE a > 0")
    (False, True)
    """
    if text is None:
        return False
    from tidewheel.sources.rowwise import is_filtered

    return is_filtered(parse_select(text).sql)
