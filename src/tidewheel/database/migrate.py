"""Bring a database's schema up to date."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from sqlalchemy import Connection

from tidewheel.errors import Incompatible

_FOLDER = Path(__file__).resolve().parent / "migrations"


@cache
def head() -> str:
    """The newest revision that this Tidewheel knows; the files' names sort in the order of the chain."""
    return max(path.stem for path in (_FOLDER / "versions").glob("[0-9]*.py"))


def find_revision(connection: Connection) -> str | None:
    """The revision of the database's schema; ``None`` for an empty database. Does not load Alembic: every opening asks."""
    if connection.dialect.name == "sqlite":
        ask = "SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'"
    else:
        ask = "SELECT to_regclass('alembic_version')"
    if connection.exec_driver_sql(ask).scalar() is None:
        return None
    found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return None if found is None else str(found)


def upgrade(connection: Connection) -> None:
    """Apply the migrations that are missing, inside of the caller's write transaction: all of them or none.

    Raises
    ------
    Incompatible
        When a newer Tidewheel has written the database.
    """
    found = find_revision(connection)
    if found == head():
        return
    if found is not None and found > head():
        raise Incompatible(
            f"the database's schema is {found}, newer than this Tidewheel's {head()}",
            fix="pip install --upgrade tidewheel",
        )
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    from tidewheel.database.tables import metadata

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)
    context = EnvironmentContext(config, script, fn=lambda revision, _: script._upgrade_revs("head", revision))
    with context:
        context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True)
        context.run_migrations()
