"""kill -9 of `tidewheel consume` at any point: nothing is lost, nothing is doubled, poison is kept once."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from tests.journeys.acting import Project
from tests.project.stream_shop import USERS, check_answers, make_project, materialize, order
from tests.streams import Topic, kafka_topic, nats_topic, redis_topic

from tidewheel.project.consume import quarantine
from tidewheel.project.open import open_workspace

pytestmark = pytest.mark.slow

EVENTS = 1_500
TOPICS: dict[str, Callable[[], AbstractContextManager[Topic]]] = {
    "redis": redis_topic,
    "nats": nats_topic,
    "kafka": kafka_topic,
}


@pytest.fixture(params=["redis", *(pytest.param(name, marks=pytest.mark.nightly) for name in list(TOPICS)[1:])])
def topic(request: pytest.FixtureRequest) -> Iterator[Topic]:
    opened: AbstractContextManager[Topic] = TOPICS[request.param]()
    with opened as made:
        yield made


def kept_bytes(project: Project) -> int:
    return sum(file.stat().st_size for file in (project.root / ".tidewheel" / "pushes").glob("orders/*"))


def test_consumers_killed_again_and_again_lose_and_double_nothing(tmp_path: Path, topic: Topic) -> None:
    chance = random.Random(5)
    project = make_project(tmp_path, topic.consumer_url())
    materialize(project)
    numbers = list(range(EVENTS)) + chance.sample(range(EVENTS), 200)  # a producer that sends again
    bodies = [order(number) for number in numbers]
    for place in range(5):
        bodies.insert(chance.randrange(len(bodies)), b"poison %d" % place)
    for trial in range(2):
        topic.publish(bodies[trial::2])
        process = project.start("consume", "orders")
        assert process.stderr is not None
        assert process.stdout is not None
        process.stderr.readline()  # it has begun
        before, until = kept_bytes(project), time.monotonic() + 30
        while kept_bytes(project) == before and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(chance.uniform(0.0, 0.3))  # somewhere between the journal, the store and the commit of a batch
        process.kill()
        process.wait()
        process.stderr.close()
        process.stdout.close()
    told = project.json("consume", "orders", "--once")["orders"]
    assert told["lag"] == 0
    expected = [[len(range(uid, EVENTS, USERS)), sum(range(uid, EVENTS, USERS))] for uid in range(USERS)]
    with open_workspace(project.root) as workspace:
        held = quarantine(workspace, "orders").list()
        assert sorted((one.code, one.body) for one in held) == [("NotJson", b"poison %d" % place) for place in range(5)]
    check_answers(project, expected)
