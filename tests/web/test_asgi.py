"""The adapter between sockets and requests: threads for what is slow, and refusal when too much waits."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Sequence

import pytest
from tests.serving.models import GOOD, Array, Calling
from tests.web.world import application

from tidewheel.web.asgi import Adapter, Message

BODY = json.dumps({"inputs": GOOD}).encode()


async def ask(
    adapter: Adapter, method: str = "POST", path: str = "/predict/eta", chunks: Sequence[bytes] = (BODY,)
) -> tuple[int, dict[bytes, bytes], bytes]:
    """One request through ASGI; no sockets."""
    left = list(chunks)
    sent: list[Message] = []

    async def receive() -> Message:
        if not left:
            return {"type": "http.disconnect"}
        chunk = left.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(left) or chunk == b"..."}

    async def send(message: Message) -> None:
        sent.append(message)

    await adapter({"type": "http", "method": method, "path": path, "headers": []}, receive, send)
    if not sent:
        return 0, {}, b""
    headers, body = sent[0]["headers"], sent[1]["body"]
    assert isinstance(headers, list)
    assert isinstance(body, bytes)
    return int(str(sent[0]["status"])), dict(headers), body


def held(gate: threading.Event) -> Calling:
    """A model whose first answer takes 50 ms, and whose later ones wait for the gate."""
    asked: list[Array] = []

    def predict(columns: Array) -> Array:
        if columns.any():
            asked.append(columns)
            if len(asked) == 1:
                time.sleep(0.05)
            else:
                gate.wait(60)
        given: Array = columns[:, 0]
        return given

    return Calling(predict)


def test_a_quick_model_is_asked_on_the_loop_and_a_slow_one_in_threads() -> None:
    used: list[str] = []

    def predict(columns: Array) -> Array:
        used.append(threading.current_thread().name)
        if columns.any() and slow:
            time.sleep(0.03)
        given: Array = columns[:, 0]
        return given

    slow = False
    _, app = application(Calling(predict))
    adapter = Adapter(app)

    async def ask_until_in(thread: str) -> None:
        for _ in range(1_000):  # a busy machine can make a quick model look slow for a while
            assert (await ask(adapter))[0] == 200
            if used[-1].startswith(thread):
                return
        raise AssertionError(f"never in {thread}")

    asyncio.run(ask_until_in("MainThread"))
    slow = True
    asyncio.run(ask_until_in("tidewheel-http"))
    adapter.close()


def test_health_answers_at_once_while_slow_predictions_run() -> None:
    gate = threading.Event()
    _, app = application(held(gate))
    adapter = Adapter(app)

    async def run() -> None:
        await ask(adapter)
        asked = [asyncio.create_task(ask(adapter)) for _ in range(12)]
        await asyncio.sleep(0.02)
        assert (await ask(adapter, "GET", "/health/live", [b""]))[0] == 200
        assert not any(one.done() for one in asked)
        gate.set()
        assert {status for status, _, _ in await asyncio.gather(*asked)} == {200}

    asyncio.run(run())
    adapter.close()


def test_when_too_much_waits_requests_are_refused_at_once_and_what_was_accepted_is_answered_and_logged() -> None:
    gate = threading.Event()
    taken, app = application(held(gate))
    adapter = Adapter(app)

    async def run() -> Counter[int]:
        await ask(adapter)
        asked = [asyncio.create_task(ask(adapter)) for _ in range(120)]
        while sum(one.done() for one in asked) < 50:  # refused, while what was accepted waits
            await asyncio.sleep(0.001)
        gate.set()
        answers = await asyncio.gather(*asked)
        refused = [(headers, body) for status, headers, body in answers if status == 429]
        assert all(headers[b"retry-after"] == b"1" for headers, _ in refused)
        assert all(json.loads(body)["code"] == "Overloaded" for _, body in refused)
        return Counter(status for status, _, _ in answers)

    counted = asyncio.run(run())
    adapter.close()
    assert set(counted) == {200, 429}
    assert counted[200] <= 41  # two seconds of work at 50 ms each, or more as measured
    assert len(taken.world.logged) == counted[200] + 1


def test_a_body_in_pieces_is_one_body_and_a_client_that_hangs_up_gets_and_leaves_nothing() -> None:
    taken, app = application()
    adapter = Adapter(app)
    assert asyncio.run(ask(adapter, chunks=[BODY[:10], BODY[10:20], BODY[20:]]))[0] == 200
    assert asyncio.run(ask(adapter, chunks=[b"..."]))[0] == 0
    assert len(taken.world.logged) == 1
    adapter.close()


@pytest.mark.parametrize("path", ["/", "/metrics", "/health/ready"])
def test_head_is_get_without_the_body(path: str) -> None:
    _, app = application()
    adapter = Adapter(app)
    status, headers, body = asyncio.run(ask(adapter, "HEAD", path, [b""]))
    assert (status, body) == (200, b"")
    assert b"content-type" in headers
    adapter.close()
