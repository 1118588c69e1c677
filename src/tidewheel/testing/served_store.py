"""Contract suite of an online store that a server keeps: one turn over the wire a call, and kill -9 of the server.

Its fixtures are those of :class:`tidewheel.testing.online_store.SharedOnlineStoreContract`, and ``server``: a server of the
test's own, which keeps what it has acknowledged.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

from tidewheel.errors import Unavailable
from tidewheel.ports.online_store import OnlineStore, StoreOpener
from tidewheel.testing.online_store import SharedOnlineStoreContract, stamped

_PACKET = 1 << 20
PATIENCE_SECONDS = 0.25
"""Enough for a client on a busy machine to go on with its question."""


class Server(Protocol):
    """A server that can be killed and started again on the same data."""

    url: str
    """Of an online store on it."""

    def kill(self) -> None:
        """End it as a power failure would: at once, with nothing said."""
        ...

    def start(self) -> None:
        """Start it, and wait until it answers."""
        ...


@dataclass(slots=True)
class _Talk:
    """One connection: whether the server spoke last, and when the client did."""

    answered: bool = True
    asked_at: float = 0.0


class Turns:
    """Stands between a client and its server and counts round trips: how often the client speaks after it was answered.

    A server may begin to answer while a long question still comes in. So what it says waits until the client has been silent
    for :attr:`patience_seconds`; while these are 0, long questions count for too many.

    Parameters
    ----------
    url
        Of the server; :attr:`url` is the same through here.

    Examples
    --------
    >>> with socket.create_server(("127.0.0.1", 0)) as server, Turns(f"x://127.0.0.1:{server.getsockname()[1]}/0") as turns:
    ...     with socket.create_connection(("127.0.0.1", urlsplit(turns.url).port)) as client:
    ...         client.sendall(b"question")
    ...         answering, _ = server.accept()
    ...         with answering:
    ...             answering.recv(8), answering.sendall(b"answer"), client.recv(6)
    ...     turns.count
    (b'question', None, b'answer')
    1
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname or "127.0.0.1", parts.port or 0)
        self._listening = socket.create_server(("127.0.0.1", 0))
        user, at, _ = parts.netloc.rpartition("@")
        self.url = urlunsplit(parts._replace(netloc=f"{user}{at}127.0.0.1:{self._listening.getsockname()[1]}"))
        self.count, self.patience_seconds = 0, 0.0
        self._lock = threading.Lock()
        self._open: list[socket.socket] = [self._listening]

    def __enter__(self) -> Turns:
        """Take connections."""
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Close them all."""
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(self._server)
                self._open += [client, server]
                talk = _Talk()
                threading.Thread(target=self._ask, args=(client, server, talk), daemon=True).start()
                threading.Thread(target=self._answer, args=(server, client, talk), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket, talk: _Talk) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(_PACKET):
                with self._lock:
                    self.count += talk.answered
                    talk.answered, talk.asked_at = False, time.monotonic()
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)

    def _answer(self, server: socket.socket, client: socket.socket, talk: _Talk) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(_PACKET):
                while (left := talk.asked_at + self.patience_seconds - time.monotonic()) > 0:
                    time.sleep(left)
                with self._lock:
                    talk.answered = True
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)


class ServedOnlineStoreContract(SharedOnlineStoreContract):
    """What a store does whose bytes are on a server. Expects fixtures ``store``, ``url`` and ``server``.

    Examples
    --------
    >>> issubclass(ServedOnlineStoreContract, SharedOnlineStoreContract)
    True
    """

    def test_every_call_is_one_turn_over_the_wire(self, url: str) -> None:
        keys = [b"%03d" % n for n in range(500)]
        with Turns(url) as turns, contextlib.closing(self.open_store(turns.url)) as store:
            for patience in (0.0, PATIENCE_SECONDS):  # at first a connection is made, and statements are prepared
                turns.patience_seconds = patience
                counts = [turns.count]
                for count in (1, 10, 500):
                    some = keys[:count]
                    store.write([(key, key) for key in some], [(key, key) for key in some])
                    counts.append(turns.count)
                    assert store.read(some, some) == (some, [[key] for key in some])
                    counts.append(turns.count)
                    assert store.read(some, some, newest=3)[1] == [[key] for key in some]
                    counts.append(turns.count)
                    assert store.read(some) == (some, [])
                    counts.append(turns.count)
                    store.prune([(key, b"\xff") for key in some], [(key, key) for key in some])
                    counts.append(turns.count)
            assert [after - before for before, after in itertools.pairwise(counts)] == [1] * 15

    def test_a_server_killed_in_the_middle_of_batches_keeps_whole_ones(self, server: Server) -> None:
        context = multiprocessing.get_context("spawn")
        for trial in range(2):
            receiver, sender = context.Pipe(duplex=False)
            worker = context.Process(target=_write_until_it_dies, args=(self.open_store, server.url, trial, sender))
            worker.start()
            sender.close()
            told = next(n for n in _received(receiver) if n >= 20 + 7 * trial)
            server.kill()
            told = max([told, *_received(receiver)])
            worker.join()
            assert worker.exitcode == 0, "a dead server is Unavailable, and nothing else"
            server.start()
            with contextlib.closing(self.open_store(server.url)) as store:
                _check_whole(store, b"%d" % trial, told)


class _Receiver(Protocol):
    def recv(self) -> int: ...


class _Sender(Protocol):
    def send(self, obj: int, /) -> None: ...


def _received(receiver: _Receiver) -> Iterator[int]:
    with contextlib.suppress(EOFError, OSError):
        while True:
            yield receiver.recv()


def _check_whole(store: OnlineStore, prefix: bytes, told: int) -> None:
    (a, b), (log,) = store.read([prefix + b"a", prefix + b"b"], [prefix])
    assert a == b == log[-1]
    assert log == [stamped(n, n) for n in range(len(log))]
    assert len(log) > told, "a write that had returned was lost"
    assert len(log) <= told + 2, "more was written than was asked"


def _write_until_it_dies(opener: StoreOpener, url: str, trial: int, told: _Sender) -> None:
    store = opener(url)
    prefix = b"%d" % trial
    with contextlib.suppress(Unavailable):
        for n in itertools.count():
            value = stamped(n, n)
            store.write([(prefix + b"a", value), (prefix + b"b", value)], [(prefix, value)])
            told.send(n)
