"""SQL as the values of an expression: typed text, where null means that Python itself must be asked. Pure.

Inputs are not null where an expression counts, so a null inside of it can only be a doubt, and SQL's own rules carry it to the
result. What SQL would drop it in (a false ``AND``, a ``CASE`` without a match) is written out.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tidewheel.features.expression_part import EXACT, Kind, Refused
from tidewheel.features.sql_dialect import SqlDialect

_MOST_STEPS = 60
_COMPARE: Mapping[type[ast.cmpop], str] = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "=", ast.NotEq: "<>"}


@dataclass(frozen=True, slots=True)
class SqlPart:
    """The text of an expression that gives a value of a kind, see :data:`~tidewheel.features.expression_part.Kind`.

    ``integer`` as of :class:`~tidewheel.features.expression_part.Part`. ``plain``: no NaN, a constant or an integer.
    ``simple``: a name or a constant, which costs nothing to write twice.
    """

    kind: Kind
    text: str
    integer: bool = False
    plain: bool = False
    simple: bool = False


def called(part: SqlPart) -> SqlPart:
    """What a call or an operator gave: the same number, but of an input that is null an error of Python's.

    Examples
    --------
    >>> called(SqlPart("int", "i0", simple=True)).simple
    False
    """
    return replace(part, text=f"({part.text})", simple=False)


@dataclass(slots=True)
class SqlSteps:
    """An expression in the making: what is used more than once is computed in a step of its own, a column of a subquery."""

    dialect: SqlDialect
    steps: list[str] = field(default_factory=list)

    def once(self, part: SqlPart) -> SqlPart:
        """The part as a name that can stand anywhere.

        Raises
        ------
        Refused
            When there are too many.
        """
        if part.simple:
            return part
        if len(self.steps) >= _MOST_STEPS:
            raise Refused
        if part.text not in self.steps:
            self.steps.append(part.text)
        return replace(part, text=f"s{self.steps.index(part.text)}", simple=True)

    def write(self, kind: Kind, meaning: str, *operands: SqlPart) -> SqlPart:
        """An expression of the dialect over operands, each computed once."""
        return SqlPart(kind, self.dialect.write(meaning, *(self.once(one).text for one in operands)))

    def choose(self, test: SqlPart, one: SqlPart, other: SqlPart) -> SqlPart:
        """One part where a test holds, another one where it does not, null where the test is in doubt."""
        if test.kind != "bool":
            raise Refused
        one, other = self.alike(one, other)
        if one.kind == "none":
            return one
        test = self.once(test)
        text = f"CASE WHEN {test.text} THEN {one.text} WHEN NOT {test.text} THEN {other.text} END"
        return SqlPart(one.kind, text, one.integer or other.integer)

    def alike(self, one: SqlPart, other: SqlPart) -> tuple[SqlPart, SqlPart]:
        """Two parts of one kind; integers among floats stay integers in Python, and are in doubt where doubles end."""
        if one.kind == other.kind:
            return one, other
        if "none" in (one.kind, other.kind):
            return (replace(one, kind=other.kind), other) if one.kind == "none" else (one, replace(other, kind=one.kind))
        if {one.kind, other.kind} != {"int", "float"}:
            raise Refused
        made = [part if part.kind == "float" else replace(self.exact(part), integer=True) for part in (one, other)]
        return made[0], made[1]

    def exact(self, part: SqlPart) -> SqlPart:
        """An integer as a double where that is the same number, else null."""
        part = self.once(part)
        inside = f"{part.text} BETWEEN {self.integer(-EXACT).text} AND {self.integer(EXACT).text}"
        return SqlPart("float", f"CASE WHEN {inside} THEN {self.dialect.write('double', part.text)} END", plain=True)

    def as_float(self, part: SqlPart) -> SqlPart:
        """The double that Python makes of a number when it computes with floats."""
        if part.kind == "float":
            return part
        if part.kind != "int":
            raise Refused
        return SqlPart("float", self.dialect.write("double", part.text), plain=True)

    def compared(self, op: ast.cmpop, left: SqlPart, right: SqlPart) -> SqlPart:
        """A comparison as Python makes it: integers and floats exactly, and nothing of NaN."""
        sign = _COMPARE.get(type(op))
        if sign is None or {"time", "none"} & {left.kind, right.kind}:
            raise Refused
        if left.kind != right.kind:
            if {left.kind, right.kind} != {"int", "float"}:
                raise Refused
            left, right = (one if one.kind == "float" else self.exact(one) for one in (left, right))
        if left.kind == "bool" and sign not in ("=", "<>"):
            raise Refused
        if left.kind != "float":
            return SqlPart("bool", f"({left.text} {sign} {right.text})")
        if sign == "<>":
            return SqlPart("bool", f"(NOT {self.compared(ast.Eq(), left, right).text})")
        # to both engines NaN is the greatest of numbers, and equal to itself
        guarded = left if sign in (">", ">=", "=") else right
        if guarded.plain or (sign == "=" and right.plain):
            return SqlPart("bool", f"({left.text} {sign} {right.text})")
        left, right = self.once(left), self.once(right)
        guarded = left if sign in (">", ">=", "=") else right
        told = f"{left.text} {sign} {right.text}"
        return SqlPart("bool", f"CASE WHEN {told} THEN NOT {self.dialect.write('isnan', guarded.text)} ELSE {told} END")

    def both(self, one: SqlPart, other: SqlPart) -> SqlPart:
        """``one and other`` of booleans."""
        one = self.once(one)
        return SqlPart("bool", f"CASE WHEN {one.text} THEN {other.text} ELSE {one.text} END")

    def either(self, one: SqlPart, other: SqlPart) -> SqlPart:
        """``one or other`` of booleans."""
        one = self.once(one)
        return SqlPart("bool", f"CASE WHEN NOT {one.text} THEN {other.text} ELSE {one.text} END")

    def whole(self, part: SqlPart, rounding: str) -> SqlPart:
        """A float as an integer; null where there is none of 64 bits."""
        if part.kind == "int":
            return called(part)
        part = self.once(self.as_float(part))
        text = self.dialect.write("whole", self.dialect.write(rounding, part.text))
        return SqlPart("int", f"CASE WHEN abs({part.text}) < CAST('9.2e18' AS DOUBLE) THEN {text} END")

    def ascii(self, part: SqlPart, *parts: SqlPart) -> str:
        """A test that strings are of ASCII: beyond it the tables of Unicode are of different years."""
        texts = [self.once(one).text for one in (part, *parts)]
        return " AND ".join(f"{self.dialect.write('size', one)} = {self.dialect.write('length', one)}" for one in texts)

    def integer(self, value: int) -> SqlPart:
        """A constant of 64 bits."""
        return SqlPart("int", f"CAST('{value}' AS BIGINT)", plain=True, simple=True)

    def constant(self, value: object) -> SqlPart:
        """A constant; Python's ``None`` is in doubt on each row."""
        if value is None:
            return SqlPart("none", "NULL", simple=True)
        if isinstance(value, bool):
            return SqlPart("bool", str(value).upper(), simple=True)
        if isinstance(value, int) and -(1 << 63) <= value < 1 << 63:
            return self.integer(value)
        if isinstance(value, float) and abs(value) != float("inf"):
            return SqlPart("float", f"CAST('{value!r}' AS DOUBLE)", plain=True, simple=True)
        text = self.dialect.text(value) if isinstance(value, str) else None
        if text is None:
            raise Refused
        return SqlPart("str", text, simple=True)
