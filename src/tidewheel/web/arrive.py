"""Take what arrives from outside: events pushed to a source, labels for predictions."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tidewheel.clock import Micros, parse_instant
from tidewheel.errors import BodyTooLarge, Invalid, MissingInput, NotFound, NotJson, TidewheelError, TypeMismatch, near_miss
from tidewheel.predictions import Label
from tidewheel.serving.inputs import decode_json
from tidewheel.web.application import Application

MAX_ROWS = 50_000
_LABEL_LAW = '{"labels": [{"id": "...", "value": 12.5}]}, or {"keys": {...}, "time": "...", "value": 12.5}'
_PUSH_LAW = '{"rows": [{...}]}'


def take_rows(app: Application, source: str, body: bytes) -> Mapping[str, object]:
    """Push events; all or none. What became of them."""
    rows = _list_in(_object(body, _PUSH_LAW), "rows", _PUSH_LAW)
    checked: list[dict[str, object]] = []
    for index, row in enumerate(rows):
        if not isinstance(row, dict):
            raise TypeMismatch(f"rows[{index}] is not an object", where=f"rows[{index}]", fix=f"send {_PUSH_LAW}")
        checked.append(row)
    return app.push(source, checked)


def take_labels(app: Application, deployment: str | None, body: bytes) -> int:
    """Keep labels; all or none."""
    sent = _object(body, _LABEL_LAW)
    named = sent.get("deployment", deployment)
    if deployment is not None and named != deployment:
        raise Invalid(f"the path says {deployment!r}, the body another deployment", where="deployment", fix="say it once")
    if not isinstance(named, str):
        raise MissingInput("no deployment is named", where="deployment", fix="POST /labels/{deployment}")
    if named not in app.answerer.names:
        raise NotFound(f"no deployment {named[:100]!r}", where="deployment", fix=near_miss(named[:100], app.answerer.names))
    single = "labels" not in sent and "value" in sent
    found = [sent] if single else _list_in(sent, "labels", _LABEL_LAW)
    return app.label(named, [_label(one, "label" if single else f"labels[{index}]") for index, one in enumerate(found)])


def _object(body: bytes, law: str) -> dict[str, object]:
    sent = decode_json(body)
    if not isinstance(sent, dict):
        raise NotJson("the body is not a JSON object", where="body", fix=f"send {law}")
    return sent


def _list_in(sent: dict[str, object], name: str, law: str) -> list[object]:
    found = sent.get(name)
    if found is None:
        raise MissingInput(f'the request has no "{name}"', where=name, fix=f"send {law}")
    if not isinstance(found, list):
        raise TypeMismatch(f'"{name}" is not an array', where=name, fix=f"send {law}")
    if len(found) > MAX_ROWS:
        raise BodyTooLarge(f"{len(found)} {name} in one request", where=name, fix=f"send at most {MAX_ROWS} at a time")
    return found


class _Sent(msgspec.Struct, forbid_unknown_fields=True):
    value: object
    id: str | None = None
    keys: dict[str, object] | None = None
    time: str | int | None = None
    at: str | int | None = None
    deployment: str | None = None


def _label(sent: object, where: str) -> Label:
    try:
        one = msgspec.convert(sent, _Sent)
    except msgspec.ValidationError as error:
        if "missing required field" in str(error):
            raise MissingInput("a label has no value", where=f"{where}.value", fix=f"send {_LABEL_LAW}") from error
        raise TypeMismatch(f"{where}: {error}", where=where, fix=f"send {_LABEL_LAW}") from error
    if isinstance(one.value, bool) or not isinstance(one.value, int | float):
        raise TypeMismatch(
            f"a label must be a finite number, not {repr(one.value)[:60]}", where=f"{where}.value", fix="send a number"
        )
    try:
        value = float(one.value)
    except OverflowError as error:
        raise TypeMismatch("a label's value is out of range", where=f"{where}.value", fix="send a finite number") from error
    time, at = _instant(one.time, f"{where}.time"), _instant(one.at, f"{where}.at")
    try:
        return Label(value=value, at=at, prediction_id=one.id, keys=one.keys, time=time)
    except TidewheelError as error:
        error.where = f"{where}.{error.where}"
        raise


def _instant(value: str | int | None, where: str) -> Micros | None:
    if value is None:
        return None
    try:
        instant = Micros(value) if isinstance(value, int) else parse_instant(value)
    except (Invalid, OverflowError) as error:
        raise TypeMismatch(f"{str(value)[:60]!r} is not a time", where=where, fix="send ISO 8601") from error
    if not 0 <= instant < 2**55:
        raise TypeMismatch(f"{str(value)[:60]!r} is out of range", where=where, fix="send ISO 8601, or microseconds UTC")
    return instant
