"""A team's week: what one works at in dev is not what customers get from prod, until it is promoted; and back in a second."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from tests.journeys.acting import Project, Server, serve

pytestmark = pytest.mark.slow

NOON = "2026-03-01T12:00:00Z"
Answer = tuple[int, int, float, tuple[float, ...]]


def ask(server: Server) -> Answer:
    """What prod answers: both statuses, the version with its prediction, and the features."""
    inputs = {"shop_id": 3, "items": 2}
    status, told = server.post("/predict/amount", {"inputs": inputs, "at": NOON})
    read, features = server.post("/features/inputs", {"rows": [inputs], "at": NOON})
    assert (status, read) == (200, 200), (told, features)  # in a thread, it fails the test by pytest's own watch
    return status, told["version"], told["prediction"], tuple(features["values"][0])


@contextmanager
def asking(server: Server) -> Iterator[list[Answer]]:
    """Ask all the time."""
    stop, answers = threading.Event(), list[Answer]()

    def call() -> None:
        while not stop.is_set():
            answers.append(ask(server))
            stop.wait(0.1)  # a load that a busy machine bears

    caller = threading.Thread(target=call)
    caller.start()
    try:
        yield answers
    finally:
        stop.set()
        caller.join()


def wait_for(answers: list[Answer], holds: Callable[[Answer], bool]) -> Answer:
    """The first answer after now of which it holds; the pytest time limit is the end of it."""
    place = len(answers)
    for _ in range(6_000):
        if any(map(holds, answers[place:])):
            return next(filter(holds, answers[place:]))
        threading.Event().wait(0.01)
    raise AssertionError(f"never answered; last {answers[-1:]}")


def test_prod_serves_what_it_points_at_and_follows_a_promotion_and_a_rollback(fresh: Project) -> None:
    fresh.run("apply", "--yes")
    fresh.run("promote", "dev", "prod", "--yes", "--reason", "first")
    assert fresh.run("diff", "dev", "prod").strip() == "dev and prod point at the same recipes"
    server = serve(fresh, "--env", "prod")
    try:
        with asking(server) as answers:
            first = wait_for(answers, lambda one: one[1] == 1)
            fresh.edit("bakery/definitions.py", 'tw.count("1d")', 'tw.count("2d")')
            fresh.run("apply", "--yes", code=3)  # one day more or less is not worth a new version: the gate says so
            fresh.run("promote", "amount", "--version", "2", "--force", "--yes")
            differing = {entry["node"]: entry["state"] for entry in fresh.json("diff", "prod", "dev", code=2)}
            assert "view:ShopLately" in differing
            assert set(answers) == {first}, "what was applied to dev, and promoted there, is not in prod"
            planned = fresh.json("promote", "dev", "prod", "--dry-run")
            assert planned["answers"] == {"amount": "amount:2"}
            fresh.run("promote", "dev", "prod", "--yes", "--reason", "longer")
            second = wait_for(answers, lambda one: one[1] == 2 and one[3] != first[3])
            assert second[2] != first[2]
            fresh.run("diff", "dev", "prod")
            fresh.run("rollback", "prod", "--yes", "--reason", "too slow")
            assert wait_for(answers, lambda one: one == first), "the features are those of then, and so is the model"
        assert ask(server) == first
    finally:
        assert server.stop() == 0
    told = [(move["version"], move["actor"], move["reason"]) for move in fresh.json("admin", "history", "prod")]
    assert told == [(3, "tester", "too slow"), (2, "tester", "longer"), (1, "tester", "first")]
    assert fresh.json("plan", code=0)["changes"] == []
    nowhere = json.loads(fresh.run("rollback", "prod", "--yes", "--json", code=1))  # not forward again to what was rolled back
    assert nowhere["code"] == "NotFound"
    assert "no version 0" in nowhere["error"]
    fresh.run("rollback", "dev", "--yes")
    assert fresh.run("diff", "dev", "prod").strip() == "dev and prod point at the same recipes"
    assert "champion amount:1" in fresh.run("show"), "in dev the route went back with the pointers"
