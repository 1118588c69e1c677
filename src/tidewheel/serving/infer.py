"""Answer the Open Inference Protocol v2: metadata, and tensors in and out.

A deployment is a model of the protocol. Its inputs are the entity keys and request values, one tensor each with one element
per row; features are looked up as for ``POST /predict``, and the answers are logged. Outputs: ``prediction`` (``FP64``), and
``prediction_id`` (``BYTES``), under which labels arrive. The protocol's ``id`` names the request and is echoed; it is not a
prediction id, because clients send the same one again and again. One request is answered by one version: that of the key of
its first row.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

import msgspec

from tidewheel.errors import Invalid, NotFound, NotJson, TidewheelError, TypeMismatch, near_miss
from tidewheel.schema import DataType
from tidewheel.serving.envelope import Asked
from tidewheel.serving.inputs import decode_json
from tidewheel.serving.live import LiveArm, LiveDeployment
from tidewheel.serving.tensor import DATATYPES, Tensor, check_shape, from_binary, from_json, to_binary, to_json

if TYPE_CHECKING:
    from tidewheel.serving.answer import Answerer
    from tidewheel.serving.memory import Given

_TO_WIRE: Mapping[DataType, str] = {
    DataType.BOOL: "BOOL",
    DataType.INT32: "INT32",
    DataType.INT64: "INT64",
    DataType.FLOAT32: "FP32",
    DataType.FLOAT64: "FP64",
}
PLATFORM = "tidewheel"
_NOT_HERE = frozenset({"classification", "shared_memory_region"})
_OUTPUTS: Mapping[str, str] = {"prediction": "FP64", "prediction_id": "BYTES"}


@dataclass(frozen=True, slots=True)
class Inferred:
    """A response: ``json_size`` is set when raw tensors follow the JSON."""

    body: bytes
    json_size: int | None


def metadata(live: LiveDeployment, version: str | None = None) -> dict[str, object]:
    """The protocol's model metadata."""
    arm = live.champion if version is None else live.version(version)
    served = arm.served
    inputs = [{"name": field.name, "datatype": _TO_WIRE.get(field.type, "BYTES"), "shape": [-1]} for field in served.inputs]
    outputs: list[dict[str, object]] = [
        {"name": "prediction", "datatype": "FP64", "shape": [-1] if served.width == 1 else [-1, served.width]},
        {"name": "prediction_id", "datatype": "BYTES", "shape": [-1]},
    ]
    versions = [str(one.arm.version) for one in (*live.answering, *live.shadows)]
    return {"name": live.name, "versions": versions, "platform": PLATFORM, "inputs": inputs, "outputs": outputs}


def infer(
    answerer: Answerer, deployment: str, body: bytes, *, json_size: int | None = None, version: str | None = None
) -> Inferred:
    """Answer ``POST /v2/models/{deployment}/infer``.

    Parameters
    ----------
    json_size
        Value of the header ``Inference-Header-Content-Length``: bytes of JSON before the raw tensors. The content type says
        nothing: stock clients send none, or the wrong one.
    """
    started = perf_counter()
    live = answerer.find(deployment)
    try:
        sent, raw = _read_header(body, json_size, live)
        arm = None if version in (None, "") else live.version(str(version))
        tensors = _read_inputs(sent, raw)
        rows = _rows(live, arm or live.champion, tensors)
        arm = arm or live.pick(rows[0], None)[0]
        chosen = _read_outputs(sent)
        asked = Asked(rows, [None] * len(rows), [None] * len(rows), None, len(rows) == 1)
        given = answerer.answer(live, asked, key=None, started=started, pinned=arm)
        return _respond(live, arm, given, sent, chosen)
    except TidewheelError as error:
        answerer.measurements.failed(deployment, error.code, perf_counter() - started)
        raise


