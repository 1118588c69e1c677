"""Migrations make exactly the tables that the nouns declare, on both databases."""

from __future__ import annotations

import importlib
import multiprocessing
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

import tidewheel
from tidewheel.database.migrate import find_revision, head
from tidewheel.database.open import Database
from tidewheel.database.tables import metadata
from tidewheel.errors import Incompatible

SOURCE = Path(tidewheel.__file__).parent


def import_all_tables() -> None:
    for path in sorted(SOURCE.glob("*/tables.py")):
        importlib.import_module(f"tidewheel.{path.parent.name}.tables")


def test_migrations_make_the_tables_that_the_nouns_declare(database: Database) -> None:
    import_all_tables()
    with database.read() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    assert differences == []


def test_every_constraint_and_index_has_its_name_from_the_convention(database: Database) -> None:
    import_all_tables()
    with database.read() as connection:
        inspector = sa.inspect(connection)
        for table in metadata.tables.values():
            assert {i["name"] for i in inspector.get_indexes(table.name)} >= {i.name for i in table.indexes}
            declared = {c.name for c in table.constraints if isinstance(c, sa.UniqueConstraint)}
            assert {u["name"] for u in inspector.get_unique_constraints(table.name)} == declared
            assert inspector.get_pk_constraint(table.name)["name"] in (f"pk_{table.name}", None)


def test_a_table_belongs_to_one_noun(database: Database) -> None:
    import_all_tables()
    with database.read() as connection:
        there = set(sa.inspect(connection).get_table_names())
    assert there - {"alembic_version"} == set(metadata.tables)


def test_an_open_database_has_the_newest_schema(database: Database) -> None:
    with database.read() as connection:
        assert find_revision(connection) == head()


def test_opening_a_current_database_does_not_load_alembic(tmp_path: Path) -> None:
    import subprocess

    url = f"sqlite:///{tmp_path}/t.db"
    Database.open(url).close()
    code = (
        f"import sys; from tidewheel.database import Database; Database.open({url!r}).close(); print('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_database_of_a_newer_tidewheel_is_refused(database_url: str) -> None:
    database = Database.open(database_url)
    with database.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999_future'"))
    database.close()
    with pytest.raises(Incompatible, match="9999_future"):
        Database.open(database_url)


def test_a_migration_that_fails_leaves_nothing_behind(database_url: str) -> None:
    # An older database in which a later migration's table exists already: its CREATE fails after others have passed.
    database = Database.open(database_url)
    with database.write() as connection:
        for table in reversed(sa.inspect(connection).get_table_names()):
            if table != "audit_trail":
                connection.execute(sa.text(f'DROP TABLE "{table}"' + (" CASCADE" if database.dialect == "postgresql" else "")))
    database.close()
    with pytest.raises(sa.exc.DBAPIError, match="audit_trail"):
        Database.open(database_url)
    engine = sa.create_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))
    try:
        assert sa.inspect(engine).get_table_names() == ["audit_trail"]
    finally:
        engine.dispose()


def _open(url: str, barrier: object) -> None:
    barrier.wait()  # type: ignore[attr-defined]  # multiprocessing gives its Barrier no type that can be named
    Database.open(url).close()


@pytest.mark.slow
def test_many_processes_may_open_a_new_database_at_once(database_url: str) -> None:
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(4)
    processes = [spawn.Process(target=_open, args=(database_url, barrier)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
