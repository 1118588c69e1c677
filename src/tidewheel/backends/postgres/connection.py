"""Connections to one PostgreSQL: kept between calls, made again when they break, never shared across a fork."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import Connection, errors, sql
from psycopg.conninfo import conninfo_to_dict

from tidewheel.errors import Denied, Invalid, TidewheelError, Unavailable
from tidewheel.url import without_password

T = TypeVar("T")

_CONNECT_SECONDS = 5
_DEADLOCK_TRIALS = 20
_inherited: list[Connection] = []
# Connections of a parent process: kept for ever, because to close them here would end the parent's sessions.


class Connections:
    """Idle connections in autocommit mode, to tables that exist; thread safe.

    Parameters
    ----------
    url
        ``postgresql://user:password@host:port/database``; options are those of libpq.
    prepare
        Run once for each new connection.

    Examples
    --------
    >>> Connections("mysql://localhost/taxi", prepare=print)
    Traceback (most recent call last):
        ...
    tidewheel.errors.Invalid: 'mysql://localhost/taxi' names no PostgreSQL. Fix: write postgresql://user:password@host/database
    """

    def __init__(self, url: str, *, prepare: Callable[[Connection], None]) -> None:
        self._url = _parse(url)
        self.name = without_password(url)
        self._prepare = prepare
        self._idle: list[Connection] = []
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._closed = False

    def ask(self, action: Callable[[Connection], T]) -> T:
        """The answer of ``action``, which does no harm when it runs twice.

        Raises
        ------
        Unavailable
            When the server cannot be reached, or refuses work for now.
        Denied
            When the user may not do this.
        """
        if self._closed:
            raise Invalid(f"the store on {self.name} is closed", fix="open it again")
        if self._pid != os.getpid():  # a forked child talks on connections of its own
            _inherited.extend(self._emptied())
            self._pid = os.getpid()
        try:
            try:
                known = self._idle.pop()
            except IndexError:
                return self._on(self._connect(), action)
            try:
                return self._on(known, action)
            except psycopg.OperationalError:
                if not known.closed:
                    raise
                for stale in self._emptied():  # the server went away since the last call, and may be back
                    stale.close()
                return self._on(self._connect(), action)
        except psycopg.Error as error:
            raise self._told(error) from error

    def _on(self, connection: Connection, action: Callable[[Connection], T]) -> T:
        try:
            answer = _undisturbed(lambda: action(connection))
        except psycopg.Error:
            if not connection.closed:
                self._give_back(connection)
            raise
        except BaseException:
            connection.close()
            raise
        self._give_back(connection)
        return answer

    def _give_back(self, connection: Connection) -> None:
        if self._closed:
            connection.close()
        else:
            self._idle.append(connection)

    def _emptied(self) -> list[Connection]:
        with self._lock:
            idle, self._idle = self._idle, []
        return idle

    def _connect(self) -> Connection:
        connection = psycopg.connect(self._url, autocommit=True, connect_timeout=_CONNECT_SECONDS, application_name="tidewheel")
        try:
            _undisturbed(lambda: self._prepare(connection))
        except BaseException:
            connection.close()
            raise
        return connection

    def _told(self, error: psycopg.Error) -> TidewheelError:
        text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if isinstance(error, errors.InsufficientPrivilege | errors.InvalidAuthorizationSpecification):
            fix = "let the user create a schema in that database, or create the schema and let the user own it"
            return Denied(f"PostgreSQL {self.name} refuses: {text}", where=self.name, fix=fix)
        if isinstance(error, psycopg.OperationalError):
            fix = "start it, or correct the URL in tidewheel.toml; the next call connects again"
            return Unavailable(f"PostgreSQL {self.name} cannot be reached: {text}", where=self.name, fix=fix)
        return Unavailable(f"PostgreSQL {self.name} answered: {text}", where=self.name, fix="see the server's log")

    def close(self) -> None:
        """Close every idle connection; idempotent."""
        self._closed = True
        idle = self._emptied()
        if self._pid != os.getpid():
            _inherited.extend(idle)
            return
        for connection in idle:
            connection.close()


def create_tables(connection: Connection, namespace: str, statements: str) -> None:
    """A schema and what is in it, unless they are there; safe to call from many processes at once."""
    schema = sql.Identifier(namespace)
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (f"tidewheel:{namespace}",))
        known = connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (namespace,)).fetchone()
        if known is None:  # IF NOT EXISTS would ask for the right to create, even where nothing is to be created
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(schema))
        connection.execute(sql.SQL(statements).format(schema=schema))


def _undisturbed(action: Callable[[], T]) -> T:
    """The action's answer, tried again when PostgreSQL chose it as the victim of a deadlock."""
    for _ in range(_DEADLOCK_TRIALS):
        try:
            return action()
        except (errors.DeadlockDetected, errors.SerializationFailure):
            continue
    return action()


def _parse(url: str) -> str:
    parts = urlsplit(url)
    fix = "write postgresql://user:password@host/database"
    if parts.scheme.partition("+")[0] not in ("postgres", "postgresql"):
        raise Invalid(f"{without_password(url)!r} names no PostgreSQL", fix=fix)
    plain = urlunsplit(parts._replace(scheme="postgresql"))
    try:
        conninfo_to_dict(plain)
    except psycopg.ProgrammingError as error:
        raise Invalid(f"{without_password(url)!r} names no PostgreSQL: {str(error).strip()}", fix=fix) from error
    return plain
