"""Events of lineage at a real HTTP receiver, which may also be slow or gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

FILES = {
    "tidewheel.toml": 'project = "shop"\n',
    "rides.csv": "uid,at,km\n1,2026-01-01T00:00:00Z,2.5\n2,2026-01-02T00:00:00Z,3.5\n",
    "shop.py": """
import tidewheel as tw

rides = tw.source("rides", "rides.csv", time="at")
rider = tw.entity("rider", uid=int)


@tw.features(rides, by=rider)
class Habits:
    last_km = tw.lookup("km")
    rides_7d = tw.count("7d")


habits = tw.service("habits", tw.use(Habits))


@tw.step
def read(name: str) -> int:
    return len(open(name).read())


@tw.step(reads=[])
def check(size: int) -> int:
    if size > 10_000:
        raise ValueError("too large")
    return size


@tw.pipeline
def measure(add: int = 0) -> int:
    return check(read("rides.csv") + add)
""",
}


class Receiver(ThreadingHTTPServer):
    """Keeps what is posted to it."""

    daemon_threads = True
    seconds = 0.0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Posted)
        self.events: list[dict[str, Any]] = []
        self.keys: set[str | None] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Posted(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, Receiver)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(server.seconds)
        assert self.path == "/api/v1/lineage"
        server.keys.add(self.headers["Authorization"])
        server.events.append(json.loads(body))
        self.send_response(201)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def command(project: Path, *arguments: str, code: int = 0, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tidewheel", *arguments],
        cwd=project,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stderr


def named(events: list[dict[str, Any]], job: str) -> list[dict[str, Any]]:
    return [event for event in events if event["job"]["name"] == job]


def test_builds_and_pipelines_are_told_with_columns(project: Path, receiver: Receiver) -> None:
    with (project / "tidewheel.toml").open("a") as file:
        file.write(f'[lineage]\nurl = "{receiver.url}"\nnamespace = "team"\napi_key = "${{LINEAGE_KEY}}"\n')
    told = command(project, "apply", "--yes", LINEAGE_KEY="k3y")
    assert "not delivered" not in told
    assert receiver.keys == {"Bearer k3y"}
    (start, complete) = named(receiver.events, "view:Habits")
    (above, _) = named(receiver.events, "apply:dev")
    assert (start["eventType"], complete["eventType"]) == ("START", "COMPLETE")
    assert start["run"]["runId"] == complete["run"]["runId"]
    assert complete["run"]["facets"]["parent"]["run"]["runId"] == above["run"]["runId"]
    assert complete["job"]["namespace"] == "team"
    (taken,) = complete["inputs"]
    assert taken["name"] == "source:rides"
    assert ("uid", "int64") in [(one["name"], one["type"]) for one in taken["facets"]["schema"]["fields"]]
    (made,) = complete["outputs"]
    lineage = made["facets"]["columnLineage"]["fields"]
    assert {name: [one["field"] for one in each["inputFields"]] for name, each in lineage.items()} == {
        "uid": ["uid"],
        "last_km": ["km"],
    }
    receiver.events.clear()
    command(project, "run", "measure", LINEAGE_KEY="k3y")
    command(project, "run", "measure", "--param", "add=20000", code=1, LINEAGE_KEY="k3y")
    events = named(receiver.events, "pipeline:measure")
    assert [event["eventType"] for event in events] == ["START", "COMPLETE", "START", "FAIL"]
    assert [one["name"] for one in events[1]["inputs"]] == [str(project / "rides.csv")]
    assert [one["name"] for one in events[1]["outputs"]] == ["step:check", "step:read"]
    assert "too large" in events[3]["run"]["facets"]["errorMessage"]["message"]


def test_a_receiver_that_is_gone_or_slow_costs_a_line_and_no_run(project: Path, receiver: Receiver) -> None:
    gone = command(project, "run", "measure", OPENLINEAGE_URL="http://127.0.0.1:9")
    assert "lineage: 2 of 2 events were not delivered" in gone
    receiver.seconds = 30.0
    slow = command(project, "run", "measure", OPENLINEAGE_URL=receiver.url, OPENLINEAGE_NAMESPACE="x")
    assert not receiver.events, "the run has ended before the receiver has answered anything"
    assert "lineage: 2 of 2 events were not delivered" in slow
