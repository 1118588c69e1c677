"""Journals: what was acknowledged survives kill -9; what was not is whole or absent."""

from __future__ import annotations

import os
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewheel.artifacts.journal import Journal, list_segments, read_journal, seal_abandoned
from tidewheel.errors import Corrupt, Invalid, Unavailable


def records(folder: Path, *, sealed_only: bool = False) -> list[bytes]:
    return [record for _, _, record in read_journal(folder, sealed_only=sealed_only)]


def abandon(folder: Path, *batches: list[bytes]) -> Path:
    """A segment whose writer was killed."""
    code = (
        "import sys, os, pickle; from pathlib import Path; from tidewheel.artifacts.journal import Journal\n"
        "journal = Journal(Path(sys.argv[1]), writer='dead')\n"
        "for batch in pickle.load(sys.stdin.buffer): journal.append(batch)\n"
        "os.kill(os.getpid(), 9)"
    )
    import pickle

    subprocess.run([sys.executable, "-c", code, str(folder)], input=pickle.dumps(batches), check=False)
    return next(segment.path for segment in list_segments(folder) if not segment.sealed)


@given(batches=st.lists(st.lists(st.binary(max_size=60), max_size=5), max_size=12), segment_bytes=st.integers(1, 300))
def test_records_come_back_in_order_whatever_the_segments(batches: list[list[bytes]], segment_bytes: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        journal = Journal(folder, writer="w", segment_bytes=segment_bytes)
        expected: list[bytes] = []
        for batch in batches:
            journal.append(batch)
            expected += batch
            assert records(folder) == expected
        journal.close()
        assert records(folder, sealed_only=True) == expected


def test_reading_goes_on_where_it_stopped(tmp_path: Path) -> None:
    journal = Journal(tmp_path, writer="w", segment_bytes=64)
    journal.append([b"one"])
    (name, offset, record), *_ = read_journal(tmp_path)
    after = {name: offset + 8 + len(record)}
    assert list(read_journal(tmp_path, since=after)) == []
    journal.append([b"two"])
    journal.seal()
    journal.append([b"three"])
    assert [r for _, _, r in read_journal(tmp_path, since=after)] == [b"two", b"three"]
    journal.close()


def test_a_segment_keeps_its_name_when_it_is_sealed(tmp_path: Path) -> None:
    journal = Journal(tmp_path, writer="a.b-c_d")
    journal.append([b"x"])
    before = list(read_journal(tmp_path))
    assert list(read_journal(tmp_path, sealed_only=True)) == []
    journal.close()
    assert list(read_journal(tmp_path, sealed_only=True)) == before


def test_a_living_writers_segment_is_not_taken_from_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path, writer="w")
    journal.append([b"x"])
    assert seal_abandoned(tmp_path) == []
    journal.append([b"y"])
    assert records(tmp_path) == [b"x", b"y"]
    journal.close()


def test_a_killed_writers_segment_can_be_sealed(tmp_path: Path) -> None:
    abandon(tmp_path, [b"one"], [b"two", b"three"])
    assert records(tmp_path) == [b"one", b"two", b"three"]
    assert len(seal_abandoned(tmp_path)) == 1
    assert records(tmp_path, sealed_only=True) == [b"one", b"two", b"three"]
    assert seal_abandoned(tmp_path) == []


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_torn_tail_is_ignored_and_goes_with_the_sealing(tmp_path: Path, cut: int) -> None:
    path = abandon(tmp_path, [b"whole"], [b"tail"])
    data = path.read_bytes()
    path.write_bytes(data[:-cut])
    assert records(tmp_path) == [b"whole"]
    seal_abandoned(tmp_path)
    assert records(tmp_path) == [b"whole"]


@pytest.mark.parametrize(
    "tail", [b"\0" * 4096, b"\xff" * 8, struct.pack("<II", 0, 0), struct.pack("<II", 2**32 - 1, 1) + b"x" * 99]
)
def test_a_tail_that_was_never_written_is_ignored(tmp_path: Path, tail: bytes) -> None:
    path = abandon(tmp_path, [b"whole"])
    path.write_bytes(path.read_bytes() + tail)
    assert records(tmp_path) == [b"whole"]
    seal_abandoned(tmp_path)
    assert records(tmp_path, sealed_only=True) == [b"whole"]


@pytest.mark.parametrize("size", [0, 3])
def test_a_writer_that_was_killed_before_its_first_record_leaves_nothing(tmp_path: Path, size: int) -> None:
    (tmp_path / "00000000000000000001-w.log").write_bytes(b"TWJRNL1\n"[:size])
    assert records(tmp_path) == []
    seal_abandoned(tmp_path)
    assert records(tmp_path) == []