def _read_header(body: bytes, json_size: int | None, live: LiveDeployment) -> tuple[dict[str, object], bytes]:
    if json_size is None:
        head, raw = body, b""
    elif json_size == 0:
        return _raw_request(body, live), body
    elif 0 < json_size <= len(body):
        head, raw = body[:json_size], body[json_size:]
    else:
        raise Invalid(
            f"Inference-Header-Content-Length is {json_size}, the body has {len(body)} bytes",
            where="Inference-Header-Content-Length",
            fix="send the size of the JSON, uncompressed",
        )
    sent = _decode(head)
    if not isinstance(sent, dict):
        raise NotJson("the request is not a JSON object", where="body", fix='send {"inputs": [...]}')
    return sent, raw


def _decode(head: bytes) -> object:
    try:
        return decode_json(head)
    except (NotJson, TypeMismatch):
        if b"NaN" not in head and b"Infinity" not in head:
            raise
        try:  # stock clients write bare NaN and Infinity
            return json.loads(head)
        except (ValueError, RecursionError) as error:
            raise NotJson(f"the body is not JSON: {error}", where="body", fix="send one JSON object, UTF-8") from error


def _raw_request(body: bytes, live: LiveDeployment) -> dict[str, object]:
    inputs = live.champion.served.inputs
    if len(inputs) != 1:
        raise Invalid(
            f"a raw binary request needs a model with one input, {live.name!r} has {len(inputs)}",
            where="Inference-Header-Content-Length",
            fix="send the JSON header with names and shapes",
        )
    datatype = _TO_WIRE.get(inputs.fields[0].type, "BYTES")
    return {
        "inputs": [
            {
                "name": inputs.names[0],
                "datatype": datatype,
                "shape": [1],
                "parameters": {"binary_data_size": len(body)},
            }
        ],
        "parameters": {"binary_data_output": True},
    }


def _parameters(owner: Mapping[str, object], where: str) -> Mapping[str, object]:
    found = owner.get("parameters") or {}
    if not isinstance(found, dict):
        raise Invalid(f"{where}: parameters must be an object", where=where, fix='send "parameters": {}')
    return found


def _read_inputs(sent: Mapping[str, object], raw: bytes) -> dict[str, Tensor]:
    given = sent.get("inputs")
    if not isinstance(given, list) or not given:
        raise Invalid('"inputs" must be an array of tensors', where="inputs", fix='send {"inputs": [{"name", "shape", ...}]}')
    tensors: dict[str, Tensor] = {}
    place = 0
    for index, one in enumerate(given):
        where = f"inputs[{index}]"
        if not isinstance(one, dict) or not isinstance(one.get("name"), str):
            raise Invalid(f"{where} has no name", where=where, fix="send name, shape, datatype and data")
        name, datatype = one["name"], one.get("datatype")
        if name in tensors:
            raise Invalid(f"tensor {name[:80]!r} is in the request twice", where=where, fix="send each input once")
        if datatype not in DATATYPES:
            raise Invalid(
                f"tensor {name[:80]!r}: datatype {repr(datatype)[:40]} is not known", where=where, fix=f"one of {DATATYPES}"
            )
        shape = check_shape(one.get("shape"), f"tensor {name[:80]!r}")
        size = _parameters(one, where).get("binary_data_size")
        if size is None:
            if "data" not in one:
                raise Invalid(f"tensor {name[:80]!r} has no data", where=where, fix="send data, or binary_data_size")
            tensors[name] = from_json(name, datatype, shape=shape, data=one["data"])
            continue
        if "data" in one or type(size) is not int or size < 0 or place + size > len(raw):
            raise Invalid(
                f"tensor {name[:80]!r}: binary_data_size {repr(size)[:40]} does not fit the body",
                where=where,
                fix="send the bytes after the JSON, in the order of the inputs, and no data",
            )
        tensors[name] = from_binary(name, datatype, shape=shape, data=raw[place : place + size])
        place += size
    if place != len(raw):
        raise Invalid(f"{len(raw) - place} bytes after the last tensor", where="body", fix="set binary_data_size of each input")
    return tensors


