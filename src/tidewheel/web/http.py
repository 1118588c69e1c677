"""Answer one HTTP request, from bytes to bytes: no server, no framework, no event loop."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping
from time import time_ns
from typing import NamedTuple, Protocol

import msgspec

from tidewheel.errors import NotFound, NotJson, TidewheelError, WrongMethod
from tidewheel.web.application import Application
from tidewheel.web.arrive import take_labels, take_rows
from tidewheel.web.features import answer_feast, answer_feast_push, answer_feast_write, answer_features
from tidewheel.web.page import render_page, static_file
from tidewheel.web.problem import Response, problem, protocol_problem
from tidewheel.web.protocol import answer_protocol
from tidewheel.web.state import state_of

_ENDPOINTS = (
    "POST /features/{service}, /predict/{deployment}, /labels/{deployment}, /push/{source}; "
    "GET /, /features, /health/ready, /metrics, /v2"
)


class Request(NamedTuple):
    """A request; header names are in lower case, the path is decoded, the query is not."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""
    query: str = ""


class Answer(Protocol):
    """What answers an endpoint: the part of the path after its first segment is handed in."""

    def __call__(self, app: Application, request: Request, rest: str, /) -> Response:
        """Answer, or raise a ``TidewheelError``."""
        ...


def handle(app: Application, request: Request) -> Response:
    """Answer a request. Never raises.

    Errors are JSON: ``{"code", "error", "field", "fix"}``, and ``{"error"}`` under ``/v2``. A 500 is a fault of ours or of the
    model, never of the input; its trace goes to stderr under the incident that the answer names.
    """
    first, _, rest = request.path.lstrip("/").partition("/")
    endpoint = first if first in _ANSWERS else "other"
    write = protocol_problem if first == "v2" else problem
    try:
        response = _dispatch(app, request, first, rest)
    except TidewheelError as error:
        response = write(error, endpoint)
    except Exception:  # noqa: BLE001 - the edge of the process: a fault of ours must not take the connection with it
        response = write(_incident(), endpoint)
    app.answerer.measurements.answered(response.endpoint or endpoint, response.status)
    if request.method == "HEAD":
        return Response(response.status, b"", response.headers, endpoint)
    return response


def _dispatch(app: Application, request: Request, first: str, rest: str) -> Response:
    found = _ANSWERS.get(first)
    if found is None:
        raise NotFound(f"no path {request.path[:200]!r}", where="path", fix=f"see {_ENDPOINTS}")
    methods, answer = found
    method = "GET" if request.method == "HEAD" else request.method
    if method not in methods:
        raise WrongMethod(f"{request.method[:20]} is not for /{first}", where=", ".join(methods), fix=f"use {methods[0]}")
    return answer(app, request, rest)


class InternalError(TidewheelError):
    """A fault of ours."""


def _incident() -> InternalError:
    incident = f"{time_ns():x}"
    print(f"incident {incident}", file=sys.stderr)
    traceback.print_exc(file=sys.stderr)
    return InternalError(
        f"internal error, incident {incident}", fix="see the server's stderr for the incident, and report it with the trace"
    )


def _predict(app: Application, request: Request, rest: str) -> Response:
    return Response(200, app.answerer.predict(rest, request.body, request.headers), endpoint="predict")


def _features(app: Application, request: Request, rest: str) -> Response:
    method = "GET" if request.method == "HEAD" else request.method
    return answer_features(app, rest, method=method, headers=request.headers, query=request.query, body=request.body)


def _get_online_features(app: Application, request: Request, rest: str) -> Response:
    if rest:
        raise NotFound(f"no path {request.path[:200]!r}", where="path", fix="POST /get-online-features")
    return answer_feast(app, request.body)


def _push(app: Application, request: Request, rest: str) -> Response:
    if not rest:
        return answer_feast_push(app, request.body)
    return Response(200, msgspec.json.encode(take_rows(app, rest, request.body)), endpoint="push")


def _write_to_online_store(app: Application, request: Request, rest: str) -> Response:
    if rest:
        raise NotFound(f"no path {request.path[:200]!r}", where="path", fix="POST /write-to-online-store")
    return answer_feast_write(app, request.body)


def _labels(app: Application, request: Request, rest: str) -> Response:
    taken = take_labels(app, rest or None, request.body)
    return Response(200, msgspec.json.encode({"accepted": taken}), endpoint="labels")


def _health(app: Application, request: Request, rest: str) -> Response:
    if rest in ("", "live"):  # the first is what Feast's clients ask
        return Response(200, b'{"live":true}')
    if rest != "ready":
        raise NotFound(f"no path {request.path[:200]!r}", where="path", fix="GET /health/live or /health/ready")
    services = list(app.features.table.trouble)
    ready = app.answerer.ready() if app.answerer.names else not services
    waiting = [*(name for name in app.answerer.names if app.answerer.trouble(name) is not None), *services]
    return Response(200 if ready else 503, msgspec.json.encode({"ready": ready, "live": True, "trouble": waiting}))


def _metrics(app: Application, _request: Request, _rest: str) -> Response:
    kind = {"content-type": "text/plain; version=0.0.4; charset=utf-8"}
    return Response(200, app.answerer.measurements.text(), kind)


def _page(app: Application, _request: Request, _rest: str) -> Response:
    html = render_page(state_of(app))
    return Response(
        200,
        html.encode(),
        {
            "content-type": "text/html; charset=utf-8",
            "cache-control": "no-store",
            "content-security-policy": "default-src 'self'; frame-ancestors 'none'",
        },
    )


def _static(_app: Application, _request: Request, rest: str) -> Response:
    body, kind = static_file(rest)
    return Response(200, body, {"content-type": kind, "cache-control": "max-age=300"})


def _api(app: Application, request: Request, rest: str) -> Response:
    if rest == "status" and request.method != "POST":
        return Response(200, msgspec.json.encode(state_of(app)))
    if rest == "refresh" and request.method == "POST":
        app.refresh()
        return Response(200, msgspec.json.encode({"deployments": state_of(app).deployments}))
    place, _, name = rest.partition("/")
    if place == "triggers" and name and request.method == "POST":
        kind, _, secret = request.headers.get("authorization", "").partition(" ")
        task = app.start(name, secret.strip() if kind.lower() == "bearer" else "", _reason(request.body))
        return Response(202, msgspec.json.encode(task), endpoint="api/triggers")
    fix = "GET /api/status, POST /api/refresh, or POST /api/triggers/{trigger}"
    raise NotFound(f"no path {request.path[:200]!r}", where="path", fix=fix)


class _Asked(msgspec.Struct):
    reason: str = "over HTTP"


def _reason(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Asked).reason[:1_000] if body.strip() else _Asked().reason
    except msgspec.MsgspecError as error:
        raise NotJson(f"the body is not what starts a trigger: {error}", where="body", fix='{"reason": "..."}') from error


def _protocol(app: Application, request: Request, rest: str) -> Response:
    return answer_protocol(app, rest, method=request.method, headers=request.headers, body=request.body)


_ANSWERS: Mapping[str, tuple[tuple[str, ...], Answer]] = {
    "": (("GET",), _page),
    "features": (("POST", "GET"), _features),
    "get-online-features": (("POST",), _get_online_features),
    "predict": (("POST",), _predict),
    "push": (("POST",), _push),
    "write-to-online-store": (("POST",), _write_to_online_store),
    "labels": (("POST",), _labels),
    "health": (("GET",), _health),
    "metrics": (("GET",), _metrics),
    "api": (("GET", "POST"), _api),
    "ui": (("GET",), _static),
    "v2": (("GET", "POST"), _protocol),
}
