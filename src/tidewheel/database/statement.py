"""A statement that runs very often, as for every step of a pipeline."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import cast

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.expression import Delete, Insert, Select, Update

Values = Mapping[str, object]


class Statement:
    """A statement of SQLAlchemy's that is compiled once, and on SQLite handed to the driver itself.

    SQLAlchemy takes 30 us to run a statement that it has compiled, and SQLite 3. Columns must be of types that the driver gives
    and takes as they are: texts, numbers and bytes.

    Examples
    --------
    >>> import sqlalchemy as sa
    >>> from tidewheel.database.open import Database
    >>> database = Database.open("sqlite://")
    >>> with database.read() as connection:
    ...     Statement(sa.select(sa.bindparam("x", type_=sa.Integer).label("x"))).run(connection, {"x": 5})
    [{'x': 5}]
    >>> database.close()
    """

    __slots__ = ("_compiled", "_statement")

    def __init__(self, statement: Select[*tuple[object, ...]] | Insert | Update | Delete) -> None:
        self._statement = statement
        self._compiled: tuple[str, Sequence[str]] | None = None

    def run(self, connection: Connection, values: Values) -> list[Values]:
        """Its rows, by column; an ``INSERT`` must be given the same columns each time.

        Raises
        ------
        sqlalchemy.exc.DBAPIError
            As when SQLAlchemy runs it.
        """
        if connection.dialect.name != "sqlite":
            result = connection.execute(self._statement, values)
            return [dict(row) for row in result.mappings()] if result.returns_rows else []
        if self._compiled is None:
            compiled = self._statement.compile(dialect=connection.dialect, column_keys=list(values))
            self._compiled = str(compiled), tuple(compiled.positiontup or ())
        text, names = self._compiled
        driver = cast(sqlite3.Connection, connection.connection.driver_connection)
        taken = [values[name] for name in names]
        try:
            cursor = driver.execute(text, taken)
            if cursor.description is None:
                return []
            columns = [one[0] for one in cursor.description]
            return [dict(zip(columns, row, strict=True)) for row in cursor]
        except sqlite3.Error as error:
            raise DBAPIError.instance(text, taken, error, sqlite3.Error, dialect=connection.dialect) from error
