"""The online store on Redis or Valkey, for servers and materialisers on many machines.

A row is a string, a set is a sorted set whose members all score zero, which Redis keeps in bytewise order. A write is one
script, so it is atomic; the greatest value wins on the server, whoever writes. A read is one command for all rows, and for
sets one each or one script, as one transaction in one packet.

**Durability** is the server's: ``appendonly yes`` loses up to a second with the machine, ``appendfsync always`` nothing, and
a server without persistence everything. Nothing is lost for good, since the online store is derived: materialise again. A
server that evicts keys at will is refused.

**Sharing.** All keys start with the namespace: ``taxi-1f2e3d4c:r:...`` for rows, ``...:s:...`` for sets, ``...:i`` for a sorted
set of the keys of the sets, which every materialisation walks. There is none for the rows, since it would cost a third more
memory: their scan (a full materialisation) and a deletion walk the whole database of the server, so give online rows a
database, better a server, of their own. One Redis, not a Redis Cluster, which is refused. The tests run on Redis 7.0;
Valkey 9.1 has passed them too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, groupby
from typing import TypeVar, cast

from tidewheel.backends.redis.connection import Connections
from tidewheel.backends.redis.wire import Argument, packed
from tidewheel.errors import Invalid
from tidewheel.ports.online_store import NAMESPACE, Key, split_namespace

T = TypeVar("T")

MAX_KEY_BYTES = 480
_PAGE = 1_000
_SCRIPT_PAIRS = 100_000
"""Pairs of one script. A larger batch is several scripts in one transaction: a single one would block the server for long."""
_MANY = 100
"""Rows from which on it pays to ask first whether they are new, and how many of them are looked at."""
_FEW = 12
"""Sets up to which a command for each costs the server less than a script."""
_DELETE_KEYS = 50_000
_SCAN_KEYS = 5_000
_BEHIND = 1 << 40
"""A place behind the last item of any set."""

_WRITE = b"""
local function greater(a, b)  -- bytewise; Lua's own comparison follows the server's locale
  if a == b then return false end
  local n = math.min(#a, #b)
  local i = 1
  while i + 3 <= n do
    local x, y = struct.unpack('>I4', a, i), struct.unpack('>I4', b, i)
    if x ~= y then return x > y end
    i = i + 4
  end
  while i <= n do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x > y end
    i = i + 1
  end
  return #a > #b
end
local rows, start = tonumber(ARGV[1]), tonumber(ARGV[2]) + 1
for low = 1, rows, 1000 do  -- as many as fit on Lua's stack, twice
  local high = math.min(low + 999, rows)
  local held, wins = redis.call('MGET', unpack(KEYS, low + 1, high + 1)), {}
  for i = low, high do
    local value = ARGV[i + 2]
    if not held[i - low + 1] or greater(value, held[i - low + 1]) then
      wins[#wins + 1] = KEYS[i + 1]
      wins[#wins + 1] = value
    end
  end
  if #wins > 0 then redis.call('MSET', unpack(wins)) end
end
for i = rows + 1, #KEYS - 1 do
  local key = KEYS[i + 1]
  if redis.call('ZADD', key, 0, ARGV[i + 2]) == 1 and redis.call('ZCARD', key) == 1 then
    redis.call('ZADD', KEYS[1], 0, string.sub(key, start))
  end
end
"""
_PRUNE = b"""
local bounds, start = tonumber(ARGV[1]), tonumber(ARGV[2]) + 1
for i = 1, #KEYS - 1 do
  local key, gone = KEYS[i + 1], 0
  if i <= bounds then
    gone = redis.call('ZREMRANGEBYLEX', key, '-', '(' .. ARGV[i + 2])
  else
    gone = redis.call('ZREM', key, ARGV[i + 2])
  end
  if gone > 0 and redis.call('EXISTS', key) == 0 then redis.call('ZREM', KEYS[1], string.sub(key, start)) end
end
"""
_SETS = b"""
local there = false
for i = 1, #KEYS, 5000 do  -- Lua hands over some thousands of values at once, not more
  there = there or redis.call('EXISTS', unpack(KEYS, i, math.min(i + 4999, #KEYS))) > 0
end
if not there then return false end
local found = {}
for i = 1, #KEYS do found[i] = redis.call('ZRANGE', KEYS[i], ARGV[1], -1) end
return found
"""
"""Sets, or nothing where none of them is there, as is the rule: then the server looks at each key once, and says one word."""


class RedisOnlineStore:
    """Online rows and sets on a server.

    Parameters
    ----------
    url
        As of redis-py: ``redis://user:password@host:port/database?socket_timeout=1``.
    namespace
        Start of every key.

    Examples
    --------
    >>> store = RedisOnlineStore("redis://localhost:6379/0")  # doctest: +SKIP
    >>> store.write([(b"k", b"2"), (b"k", b"1")], [(b"s", b"b"), (b"s", b"a")])  # doctest: +SKIP
    >>> store.read([b"k", b"none"], [b"s"])  # doctest: +SKIP
    ([b'2', None], [[b'a', b'b']])
    """

    def __init__(self, url: str, namespace: str = NAMESPACE) -> None:
        self._connections = Connections(url)
        self._row = f"{namespace}:r:".encode()
        self._set = f"{namespace}:s:".encode()
        self._index = f"{namespace}:i".encode()

    def write(self, rows: Iterable[tuple[Key, bytes]], items: Iterable[tuple[Key, bytes]] = ()) -> None:
        """Merge rows and set items; one script, or one transaction of several."""
        best: dict[bytes, bytes] = {}
        for key, value in rows:
            if key not in best or value > best[key]:
                best[_checked(key)] = value
        items = list(items)
        pairs = [(True, self._row + key, value) for key, value in best.items()]
        if not items and self._put_new(pairs):
            return
        pairs += [(False, self._set + _checked(key), item) for key, item in dict.fromkeys(items)]
        self._merge(_WRITE, pairs)

    def read(
        self, rows: Sequence[Key], sets: Sequence[Key] = (), *, newest: int | None = None
    ) -> tuple[list[bytes | None], list[list[bytes]]]:
        """Answer rows and sets in the order asked, of each set the newest items alone when so asked; one transaction."""
        if not rows and not sets:
            return [], []
        first = 0 if newest is None else -newest or _BEHIND
        space, few = self._set, len(sets) <= _FEW
        packet, count = b"", 0
        if rows:
            packet, count = b"*%d\r\n$4\r\nMGET\r\n%b" % (1 + len(rows), _many(self._row, rows)), 1
        if sets and few:
            packet, count = packet + _ranges(space, sets, first), count + len(sets)
        elif sets:
            packet += b"*%d\r\n%b%b%b" % (4 + len(sets), _evaluate(len(sets)), _many(space, sets), _bulk(b"%d" % first))
            count += 1
        replies = self._connections.ask(lambda wire: wire.transact(packet, count) if count > 1 else wire.ask(packet, 1))
        values: list[bytes | None] = replies[0] if rows else []  # type: ignore[assignment]  # a cast takes its time
        found: list[list[bytes]] | None = replies[len(replies) - len(sets) :] if few else replies[-1]  # type: ignore[assignment]
        return values, [[] for _ in sets] if found is None else found

    def prune(self, bounds: Iterable[tuple[Key, bytes]], items: Iterable[tuple[Key, bytes]] = ()) -> None:
        """Drop from the set at each key the items below its bound, and these very items; as atomic as a write."""
        pairs = [(True, self._set + key, bound) for key, bound in bounds]
        pairs += [(False, self._set + key, item) for key, item in items]
        self._merge(_PRUNE, pairs)

    def delete(self, prefix: Key) -> int:
        """Drop every row and set whose key starts with the prefix, 50,000 keys at a time; answer how many keys went."""
        gone = 0
        for batch in _batches(self._set_keys(prefix), _DELETE_KEYS):
            dropped = (b"UNLINK", *(self._set + key for key in batch))
            gone += cast(int, self._transact((dropped, (b"ZREM", self._index, *batch)))[0])
        for batch in _batches(self._row_keys(prefix), _DELETE_KEYS):
            gone += cast(int, self._ask((b"UNLINK", *(self._row + key for key in batch))))
        return gone

    def scan(self, prefix: Key) -> Iterator[tuple[Key, bytes]]:
        """Rows whose key starts with the prefix, in key order."""
        for batch in _batches(self._row_keys(prefix), _PAGE):
            for key, value in zip(batch, self.read(batch)[0], strict=True):
                if value is not None:  # deleted since
                    yield key, value

    def scan_sets(self, prefix: Key) -> Iterator[tuple[Key, list[bytes]]]:
        """Sets whose key starts with the prefix, in key order, each with its items in bytewise order."""
        for batch in _batches(self._set_keys(prefix), _PAGE):
            for key, items in zip(batch, self.read((), batch)[1], strict=True):
                if items:
                    yield key, items

    def close(self) -> None:
        """Close the connections; idempotent."""
        self._connections.close()

    def _put_new(self, pairs: Sequence[tuple[bool, bytes, bytes]]) -> bool:
        """Write many rows that are all new, as those of a first materialisation are, without a script: in a third of its time.

        Returns
        -------
        Whether they were: otherwise nothing is written.
        """
        if not _MANY <= len(pairs) <= _SCRIPT_PAIRS:
            return False
        if self._ask((b"EXISTS", *(key for _, key, _ in pairs[:: len(pairs) // _MANY + 1]))):  # so that few are sent in vain
            return False
        return self._ask((b"MSETNX", *chain.from_iterable((key, value) for _, key, value in pairs))) == 1

    def _merge(self, script: bytes, pairs: Sequence[tuple[bool, bytes, bytes]]) -> None:
        """Run a script over pairs of a key and a value; those marked ``True`` come first, and it is told how many they are."""
        scripts: list[tuple[Argument, ...]] = []
        for batch in _batches(pairs, _SCRIPT_PAIRS):
            keys, values = (key for _, key, _ in batch), (value for _, _, value in batch)
            first = sum(marked for marked, _, _ in batch)
            scripts.append((b"EVAL", script, len(batch) + 1, self._index, *keys, first, len(self._set), *values))
        if len(scripts) == 1:
            self._ask(scripts[0])
        elif scripts:
            self._transact(scripts)

    def _transact(self, commands: Sequence[tuple[Argument, ...]]) -> list[object]:
        return self._connections.ask(lambda wire: wire.transact(b"".join(map(packed, commands)), len(commands)))

    def _ask(self, command: tuple[Argument, ...]) -> object:
        return self._connections.ask(lambda wire: wire.ask(packed(command), 1)[0])

    def _set_keys(self, prefix: bytes) -> list[bytes]:
        low, high = b"[" + prefix, b"(" + prefix + b"\xff" * (MAX_KEY_BYTES + 1 - len(prefix))
        return cast("list[bytes]", self._ask((b"ZRANGEBYLEX", self._index, low, high)))

    def _row_keys(self, prefix: bytes) -> list[bytes]:
        pattern = _escaped(self._row + prefix) + b"*"
        found: set[bytes] = set()  # a key may come twice
        cursor = b"0"
        while True:
            reply = self._ask((b"SCAN", cursor, b"MATCH", pattern, b"COUNT", _SCAN_KEYS))
            cursor, keys = cast("tuple[bytes, list[bytes]]", reply)
            found.update(key[len(self._row) :] for key in keys)
            if cursor == b"0":
                return sorted(found)


def open_online_store(url: str, *, namespace: str = NAMESPACE) -> RedisOnlineStore:
    """The store at ``redis://host:port/database``, or ``rediss://`` with TLS; it connects on first use.

    Raises
    ------
    Invalid
        When the URL names no Redis.

    Examples
    --------
    >>> open_online_store("redis://localhost:6379/0?namespace=taxi").close()
    """
    place, space = split_namespace(url, namespace)
    return RedisOnlineStore(place, space)


def _ranges(space: bytes, keys: Sequence[bytes], first: int) -> bytes:
    """What asks for the items of some sets from a place on."""
    tail = b"%b$2\r\n-1\r\n" % _bulk(b"%d" % first)
    return _joined(keys, lambda size: b"*4\r\n$6\r\nZRANGE\r\n$%d\r\n%b" % (len(space) + size, space), tail)


def _many(space: bytes, keys: Sequence[bytes]) -> bytes:
    """Keys as arguments of one command."""
    return _joined(keys, lambda size: b"$%d\r\n%b" % (len(space) + size, space), b"")


def _joined(keys: Sequence[bytes], head: Callable[[int], bytes], tail: bytes) -> bytes:
    """Keys, each between what stands before one of its size and what stands behind any; keys of one size are one join."""
    made: list[bytes] = []
    for size, some in groupby(keys, len):
        before = head(size)
        made += (before, (b"\r\n" + tail + before).join(some), b"\r\n" + tail)
    return b"".join(made)


@lru_cache
def _evaluate(count: int) -> bytes:
    """What asks for the script of sets, up to its keys."""
    return b"".join(map(_bulk, (b"EVAL", _SETS, b"%d" % count)))


def _bulk(argument: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(argument), argument)


def _batches(given: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (given[low : low + size] for low in range(0, len(given), size))


def _checked(key: bytes) -> bytes:
    if not 0 < len(key) <= MAX_KEY_BYTES:
        raise Invalid(f"a key of {len(key)} bytes; 1 to {MAX_KEY_BYTES} are allowed", fix="key by something shorter")
    return key


def _escaped(prefix: bytes) -> bytes:
    """The prefix as a pattern of Redis that stands for itself."""
    return b"".join(b"\\" + bytes([one]) if one in b"*?[]^\\" else bytes([one]) for one in prefix)
