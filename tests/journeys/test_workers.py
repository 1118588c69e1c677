"""Several workers answer for one deployment while one is killed and versions change: nothing is lost, doubled or dropped."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.journeys.acting import Project, Server

from tidewheel.project.open import open_workspace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # starts ten processes, each of which may have to wait for the others

WORKERS = 2
BODY = {"shop_id": 3, "items": 2}


def serve_workers(project: Project) -> tuple[Server, list[int]]:
    process = project.start("serve", "--workers", str(WORKERS), "--port", "0", "--json")
    assert process.stdout is not None
    told = json.loads(process.stdout.readline())
    return Server(process, told["url"]), told["workers"]


@dataclass
class Callers:
    """Ask again and again, each time on a connection of its own, so that every worker is met."""

    server: Server
    answers: list[tuple[str, int]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def ask(self, name: str) -> None:
        number = 0
        port = int(self.server.url.rpartition(":")[2])
        while not self.stop.is_set():
            number += 1
            time.sleep(0.03)  # the machine has other work
            sent = f"{name}-{number}"
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            try:
                connection.request("POST", "/predict/amount", json.dumps({"inputs": BODY, "id": sent}))
                answer = connection.getresponse()
                told = json.loads(answer.read())
            except (OSError, http.client.HTTPException):
                self.broken.append(sent)
            else:
                if answer.status == 200:
                    self.answers.append((told["id"], told["version"]))
                else:
                    self.refused.append(f"{answer.status} {told}")
            finally:
                connection.close()

    def start(self, count: int) -> list[threading.Thread]:
        threads = [threading.Thread(target=self.ask, args=(f"c{place}",)) for place in range(count)]
        for thread in threads:
            thread.start()
        return threads

    def latest(self) -> set[int]:
        return {version for _, version in self.answers[-60:]}

    def more(self, count: int = 60) -> None:
        goal = len(self.answers) + count
        until(lambda: len(self.answers) >= goal, "nothing is answered")

    def answered_by(self, version: int) -> bool:
        """Whether what is asked from now on is answered by one version."""
        self.more()
        return self.latest() == {version}


def until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def living(pid: int) -> set[int]:
    return {int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


@pytest.mark.nightly
def test_workers_are_killed_and_versions_change_under_fire(fresh: Project) -> None:
    fresh.run("apply", "--yes")
    fresh.edit("bakery/definitions.py", "LinearRegression()", "LinearRegression(positive=True)")
    fresh.run("apply", "--yes", code=3)  # a second version, which its gate does not let by itself
    server, workers = serve_workers(fresh)
    callers = Callers(server)
    threads = callers.start(4)
    try:
        callers.more(200)
        assert callers.latest() == {1}
        os.kill(workers[0], signal.SIGKILL)
        until(lambda: workers[0] not in living(server.process.pid), "the dead are kept")
        until(lambda: len(living(server.process.pid)) == WORKERS, "the dead are not replaced")
        killed = len(callers.broken)
        assert killed <= len(threads) * 2  # what the killed one had accepted, or was about to

        fresh.run("promote", "amount", "--force", "--yes")
        until(lambda: callers.answered_by(2), "a worker answers with the version of before")
        fresh.run("rollback", "amount", "--yes")
        until(lambda: callers.answered_by(1), "a worker answers with the version that was taken back")
    finally:
        callers.stop.set()
        for thread in threads:
            thread.join()
        metrics = server.get("/metrics")
        code = server.stop()
    assert (code, callers.refused) == (0, [])
    assert len(callers.broken) == killed, "a change of versions drops no request"

    with open_workspace(fresh.root) as workspace:
        read = workspace.prediction_log("amount").read(columns=["prediction_id", "version"])
    logged = dict(zip(read["prediction_id"].to_pylist(), read["version"].to_pylist(), strict=True))
    assert len(logged) == read.num_rows
    assert callers.answers == [(one, logged[one]) for one, _ in callers.answers]
    assert logged.keys() - {one for one, _ in callers.answers} <= set(callers.broken)

    counted = re.findall(r'^tidewheel_predictions_total\{.*version="(\d)".*\} ([0-9.]+)$', metrics, re.MULTILINE)
    answered = Counter(str(version) for _, version in callers.answers)
    for version, value in counted:
        assert answered[version] <= float(value) <= answered[version] + killed
    assert {version for version, _ in counted} == {"1", "2"}
