"""Conditions as steps on the bytes of an event, where these mean what Arrow makes of them; the others are left to Arrow."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import NamedTuple

from sqlglot import exp

from tidewheel.features import bytes_kernel
from tidewheel.features.condition import parse_condition
from tidewheel.features.rows import RowCodec
from tidewheel.schema import DataType

_ORDERS: dict[type[exp.Expr], int] = {exp.EQ: 0, exp.NEQ: 1, exp.LT: 2, exp.LTE: 3, exp.GT: 4, exp.GTE: 5}
_TURNED = (0, 1, 4, 5, 2, 3)
"""Of each comparison the one that holds when its sides change places."""
_SLOTS = {DataType.BOOL: 0, DataType.INT32: 1, DataType.INT64: 2, DataType.FLOAT32: 3, DataType.FLOAT64: 4}
_EXACT = {DataType.FLOAT32: 1 << 24, DataType.FLOAT64: 1 << 53}
"""Integers up to here are floats of that width, so comparing with them needs no rule for what is rounded."""


class _Unlike(Exception):
    """A part of a condition that is left to Arrow."""


class _Steps:
    """Gathers the steps of one condition."""

    def __init__(self, codec: RowCodec, names: Sequence[str]) -> None:
        self.codec, self.names = codec, list(names)
        self.steps: list[int] = []
        self.floats: list[float] = []
        self.texts: list[bytes] = []

    def add(self, node: exp.Expr) -> None:
        """Add what leaves the value of a part on the stack."""
        kind = type(node)
        if kind in _ORDERS:
            self._compare(node.this, node.args["expression"], _ORDERS[kind])
        elif isinstance(node, exp.And | exp.Or):
            self.add(node.this)
            self.add(node.args["expression"])
            self._step(bytes_kernel.AND if isinstance(node, exp.And) else bytes_kernel.OR)
        elif isinstance(node, exp.Paren):
            self.add(node.this)
        elif isinstance(node, exp.Not):
            self.add(node.this)
            self._step(bytes_kernel.NOT)
        elif isinstance(node, exp.Is):
            self._is(node.this, node.args["expression"])
        elif isinstance(node, exp.Between):
            self._compare(node.this, node.args["low"], 5)
            self._compare(node.this, node.args["high"], 3)
            self._step(bytes_kernel.AND)
        elif isinstance(node, exp.In):
            for place, one in enumerate(node.args["expressions"]):
                self._compare(node.this, one, 0)
                if place:
                    self._step(bytes_kernel.OR)
        elif isinstance(node, exp.Column):
            self._compare(node, exp.true(), 0)
        else:
            raise _Unlike

    def _is(self, left: exp.Expr, right: exp.Expr) -> None:
        if not isinstance(right, exp.Null):
            self._compare(left, right, 0)
            return
        if not isinstance(left, exp.Column):
            raise _Unlike
        slot = self.codec.slot(self._place(left))
        self._step(bytes_kernel.ABSENT, presence=(slot.presence, slot.mask))

    def _compare(self, left: exp.Expr, right: exp.Expr, order: int) -> None:
        if not isinstance(left, exp.Column):
            left, right, order = right, left, _TURNED[order]
        if not isinstance(left, exp.Column) or isinstance(right, exp.Column):
            raise _Unlike
        place, value = self._place(left), _value(right)
        kind, slot = self.codec.schema.fields[place].type, self.codec.slot(place)
        there = (slot.presence, slot.mask)
        if value is None:
            self._step(bytes_kernel.CONSTANT, literal=2)
        elif kind is DataType.STRING and isinstance(value, str):
            self.texts.append(value.encode())
            behind = self.codec.strings.index(place)
            self._step(bytes_kernel.TEXT, (behind, 0), presence=there, order=order, literal=len(self.texts) - 1)
        elif kind is DataType.BOOL and isinstance(value, bool) and order <= 1:
            self._step(bytes_kernel.INTEGER, (0, slot.offset), presence=there, order=order, literal=int(value))
        elif kind in (DataType.INT32, DataType.INT64) and type(value) is int and abs(value) < 1 << 63:
            self._step(bytes_kernel.INTEGER, (_SLOTS[kind], slot.offset), presence=there, order=order, literal=value)
        elif kind in _EXACT and type(value) in (int, float) and (type(value) is float or abs(value) <= _EXACT[kind]):  # type: ignore[arg-type]  # a number
            self.floats.append(float(value))  # type: ignore[arg-type]
            at = (_SLOTS[kind], slot.offset)
            self._step(bytes_kernel.REAL, at, presence=there, order=order, literal=len(self.floats) - 1)
        else:
            raise _Unlike

    def _place(self, column: exp.Column) -> int:
        if column.name not in self.names:
            raise _Unlike
        return self.names.index(column.name)

    def _step(
        self, op: int, slot: tuple[int, int] = (0, 0), *, presence: tuple[int, int] = (0, 0), order: int = 0, literal: int = 0
    ) -> None:
        self.steps += [op, *slot, *presence, order, literal]


class ConditionSteps(NamedTuple):
    """A condition for the kernel, and of how many steps."""

    condition: bytes_kernel.Condition
    length: int


def condition_steps(text: str, codec: RowCodec, names: Sequence[str]) -> ConditionSteps | None:
    """A condition for the kernel; ``None`` where it says what only Arrow can tell.

    Parameters
    ----------
    codec, names
        Of the events: their layout, and the names of its first columns.

    Examples
    --------
    >>> from tidewheel.schema import Field, Schema
    >>> codec = RowCodec(Schema((Field("amount", DataType.FLOAT64), Field("status", DataType.STRING))))
    >>> condition_steps("status = 'ok' AND amount > 0", codec, ("amount", "status")).length
    3
    >>> condition_steps("status LIKE 'o%'", codec, ("amount", "status")) is None
    True
    """
    made = _Steps(codec, names)
    try:
        made.add(parse_condition(text).tree)
    except _Unlike:
        return None
    condition = bytes_kernel.Condition(array("q", made.steps), array("d", [*made.floats, 0.0]), made.texts)
    return ConditionSteps(condition, len(made.steps) // 7)


def _value(node: exp.Expr) -> object:
    """A literal as Python's: an integer, a float, text, a truth value, or none."""
    if isinstance(node, exp.Null):
        return None
    if isinstance(node, exp.Boolean):
        return bool(node.this)
    if isinstance(node, exp.Neg):
        inner = _value(node.this)
        if type(inner) not in (int, float):
            raise _Unlike
        return -inner  # type: ignore[operator]  # a number
    if not isinstance(node, exp.Literal):
        raise _Unlike
    text = str(node.this)
    if node.args.get("is_string"):
        return text
    return int(text) if text.isdigit() else float(text)
