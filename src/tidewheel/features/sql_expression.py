"""Expressions as SQL: the part of Python that engines share to the bit, with null wherever Python must be asked. Pure.

What is here is what :mod:`tidewheel.features.expression` computes over arrays, less the methods of strings that engines do not
have. Every function is held to Python on real DuckDB and Spark by the tests.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tidewheel.features.expression_calls import BUILTINS
from tidewheel.features.expression_part import Kind, Refused, named, slice_of
from tidewheel.features.sql_part import SqlPart, SqlSteps, called

SqlColumns = Mapping[str, SqlPart]

_FIELDS = ("year", "month", "day", "hour", "minute", "second", "microsecond")
_METHODS: Mapping[str, tuple[int, Kind]] = {
    "replace": (2, "str"),
    "endswith": (1, "bool"),
    "startswith": (1, "bool"),
    "find": (1, "int"),
}
_IN_ASCII = {"lower": 0, "upper": 0, "strip": 1, "lstrip": 1, "rstrip": 1}
_WORDS: Mapping[type[ast.operator], str] = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul"}


@dataclass(frozen=True, slots=True)
class SqlExpressions:
    """Writes expressions over columns, with the steps that they need.

    ``nullable``: names of inputs that may be null, which is all that ``is None`` can be asked of.
    """

    steps: SqlSteps
    nullable: Mapping[str, SqlPart] = field(default_factory=dict)

    def evaluate(self, node: ast.expr, columns: SqlColumns) -> SqlPart:
        """An expression over columns.

        Raises
        ------
        Refused
            When it says more than is shared.

        Examples
        --------
        >>> from tidewheel.features.sql_dialect import DIALECTS
        >>> made = SqlExpressions(SqlSteps(DIALECTS["spark"]))
        >>> made.evaluate(ast.parse("a + a", mode="eval").body, {"a": SqlPart("int", "a", simple=True)}).text
        'try_add(a, a)'
        """
        try:
            return self._evaluate(node, columns)
        except Refused as refused:
            raise named(refused, node) from None

    def choose(self, test: SqlPart, one: SqlPart, other: SqlPart) -> SqlPart:
        """One part where a test holds, another one where it does not."""
        return self.steps.choose(test, one, other)

    def after(self, passed: SqlPart, made: SqlPart) -> SqlPart:
        """What is made, null also where something that was assigned before is."""
        if passed.simple and passed.kind != "none":
            return made
        test = self.steps.once(passed)
        return replace(made, text=f"CASE WHEN {test.text} IS NOT NULL THEN {made.text} END", simple=False)

    def _evaluate(self, node: ast.expr, columns: SqlColumns) -> SqlPart:
        if isinstance(node, ast.Name):
            if node.id not in columns:
                raise Refused
            return self.steps.once(columns[node.id])
        if isinstance(node, ast.Constant):
            return self.steps.constant(node.value)
        if isinstance(node, ast.BinOp):
            return self._binary(node.op, self.evaluate(node.left, columns), self.evaluate(node.right, columns))
        if isinstance(node, ast.UnaryOp):
            return self._unary(node.op, self.evaluate(node.operand, columns))
        if isinstance(node, ast.Compare):
            return self._compare(node, columns)
        if isinstance(node, ast.BoolOp):
            parts = [self.evaluate(one, columns) for one in node.values]
            if any(one.kind != "bool" for one in parts):
                raise Refused
            join = self.steps.both if isinstance(node.op, ast.And) else self.steps.either
            return functools.reduce(lambda behind, one: join(one, behind), reversed(parts))
        if isinstance(node, ast.IfExp):
            test, one, other = (self.evaluate(each, columns) for each in (node.test, node.body, node.orelse))
            return self.steps.choose(test, one, other)
        if isinstance(node, ast.Attribute):
            return self._field(node.attr, self.evaluate(node.value, columns))
        if isinstance(node, ast.Subscript):
            return self._slice(node, self.evaluate(node.value, columns))
        if isinstance(node, ast.Call):
            return self._call(node, columns)
        raise Refused

    def _binary(self, op: ast.operator, left: SqlPart, right: SqlPart) -> SqlPart:
        steps, word = self.steps, _WORDS.get(type(op))
        if left.kind == right.kind == "str" and word == "add":
            return steps.write("str", "concat", left, right)
        if left.kind == right.kind == "int":
            if isinstance(op, ast.Div):
                return steps.write("float", "div_float", steps.exact(left), steps.exact(right))
            if isinstance(op, ast.FloorDiv | ast.Mod):
                return steps.write("int", "quotient" if isinstance(op, ast.FloorDiv) else "remainder", left, right)
            if word is None:
                raise Refused
            return SqlPart("int", steps.dialect.write(f"{word}_int", left.text, right.text))
        if (left.integer or left.kind == "int") and (right.integer or right.kind == "int"):
            raise Refused  # some rows may be integers alone, which are exact in Python
        one, other = steps.as_float(left), steps.as_float(right)
        if isinstance(op, ast.Div):
            return steps.write("float", "div_float", one, other)
        if word is None:
            raise Refused
        return SqlPart("float", steps.dialect.write(f"{word}_float", one.text, other.text))

    def _unary(self, op: ast.unaryop, found: SqlPart) -> SqlPart:
        if isinstance(op, ast.Not):
            if found.kind != "bool":
                raise Refused
            return SqlPart("bool", f"(NOT {found.text})")
        if found.kind not in ("int", "float") or found.integer:
            raise Refused
        if isinstance(op, ast.UAdd):
            return called(found)
        if not isinstance(op, ast.USub):
            raise Refused
        if found.kind == "int":
            return SqlPart("int", self.steps.dialect.write("sub_int", self.steps.integer(0).text, found.text))
        return SqlPart("float", f"(- {found.text})", plain=found.plain)

    def _compare(self, node: ast.Compare, columns: SqlColumns) -> SqlPart:
        op = node.ops[0]
        if len(node.ops) == 1 and isinstance(op, ast.Is | ast.IsNot):
            return self._is_none(node, columns)
        if len(node.ops) == 1 and isinstance(op, ast.In | ast.NotIn):
            found = self._member(self.evaluate(node.left, columns), node.comparators[0], columns)
            return found if isinstance(op, ast.In) else SqlPart("bool", f"(NOT {found.text})")
        parts = [self.evaluate(one, columns) for one in (node.left, *node.comparators)]
        if len(parts) > 2:
            parts = [self.steps.once(one) for one in parts]
        made = [self.steps.compared(*one) for one in zip(node.ops, parts, parts[1:], strict=False)]
        return functools.reduce(lambda behind, one: self.steps.both(one, behind), reversed(made))

    def _is_none(self, node: ast.Compare, columns: SqlColumns) -> SqlPart:
        """``x is None`` of an input that may be null."""
        other, name = node.comparators[0], node.left.id if isinstance(node.left, ast.Name) else ""
        none = isinstance(other, ast.Constant) and other.value is None
        if not none or name not in self.nullable or columns[name] is not self.nullable[name]:
            raise Refused
        return SqlPart("bool", f"({columns[name].text} IS {'' if isinstance(node.ops[0], ast.Is) else 'NOT '}NULL)")

    def _member(self, left: SqlPart, among: ast.expr, columns: SqlColumns) -> SqlPart:
        """``x in (1, 2)`` with constants, and ``"a" in text``."""
        if isinstance(among, ast.Tuple | ast.List | ast.Set):
            if not among.elts or not all(isinstance(one, ast.Constant) for one in among.elts):
                raise Refused
            left = self.steps.once(left)
            made = [self.steps.compared(ast.Eq(), left, self.evaluate(one, columns)) for one in among.elts]
            return SqlPart("bool", f"({' OR '.join(one.text for one in made)})")
        text = self.evaluate(among, columns)
        if left.kind != "str" or text.kind != "str":
            raise Refused
        return self.steps.write("bool", "contains", text, left)

    def _field(self, name: str, held: SqlPart) -> SqlPart:
        if held.kind != "time" or name not in _FIELDS:
            raise Refused
        return self.steps.write("int", name, held)

    def _slice(self, node: ast.Subscript, held: SqlPart) -> SqlPart:
        """Characters of a string between constant places."""
        if held.kind != "str":
            raise Refused
        first, last = slice_of(node)
        steps = self.steps
        size = steps.once(steps.write("int", "length", held)).text

        def place(at: int) -> str:
            return f"least({at}, {size})" if at >= 0 else f"greatest({size} - {-at}, 0)"

        begin = place(first or 0)
        count = f"greatest({size if last is None else place(last)} - {begin}, 0)"
        return SqlPart("str", steps.dialect.write("part_of", steps.once(held).text, begin, count))

    def _call(self, node: ast.Call, columns: SqlColumns) -> SqlPart:
        if node.keywords or any(isinstance(one, ast.Starred) for one in node.args):
            raise Refused
        parts = [self.evaluate(one, columns) for one in node.args]
        if isinstance(node.func, ast.Name):
            if node.func.id not in BUILTINS or node.func.id in columns:
                raise Refused
            return self._builtin(node.func.id, parts)
        if not isinstance(node.func, ast.Attribute):
            raise Refused
        if isinstance(node.func.value, ast.Name) and node.func.value.id == "math" and "math" not in columns:
            return self._mathematics(node.func.attr, parts)
        return self._method(node.func.attr, self.evaluate(node.func.value, columns), parts)

    def _builtin(self, name: str, parts: Sequence[SqlPart]) -> SqlPart:
        steps = self.steps
        if name in ("min", "max"):
            return self._extreme(ast.Lt() if name == "min" else ast.Gt(), parts)
        if len(parts) != 1:
            raise Refused
        (part,) = parts
        if name == "len":
            if part.kind != "str":
                raise Refused
            return steps.write("int", "length", part)
        if name == "abs":
            if part.kind == "float":
                return SqlPart("float", steps.dialect.write("abs", part.text), part.integer)
            if part.kind != "int":
                raise Refused
            part = steps.once(part)
            below = steps.dialect.write("sub_int", steps.integer(0).text, part.text)
            return SqlPart("int", f"CASE WHEN {part.text} < 0 THEN {below} ELSE {part.text} END")
        if name == "float":
            return SqlPart("float", steps.as_float(part).text)
        return steps.whole(part, "trunc" if name == "int" else "rint")

    def _extreme(self, op: ast.cmpop, parts: Sequence[SqlPart]) -> SqlPart:
        if len(parts) < 2:
            raise Refused
        best = parts[0]
        for part in parts[1:]:  # the first of equal ones stays, as in Python: of zeros of both signs, and of NaN
            part, best = self.steps.once(part), self.steps.once(best)
            better = self.steps.compared(op, part, best)
            best = self.steps.choose(better, part, best)
        return best

    def _mathematics(self, name: str, parts: Sequence[SqlPart]) -> SqlPart:
        if len(parts) != 1:
            raise Refused
        steps = self.steps
        if name in ("ceil", "floor", "trunc"):
            return steps.whole(parts[0], name)
        number = steps.as_float(parts[0])
        if name == "sqrt":
            return steps.write("float", "sqrt", number)
        if name == "fabs":
            return SqlPart("float", steps.dialect.write("abs", number.text))
        if name in ("isinf", "isnan"):
            return steps.write("bool", name, number)
        if name == "isfinite":
            number = steps.once(number)
            nan, infinite = (steps.dialect.write(one, number.text) for one in ("isnan", "isinf"))
            return SqlPart("bool", f"(NOT {nan} AND NOT {infinite})")
        raise Refused

    def _method(self, name: str, held: SqlPart, parts: Sequence[SqlPart]) -> SqlPart:
        steps = self.steps
        if held.kind == "time" and name in ("weekday", "isoweekday") and not parts:
            day = steps.write("int", "weekday", held)
            return day if name == "weekday" else SqlPart("int", f"({day.text} + 1)")
        if held.kind != "str" or any(one.kind != "str" for one in parts):
            raise Refused
        if name in _IN_ASCII and len(parts) <= _IN_ASCII[name]:
            operands = [*parts] if parts or not _IN_ASCII[name] else [SqlPart("str", steps.dialect.write("spaces"))]
            made = steps.write("str", name, held, *operands)
            inside = steps.ascii(held, *operands) + "".join(f" AND {steps.once(one).text} <> ''" for one in parts)
            return SqlPart("str", f"CASE WHEN {inside} THEN {made.text} END")
        if name in ("removeprefix", "removesuffix") and len(parts) == 1:
            test = steps.write("bool", "startswith" if name == "removeprefix" else "endswith", held, parts[0])
            size, gone = (steps.write("int", "length", one).text for one in (held, parts[0]))
            begin = gone if name == "removeprefix" else "0"
            rest = steps.dialect.write("part_of", steps.once(held).text, begin, f"({size} - {gone})")
            return steps.choose(test, SqlPart("str", rest), held)
        count, kind = _METHODS.get(name, (-1, "str"))
        if len(parts) != count:
            raise Refused
        return steps.write(kind, name, held, *parts)
