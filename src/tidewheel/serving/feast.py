"""Feast's shapes: what its clients send to a feature server, and what they expect to read. Checked against Feast 0.67.

Columns go in, columns come out: ``results[i]`` belongs to ``metadata.feature_names[i]``, the entity keys before the features.
An event time that there is none of is the epoch, as protobuf's zero is. A feature's own name is written short, or as
``view__feature`` when ``full_feature_names`` is asked. Values that are times or days are whole seconds since 1970 in UTC, both
ways, since Feast has no others: its client cannot read text for them, and what it writes must not be taken for microseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar

import msgspec

from tidewheel.clock import to_datetime
from tidewheel.errors import Invalid, MissingInput, NameCollision, NotJson, TidewheelError, TypeMismatch
from tidewheel.schema import DataType, Schema
from tidewheel.serving.feature_request import AskedFeatures
from tidewheel.serving.feature_response import event_instants, status_names
from tidewheel.serving.inputs import decode_json
from tidewheel.serving.served_features import FeatureValues, ServedFeatures

T = TypeVar("T")
EPOCH = "1970-01-01T00:00:00Z"
_MOMENTS = frozenset({DataType.TIMESTAMP, DataType.LIST_TIMESTAMP})
_NO_TIME = -(1 << 63)
"""What a time that is null is for Feast: NumPy's "not a time" as a number."""
_DAYS = frozenset({DataType.DATE, DataType.LIST_DATE})
_GET_LAW = '{"feature_service": "NAME" or "features": ["view:feature"], "entities": {"key": [...]}}'
_WRITE_LAW = '{"feature_view_name": "NAME", "df": {"column": [...]}}'
_PUSH_LAW = '{"push_source_name": "NAME", "df": {"column": [...]}, "to": "online"}'


class FeastRequest(msgspec.Struct):
    """Body of ``POST /get-online-features``; fields that we have no use for are let by, as Feast does."""

    entities: dict[str, list[object]]
    feature_service: str | None = None
    features: list[str] | None = None
    full_feature_names: bool = False


class FeastPush(msgspec.Struct):
    """Body of ``POST /push``."""

    push_source_name: str
    df: dict[str, list[object] | dict[str, object]]
    to: str = "online"


class FeastWrite(msgspec.Struct):
    """Body of ``POST /write-to-online-store``."""

    feature_view_name: str
    df: dict[str, list[object] | dict[str, object]]


_GET = msgspec.json.Decoder(FeastRequest)
_PUSH = msgspec.json.Decoder(FeastPush)
_WRITE = msgspec.json.Decoder(FeastWrite)
_ENCODER = msgspec.json.Encoder()


def read_feast_request(body: bytes) -> FeastRequest:
    """Read the body of ``POST /get-online-features``.

    Examples
    --------
    >>> read_feast_request(b'{"features": ["f:x"], "entities": {"uid": [1]}}').features
    ['f:x']
    """
    sent = _decode(_GET, body, _GET_LAW)
    if (sent.feature_service is None) == (not sent.features):
        raise MissingInput("name a feature service, or features", where="feature_service", fix=f"send {_GET_LAW}")
    return sent


def read_feast_push(body: bytes) -> tuple[str, list[dict[str, object]]]:
    """Read the body of ``POST /push``: the source, and its rows.

    A push always counts online and offline, whatever ``to`` says: the two are never apart here.

    Examples
    --------
    >>> read_feast_push(b'{"push_source_name": "s", "df": {"uid": [1, 2]}}')
    ('s', [{'uid': 1}, {'uid': 2}])
    """
    sent = _decode(_PUSH, body, _PUSH_LAW)
    if sent.to not in ("online", "offline", "online_and_offline"):
        raise Invalid(f"to is {sent.to[:40]!r}", where="to", fix="online, offline or online_and_offline")
    return sent.push_source_name, _rows(sent.df)


def read_feast_write(body: bytes) -> tuple[str, list[dict[str, object]]]:
    """Read the body of ``POST /write-to-online-store``: the view, and the rows, which hold columns of its source.

    Examples
    --------
    >>> read_feast_write(b'{"feature_view_name": "v", "df": {"uid": {"0": 1, "1": 2}}}')
    ('v', [{'uid': 1}, {'uid': 2}])
    """
    sent = _decode(_WRITE, body, _WRITE_LAW)
    return sent.feature_view_name, _rows(sent.df)


def rows_of_source(
    rows: Sequence[Mapping[str, object]], *, time: str, created: str | None, features: Schema
) -> list[dict[str, object]]:
    """Rows of a write to a view as rows of its source.

    Feast's client calls the times of a row ``event_timestamp`` and ``created`` whatever the source calls them, writes them
    without an offset and means UTC, and writes values that are times as seconds.

    Parameters
    ----------
    time, created
        What the source calls them.
    features
        Of the view, by their own names.

    Examples
    --------
    >>> sent = [{"uid": 1, "event_timestamp": "2026-01-01T10:00:00", "created": None}]
    >>> rows_of_source(sent, time="ts", created=None, features=Schema(()))
    [{'uid': 1, 'ts': datetime.datetime(2026, 1, 1, 10, 0, tzinfo=datetime.timezone.utc)}]
    """
    seconds = {one.name: one.type for one in features if one.type in _MOMENTS or one.type in _DAYS}
    made: list[dict[str, object]] = []
    for row in rows:
        known = dict(row)
        for sent, name in (("event_timestamp", time), ("created", created)):
            if sent in known and (name is None or name == sent or name not in known):
                value = known.pop(sent)
                if name is not None:
                    known[name] = _utc(value)
        for name, kind in seconds.items():
            if name in known and name not in (time, created):
                known[name] = _each(known[name], _moment if kind in _MOMENTS else _day)
        made.append(known)
    return made


