"""A backend engineer's day: ask, push, label, be wrong, and be killed."""

from __future__ import annotations

import http.client
import json
import threading
import time

import pytest
from tests.journeys.acting import Project, Server, serve

pytestmark = pytest.mark.slow

INPUTS = {"shop_id": 3, "items": 2}
NOON = "2026-03-01T12:00:00Z"


def logged(project: Project) -> list[str]:
    from tidewheel.project.open import open_workspace

    with open_workspace(project.root) as ws:
        ids: list[str] = ws.prediction_log("amount").read(columns=["prediction_id"])["prediction_id"].to_pylist()
    return ids


def test_predict_push_label_and_check(bakery: Project, server: Server) -> None:
    status, first = server.post("/predict/amount", {"inputs": INPUTS, "id": "one", "at": NOON})
    assert (status, first["id"], first["version"]) == (200, "one", 1)
    order = {"order_id": "p1", "order_time": "2026-03-01T11:00:00Z", "paid_time": "2026-03-01T11:30:00Z", "shop_id": 3}
    status, told = server.post("/push/orders", {"rows": [order | {"items": 2, "amount": 999.0}]})
    assert (status, told["accepted"]) == (200, 1)
    status, second = server.post("/predict/amount", {"inputs": INPUTS, "id": "two", "at": NOON})
    assert status == 200
    assert second["prediction"] != first["prediction"]
    assert server.post("/labels/amount", {"labels": [{"id": "one", "value": 21.5}]})[0] == 200
    status, answer = server.post("/predict/amount", {"inputs": [INPUTS, {"shop_id": 4, "items": 1}], "ids": ["a", "b"]})
    assert (status, len(answer["predictions"])) == (200, 2)
    assert {"one", "two", "a", "b"} <= set(logged(bakery))
    # "one" was answered before an event that is now known arrived, with an event time before it: the one late value is listed.
    report = bakery.json("check", code=2)
    (parity,) = report["parities"]
    assert {m["prediction_id"] for m in parity["examples"]} == {"one"}


def test_garbage_is_answered_with_a_code_the_field_and_the_fix_and_never_logged(bakery: Project, server: Server) -> None:
    before = logged(bakery)
    garbage: list[tuple[str, object, int]] = [
        ("/predict/nope", {"inputs": INPUTS}, 404),
        ("/predict/amount", {"inputs": {"items": 2}}, 422),
        ("/predict/amount", {"inputs": {"shop_id": "three", "items": 2}}, 422),
        ("/predict/amount", b'{"inputs": {"shop_id": 3, "items": NaN}}', 422),
        ("/predict/amount", b'{"inputs": {"shop_id": 3, "items": 2}, "pad": "' + b"x" * 10_500_000 + b'"}', 413),
        ("/predict/amount", b"not json", 400),
        ("/predict/amount", b"\xff\xfe{}", 400),
        ("/predict/amount", b"[" * 30_000, 400),
        ("/predict/amount", {"inputs": INPUTS, "at": "yesterday"}, 422),
        ("/push/nope", {"rows": [{}]}, 404),
        ("/push/orders", {"rows": [{"order_id": "x"}]}, 422),
        ("/labels/amount", {"labels": [{"value": 3}]}, 422),
    ]
    for path, body, expected in garbage:
        status, told = server.post(path, body)
        assert status == expected, (path, str(body)[:80], status, told)
        assert {"code", "error", "fix"} <= set(told), told
    assert logged(bakery) == before


def test_kill_9_while_it_is_called_loses_no_answered_prediction(fresh: Project) -> None:
    fresh.run("apply", "--yes")
    server = serve(fresh)
    answered: list[str] = []
    stop = threading.Event()

    def call(name: str) -> None:
        number = 0
        while not stop.is_set():
            try:
                status, told = server.post("/predict/amount", {"inputs": INPUTS, "id": f"{name}-{number}"})
            except (OSError, http.client.HTTPException):  # killed before, or in the middle of, the answer: not answered
                return
            assert status == 200
            answered.append(str(told["id"]))
            number += 1

    callers = [threading.Thread(target=call, args=(name,)) for name in "abcd"]
    for caller in callers:
        caller.start()
    while len(answered) < 300:
        stop.wait(0.01)
    server.kill()
    stop.set()
    for caller in callers:
        caller.join()
    found = logged(fresh)
    assert set(answered) <= set(found)
    assert len(found) == len(set(found))
    again = serve(fresh)
    try:
        assert again.post("/predict/amount", {"inputs": INPUTS, "id": "after"})[0] == 200
    finally:
        again.kill()
    assert fresh.json("check")["clean"] is True


@pytest.mark.nightly
def test_a_rollback_is_followed_by_the_running_server_and_no_request_is_lost(fresh: Project) -> None:
    fresh.run("apply", "--yes")
    fresh.edit("bakery/definitions.py", "SimpleImputer()", 'SimpleImputer(strategy="median")')
    fresh.run("run", "model:amount", code=3)  # no better than the first, says the gate
    fresh.run("promote", "amount", "--version", "2", "--force", "--yes")
    server = serve(fresh)
    statuses: list[int] = []
    versions: list[int] = []
    stop = threading.Event()

    def call() -> None:
        while not stop.is_set():
            status, told = server.post("/predict/amount", {"inputs": INPUTS})
            statuses.append(status)
            versions.append(told["version"])
            stop.wait(0.01)  # a load that a busy machine bears: it is about the switch

    callers = [threading.Thread(target=call) for _ in range(3)]
    for caller in callers:
        caller.start()
    try:
        while not versions:
            stop.wait(0.01)
        fresh.run("rollback", "amount", "--yes")
        asked, deadline = len(versions), time.monotonic() + 60
        while versions[-1] == versions[0] and time.monotonic() < deadline:
            stop.wait(0.05)
    finally:
        stop.set()
        for caller in callers:
            caller.join()
        server.kill()
    assert set(statuses) == {200}
    assert (versions[0], versions[-1]) == (2, 1)
    assert len(versions) > asked


def test_health_metrics_and_the_status_page(server: Server) -> None:
    assert json.loads(server.get("/health/ready"))["ready"] is True
    assert "tidewheel" in server.get("/metrics")
    assert "amount" in server.get("/")
