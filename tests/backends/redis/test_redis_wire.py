"""Every question gets its own answer: whatever happens on the wire, nothing that was left there answers the next one."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest
from redis import Redis
from tests.own_servers import RedisServer

from tidewheel.backends.redis.connection import Connections, send
from tidewheel.backends.redis.online_store import open_online_store
from tidewheel.backends.redis.wire import packed
from tidewheel.errors import Unavailable
from tidewheel.ports.online_store import OnlineStore

KEYS = [b"%d" % number for number in range(40)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    made = RedisServer(Path(tmp_path_factory.mktemp("redis")))
    yield made
    made.kill()


@pytest.fixture
def client(server: RedisServer) -> Iterator[Redis]:
    with contextlib.closing(Redis.from_url(server.url)) as made:
        made.flushall()
        yield made


@pytest.fixture
def store(server: RedisServer, client: Redis) -> Iterator[OnlineStore]:
    with contextlib.closing(open_online_store(server.url + "?socket_timeout=0.2")) as made:
        made.write([(key, key * 3) for key in KEYS], [(key, key * 2) for key in KEYS])
        yield made


def is_right(store: OnlineStore, number: int) -> bool:
    """Reads some keys, in a size of its own, and looks whether it is told what is under them."""
    some = [KEYS[(number + place) % len(KEYS)] for place in range(1 + number % 20)]
    return store.read(some, some, newest=4) == ([key * 3 for key in some], [[key * 2] for key in some])


def test_connections_killed_in_the_middle_give_no_thread_the_answer_of_another(client: Redis, store: OnlineStore) -> None:
    told: list[bool] = []
    killed: list[int] = []
    ended = threading.Event()

    def ask(start: int) -> None:
        for number in range(start, start + 200):
            try:
                told.append(is_right(store, number))
            except Unavailable:  # killed twice in one call
                continue

    def kill() -> None:
        while not ended.wait(0.008):
            killed.append(client.client_kill_filter(_type="normal", skipme=True))

    threads = [threading.Thread(target=ask, args=(start,)) for start in (0, 7, 13, 29)]
    killing = threading.Thread(target=kill)
    for thread in (killing, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    ended.set()
    killing.join()
    assert all(told)
    assert len(told) > 200
    assert sum(killed) > 10


def test_an_answer_that_came_too_late_is_not_that_of_the_next_question(client: Redis, store: OnlineStore) -> None:
    assert is_right(store, 1)
    client.client_pause(300)
    with pytest.raises(Unavailable, match="took too long"):
        is_right(store, 2)
    client.ping()  # as soon as the server goes on, which answers both
    assert is_right(store, 3)


def test_a_call_that_was_interrupted_leaves_nothing_behind(client: Redis, store: OnlineStore) -> None:
    def interrupt(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    assert is_right(store, 1)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        client.client_pause(150)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt):
            is_right(store, 2)
    finally:
        signal.signal(signal.SIGALRM, before)
    client.ping()
    assert is_right(store, 3)


def test_a_fork_talks_on_a_connection_of_its_own(store: OnlineStore) -> None:
    assert is_right(store, 1)
    child, told = os.fork(), False
    try:
        told = all(is_right(store, number) for number in range(300))
    finally:
        if not child:
            os._exit(0 if told else 1)
    assert told
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_command_that_fails_within_a_transaction_is_told(client: Redis, store: OnlineStore) -> None:
    client.set("tidewheel:s:odd", "no set")
    for count in (1, 30):
        with pytest.raises(Unavailable, match="WRONGTYPE"):
            store.read(KEYS[:count], [b"odd", *KEYS[:count]])
        assert is_right(store, count)


@pytest.mark.parametrize("long", [2, 700])
def test_what_the_server_tells_unasked_is_no_answer(server: RedisServer, client: Redis, long: int) -> None:
    connections = Connections(server.url + "?protocol=3")
    client.set("watched", "1")
    asked = (b"MGET", *[b"watched"] * long)
    assert connections.ask(lambda wire: send(wire, (b"CLIENT", b"TRACKING", b"ON"), asked)) == [b"OK", [b"1"] * long]
    client.set("watched", "2")
    assert connections.ask(lambda wire: wire.ask(packed(asked), 1)) == [[b"2"] * long]
    connections.close()
