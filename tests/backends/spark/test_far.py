"""Answers that the driver has no room for, and a cluster whose workers share no folder with the driver but the data's."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from urllib.parse import quote_plus

import pyarrow.parquet as pq
import pyspark
import pytest
from tests.backends.spark.worlds import answer, events, spine, views

from tidewheel.backends.duckdb import DuckDB
from tidewheel.sources.definition import source

pytestmark = [pytest.mark.slow, pytest.mark.skipif(which("java") is None, reason="Spark needs Java")]
ROOT = Path(__file__).parents[3]
JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
QUICK = [f"spark.{one}.defaultJavaOptions={quote_plus(JAVA)}" for one in ("driver", "executor")]


def probe(url: str, folder: Path, *, rows: int) -> str:
    """Ask another process's Spark, and compare with DuckDB; where the workers' code was."""
    events(folder, rows, share=0.9)
    asked = spine(rows)
    pq.write_table(asked, folder / "spine.parquet")
    with DuckDB(threads=1) as duckdb:
        of = source("events", str(folder / "events.parquet"), time="ts", created="made")
        expected = answer(views(of), asked, duckdb, folder).table
    command = [sys.executable, "-m", "tests.backends.spark.probe", url, str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3_000:]
    assert pq.read_table(folder / "answer.parquet").equals(expected)
    return done.stdout.strip()


@pytest.mark.nightly
def test_on_a_cluster_nothing_large_passes_through_the_driver_and_workers_run_its_code(tmp_path: Path) -> None:
    """10,000 rows of answer are 700 KB, and a driver that takes 64 KiB of results answers them; 90 % are of one key."""
    limits = ["spark.driver.maxResultSize=64k", "small_bytes=0", "bucket_rows=2500", "spark.sql.shuffle.partitions=2"]
    limits += ["spark.executor.cores=2", "spark.executor.memory=512m", "spark.driver.memory=512m"]
    here = ["spark.driver.host=127.0.0.1", "spark.driver.bindAddress=127.0.0.1", f"spark.pyspark.python={sys.executable}"]
    with cluster(tmp_path) as master:
        place = probe(f"{master}?{'&'.join([*limits, *here, *QUICK])}", tmp_path, rows=10_000)
    assert place.startswith(str(tmp_path / "work"))


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """A master and a worker of two cores, by Spark's own command; answers the master's URL."""
    script = str(Path(pyspark.__file__).parent / "bin" / "spark-class")
    environment = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_DAEMON_MEMORY": "256m", "SPARK_DAEMON_JAVA_OPTS": JAVA}
    started = []

    def start(name: str, *arguments: str) -> Path:
        log = folder / f"{name}.log"
        command = [script, f"org.apache.spark.deploy.{name}", *arguments]
        with log.open("w") as file:
            started.append(subprocess.Popen(command, cwd=folder, env=environment, stdout=file, stderr=file))
        return log

    try:
        (folder / "work").mkdir()
        ports = ["--host", "127.0.0.1", "--port", "0", "--webui-port", "0"]
        url = said(start("master.Master", *ports), "Starting Spark master at ").split()[0]
        said(
            start("worker.Worker", *ports, "--cores", "2", "--memory", "1g", "--work-dir", str(folder / "work"), url),
            "registered",
        )
        yield url
    finally:
        for one in reversed(started):
            one.terminate()
            one.wait(timeout=60)


def said(log: Path, words: str) -> str:
    """What a log says behind some words, once it does."""
    until = time.monotonic() + 120
    while words not in log.read_text():
        assert time.monotonic() < until, log.read_text()[-2_000:]
        time.sleep(0.2)
    return log.read_text().partition(words)[2]
