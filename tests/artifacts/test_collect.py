"""Blobs that go while others store the same bytes again; real processes."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.artifacts.test_store import blob, folder, local, store  # noqa: F401  # fixtures

from tidewheel.artifacts.store import ArtifactStore

pytestmark = pytest.mark.slow

WRITER = """
import random, sys, time
from tidewheel.artifacts.store import ArtifactStore
from tidewheel.errors import NotFound
store, draw = ArtifactStore.open(sys.argv[1], renew_seconds=0.2), random.Random(sys.argv[2])
until, rounds = time.time() + 7, 0
while time.time() < until:
    data = b"same" + bytes([draw.randrange(6)])
    began = time.time()
    found = store.put(data)
    try:
        store.get(found)
        rounds += 1
    except NotFound:
        assert time.time() - began > 0.6, "a blob that was just stored is gone"
    time.sleep(draw.uniform(0.1, 0.5))
print(rounds)
"""


def test_a_blob_goes_when_it_is_old_and_stays_when_it_is_young(store: ArtifactStore) -> None:  # noqa: F811
    found, other = store.put(b"abc"), store.put(b"other")
    assert not store.collect(found, before=time.time() - 60)
    assert store.get(found) == b"abc"
    assert store.collect(found, before=time.time() + 60)
    assert not store.exists(found)
    assert store.collect(found, before=time.time() + 60)  # idempotent
    assert [one.digest for one in store.list()] == [other]
    assert store.put(b"abc") == found
    assert store.get(found) == b"abc"


def test_what_is_stored_again_counts_as_written_now(store: ArtifactStore) -> None:  # noqa: F811
    store._renew_seconds = 0.0
    found = store.put(b"abc")
    before = store._head(found)
    time.sleep(1.1)  # S3 counts whole seconds
    store.put(b"abc")
    after = store._head(found)
    assert before is not None
    assert after is not None
    assert after.modified_at > before.modified_at


def test_who_stores_a_blob_that_is_being_collected_waits_and_stores_it_again(local: ArtifactStore, folder: Path) -> None:  # noqa: F811
    found = local.put(b"abc")
    mark = folder / "collecting" / f"{found}.mark"
    mark.parent.mkdir()
    mark.touch()
    assert not local.collect(found, before=time.time() + 60)  # somebody else is at it
    command = [sys.executable, "-c", "import sys; from tidewheel.artifacts.store import ArtifactStore as S\n"]
    command[2] += "S.open(sys.argv[1]).put(b'abc'); print('stored')"
    with subprocess.Popen([*command, f"file://{folder}"], stdout=subprocess.PIPE, text=True) as writer:
        with pytest.raises(subprocess.TimeoutExpired):
            writer.wait(2)
        blob(folder, found).unlink()  # as the collector does, which looked before the writer came
        mark.unlink()
        assert writer.communicate()[0] == "stored\n"
    assert local.get(found) == b"abc"


def test_what_killed_processes_left_is_swept(local: ArtifactStore, folder: Path) -> None:  # noqa: F811
    found = local.put(b"abc")
    half = folder / found[4:6] / f"{found}#1"
    half.write_bytes(b"ab")
    mark = folder / "collecting" / f"{found}.mark"
    mark.parent.mkdir()
    mark.touch()
    assert local.sweep(before=time.time() - 60) == 0
    assert local.sweep(before=time.time() + 60, dry_run=True) == 2
    assert half.exists()
    assert mark.exists()
    assert local.sweep(before=time.time() + 60) == 2
    assert not half.exists()
    assert not mark.exists()
    assert local.get(found) == b"abc"


@pytest.mark.slow
def test_writers_of_the_same_bytes_and_collectors_at_once_lose_nothing(local: ArtifactStore, folder: Path) -> None:  # noqa: F811
    command = [sys.executable, "-c", WRITER, f"file://{folder}"]
    writers = [subprocess.Popen([*command, str(one)], stdout=subprocess.PIPE, text=True) for one in range(2)]
    gone = 0
    while any(writer.poll() is None for writer in writers):
        for one in list(local.list()):
            gone += local.collect(one.digest, before=time.time() - 0.8)
        time.sleep(0.01)
    for writer in writers:
        out, _ = writer.communicate()
        assert writer.returncode == 0
        assert int(out) > 0
    assert gone > 0
