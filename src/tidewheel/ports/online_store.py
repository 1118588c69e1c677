"""Port: where rows for online answers live. Bytes only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

Key = bytes
"""Up to 480 bytes, ordered bytewise; one prefix holds everything of one view."""


class OnlineStore(Protocol):
    """Keyed bytes whose writes can arrive in any order.

    Both kinds of record are merged, never overwritten, so every write is commutative, associative and idempotent, and
    two writers in any interleaving leave the same store:

    * a **row** keeps the bytewise greatest value that was ever written to its key (the value's first bytes are its
      event time and its created time, so the greatest is the latest);
    * a **set** keeps the union of all items ever added to its key, and returns them in bytewise order.

    A call is durable when it returns, as far as the store's own documentation goes, and all of it or none of it is
    visible after a crash.
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
