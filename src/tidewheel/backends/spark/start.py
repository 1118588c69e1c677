"""Starts Spark, or finds the one that runs in this process: there can be only one."""

from __future__ import annotations

import logging
import sys
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shutil import which

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from tidewheel.errors import MissingExtra, Unavailable

_LOG = Path(__file__).parent / "log4j2.properties"
_CODE = "tidewheel-code"


def start_session(master: str, *, folder: Path, options: Mapping[str, str]) -> tuple[SparkSession, bool]:
    """A session of our own in this process's Spark, and whether Spark was started for it.

    Parameters
    ----------
    master
        Spark's own URL, or ``local[2]``.
    folder
        For what Spark spills, where there is no cluster that knows better.
    options
        Spark's properties, which win over ours.

    Raises
    ------
    MissingExtra
        When there is no Java.
    Unavailable
        When Spark does not start.
    """
    running = SparkSession.getActiveSession() or SparkSession._instantiatedSession
    if running is not None and running.sparkContext._jsc is not None:
        return _own(running, options), False
    if which("java") is None:
        raise MissingExtra("Spark needs Java, and there is no java on the path", fix="apt-get install openjdk-17-jre-headless")
    folder.mkdir(parents=True, exist_ok=True)
    settings = _settings(master, folder) | dict(options)
    builder = SparkSession.builder.master(master).appName("tidewheel")
    for name, value in settings.items():
        builder = builder.config(name, value)
    try:
        with quiet():
            made = builder.getOrCreate()
    except (PySparkException, Py4JError, RuntimeError, OSError) as error:
        first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise Unavailable(
            f"Spark does not start on {master}: {first}", fix="check the engine's URL, Java, and memory"
        ) from error
    if not _is_here(master):
        made.sparkContext.addArchive(f"{_pack_code(folder)}#{_CODE}")
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)  # prints what it throws, which we explain
    if "spark.pyspark.python" in options:  # heeded by Spark only where its own script starts the driver
        made.sparkContext.pythonExec = options["spark.pyspark.python"]
    elif master.startswith("local"):
        made.sparkContext.pythonExec = sys.executable
    return _own(made, options), True


@contextmanager
def quiet() -> Iterator[None]:
    """Without Spark's warnings about the version of pandas, which our path does not touch."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"pyspark\..*")
        warnings.filterwarnings("ignore", message=r"PySpark does not yet fully support pandas", category=FutureWarning)
        yield


def _own(running: SparkSession, options: Mapping[str, str]) -> SparkSession:
    """A session with names of its own, and the semantics that ours need."""
    made = running.newSession()
    for name, value in _SEMANTICS.items():
        made.conf.set(name, value)
    for name, value in options.items():
        if made.conf.isModifiable(name):
            made.conf.set(name, value)
    return made


_SEMANTICS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.timestampType": "TIMESTAMP_NTZ",  # a time without a zone stays one, as in DuckDB
    "spark.sql.ansi.enabled": "true",  # what does not fit is an error, not another number
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.inferTimestampNTZ.enabled": "true",
    "spark.sql.legacy.parquet.nanosAsLong": "true",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.execution.arrow.useLargeVarTypes": "false",
    "spark.sql.execution.pythonUDF.arrow.enabled": "true",
}


def _settings(master: str, folder: Path) -> dict[str, str]:
    """What is fixed once Spark has started."""
    found = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "ERROR",
        "spark.driver.memory": "1g",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile=file:{_LOG} -Dderby.system.home={folder}",
        "spark.python.worker.reuse": "true",
    }
    if master.startswith("local"):  # nothing of a Spark on one machine listens to the network
        loopback = {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}
        found |= loopback | {"spark.local.dir": str(folder), "spark.sql.shuffle.partitions": "4"}
    if not _is_here(master):
        found["spark.executorEnv.PYTHONPATH"] = f"./{_CODE}"
    return found


def _is_here(master: str) -> bool:
    """Whether workers run in this process's own folder."""
    return master == "local" or master.startswith("local[")


def _pack_code(folder: Path) -> Path:
    """This package, compiled kernels too, as an archive: workers run the code that this process runs, wherever they are."""
    package = Path(__file__).parents[2]
    path = folder / f"{_CODE}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for file in sorted(package.rglob("*")):
            if file.suffix in (".py", ".so", ".pyd", ".properties"):
                archive.write(file, file.relative_to(package.parent))
    return path
