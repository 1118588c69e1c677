"""Several consumers of one group at once: killed, joined by others, and every event counts once."""

from __future__ import annotations

import random
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest
from tests.journeys.acting import Project
from tests.project.stream_shop import USERS, check_answers, make_project, materialize, order
from tests.streams import Topic, kafka_topic, nats_topic, redis_topic

from tidewheel.project.consume import quarantine
from tidewheel.project.open import open_workspace

pytestmark = pytest.mark.slow

TOPICS: dict[str, Callable[[], AbstractContextManager[Topic]]] = {
    "redis": redis_topic,
    "nats": nats_topic,
    "kafka of four partitions": partial(kafka_topic, 4),
}
EVENTS = 1_400


@pytest.fixture(
    params=["redis", *(pytest.param(name, marks=pytest.mark.nightly) for name in ("nats", "kafka of four partitions"))]
)
def topic(request: pytest.FixtureRequest) -> Iterator[Topic]:
    opened: AbstractContextManager[Topic] = TOPICS[request.param]()
    with opened as made:
        yield made


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Consumers:
    """Processes of `tidewheel consume`, of which some are killed."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._running: list[tuple[subprocess.Popen[str], int]] = []

    def start(self) -> None:
        port = free_port()
        process = self._project.start("consume", "orders", "--metrics-port", str(port))
        assert process.stderr is not None
        assert "consuming orders" in process.stderr.readline()
        self._running.append((process, port))

    def kill(self, number: int) -> None:
        self._end(self._running.pop(number)[0], kill=True)

    def stop(self) -> None:
        while self._running:
            self._end(self._running.pop()[0], kill=False)

    def _end(self, process: subprocess.Popen[str], *, kill: bool) -> None:
        (process.kill if kill else process.terminate)()
        process.communicate(timeout=60)

    def metric(self, name: str) -> float:
        """Sum over the consumers that run."""
        return sum(_read(port, name) for _, port in self._running)


def _read(port: int, name: str) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return sum(
        float(line.rpartition(" ")[2]) for line in lines if line.startswith(f'tidewheel_stream_{name}{{source="orders"}}')
    )


def wait_for(what: Callable[[], bool], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "nothing came"
        time.sleep(0.05)


def test_a_group_that_loses_and_gains_consumers_takes_every_event_once(tmp_path: Path, topic: Topic) -> None:
    project = make_project(tmp_path, topic.consumer_url())
    materialize(project)
    chance = random.Random(3)
    numbers = [*range(EVENTS), *chance.sample(range(EVENTS), 200)]
    bodies = [order(number) for number in numbers]
    consumers = Consumers(project)
    try:
        for _ in range(2):
            consumers.start()
        topic.publish(bodies[: EVENTS // 2])
        wait_for(lambda: consumers.metric("events_total") > 0)
        consumers.kill(chance.randrange(2))
        consumers.start()  # joins while what the dead one held is still its own
        topic.publish([*bodies[EVENTS // 2 :], b"poison"])
        seen = consumers.metric("events_total")
        wait_for(lambda: consumers.metric("events_total") > seen)
        consumers.kill(0)
        wait_for(lambda: consumers.metric("up") == 1 and consumers.metric("lag") == 0)
    finally:
        consumers.stop()
    assert project.json("consume", "orders", "--once")["orders"]["lag"] == 0
    with open_workspace(project.root) as workspace:
        held = quarantine(workspace, "orders").list()
    assert [(one.code, one.body) for one in held] == [("NotJson", b"poison")]
    expected = [[len(range(uid, EVENTS, USERS)), sum(range(uid, EVENTS, USERS))] for uid in range(USERS)]
    check_answers(project, expected)
