from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidewheel.backends.lmdb.online_store import LmdbOnlineStore, open_online_store
from tidewheel.errors import Corrupt, Invalid
from tidewheel.ports.online_store import OnlineStore, StoreOpener
from tidewheel.testing.online_store import SharedOnlineStoreContract


class TestLmdb(SharedOnlineStoreContract):
    open_store: StoreOpener = staticmethod(open_online_store)

    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"lmdb://{tmp_path}/online.lmdb"

    @pytest.fixture
    def store(self, url: str) -> Iterator[OnlineStore]:
        store = open_online_store(url)
        yield store
        store.close()


class TestLmdbFlushingAlways(TestLmdb):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"lmdb://{tmp_path}/online.lmdb?sync=always"


def test_a_gap_between_sets_is_known_no_longer_than_nothing_was_written(tmp_path: Path) -> None:
    store, other = LmdbOnlineStore(tmp_path / "s"), LmdbOnlineStore(tmp_path / "s")
    assert store.read([], [b"m"]) == store.read([], [b"m"]) == ([], [[]])
    other.write([], [(b"b", b"1"), (b"t", b"2")])
    for _ in range(2):  # the second time by what is remembered
        assert store.read([], [b"m", b"n", b"mm"]) == ([], [[], [], []])
        assert store.read([], [b"m", b"b", b"t", b"c"]) == ([], [[], [b"1"], [b"2"], []])
        assert store.read([], [b"a"]) == store.read([], [b"z"]) == ([], [[]])
    assert store.read([], [b"m"]) == ([], [[]])
    other.write([], [(b"mm", b"3")])
    assert store.read([], [b"m", b"mm"]) == ([], [[], [b"3"]])
    for one in (store, other):
        one.close()


def test_a_full_map_grows_while_readers_read(tmp_path: Path) -> None:
    store = LmdbOnlineStore(tmp_path / "s", map_bytes=1 << 20)
    store.write([(b"first", b"1")])
    done = threading.Event()
    answers: set[bytes | None] = set()

    def read() -> None:
        while not done.is_set():
            answers.add(store.read([b"first"])[0][0])

    reader = threading.Thread(target=read)
    reader.start()
    value = os.urandom(100_000)
    for n in range(100):
        store.write([(b"%d" % n, value)], [(b"s", b"%d" % n)])
    done.set()
    reader.join()
    assert answers == {b"1"}
    assert store.read([b"99"], [b"s"]) == ([value], [sorted(b"%d" % n for n in range(100))])
    store.close()


def test_a_map_grown_by_another_process_is_noticed(tmp_path: Path) -> None:
    store = LmdbOnlineStore(tmp_path / "s", map_bytes=1 << 20)
    store.write([(b"k", b"1")])
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        pool.apply(_grow, (tmp_path / "s",))
    assert store.read([b"39"]) == ([b"x" * 100_000], [])
    store.write([(b"k", b"2")])
    assert store.read([b"k"]) == ([b"2"], [])
    store.close()


def _grow(path: Path) -> None:
    other = LmdbOnlineStore(path, map_bytes=1 << 20)
    other.write([(b"%d" % n, b"x" * 100_000) for n in range(40)])
    other.close()


def test_two_stores_on_one_path_share_it(tmp_path: Path) -> None:
    one, two = LmdbOnlineStore(tmp_path / "s"), LmdbOnlineStore(tmp_path / "s")
    one.write([(b"k", b"1")])
    one.close()
    assert two.read([b"k"]) == ([b"1"], [])
    two.close()
    with pytest.raises(Invalid, match="closed"):
        two.read([b"k"])


def test_a_store_left_unflushed_by_a_power_failure_is_refused(tmp_path: Path) -> None:
    store = LmdbOnlineStore(tmp_path / "s")
    store.write([(b"k", b"1")])
    mark = tmp_path / "s" / f"unflushed.{os.getpid()}"
    assert mark.exists()
    store.close()
    assert not mark.exists()
    mark.write_text("another boot")
    with pytest.raises(Corrupt, match="not flushed"):
        LmdbOnlineStore(tmp_path / "s")


def test_flushing_always_never_leaves_a_mark(tmp_path: Path) -> None:
    store = LmdbOnlineStore(tmp_path / "s", sync="always")
    store.write([(b"k", b"1")])
    assert not list((tmp_path / "s").glob("unflushed*"))
    store.close()


@pytest.mark.parametrize("key", [b"", b"k" * 481])
def test_keys_have_bounds(tmp_path: Path, key: bytes) -> None:
    store = LmdbOnlineStore(tmp_path / "s")
    with pytest.raises(Invalid, match="480"):
        store.write([(b"ok", b"1"), (key, b"1")])
    assert store.read([b"ok"]) == ([None], [])
    store.close()


@pytest.mark.parametrize("url", ["lmdb:relative", "lmdb://host/folder", "redis:///x", "lmdb:///x?sync=often", "lmdb:///x?a=b"])
def test_a_url_that_names_no_folder_is_refused(url: str) -> None:
    with pytest.raises(Invalid):
        open_online_store(url)
