"""The JSON of ``POST /predict``: what a request holds, and what an answer looks like."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from tidewheel.clock import Micros, format_instant, parse_instant
from tidewheel.errors import BodyTooLarge, Invalid, MissingInput, NotJson, TypeMismatch, UnknownInput
from tidewheel.serving.inputs import decode_json
from tidewheel.serving.memory import Given

MAX_ID = 200
"""Characters in an id."""

_AT = str | int | None


class _Sent(msgspec.Struct, forbid_unknown_fields=True):
    inputs: dict[str, object] | list[object]
    id: str | None = None
    ids: list[str | None] | None = None
    at: _AT | list[_AT] = None
    key: str | None = None


class _One(msgspec.Struct):
    id: str
    prediction: float | tuple[float, ...]
    model: str
    version: int
    arm: str
    at: str


class _Many(msgspec.Struct):
    predictions: list[_One]
    model: str


_DECODER = msgspec.json.Decoder(_Sent)
_ENCODER = msgspec.json.Encoder()
_PATH = re.compile(r" - at `\$\.?(.*)`$")
_UNKNOWN = re.compile(r"unknown field `([^`]*)`")
_LAW = '{"inputs": {...}, "id"?: "...", "at"?: "2020-01-01T10:00:00Z", "key"?: "..."}'


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for predictions; ``ids`` and ``at`` are as long as ``rows``, ``None`` where the client gave none."""

    rows: Sequence[object]
    ids: Sequence[str | None]
    at: Sequence[Micros | None]
    key: str | None
    single: bool


def read_request(body: bytes, *, max_rows: int) -> Asked:
    """Read the body of ``POST /predict``.

    Examples
    --------
    >>> asked = read_request(b'{"inputs": {"zone": 4}, "at": "1970-01-01T00:00:01Z"}', max_rows=10)
    >>> asked.rows, asked.at, asked.single
    ([{'zone': 4}], [1000000], True)
    """
    sent = _decode(body)
    if isinstance(sent.inputs, dict):
        if sent.ids is not None or isinstance(sent.at, list):
            raise Invalid("one input, but a list of ids or times", where="ids", fix='send "id" and "at", or a list of inputs')
        return Asked([sent.inputs], [_check_id(sent.id, "id")], [_instant(sent.at, "at")], sent.key, True)
    count = len(sent.inputs)
    if count == 0:
        raise Invalid("inputs is empty", where="inputs", fix="send at least one row")
    if count > max_rows:
        raise BodyTooLarge(f"{count} rows in one request", where="inputs", fix=f"send at most {max_rows} rows at a time")
    if sent.id is not None:
        raise Invalid("a list of inputs, but one id", where="id", fix='send "ids", a list as long as "inputs"')
    ids = sent.ids if sent.ids is not None else [None] * count
    at = sent.at if isinstance(sent.at, list) else [sent.at] * count
    for name, values in (("ids", ids), ("at", at)):
        if len(values) != count:
            raise Invalid(f"{len(values)} {name} for {count} inputs", where=name, fix="send one per input, or null")
    checked = [_check_id(value, f"ids[{index}]") for index, value in enumerate(ids)]
    chosen = [value for value in checked if value is not None]
    if len(set(chosen)) != len(chosen):
        raise Invalid("an id is in the request twice", where="ids", fix="give each row its own id")
    return Asked(sent.inputs, checked, [_instant(value, f"at[{i}]") for i, value in enumerate(at)], sent.key, False)


def write_answer(given: Sequence[Given], *, single: bool, model: str) -> bytes:
    """The JSON of an answer."""
    ones = [_One(one.id, one.prediction, one.model, one.version, one.arm, format_instant(one.at)) for one in given]
    return _ENCODER.encode(ones[0] if single else _Many(ones, model))


def _decode(body: bytes) -> _Sent:
    try:
        return _DECODER.decode(body)
    except msgspec.ValidationError as error:
        text = str(error)
        found = _PATH.search(text)
        what = text[: found.start()] if found else text
        if "missing required field" in what:
            raise MissingInput('the request has no "inputs"', where="inputs", fix=f"send {_LAW}") from error
        where = found.group(1) if found else ""
        unknown = _UNKNOWN.search(what)
        if unknown:
            named = f"{where}.{unknown.group(1)}".lstrip(".")
            raise UnknownInput(f"{named} is nothing that a request has", where=named, fix=f"send {_LAW}") from error
        if not where and "out of range" not in what:
            raise NotJson(f"the body is not a JSON object: {what}", where="body", fix=f"send {_LAW}") from error
        raise TypeMismatch(f"{where or 'body'}: {what}", where=where or "body", fix=f"send {_LAW}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        decode_json(body)  # raises the same again, with a message for each case
        raise NotJson("the body is not JSON", where="body", fix=f"send {_LAW}") from None


def _check_id(value: str | None, where: str) -> str | None:
    if value is not None and (not 0 < len(value) <= MAX_ID or not value.isprintable()):
        raise Invalid(
            f"{where} must be 1 to {MAX_ID} printable characters", where=where, fix="send a shorter id, or none: one is made up"
        )
    return value


def _instant(value: _AT, where: str) -> Micros | None:
    if value is None:
        return None
    try:
        instant = Micros(value) if isinstance(value, int) else parse_instant(value)
    except (Invalid, OverflowError) as error:
        raise TypeMismatch(
            f"{where} is not a time: {str(value)[:80]!r}", where=where, fix="send ISO 8601 such as 2020-01-01T10:00:00Z"
        ) from error
    if instant < 0:
        raise Invalid(f"{where} lies before 1970", where=where, fix="send ISO 8601 such as 2020-01-01T10:00:00Z")
    return instant
