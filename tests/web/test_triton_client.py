"""The stock clients of the Open Inference Protocol, NVIDIA's ``tritonclient``, against a server in its own process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
import tritonclient.http as client
import tritonclient.http.aio as aio
from tests.web.running import Running, server
from tritonclient.utils import InferenceServerException

pytestmark = pytest.mark.slow  # starts a real process

TIME = "2020-01-01T10:00:00-05:00"
ANSWER = [1325.001, 56.001]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with server(tmp_path_factory.mktemp("triton")) as made:
        yield made


@pytest.fixture
def triton(running: Running) -> Iterator[client.InferenceServerClient]:
    with client.InferenceServerClient(f"127.0.0.1:{running.port}") as made:
        yield made


def tensors(
    zones: npt.ArrayLike, distances: npt.ArrayLike, *, library: ModuleType = client, binary: bool = True, column: bool = False
) -> list[Any]:
    """One tensor for each input, of the datatype that NumPy's has in the protocol."""
    made = []
    values = {"pickup_zone": np.asarray(zones), "trip_distance": np.asarray(distances)}
    values["pickup_time"] = np.full(values["pickup_zone"].shape, TIME, object)
    for name, array in values.items():
        shaped = array[:, None] if column else array
        tensor = library.InferInput(name, list(shaped.shape), client.np_to_triton_dtype(array.dtype))
        made.append(tensor.set_data_from_numpy(shaped, binary_data=binary))
    return made


def test_health_metadata_and_the_repository(triton: client.InferenceServerClient) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()
    ready = [triton.is_model_ready("eta"), triton.is_model_ready("eta", "1"), triton.is_model_ready("eta", "9")]
    assert ready == [True, True, False]
    assert not triton.is_model_ready("nope")
    assert triton.get_server_metadata()["name"] == "tidewheel"
    assert [one["datatype"] for one in triton.get_model_metadata("eta")["inputs"]] == ["INT64", "FP64", "BYTES"]
    assert triton.get_model_config("eta")["name"] == "eta"
    assert triton.get_model_repository_index() == [{"name": "eta", "version": "1", "state": "READY", "reason": ""}]
    assert triton.get_inference_statistics("eta")["model_stats"][0]["name"] == "eta"
    triton.load_model("eta")
    with pytest.raises(InferenceServerException, match="change the route"):
        triton.unload_model("eta")


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("packing", [None, "gzip", "deflate"])
def test_binary_and_json_packed_and_plain_give_one_answer(
    triton: client.InferenceServerClient, running: Running, binary: bool, packing: str | None
) -> None:
    told = triton.infer(
        "eta",
        tensors([132, 5], [2.5, 3.0], binary=binary, column=binary),
        outputs=[client.InferRequestedOutput("prediction", binary), client.InferRequestedOutput("prediction_id", not binary)],
        model_version="1",
        request_id="ü 1",
        request_compression_algorithm=packing,
        response_compression_algorithm=packing,
    )
    assert told.as_numpy("prediction").tolist() == ANSWER
    assert [told.get_response()[name] for name in ("id", "model_name", "model_version")] == ["ü 1", "eta", "1"]
    ids = {one.decode() if isinstance(one, bytes) else one for one in told.as_numpy("prediction_id")}
    assert len(ids) == 2
    assert ids <= set(running.logged())


@pytest.mark.parametrize(
    ("zone", "distance"),
    [(np.int32, np.float32), (np.uint8, np.float16), (np.uint64, ml_dtypes.bfloat16), (np.int16, np.int64)],
)
def test_narrower_datatypes_are_taken_where_they_fit(triton: client.InferenceServerClient, zone: Any, distance: Any) -> None:
    told = triton.infer("eta", tensors(np.array([132, 5], zone), np.array([2, 3], distance)))
    assert told.as_numpy("prediction").tolist() == [1324.001, 56.001]


def test_nan_is_a_value_that_is_missing_in_both_forms(triton: client.InferenceServerClient) -> None:
    for binary in (True, False):
        told = triton.infer("eta", tensors([132, 5], [np.nan, 3.0], binary=binary))
        assert told.as_numpy("prediction").tolist() == [1320.001, 56.001]


def test_requests_under_way_at_the_same_time_each_get_their_own_answer(triton: client.InferenceServerClient) -> None:
    sent = [triton.async_infer("eta", tensors([zone], [0.0])) for zone in range(1, 20)]
    got = [float(one.get_result().as_numpy("prediction")[0]) for one in sent]
    assert got == [zone * 10 + 0.001 for zone in range(1, 20)]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"model_name": "nope"}, "no deployment 'nope'"),
        ({"model_version": "9"}, "no version '9'"),
        ({"inputs": tensors([132], [2.5])[:2]}, "'pickup_time' is missing"),
        ({"inputs": tensors([132.0], [2.5])}, "must be int64"),
        ({"inputs": tensors([2**64 - 1], [2.5])}, "must be int64"),
        ({"outputs": [client.InferRequestedOutput("odds")]}, "no output 'odds'"),
        ({"outputs": [client.InferRequestedOutput("prediction", class_count=2)]}, "classification is not offered"),
    ],
)
def test_what_is_wrong_is_told_in_words(triton: client.InferenceServerClient, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(InferenceServerException, match=message):
        triton.infer(**({"model_name": "eta", "inputs": tensors([132], [2.5])} | asked))


def test_an_output_in_shared_memory_is_refused_and_not_left_unwritten(triton: client.InferenceServerClient) -> None:
    output = client.InferRequestedOutput("prediction")
    output.set_shared_memory("region", 8)
    with pytest.raises(InferenceServerException, match="shared_memory_region is not offered"):
        triton.infer("eta", tensors([132], [2.5]), outputs=[output])


def test_the_client_for_asyncio(running: Running) -> None:
    async def ask() -> list[list[float]]:
        async with aio.InferenceServerClient(f"127.0.0.1:{running.port}") as triton:
            assert await triton.is_server_ready()
            told = [
                await triton.infer(
                    "eta",
                    tensors([132, 5], [2.5, 3.0], library=aio, binary=binary),
                    request_compression_algorithm=packing,
                    response_compression_algorithm=packing,
                )
                for binary in (True, False)
                for packing in (None, "gzip", "deflate")
            ]
            with pytest.raises(InferenceServerException, match="no deployment 'nope'"):
                await triton.infer("nope", tensors([132], [2.5], library=aio))
            return [one.as_numpy("prediction").tolist() for one in told]

    assert asyncio.run(ask()) == [ANSWER] * 6
