"""The answer path: typed inputs, arms, ids, the log, and what happens when a model fails."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence

import numpy as np
import pytest
from tests.serving.models import GOOD, NOW, Array, Calling, World, one_version

from tidewheel.errors import (
    BodyTooLarge,
    DuplicateId,
    FutureEvent,
    Incompatible,
    MissingInput,
    ModelFailed,
    ModelRefused,
    NotFound,
    TypeMismatch,
    Unavailable,
    UnknownInput,
)
from tidewheel.predictions import PredictionRow
from tidewheel.serving.answer import Answerer
from tidewheel.serving.arm import Arm
from tidewheel.serving.definition import Deployment


def ask(answerer: Answerer, **request: object) -> dict[str, object]:
    """Send one request; read the answer."""
    answered = json.loads(answerer.predict("eta", json.dumps(request).encode()))
    assert isinstance(answered, dict)
    return answered


def many(answerer: Answerer, **request: object) -> list[dict[str, object]]:
    found = ask(answerer, **request)["predictions"]
    assert isinstance(found, list)
    return found


def test_an_answer_is_the_models_and_is_logged_with_everything_that_made_it() -> None:
    world, answerer = one_version()
    answered = ask(answerer, inputs=GOOD, id="p1", at="2020-01-01T15:00:00Z")
    assert answered == {
        "id": "p1",
        "prediction": 1325.001,
        "model": "eta",
        "version": 1,
        "arm": "champion",
        "at": "2020-01-01T15:00:00Z",
    }
    (row,) = world.logged
    assert (row.prediction_id, row.deployment, row.model, row.version, row.arm) == ("p1", "eta", "eta", 1, "champion")
    assert row.inputs == GOOD
    assert row.features == {"trips_1h": 1320, "trip_distance": 2.5, "hour": 15}
    assert row.prediction == 1325.001
    assert row.at == 1_577_890_800_000_000
    assert row.answered_at == NOW
    assert row.latency_us >= 0


def test_without_id_and_time_an_id_is_made_up_and_the_time_is_now() -> None:
    world, answerer = one_version()
    first, second = ask(answerer, inputs=GOOD), ask(answerer, inputs=GOOD)
    assert first["id"] != second["id"]
    assert [row.at for row in world.logged] == [NOW, NOW]


def test_a_list_of_inputs_gets_a_list_of_answers_in_order() -> None:
    world, answerer = one_version()
    rows = [{**GOOD, "pickup_zone": zone} for zone in (5, 3, 5)]
    answers = many(answerer, inputs=rows, ids=["a", None, "c"])
    assert [one["prediction"] for one in answers] == [55.001, 35.001, 55.001]
    assert [one["id"] for one in answers][::2] == ["a", "c"]
    assert len(world.logged) == 3


def test_a_null_request_value_is_answered_and_a_null_key_is_refused() -> None:
    world, answerer = one_version()
    assert ask(answerer, inputs={**GOOD, "trip_distance": None})["prediction"] == 1320.001
    with pytest.raises(MissingInput) as caught:
        ask(answerer, inputs={**GOOD, "pickup_zone": None})
    assert caught.value.where == "inputs.pickup_zone"
    assert len(world.logged) == 1


@pytest.mark.parametrize(
    ("inputs", "error", "field"),
    [
        ({}, MissingInput, "inputs.pickup_zone"),
        ({**GOOD, "pickup_zone": "132"}, TypeMismatch, "inputs.pickup_zone"),
        ({**GOOD, "pickup_zone": 132.0}, TypeMismatch, "inputs.pickup_zone"),
        ({**GOOD, "pickup_zone": True}, TypeMismatch, "inputs.pickup_zone"),
        ({**GOOD, "pickup_zone": 2**63}, TypeMismatch, "inputs.pickup_zone"),
        ({**GOOD, "pickup_zone": [132]}, TypeMismatch, "inputs.pickup_zone"),
        ({**GOOD, "trip_distance": "far"}, TypeMismatch, "inputs.trip_distance"),
        ({**GOOD, "trip_distance": False}, TypeMismatch, "inputs.trip_distance"),
        ({**GOOD, "trip_distance": 10**400}, TypeMismatch, "inputs.trip_distance"),
        ({**GOOD, "pickup_time": "yesterday"}, TypeMismatch, "inputs.pickup_time"),
        ({**GOOD, "pickup_time": "0001-01-01T00:00:00+14:00"}, TypeMismatch, "inputs.pickup_time"),
        ({**GOOD, "pickup_time": 2**62}, TypeMismatch, "inputs.pickup_time"),
        ({**GOOD, "pickup_zon": 4}, UnknownInput, "inputs.pickup_zon"),
        ([GOOD, {**GOOD, "pickup_zone": "x"}], TypeMismatch, "inputs[1].pickup_zone"),
        ([GOOD, 5], TypeMismatch, "inputs[1]"),
    ],
)
def test_wrong_inputs_are_refused_by_name_and_not_logged(inputs: object, error: type[Exception], field: str) -> None:
    world, answerer = one_version()
    with pytest.raises(error) as caught:
        ask(answerer, inputs=inputs)
    assert caught.value.where == field  # type: ignore[attr-defined]  # every error of ours has it
    assert caught.value.fix  # type: ignore[attr-defined]
    assert world.logged == []


def test_requests_that_contradict_themselves_are_refused() -> None:
    _, answerer = one_version()
    requests: list[dict[str, object]] = [
        {"inputs": []},
        {"inputs": [GOOD], "id": "a"},
        {"inputs": GOOD, "ids": ["a"]},
        {"inputs": [GOOD, GOOD], "ids": ["a"]},
        {"inputs": [GOOD, GOOD], "ids": ["a", "a"]},
        {"inputs": [GOOD], "at": [1, 2]},
        {"inputs": GOOD, "id": ""},
        {"inputs": GOOD, "id": "x" * 201},
        {"inputs": GOOD, "at": -1},
        {"inputs": GOOD, "at": "soon"},
        {"inputs": GOOD, "at": 10**30},
        {"inputs": GOOD, "at": NOW + 3_600_000_000},
        {"inputs": GOOD, "surprise": 1},
    ]
    for request in requests:
        with pytest.raises((TypeMismatch, FutureEvent, Exception)) as caught:
            ask(answerer, **request)
        assert caught.type.__module__ == "tidewheel.errors", request


def test_too_many_rows_are_refused() -> None:
    _, answerer = one_version()
    with pytest.raises(BodyTooLarge):
        ask(answerer, inputs=[GOOD] * 10_001)


def test_a_retry_with_the_same_id_gets_the_same_answer_and_is_logged_once() -> None:
    world, answerer = one_version()
    first = ask(answerer, inputs=GOOD, id="p1")
    world.add(2)
    world.table.set("eta", Arm("eta", 2))
    answerer.refresh()
    assert ask(answerer, inputs=GOOD, id="p1") == first
    assert len(world.logged) == 1
    with pytest.raises(DuplicateId):
        ask(answerer, inputs={**GOOD, "pickup_zone": 7}, id="p1")
    assert many(answerer, inputs=[GOOD, GOOD], ids=["p1", "p2"])[0]["prediction"] == first["prediction"]
    assert [row.prediction_id for row in world.logged] == ["p1", "p2"]


def test_an_id_whose_request_failed_is_free_again() -> None:
    failing = True

    def predict(columns: Array) -> Array:
        if failing and columns.any():
            raise RuntimeError("no")
        return columns[:, 0]

    world, answerer = one_version(Calling(predict))
    with pytest.raises(ModelFailed):
        ask(answerer, inputs=GOOD, id="p1")
    failing = False
    assert ask(answerer, inputs=GOOD, id="p1")["prediction"] == 1320
    assert len(world.logged) == 1


def test_a_model_that_raises_on_a_null_refuses_the_row_and_says_which_feature() -> None:
    def predict(columns: Array) -> Array:
        if np.isnan(columns).any():
            raise ValueError("Input X contains NaN.\nmore")
        return columns[:, 0]

    world, answerer = one_version(Calling(predict))
    with pytest.raises(ModelRefused) as caught:
        ask(answerer, inputs={**GOOD, "pickup_zone": 5000})
    assert "ValueError: Input X contains NaN." in caught.value.what
    assert caught.value.where == "trips_1h"
    with pytest.raises(ModelRefused) as caught:
        ask(answerer, inputs=[GOOD, {**GOOD, "pickup_zone": 5000}])
    assert caught.value.where == "inputs[1]"
    assert world.logged == []


@pytest.mark.parametrize("given", [np.array([np.nan]), np.array([[[1.0]]]), np.array([])])
def test_a_model_that_answers_nonsense_on_good_input_has_failed(given: Array) -> None:
    world, answerer = one_version(Calling(lambda columns: given if columns.any() else columns[:, 0]))
    with pytest.raises(ModelFailed):
        ask(answerer, inputs=GOOD)
    assert world.logged == []


def test_a_model_with_several_outputs_answers_a_list() -> None:
    _, answerer = one_version(Calling(lambda columns: np.column_stack([columns[:, 0], columns[:, 1]])))
    assert ask(answerer, inputs=GOOD)["prediction"] == [1320, 2.5]


def test_no_answer_leaves_when_the_log_cannot_be_written() -> None:
    world, _ = one_version()

    def full(rows: Sequence[PredictionRow]) -> None:
        raise OSError(28, "No space left on device")

    answerer = Answerer([Deployment("eta", "eta")], routes=world.table, open_version=world.open, log=full, clock=lambda: NOW)
    answerer.refresh()
    with pytest.raises(Unavailable, match="No space left"):
        ask(answerer, inputs=GOOD)


def test_unknown_deployments_and_those_without_a_version_are_told_apart() -> None:
    answerer = World().answerer()
    with pytest.raises(NotFound, match="no deployment") as caught:
        answerer.predict("ets", b"{}")
    assert caught.value.fix == "did you mean eta?"
    with pytest.raises(Unavailable):
        answerer.predict("eta", b"{}")
    assert not answerer.ready()


def test_the_split_is_sticky_by_key_near_its_weights_and_grows_without_reshuffling() -> None:
    world = World()
    world.add(1)
    world.add(2)
    answerer = world.answerer()

    def versions(weight: int) -> list[object]:
        world.table.set("eta", Arm("eta", 1, 10_000 - weight), Arm("eta", 2, weight, "challenger"))
        answerer.refresh()
        return [one["version"] for one in many(answerer, inputs=[{**GOOD, "pickup_zone": zone} for zone in range(4000)])]

    small, large = versions(1000), versions(3000)
    assert 300 < small.count(2) < 500
    assert 1050 < large.count(2) < 1350
    assert all(later == 2 for now, later in zip(small, large, strict=True) if now == 2)
    assert versions(3000) == large
    assert world.opened == [("eta", 1), ("eta", 2)]


def test_a_key_in_the_body_or_the_header_decides_the_arm() -> None:
    world = World()
    world.add(1)
    world.add(2)
    world.table.set("eta", Arm("eta", 1, 5000), Arm("eta", 2, 5000, "challenger"))
    answerer = world.answerer()
    by_body = [ask(answerer, inputs=GOOD, key=f"user{n}")["version"] for n in range(200)]
    body = json.dumps({"inputs": GOOD}).encode()
    by_header = [json.loads(answerer.predict("eta", body, {"x-tidewheel-key": f"user{n}"}))["version"] for n in range(200)]
    assert by_body == by_header
    assert 60 < by_body.count(1) < 140


def test_a_deployment_may_split_by_another_input_and_refuses_one_that_is_not_there() -> None:
    world, _ = one_version()
    answerer = world.answerer(Deployment("eta", "eta", split_by=("trip_distance",)))
    assert answerer.find("eta").split_by == ("trip_distance",)
    answerer = world.answerer(Deployment("eta", "eta", split_by=("nope",)))
    assert isinstance(answerer.trouble("eta"), Incompatible)


def test_a_shadow_is_logged_and_never_answered() -> None:
    world = World()
    world.add(1)
    world.add(2)
    world.table.set("eta", Arm("eta", 1), Arm("eta", 2, 10_000, "shadow"))
    answerer = world.answerer()
    assert ask(answerer, inputs=GOOD, id="p1")["version"] == 1
    answerer.close()
    assert [(row.prediction_id, row.version, row.arm) for row in world.logged] == [
        ("p1", 1, "champion"),
        ("p1~eta:2", 2, "shadow"),
    ]


def test_a_version_that_cannot_be_loaded_leaves_the_old_one_answering_and_is_told() -> None:
    world, answerer = one_version()

    def broken(columns: Array) -> Array:
        raise OSError("libgomp is missing")

    world.add(2, Calling(broken))
    for version, told in ((2, "libgomp"), (3, "no version")):
        world.table.set("eta", Arm("eta", version))
        answerer.refresh()
        assert ask(answerer, inputs=GOOD)["version"] == 1
        trouble = answerer.trouble("eta")
        assert trouble is not None
        assert told in trouble.what
    world.add(4)
    world.table.set("eta", Arm("eta", 4))
    answerer.refresh()
    assert ask(answerer, inputs=GOOD)["version"] == 4
    assert answerer.trouble("eta") is None


def test_swapping_while_threads_ask_drops_nothing_and_every_answer_is_logged() -> None:
    world = World()
    for version in range(1, 31):
        world.add(version)
    world.table.set("eta", Arm("eta", 1))
    answerer = world.answerer()
    stop, failures, answers = threading.Event(), list[Exception](), list[dict[str, object]]()

    def hammer() -> None:
        try:
            while not stop.is_set():
                answers.append(ask(answerer, inputs=GOOD))
        except Exception as error:  # noqa: BLE001 - whatever it is, the test's own thread reports it
            failures.append(error)

    threads = [threading.Thread(target=hammer) for _ in range(4)]
    for thread in threads:
        thread.start()
    for version in range(2, 31):
        world.table.set("eta", Arm("eta", version))
        answerer.refresh()
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert {str(one["id"]) for one in answers} == {row.prediction_id for row in world.logged}
    for one in answers:  # an answer is one version's, whole
        assert one["prediction"] == pytest.approx(1325 + float(str(one["version"])) / 1000, abs=1e-9)
