"""The online store in LMDB.

Two named tables: ``rows`` maps a key to its greatest value; ``items`` has one entry per set item, under
``key | first 8 bytes of the item | 12 bytes of its hash``, so that the items of a key stand together, nearly in order, an
item of any length fits LMDB's 511-byte keys, and adding one twice changes nothing. (LMDB's own duplicate keys cap a
value at 511 bytes.) An entry belongs to the set whose key is exactly 20 bytes shorter.

**Durability.** A write is one transaction. It survives kill -9 of every process when the call returns, because the
operating system holds the pages. The folder is flushed to disk by :meth:`LmdbOnlineStore.close` and at most every
``sync_seconds`` by the writer; a *power failure* within that window can damage the folder, since pages may reach the disk
out of order. The folder knows: the next open after such a reboot refuses with ``Corrupt``. Nothing is lost by that, since
the online store is derived: delete the folder and materialise again. ``?sync=always`` in the URL flushes each write
instead (some milliseconds each), and then power failures lose nothing.

**Processes.** LMDB allows one open environment per path and process, so stores opened twice share it. Readers never wait
for a writer; writers of all processes take turns. The map grows by doubling; other processes notice.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from operator import itemgetter, lt
from pathlib import Path
from typing import Literal, TypeVar, cast
from urllib.parse import parse_qs, urlsplit

import lmdb

from tidewheel.errors import Corrupt, Invalid
from tidewheel.ports.online_store import NAMESPACE, Key

Sync = Literal["seldom", "always"]
T = TypeVar("T")
_Table = lmdb._Database  # how LMDB's types call a named table

MAX_KEY_BYTES = 480
_SUFFIX_BYTES = 20
_SCAN_ENTRIES = 4096
_FIRST_MAP_BYTES = 64 << 20
_LAST = b"\xff" * (MAX_KEY_BYTES + _SUFFIX_BYTES + 1)  # behind every entry


class _Environment:
    """One open LMDB environment of this process, shared by the stores on its path."""

    def __init__(self, path: Path, map_bytes: int, sync: Sync) -> None:
        self.path, self.sync, self.users = path, sync, 0
        self.left = False
        """Whether this process was forked off the one that opened it: an environment must not cross a fork."""
        path.mkdir(parents=True, exist_ok=True)
        self.mark = _PowerMark(path)
        self.mark.check()
        self.env = lmdb.open(
            str(path), map_size=map_bytes, max_dbs=2, max_readers=1024, sync=sync == "always", metasync=True, readahead=False
        )
        self.env.reader_check()  # slots of readers that were killed
        self.rows = self._retry(lambda: self.env.open_db(b"rows"))
        self.items = self._retry(lambda: self.env.open_db(b"items"))
        self.reading = threading.Lock()
        self.writing = threading.Lock()
        self.flushed_at = time.monotonic()
        self.gap = (0, b"", b"")
        """Two neighbouring entries of ``items``, and the snapshot in which nothing stands between them."""

    def _retry(self, action: Callable[[], T]) -> T:
        while True:
            try:
                return action()
            except lmdb.MapResizedError:
                self.env.set_mapsize(0)

    def grow(self, *, double: bool) -> None:
        """Map more: what another process grew to, or twice of it. No transaction of this process may be open."""
        with self.reading:
            self.env.set_mapsize(self.env.info()["map_size"] * 2 if double else 0)

    def flush(self) -> None:
        self.env.sync(True)
        self.flushed_at = time.monotonic()


_open: dict[Path, _Environment] = {}  # LMDB's own rule: one environment per path and process
_opening = threading.Lock()


def _leave() -> None:
    """In a child of a fork, which opens environments of its own; a flag, since to ask who one is costs each read."""
    global _opening
    _opening = threading.Lock()  # a thread of the parent may have held it
    for shared in _open.values():
        shared.left = True
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave)


class _PowerMark:
    """A file per writing process that is there while its pages may be unflushed, with the name of the boot it was made in."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / f"unflushed.{os.getpid()}"
        self._boot = _boot_id()

    def check(self) -> None:
        for file in self._folder.glob("unflushed.*"):
            if file.suffix != ".new" and file.read_text().strip() != self._boot:
                raise Corrupt(
                    f"the online store {self._folder} was not flushed before the machine went down",
                    where=str(self._folder),
                    fix="delete that folder and materialise again; no source data is lost",
                )

    def set(self) -> None:
        if not self._file.exists():
            fresh = self._file.with_name(self._file.name + ".new")
            fresh.write_text(self._boot)
            fresh.replace(self._file)

    def clear_flushed(self) -> None:
        """Call after a flush, which covers what dead processes wrote as well."""
        for file in self._folder.glob("unflushed.*"):
            owner = file.name.split(".")[1]
            if file == self._file or not Path(f"/proc/{owner}").exists():
                file.unlink(missing_ok=True)


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""  # elsewhere than on Linux an unclean shutdown is not noticed


