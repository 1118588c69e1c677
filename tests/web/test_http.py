"""Requests from bytes to bytes: what each path answers, and that garbage gets a 4xx with code, field and fix."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serving.models import GOOD, Array, Calling
from tests.web.world import application, call

from tidewheel.web.http import Request, handle

PREDICT = "/predict/eta"


def test_predict_answers_and_logs() -> None:
    taken, app = application()
    status, body = call(app, "POST", PREDICT, {"inputs": GOOD, "id": "p1"})
    assert (status, body["id"], body["prediction"], body["version"]) == (200, "p1", 1325.001, 1)
    assert [row.prediction_id for row in taken.world.logged] == ["p1"]


GARBAGE: list[tuple[str, bytes, int, str, str | None]] = [
    (PREDICT, b"", 400, "NotJson", "body"),
    (PREDICT, b"hello", 400, "NotJson", "body"),
    (PREDICT, b"{", 400, "NotJson", "body"),
    (PREDICT, b'{"inputs": {}} {}', 400, "NotJson", "body"),
    (PREDICT, b"\xff\xfe\x00", 400, "NotJson", "body"),
    (PREDICT, b'{"inputs": {"pickup_zone": "\xff"}}', 400, "NotJson", "body"),
    (PREDICT, b'{"inputs": {"\xc3\x28": 1}}', 400, "NotJson", "body"),
    (PREDICT, b'{"id": "\\ud800", "inputs": {}}', 400, "NotJson", "body"),
    (PREDICT, b"[" * 20_000, 400, "NotJson", "body"),
    (PREDICT, b'{"inputs":' + b'{"a":' * 20_000, 400, "NotJson", "body"),
    (PREDICT, b"[" * 20_000 + b"]" * 20_000, 400, "NotJson", "body"),
    (PREDICT, b'{"inputs":' + b"[" * 20_000 + b"]" * 20_000 + b"}", 400, "NotJson", "body"),
    (PREDICT, b"null", 400, "NotJson", "body"),
    (PREDICT, b"[]", 400, "NotJson", "body"),
    (PREDICT, b'{"inputs": {}, "pad": 1}', 422, "UnknownInput", "pad"),
    (PREDICT, b"{}", 422, "MissingInput", "inputs"),
    (PREDICT, b'{"inputs": 5}', 422, "TypeMismatch", "inputs"),
    (PREDICT, b'{"inputs": {}}', 422, "MissingInput", "inputs.pickup_zone"),
    (PREDICT, b'{"inputs": {"pickup_zone": NaN}}', 422, "TypeMismatch", "inputs.pickup_zone"),
    (PREDICT, b'{"inputs": {"pickup_zone": 1, "trip_distance": -Infinity}}', 422, "TypeMismatch", "inputs.trip_distance"),
    (PREDICT, b'{"inputs": [{"pickup_zone": 1, "trip_distance": NaN}]}', 422, "TypeMismatch", "inputs[0].trip_distance"),
    (PREDICT, b'{"inputs": {"pickup_zone": 1e999}}', 422, "TypeMismatch", None),
    (PREDICT, b'{"inputs": {"pickup_zone": ' + b"9" * 5000 + b"}}", 422, "TypeMismatch", None),
    (PREDICT, b'{"inputs": {"pickup_zone": ' + b"9" * 100 + b"}}", 422, "TypeMismatch", None),
    (PREDICT, b'{"inputs": {}, "id": 5}', 422, "TypeMismatch", "id"),
    (PREDICT, b'{"inputs": {}, "at": true}', 422, "TypeMismatch", "at"),
    (PREDICT, b'{"inputs": {}, "at": "soon"}', 422, "TypeMismatch", "at"),
    ("/predict/ets", json.dumps({"inputs": GOOD}).encode(), 404, "NotFound", "deployment"),
    ("/predict/", b"{}", 404, "NotFound", "deployment"),
    ("/predict/eta/x", b"{}", 404, "NotFound", "deployment"),
    ("/predict", b"{}", 404, "NotFound", "deployment"),
    ("/nothing", b"{}", 404, "NotFound", "path"),
    ("/push/trips", b"x", 400, "NotJson", "body"),
    ("/push/trips", b"[]", 400, "NotJson", "body"),
    ("/push/trips", b"{}", 422, "MissingInput", "rows"),
    ("/push/trips", b'{"rows": {}}', 422, "TypeMismatch", "rows"),
    ("/push/trips", b'{"rows": [5]}', 422, "TypeMismatch", "rows[0]"),
    ("/push/trips", b'{"rows": [{"pickup_zone": 1}, {"pickup_zone": "x"}]}', 422, "TypeMismatch", "rows[1].pickup_zone"),
    ("/push/trips", b'{"rows": [{"pickup_zone": NaN}]}', 422, "TypeMismatch", "rows[0].pickup_zone"),
    ("/labels/eta", b'{"labels": [{"id": "a", "value": NaN}]}', 422, "TypeMismatch", "labels[0].value"),
    ("/push/nope", b'{"rows": []}', 404, "NotFound", "source"),
    ("/labels/eta", b"{}", 422, "MissingInput", "labels"),
    ("/labels/eta", b'{"labels": [{"id": "a"}]}', 422, "MissingInput", "labels[0].value"),
    ("/labels/eta", b'{"labels": [{"id": "a", "value": "x"}]}', 422, "TypeMismatch", "labels[0].value"),
    ("/labels/eta", b'{"labels": [{"id": "a", "value": true}]}', 422, "TypeMismatch", "labels[0].value"),
    ("/labels/eta", b'{"labels": [{"value": 1}]}', 422, "Invalid", "labels[0].id"),
    ("/labels/eta", b'{"labels": [{"id": "a", "value": 1, "at": "x"}]}', 422, "TypeMismatch", "labels[0].at"),
    ("/labels/eta", b'{"labels": [{"id": "a", "value": 1, "when": 1}]}', 422, "TypeMismatch", "labels[0]"),
    ("/labels/eta", b'{"labels": ["a"]}', 422, "TypeMismatch", "labels[0]"),
    ("/labels/ets", b'{"labels": []}', 404, "NotFound", "deployment"),
    ("/labels", b'{"labels": []}', 422, "MissingInput", "deployment"),
    ("/labels/eta", b'{"deployment": "x", "labels": []}', 422, "Invalid", "deployment"),
]


@pytest.mark.parametrize(("path", "body", "status", "code", "field"), GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_is_the_callers_fault_and_says_how_to_mend_it(
    path: str, body: bytes, status: int, code: str, field: str | None
) -> None:
    taken, app = application()
    answered, told = call(app, "POST", path, body)
    assert (answered, told["code"]) == (status, code), told
    assert told["error"]
    assert told["fix"]
    if field is not None:
        assert told["field"] == field
    assert (taken.world.logged, taken.pushed, taken.labels) == ([], [], [])


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", PREDICT, "POST"),
        ("DELETE", PREDICT, "POST"),
        ("POST", "/", "GET"),
        ("PUT", "/metrics", "GET"),
        ("BREW", "/health/ready", "GET"),
        ("GET", "/push/trips", "POST"),
        ("GET", "/v2/models/eta/infer", "POST"),
        ("POST", "/v2/models/eta", "GET"),
    ],
)
def test_a_wrong_method_is_405_and_names_the_right_one(method: str, path: str, allow: str) -> None:
    _, app = application()
    response = handle(app, Request(method, path, {}, b"{}"))
    assert (response.status, response.headers["allow"]) == (405, allow)


@given(st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
def test_no_body_at_all_makes_a_500(body: bytes) -> None:
    taken, app = application()
    for path in (PREDICT, "/push/trips", "/labels/eta", "/v2/models/eta/infer"):
        assert 400 <= handle(app, Request("POST", path, {}, body)).status < 500
    assert taken.world.logged == []


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(["inputs", "id", "ids", "at", "key", "x"]), JSONS)
    | st.fixed_dictionaries({"inputs": st.fixed_dictionaries(dict.fromkeys(GOOD, JSONS))})
)
def test_no_json_at_all_makes_a_500(sent: object) -> None:
    _, app = application()
    assert handle(app, Request("POST", PREDICT, {}, json.dumps(sent).encode())).status < 500


@given(
    st.fixed_dictionaries(
        {
            "inputs": st.lists(
                st.fixed_dictionaries(
                    {},
                    optional={
                        "name": st.sampled_from(sorted(GOOD)) | JSONS,
                        "datatype": st.sampled_from(["INT64", "FP32", "FP64", "BYTES", "BOOL", "FP16", "X"]) | JSONS,
                        "shape": st.lists(st.integers(-2, 4) | JSONS, max_size=3) | JSONS,
                        "data": st.lists(JSONS, max_size=4) | JSONS,
                        "parameters": JSONS | st.fixed_dictionaries({"binary_data_size": JSONS}),
                    },
                ),
                max_size=3,
            )
        },
        optional={"id": JSONS, "outputs": JSONS, "parameters": JSONS},
    )
)
def test_no_tensor_at_all_makes_a_500(sent: object) -> None:
    _, app = application()
    assert handle(app, Request("POST", "/v2/models/eta/infer", {}, json.dumps(sent).encode())).status < 500


def test_a_broken_model_is_a_500_with_its_own_code_and_nothing_is_logged() -> None:
    def broken(columns: Array) -> Array:
        if columns.any():
            raise RuntimeError("weights are gone")
        return columns[:, 0]

    taken, app = application(Calling(broken))
    status, told = call(app, "POST", PREDICT, {"inputs": GOOD})
    assert (status, told["code"]) == (500, "ModelFailed")
    assert "weights are gone" in str(told["error"])
    assert taken.world.logged == []


def test_a_model_that_takes_no_null_refuses_the_row_with_422() -> None:
    _, app = application(Calling(lambda columns: columns.sum(axis=1) if np.isfinite(columns).all() else np.array([np.nan])))
    status, told = call(app, "POST", PREDICT, {"inputs": {**GOOD, "pickup_zone": 5000}})
    assert (status, told["code"], told["field"]) == (422, "ModelRefused", "trips_1h")


def test_pushed_rows_and_labels_arrive() -> None:
    taken, app = application()
    assert call(app, "POST", "/push/trips", {"rows": [{"pickup_zone": 4}]}) == (200, {"accepted": 1})
    assert taken.pushed == [{"pickup_zone": 4}]
    by_id = {"labels": [{"id": "p1", "value": 12, "at": "1970-01-01T00:00:01Z"}]}
    assert call(app, "POST", "/labels/eta", by_id) == (200, {"accepted": 1})
    by_key = {"deployment": "eta", "keys": {"pickup_zone": 4}, "time": 5, "value": 1.5}
    assert call(app, "POST", "/labels", by_key) == (200, {"accepted": 1})
    first, second = taken.labels
    assert (first.prediction_id, first.value, first.at) == ("p1", 12.0, 1_000_000)
    assert (second.keys, second.time, second.value) == ({"pickup_zone": 4}, 5, 1.5)


def test_health_and_metrics_tell_what_happened() -> None:
    _, app = application()
    assert call(app, "GET", "/health/live")[0] == 200
    assert call(app, "GET", "/health/ready") == (200, {"ready": True, "live": True, "trouble": []})
    call(app, "POST", PREDICT, {"inputs": GOOD})
    call(app, "POST", PREDICT, {"inputs": {}})
    call(app, "POST", "/predict/attack1", {"inputs": {}})
    text = handle(app, Request("GET", "/metrics", {})).body.decode()
    assert 'tidewheel_predictions_total{arm="champion",deployment="eta",model="eta",version="1"} 1.0' in text
    assert 'tidewheel_prediction_errors_total{code="MissingInput",deployment="eta"} 1.0' in text
    assert 'tidewheel_http_requests_total{endpoint="predict",status="404"} 1.0' in text
    assert 'tidewheel_route_revision{deployment="eta"} 1.0' in text
    assert "attack" not in text


def test_the_page_escapes_what_comes_from_outside_and_loads_nothing_from_elsewhere() -> None:
    taken, app = application()
    taken.world.table.routes["eta"] = taken.world.table.current("eta").__class__(
        "eta", 7, taken.world.table.current("eta").arms, app.clock(), "<script>alert(1)</script>", "why"
    )
    app.answerer.refresh()
    page = handle(app, Request("GET", "/", {})).body.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert "eta v1" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    for name in ("style.css", "live.js", "icon.svg"):
        assert handle(app, Request("GET", f"/ui/{name}", {})).status == 200
    assert handle(app, Request("GET", "/ui/../application.py", {})).status == 404
    assert call(app, "GET", "/api/status")[1]["project"] == "taxi"
