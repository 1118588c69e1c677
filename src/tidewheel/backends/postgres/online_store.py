"""The online store on PostgreSQL.

Two tables in a schema named like the namespace. ``rows`` maps a key to its greatest value (``bytea`` compares bytewise);
``items`` has one row per set item, under the key, the item's first eight bytes and its hash, since an index entry cannot be
longer than a third of a page and an item can; its order finds the newest items of a large set. Every write is one statement:
one transaction, one round trip, atomic and as durable as ``synchronous_commit`` says. So is every read.

The user of the URL needs the right to create a schema in the database, or to own the schema.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from psycopg import Connection, sql

from tidewheel.backends.postgres.connection import Connections, create_tables
from tidewheel.errors import Invalid
from tidewheel.ports.online_store import NAMESPACE, Key, split_namespace

MAX_KEY_BYTES = 480
_PAGE = 1_000

_TABLES = """
CREATE TABLE IF NOT EXISTS {schema}.rows (key bytea PRIMARY KEY, value bytea NOT NULL) WITH (fillfactor = 80);
CREATE TABLE IF NOT EXISTS {schema}.items (
    key bytea, head bytea, hash bytea, item bytea NOT NULL, PRIMARY KEY (key, head, hash)
);
"""
_WRITE_ROWS = """
INSERT INTO {schema}.rows AS held SELECT * FROM unnest(%(keys)b::bytea[], %(values)b::bytea[])
ON CONFLICT (key) DO UPDATE SET value = excluded.value WHERE excluded.value > held.value
"""
_WRITE_ITEMS = """
INSERT INTO {schema}.items SELECT * FROM unnest(%(sets)b::bytea[], %(heads)b::bytea[], %(hashes)b::bytea[], %(items)b::bytea[])
ON CONFLICT (key, head, hash) DO NOTHING
"""
_STATEMENTS = {
    "write_rows": _WRITE_ROWS,
    "write_items": _WRITE_ITEMS,
    "write_both": f"WITH wrote AS ({_WRITE_ROWS}) {_WRITE_ITEMS}",
    "read_rows": "SELECT key, value FROM {schema}.rows WHERE key = ANY(%(rows)b)",
    "read_both": """
        SELECT false, key, value FROM {schema}.rows WHERE key = ANY(%(rows)b)
        UNION ALL SELECT true, key, item FROM {schema}.items WHERE key = ANY(%(sets)b)
    """,
    "read_newest": """
        SELECT false, key, value FROM {schema}.rows WHERE key = ANY(%(rows)b)
        UNION ALL SELECT true, asked.key, held.item FROM unnest(%(sets)b::bytea[]) AS asked (key) CROSS JOIN LATERAL (
            SELECT item FROM {schema}.items WHERE items.key = asked.key
            ORDER BY head DESC FETCH FIRST %(newest)s ROWS WITH TIES
        ) AS held
    """,
    "prune": """
        WITH pruned AS (
            DELETE FROM {schema}.items AS held USING unnest(%(keys)b::bytea[], %(bounds)b::bytea[]) AS given (key, bound)
            WHERE held.key = given.key AND held.item < given.bound
        )
        DELETE FROM {schema}.items AS held
        USING unnest(%(sets)b::bytea[], %(heads)b::bytea[], %(hashes)b::bytea[]) AS given (key, head, hash)
        WHERE held.key = given.key AND held.head = given.head AND held.hash = given.hash
    """,
    "delete": """
        WITH gone AS (DELETE FROM {schema}.items WHERE key >= %(low)b AND key < %(high)b RETURNING key),
             dropped AS (DELETE FROM {schema}.rows WHERE key >= %(low)b AND key < %(high)b RETURNING key)
        SELECT (SELECT count(DISTINCT key) FROM gone) + (SELECT count(*) FROM dropped)
    """,
    "scan": """
        SELECT key, value FROM {schema}.rows WHERE key >= %(low)b AND key < %(high)b ORDER BY key LIMIT %(page)s
    """,
    "scan_sets": """
        SELECT key, array_agg(item ORDER BY item) FROM {schema}.items WHERE key >= %(low)b AND key < %(high)b
        GROUP BY key ORDER BY key LIMIT %(page)s
    """,
}


class PostgresOnlineStore:
    """Online rows and sets in two tables.

    Parameters
    ----------
    url
        As of libpq: ``postgresql://user:password@host:port/database``.
    namespace
        The schema that the tables are in; made when absent.

    Examples
    --------
    >>> store = PostgresOnlineStore("postgresql://localhost/features")  # doctest: +SKIP
    >>> store.write([(b"k", b"2"), (b"k", b"1")], [(b"s", b"b"), (b"s", b"a")])  # doctest: +SKIP
    >>> store.read([b"k", b"none"], [b"s"])  # doctest: +SKIP
    ([b'2', None], [[b'a', b'b']])
    """

    def __init__(self, url: str, namespace: str = NAMESPACE) -> None:
        self._namespace = namespace
        self._ready = False
        self._connections = Connections(url, prepare=self._prepare)
        schema = sql.Identifier(namespace)
        self._statements = {name: sql.SQL(text).format(schema=schema).as_bytes() for name, text in _STATEMENTS.items()}

    def write(self, rows: Iterable[tuple[Key, bytes]], items: Iterable[tuple[Key, bytes]] = ()) -> None:
        """Merge rows and set items; one statement."""
        best: dict[bytes, bytes] = {}
        for key, value in rows:
            if key not in best or value > best[key]:
                best[_checked(key)] = value
        marked = {(_checked(key), *_mark(item)): item for key, item in items}
        keys, places = sorted(best), sorted(marked)  # writers that lock in one order cannot block each other
        given: dict[str, object] = {}
        if keys:
            given |= {"keys": keys, "values": [best[key] for key in keys]}
        if places:
            given |= _columns(places) | {"items": [marked[place] for place in places]}
        if given:
            self._execute("write_both" if keys and places else "write_rows" if keys else "write_items", given)

    def read(
        self, rows: Sequence[Key], sets: Sequence[Key] = (), *, newest: int | None = None
    ) -> tuple[list[bytes | None], list[list[bytes]]]:
        """Answer rows and sets in the order asked, of each set the newest items alone when so asked; one statement."""
        values: dict[bytes, bytes] = {}
        found: dict[bytes, list[bytes]] = {}
        if sets and newest != 0:
            given: dict[str, object] = {"rows": list(rows), "sets": list(sets)}
            if newest is not None:
                given |= {"sets": sorted(set(sets)), "newest": newest}
            for in_set, key, value in self._execute("read_both" if newest is None else "read_newest", given):
                if in_set:
                    found.setdefault(key, []).append(value)
                else:
                    values[key] = value
            for items in found.values():
                items.sort()
                if newest is not None:
                    del items[:-newest]  # those that tie in their first bytes have come too
        elif rows:
            values = dict(self._execute("read_rows", {"rows": list(rows)}))
        return [values.get(key) for key in rows], [list(found.get(key, ())) for key in sets]

    def prune(self, bounds: Iterable[tuple[Key, bytes]], items: Iterable[tuple[Key, bytes]] = ()) -> None:
        """Drop from the set at each key the items below its bound, and these very items; one statement."""
        pairs, places = sorted(bounds), sorted((key, *_mark(item)) for key, item in items)
        if pairs or places:
            given: dict[str, object] = {"keys": [key for key, _ in pairs], "bounds": [bound for _, bound in pairs]}
            self._execute("prune", given | _columns(places))

    def delete(self, prefix: Key) -> int:
        """Drop every row and set whose key starts with the prefix; one statement; answer how many keys went."""
        ((gone,),) = self._execute("delete", {"low": prefix, "high": _after(prefix)})
        return int(gone)

    def scan(self, prefix: Key) -> Iterator[tuple[Key, bytes]]:
        """Rows whose key starts with the prefix, in key order."""
        yield from self._pages("scan", prefix)

    def scan_sets(self, prefix: Key) -> Iterator[tuple[Key, list[bytes]]]:
        """Sets whose key starts with the prefix, in key order, each with its items in bytewise order."""
        yield from self._pages("scan_sets", prefix)

    def close(self) -> None:
        """Close the connections; idempotent."""
        self._connections.close()

    def _pages(self, statement: str, prefix: bytes) -> Iterator[tuple[bytes, Any]]:
        low, high = prefix, _after(prefix)
        while True:
            found = self._execute(statement, {"low": low, "high": high, "page": _PAGE})
            yield from found
            if len(found) < _PAGE:
                return
            low = found[-1][0] + b"\0"

    def _execute(self, statement: str, given: Mapping[str, object]) -> list[tuple[Any, ...]]:
        text = self._statements[statement]

        def ask(connection: Connection) -> list[tuple[Any, ...]]:
            cursor = connection.execute(text, given, prepare=True, binary=True)
            return [] if cursor.description is None else cursor.fetchall()

        return self._connections.ask(ask)

    def _prepare(self, connection: Connection) -> None:
        if not self._ready:
            create_tables(connection, self._namespace, _TABLES)
            self._ready = True
        # A plan made while the tables were small would read them whole when they have grown.
        connection.execute("SET enable_seqscan = off")


def open_online_store(url: str, *, namespace: str = NAMESPACE) -> PostgresOnlineStore:
    """The store at ``postgresql://user:password@host:port/database``; it connects on first use.

    Raises
    ------
    Invalid
        When the URL names no PostgreSQL.

    Examples
    --------
    >>> open_online_store("postgresql://localhost/features?namespace=taxi").close()
    """
    place, space = split_namespace(url, namespace)
    return PostgresOnlineStore(place, space)


def _checked(key: bytes) -> bytes:
    if not 0 < len(key) <= MAX_KEY_BYTES:
        raise Invalid(f"a key of {len(key)} bytes; 1 to {MAX_KEY_BYTES} are allowed", fix="key by something shorter")
    return key


def _mark(item: bytes) -> tuple[bytes, bytes]:
    """First bytes of an item, in its order, and its hash."""
    return item[:8].ljust(8, b"\0"), hashlib.blake2b(item, digest_size=12).digest()


def _columns(places: Sequence[tuple[bytes, bytes, bytes]]) -> dict[str, object]:
    return {name: [place[at] for place in places] for at, name in enumerate(("sets", "heads", "hashes"))}


def _after(prefix: bytes) -> bytes:
    """The least key above all that start with the prefix."""
    short = prefix.rstrip(b"\xff")
    return short[:-1] + bytes([short[-1] + 1]) if short else b"\xff" * (MAX_KEY_BYTES + 1)
