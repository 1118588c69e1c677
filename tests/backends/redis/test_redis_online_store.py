from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from tests.own_servers import RedisServer, certify

from tidewheel.backends.redis.online_store import open_online_store
from tidewheel.errors import Denied, Incompatible, Invalid, Unavailable
from tidewheel.ports.online_store import OnlineStore, StoreOpener
from tidewheel.testing.served_store import ServedOnlineStoreContract


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    made = RedisServer(tmp_path)
    yield made
    made.kill()


@pytest.mark.slow
class TestRedis(ServedOnlineStoreContract):
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


def test_a_server_that_was_gone_is_used_again(server: RedisServer) -> None:
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


def test_a_server_that_evicts_is_refused(server: RedisServer) -> None:
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


@pytest.mark.slow
def test_a_cluster_of_three_nodes_is_refused(tmp_path: Path) -> None:
    folders = [tmp_path / str(number) for number in range(3)]
    for folder in folders:
        folder.mkdir()
    with contextlib.ExitStack() as stack:
        nodes = [RedisServer(folder, "--cluster-enabled", "yes") for folder in folders]
        for node in nodes:
            stack.callback(node.kill)
        places = [f"127.0.0.1:{node.port}" for node in nodes]
        subprocess.run(
            ["redis-cli", "--cluster", "create", *places, "--cluster-yes"], check=True, capture_output=True, timeout=60
        )
        for node in nodes:
            store = open_online_store(node.url)
            with pytest.raises(Incompatible, match="Redis Cluster"):
                store.write([(b"k", b"1")])
            store.close()


def test_a_server_is_reached_by_tls_and_only_when_its_certificate_is_known(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, tls=certify(tmp_path))
    store, stranger = open_online_store(server.url), open_online_store(server.url.partition("?")[0])
    store.write([(b"k", b"1")], [(b"s", b"2")])
    assert store.read([b"k"], [b"s"]) == ([b"1"], [[b"2"]])
    with pytest.raises(Unavailable, match="certificate"):
        stranger.read([b"k"])
    with pytest.raises(Unavailable):
        open_online_store(f"redis://127.0.0.1:{server.port}/0").read([b"k"])
    store.close()
    server.kill()


def test_a_wrong_password_is_told_as_such(server: RedisServer) -> None:
    client = Redis.from_url(server.url)
    client.config_set("requirepass", "secret")
    store = open_online_store(server.url)
    with pytest.raises(Denied, match="refuses"):
        store.read([b"k"])
    client.close()
    store.close()
