"""What the tests of every noun share: Hypothesis profiles, and databases on both dialects."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from shutil import which

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from tests.examples import CI_EXAMPLES, NIGHTLY_EXAMPLES
from tests.servers import POSTGRES, postgres_store, redis_store, server_url, with_option

from tidewheel.backends.duckdb import DuckDB
from tidewheel.clock import Micros
from tidewheel.database.open import Database
from tidewheel.ports.query_engine import QueryEngine

# Machines that run many tests at once are slow at random, so there are no deadlines: the suite's time-out is the bound.
settings.register_profile("dev", max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
for name, examples in (("ci", CI_EXAMPLES), ("nightly", NIGHTLY_EXAMPLES)):
    settings.register_profile(
        name, max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
    )
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))

BACKENDS = Path(__file__).parent / "backends"
_FEW_ROWS = {
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
}
"""Of a case Spark would spend half of its time on compiling what then sees three rows; its own tests run as users do."""


def pytest_configure(config: pytest.Config) -> None:
    """A mark for each technology."""
    for folder in sorted(path.name for path in BACKENDS.iterdir() if path.is_dir()):
        config.addinivalue_line("markers", f"{folder}: talks to the {folder} backend")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What lies in ``tests/backends/<technology>`` bears its mark."""
    for item in items:
        if BACKENDS in item.path.parents:
            item.add_marker(item.path.relative_to(BACKENDS).parts[0])


class Ticking:
    """A clock that moves on by itself, one second at a time, so that no two readings are equal."""

    def __init__(self, start: int = 1_577_836_800_000_000) -> None:
        self.now = start

    def __call__(self) -> Micros:
        self.now += 1_000_000
        return Micros(self.now)


@pytest.fixture
def clock() -> Ticking:
    """A clock of the test's own, at 2020-01-01 UTC."""
    return Ticking()


@pytest.fixture
def postgres_store_url() -> Iterator[str]:
    """URL of an empty online store on the real PostgreSQL server."""
    with postgres_store() as url:
        yield url


@pytest.fixture
def redis_store_url() -> Iterator[str]:
    """URL of an empty online store on the real Redis server."""
    with redis_store() as url:
        yield url


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """URL of an empty schema on the real PostgreSQL server that ``.ci/servers.sh`` starts."""
    server = server_url(POSTGRES)
    schema = f"test_{uuid.uuid4().hex}"
    admin = create_engine(make_url(server).set(drivername="postgresql+psycopg"))
    try:
        with admin.begin() as connection:
            connection.execute(text(f"CREATE SCHEMA {schema}"))
        yield with_option(server, f"options=-csearch_path%3D{schema}")
        with admin.begin() as connection:
            connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    finally:
        admin.dispose()


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueryEngine]:
    """The one Spark of this process; every further engine of it is a session of its own that starts at once."""
    if which("java") is None:
        pytest.skip("Spark needs Java: apt-get install openjdk-17-jre-headless")
    from tidewheel.backends.spark import Spark

    options = {"spark.driver.defaultJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}
    with Spark("local[2]", temporary=tmp_path_factory.mktemp("spark"), options=options) as engine:
        yield engine


@pytest.fixture(params=["duckdb", pytest.param("spark", marks=pytest.mark.slow)])
def every_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], QueryEngine]:
    """Makes engines of each kind, embedded ones and sessions in a real local Spark."""
    if request.param == "duckdb":
        return partial(DuckDB, threads=1, memory_limit=512_000_000)
    request.getfixturevalue("spark")
    from tidewheel.backends.spark import Spark

    return partial(Spark, "local[2]", temporary=tmp_path / "spark", options=_FEW_ROWS)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database, on SQLite and on PostgreSQL."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path}/tidewheel.db"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An open database with the current schema, on SQLite and on PostgreSQL."""
    opened = Database.open(database_url)
    yield opened
    opened.close()
