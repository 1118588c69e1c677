"""What a user types around streams: dev takes the events, lag is told, what was refused is shown, mended and pushed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.journeys.acting import Server
from tests.project.stream_shop import AT, USERS, check_answers, make_project, materialize, order
from tests.streams import Topic, redis_topic

from tidewheel.clock import format_instant
from tidewheel.project.consume import quarantine
from tidewheel.project.open import open_workspace

pytestmark = pytest.mark.slow


@pytest.fixture
def topic() -> Iterator[Topic]:
    with redis_topic() as made:
        yield made


def test_dev_takes_the_events_of_the_projects_streams(tmp_path: Path, topic: Topic) -> None:
    project = make_project(tmp_path, topic.consumer_url())
    topic.publish([order(0), b"poison", order(7)])
    process = project.start("dev", "--port", "0", "--json")
    assert process.stdout is not None
    server = Server(process, json.loads(process.stdout.readline())["url"])
    try:
        asked = {"rows": [{"uid": 0}], "at": format_instant(AT)}
        until = time.monotonic() + 60
        while True:
            status, answer = server.post("/features/lately", asked)
            if status == 200 and answer["values"] == [[2, 7]]:
                break
            assert time.monotonic() < until, answer
            time.sleep(0.1)
        told = server.get("/metrics")
        assert 'tidewheel_stream_events_total{source="orders"} 2.0' in told
        assert 'tidewheel_stream_quarantined_total{source="orders"} 1.0' in told
        assert 'tidewheel_stream_up{source="orders"} 1.0' in told
    finally:
        server.stop()


def test_what_was_refused_is_shown_mended_and_pushed(tmp_path: Path, topic: Topic) -> None:
    project = make_project(tmp_path, topic.consumer_url())
    materialize(project)
    wrong = order(7).replace(b'"x": 7', b'"x": "seven"')
    topic.publish([order(0), b"poison", wrong, order(14)])
    assert project.json("consume", "--once")["orders"] == {"taken": 2, "quarantined": 2, "lag": 0}
    held = project.json("quarantine")
    assert [(one["code"], one["body"]) for one in held] == [("NotJson", "poison"), ("TypeMismatch", wrong.decode())]
    mended = [held[0] | {"body": None}, held[1] | {"body": order(7).decode()}]
    (project.root / "mended.json").write_text(json.dumps(mended))
    assert project.json("quarantine", "--mended", "mended.json")["orders"] == {"taken": 1, "dropped": 1, "refused": 0}
    with open_workspace(project.root) as workspace:
        assert quarantine(workspace, "orders").list() == ()
    check_answers(project, [[3, 21], *([[0, 0]] * (USERS - 1))])
