"""The Open Inference Protocol v2, as stock clients speak it."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from tests.serving.models import GOOD
from tests.web.world import application, call

from tidewheel.web.http import Request, handle

INFER = "/v2/models/eta/infer"
TIME = "2020-01-01T10:00:00-05:00"


def tensors(*zones: int) -> list[dict[str, object]]:
    rows = len(zones)
    return [
        {"name": "pickup_zone", "shape": [rows], "datatype": "INT64", "data": list(zones)},
        {"name": "trip_distance", "shape": [rows, 1], "datatype": "FP32", "data": [[2.5]] * rows},
        {"name": "pickup_time", "shape": [rows], "datatype": "BYTES", "data": [TIME] * rows},
    ]


def test_server_and_model_tell_what_they_are() -> None:
    _, app = application()
    assert call(app, "GET", "/v2")[1]["name"] == "tidewheel"
    assert call(app, "GET", "/v2/")[0] == 200
    assert call(app, "GET", "/v2/health/live") == (200, {"live": True})
    assert call(app, "GET", "/v2/health/ready") == (200, {"ready": True, "live": True})
    assert call(app, "GET", "/v2/models/eta/ready") == (200, {"name": "eta", "ready": True})
    assert call(app, "GET", "/v2/models/eta/versions/1/ready") == (200, {"name": "eta", "ready": True})
    assert call(app, "GET", "/v2/models/eta/config")[0] == 200
    assert call(app, "GET", "/v2/models/eta/stats")[0] == 200
    status, told = call(app, "GET", "/v2/models/eta/versions/1")
    assert status == 200
    assert told["versions"] == ["1"]
    assert told["inputs"] == [
        {"name": "pickup_zone", "datatype": "INT64", "shape": [-1]},
        {"name": "trip_distance", "datatype": "FP64", "shape": [-1]},
        {"name": "pickup_time", "datatype": "BYTES", "shape": [-1]},
    ]


def test_the_repository_index_takes_an_empty_body_and_load_answers_200() -> None:
    _, app = application()
    index = json.loads(handle(app, Request("POST", "/v2/repository/index", {}, b"")).body)
    assert index == [{"name": "eta", "version": "1", "state": "READY", "reason": ""}]
    assert handle(app, Request("POST", "/v2/repository/models/eta/load", {}, b"{}")).status == 200


def test_infer_answers_like_predict_logs_and_echoes_the_id() -> None:
    taken, app = application()
    status, told = call(app, "POST", INFER, {"id": "ü1", "inputs": tensors(132, 5)})
    assert (status, told["model_name"], told["model_version"], told["id"]) == (200, "eta", "1", "ü1")
    outputs = told["outputs"]
    assert isinstance(outputs, list)
    prediction, ids = outputs
    assert prediction == {"name": "prediction", "datatype": "FP64", "shape": [2], "data": [1325.001, 55.001]}
    assert ids["data"] == [row.prediction_id for row in taken.world.logged]
    assert taken.world.logged[0].inputs == GOOD
    assert "id" not in call(app, "POST", INFER, {"inputs": tensors(132), "parameters": None})[1]


def test_the_same_request_id_again_is_another_prediction() -> None:
    taken, app = application()
    for zone in (1, 2):
        assert call(app, "POST", INFER, {"id": "1", "inputs": tensors(zone)})[0] == 200
    assert len(taken.world.logged) == 2


def test_binary_tensors_in_and_out_as_tritonclient_sends_them() -> None:
    _, app = application()
    time = TIME.encode()
    raw = [struct.pack("<q", 132), struct.pack("<f", 2.5), struct.pack("<I", len(time)) + time]
    inputs: list[dict[str, object]] = [
        {key: value for key, value in one.items() if key != "data"}
        | {"shape": [1], "parameters": {"binary_data_size": len(data)}}
        for one, data in zip(tensors(132), raw, strict=True)
    ]
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    headers = {"inference-header-content-length": str(len(head)), "content-type": "application/octet-stream"}
    response = handle(app, Request("POST", INFER, headers, b"".join([head, *raw])))
    assert response.status == 200, response.body
    size = int(response.headers["inference-header-content-length"])
    told = json.loads(response.body[:size])
    assert told["outputs"][0]["parameters"] == {"binary_data_size": 8}
    assert np.frombuffer(response.body[size : size + 8], "<f8").tolist() == [1325.001]

    short = {"inference-header-content-length": str(len(head))}
    assert handle(app, Request("POST", INFER, short, b"".join([head, *raw])[:-1])).status == 400
    assert handle(app, Request("POST", INFER, short, b"".join([head, *raw, b"x"]))).status == 400
    lying = [*raw[:2], struct.pack("<I", 4_000_000_000) + time]
    assert handle(app, Request("POST", INFER, short, b"".join([head, *lying]))).status == 400


def test_json_without_content_type_or_with_a_wrong_one_is_json() -> None:
    _, app = application()
    for headers in ({}, {"content-type": "application/octet-stream"}):
        assert call(app, "POST", INFER, {"inputs": tensors(132)}, headers)[0] == 200


def test_bare_nan_is_null_where_null_may_be() -> None:
    _, app = application()
    body = json.dumps({"inputs": tensors(132)}).replace("2.5", "NaN").encode()
    status, told = call(app, "POST", INFER, body)
    assert status == 200, told
    assert told["outputs"][0]["data"] == [1320.001]  # type: ignore[index]


def test_outputs_can_be_chosen() -> None:
    _, app = application()
    request = {"inputs": tensors(132), "outputs": [{"name": "prediction"}]}
    outputs = call(app, "POST", INFER, request)[1]["outputs"]
    assert [one["name"] for one in outputs] == ["prediction"]  # type: ignore[attr-defined]
    assert call(app, "POST", INFER, {"inputs": tensors(132), "outputs": [{"name": "x"}]})[0] == 404


ZONE = tensors(132)[0]
REST = tensors(132)[1:]


@pytest.mark.parametrize(
    "inputs",
    [
        None,
        [],
        5,
        [5],
        [{}],
        [ZONE],
        [ZONE, ZONE, *REST],
        [{**ZONE, "name": "zone"}, *REST],
        [{**ZONE, "shape": [2]}, *REST],
        [{**ZONE, "shape": [-1]}, *REST],
        [{**ZONE, "shape": [1.5]}, *REST],
        [{**ZONE, "shape": [2**40]}, *REST],
        [{**ZONE, "shape": [0], "data": []}, *REST],
        [{**ZONE, "shape": []}, *REST],
        [{**ZONE, "shape": "1"}, *REST],
        [{**ZONE, "shape": [1, 2], "data": [1, 2]}, *REST],
        [{**ZONE, "shape": [2, 1], "data": [[1], [2, 3]]}, *REST],
        [{**ZONE, "data": [[[1]]]}, *REST],
        [{**ZONE, "data": ["132"]}, *REST],
        [{**ZONE, "data": [None]}, *REST],
        [{**ZONE, "data": [132.5]}, *REST],
        [{**ZONE, "data": 132}, *REST],
        [{**ZONE, "datatype": "INT65"}, *REST],
        [{**ZONE, "datatype": None}, *REST],
        [{**ZONE, "datatype": ["INT64"]}, *REST],
        [{**ZONE, "datatype": "FP16"}, *REST],
        [{**ZONE, "datatype": "UINT8", "data": [300]}, *REST],
        [{**ZONE, "parameters": {"binary_data_size": 8}}, *REST],
        [{**ZONE, "parameters": 5}, *REST],
    ],
    ids=range(29),
)
def test_wrong_tensors_are_400_with_one_string(inputs: object) -> None:
    taken, app = application()
    status, told = call(app, "POST", INFER, {"inputs": inputs})
    assert status in (400, 413), told
    assert list(told) == ["error"]
    assert isinstance(told["error"], str)
    assert taken.world.logged == []


def test_unknown_names_are_404_with_one_string() -> None:
    _, app = application()
    for path in ("/v2/models/x/infer", "/v2/models/eta/versions/9/infer"):
        status, told = call(app, "POST", path, {"inputs": tensors(132)})
        assert (status, list(told)) == (404, ["error"])
    for path in ("/v2/models/x", "/v2/models/eta/versions/9", "/v2/models/x/ready", "/v2/nope"):
        assert call(app, "GET", path)[0] == 404