class LmdbOnlineStore:
    """Online rows and sets in a folder.

    Parameters
    ----------
    path
        Folder, made when absent; on a local disk (LMDB locks do not work on network file systems).
    map_bytes
        First size of the map; it doubles when full. Address space, not memory or disk.
    sync
        ``seldom`` or ``always``, see the module.
    sync_seconds
        With ``seldom``: how often a writer flushes to disk.

    Examples
    --------
    >>> import tempfile
    >>> store = LmdbOnlineStore(Path(tempfile.mkdtemp()))
    >>> store.write([(b"k", b"2"), (b"k", b"1")], [(b"s", b"b"), (b"s", b"a")])
    >>> store.read([b"k", b"none"], [b"s"])
    ([b'2', None], [[b'a', b'b']])
    >>> store.close()
    """

    def __init__(
        self, path: Path, *, map_bytes: int = _FIRST_MAP_BYTES, sync: Sync = "seldom", sync_seconds: float = 30.0
    ) -> None:
        self._path = path.absolute()
        self._map_bytes, self._sync, self._sync_seconds = map_bytes, sync, sync_seconds
        self._closed = False
        self._shared = self._join()

    def write(self, rows: Iterable[tuple[Key, bytes]], items: Iterable[tuple[Key, bytes]] = ()) -> None:
        """Merge rows and set items; one transaction."""
        row_list = _greatest(list(rows))
        item_list = sorted({_entry(key, item): item for key, item in items}.items())
        for pairs, suffix in ((row_list, 0), (item_list, _SUFFIX_BYTES)):
            sizes = set(map(len, map(itemgetter(0), pairs)))
            if sizes and not suffix < min(sizes) <= max(sizes) <= MAX_KEY_BYTES + suffix:
                raise _bad_key(size - suffix for size in sizes)

        def merge(txn: lmdb.Transaction) -> None:
            with txn.cursor(self._shared.rows) as cursor:
                _merge_rows(cursor, row_list)
            with txn.cursor(self._shared.items) as cursor:
                cursor.putmulti(item_list, overwrite=False)

        if row_list or item_list:
            self._transact(merge)

    def read(
        self, rows: Sequence[Key], sets: Sequence[Key] = (), *, newest: int | None = None
    ) -> tuple[list[bytes | None], list[list[bytes]]]:
        """Answer rows and sets in the order asked, from one snapshot, of each set the newest items alone when so asked."""
        shared = self._shared
        if shared.left or self._closed:
            shared = self._here()
        with shared.reading:
            try:
                txn: lmdb.Transaction = shared.env.begin(shared.rows)
            except lmdb.MapResizedError:
                txn = self._begin(shared)
            try:
                values: list[bytes | None] = list(map(txn.get, rows))  # type: ignore[arg-type]  # begun without buffers
                if not sets:
                    return values, []
                snapshot, low, high = shared.gap
                if snapshot == txn.id():
                    if len(sets) == 1:  # of one key, whose answer takes three microseconds, a call is a twentieth
                        if low < sets[0] < high[: len(sets[0])]:
                            return values, [[]]
                    elif _between(sets, low, high):
                        return values, [[] for _ in sets]
                cursor = txn.cursor(shared.items)
                found = _sets(cursor, sets, newest)
                if not found[0] and snapshot != txn.id():
                    shared.gap = (txn.id(), *_gap(cursor, sets[0]))
                return values, found
            finally:
                txn.abort()  # and its cursor with it

    def prune(self, bounds: Iterable[tuple[Key, bytes]], items: Iterable[tuple[Key, bytes]] = ()) -> None:
        """Drop from the set at each key the items below its bound, and these very items; one transaction."""
        bound_list, entries = list(bounds), [_entry(key, item) for key, item in items]

        def drop(txn: lmdb.Transaction) -> None:
            with txn.cursor(self._shared.items) as cursor:
                for key, bound in bound_list:
                    _prune_set(cursor, key, bound)
            for entry in entries:
                txn.delete(entry, db=self._shared.items)

        if bound_list or entries:
            self._transact(drop)

    def delete(self, prefix: Key) -> int:
        """Drop every row and set whose key starts with the prefix; one transaction."""

        def drop(txn: lmdb.Transaction) -> int:
            with txn.cursor(self._shared.rows) as rows, txn.cursor(self._shared.items) as items:
                return _drop_rows(rows, prefix) + _drop_sets(items, prefix)

        return self._transact(drop)

    def scan(self, prefix: Key) -> Iterator[tuple[Key, bytes]]:
        """Rows whose key starts with the prefix, in key order; read in pieces, each from its own snapshot."""
        return self._pieces(prefix, self._here().rows)

    def scan_sets(self, prefix: Key) -> Iterator[tuple[Key, list[bytes]]]:
        """Sets whose key starts with the prefix, in key order; read in pieces, each from its own snapshot."""
        sets: dict[bytes, list[bytes]] = {}
        root: bytes | None = None
        for entry, item in self._pieces(prefix, self._here().items):
            key = entry[:-_SUFFIX_BYTES]
            if len(key) < len(prefix):
                continue
            if root is None or not entry.startswith(root):  # no later entry can belong to what was gathered
                yield from sorted((held, sorted(items)) for held, items in sets.items())
                sets.clear()
                root = key
            sets.setdefault(key, []).append(item)
        yield from sorted((held, sorted(items)) for held, items in sets.items())

    def close(self) -> None:
        """Flush, and close the environment when no other store of this process uses it."""
        with _opening:
            if self._closed:
                return
            self._closed = True
            shared = self._shared
            if shared.left:
                return
            shared.users -= 1
            if shared.users == 0:
                with shared.writing, shared.reading:
                    shared.flush()
                    shared.mark.clear_flushed()
                    shared.env.close()
                _open.pop(shared.path, None)

    def _join(self) -> _Environment:
        with _opening:
            shared = _open.get(self._path)
            if shared is None:
                shared = _open[self._path] = _Environment(self._path, self._map_bytes, self._sync)
            shared.users += 1
            return shared

    def _here(self) -> _Environment:
        if self._closed:
            raise Invalid(f"the online store {self._path} is closed", fix="open it again")
        if self._shared.left:
            self._shared = self._join()
        return self._shared

    def _begin(self, shared: _Environment) -> lmdb.Transaction:
        while True:
            try:
                return shared.env.begin(shared.rows)
            except lmdb.MapResizedError:
                shared.env.set_mapsize(0)

    def _transact(self, action: Callable[[lmdb.Transaction], T]) -> T:
        shared = self._here()
        with shared.writing:
            if shared.sync == "seldom":
                shared.mark.set()
            while True:
                try:
                    with shared.env.begin(write=True) as txn:
                        answer = action(txn)
                    break
                except lmdb.MapFullError:
                    shared.grow(double=True)
                except lmdb.MapResizedError:
                    shared.grow(double=False)
            if shared.sync == "seldom" and time.monotonic() - shared.flushed_at > self._sync_seconds:
                shared.flush()
            return answer

    def _pieces(self, prefix: bytes, table: _Table) -> Iterator[tuple[bytes, bytes]]:
        start, skip = prefix, False
        while True:
            shared = self._here()
            found: list[tuple[bytes, bytes]] = []
            with shared.reading:
                txn = self._begin(shared)
                try:
                    with txn.cursor(table) as cursor:
                        more = cursor.set_range(start) and (not skip or cursor.key() != start or cursor.next())
                        while more and len(found) < _SCAN_ENTRIES and _key(cursor).startswith(prefix):
                            found.append(cast("tuple[bytes, bytes]", cursor.item()))
                            more = cursor.next()
                finally:
                    txn.abort()
            yield from found
            if len(found) < _SCAN_ENTRIES:
                return
            start, skip = found[-1][0], True