def asked_of(sent: FeastRequest, served: ServedFeatures) -> AskedFeatures:
    """The request in our words; columns that the features do not need are left out."""
    known = {one.name for one in served.inputs}
    return AskedFeatures(None, {name: values for name, values in sent.entities.items() if name in known})


def feature_names(served: ServedFeatures, places: Sequence[int], *, full: bool) -> list[str]:
    """Names of outputs as Feast writes them.

    Raises
    ------
    NameCollision
        When two short names are one.
    """
    made: list[str] = []
    for place in places:
        output = served.service.outputs[place]
        kind, _, view = output.origin.partition(":")
        plain = output.name.removeprefix(f"{view}__")
        made.append(f"{view}__{plain}" if full and kind == "view" else plain)
    if len(set(made)) != len(made):
        twice = next(name for name in made if made.count(name) > 1)
        raise NameCollision(f"two features are called {twice!r}", where="features", fix='send "full_feature_names": true')
    return made


def write_feast(
    sent: FeastRequest,
    names: Sequence[str],
    *,
    keys: Mapping[str, Sequence[object]],
    answer: FeatureValues,
    features: Schema,
    places: Sequence[int],
) -> bytes:
    """The answer as Feast's server writes it; ``features`` are all that were computed, ``places`` those that were asked."""
    rows = len(next(iter(sent.entities.values()), ()))
    results: list[dict[str, object]] = [
        {"values": values, "statuses": ["PRESENT"] * rows, "event_timestamps": [EPOCH] * rows} for values in keys.values()
    ]
    statuses, times = status_names(answer), event_instants(answer.event_times)
    results += [
        {
            "values": _in_seconds([row[place] for row in answer.values], features.fields[place].type),
            "statuses": [row[place] for row in statuses],
            "event_timestamps": [row[place] or EPOCH for row in times],
        }
        for place in places
    ]
    return _ENCODER.encode({"results": results, "metadata": {"feature_names": [*keys, *names]}})


def _in_seconds(values: list[object], kind: DataType) -> list[object]:
    return [_each(value, _seconds) for value in values] if kind in _MOMENTS or kind in _DAYS else values


def _each(value: object, convert: Callable[[object], object]) -> object:
    """A value, or each of a list, that is none as it is."""
    if isinstance(value, list | tuple):
        return [_each(one, convert) for one in value]
    return value if value is None else convert(value)


def _seconds(value: object) -> object:
    if isinstance(value, datetime):
        return (value.astimezone(UTC) - to_datetime(0)) // timedelta(seconds=1)
    return (value - date(1970, 1, 1)).days * 86_400 if isinstance(value, date) else value


def _moment(value: object) -> object:
    if type(value) is not int:
        return value
    if value == _NO_TIME:
        return None
    try:
        return to_datetime(value * 1_000_000)
    except OverflowError as error:
        what = f"{value} seconds since 1970 are no time that there is"
        raise Invalid(what, where="df", fix="send whole seconds since 1970 UTC") from error


def _day(value: object) -> object:
    moment = _moment(value)
    return moment.date() if isinstance(moment, datetime) else moment


def _utc(value: object) -> object:
    """A time without an offset as one in UTC, whatever the zone of the source; what is no time is told by the push."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return value
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else value


def _rows(df: Mapping[str, list[object] | dict[str, object]]) -> list[dict[str, object]]:
    """The rows of a data frame, whose columns are lists, or values by index."""
    columns = {name: list(held.values()) if isinstance(held, dict) else held for name, held in df.items()}
    if len({len(values) for values in columns.values()}) > 1:
        raise Invalid("the columns of df have unequal lengths", where="df", fix="send one value per row in each column")
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _decode(decoder: msgspec.json.Decoder[T], body: bytes, law: str) -> T:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _wrong(error, law) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        decode_json(body)  # raises the same again, with a message for each case
        raise NotJson("the body is not JSON", where="body", fix=f"send {law}") from None


def _wrong(error: msgspec.ValidationError, law: str) -> TidewheelError:
    text = str(error)
    what, found, path = text.partition(" - at `$.")
    where = path.rstrip("`") if found else "body"
    if "missing required field" in what:
        name = what.rpartition("field ")[2].strip("`")
        return MissingInput(f"the request has no {name}", where=name, fix=f"send {law}")
    if not found and "out of range" not in what:
        return NotJson(f"the body is not a JSON object: {what}", where="body", fix=f"send {law}")
    return TypeMismatch(f"{where}: {what}", where=where, fix=f"send {law}")
