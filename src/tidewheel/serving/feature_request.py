"""The JSON of ``POST /features/{service}``: what a request holds, checked column by column, with errors that name the place."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from tidewheel.clock import Micros, parse_instant
from tidewheel.errors import (
    BodyTooLarge,
    Invalid,
    KeyTypeMismatch,
    MissingColumns,
    MissingInput,
    NotJson,
    TypeMismatch,
    UnknownInput,
    near_miss,
)
from tidewheel.schema import DataType, Field
from tidewheel.serving.inputs import decode_json, read_value

PARTS = ("statuses", "event_times", "lag")
"""What an answer may tell beside the values."""
DEFAULT_PARTS = ("statuses", "event_times")

_AT = str | int | None
_LAW = '{"rows": [{...}]} or {"columns": {"name": [...]}}, and "at"?, "features"?, "include"?'
_PATH = re.compile(r" - at `\$\.?(.*)`$")
_UNKNOWN = re.compile(r"unknown field `([^`]*)`")


class _Sent(msgspec.Struct, forbid_unknown_fields=True):
    rows: list[dict[str, object]] | None = None
    columns: dict[str, list[object]] | None = None
    at: _AT | list[_AT] = None
    features: list[str] | None = None
    include: list[str] | None = None


_DECODER = msgspec.json.Decoder(_Sent)


@dataclass(slots=True)  # not frozen: every request makes one, and that takes three times as long
class AskedFeatures:
    """A request for features, its values not looked at yet.

    Parameters
    ----------
    rows, columns
        One of the two; the answer has the same shape.
    at
        One instant for all rows, or one for each, ``None`` for now.
    features
        Outputs wanted, in this order; ``None`` for all.
    include
        Any of :data:`PARTS`.
    """

    rows: Sequence[Mapping[str, object]] | None
    columns: Mapping[str, Sequence[object]] | None
    at: Micros | Sequence[Micros | None] | None = None
    features: Sequence[str] | None = None
    include: Sequence[str] = DEFAULT_PARTS

    @property
    def count(self) -> int:
        """How many rows are asked for."""
        if self.rows is not None:
            return len(self.rows)
        return len(next(iter(self.columns.values()), ())) if self.columns else 0


def read_feature_request(body: bytes, *, query: Mapping[str, str], max_rows: int) -> AskedFeatures:
    """Read the body, and what the query of the address says beside it (``at``, ``include``, ``features``).

    Examples
    --------
    >>> read_feature_request(b'{"rows": [{"zone": 4}], "at": "1970-01-01T00:00:01Z"}', query={}, max_rows=10).at
    1000000
    """
    sent = _decode(body)
    if (sent.rows is None) == (sent.columns is None):
        what = 'has no "rows"' if sent.rows is None else 'has "rows" and "columns"'
        raise MissingInput(f"the request {what}", where="rows", fix=f"send {_LAW}")
    at = [_instant(one, f"at[{i}]") for i, one in enumerate(sent.at)] if isinstance(sent.at, list) else _instant(sent.at, "at")
    include = DEFAULT_PARTS if sent.include is None else check_parts(sent.include)
    asked = AskedFeatures(sent.rows, sent.columns, at, sent.features, include)
    if query:
        asked = with_query(asked, query)
    check_size(asked, max_rows)
    return asked


def with_query(asked: AskedFeatures, query: Mapping[str, str]) -> AskedFeatures:
    """The request with what the address says: ``?at=2020-01-01T10:00:00Z&include=lag,statuses&features=a,b``."""
    for name in query:
        if name not in ("at", "include", "features"):
            raise UnknownInput(f"{name[:80]!r} is nothing to ask for", where=name[:80], fix="at, include or features")
    if "at" in query:
        asked = replace(asked, at=_instant(query["at"], "at"))
    if "include" in query:
        asked = replace(asked, include=check_parts([one for one in query["include"].split(",") if one]))
    if "features" in query:
        asked = replace(asked, features=query["features"].split(","))
    return asked


def check_size(asked: AskedFeatures, max_rows: int) -> None:
    """Refuse too many rows, columns of unequal lengths, and a list of instants of another length."""
    count = asked.count
    for name, values in (asked.columns or {}).items():
        if len(values) != count:
            raise Invalid(
                f"column {name[:80]} has {len(values)} values, the first one {count}",
                where=f"columns.{name[:80]}",
                fix="send one value per row in each column",
            )
    if count > max_rows:
        raise BodyTooLarge(f"{count} rows in one request", where="rows", fix=f"send at most {max_rows} rows at a time")
    if isinstance(asked.at, Sequence) and len(asked.at) != count:
        raise Invalid(f"{len(asked.at)} instants for {count} rows", where="at", fix="send one instant, or one per row")


def check_parts(include: Sequence[str]) -> tuple[str, ...]:
    """Refuse a part that no answer has."""
    for one in include:
        if one not in PARTS:
            raise UnknownInput(f"an answer has no part {one[:80]!r}", where="include", fix=near_miss(one[:80], PARTS))
    return tuple(include)


def _decode(body: bytes) -> _Sent:
    try:
        return _DECODER.decode(body)
    except msgspec.ValidationError as error:
        text = str(error)
        found = _PATH.search(text)
        what, where = (text[: found.start()], found.group(1)) if found else (text, "")
        unknown = _UNKNOWN.search(what)
        if unknown:
            fix = f"{near_miss(unknown.group(1)[:80], _Sent.__struct_fields__)}; send {_LAW}"
            raise UnknownInput(
                f"{unknown.group(1)[:80]} is nothing that a request has", where=unknown.group(1)[:80], fix=fix
            ) from error
        if not where and "out of range" not in what:
            raise NotJson(f"the body is not a JSON object: {what}", where="body", fix=f"send {_LAW}") from error
        raise TypeMismatch(f"{where or 'body'}: {what}", where=where or "body", fix=f"send {_LAW}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        decode_json(body)  # raises the same again, with a message for each case
        raise NotJson("the body is not JSON", where="body", fix=f"send {_LAW}") from None


def _instant(value: _AT, where: str) -> Micros | None:
    if value is None:
        return None
    try:
        instant = Micros(value) if isinstance(value, int) else parse_instant(value)
    except (Invalid, OverflowError) as error:
        fix = "send ISO 8601 such as 2020-01-01T10:00:00Z, or whole microseconds UTC"
        raise TypeMismatch(f"{where} is not a time: {str(value)[:80]!r}", where=where, fix=fix) from error
    if not 0 <= instant < 2**56:
        raise Invalid(f"{where} is out of range", where=where, fix="send ISO 8601 such as 2020-01-01T10:00:00Z")
    return instant


# ── values ───────────────────────────────────────────────────────────────────────────────────────


class FeatureInputs:
    """Checks the inputs of one service; made once, called once per request."""

    def __init__(self, inputs: Sequence[Field], keys: Sequence[Field]) -> None:
        self._fields = tuple(inputs)
        self._keys = {key.name for key in keys}
        self._names = tuple(field.name for field in inputs)
        self._one_number = len(self._fields) == 1 and self._fields[0].type is DataType.INT64

    def read(self, asked: AskedFeatures) -> dict[str, list[object]]:
        """Typed columns by name.

        Raises
        ------
        MissingColumns, UnknownInput, KeyTypeMismatch, TypeMismatch
            With the place: ``rows[3].zone``, or ``columns.zone[3]``.
        """
        if asked.rows is not None:
            columns, place = self._from_rows(asked.rows), "rows[{row}].{name}"
        else:
            columns, place = self._from_columns(asked.columns or {}), "columns.{name}[{row}]"
        return {field.name: self._typed(field, columns[field.name], place) for field in self._fields}

    def rows(self, asked: AskedFeatures) -> Sequence[Mapping[str, object]]:
        """Typed rows: those that were sent, where nothing about them had to be changed.

        Raises
        ------
        MissingColumns, UnknownInput, KeyTypeMismatch, TypeMismatch
            As :meth:`read`.
        """
        if asked.rows is None:
            return self.turned(self.read(asked), asked.count)
        columns = self._from_rows(asked.rows)
        typed = {field.name: self._typed(field, columns[field.name], "rows[{row}].{name}") for field in self._fields}
        if all(typed[name] is columns[name] for name in self._names):
            return asked.rows
        return self.turned(typed, len(asked.rows))

    def rows_to_look_up(self, asked: AskedFeatures) -> Sequence[Mapping[str, object]]:
        """As :meth:`rows`, but a key that is one whole number is left to who makes bytes of it, and must look at each."""
        sent = asked.rows
        return sent if self._one_number and sent and set(map(len, sent)) == {1} else self.rows(asked)

    def turned(self, columns: Mapping[str, Sequence[object]], count: int) -> list[dict[str, object]]:
        """Rows of typed columns."""
        if not self._names:
            return [{}] * count
        return [dict(zip(self._names, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    def _from_rows(self, rows: Sequence[Mapping[str, object]]) -> Mapping[str, Sequence[object]]:
        width = len(self._names)
        try:
            columns: dict[str, list[object]] = {name: [row[name] for row in rows] for name in self._names}
        except KeyError:
            columns = {}
        if rows and (not columns or set(map(len, rows)) != {width}):
            for index, row in enumerate(rows):
                self._check_names(row, f"rows[{index}]")
        return columns or {name: [] for name in self._names}

    def _from_columns(self, columns: Mapping[str, Sequence[object]]) -> Mapping[str, Sequence[object]]:
        if columns.keys() != set(self._names):
            self._check_names(columns, "columns")
        return columns

    def _check_names(self, sent: Mapping[str, object], where: str) -> None:
        extra = [name for name in sent if name not in self._names]
        for field in self._fields:
            if field.name not in sent:
                fix = f"send {field.name} as {field.type.value}"
                if extra:
                    fix += f"; {near_miss(field.name, [name[:80] for name in extra])}"
                raise MissingColumns(f"{where} has no {field.name}", where=f"{where}.{field.name}", fix=fix)
        if extra:
            name = extra[0][:80]
            raise UnknownInput(f"{name!r} is not an input", where=f"{where}.{name}", fix=near_miss(name, self._names))

    def _typed(self, field: Field, values: Sequence[object], place: str) -> list[object]:
        quick = _QUICK.get(field.type)
        if quick is not None and quick(values):
            return values if isinstance(values, list) else list(values)
        return [self._one(field, value, place, row) for row, value in enumerate(values)]

    def _one(self, field: Field, value: object, place: str, row: int) -> object:
        where = place.format(name=field.name, row=row)
        is_key = field.name in self._keys
        if value is None and field.nullable and not is_key:
            return None
        try:
            if value is None:
                raise TypeMismatch(f"{field.name} is null", where=where, fix=f"send {field.name} as {field.type.value}")
            return read_value(value, field, where)
        except TypeMismatch as error:
            if not is_key:
                error.where = where
                raise
            told = "null" if value is None else _JSON_NAMES.get(type(value), type(value).__name__)
            raise KeyTypeMismatch(
                f"{field.name}: got {told} {'' if value is None else f'{value!r:.60}'}".rstrip()
                + f", declared {field.type.value}",
                where=where,
                fix=f"send {field.name} as {field.type.value}",
            ) from error


def _all_int64(values: Sequence[object]) -> bool:
    return set(map(type, values)) == {int} and min(values) >= -(1 << 63) and max(values) < 1 << 63  # type: ignore[type-var,operator]  # all are int


def _all_text(values: Sequence[object]) -> bool:
    return set(map(type, values)) == {str}


_QUICK: Mapping[DataType, Callable[[Sequence[object]], bool]] = {DataType.INT64: _all_int64, DataType.STRING: _all_text}
_JSON_NAMES = {int: "integer", float: "float", str: "string", bool: "bool", list: "array", dict: "object"}