def _rows(live: LiveDeployment, arm: LiveArm, tensors: Mapping[str, Tensor]) -> list[dict[str, object]]:
    inputs = arm.served.inputs
    for name in tensors:
        if name not in inputs:
            raise Invalid(f"{live.name!r} has no input {name[:80]!r}", where=name, fix=near_miss(name[:80], inputs.names))
    columns: dict[str, list[object]] = {}
    counts: set[int] = set()
    for field in inputs:
        tensor = tensors.get(field.name)
        if tensor is None:
            raise Invalid(f"input {field.name!r} is missing", where=field.name, fix=f"send all of {', '.join(inputs.names)}")
        if len(tensor.shape) > 2 or (len(tensor.shape) == 2 and tensor.shape[1] != 1):
            raise Invalid(
                f"tensor {field.name!r}: shape {list(tensor.shape)} is not one value per row",
                where=field.name,
                fix="send [rows]",
            )
        counts.add(tensor.shape[0])
        columns[field.name] = [_scalar(value, field.name) for value in tensor.values]
    if len(counts) != 1 or counts == {0}:
        raise Invalid("the inputs do not have one number of rows above 0", where="inputs", fix="send [rows] for each input")
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _scalar(value: object, name: str) -> object:
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise Invalid(f"tensor {name!r} holds bytes that are not UTF-8", where=name, fix="encode text as UTF-8") from error
    return value


def _read_outputs(sent: Mapping[str, object]) -> dict[str, bool]:
    binary = _parameters(sent, "request").get("binary_data_output") is True
    asked = sent.get("outputs")
    if asked is None or asked == []:
        return dict.fromkeys(_OUTPUTS, binary)
    if not isinstance(asked, list):
        raise Invalid('"outputs" must be an array', where="outputs", fix='send "outputs": [{"name": "prediction"}]')
    chosen: dict[str, bool] = {}
    for index, one in enumerate(asked):
        name = one.get("name") if isinstance(one, dict) else None
        if not isinstance(one, dict) or not isinstance(name, str):
            raise Invalid(f"outputs[{index}] has no name", where="outputs", fix='send "outputs": [{"name": "prediction"}]')
        if name not in _OUTPUTS:
            raise NotFound(f"no output {name[:80]!r}", where=f"outputs[{index}]", fix=near_miss(name[:80], _OUTPUTS))
        parameters = _parameters(one, f"outputs[{index}]")
        for refused in _NOT_HERE & parameters.keys():
            # Let by, the caller would read memory that nobody wrote, or numbers where it expects labels.
            raise Invalid(
                f"output {name!r}: {refused} is not offered", where=f"outputs[{index}]", fix="ask for the output itself"
            )
        own = parameters.get("binary_data")
        chosen[name] = binary if own is None else own is True
    return chosen


def _respond(
    live: LiveDeployment, arm: LiveArm, given: list[Given], sent: Mapping[str, object], chosen: Mapping[str, bool]
) -> Inferred:
    wide = [one.prediction if isinstance(one.prediction, tuple) else (one.prediction,) for one in given]
    shape = (len(given),) if not isinstance(given[0].prediction, tuple) else (len(given), len(wide[0]))
    tensors = {
        "prediction": Tensor("prediction", "FP64", shape, [value for row in wide for value in row]),
        "prediction_id": Tensor("prediction_id", "BYTES", (len(given),), [one.id.encode() for one in given]),
    }
    outputs, raw = list[dict[str, object]](), list[bytes]()
    for name, binary in chosen.items():
        tensor = tensors[name]
        out: dict[str, object] = {"name": name, "datatype": tensor.datatype, "shape": tensor.shape}
        if binary:
            raw.append(to_binary(tensor))
            out["parameters"] = {"binary_data_size": len(raw[-1])}
        else:
            out["data"] = to_json(tensor)
        outputs.append(out)
    answer: dict[str, object] = {"model_name": live.name, "model_version": str(arm.arm.version), "outputs": outputs}
    if isinstance(sent.get("id"), str) and sent["id"]:
        answer["id"] = sent["id"]
    head = msgspec.json.encode(answer)
    return Inferred(b"".join([head, *raw]), len(head) if raw else None)
