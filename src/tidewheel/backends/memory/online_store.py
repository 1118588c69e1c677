"""The online store in a dictionary: the reference that other stores are compared with."""

from __future__ import annotations

import bisect
import threading
from collections.abc import Iterable, Iterator, Sequence

from tidewheel.ports.online_store import NAMESPACE, Key


class MemoryOnlineStore:
    """Rows in a dictionary, sets as sorted lists, one lock around every call. Nothing is durable.

    Examples
    --------
    >>> store = MemoryOnlineStore()
    >>> store.write([(b"k", b"2"), (b"k", b"1")], [(b"s", b"b"), (b"s", b"a"), (b"s", b"b")])
    >>> store.read([b"k", b"none"], [b"s"])
    ([b'2', None], [[b'a', b'b']])
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[bytes, bytes] = {}
        self._sets: dict[bytes, list[bytes]] = {}

    def write(self, rows: Iterable[tuple[Key, bytes]], items: Iterable[tuple[Key, bytes]] = ()) -> None:
        """Merge rows and set items; one atomic batch."""
        row_list, item_list = list(rows), list(items)  # an iterable that fails half-way has written nothing
        with self._lock:
            for key, value in row_list:
                held = self._rows.get(key)
                if held is None or value > held:
                    self._rows[key] = value
            for key, item in item_list:
                held_items = self._sets.setdefault(key, [])
                place = bisect.bisect_left(held_items, item)
                if place == len(held_items) or held_items[place] != item:
                    held_items.insert(place, item)

    def read(
        self, rows: Sequence[Key], sets: Sequence[Key] = (), *, newest: int | None = None
    ) -> tuple[list[bytes | None], list[list[bytes]]]:
        """Answer rows and sets in the order asked, of each set the newest items alone when so asked."""
        with self._lock:
            found = [list(self._sets.get(key, ())) for key in sets]
            return [self._rows.get(key) for key in rows], found if newest is None else [
                one[max(0, len(one) - newest) :] for one in found
            ]

    def prune(self, bounds: Iterable[tuple[Key, bytes]], items: Iterable[tuple[Key, bytes]] = ()) -> None:
        """Drop from the set at each key the items below its bound, and these very items."""
        bound_list, item_list = list(bounds), list(items)
        with self._lock:
            for key, bound in bound_list:
                held = self._sets.get(key)
                if held is not None:
                    self._keep(key, held[bisect.bisect_left(held, bound) :])
            for key, item in item_list:
                held = self._sets.get(key)
                if held is not None:
                    self._keep(key, [one for one in held if one != item])

    def delete(self, prefix: Key) -> int:
        """Drop every row and set whose key starts with the prefix; answer how many keys went."""
        with self._lock:
            gone_rows = [key for key in self._rows if key.startswith(prefix)]
            gone_sets = [key for key in self._sets if key.startswith(prefix)]
            for key in gone_rows:
                del self._rows[key]
            for key in gone_sets:
                del self._sets[key]
        return len(gone_rows) + len(gone_sets)

    def _keep(self, key: Key, items: list[bytes]) -> None:
        if items:
            self._sets[key] = items
        else:
            del self._sets[key]

    def scan(self, prefix: Key) -> Iterator[tuple[Key, bytes]]:
        """Rows whose key starts with the prefix, in key order."""
        with self._lock:
            found = sorted((key, value) for key, value in self._rows.items() if key.startswith(prefix))
        return iter(found)

    def scan_sets(self, prefix: Key) -> Iterator[tuple[Key, list[bytes]]]:
        """Sets whose key starts with the prefix, in key order."""
        with self._lock:
            found = sorted((key, list(items)) for key, items in self._sets.items() if key.startswith(prefix))
        return iter(found)

    def close(self) -> None:
        """Nothing to release: the content stays readable."""


def open_online_store(url: str, *, namespace: str = NAMESPACE) -> MemoryOnlineStore:
    """A new, empty store for ``memory://``; two of them share nothing.

    Examples
    --------
    >>> open_online_store("memory://").read([b"k"])
    ([None], [])
    """
    del url, namespace
    return MemoryOnlineStore()
