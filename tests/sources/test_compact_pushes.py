"""Compaction of pushes: the same rows and the same snapshots before and after, whatever is killed, whoever reads or pushes."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import time
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tidewheel.digest import Digest
from tidewheel.sources.compact_pushes import Compaction, compact_pushes
from tidewheel.sources.definition import source
from tidewheel.sources.push_log import PushLog, read_pushes, snapshot_pushes
from tidewheel.sources.snapshot import PushSnapshot

TRIPS = source("trips", "a.parquet", time="t")
KIND = pa.schema(
    [
        ("t", pa.timestamp("us", "UTC")),
        ("n", pa.int32()),
        ("x", pa.float64()),
        ("fare", pa.decimal128(10, 2)),
        ("day", pa.date32()),
        ("tags", pa.list_(pa.string())),
        ("image", pa.struct([("id", pa.int64()), ("at", pa.timestamp("us"))])),
        ("note", pa.string()),
        ("raw", pa.binary()),
    ]
)


def rows(start: int, many: int) -> pa.Table:
    draw = random.Random(start)
    made = [
        {
            "t": 1_700_000_000_000_000 + number,
            "n": number,
            "x": draw.choice([None, draw.random(), float(number)]),
            "fare": None if draw.random() < 0.3 else number,
            "day": draw.randrange(20_000),
            "tags": draw.choice([None, [], ["a", None]]),
            "image": draw.choice([None, {"id": number, "at": None}, {"id": None, "at": 5}]),
            "note": None,
            "raw": bytes([number % 256]),
        }
        for number in range(start, start + many)
    ]
    return pa.Table.from_pylist(made, schema=KIND)


def push(folder: Path, start: int, many: int) -> None:
    """One finished segment."""
    log = PushLog(folder)
    for place in range(start, start + many, 5):
        log.append(TRIPS, rows(place, min(5, start + many - place)))
    log.close()


def snapshot(folder: Path) -> tuple[PushSnapshot, ...]:
    memory: dict[str, bytes] = {}
    return snapshot_pushes(folder, memory.get, memory.__setitem__)


def compact(folder: Path) -> Compaction:
    return compact_pushes(folder, least_bytes=1)


def test_rows_and_snapshots_are_the_same_before_and_after(tmp_path: Path) -> None:
    folder = tmp_path / "trips"
    push(folder, 0, 23)
    early = snapshot(folder)
    log = PushLog(folder)
    log.append(TRIPS, rows(23, 4))
    middle = snapshot(folder)
    log.append(TRIPS, rows(27, 3).select(["n", "t"]))
    log.close()
    after = snapshot(folder)
    part = tuple(PushSnapshot(one.segment, one.size_bytes, one.digest, start) for one, start in zip(after, (0, 0), strict=True))
    grown = PushSnapshot(after[1].segment, after[1].size_bytes, after[1].digest, middle[1].size_bytes)
    asked = (None, early, middle, after, part, (grown,))
    before = [read_pushes(folder, KIND, one) for one in asked]
    assert compact(folder) == Compaction(2, 30, 0)
    assert [path.suffix for path in folder.iterdir() if path.suffix in (".log", ".sealed", ".parquet")] == [".parquet"]
    assert [read_pushes(folder, KIND, one) for one in asked] == before
    assert snapshot(folder) == after
    assert before[-1]["n"].to_pylist() == [27, 28, 29]
    assert compact(folder) == Compaction(), "there is nothing more to do"


def test_many_small_files_become_one_and_open_segments_stay(tmp_path: Path) -> None:
    folder = tmp_path / "trips"
    for number in range(9):
        push(folder, 10 * number, 10)
        compact(folder)
    log = PushLog(folder)
    log.append(TRIPS, rows(90, 2))
    held = snapshot(folder)
    assert len(list(folder.glob("*.parquet"))) <= 2
    compact(folder)
    assert snapshot(folder) == held
    assert read_pushes(folder, KIND)["n"].to_pylist() == list(range(92))
    assert read_pushes(folder, KIND, held[3:5])["n"].to_pylist() == list(range(30, 50))
    log.close()


def test_segments_whose_columns_do_not_fit_lie_in_files_of_their_own(tmp_path: Path) -> None:
    folder = tmp_path / "trips"
    for values in ([1, 2], ["a"], [3]):
        log = PushLog(folder)
        log.append(TRIPS, pa.table({"v": values}))
        log.close()
    assert compact(folder).segments == 3
    assert len(list(folder.glob("*.parquet"))) == 3
    assert read_pushes(folder, pa.schema([("v", pa.int64())]), snapshot(folder)[::2])["v"].to_pylist() == [1, 2, 3]


@pytest.mark.parametrize("killed", ["before the name", "before the removal"])
def test_what_a_killed_compaction_left_counts_once_and_is_cleaned(tmp_path: Path, killed: str) -> None:
    folder = tmp_path / "trips"
    push(folder, 0, 12)
    held = snapshot(folder)
    shutil.copytree(folder, tmp_path / "copy")
    compact(folder)
    (made,) = folder.glob("*.parquet")
    if killed == "before the name":
        made.rename(made.with_suffix(".tmp"))
    for path in (tmp_path / "copy").glob("*.sealed"):
        shutil.copy(path, folder)
    assert snapshot(folder) == held
    assert read_pushes(folder, KIND)["n"].to_pylist() == list(range(12))
    compact(folder)
    assert [path.suffix for path in folder.iterdir() if path.suffix != ".lock"] == [".parquet"]
    assert read_pushes(folder, KIND, held)["n"].to_pylist() == list(range(12))


def _push_for_ever(folder: Path, told: Connection) -> None:
    for start in range(0, 1_000_000, 20):
        push(folder, start, 20)
        told.send(start + 20)
        time.sleep(0.01)


def _compact_for_ever(folder: Path, up: Event) -> None:
    while True:
        up.set()
        compact(folder)
        time.sleep(0.03)


@pytest.mark.slow
def test_nothing_is_lost_or_doubled_while_compactions_are_killed_and_others_push_and_read(tmp_path: Path) -> None:
    folder, context = tmp_path / "trips", multiprocessing.get_context("spawn")
    folder.mkdir()
    reading, writing = context.Pipe(duplex=False)
    pusher = context.Process(target=_push_for_ever, args=(folder, writing), daemon=True)
    pusher.start()
    draw, accepted, seen = random.Random(5), 0, dict[str, Digest]()
    for _ in range(6):
        up = context.Event()
        killed = context.Process(target=_compact_for_ever, args=(folder, up), daemon=True)
        killed.start()
        up.wait()
        until = time.monotonic() + draw.random()
        while time.monotonic() < until:
            while reading.poll():
                accepted = reading.recv()
            held = snapshot(folder)
            whole = {one.segment: one.digest for one in held[:-1]}
            assert seen.items() <= whole.items(), "a segment keeps its name and its content"
            seen = whole
            found = read_pushes(folder, KIND.remove(6), held)["n"].to_pylist()
            assert found == list(range(len(found)))
            assert len(found) >= accepted
        assert killed.pid is not None
        os.kill(killed.pid, signal.SIGKILL)
        killed.join()
    assert pusher.pid is not None
    os.kill(pusher.pid, signal.SIGKILL)
    pusher.join()
    compact(folder)
    assert list(folder.glob("*.parquet"))
    assert not list(folder.glob("*.tmp"))
    found = read_pushes(folder, KIND)["n"].to_pylist()
    assert found == list(range(len(found)))
    assert pq.read_metadata(next(folder.glob("*.parquet"))).num_rows
