"""What is put aside comes back, and leaves nothing on disk."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewheel.errors import Unavailable
from tidewheel.sources.spill import Spill


@given(
    batches=st.lists(st.lists(st.tuples(st.integers(0, 4), st.sampled_from([None, "", "long " * 9])))), room=st.integers(1, 999)
)
def test_every_row_is_in_its_bucket_in_the_order_in_which_it_came(
    batches: list[list[tuple[int, str | None]]], room: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with Spill(tmp_path_factory.mktemp("spill")) as spill:
        buckets = spill.buckets(5, room_bytes=room)
        for rows in batches:
            codes = np.array([code for code, _ in rows], dtype=np.int64)
            buckets.add(codes, pa.table({"text": pa.array([text for _, text in rows], pa.string())}))
        for bucket in range(5) if batches else ():
            held = [text for table in buckets.read(bucket) for text in table["text"].to_pylist()]
            assert held == [text for rows in batches for code, text in rows if code == bucket]
            assert buckets.rows[bucket] == len(held)


def test_a_mapped_table_outlives_its_file(tmp_path: Path) -> None:
    with Spill(tmp_path) as spill:
        strip = spill.strip()
        for start in range(3):
            strip.write(pa.table({"a": [start, None]}))
        table = strip.mapped()
    assert not list(tmp_path.iterdir())
    assert table["a"].to_pylist() == [0, None, 1, None, 2, None]


def test_folders_of_processes_that_are_gone_are_removed_and_those_of_others_are_not(tmp_path: Path) -> None:
    gone = tmp_path / "work-gone"
    gone.mkdir()
    (gone / "lock").touch()
    (gone / "1.arrow").touch()
    with Spill(tmp_path) as held:
        for folder in (gone, held.folder):
            os.utime(folder, (0, 0))
        with Spill(tmp_path):
            assert not gone.exists()
            assert held.folder.exists()
    assert not list(tmp_path.iterdir())


def test_a_disk_without_room_is_told_with_the_way_out(tmp_path: Path) -> None:
    with Spill(tmp_path) as spill:
        strip = spill.strip()
        strip.path = Path("/dev/full")
        with pytest.raises(Unavailable, match="raise memory_limit"):
            strip.write(pa.table({"a": list(range(100_000))}))
            strip.reader()
