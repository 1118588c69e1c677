"""Texts in the depth of objects and lists: where they are, what counts them, and what makes each of them something else.

An expression is SQL; a path names the fields on the way, with ``[]`` for the elements of a list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from duckdb.sqltypes import DuckDBPyType

Place = tuple[str, ...]
ELEMENTS = "[]"
_TEXTS = ("varchar", "date", "timestamp", "timestamp with time zone", "time", "uuid")
_WIDE = ("hugeint", "ubigint", "uhugeint")


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value that is neither an object nor a list, in some depth of a column.

    Parameters
    ----------
    column
        The column, as SQL.
    kind
        The type that the engine takes it for.

    Examples
    --------
    >>> Leaf(("zone",), '"zone"', "varchar").is_text
    True
    """

    path: Place
    column: str
    kind: str

    @property
    def is_text(self) -> bool:
        """Whether it is read as text, to be made what all texts of its place are."""
        return self.kind in _TEXTS

    @property
    def is_wide(self) -> bool:
        """Whether it is taken for more than 64 bits with a sign."""
        return self.kind in _WIDE


def find_leaves(path: Place, column: str, kind: DuckDBPyType) -> Iterator[Leaf]:
    """All leaves of a column."""
    if kind.id == "struct":
        for name, inner in _inner(kind):
            yield from find_leaves((*path, name), column, inner)
    elif kind.id == "list":
        yield from find_leaves((*path, ELEMENTS), column, _inner(kind)[0][1])
    else:
        yield Leaf(path, column, str(kind).lower())


def as_text(kind: DuckDBPyType) -> str:
    """The type with text in place of all that is written as a string.

    Examples
    --------
    >>> import duckdb
    >>> as_text(duckdb.struct_type({"at": duckdb.type("TIMESTAMP"), "fares": duckdb.list_type("DOUBLE")}))
    'STRUCT("at" VARCHAR, "fares" DOUBLE[])'
    """
    if kind.id == "struct":
        return f"STRUCT({', '.join(f'{_quoted(name)} {as_text(inner)}' for name, inner in _inner(kind))})"
    if kind.id == "list":
        return f"{as_text(_inner(kind)[0][1])}[]"
    return "VARCHAR" if str(kind).lower() in _TEXTS else str(kind)


def counted(leaf: Leaf, test: Callable[[str], str]) -> str:
    """SQL for how many values of a leaf meet a test.

    Examples
    --------
    >>> print(counted(Leaf(("zone",), '"zone"', "varchar"), "{} > 0".format))
    sum(CASE WHEN "zone" > 0 THEN 1 ELSE 0 END)
    """

    def inside(steps: Place, text: str) -> str:
        if not steps:
            return f"CASE WHEN {test(text)} THEN 1 ELSE 0 END"
        if steps[0] != ELEMENTS:
            return inside(steps[1:], _field(text, steps[0]))
        one = f"v{len(steps)}"
        return f"coalesce(list_sum(list_transform({text}, lambda {one}: {inside(steps[1:], one)})), 0)"

    return f"sum({inside(leaf.path[1:], leaf.column)})"


def most(leaf: Leaf) -> str:
    """SQL for the least and the greatest value of a leaf, as a list.

    Examples
    --------
    >>> print(most(Leaf(("ids", "[]"), '"ids"', "hugeint")))
    [min(list_min("ids")), max(list_max("ids"))]
    """

    def inside(steps: Place, text: str, of: str) -> str:
        if not steps:
            return text
        if steps[0] != ELEMENTS:
            return inside(steps[1:], _field(text, steps[0]), of)
        if len(steps) == 1:
            return f"list_{of}({text})"
        one = f"v{len(steps)}"
        return f"list_{of}(list_transform({text}, lambda {one}: {inside(steps[1:], one, of)}))"

    return f"[{', '.join(f'{of}({inside(leaf.path[1:], leaf.column, of)})' for of in ('min', 'max'))}]"


def converted(path: Place, text: str, *, kind: DuckDBPyType, make: Callable[[Place, str], str]) -> str:
    """SQL for a value with each text in it made what ``make`` says, wide numbers narrow, and values of several types text.

    Strings keep their quotes in a column that has a number too, since they are left as they are written.
    """
    if kind.id == "struct":
        made = {name: converted((*path, name), _field(text, name), kind=inner, make=make) for name, inner in _inner(kind)}
        if all(told == _field(text, name) for name, told in made.items()):
            return text
        fields = ", ".join(f"{_quoted(name)} := {told}" for name, told in made.items())
        return f"CASE WHEN {text} IS NULL THEN NULL ELSE struct_pack({fields}) END"
    if kind.id == "list":
        one = f"v{len(path)}"
        inner = converted((*path, ELEMENTS), one, kind=_inner(kind)[0][1], make=make)
        return text if inner == one else f"list_transform({text}, lambda {one}: {inner})"
    leaf = Leaf(path, text, str(kind).lower())
    if leaf.is_text:
        return make(path, text)
    if leaf.is_wide:
        return f"CAST({text} AS BIGINT)"
    return f"({text} ->> '$')" if leaf.kind == "json" else text


def _inner(kind: DuckDBPyType) -> list[tuple[str, DuckDBPyType]]:
    """The fields of an object, or the elements of a list."""
    return [(name, inner) for name, inner in kind.children if isinstance(inner, DuckDBPyType)]


def _field(text: str, name: str) -> str:
    return f"struct_extract({text}, '{name.replace(chr(39), chr(39) * 2)}')"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
