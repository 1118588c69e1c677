"""The real servers that ``.ci/servers.sh`` starts, and online stores on every technology."""

from __future__ import annotations

import os
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from tidewheel.backends.lmdb import open_online_store as open_lmdb
from tidewheel.backends.memory import open_online_store as open_memory
from tidewheel.backends.postgres import open_online_store as open_postgres
from tidewheel.backends.redis import open_online_store as open_redis
from tidewheel.ports.online_store import OnlineStore

POSTGRES, REDIS, NATS = "TIDEWHEEL_TEST_POSTGRES", "TIDEWHEEL_TEST_REDIS", "TIDEWHEEL_TEST_NATS"
S3 = "TIDEWHEEL_TEST_S3"
EMBEDDED = ["memory", "lmdb"]
SERVERS = [pytest.param("redis", marks=pytest.mark.slow), pytest.param("postgres", marks=pytest.mark.slow)]
STORES = [*EMBEDDED, *SERVERS]
"""Parameters of a fixture that opens :func:`any_store`; what needs a server is slow."""


def server_url(variable: str) -> str:
    """URL of a real server, or a skip that says how to start one."""
    url = os.environ.get(variable)
    if not url:
        pytest.skip(f'{variable} is not set: eval "$(.ci/servers.sh start)"')
    return url


def new_bucket() -> str:
    """Name of an empty bucket on the server that plays S3."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    urllib.request.urlopen(urllib.request.Request(f"{server_url(S3)}/{name}", method="PUT")).close()
    return name


def with_option(url: str, option: str) -> str:
    """The URL with one option more."""
    return f"{url}{'&' if '?' in url else '?'}{option}"


@contextmanager
def postgres_store() -> Iterator[str]:
    """URL of an empty online store on the real PostgreSQL server; gone afterwards."""
    server = server_url(POSTGRES)
    namespace = f"test_{uuid.uuid4().hex}"
    yield with_option(server, f"namespace={namespace}")
    admin = create_engine(make_url(server).set(drivername="postgresql+psycopg"))
    try:
        with admin.begin() as connection:
            connection.execute(text(f"DROP SCHEMA IF EXISTS {namespace} CASCADE"))
    finally:
        admin.dispose()


@contextmanager
def redis_store() -> Iterator[str]:
    """URL of an empty online store on the real Redis server; gone afterwards."""
    url = with_option(server_url(REDIS), f"namespace=test_{uuid.uuid4().hex}")
    yield url
    store = open_redis(url)
    store.delete(b"")
    store.close()


@contextmanager
def any_store(technology: str, folder: Path) -> Iterator[OnlineStore]:
    """An empty store on one of :data:`STORES`, closed afterwards."""
    with ExitStack() as stack:
        if technology == "postgres":
            store: OnlineStore = open_postgres(stack.enter_context(postgres_store()))
        elif technology == "redis":
            store = open_redis(stack.enter_context(redis_store()))
        else:
            store = open_memory("memory://") if technology == "memory" else open_lmdb(f"lmdb://{folder}/online.lmdb")
        stack.callback(store.close)
        yield store
