"""HTTP/1.1 on a connection: what comes in pieces, ahead, too large, too slow, or is no HTTP at all."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable

import pytest
from tests.serving.models import GOOD
from tests.web.test_asgi import held
from tests.web.world import Taken, application

from tidewheel.web.application import Application
from tidewheel.web.converse import Connection, Connections
from tidewheel.web.run import Runner

BODY = json.dumps({"inputs": GOOD}).encode()
ONE = b"POST /predict/eta HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)
LIVE = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n"

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter, Connections], Awaitable[None]]


def converse(talk: Talk, made: tuple[Taken, Application] | None = None) -> Taken:
    """A server and one client, in one loop."""
    taken, app = made or application()

    async def run() -> None:
        loop = asyncio.get_running_loop()
        runner = Runner(app)
        connections = Connections(runner)
        server = await loop.create_server(lambda: Connection(connections), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
        try:
            async with asyncio.timeout(30):
                await talk(reader, writer, connections)
        finally:
            writer.close()
            server.close()
            connections.abort()
            await asyncio.sleep(0)
            runner.close()

    asyncio.run(run())
    return taken


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in head[1:] if line)
    return int(head[0].split()[1]), headers, await reader.readexactly(int(headers.get("content-length", "0")))


def test_requests_sent_ahead_are_answered_in_their_order() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: Connections) -> None:
        bodies = [json.dumps({"inputs": GOOD, "id": f"p{n}"}).encode() for n in range(60)]
        head = b"POST /predict/eta HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
        writer.write(b"".join(head % len(body) + body + LIVE for body in bodies))
        for number in range(60):
            status, _headers, body = await answer(reader)
            assert (status, json.loads(body)["id"]) == (200, f"p{number}")
            assert (await answer(reader))[2] == b'{"live":true}'

    assert len(converse(talk).world.logged) == 60


def test_a_head_that_is_known_means_what_it_meant_whatever_comes_behind_it() -> None:
    head = b"POST /predict/eta HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(BODY)
    other = json.dumps({"inputs": GOOD}).encode().replace(b" ", b"\t")
    closing = head.replace(b"host: x", b"connection: close")

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connections: Connections) -> None:
        answers = []
        # whole twice, cut within the body and at its start, two at once, one with another right behind it
        for pieces in ([ONE], [head + other], [head + other[:5], other[5:]], [head, other], [ONE + ONE], [ONE + LIVE]):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.01)
            answers += [await answer(reader) for _ in range(2 if pieces in ([ONE + ONE], [ONE + LIVE]) else 1)]
        assert [status for status, *_ in answers] == [200] * 8
        assert answers[-1][2] == b'{"live":true}'
        assert list(connections.heads) == [head]
        writer.write(head + b"x" * len(BODY))
        assert (await answer(reader))[0] == 400
        writer.write(closing + BODY)
        assert (await answer(reader))[1]["connection"] == "close"
        assert await reader.read() == b""
        assert list(connections.heads) == [head]

    assert len(converse(talk).world.logged) == 8


def test_a_request_may_come_in_any_pieces() -> None:
    draw = random.Random(3)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: Connections) -> None:
        chunked = b"POST /predict/eta HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        chunked += b"5;ext=1\r\n%b\r\n%x\r\n%b\r\n0\r\ntrailer: 1\r\n\r\n" % (BODY[:5], len(BODY) - 5, BODY[5:])
        for sent in (ONE, chunked, ONE):
            at = 0
            while at < len(sent):
                size = draw.randint(1, 40)
                writer.write(sent[at : at + size])
                await writer.drain()
                await asyncio.sleep(0)
                at += size
            assert (await answer(reader))[0] == 200

    assert len(converse(talk).world.logged) == 3


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00", 400, "NotHttp"),
        (b"GET / HTTP/9.9\r\n\r\n", 400, "NotHttp"),
        (b"POST /predict/eta HTTP/1.1\r\ncontent-length: -5\r\n\r\n", 400, "NotHttp"),
        (b"POST /predict/eta HTTP/1.1\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400, "NotHttp"),
        (b"POST /predict/eta HTTP/1.1\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}", 400, "NotHttp"),
        (b"POST /predict/eta HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n", 400, "NotHttp"),
        (b"GET / HTTP/1.1\r\nx: " + b"a" * 70_000 + b"\r\n\r\n", 431, "HeadTooLarge"),
        (b"GET / HTTP/1.1\r\nx: " + b"a" * 70_000, 431, "HeadTooLarge"),
        (b"GET / HTTP/1.1\r\n" + b"".join(b"x%d: 1\r\n" % n for n in range(200)) + b"\r\n", 431, "HeadTooLarge"),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n", 431, "HeadTooLarge"),
        (b"POST /predict/eta HTTP/1.1\r\ncontent-length: 5000000000\r\n\r\n", 413, "BodyTooLarge"),
        (b"POST /v HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 20000000\r\n\r\n", 413, "BodyTooLarge"),
        (b"POST /predict/eta HTTP/1.1\r\ncontent-length: 99999999999999999999999\r\n\r\n", 400, "NotHttp"),
    ],
    ids=range(13),
)
def test_what_cannot_be_taken_is_refused_and_the_connection_closed(sent: bytes, status: int, code: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: Connections) -> None:
        writer.write(sent)
        answered, headers, body = await answer(reader)
        assert (answered, json.loads(body)["code"], headers["connection"]) == (status, code, "close")
        assert await reader.read() == b""

    assert converse(talk).world.logged == []


def test_what_is_no_http_behind_a_good_request_does_not_take_its_answer() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: Connections) -> None:
        writer.write(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n" + ONE + b"\0\0\0")
        assert [(await answer(reader))[0] for _ in range(3)] == [200, 200, 400]
        assert await reader.read() == b""

    converse(talk)


def test_a_body_above_the_limit_is_read_to_its_end_and_refused() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: Connections) -> None:
        size = 11_000_000
        writer.write(b"POST /predict/eta HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % size)
        writer.write(b"x" * size)
        await writer.drain()
        assert (await answer(reader))[0] == 413
        assert await reader.read() == b""

    converse(talk)


@pytest.mark.parametrize(
    ("started", "status"), [(b"", 0), (b"GET / HT", 408), (b"GET / HTTP/1.1\r\nhost", 408), (ONE[:-5], 422)]
)
def test_what_is_too_slow_is_told_so_and_what_is_idle_is_closed(started: bytes, status: int) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connections: Connections) -> None:
        writer.write(started)
        await asyncio.sleep(0.02)
        now = asyncio.get_running_loop().time()
        connections.tick(now)
        assert len(connections.open) == 1
        connections.tick(now + 80)
        if status:
            assert (await answer(reader))[0] == status
        assert await reader.read() == b""

    converse(talk)


def test_expect_100_upgrade_http_1_0_and_half_closed_clients() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: Connections) -> None:
        writer.write(ONE[: -len(BODY)].replace(b"host: x", b"expect: 100-continue"))
        assert (await answer(reader))[0] == 100
        writer.write(BODY)
        assert (await answer(reader))[0] == 200
        writer.write(LIVE.replace(b"1.1", b"1.0").replace(b"host: x", b"connection: keep-alive"))
        assert (await answer(reader))[1]["connection"] == "keep-alive"
        writer.write(b"GET http://host/health/live?x=1 HTTP/1.1\r\nhost: host\r\n\r\n")
        assert (await answer(reader))[0] == 200
        writer.write(b"GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\n\r\n")
        assert (await answer(reader))[:1] == (200,)

    converse(talk)

    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: Connections) -> None:
        writer.write(ONE + LIVE.replace(b"1.1", b"1.0"))
        writer.write_eof()
        assert (await answer(reader))[0] == 200
        status, headers, _body = await answer(reader)
        assert (status, headers["connection"]) == (200, "close")
        assert await reader.read() == b""

    converse(half)


def test_a_client_that_hangs_up_leaves_nothing() -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter, connections: Connections) -> None:
        writer.write(ONE[:-5])
        await asyncio.sleep(0.02)
        writer.transport.abort()
        while connections.open:
            await asyncio.sleep(0.01)

    assert converse(talk).world.logged == []


def test_a_client_that_does_not_read_is_not_answered_on_and_on() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connections: Connections) -> None:
        reader._transport.pause_reading()  # type: ignore[attr-defined]  # asyncio has no public way not to read
        (connection,) = connections.open
        for _ in range(400):
            writer.write(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n" * 100)
            await asyncio.sleep(0)
            if connection._paused:
                break
        while not connection._paused:
            await asyncio.sleep(0.01)
        connections.tick(asyncio.get_running_loop().time() + 40)
        await asyncio.sleep(0.02)
        assert not connections.open

    converse(talk)


def test_a_stop_closes_what_is_idle_and_lets_what_was_begun_finish() -> None:
    import threading

    gate = threading.Event()
    made = application(held(gate))

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connections: Connections) -> None:
        writer.write(ONE)
        assert (await answer(reader))[0] == 200
        writer.write(ONE)
        while not any(one._running for one in connections.open):
            await asyncio.sleep(0.005)
        connections.stop()
        await asyncio.sleep(0.02)
        gate.set()
        status, headers, _body = await answer(reader)
        assert (status, headers["connection"]) == (200, "close")
        assert await reader.read() == b""

    assert len(converse(talk, made).world.logged) == 2

    async def idle(reader: asyncio.StreamReader, _: asyncio.StreamWriter, connections: Connections) -> None:
        await asyncio.sleep(0.01)
        connections.stop()
        assert await reader.read() == b""

    converse(idle)
