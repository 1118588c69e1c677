"""The stamp of a source: what tells without reading that its files are those of before, and when nothing does."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tidewheel.sources import source
from tidewheel.sources.location import location
from tidewheel.sources.push import PushLog
from tidewheel.sources.read import Sources

RIDES = source("rides", "d/*.parquet", time="t")
HOUR_NS = 3_600_000_000_000


def write(path: Path, *values: int, hours_ago: float = 1) -> None:
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({"t": values, "x": values}), path)
    then = time.time_ns() - int(hours_ago * HOUR_NS)
    os.utime(path, ns=(then, then))


def test_a_stamp_stays_while_the_files_do_and_reads_none_of_them(sources: Sources, tmp_path: Path) -> None:
    for name in "ab":
        write(tmp_path / f"d/{name}.parquet", 1)
    before = [path.stat().st_atime_ns for path in sorted((tmp_path / "d").iterdir())]
    first = sources.stamp(RIDES)
    assert first is not None
    assert sources.stamp(RIDES) == first
    assert [path.stat().st_atime_ns for path in sorted((tmp_path / "d").iterdir())] == before
    assert sources.stamp(source("others", "d/*.parquet", time="t")) == first, "it is of files, whoever names them"


@pytest.mark.parametrize(
    "what", ["more rows", "the same bytes later", "another file", "one file less", "a file of another name"]
)
def test_a_stamp_is_another_when_files_may_be_others(sources: Sources, tmp_path: Path, what: str) -> None:
    a, b = tmp_path / "d/a.parquet", tmp_path / "d/b.parquet"
    write(a, 1)
    write(b, 2)
    before = sources.stamp(RIDES)
    if what == "more rows":
        write(a, *range(1000))
    elif what == "the same bytes later":
        write(a, 1, hours_ago=0.5)
    elif what == "another file":
        write(tmp_path / "d/c.parquet", 3)
    elif what == "one file less":
        b.unlink()
    else:
        b.rename(tmp_path / "d/c.parquet")
    after = sources.stamp(RIDES)
    assert None not in (before, after)
    assert after != before


def test_there_is_no_stamp_where_nothing_tells(sources: Sources, tmp_path: Path) -> None:
    write(tmp_path / "d/a.parquet", 1)
    assert sources.stamp(RIDES) is not None
    write(tmp_path / "d/a.parquet", 2, hours_ago=0)  # may be written again within the same tick of the clock
    assert sources.stamp(RIDES) is None
    assert sources.stamp(source("memory", pa.table({"t": [1]}), time="t")) is None
    assert sources.stamp(source("far", location("s3://bucket/*.parquet", region="here"), time="t")) is None
    write(tmp_path / "d/a.parquet", 2)
    log = PushLog(tmp_path / "pushes" / "rides")
    log.append(RIDES, pa.table({"t": [1], "x": [3]}))
    log.close()
    assert sources.stamp(RIDES) is None
    assert sources.stamp(source("unpushed", "d/*.parquet", time="t")) is not None
