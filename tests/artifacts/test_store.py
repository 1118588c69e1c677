"""Blobs: all or nothing, verified, idempotent."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.servers import S3, new_bucket, server_url

from tidewheel.artifacts.store import ArtifactStore
from tidewheel.digest import Digest, digest_bytes
from tidewheel.errors import Corrupt, Invalid, NotFound, Unavailable


@pytest.fixture(params=["file", "memory", pytest.param("s3", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ArtifactStore:
    url = f"file://{tmp_path}/artifacts" if request.param == "file" else "memory:///"
    if request.param == "s3":
        bucket = new_bucket()
        settings = {"ENDPOINT": server_url(S3), "ALLOW_HTTP": "true", "REGION": "us-east-1"}
        for name, value in (settings | {"ACCESS_KEY_ID": "me", "SECRET_ACCESS_KEY": "mine"}).items():
            monkeypatch.setenv(f"AWS_{name}", value)
        url = f"s3://{bucket}/artifacts"
    return ArtifactStore.open(url, copies=tmp_path / "copies")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "artifacts"


@pytest.fixture
def local(folder: Path) -> ArtifactStore:
    return ArtifactStore.open(f"file://{folder}")


def blob(folder: Path, digest: Digest) -> Path:
    return next(folder.rglob(digest))


def test_what_is_put_is_got(store: ArtifactStore, tmp_path: Path) -> None:
    file = tmp_path / "in"
    file.write_bytes(b"x" * 3_000_000)
    cases: list[tuple[bytes | Path | Iterable[bytes], bytes]] = [
        (b"", b""),
        (b"abc", b"abc"),
        ([b"ab", b"", b"c"], b"abc"),
        (iter([b"z"] * 5), b"zzzzz"),
        (file, b"x" * 3_000_000),
    ]
    for data, expected in cases:
        found = store.put(data)
        assert found == digest_bytes(expected)
        assert store.get(found) == expected
        assert store.path(found).read_bytes() == expected
        assert store.size(found) == len(expected)
        assert store.exists(found)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(0, 300)))
def test_pieces_make_the_same_blob_as_the_whole(local: ArtifactStore, data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(edges)]
    assert local.put(pieces) == local.put(data)


def test_putting_again_changes_nothing(local: ArtifactStore, folder: Path) -> None:
    found = local.put(b"abc")
    before = blob(folder, found).stat()
    assert local.put(b"abc") == found
    assert blob(folder, found).stat().st_mtime_ns == before.st_mtime_ns
    assert [(one.digest, one.size) for one in local.list()] == [(found, 3)]


def test_an_absent_blob_is_not_found(store: ArtifactStore) -> None:
    absent = digest_bytes(b"never")
    assert not store.exists(absent)
    for ask in (store.get, store.path, store.size):
        with pytest.raises(NotFound):
            ask(absent)
    store.delete(absent)


def test_a_deleted_blob_is_gone(store: ArtifactStore) -> None:
    found = store.put(b"abc")
    store.delete(found)
    store.delete(found)
    assert not store.exists(found)
    assert list(store.list()) == []


@pytest.mark.parametrize("damage", [b"abd", b"", b"abcd"])
def test_a_damaged_blob_is_corrupt_until_it_is_put_again(local: ArtifactStore, folder: Path, damage: bytes) -> None:
    found = local.put(b"abc")
    assert local.path(found).exists()  # verified once: and yet the damage is seen afterwards
    blob(folder, found).write_bytes(damage)
    for ask in (local.get, local.path):
        with pytest.raises(Corrupt, match=found):
            ask(found)
    assert local.put(b"abc") == found
    assert local.get(found) == b"abc"


def test_a_file_that_changes_while_it_is_stored_leaves_nothing(tmp_path: Path, local: ArtifactStore) -> None:
    file = tmp_path / "growing"
    file.write_bytes(b"a" * (48 << 20))
    stop = threading.Event()

    def grow() -> None:
        while not stop.is_set():
            with file.open("ab") as out:
                out.write(b"b")

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        with pytest.raises(Corrupt, match="changed while"):
            local.put(file)
    finally:
        stop.set()
        thread.join()
    assert list(local.list()) == []


def test_an_iterator_that_raises_leaves_nothing(store: ArtifactStore) -> None:
    def broken() -> Iterator[bytes]:
        yield b"abc"
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        store.put(broken())
    assert list(store.list()) == []


KILLED = """
import sys, os
from pathlib import Path
from tidewheel.artifacts.store import ArtifactStore
store = ArtifactStore.open(sys.argv[1])
n = 0
while True:
    n += 1
    data = n.to_bytes(8, "big") * (1 << 19)
    if n % 2:
        store.put(data)
    else:
        Path(sys.argv[2]).write_bytes(data); store.put(Path(sys.argv[2]))
    print(n, flush=True)
"""


@pytest.mark.slow
def test_kill_in_the_middle_of_put_leaves_nothing_visible_that_is_not_whole(tmp_path: Path, local: ArtifactStore) -> None:
    url = f"file://{tmp_path}/artifacts"
    for wait in (0.0, 0.004, 0.013, 0.029, 0.05, 0.071):
        command = [sys.executable, "-c", KILLED, url, str(tmp_path / "in")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(wait)
            os.kill(process.pid, signal.SIGKILL)
        for found, size, _ in local.list():
            assert size == 4 << 20
            assert digest_bytes(local.get(found)) == found
    assert local.put(b"abc") == digest_bytes(b"abc")


def test_after_a_fork_the_store_says_so_instead_of_hanging(local: ArtifactStore) -> None:
    local.put(b"abc")
    child = os.fork()
    if child == 0:
        try:
            local.get(digest_bytes(b"abc"))
        except Unavailable:
            os._exit(3)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 3


def test_threads_may_put_the_same_blob_at_once(local: ArtifactStore) -> None:
    threads = [threading.Thread(target=lambda: local.put(b"q" * 1_000_000)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [blob.size for blob in local.list()] == [1_000_000]


@pytest.mark.parametrize("url", ["http://x/y", "relative/folder", "ftp://x"])
def test_an_url_of_no_known_kind_is_refused(url: str) -> None:
    with pytest.raises(Invalid, match="file:///folder"):
        ArtifactStore.open(url)


@pytest.mark.parametrize("text", ["", "abc", "tw1-" + "g" * 64, "../../etc/passwd", "x/tw1-" + "0" * 64])
def test_a_name_that_is_no_digest_is_refused(store: ArtifactStore, text: str) -> None:
    with pytest.raises(Invalid):
        store.get(Digest(text))


def test_a_folder_with_spaces_and_percents_is_itself(tmp_path: Path) -> None:
    from urllib.parse import quote

    folder = tmp_path / "a b%20c"
    store = ArtifactStore.open("file://" + quote(str(folder)))
    found = store.put(b"abc")
    assert store.path(found).is_relative_to(folder)
