"""Webhooks, against a real HTTP server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tidewheel.clock import HOUR, SECOND, WEEK, Micros
from tidewheel.database import Database
from tidewheel.monitors import Check, Monitor, Monitors, WindowResult, monitor
from tidewheel.monitors.deliver import ATTEMPTS
from tidewheel.monitors.raise_alerts import record_window


class Receiver(HTTPServer):
    """Answers with the statuses it is told, then 204; keeps what it was sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Hook)
        self.statuses: list[int] = []
        self.received: list[tuple[str, dict[str, object]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook"


class Hook(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status = self.server.statuses.pop(0) if self.server.statuses else 204
        if status == 204:
            self.server.received.append((self.headers["Idempotency-Key"], body))
        self.send_response(status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def breach(database: Database, watch: Monitor, start: int, status: str = "breach") -> None:
    checks = (Check("f.pace", "psi", 0.5, 0.1, status == "breach"),)
    found = WindowResult("eta", "drift", 1, Micros(start), Micros(start + WEEK), 500, status, checks)  # type: ignore[arg-type]  # a status
    with database.write() as connection:
        record_window(connection, watch, found, now=Micros(start))


class Hand:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> Micros:
        return Micros(self.now)


def test_a_message_is_tried_until_it_is_taken_with_growing_pauses_and_sent_once(database: Database, receiver: Receiver) -> None:
    receiver.statuses = [500, 503]
    watch, clock = monitor("eta", webhook=receiver.url), Hand()
    monitors = Monitors(database, clock)
    breach(database, watch, 0)
    assert monitors.deliver() == 0
    assert monitors.deliver() == 0  # not due: a second has to pass
    [(_, error)] = monitors.undelivered()
    assert error is not None and "500" in error
    clock.now += SECOND
    assert monitors.deliver() == 0
    clock.now += SECOND
    assert monitors.deliver() == 0  # now it has to be two
    clock.now += SECOND
    assert monitors.deliver() == 1
    clock.now += HOUR
    assert monitors.deliver() == 0
    [(key, body)] = receiver.received
    assert body["event"] == "opened"
    assert key.endswith("-opened")
    assert body["text"] == "drift alert of eta (open) since the window 1970-01-01 to 1970-01-08: f.pace psi 0.5 over 0.1"
    assert monitors.undelivered() == []


def test_opened_and_closed_are_told_once_each_and_in_this_order(database: Database, receiver: Receiver) -> None:
    receiver.statuses = [500]
    watch, clock = monitor("eta", webhook=receiver.url), Hand()
    monitors = Monitors(database, clock)
    for number, status in enumerate(["breach", "breach", "ok", "ok"]):
        breach(database, watch, number * WEEK, status)
    clock.now = 10 * WEEK
    assert monitors.deliver() == 0  # opened failed, and closed waits for it
    clock.now += HOUR
    assert monitors.deliver() == 2
    assert [body["event"] for _, body in receiver.received] == ["opened", "closed"]


def test_a_receiver_that_is_not_there_is_given_up_in_the_end_and_the_message_kept(
    database: Database, receiver: Receiver
) -> None:
    clock = Hand()
    watch = monitor("eta", webhook="http://127.0.0.1:9/hook")
    monitors = Monitors(database, clock)
    breach(database, watch, 0)
    for _ in range(ATTEMPTS + 5):
        assert monitors.deliver() == 0
        clock.now += 2 * HOUR
    [(_, error)] = monitors.undelivered()
    assert error is not None and "refused" in error.lower()


def test_two_that_deliver_at_once_send_a_message_once(database: Database, receiver: Receiver) -> None:
    watch, clock = monitor("eta", webhook=receiver.url), Hand()
    breach(database, watch, 0)
    sent = []
    threads = [threading.Thread(target=lambda: sent.append(Monitors(database, clock).deliver())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(sent) == 1
    assert len(receiver.received) == 1


def test_without_a_webhook_nothing_is_queued(database: Database) -> None:
    breach(database, monitor("eta"), 0)
    assert Monitors(database, Hand()).undelivered() == []
