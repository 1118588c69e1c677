"""Errors on the wire: which status an error has, and how it is written."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import msgspec

import tidewheel.errors as errors
from tidewheel.errors import TidewheelError

_STATUS: tuple[tuple[type[TidewheelError], int], ...] = (  # the first that fits counts
    (errors.BodyTooLarge, 413),
    (errors.NotJson, 400),
    (errors.NotHttp, 400),
    (errors.HeadTooLarge, 431),
    (errors.TooSlow, 408),
    (errors.WrongMethod, 405),
    (errors.HistoryUnavailable, 422),  # the request's own "at" is what cannot be answered, now or later
    (errors.Overloaded, 429),
    (errors.NotFound, 404),
    (errors.AlreadyExists, 409),
    (errors.Conflict, 409),
    (errors.Incompatible, 409),
    (errors.Invalid, 422),
    (errors.Denied, 403),
    (errors.Unavailable, 503),
)
JSON = "application/json"


JSON_HEADERS: Mapping[str, str] = MappingProxyType({"content-type": JSON})
"""The headers of most answers; one value, so that it is known when it is seen again."""


class Response(NamedTuple):
    """Status, headers and body; ``endpoint`` is the pattern that the request matched, for metrics."""

    status: int
    body: bytes
    headers: Mapping[str, str] = JSON_HEADERS
    endpoint: str = ""


def status_of(error: TidewheelError) -> int:
    """HTTP status of an error.

    Examples
    --------
    >>> status_of(errors.UnknownFeature("no feature x")), status_of(errors.TypeMismatch("x is text"))
    (404, 422)
    """
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def problem(error: TidewheelError, endpoint: str) -> Response:
    """An error as our own endpoints write it: ``code``, ``error``, ``field`` and ``fix``."""
    status = status_of(error)
    told = {"fix": "change the request as the error says", **error.as_dict()} if status < 500 else error.as_dict()
    return Response(status, msgspec.json.encode(told), _headers(error, status), endpoint)


def protocol_problem(error: TidewheelError, endpoint: str) -> Response:
    """An error as the Open Inference Protocol writes it: one string. Its clients know 400 for every wrong input."""
    status = status_of(error)
    if status == 422:
        status = 400
    return Response(status, msgspec.json.encode({"error": f"{error.code}: {error}"}), _headers(error, status), endpoint)


def _headers(error: TidewheelError, status: int) -> dict[str, str]:
    headers = {"content-type": JSON}
    if status in (429, 503):
        headers["retry-after"] = "1"
    if status == 405 and error.where:
        headers["allow"] = error.where
    return headers
