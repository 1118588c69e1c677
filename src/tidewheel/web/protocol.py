"""Paths of the Open Inference Protocol v2.

Every success is exactly 200, and every answer that is not a plain "yes" is JSON: stock clients decode it whatever the status.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

import msgspec

from tidewheel.errors import Invalid, NotFound, TidewheelError, Unavailable, WrongMethod
from tidewheel.serving.infer import infer, metadata
from tidewheel.web.application import Application
from tidewheel.web.problem import JSON, Response

_HEADER = "inference-header-content-length"
_SERVER = {"name": "tidewheel", "version": "0.1.0", "extensions": ["model_repository", "binary_tensor_data"]}


def answer_protocol(app: Application, rest: str, *, method: str, headers: Mapping[str, str], body: bytes) -> Response:
    """Answer a path below ``/v2``."""
    parts = [part for part in rest.split("/") if part]
    if not parts:
        return _json(method, _SERVER)
    if parts[0] == "health" and len(parts) == 2:
        return _health(app, method, parts[1])
    if parts == ["repository", "index"]:
        return _json("GET", _index(app))
    if parts[0] == "repository" and len(parts) == 4 and parts[1] == "models" and parts[3] in ("load", "unload"):
        return _load(app, method, parts[2], parts[3])
    if parts == ["models", "stats"]:
        return _json(method, {"model_stats": [_stats(app, name) for name in app.answerer.names]})
    if parts[0] == "models" and len(parts) >= 2:
        return _model(app, method, parts[1:], headers, body)
    raise NotFound(f"no path /v2/{rest[:200]}", where="path", fix="see the Open Inference Protocol v2")


def _json(method: str, value: object, *, endpoint: str = "v2") -> Response:
    if method == "POST":
        raise WrongMethod("POST is not for this path", where="GET", fix="use GET")
    return Response(200, msgspec.json.encode(value), endpoint=endpoint)


def _health(app: Application, method: str, what: str) -> Response:
    if what == "live":
        return _json(method, {"live": True})
    if what == "ready":
        if app.answerer.ready():
            return _json(method, {"ready": True, "live": True})
        body = {"ready": False, "live": True, "error": "not every deployment has a version that answers"}
        return Response(503, msgspec.json.encode(body), endpoint="v2")
    raise NotFound(f"no path /v2/health/{what[:80]}", where="path", fix="GET /v2/health/live or /v2/health/ready")


def _model(app: Application, method: str, parts: list[str], headers: Mapping[str, str], body: bytes) -> Response:
    name, rest = unquote(parts[0]), parts[1:]
    version = None
    if len(rest) >= 2 and rest[0] == "versions":
        version, rest = unquote(rest[1]), rest[2:]
    if rest == ["infer"]:
        if method != "POST":
            raise WrongMethod(f"{method[:20]} is not for infer", where="POST", fix="use POST")
        return _infer(app, name, version, headers, body)
    live = app.answerer.find(name)
    if version is not None:
        live.version(version)
    if rest == ["ready"]:
        return _json(method, {"name": name, "ready": True})
    if rest == []:
        return _json(method, metadata(live, version))
    if rest == ["config"]:
        told = metadata(live, version)
        return _json(method, {"name": name, "platform": told["platform"], "input": told["inputs"], "output": told["outputs"]})
    if rest == ["stats"]:
        return _json(method, {"model_stats": [_stats(app, name)]})
    raise NotFound(f"no path {'/'.join(rest)[:200]!r} of a model", where="path", fix="infer, ready, config or stats")


def _infer(app: Application, name: str, version: str | None, headers: Mapping[str, str], body: bytes) -> Response:
    sent = headers.get(_HEADER)
    if sent is not None and not (sent.isascii() and sent.isdigit() and len(sent) < 12):
        raise Invalid(f"{_HEADER} is {sent[:40]!r}", where=_HEADER, fix="send the size of the JSON in bytes")
    given = infer(app.answerer, name, body, json_size=None if sent is None else int(sent), version=version)
    if given.json_size is None:
        return Response(200, given.body, {"content-type": JSON}, "v2/infer")
    kind = {"content-type": "application/octet-stream", _HEADER: str(given.json_size)}
    return Response(200, given.body, kind, "v2/infer")


def _index(app: Application) -> list[dict[str, str]]:
    lines: list[dict[str, str]] = []
    for name in app.answerer.names:
        trouble = app.answerer.trouble(name)
        try:
            live = app.answerer.find(name)
        except TidewheelError as error:
            lines.append({"name": name, "version": "", "state": "UNAVAILABLE", "reason": error.what})
            continue
        for one in (*live.answering, *live.shadows):
            reason = trouble.what if trouble else ""
            lines.append({"name": name, "version": str(one.arm.version), "state": "READY", "reason": reason})
    return lines


def _load(app: Application, method: str, name: str, verb: str) -> Response:
    if method != "POST":
        raise WrongMethod(f"{method[:20]} is not for {verb}", where="POST", fix="use POST")
    if name not in app.answerer.names:
        app.answerer.find(name)
    if verb == "unload":
        raise Unavailable(
            f"deployment {name!r} is unloaded by its route", where=name, fix="change the route: tidewheel promote"
        )
    app.answerer.refresh()
    app.answerer.find(name)
    return Response(200, b"{}", endpoint="v2")


def _stats(app: Application, name: str) -> dict[str, object]:
    live = app.answerer.find(name)
    pace = app.answerer.measurements.pace(name)
    return {
        "name": name,
        "version": str(live.champion.arm.version),
        "last_minute": {"requests_per_second": pace.requests_per_second, "p50_ms": pace.p50_ms, "p99_ms": pace.p99_ms},
    }
