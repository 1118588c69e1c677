"""The workspace's one SQL database: SQLite on a laptop, PostgreSQL in a team, the same behaviour on both.

A database has one writer at a time, many readers, and a schema that is brought up to date when it is opened. Each noun owns
its own ``tables.py``; this package owns the engine, the transactions and the migrations.

Examples
--------
>>> from tidewheel.database import Database
>>> database = Database.open("sqlite://")
>>> with database.read() as connection:
...     connection.exec_driver_sql("SELECT 1").scalar_one()
1
>>> database.close()
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidewheel.database.open import Database as Database
    from tidewheel.database.tables import metadata as metadata

__all__ = ["Database", "metadata"]


def __getattr__(name: str) -> object:
    if name == "Database":
        from tidewheel.database.open import Database

        return Database
    if name == "metadata":
        from tidewheel.database.tables import metadata

        return metadata
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
