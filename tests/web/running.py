"""A server of :mod:`tests.web.serving_process` in its own process, and the routes that it reads."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tidewheel.clock import system_clock
from tidewheel.database import Database
from tidewheel.predictions import PredictionLog
from tidewheel.serving.arm import Arm
from tidewheel.serving.route import Routes


@dataclass
class Running:
    """A server process, and the routes that it reads."""

    process: subprocess.Popen[str]
    port: int
    folder: Path
    routes: Routes

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def call(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, object]]:
        connection = self.connect()
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def logged(self) -> list[str]:
        log = PredictionLog(self.folder / "predictions")
        try:
            return [str(value) for value in log.read(columns=["prediction_id"])["prediction_id"].to_pylist()]
        finally:
            log.close()


def start(folder: Path) -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.web.serving_process", str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    told = json.loads(process.stdout.readline())
    assert told["event"] == "listening"
    assert told["deployments"] == ["eta"]
    return process, int(told["port"])


@contextmanager
def server(folder: Path) -> Iterator[Running]:
    database = Database.open(f"sqlite:///{folder / 'tidewheel.db'}")
    routes = Routes(database, system_clock)
    routes.set("eta", [Arm("eta", 1)], expected_revision=0, actor="ada", reason="first")
    process, port = start(folder)
    made = Running(process, port, folder, routes)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.wait()
        if made.process.stdout is not None:
            made.process.stdout.close()
        database.close()
