"""Paths of the feature server: our own below ``/features``, and Feast's ``/get-online-features`` and ``/push``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from urllib.parse import parse_qsl

import msgspec

from tidewheel.errors import Invalid, NotFound, TidewheelError, WrongMethod, near_miss
from tidewheel.schema import Schema
from tidewheel.serving.feature_arrow import ARROW
from tidewheel.serving.served_features import ServedFeatures
from tidewheel.web.application import Application
from tidewheel.web.problem import JSON, Response


def answer_features(
    app: Application, rest: str, *, method: str, headers: Mapping[str, str], query: str, body: bytes
) -> Response:
    """Answer a path below ``/features``."""
    if not rest:
        if method == "POST":
            raise WrongMethod(
                "no service is named", where="GET", fix="POST /features/{service}, or GET /features for the names"
            )
        return Response(200, msgspec.json.encode({"services": [_line(app, name) for name in app.features.table.names]}))
    service, _, verb = rest.partition("/")
    if verb == "schema":
        _only("GET", method, verb)
        return Response(
            200, msgspec.json.encode(describe_service(app.features.find(service).served)), endpoint="features/schema"
        )
    if verb == "explain":
        _only("POST", method, verb)
        return _explain(app, service, body, read_query(query) if query else {})
    if verb:
        raise NotFound(
            f"no path /features/{rest[:200]}", where="path", fix="POST /features/{service} or .../explain, GET .../schema"
        )
    _only("POST", method, "a service")
    try:
        asked = read_query(query) if query else {}
        if ARROW in headers.get("content-type", "") or ARROW in headers.get("accept", ""):
            return _arrow(app, service, headers, asked, body)
        return Response(200, app.features.answer(service, body, query=asked), endpoint="features")
    except TidewheelError as error:
        app.features.failed(service, error)
        raise


def read_query(query: str) -> dict[str, str]:
    """The query of an address, each name once.

    Examples
    --------
    >>> read_query("at=2020-01-01T00%3A00%3A00Z&include=lag")
    {'at': '2020-01-01T00:00:00Z', 'include': 'lag'}
    """
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=20)
    except ValueError as error:
        raise Invalid(f"the query {query[:80]!r} is not one: {error}", where="query", fix="name=value&name=value") from error
    if len(dict(pairs)) != len(pairs):
        raise Invalid(f"the query {query[:80]!r} says a name twice", where="query", fix="say each name once")
    return dict(pairs)


def describe_service(served: ServedFeatures) -> dict[str, object]:
    """What a caller must send, and what it gets: names, types, origins."""
    service = served.service
    keys = {key.name for key in served.keys}
    outputs = [
        {"name": one.name, "type": field.type.value, "origin": one.origin}
        for one, field in zip(service.outputs, served.outputs, strict=True)
    ]
    views = [
        {"name": view.name, "source": view.source.name, "ttl_seconds": None if view.ttl is None else view.ttl / 1e6}
        for view in service.views
    ]
    return {
        "service": service.name,
        "description": service.description,
        "owner": service.owner,
        "tags": service.tags,
        "keys": [{"name": key.name, "type": key.type.value, "nullable": False} for key in served.keys],
        "request": [
            {"name": one.name, "type": one.type.value, "nullable": one.nullable}
            for one in service.request
            if one.name not in keys
        ],
        "outputs": outputs,
        "views": views,
    }


def answer_feast(app: Application, body: bytes) -> Response:
    """Answer ``POST /get-online-features``."""
    from tidewheel.serving.feast import asked_of, feature_names, read_feast_request, write_feast
    from tidewheel.serving.feature_request import check_size
    from tidewheel.serving.feature_response import shorten

    sent = read_feast_request(body)
    places: Sequence[int]
    if sent.feature_service is not None:
        ready = app.features.find(sent.feature_service)
        places = range(len(ready.served.names))
    else:
        ready, places = app.features.find_features(sent.features or ())
    names = feature_names(ready.served, places, full=sent.full_feature_names)
    asked = asked_of(sent, ready.served)
    check_size(asked, app.features.max_rows)
    answer, _ = app.features.compute(ready, asked)
    shorten(answer, ready.served.narrow)
    keys = {key.name: sent.entities[key.name] for key in ready.served.keys}
    written = write_feast(sent, names, keys=keys, answer=answer, features=ready.served.outputs, places=places)
    return Response(200, written, endpoint="get-online-features")


def answer_feast_push(app: Application, body: bytes) -> Response:
    """Answer ``POST /push``."""
    from tidewheel.serving.feast import read_feast_push

    source, rows = read_feast_push(body)
    return Response(200, msgspec.json.encode(app.push(source, rows)), endpoint="push")


def answer_feast_write(app: Application, body: bytes) -> Response:
    """Answer ``POST /write-to-online-store``: a push to the source of the view, so that training sees the rows as well."""
    from tidewheel.serving.feast import read_feast_write, rows_of_source

    view, rows = read_feast_write(body)
    table = app.features.table
    if view not in table.views:
        raise NotFound(f"no feature view {view[:100]!r}", where="feature_view_name", fix=near_miss(view[:100], table.views))
    ready, _ = app.features.find_features([f"{view}:{table.views[view][0]}"])
    source = ready.served.service.views[0].source
    own = Schema(tuple(replace(one, name=one.name.removeprefix(f"{view}__")) for one in ready.served.outputs))
    rows = rows_of_source(rows, time=source.time, created=source.created, features=own)
    return Response(200, msgspec.json.encode(app.push(source.name, rows)), endpoint="write-to-online-store")


def _explain(app: Application, service: str, body: bytes, query: Mapping[str, str]) -> Response:
    from tidewheel.serving.feature_request import read_feature_request

    ready = app.features.find(service)
    asked = read_feature_request(body, query=query, max_rows=1)
    if asked.count != 1:
        raise Invalid(f"{asked.count} rows to explain", where="rows", fix="explain one row at a time")
    columns = ready.inputs.read(asked)
    (at,) = app.features.instants(asked)
    told = app.explain(service, {name: values[0] for name, values in columns.items()}, at)
    return Response(200, msgspec.json.encode(told), endpoint="features/explain")


def _line(app: Application, name: str) -> dict[str, object]:
    trouble = app.features.table.trouble.get(name)
    told = None if trouble is None else trouble.as_dict()
    return {"name": name, "ready": trouble is None} | ({} if told is None else {"trouble": told})


def _only(method: str, used: str, what: str) -> None:
    if used != method:
        raise WrongMethod(f"{used[:20]} is not for {what}", where=method, fix=f"use {method}")


def _arrow(app: Application, service: str, headers: Mapping[str, str], query: Mapping[str, str], body: bytes) -> Response:
    from tidewheel.serving.feature_arrow import asked_of_arrow, read_arrow, write_arrow
    from tidewheel.serving.feature_request import check_size, read_feature_request, with_query
    from tidewheel.serving.feature_response import shorten, write_features

    ready = app.features.find(service)
    columns = None
    if ARROW in headers.get("content-type", ""):
        asked, columns = asked_of_arrow(read_arrow(body), ready.served)
        asked = with_query(asked, query)
        check_size(asked, app.features.max_rows)
    else:
        asked = read_feature_request(body, query=query, max_rows=app.features.max_rows)
    wanted = asked.features if asked.features is not None else ready.served.names
    places = ready.served.places(wanted)
    answer, at = app.features.compute(ready, asked, columns)
    told = app.features.bookmarks(ready.served) if "lag" in asked.include else None
    if JSON in headers.get("accept", "") and ARROW not in headers.get("accept", ""):
        written = write_features(
            service,
            wanted,
            answer=shorten(answer, ready.served.narrow),
            at=at,
            include=asked.include,
            columnar=True,
            places=places,
            materialized=told,
        )
        return Response(200, written, endpoint="features")
    stream = write_arrow(ready.served, places, answer=answer, at=at, include=asked.include, materialized=told)
    return Response(200, stream, {"content-type": ARROW}, "features")
