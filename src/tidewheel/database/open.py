"""Open a database: transactions, and a schema that is current."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine
from sqlalchemy.engine import URL

from tidewheel.database.connect import BUSY_SECONDS, UNREACHABLE, make_engine, make_modes, parse_url, shown_url, unavailable
from tidewheel.database.migrate import find_revision, head, upgrade

_inherited: list[Engine] = []
# Engines of a parent process: kept for ever, because to close them here would disturb the parent's connections.


class Database:
    """One SQL database with one writer at a time.

    A write transaction has the database to itself, on PostgreSQL as on SQLite, so "read, decide, write" inside of one
    :meth:`write` block is always safe; keep these blocks short, and do not ``await`` in them. Readers never wait. All
    methods may be called from any thread, and after a fork.

    Examples
    --------
    >>> database = Database.open("sqlite://")
    >>> with database.write() as connection:
    ...     _ = connection.exec_driver_sql("CREATE TABLE zones (name TEXT)")
    ...     _ = connection.exec_driver_sql("INSERT INTO zones VALUES ('Soho')")
    >>> with database.read() as connection:
    ...     connection.exec_driver_sql("SELECT name FROM zones").scalar_one()
    'Soho'
    >>> database.close()
    """

    def __init__(self, url: URL) -> None:
        self._private: weakref.finalize[[str], Database] | None = None
        if url.drivername == "sqlite" and url.database in (None, "", ":memory:"):
            folder = tempfile.mkdtemp(prefix="tidewheel-")
            self._private = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            url = url.set(database=str(Path(folder, "private.db")))
        self._url = url
        self._engine = make_engine(url)
        self._modes = make_modes(self._engine)
        self._pid = os.getpid()
        self._turn = threading.Lock()
        self._local = threading.local()

    @classmethod
    def open(cls, url: str) -> Database:
        """Connect, and bring the schema up to date.

        Parameters
        ----------
        url
            ``sqlite:///relative.db``, ``sqlite:////absolute.db``, ``sqlite://`` (private: gone when closed), or
            ``postgresql://user:password@host/name``.

        Raises
        ------
        Invalid
            When the URL is of no known kind.
        Unavailable
            When the database cannot be reached or opened.
        Incompatible
            When a newer Tidewheel has written it.
        MissingExtra
            When the driver is not installed.

        Examples
        --------
        >>> Database.open("mysql://localhost/x")
        Traceback (most recent call last):
            ...
        tidewheel.errors.Invalid: 'mysql' is not a database that Tidewheel uses. Fix: write sqlite:////absolute/path.db, or postgresql://user@host/name
        """
        database = cls(parse_url(url))
        try:
            with database.read() as connection:
                current = find_revision(connection) == head()
            if not current:
                with database.write() as connection:
                    upgrade(connection)
        except BaseException:
            database.close()
            raise
        return database

    @property
    def url(self) -> str:
        """With which another process opens the same database; it holds the password, so it is never stored or shown."""
        return self._url.set(drivername=self._url.get_backend_name()).render_as_string(hide_password=False)

    @property
    def shown_url(self) -> str:
        """The same without the password: what may be stored and shown."""
        return shown_url(self.url)

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self._engine.dialect.name

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees one consistent state and cannot write; inside of :meth:`write` it is the writer's own.

        Raises
        ------
        Unavailable
            When the database cannot be reached.
        """
        active = self._active()
        if active is not None:
            yield active
            return
        with self._connect(writing=False) as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction: committed when the block ends, rolled back when it raises.

        A block inside of another one, in the same thread, is part of the outer transaction: it is committed with it, and when
        it raises it is undone alone, also if the outer block catches the error.

        Raises
        ------
        Unavailable
            When other writers do not let go for 30 seconds, or the database cannot be reached.
        """
        active = self._active()
        if active is not None:
            with active.begin_nested():
                yield active
            return
        if not self._turn.acquire(timeout=BUSY_SECONDS):
            raise unavailable(self._url)
        turn = self._turn
        try:
            with self._connect(writing=True) as connection:
                self._local.connection = connection
                try:
                    yield connection
                    connection.commit()
                finally:
                    self._local.connection = None
        finally:
            turn.release()

    def close(self) -> None:
        """Close all connections; idempotent. A private ``sqlite://`` database is deleted."""
        if self._pid == os.getpid():
            self._engine.dispose()
            if self._private is not None:
                self._private()

    def _active(self) -> Connection | None:
        if self._pid != os.getpid():
            _inherited.append(self._engine)
            self._engine = make_engine(self._url)
            self._modes = make_modes(self._engine)
            self._turn = threading.Lock()
            self._local = threading.local()
            self._pid = os.getpid()
        active: Connection | None = getattr(self._local, "connection", None)
        return active

    @contextmanager
    def _connect(self, *, writing: bool) -> Iterator[Connection]:
        connection = None
        try:
            connection = self._modes[writing].connect()
            connection.begin()
        except UNREACHABLE as error:
            if connection is not None:
                connection.close()
            raise unavailable(self._url, error) from error
        with connection:
            yield connection