def test_a_damaged_sealed_segment_is_corrupt(tmp_path: Path) -> None:
    journal = Journal(tmp_path, writer="w")
    journal.append([b"one", b"two"])
    journal.close()
    (segment,) = list_segments(tmp_path)
    data = bytearray(segment.path.read_bytes())
    data[-1] ^= 1
    segment.path.write_bytes(data)
    reading = read_journal(tmp_path)
    assert next(reading)[2] == b"one"
    with pytest.raises(Corrupt, match="damaged at byte"):
        next(reading)


def test_a_file_of_another_kind_is_corrupt(tmp_path: Path) -> None:
    (tmp_path / "00000000000000000001-w.sealed").write_bytes(b"PAR1 something else")
    with pytest.raises(Corrupt, match="not a segment"):
        records(tmp_path)


WRITER = """
import sys
from pathlib import Path
from tidewheel.artifacts.journal import Journal
journal = Journal(Path(sys.argv[1]), writer=sys.argv[2], segment_bytes=20_000)
n = 0
while True:
    batch = [b"%s:%d" % (sys.argv[2].encode(), n + i) + b"." * 200 for i in range(3)]
    journal.append(batch)
    n += 3
    sys.stdout.write(f"{n}\\n"); sys.stdout.flush()   # acknowledged
"""


def log_size(log: IO[bytes]) -> int:
    return os.fstat(log.fileno()).st_size


@pytest.mark.slow
def test_kill_loses_no_acknowledged_record_of_any_writer(tmp_path: Path) -> None:
    writers = {}
    for round_ in range(3):
        for name in (f"a{round_}", f"b{round_}"):
            log = (tmp_path / f"{name}.acknowledged").open("w+b")
            writers[name] = (subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "j"), name], stdout=log), log)
        while any(log_size(log) == 0 for _, log in writers.values()):
            time.sleep(0.01)
        time.sleep(0.07 * round_)
        for process, _ in writers.values():
            process.send_signal(signal.SIGKILL)
            process.wait()
        seal_abandoned(tmp_path / "j")  # as the next process of the service does
    read: dict[str, list[int]] = {name: [] for name in writers}
    for record in records(tmp_path / "j", sealed_only=True):
        name, _, rest = record.decode().partition(":")
        read[name].append(int(rest.rstrip(".")))
    for name, (_, log) in writers.items():
        log.seek(0)
        lines = log.read().decode().splitlines()
        log.close()
        acknowledged = int(lines[-1]) if lines else 0
        assert acknowledged > 0
        assert read[name][:acknowledged] == list(range(acknowledged))
        assert read[name] == list(range(len(read[name])))


def test_threads_share_a_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path, writer="w", segment_bytes=2_000)

    def write(name: int) -> None:
        for n in range(100):
            journal.append([b"%d:%d" % (name, n)])

    threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.close()
    found = records(tmp_path)
    for name in range(4):
        assert [r for r in found if r.startswith(b"%d:" % name)] == [b"%d:%d" % (name, n) for n in range(100)]
    assert len(found) == 400


def test_a_forked_child_writes_a_segment_of_its_own(tmp_path: Path) -> None:
    journal = Journal(tmp_path, writer="w")
    journal.append([b"parent"])
    child = os.fork()
    if child == 0:
        journal.append([b"child"])
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    journal.append([b"parent again"])
    assert len(list_segments(tmp_path)) == 2
    assert len(seal_abandoned(tmp_path)) == 1  # the child's
    assert sorted(records(tmp_path)) == [b"child", b"parent", b"parent again"]
    journal.close()


def test_a_full_disk_adds_none_of_the_records_and_damages_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path, writer="w", sync_seconds=0)
    journal.append([b"before"])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, hard))
    try:
        with pytest.raises(Unavailable, match="cannot be written"):
            journal.append([b"fits", b"x" * 10_000])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, old)
    assert records(tmp_path) == [b"before"]
    journal.append([b"after"])
    assert records(tmp_path) == [b"before", b"after"]
    journal.close()


def test_closing_is_idempotent_waits_for_no_sync_and_is_not_for_ever(tmp_path: Path) -> None:
    journal = Journal(tmp_path, writer="w", sync_seconds=3_600)
    journal.append([b"one"])
    journal.close()
    journal.close()
    journal.append([b"two"])
    journal.close()
    assert records(tmp_path) == [b"one", b"two"]


def test_a_journal_that_nobody_wrote_is_empty(tmp_path: Path) -> None:
    assert records(tmp_path / "absent") == []
    Journal(tmp_path / "absent", writer="w").close()
    assert seal_abandoned(tmp_path / "absent") == []


@pytest.mark.parametrize("writer", ["", "a/b", "a b", "x" * 65])
def test_a_writers_name_must_do_for_a_file(tmp_path: Path, writer: str) -> None:
    with pytest.raises(Invalid, match="file name"):
        Journal(tmp_path, writer=writer)
