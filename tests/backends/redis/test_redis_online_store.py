from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from tidewheel.backends.redis.online_store import open_online_store
from tidewheel.errors import Denied, Incompatible, Invalid, Unavailable
from tidewheel.ports.online_store import OnlineStore, StoreOpener
from tidewheel.testing.online_store import SharedOnlineStoreContract


@pytest.mark.slow
class TestRedis(SharedOnlineStoreContract):
    open_store: StoreOpener = staticmethod(open_online_store)

    @pytest.fixture
    def url(self, redis_store_url: str) -> str:
        return redis_store_url

    @pytest.fixture
    def store(self, url: str) -> Iterator[OnlineStore]:
        store = open_online_store(url)
        yield store
        store.close()


def test_namespaces_on_one_server_do_not_meet(redis_store_url: str) -> None:
    one = open_online_store(redis_store_url)
    two = open_online_store(redis_store_url + "2")
    one.write([(b"k", b"1")], [(b"k", b"1")])
    two.write([(b"k", b"2")], [(b"k", b"2")])
    assert one.read([b"k"], [b"k"]) == ([b"1"], [[b"1"]])
    assert two.delete(b"") == 2
    assert list(one.scan(b"")) == [(b"k", b"1")]
    one.close()
    two.close()


def test_a_namespace_of_the_caller_gives_way_to_that_of_the_url(redis_store_url: str) -> None:
    plain, _, _ = redis_store_url.partition("?")
    named = redis_store_url.rpartition("=")[2]
    one, two = open_online_store(redis_store_url, namespace="other"), open_online_store(plain, namespace=named)
    one.write([(b"k", b"1")])
    assert two.read([b"k"])[0] == [b"1"]
    one.close()
    two.close()


@pytest.mark.parametrize(
    "url",
    [
        "redis://",
        "redis:///0",
        "redis://host/name",
        "http://host",
        "redis://host:port",
        "redis://host/0?colour=red",
        "redis://host?namespace=UPPER",
        "redis://host?namespace=",
    ],
)
def test_a_url_that_names_no_redis_is_refused(url: str) -> None:
    with pytest.raises(Invalid):
        open_online_store(url)


def test_a_password_is_not_told() -> None:
    with pytest.raises(Unavailable) as caught:
        open_online_store("redis://user:secret@127.0.0.1:1/0").read([b"k"])
    assert "secret" not in str(caught.value)


class Server:
    """A Redis of the test's own, that can be stopped and started."""

    def __init__(self, folder: Path, *options: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._command = [
            "redis-server",
            "--bind",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--dir",
            str(folder),
            "--save",
            "",
            *options,
        ]
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.2).close()
                return
            except OSError:
                time.sleep(0.02)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def server(tmp_path: Path, redis_store_url: str) -> Iterator[Server]:
    made = Server(tmp_path, "--appendonly", "yes", "--appendfsync", "always")
    yield made
    made.kill()


def test_a_server_that_was_gone_is_used_again(server: Server) -> None:
    store = open_online_store(server.url)
    store.write([(b"k", b"1")], [(b"s", b"2")])
    server.kill()
    with pytest.raises(Unavailable, match="cannot be reached") as caught:
        store.read([b"k"])
    assert caught.value.fix is not None
    assert "tidewheel.toml" in caught.value.fix
    server.start()
    assert store.read([b"k"], [b"s"]) == ([b"1"], [[b"2"]])
    server.kill()
    server.start()  # nobody called in between: the idle connection is stale, and nobody notices
    store.write([(b"k", b"3")])
    assert store.read([b"k"]) == ([b"3"], [])
    store.close()


def test_a_server_that_evicts_is_refused(server: Server) -> None:
    client = Redis.from_url(server.url)
    client.config_set("maxmemory", "100mb")
    client.config_set("maxmemory-policy", "allkeys-lru")
    store = open_online_store(server.url)
    with pytest.raises(Incompatible, match="allkeys-lru"):
        store.read([b"k"])
    client.config_set("maxmemory-policy", "noeviction")
    assert store.read([b"k"]) == ([None], [])
    client.config_set("maxmemory", "1")
    with pytest.raises(Unavailable, match="maxmemory"):
        store.write([(b"k", b"v" * 100)])
    client.close()
    store.close()


def test_a_wrong_password_is_told_as_such(server: Server) -> None:
    client = Redis.from_url(server.url)
    client.config_set("requirepass", "secret")
    store = open_online_store(server.url)
    with pytest.raises(Denied, match="refuses"):
        store.read([b"k"])
    client.close()
    store.close()
