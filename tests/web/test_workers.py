"""Several workers behind one port: one is killed while requests go on, all drain, and what they count adds up."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tests.web.feature_world import NOW, shop

pytestmark = pytest.mark.slow  # starts real processes

PATH = "/features/facts_only"
BODY = json.dumps({"rows": [{"uid": 1}], "at": NOW})


def ask(port: int, method: str = "POST", path: str = PATH, body: str = BODY) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        assert answer.status == 200
        return answer.read()
    finally:
        connection.close()


def children(pid: int) -> set[int]:
    return {int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def until(condition: object, what: str, seconds: float = 60) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def test_a_killed_worker_is_replaced_while_the_others_answer_and_metrics_add_up(tmp_path: Path) -> None:
    with shop(tmp_path):
        pass
    command = [sys.executable, "-m", "tidewheel", "serve", "--features", "--workers", "2", "--port", "0", "--json"]
    server = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    told = json.loads(server.stdout.readline())
    port, workers = told["port"], told["workers"]
    assert (len(workers), told["services"][0], set(workers)) == (2, "everything", children(server.pid))
    answered, failed, stop = [0], [0], threading.Event()
    held = threading.Lock()

    def load() -> None:
        while not stop.is_set():
            try:
                ask(port)
            except (OSError, http.client.HTTPException):
                with held:
                    failed[0] += 1
            else:
                with held:
                    answered[0] += 1

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: answered[0] > 20, "nothing is answered")
    os.kill(workers[0], signal.SIGKILL)
    before = answered[0]
    until(lambda: workers[0] not in children(server.pid) and len(children(server.pid)) == 2, "the dead are not replaced")
    until(lambda: answered[0] > before + 50, "the others do not answer")
    stop.set()
    for thread in threads:
        thread.join()
    assert failed[0] <= 4 * 2  # what the killed one had accepted or was about to
    counted = re.search(rb'tidewheel_feature_rows_total\{service="facts_only"\} ([0-9.]+)', ask(port, "GET", "/metrics", ""))
    assert counted is not None
    assert answered[0] <= float(counted[1]) <= answered[0] + failed[0]
    server.send_signal(signal.SIGTERM)
    assert server.wait(timeout=60) == 0
    server.stdout.close()


def test_workers_end_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    with shop(tmp_path):
        pass
    command = [sys.executable, "-m", "tidewheel", "serve", "--features", "--workers", "2", "--port", "0", "--json"]
    server = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    workers = json.loads(server.stdout.readline())["workers"]
    server.kill()
    server.wait()
    server.stdout.close()
    until(lambda: not any(alive(pid) for pid in workers), "a worker outlives its supervisor")


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
