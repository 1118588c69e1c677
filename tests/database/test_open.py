"""Transactions: one writer, many readers, the same on SQLite and PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Engine

from tidewheel.database.open import Database
from tidewheel.errors import Invalid, Unavailable


@pytest.fixture
def counted(database: Database) -> Iterator[Database]:
    with database.write() as connection:
        connection.execute(sa.text("CREATE TABLE counters (name TEXT PRIMARY KEY, n BIGINT NOT NULL)"))
        connection.execute(sa.text("INSERT INTO counters VALUES ('a', 0)"))
    yield database


def value(database: Database) -> int:
    with database.read() as connection:
        return int(connection.execute(sa.text("SELECT n FROM counters WHERE name = 'a'")).scalar_one())


def set_to(connection: sa.Connection, n: int) -> None:
    connection.execute(sa.text("UPDATE counters SET n = :n WHERE name = 'a'"), {"n": n})


def test_a_block_that_ends_is_committed(counted: Database) -> None:
    with counted.write() as connection:
        set_to(connection, 5)
    assert value(counted) == 5


def test_a_block_that_raises_leaves_nothing(counted: Database) -> None:
    with pytest.raises(RuntimeError), counted.write() as connection:
        set_to(connection, 5)
        raise RuntimeError
    assert value(counted) == 0
    with counted.write() as connection:  # and the next writer is not in its way
        set_to(connection, 6)
    assert value(counted) == 6


def test_an_inner_block_is_part_of_the_outer_transaction(counted: Database) -> None:
    with pytest.raises(RuntimeError), counted.write():
        with counted.write() as inner:
            set_to(inner, 5)
        assert value(counted) == 5  # a read inside sees it
        raise RuntimeError
    assert value(counted) == 0


def test_an_inner_block_that_raises_is_undone_alone(counted: Database) -> None:
    with counted.write() as outer:
        set_to(outer, 1)
        with pytest.raises(RuntimeError), counted.write() as inner:
            set_to(inner, 2)
            raise RuntimeError
    assert value(counted) == 1


def test_read_decide_write_loses_no_update(counted: Database) -> None:
    def add() -> None:
        for _ in range(25):
            with counted.write() as connection:
                n = int(connection.execute(sa.text("SELECT n FROM counters WHERE name = 'a'")).scalar_one())
                set_to(connection, n + 1)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert value(counted) == 100


def test_a_reader_does_not_wait_for_a_writer_and_sees_one_state(counted: Database) -> None:
    with counted.read() as reader:
        assert reader.execute(sa.text("SELECT n FROM counters")).scalar_one() == 0
        done = threading.Thread(target=lambda: _write(counted, 9))
        done.start()
        done.join(10)
        assert not done.is_alive()
        assert reader.execute(sa.text("SELECT n FROM counters")).scalar_one() == 0
    assert value(counted) == 9


def _write(database: Database, n: int) -> None:
    with database.write() as connection:
        set_to(connection, n)


def test_a_reader_cannot_write(counted: Database) -> None:
    with pytest.raises(sa.exc.DBAPIError), counted.read() as connection:
        set_to(connection, 5)
    _write(counted, 7)  # and the connection can be used for writing afterwards
    assert value(counted) == 7


def test_a_forked_child_has_connections_of_its_own(counted: Database) -> None:
    value(counted)  # the parent has an open connection
    child = os.fork()
    if child == 0:
        try:
            _write(counted, value(counted) + 1)
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert status == 0
    _write(counted, value(counted) + 1)
    assert value(counted) == 2


def test_a_killed_writer_leaves_nothing_and_blocks_nobody(counted: Database, database_url: str) -> None:
    code = (
        "import sys, time, sqlalchemy as sa; from tidewheel.database import Database\n"
        "with Database.open(sys.argv[1]).write() as c:\n"
        "    c.execute(sa.text('UPDATE counters SET n = 99')); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, database_url], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        process.kill()
    _write(counted, value(counted) + 1)  # refused when the database were still locked
    assert value(counted) == 1


def test_a_private_database_goes_when_it_is_closed() -> None:
    database = Database.open("sqlite://")
    with database.read() as connection:
        file = Path(str(connection.exec_driver_sql("PRAGMA database_list").all()[0][2]))
    assert file.exists()
    database.close()
    database.close()
    assert not file.parent.exists()


def test_sqlite_is_set_up_for_many_processes(tmp_path: Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path}/t.db")
    with database.read() as connection:
        told = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "foreign_keys", "busy_timeout")
        ]
    database.close()
    assert told == ["wal", 1, 30_000]


@pytest.mark.parametrize("url", ["mysql://h/x", "not a url", "file:///x"])
def test_an_url_of_no_known_kind_is_refused(url: str) -> None:
    with pytest.raises(Invalid, match="sqlite:"):
        Database.open(url)


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="unable to open"):
        Database.open(f"sqlite:///{tmp_path}/no/such/t.db")


def test_a_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "t.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(Unavailable, match="not a database"):
        Database.open(f"sqlite:///{tmp_path}/t.db")


def test_a_server_that_does_not_answer_is_said_without_its_password() -> None:
    with pytest.raises(Unavailable) as caught:
        Database.open("postgresql://user:secret@127.0.0.1:9/x")
    assert "secret" not in str(caught.value)


def test_opening_a_current_database_asks_for_its_version_and_nothing_else(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/t.db"
    Database.open(url).close()
    told: list[str] = []

    def listen(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        told.append(statement)

    event.listen(Engine, "before_cursor_execute", listen)
    try:
        Database.open(url).close()
    finally:
        event.remove(Engine, "before_cursor_execute", listen)
    assert [one for one in told if one.startswith("SELECT")] == told[-2:]
    assert "version_num" in told[-1]
    assert len(told) <= 4


@pytest.mark.slow
@pytest.mark.parametrize(("setting", "level"), [("", 1), ("?synchronous=normal", 1), ("?synchronous=full", 2)])
def test_what_was_committed_survives_a_kill_whatever_synchronous_says(tmp_path: Path, setting: str, level: int) -> None:
    url = f"sqlite:///{tmp_path / 'd.db'}{setting}"
    code = """
import sys
from tidewheel.database.open import Database
database = Database.open(sys.argv[1])
with database.write() as connection:
    connection.exec_driver_sql("CREATE TABLE said (n INTEGER)")
for number in range(1_000_000):
    with database.write() as connection:
        connection.exec_driver_sql(f"INSERT INTO said VALUES ({number})")
    print(number, flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", code, url], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        told = [int(writer.stdout.readline()) for _ in range(20)]
        writer.kill()
        told += [int(line) for line in writer.stdout.read().splitlines() if line]
    database = Database.open(url)
    with database.read() as connection:
        kept = list(connection.exec_driver_sql("SELECT n FROM said ORDER BY n").scalars())
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == level
    database.close()
    assert kept[: len(told)] == told
    assert len(kept) <= len(told) + 1  # the one that was committed and not told yet


def test_another_setting_of_synchronous_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="'off' is not a setting"):
        Database.open(f"sqlite:///{tmp_path / 'd.db'}?synchronous=off")
