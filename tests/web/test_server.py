"""The real server, in its own process, over real sockets."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import signal
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.serving.models import GOOD
from tests.web.running import Running, server, start

from tidewheel.serving.arm import Arm

pytestmark = pytest.mark.slow  # each starts a real process

PREDICT = "/predict/eta"
BODY = json.dumps({"inputs": GOOD}).encode()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A server of the test's own."""
    with server(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for the tests that leave it as it was."""
    with server(tmp_path_factory.mktemp("shared")) as made:
        yield made


def hammer(running: Running, stop: threading.Event, answers: list[dict[str, object]], problems: list[str]) -> None:
    """Ask on one connection that stays open, until told to stop."""
    connection = running.connect()
    while not stop.is_set():
        try:
            connection.request("POST", PREDICT, BODY)
            answer = connection.getresponse()
            told = json.loads(answer.read())
            if answer.status == 200:
                answers.append(told)
            else:
                problems.append(f"{answer.status} {told}")
        except (OSError, http.client.HTTPException, ValueError) as error:
            problems.append(repr(error))
            break
    connection.close()


def test_a_version_is_swapped_under_fire_without_a_dropped_request(running: Running) -> None:
    stop, answers, problems = threading.Event(), list[dict[str, object]](), list[str]()
    threads = [threading.Thread(target=hammer, args=(running, stop, answers, problems)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for version in range(2, 12):
        running.routes.set("eta", [Arm("eta", version)], expected_revision=version - 1, actor="ada", reason="next")
        assert running.call("POST", "/api/refresh")[0] == 200
        assert running.call("POST", PREDICT, BODY)[1]["version"] == version
    stop.set()
    for thread in threads:
        thread.join()
    assert problems == []
    assert len({one["version"] for one in answers}) > 5
    for one in answers:
        assert one["prediction"] == pytest.approx(1325 + int(str(one["version"])) / 1000, abs=1e-9)
    logged = running.logged()
    assert len(logged) == len(set(logged))
    assert {one["id"] for one in answers} <= set(logged)
    assert len(logged) == len(answers) + 10


def test_a_route_that_another_process_sets_is_noticed(running: Running) -> None:
    running.routes.set("eta", [Arm("eta", 7)], expected_revision=1, actor="ada", reason="next")
    give_up = time.monotonic() + 60
    while running.call("POST", PREDICT, BODY)[1]["version"] != 7:
        assert time.monotonic() < give_up
        time.sleep(0.05)


def test_sigterm_drains_answers_what_was_asked_and_exits_with_0(running: Running) -> None:
    stop, answers, problems = threading.Event(), list[dict[str, object]](), list[str]()
    threads = [threading.Thread(target=hammer, args=(running, stop, answers, problems)) for _ in range(4)]
    for thread in threads:
        thread.start()
    while len(answers) < 50:
        time.sleep(0.01)
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(timeout=60) == 0
    stop.set()
    for thread in threads:
        thread.join()
    for problem in problems:  # an idle connection is closed; a request that was begun is answered
        assert "refused" in problem or "RemoteDisconnected" in problem or "reset" in problem.lower() or "Broken" in problem, (
            problem
        )
    logged = running.logged()
    assert {one["id"] for one in answers} <= set(logged)
    assert len(logged) - len(answers) <= 0


def test_after_kill_9_every_answer_is_in_the_log_once(running: Running) -> None:
    stop, answers, problems = threading.Event(), list[dict[str, object]](), list[str]()
    threads = [threading.Thread(target=hammer, args=(running, stop, answers, problems)) for _ in range(4)]
    for thread in threads:
        thread.start()
    while len(answers) < 200:
        time.sleep(0.01)
    running.process.kill()
    running.process.wait()
    stop.set()
    for thread in threads:
        thread.join()
    logged = running.logged()
    assert len(logged) == len(set(logged))
    assert {one["id"] for one in answers} <= set(logged)
    assert len(logged) - len(answers) <= 4  # at most what was under way: logged, not yet answered

    running.routes.set("eta", [Arm("eta", 2)], expected_revision=1, actor="ada", reason="next")
    process, running.port = start(running.folder)
    assert running.process.stdout is not None
    running.process.stdout.close()
    running.process = process
    assert running.call("POST", PREDICT, BODY)[0] == 200
    assert len(running.logged()) == len(logged) + 1
    again = json.dumps({"inputs": GOOD, "id": answers[0]["id"]}).encode()
    assert running.call("POST", PREDICT, again) == (200, answers[0])  # a retry after the crash gets what was logged
    other = json.dumps({"inputs": {**GOOD, "pickup_zone": 1}, "id": answers[0]["id"]}).encode()
    assert running.call("POST", PREDICT, other)[1]["code"] == "DuplicateId"
    assert len(running.logged()) == len(logged) + 1


def test_bodies_above_the_limit_are_413_whatever_way_they_come(shared: Running) -> None:
    before = len(shared.logged())
    big = b'{"inputs": "' + b"x" * 10_500_000 + b'"}'
    packed = {"content-encoding": "gzip"}
    for body, headers in (
        (big, {}),
        (gzip.compress(big), packed),
        (gzip.compress(b"0" * 300_000_000, 9), packed),
        (zlib.compress(big), {"content-encoding": "deflate"}),
    ):
        for path in (PREDICT, "/push/trips", "/v2/models/eta/infer"):
            status, told = shared.call("POST", path, body, headers)
            assert status == 413, told
    connection = shared.connect()  # no content-length: chunks
    connection.request("POST", PREDICT, iter([big[:5_000_000], big[5_000_000:]]), encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()
    assert shared.call("POST", PREDICT, BODY)[0] == 200
    assert len(shared.logged()) == before + 1


def test_a_compressed_body_is_read_and_a_broken_or_unknown_one_refused(shared: Running) -> None:
    assert shared.call("POST", PREDICT, gzip.compress(BODY), {"content-encoding": "gzip"})[0] == 200
    assert shared.call("POST", PREDICT, zlib.compress(BODY), {"content-encoding": "deflate"})[0] == 200
    for body, encoding in ((BODY, "gzip"), (gzip.compress(BODY)[:-9], "gzip"), (BODY, "br")):
        assert shared.call("POST", PREDICT, body, {"content-encoding": encoding})[0] == 422


def exchange(port: int, sent: bytes) -> bytes:
    """Write raw bytes; read until the server closes or nothing comes for a second."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as raw:
        raw.sendall(sent)
        raw.settimeout(1.0)
        got = b""
        try:
            while chunk := raw.recv(65536):
                got += chunk
        except TimeoutError:
            pass
        return got


def test_a_gigantic_announced_body_is_refused_before_it_is_read(shared: Running) -> None:
    got = exchange(shared.port, b"POST /predict/eta HTTP/1.1\r\nhost: x\r\ncontent-length: 5000000000\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 413 ")
    assert b"BodyTooLarge" in got


def test_what_is_no_http_is_not_a_500_and_the_server_lives_on(shared: Running) -> None:
    for sent in (
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET\r\n\r\n",
        b"POST /predict/eta HTTP/1.1\r\ncontent-length: -5\r\n\r\n",
        b"POST /predict/eta HTTP/1.1\r\nhost: x\r\ncontent-length: 1e3\r\n\r\n",
        b"POST /predict/eta HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n",
        b"POST /predict/%ff%00eta HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}",
        b"POST /predict/eta HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\r\n{",
    ):
        assert b" 500 " not in exchange(shared.port, sent).partition(b"\r\n")[0]
    assert shared.call("POST", PREDICT, BODY)[0] == 200


def test_expect_100_continue_and_25_requests_on_one_connection(shared: Running) -> None:
    head = b"POST /predict/eta HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(BODY)
    got = exchange(shared.port, head + BODY)
    assert got.startswith(b"HTTP/1.1 100 ")
    assert b"HTTP/1.1 200 " in got
    one = b"POST /predict/eta HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(BODY)
    assert exchange(shared.port, (one + BODY) * 25).count(b"HTTP/1.1 200 ") == 25


def test_the_log_of_a_second_server_on_the_same_folder_does_not_disturb_the_first(running: Running) -> None:
    process, port = start(running.folder)
    try:
        second = Running(process, port, running.folder, running.routes)
        assert second.call("POST", PREDICT, BODY)[0] == 200
        assert running.call("POST", PREDICT, BODY)[0] == 200
        assert len(running.logged()) == 2
    finally:
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(timeout=60) == 0
        if process.stdout is not None:
            process.stdout.close()
