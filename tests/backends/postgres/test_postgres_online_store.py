from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from tests.own_servers import PostgresServer, certify, private_folder

from tidewheel.backends.postgres.online_store import open_online_store
from tidewheel.errors import Denied, Invalid, Unavailable
from tidewheel.ports.online_store import OnlineStore, StoreOpener
from tidewheel.testing.served_store import ServedOnlineStoreContract


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with private_folder() as folder:
        made = PostgresServer(folder)
        yield made
        made.kill()


@pytest.mark.slow
class TestPostgres(ServedOnlineStoreContract):
    open_store: StoreOpener = staticmethod(open_online_store)

    @pytest.fixture
    def url(self, postgres_store_url: str) -> str:
        return postgres_store_url

    @pytest.fixture
    def store(self, url: str) -> Iterator[OnlineStore]:
        store = open_online_store(url)
        yield store
        store.close()


def test_namespaces_in_one_database_do_not_meet(postgres_store_url: str) -> None:
    one = open_online_store(postgres_store_url)
    two = open_online_store(postgres_store_url + "_2")
    one.write([(b"k", b"1")], [(b"k", b"1")])
    two.write([(b"k", b"2")], [(b"k", b"2")])
    assert one.read([b"k"], [b"k"]) == ([b"1"], [[b"1"]])
    assert two.delete(b"") == 2
    assert list(one.scan(b"")) == [(b"k", b"1")]
    with psycopg.connect(plain(postgres_store_url)) as admin:
        admin.execute(f"DROP SCHEMA {postgres_store_url.rpartition('=')[2]}_2 CASCADE")
    one.close()
    two.close()


def plain(url: str) -> str:
    """The URL without its namespace."""
    return url.partition("namespace=")[0].rstrip("?&")


@pytest.mark.parametrize("url", ["mysql://host/x", "postgresql://host/x?colour=red", "postgresql://host/x?namespace=a b"])
def test_a_url_that_names_no_postgresql_is_refused(url: str) -> None:
    with pytest.raises(Invalid):
        open_online_store(url)


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="cannot be reached") as caught:
        open_online_store("postgresql://user:secret@127.0.0.1:1/x").read([b"k"])
    assert "secret" not in str(caught.value)
    assert caught.value.fix is not None


def test_connections_that_the_server_ended_are_made_again(postgres_store_url: str) -> None:
    store = open_online_store(postgres_store_url)
    store.write([(b"k", b"1")])
    with psycopg.connect(plain(postgres_store_url), autocommit=True) as admin:
        mine = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tidewheel' AND query LIKE %s"
        assert admin.execute(mine, (f"%{postgres_store_url.rpartition('=')[2]}%",)).fetchall()
    assert store.read([b"k"]) == ([b"1"], [])
    store.close()


@pytest.mark.slow
def test_a_server_is_reached_by_tls_and_only_when_its_certificate_is_known(tmp_path: Path) -> None:
    with private_folder() as folder:
        server = PostgresServer(folder, tls=certify(folder))
        store = open_online_store(server.url)
        store.write([(b"k", b"1")], [(b"s", b"2")])
        assert store.read([b"k"], [b"s"]) == ([b"1"], [[b"2"]])
        store.close()
        plain_url = server.url.partition("?")[0]
        other = tmp_path / "other"
        other.mkdir()
        for options in ("sslmode=disable", f"sslmode=verify-full&sslrootcert={certify(other)[1]}"):
            with pytest.raises((Unavailable, Denied), match=r"SSL|encryption|certificate"):
                open_online_store(f"{plain_url}?{options}").read([b"k"])
        server.kill()


def test_a_user_who_may_not_create_is_told_so(postgres_store_url: str) -> None:
    with psycopg.connect(plain(postgres_store_url), autocommit=True) as admin:
        admin.execute("DO $$ BEGIN CREATE ROLE nobody_much LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    store = open_online_store(postgres_store_url.replace("tidewheel@", "nobody_much@"))
    with pytest.raises(Denied, match="permission denied") as caught:
        store.read([b"k"])
    assert "schema" in str(caught.value.fix)
    store.close()
