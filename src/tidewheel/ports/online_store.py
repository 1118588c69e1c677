"""Port: where rows for online answers live. Bytes only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

from tidewheel.errors import Invalid

Key = bytes
"""1 to 480 bytes, ordered bytewise; one prefix holds everything of one view."""

NAMESPACE = "tidewheel"
"""Whose rows these are where several projects share one server, unless something else is said."""
_NAMESPACE = re.compile(r"[a-z0-9_][a-z0-9_.-]{0,47}")


class OnlineStore(Protocol):
    """Keyed bytes whose writes can arrive in any order.

    Both kinds of record are merged, never overwritten, so every write is commutative, associative and idempotent, and
    two writers in any interleaving leave the same store:

    * a **row** keeps the bytewise greatest value that was ever written to its key (the value's first bytes are its
      event time and its created time, so the greatest is the latest);
    * a **set** keeps the union of all items ever added to its key, and returns them in bytewise order.

    A call is durable when it returns, as far as the store's own documentation goes, and all of it or none of it is
    visible after a crash. Two exceptions, for the sake of other users of a server: a scan goes in pages, each of them
    consistent, and the deletion of more than some ten thousand keys goes in parts (one that was killed is called again).
    A call that found the connection gone has tried a new one by itself, which is safe, since every call is idempotent.

    Raises
    ------
    Unavailable
        From every method, when the store cannot be reached now; the next call connects again.
    """

    def write(self, rows: Iterable[tuple[Key, bytes]], items: Iterable[tuple[Key, bytes]] = ()) -> None:
        """Merge rows and set items; one atomic batch."""
        ...

    def read(
        self, rows: Sequence[Key], sets: Sequence[Key] = (), *, newest: int | None = None
    ) -> tuple[list[bytes | None], list[list[bytes]]]:
        """Answer rows and sets in the order asked, in one round trip and from one consistent state.

        Parameters
        ----------
        newest
            Of each set only that many of its greatest items, so that a set of thousands costs no more than a small one.

        Returns
        -------
        One value or ``None`` per row key, and one list of items, in bytewise order and empty when there are none, per set key.
        Repeated keys give repeated answers.
        """
        ...

    def prune(self, bounds: Iterable[tuple[Key, bytes]], items: Iterable[tuple[Key, bytes]] = ()) -> None:
        """Drop from the set at each key the items below the bound given with it, and these very items; one atomic batch."""
        ...

    def delete(self, prefix: Key) -> int:
        """Drop every row and set whose key starts with the prefix; answer how many keys went."""
        ...

    def scan(self, prefix: Key) -> Iterator[tuple[Key, bytes]]:
        """Rows whose key starts with the prefix, in key order."""
        ...

    def scan_sets(self, prefix: Key) -> Iterator[tuple[Key, list[bytes]]]:
        """Sets whose key starts with the prefix, in key order, each with its items in bytewise order."""
        ...

    def close(self) -> None:
        """Release files and connections; idempotent."""
        ...


class StoreOpener(Protocol):
    """What the entry point of a store names: opens it by URL.

    Connects on first use, so a server may start before its store does.
    """

    def __call__(self, url: str, *, namespace: str = NAMESPACE) -> OnlineStore:
        """The store at the URL.

        Parameters
        ----------
        namespace
            Whose rows these are, where one place is shared; ``?namespace=`` in the URL goes before it. A store that has its
            place to itself, such as a folder, does not need it.

        Raises
        ------
        Invalid
            When the URL names no such store.
        """
        ...


def split_namespace(url: str, default: str = NAMESPACE) -> tuple[str, str]:
    """A store's URL without its ``namespace`` option, and the namespace.

    Raises
    ------
    Invalid
        When the namespace is none.

    Examples
    --------
    >>> split_namespace("redis://host/0?socket_timeout=1&namespace=taxi")
    ('redis://host/0?socket_timeout=1', 'taxi')
    >>> split_namespace("redis://host/0", "other")
    ('redis://host/0', 'other')
    """
    parts = urlsplit(url)
    options = [option for option in parts.query.split("&") if option]
    named = [option.partition("=")[2] for option in options if option.startswith("namespace=")]
    namespace = named[-1] if named else default
    if not _NAMESPACE.fullmatch(namespace):
        fix = "use at most 48 lower-case letters, digits and . _ -"
        raise Invalid(f"{namespace!r} is no namespace of an online store", where=url, fix=fix)
    kept = "&".join(option for option in options if not option.startswith("namespace="))
    return urlunsplit(parts._replace(query=kept)), namespace
