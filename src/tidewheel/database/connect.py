"""Make the engine for a URL: driver, pool, and what each new connection is told."""

from __future__ import annotations

import importlib.util
import sqlite3
import time
from functools import partial
from pathlib import Path
from typing import cast

import sqlalchemy
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as TimedOut
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from tidewheel.errors import Invalid, MissingExtra, TidewheelError, Unavailable
from tidewheel.url import without_password

BUSY_SECONDS = 30
"""How long a writer waits for its turn before it gives up with ``Unavailable``."""

UNREACHABLE = (DBAPIError, sqlite3.Error, TimedOut)
"""What drivers and the pool raise when they fail to connect, or to get the writer's turn."""

_WRITE = "tidewheel_write"  # execution option of the connection that is about to write
_WRITER_LOCK = 0x7469_6465  # "tide": class of the advisory lock by which PostgreSQL's writers take turns, as SQLite's do
_KINDS = "sqlite:////absolute/path.db, or postgresql://user@host/name"


def parse_url(url: str) -> URL:
    """The URL with its driver; SQLite paths are made absolute."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise Invalid(f"{without_password(url)!r} is not a database URL", fix=f"write {_KINDS}") from error
    if parsed.drivername == "sqlite":
        path = parsed.database
        return parsed.set(database=str(Path(path).expanduser().absolute())) if path and path != ":memory:" else parsed
    if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        if importlib.util.find_spec("psycopg") is None:
            raise MissingExtra("PostgreSQL needs the package psycopg", fix="pip install 'tidewheel[postgres]'")
        return parsed.set(drivername="postgresql+psycopg")
    raise Invalid(f"{parsed.drivername!r} is not a database that Tidewheel uses", fix=f"write {_KINDS}")


def shown_url(url: str) -> str:
    """The URL in one way of writing it, without its password: two that are shown alike mean the same database.

    Examples
    --------
    >>> shown_url("postgres://ann:s3cret@db/shop?password=s3cret")
    'postgresql://ann:***@db/shop?password=***'
    """
    if url.startswith("postgres"):
        return without_password("postgresql" + url[url.index(":") :])
    return without_password(parse_url(url).render_as_string(hide_password=False))


def make_engine(url: URL) -> Engine:
    """An engine whose connections are ready to use; connects to nothing yet."""
    if url.drivername == "sqlite":
        level = _synchronous(url)
        engine = sqlalchemy.create_engine(
            url.difference_update_query(["synchronous"]),
            poolclass=QueuePool,
            pool_size=8,
            max_overflow=-1,
            connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False, "isolation_level": None},
        )
        event.listen(engine, "connect", partial(_set_up_sqlite, level=level))
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    engine = sqlalchemy.create_engine(
        url,
        pool_size=8,
        max_overflow=24,
        pool_pre_ping=True,
        connect_args={"connect_timeout": BUSY_SECONDS},
    )
    event.listen(engine, "begin", _begin_postgres)
    return engine


def make_modes(engine: Engine) -> tuple[Engine, Engine]:
    """The engine twice, with the same connections: for those who read, and for those who write.

    To set such options on each connection anew would cost more than an SQLite transaction.
    """
    if engine.dialect.name == "postgresql":
        reading = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    else:
        reading = engine.execution_options(**{_WRITE: False})
    return reading, engine.execution_options(**{_WRITE: True})


def unavailable(url: URL, error: Exception | None = None) -> TidewheelError:
    """What to say when the database does not answer, or other writers do not let go."""
    shown = without_password(url.set(drivername=url.get_backend_name()).render_as_string(hide_password=True))
    reason = str(getattr(error, "orig", None) or error or "").strip().partition("\n")[0]
    if not reason or "locked" in reason or "lock timeout" in reason:
        return Unavailable(
            f"database {shown}: another writer held it for {BUSY_SECONDS} seconds",
            fix="see which process holds it (a stopped debugger?) and try again",
        )
    if url.drivername == "sqlite":
        return Unavailable(f"database {shown} cannot be opened: {reason}", fix="see that the folder exists and may be written")
    return Unavailable(f"database {shown} does not answer: {reason}", fix="see that the server runs and that the URL is right")


def _synchronous(url: URL) -> str:
    """``NORMAL``: a loss of power can take the last transactions. ``FULL``: none that was committed."""
    level = str(url.query.get("synchronous", "normal")).upper()
    if level not in ("NORMAL", "FULL"):
        raise Invalid(f"{level.lower()!r} is not a setting of synchronous", where=str(url), fix="write normal or full")
    return level


def _set_up_sqlite(connection: sqlite3.Connection, _: ConnectionPoolEntry, *, level: str) -> None:
    mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    give_up_at = time.monotonic() + BUSY_SECONDS
    while mode != "wal":  # SQLite does not wait by itself when two processes turn a new file to WAL
        try:
            mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        except sqlite3.OperationalError:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(0.01)
    connection.execute(f"PRAGMA synchronous={level}")
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_sqlite(connection: Connection) -> None:
    # pysqlite's own BEGIN comes too late and is never IMMEDIATE; so it is off (isolation_level=None), and here is ours.
    writing = connection.get_execution_options().get(_WRITE, False)
    # By the driver itself: both run for every transaction, and SQLAlchemy takes ten times as long about them as SQLite.
    driver = cast(sqlite3.Connection, connection.connection.driver_connection)
    driver.execute(f"PRAGMA query_only={0 if writing else 1}")
    driver.execute("BEGIN IMMEDIATE" if writing else "BEGIN")


def _begin_postgres(connection: Connection) -> None:
    if connection.get_execution_options().get(_WRITE, False):
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{BUSY_SECONDS}s'")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITER_LOCK}, hashtext(current_schema()))")