def open_online_store(url: str, *, namespace: str = NAMESPACE) -> LmdbOnlineStore:
    """The store at ``lmdb:///absolute/folder``, with ``?sync=always`` for a flush per write.

    The folder is the namespace: nobody else writes to it.

    Raises
    ------
    Invalid
        For another scheme, a relative folder, or an unknown option.
    """
    del namespace
    parts = urlsplit(url)
    options = parse_qs(parts.query)
    sync = options.pop("sync", ["seldom"])[-1]
    if parts.scheme != "lmdb" or parts.netloc or not parts.path.startswith("/") or options or sync not in ("seldom", "always"):
        raise Invalid(
            f"{url!r} names no LMDB folder", fix="write lmdb:///absolute/folder or lmdb:///absolute/folder?sync=always"
        )
    return LmdbOnlineStore(Path(parts.path), sync="always" if sync == "always" else "seldom")


def _bad_key(sizes: Iterable[int]) -> Invalid:
    size = next(size for size in sizes if not 0 < size <= MAX_KEY_BYTES)
    return Invalid(f"a key of {size} bytes; 1 to {MAX_KEY_BYTES} are allowed", fix="key by something shorter")


def _greatest(rows: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The greatest row of each key, in order; materialisation gives them so already."""
    keys = [key for key, _ in rows]
    if all(map(lt, keys, islice(keys, 1, None))):
        return rows
    return list(dict(sorted(rows)).items())


def _merge_rows(cursor: lmdb.Cursor, rows: list[tuple[bytes, bytes]]) -> None:
    """Put what is greater than what is there. Keys behind all others are appended, which fills LMDB's pages to the brim."""
    if not rows:
        return
    if not cursor.last() or _key(cursor) < rows[0][0]:
        cursor.putmulti(rows, append=True)
        return
    if not cursor.set_key(rows[0][0]) and cursor.putmulti(rows, overwrite=False)[1] == len(rows):
        return
    for key, value in rows:
        if not cursor.set_key(key) or value > cast(bytes, cursor.value()):
            cursor.put(key, value)


def _entry(key: bytes, item: bytes) -> bytes:
    return key + item[:8].ljust(8, b"\0") + hashlib.blake2b(item, digest_size=12).digest()


def _key(cursor: lmdb.Cursor) -> bytes:
    return cast(bytes, cursor.key())  # bytes, as transactions are begun without buffers


def _sets(cursor: lmdb.Cursor, keys: Sequence[bytes], newest: int | None) -> list[list[bytes]]:
    """The sets at some keys. One look into a gap between entries answers for every key in it."""
    found: list[list[bytes]] = []
    low = high = b""
    seek, both, follow = cursor.set_range, cursor.item, cursor.next
    for key in keys:
        items: list[bytes] = []
        found.append(items)
        if high and low <= key < high and not high.startswith(key):
            continue
        if not seek(key):
            low, high = key, _LAST
            continue
        length = len(key) + _SUFFIX_BYTES
        entry, item = both()
        more = entry.startswith(key)  # type: ignore[union-attr]  # bytes, as transactions are begun without buffers
        if not more:
            low, high = key, entry  # type: ignore[assignment]
        while more:
            if len(entry) == length:
                items.append(item)  # type: ignore[arg-type]
                if newest is not None and len(items) > newest:
                    found[-1] = items = _newest(cursor, key, newest)
                    break
            more = follow()
            if more:
                entry, item = both()
                more = entry.startswith(key)  # type: ignore[union-attr]
        if len(items) > 1:
            items.sort()
    return found


def _between(keys: Sequence[bytes], low: bytes, high: bytes) -> bool:
    """Whether no entry of any key can stand outside of two neighbours, and so none at all; false where that is not sure."""
    return low < min(keys) and max(keys) < high[: min(map(len, keys))]


def _gap(cursor: lmdb.Cursor, key: bytes) -> tuple[bytes, bytes]:
    """The entries before and behind a key that has no set."""
    high = _key(cursor) if cursor.set_range(key) else _LAST
    more = cursor.prev() if high is not _LAST else cursor.last()
    return _key(cursor) if more else b"", high


def _newest(cursor: lmdb.Cursor, key: bytes, count: int) -> list[bytes]:
    """The greatest items, read backwards: entries order items by their first 8 bytes alone, so equal ones are all read."""
    found: list[bytes] = []
    length, head = len(key) + _SUFFIX_BYTES, b""
    more = cursor.prev() if cursor.set_range(_after(key)) else cursor.last()
    while more:
        entry, item = cast("tuple[bytes, bytes]", cursor.item())
        if not entry.startswith(key) or (len(found) >= count and entry[: len(key) + 8] != head):
            break
        if len(entry) == length:
            found.append(item)
            head = entry[: len(key) + 8]
        more = cursor.prev()
    found.sort()
    return found[-count:] if count else []


def _after(prefix: bytes) -> bytes:
    """A key behind every one that starts with the prefix and that LMDB can hold."""
    return prefix + b"\xff" * (MAX_KEY_BYTES + _SUFFIX_BYTES + 1 - len(prefix))


def _prune_set(cursor: lmdb.Cursor, key: bytes, bound: bytes) -> None:
    length = len(key) + _SUFFIX_BYTES
    found = cursor.set_range(key)
    while found:
        entry, item = cast("tuple[bytes, bytes]", cursor.item())
        if not entry.startswith(key) or entry[len(key) : len(key) + 8] > bound[:8].ljust(8, b"\xff"):
            return
        found = _delete(cursor) if len(entry) == length and item < bound else cursor.next()


def _drop_rows(cursor: lmdb.Cursor, prefix: bytes) -> int:
    gone = 0
    found = cursor.set_range(prefix)
    while found and _key(cursor).startswith(prefix):
        gone += 1
        found = _delete(cursor)
    return gone


def _drop_sets(cursor: lmdb.Cursor, prefix: bytes) -> int:
    gone: set[bytes] = set()
    found = cursor.set_range(prefix)
    while found and _key(cursor).startswith(prefix):
        key = _key(cursor)[:-_SUFFIX_BYTES]
        if len(key) < len(prefix):  # a shorter key's item whose entry happens to look like the prefix
            found = cursor.next()
            continue
        gone.add(key)
        found = _delete(cursor)
    return len(gone)


def _delete(cursor: lmdb.Cursor) -> bool:
    """Delete the entry under the cursor; whether another one follows, which the cursor is then on."""
    cursor.delete()
    return bool(cursor.key())
