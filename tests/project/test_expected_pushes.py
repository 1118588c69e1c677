"""What is expected of rows, where they come by HTTP and by a stream: refused or put aside, told, and taken once mended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.journeys.acting import Project, Server
from tests.project.stream_shop import AT, USERS, check_answers, make_project, materialize
from tests.streams import Topic, redis_topic

from tidewheel.clock import format_instant

pytestmark = pytest.mark.slow

RULES = """expect=[
    tw.expect("x", between=(0, 100), otherwise="quarantine"),
    tw.expect("uid", null=False),
    tw.expect("x <> 13"),
]"""


@pytest.fixture
def topic() -> Iterator[Topic]:
    with redis_topic() as made:
        yield made


@pytest.fixture
def project(tmp_path: Path, topic: Topic) -> Project:
    made = make_project(tmp_path, topic.consumer_url())
    made.edit("shop.py", 'event_id="id")', f'event_id="id", {RULES})')
    materialize(made)
    return made


def row(name: str, uid: int | None, x: int) -> dict[str, object]:
    return {"id": name, "uid": uid, "ts": format_instant(AT - 3_600_000_000), "x": x}


def test_a_push_over_http_tells_which_rows_and_why(project: Project) -> None:
    process = project.start("serve", "--port", "0", "--json")
    assert process.stdout is not None
    server = Server(process, json.loads(process.stdout.readline())["url"])
    try:
        pushed = [row("a", 1, 5), row("b", 1, -5), row("c", 2, 7)]
        status, told = server.post("/push/orders", {"rows": pushed})
        assert (status, told["accepted"], told["quarantined"]) == (200, 3, 1)
        assert told["aside"] == [{"row": 1, "rules": ["x is between 0 and 100"]}]
        status, told = server.post("/push/orders", {"rows": [row("d", 1, 5), row("e", None, 5), row("f", 1, 13)]})
        assert (status, told["code"], told["field"]) == (422, "ExpectationFailed", "rows[1]")
        assert "row 1 fails 'uid is not null'; row 2 fails 'x <> 13'" in told["error"]
        asked = {"rows": [{"uid": 1}, {"uid": 2}], "at": format_instant(AT)}
        assert server.post("/features/lately", asked)[1]["values"] == [[1, 5], [1, 7]]
    finally:
        server.stop()
    (held,) = project.json("quarantine", "orders", "--rows")
    assert (held["rules"], held["row"]["id"], held["row"]["x"]) == (["x is between 0 and 100"], "b", -5)
    assert "x is between 0 and 100" in project.run("quarantine", "--rows")


def test_events_of_a_stream_are_put_aside_or_refused_and_come_back(project: Project, topic: Topic) -> None:
    events = [row("a", 1, 5), row("b", 1, -5), row("c", None, 7), row("d", 2, 13), row("e", 2, 1)]
    topic.publish([json.dumps(event).encode() for event in events])
    assert project.json("consume", "--once")["orders"] == {"taken": 3, "quarantined": 2, "lag": 0}
    held = project.json("quarantine")
    assert [one["code"] for one in held] == ["ExpectationFailed"] * 2
    assert "row 0 fails 'uid is not null'" in held[0]["error"]
    assert [one["row"]["id"] for one in project.json("quarantine", "--rows")] == ["b"]
    project.edit("shop.py", "(0, 100)", "(-10, 100)")
    project.edit("shop.py", "x <> 13", "x <> 14")
    materialize(project)
    again = project.json("quarantine", "--push")["orders"]
    assert again == {"taken": 1, "dropped": 0, "refused": 1}
    assert project.json("quarantine", "--rows") == []
    check_answers(project, [[0, 0], [2, 0], [2, 14], *([[0, 0]] * (USERS - 3))])
