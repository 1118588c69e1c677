"""Contract suite of the online store port: a backend's test module subclasses it with a fixture.

    class TestMine(OnlineStoreContract):
        @pytest.fixture
        def store(self, tmp_path):
            store = open_online_store(f"mine://{tmp_path}")
            yield store
            store.close()

A store that lives outside of this process subclasses :class:`SharedOnlineStoreContract`, which adds several processes and
kill -9; its fixture ``url`` names the store that ``store`` opens, and ``open_store`` opens it again in another process.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import random
import signal
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from tidewheel.ports.online_store import OnlineStore, StoreOpener


def stamped(ts: int, payload: int, created: int = 0) -> bytes:
    """A value whose bytes order by event time, created time, payload, as rows do.

    Examples
    --------
    >>> stamped(12, 50) > stamped(5, 5)
    True
    """
    return b"".join((number + (1 << 63)).to_bytes(8, "big") for number in (ts, created, payload))


class OnlineStoreLaws:
    """Laws over many keys, values and writers. Expects a fixture ``store``.

    Examples
    --------
    >>> issubclass(OnlineStoreContract, OnlineStoreLaws)
    True
    """

    def test_laws_hold_for_random_histories(self, store: OnlineStore) -> None:
        chance = random.Random(7)
        for trial in range(12):
            prefix = b"%02d/" % trial
            keys = [prefix + bytes(chance.choices(b"\0a\\*?[]\xff", k=chance.randint(1, 3))) for _ in range(4)]
            values = [bytes(chance.choices(b"\0\x01a\xff", k=chance.randint(0, 12))) for _ in range(6)]
            writes = [(chance.choice(keys), chance.choice(values)) for _ in range(40)]
            adds = [(chance.choice(keys), chance.choice(values)) for _ in range(40)]
            for times in (1, 2):  # a history told twice, in another order and other batches, says nothing new
                rows, items = chance.sample(writes, len(writes)), chance.sample(adds, len(adds))
                while rows or items:
                    size = chance.randint(1, 15 * times)
                    store.write(rows[:size], items[:size])
                    rows, items = rows[size:], items[size:]
                greatest = {key: max(value for one, value in writes if one == key) for key, _ in writes}
                union = {key: sorted({value for one, value in adds if one == key}) for key, _ in adds}
                assert dict(store.scan(prefix)) == greatest
                assert dict(store.scan_sets(prefix)) == union
                assert store.read(keys, keys) == ([greatest.get(key) for key in keys], [union.get(key, []) for key in keys])

    def test_the_greatest_is_bytewise(self, store: OnlineStore) -> None:
        values = [
            b"",
            b"\0",
            b"\0\0",
            b"\0a",
            b"A",
            b"Z",
            b"a",
            b"a\0",
            b"aaaa",
            b"aaaab",
            b"aaab",
            b"z",
            b"\x7f",
            b"\x80",
            b"\xc3\xa9",
            b"\xff",
        ]
        assert values == sorted(values)
        for n, (low, high) in enumerate(itertools.pairwise(values)):
            for m, order in enumerate(([low, high], [high, low])):
                key = b"%d.%d" % (n, m)
                for value in order:
                    store.write([(key, value)])
                assert store.read([key])[0] == [high]

    def test_batches_that_cross_each_other_all_arrive(self, store: OnlineStore) -> None:
        keys = [b"%03d" % n for n in range(50)]

        def work(worker: int) -> None:
            chance = random.Random(worker)
            for n in range(15):
                order = chance.sample(keys, len(keys))
                store.write([(key, stamped(n, worker)) for key in order], [(key, stamped(n, worker)) for key in order])
                store.prune([(key, stamped(n - 2, 0)) for key in reversed(order)])

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))
        rows, sets = store.read(keys, keys)
        assert rows == [stamped(14, 3)] * len(keys)
        for items in sets:
            assert items[-8:] == [stamped(n, worker) for n in (13, 14) for worker in range(4)]

    def test_many_keys_in_one_batch_and_one_read(self, store: OnlineStore) -> None:
        keys = [b"%06d" % n for n in range(20_000)]
        store.write([(key, key) for key in keys], [(key, b"item of " + key) for key in keys])
        rows, sets = store.read(keys[::-1], keys)
        assert rows == keys[::-1]
        assert sets == [[b"item of " + key] for key in keys]
        store.prune([(key, b"\xff") for key in keys])
        assert list(store.scan_sets(b"")) == []
        assert store.delete(b"0") == 20_000

    def test_many_rows_of_which_some_are_new_and_some_are_greater(self, store: OnlineStore) -> None:
        """A store may write many new rows in another way: wherever in a batch an old one stands, the greatest stays."""
        keys = [b"view/%05d" % number for number in range(1_001)]
        store.write([(keys[5], b"5")])
        best = {keys[5]: b"5"}
        for given in (keys, keys[1:], keys[::-1]):
            rows = [(key, b"%d" % (number % 9)) for number, key in enumerate(given)]
            store.write(rows)
            best = {key: max(best.get(key, b""), value) for key, value in {**best, **dict(rows)}.items()}
        assert store.read(keys)[0] == [best[key] for key in keys]


class OnlineStoreContract(OnlineStoreLaws):
    """What every online store does. Expects a fixture ``store``: an empty store, closed afterwards.

    Examples
    --------
    >>> sorted(name for name in vars(OnlineStoreContract) if name.startswith("test_f"))[0]
    'test_f1_older_row_written_later_loses'
    """

    def test_f1_older_row_written_later_loses(self, store: OnlineStore) -> None:
        store.write([(b"u1", stamped(12, 50))])
        store.write([(b"u1", stamped(5, 5))])
        assert store.read([b"u1"]) == ([stamped(12, 50)], [])

    def test_f2_order_inside_a_batch_does_not_matter(self, store: OnlineStore) -> None:
        batch = [(b"a", stamped(12, 50)), (b"a", stamped(5, 5))]
        store.write(batch + [(b"b", value) for _, value in reversed(batch)])
        assert store.read([b"a", b"b"])[0] == [stamped(12, 50)] * 2

    def test_f3_later_batch_with_older_rows_changes_nothing(self, store: OnlineStore) -> None:
        store.write([(b"u1", stamped(12, 50))])
        store.write([(b"u1", stamped(8, 1)), (b"u2", stamped(8, 1))])
        assert store.read([b"u1", b"u2"])[0] == [stamped(12, 50), stamped(8, 1)]

    def test_f4_correction_wins_in_any_order(self, store: OnlineStore) -> None:
        first, correction = stamped(12, 50, created=12), stamped(12, 51, created=13)
        store.write([(b"a", first)])
        store.write([(b"a", correction)])
        store.write([(b"b", correction)])
        store.write([(b"b", first)])
        assert store.read([b"a", b"b"])[0] == [correction, correction]

    def test_f5_same_write_twice_is_one(self, store: OnlineStore) -> None:
        for _ in range(2):
            store.write([(b"u", stamped(1, 1))], [(b"s", b"x"), (b"s", b"x")])
        assert store.read([b"u"], [b"s"]) == ([stamped(1, 1)], [[b"x"]])

    def test_f5_concurrent_threads_leave_the_newest(self, store: OnlineStore) -> None:
        def work(worker: int) -> None:
            order = list(range(60))
            random.Random(worker).shuffle(order)
            for n in order:
                store.write([(b"hot", stamped(n, worker))], [(b"log", stamped(n, worker))])

        threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        rows, sets = store.read([b"hot"], [b"log"])
        assert rows == [stamped(59, 3)]
        assert sets == [[stamped(n, worker) for n in range(60) for worker in range(4)]]

    def test_every_interleaving_of_writes_gives_one_store(self, store: OnlineStore) -> None:
        writes = [(n % 3, stamped(n * 7 % 5, n)) for n in range(4)]
        seen = set()
        for trial, order in enumerate(itertools.permutations(writes)):
            prefix = b"%03d" % trial
            for key, value in order:
                store.write([(prefix + b"%d" % key, value)], [(prefix, value)])
            rows, sets = store.read([prefix + b"0", prefix + b"1", prefix + b"2"], [prefix])
            seen.add((*rows, *sets[0]))
        assert len(seen) == 1

    def test_reads_answer_in_the_order_asked_with_repeats(self, store: OnlineStore) -> None:
        store.write([(b"a", b"1"), (b"b", b"2")], [(b"a", b"3"), (b"a", b"0")])
        rows, sets = store.read([b"b", b"none", b"a", b"b"], [b"none", b"a", b"a"])
        assert rows == [b"2", None, b"1", b"2"]
        assert sets == [[], [b"0", b"3"], [b"0", b"3"]]

    def test_nothing_asked_is_nothing_answered(self, store: OnlineStore) -> None:
        assert store.read([]) == ([], [])
        store.write([])
        store.prune([])

    def test_items_come_in_bytewise_order_or_the_newest_of_them(self, store: OnlineStore) -> None:
        items = [b"", b"\0", b"\0\0", b"b", b"a" * 9, b"a" * 8 + b"b", b"a" * 8, b"a" * 3000, b"\xff" * 20]
        store.write([], [(key, item) for key in (b"s", b"s" + b"\0" * 20, b"sa") for item in items])
        assert store.read([], [b"s"])[1] == [sorted(items)]
        for newest in range(len(items) + 2):
            wanted = sorted(items)[max(0, len(items) - newest) :]
            assert store.read([], [b"s", b"none", b"sa"], newest=newest)[1] == [wanted, [], wanted]

    def test_a_row_and_a_set_of_one_key_are_two_things(self, store: OnlineStore) -> None:
        store.write([(b"k", b"row")], [(b"k", b"item")])
        store.prune([(b"k", b"z")])
        assert store.read([b"k"], [b"k"]) == ([b"row"], [[]])

    def test_a_key_that_starts_with_another_is_another(self, store: OnlineStore) -> None:
        keys = [b"k", b"k" + b"\0" * 20, b"k" + b"a" * 28, b"kk"]
        store.write([(key, key) for key in keys], [(key, b"item of " + key) for key in keys])
        rows, sets = store.read(keys, keys)
        assert rows == keys
        assert sets == [[b"item of " + key] for key in keys]

    def test_prune_drops_what_is_below_the_bound(self, store: OnlineStore) -> None:
        items = [stamped(n, n) for n in range(10)]
        store.write([], [(key, item) for key in (b"a", b"b") for item in items])
        store.prune([(b"a", stamped(6, 6)), (b"none", stamped(6, 6))])
        store.prune([(b"a", stamped(2, 2))])
        assert store.read([], [b"a", b"b"])[1] == [items[6:], items]
        store.prune([(b"b", items[4][:12])])
        assert store.read([], [b"b"])[1] == [items[4:]]
        store.prune([(b"b", b"\xff")])
        assert list(store.scan_sets(b"b")) == []

    def test_prune_drops_these_very_items(self, store: OnlineStore) -> None:
        items = [stamped(n, n) for n in range(6)]
        store.write([], [(key, item) for key in (b"a", b"ab") for item in items])
        store.prune([(b"a", items[1])], [(b"a", items[3]), (b"a", stamped(9, 9)), (b"none", items[0])])
        assert store.read([], [b"a", b"ab"])[1] == [[items[1], items[2], items[4], items[5]], items]
        store.prune([], [(b"a", item) for item in items])
        assert [key for key, _ in store.scan_sets(b"a")] == [b"ab"]

    def test_delete_takes_one_prefix_and_counts_keys(self, store: OnlineStore) -> None:
        store.write([(b"v1a", b"1"), (b"v1b", b"1"), (b"v2a", b"1")], [(b"v1a", b"1"), (b"v1a", b"2"), (b"v2a", b"1")])
        assert store.delete(b"v1") == 3
        assert store.delete(b"v1") == 0
        assert store.read([b"v1a", b"v2a"], [b"v1a", b"v2a"]) == ([None, b"1"], [[], [b"1"]])

    def test_scans_answer_one_prefix_in_key_order(self, store: OnlineStore) -> None:
        keys = [b"v1" + n.to_bytes(3, "big") for n in range(5000)]
        shuffled = random.Random(1).sample(keys, len(keys))
        store.write([(key, key) for key in shuffled], [(key, item) for key in shuffled for item in (b"2", b"1")])
        store.write([(b"v0", b""), (b"v2", b"")], [(b"v0", b""), (b"v2", b"")])
        assert list(store.scan(b"v1")) == [(key, key) for key in keys]
        assert list(store.scan_sets(b"v1")) == [(key, [b"1", b"2"]) for key in keys]
        assert [key for key, _ in store.scan(b"")] == [b"v0", *keys, b"v2"]

    def test_longest_key_and_large_values(self, store: OnlineStore) -> None:
        key, value = b"k" * 480, b"v" * 300_000
        store.write([(key, value)], [(key, value)])
        assert store.read([key], [key]) == ([value], [[value]])

    def test_a_batch_that_fails_half_way_writes_nothing(self, store: OnlineStore) -> None:
        def rows() -> Iterator[tuple[bytes, bytes]]:
            yield b"k", b"1"
            raise KeyError("broken")

        with contextlib.suppress(KeyError):
            store.write(rows())
        assert store.read([b"k"]) == ([None], [])

    def test_a_read_sees_whole_batches_only(self, store: OnlineStore) -> None:
        done = threading.Event()

        def write() -> None:
            for n in range(150):
                store.write([(b"a", stamped(n, n)), (b"b", stamped(n, n))])
            done.set()

        writer = threading.Thread(target=write)
        writer.start()
        while not done.is_set():
            a, b = store.read([b"a", b"b"])[0]
            assert a == b
        writer.join()

    def test_close_twice_is_close(self, store: OnlineStore) -> None:
        store.close()
        store.close()


class SharedOnlineStoreContract(OnlineStoreContract):
    """What a store does that several processes share. Expects fixtures ``store`` and ``url``.

    Examples
    --------
    >>> issubclass(SharedOnlineStoreContract, OnlineStoreContract)
    True
    """

    @property
    @abstractmethod
    def open_store(self) -> StoreOpener:
        """Opens the store of the ``url`` fixture; a module-level function."""

    def test_another_process_reads_what_was_written(self, store: OnlineStore, url: str) -> None:
        store.write([(b"k", b"1")], [(b"s", b"2")])
        assert _elsewhere(_read, self.open_store, url, [b"k"], [b"s"]) == ([b"1"], [[b"2"]])

    def test_f5_concurrent_processes_leave_the_newest(self, store: OnlineStore, url: str) -> None:
        context = multiprocessing.get_context("spawn")
        workers = [context.Process(target=_write_many, args=(self.open_store, url, worker)) for worker in range(3)]
        for worker in workers:
            worker.start()
        _write_in_any_order(store, 3)
        for worker in workers:
            worker.join()
            assert worker.exitcode == 0
        rows, sets = store.read([b"hot"], [b"log"])
        assert rows == [stamped(99, 3)]
        assert sets == [[stamped(n, worker) for n in range(100) for worker in range(4)]]

    def test_processes_whose_batches_cross_leave_the_greatest_of_every_key(self, store: OnlineStore, url: str) -> None:
        context = multiprocessing.get_context("spawn")
        workers = [context.Process(target=_cross, args=(self.open_store, url, worker)) for worker in range(3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
            assert worker.exitcode == 0
        told = [pair for worker in range(3) for batch in _crossing(worker) for pair in batch]
        greatest = {key: max(value for one, value in told if one == key) for key in _CROSSED}
        rows, sets = store.read(_CROSSED, _CROSSED)
        assert dict(zip(_CROSSED, rows, strict=True)) == greatest
        assert sets == [sorted({value for one, value in told if one == key and value >= _BOUND}) for key in _CROSSED]

    def test_kill_in_the_middle_of_batches_leaves_whole_batches(self, store: OnlineStore, url: str) -> None:
        context = multiprocessing.get_context("spawn")
        for trial in range(2):
            receiver, sender = context.Pipe(duplex=False)
            worker = context.Process(target=_write_pairs_for_ever, args=(self.open_store, url, trial, sender))
            worker.start()
            while receiver.recv() < 20:
                pass
            time.sleep(0.01 * (trial + 1))
            assert worker.pid is not None
            os.kill(worker.pid, signal.SIGKILL)
            worker.join()
            told = 0
            sender.close()
            with contextlib.suppress(EOFError, OSError):
                while True:
                    told = receiver.recv()
            prefix = b"%d" % trial
            (a, b), (log,) = store.read([prefix + b"a", prefix + b"b"], [prefix])
            assert a == b
            assert log == [stamped(n, n) for n in range(len(log))]
            assert a == log[-1]
            assert len(log) > told, "a write that had returned was lost"
        store.write([(b"after", b"1")])  # a dead writer leaves no lock behind
        assert store.read([b"after"])[0] == [b"1"]

    def test_kill_inside_a_batch_leaves_all_of_it_or_nothing(self, store: OnlineStore, url: str) -> None:
        context = multiprocessing.get_context("spawn")
        for trial in range(3):
            receiver, sender = context.Pipe(duplex=False)
            worker = context.Process(target=_write_large_batches, args=(self.open_store, url, sender))
            worker.start()
            receiver.recv()
            time.sleep(0.03 * trial)
            assert worker.pid is not None
            os.kill(worker.pid, signal.SIGKILL)
            worker.join()
            for _ in range(2):  # a server may still be at the dead client's last statement
                rows, sets = store.read(_LARGE, _LARGE)
                assert len({(row, *items) for row, items in zip(rows, sets, strict=True)}) == 1, "half a batch is visible"

    def test_what_was_written_is_there_after_reopening(self, store: OnlineStore, url: str) -> None:
        store.write([(b"k", b"1")], [(b"s", b"2")])
        store.close()
        again = self.open_store(url)
        assert again.read([b"k"], [b"s"]) == ([b"1"], [[b"2"]])
        again.close()


def _elsewhere(
    work: Callable[[StoreOpener, str, list[bytes], list[bytes]], object],
    opener: StoreOpener,
    url: str,
    rows: list[bytes],
    sets: list[bytes],
) -> object:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, (opener, url, rows, sets))


def _read(opener: StoreOpener, url: str, rows: list[bytes], sets: list[bytes]) -> object:
    store = opener(url)
    try:
        return store.read(rows, sets)
    finally:
        store.close()


def _write_many(opener: StoreOpener, url: str, worker: int) -> None:
    store = opener(url)
    _write_in_any_order(store, worker)
    store.close()


def _write_in_any_order(store: OnlineStore, worker: int) -> None:
    for n in random.Random(worker).sample(range(100), 100):
        store.write([(b"hot", stamped(n, worker))], [(b"log", stamped(n, worker))])


_CROSSED = [b"%02d" % n for n in range(30)]
_BOUND = stamped(3, 0)


def _crossing(worker: int) -> Iterator[list[tuple[bytes, bytes]]]:
    """Batches over the same keys in an order of the worker's own; times tie and run backwards."""
    chance = random.Random(worker)
    for _ in range(40):
        keys = chance.sample(_CROSSED, 20)
        yield [(key, stamped(chance.randrange(6), chance.randrange(4), created=chance.randrange(3))) for key in keys]


def _cross(opener: StoreOpener, url: str, worker: int) -> None:
    store = opener(url)
    for batch in _crossing(worker):
        store.write(batch, batch)
        store.prune([(key, _BOUND) for key, _ in reversed(batch)])
    for key in _CROSSED:
        store.prune([(key, _BOUND)])
    store.close()


_LARGE = [b"large%05d" % n for n in range(5_000)]


def _write_large_batches(opener: StoreOpener, url: str, told: _Sender) -> None:
    store = opener(url)
    for n in itertools.count():
        store.write([(key, stamped(n, n)) for key in _LARGE], [(key, b"%d" % (n % 50)) for key in _LARGE])
        told.send(n)


class _Sender(Protocol):
    def send(self, obj: int) -> None: ...


def _write_pairs_for_ever(opener: StoreOpener, url: str, trial: int, told: _Sender) -> None:
    store = opener(url)
    prefix = b"%d" % trial
    for n in itertools.count():
        value = stamped(n, n)
        store.write([(prefix + b"a", value), (prefix + b"b", value)], [(prefix, value)])
        told.send(n)
