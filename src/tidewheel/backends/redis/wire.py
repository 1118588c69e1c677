"""One connection to a Redis: redis-py makes it, then packets travel without it.

redis-py knows addresses, TLS, users and databases, and maps what goes wrong there to its errors; the socket that it has made
is all that is needed from then on. Its client spends some 150 us of Python on a command, its connections 5 on each reply. Here
a question is one packet that is sent whole, and hiredis takes its replies apart: 2 us beside the round trip itself.
"""

from __future__ import annotations

import socket
from typing import Protocol

import hiredis
from redis.exceptions import AuthenticationError, BusyLoadingError, InvalidResponse, NoPermissionError, ResponseError
from redis.exceptions import ConnectionError as Broken
from redis.exceptions import TimeoutError as Late

Argument = bytes | str | int

_BUFFER_BYTES = 65_536
_LONG = 500
"""Arguments from which on hiredis, which copies all it has for every one, takes longer to pack them than Python."""
_MORE = object()
_TRANSACTION = b"*1\r\n$5\r\nMULTI\r\n%b*1\r\n$4\r\nEXEC\r\n"
_ERRORS = {"NOAUTH": AuthenticationError, "WRONGPASS": AuthenticationError, "NOPERM": NoPermissionError}
_PASSING = ("LOADING", "MASTERDOWN")
"""The server is there, but serves nobody yet."""


class Made(Protocol):
    """What we use of a connection of redis-py, whose own types leave these open."""

    _sock: socket.socket

    def connect(self) -> None: ...

    def disconnect(self) -> None: ...


class Wire:
    """A connected connection; one question at a time.

    After an error of any kind but ``ResponseError`` it must be closed: what is left on the wire would answer the next question.
    """

    __slots__ = ("_buffer", "_made", "_reader", "_socket")

    def __init__(self, made: Made) -> None:
        made.connect()
        self._made = made
        self._socket = made._sock
        self._reader = hiredis.Reader(protocolError=InvalidResponse, replyError=_error, notEnoughData=_MORE)
        self._buffer = bytearray(_BUFFER_BYTES)

    def ask(self, packet: bytes, count: int) -> list[object]:
        """So many replies to what travels in one packet.

        Raises
        ------
        redis.exceptions.ResponseError
            The first reply that is an error, after all are read.
        """
        replies: list[object] = []
        reader, pushed = self._reader, hiredis.PushNotification
        failed = False
        try:
            self._socket.sendall(packet)
            while len(replies) < count:
                reply = reader.gets(False)
                if reply is _MORE:
                    size = self._socket.recv_into(self._buffer)
                    if not size:
                        raise Broken("the server closed the connection")
                    reader.feed(self._buffer, 0, size)  # type: ignore[arg-type]  # takes any buffer
                elif not isinstance(reply, pushed):  # which is told unasked: nobody waits for it
                    replies.append(reply)
                    failed = failed or isinstance(reply, Exception)
        except TimeoutError as error:
            raise Late("the server took too long") from error
        if failed:
            raise next(reply for reply in replies if isinstance(reply, Exception))
        return replies

    def transact(self, packet: bytes, count: int) -> list[object]:
        """Replies to so many commands that travel in one packet, as one transaction.

        Raises
        ------
        redis.exceptions.ResponseError
            The first reply that is an error; the commands fail one by one, the others have done their work.
        """
        replies: list[object] = self.ask(_TRANSACTION % packet, count + 2)[-1]  # type: ignore[assignment]  # of EXEC
        for reply in replies:
            if isinstance(reply, ResponseError):
                raise reply
        return replies

    def ask_patiently(self, packet: bytes, count: int, *, seconds: float) -> list[object]:
        """:meth:`ask`, waiting for each piece as long as is said, where the connection's own limit is too short."""
        limit = self._socket.gettimeout()
        self._socket.settimeout(seconds)
        try:
            return self.ask(packet, count)
        finally:
            self._socket.settimeout(limit)

    def close(self) -> None:
        """Hang up; idempotent. In a child of a fork the parent's connection goes on."""
        self._made.disconnect()


def packed(command: tuple[Argument, ...]) -> bytes:
    """A command as it travels."""
    if len(command) < _LONG:
        return hiredis.pack_command(command)  # type: ignore[arg-type, no-any-return]  # its type says one argument, and means any number
    made = [b"*%d\r\n" % len(command)]
    heads: dict[int, bytes] = {}
    for one in command:
        data = one if isinstance(one, bytes) else str(one).encode()
        size = len(data)
        head = heads.get(size)
        if head is None:
            head = heads[size] = b"$%d\r\n" % size
        made += (head, data, b"\r\n")
    return b"".join(made)


def _error(told: str) -> Exception:
    """What an error reply is, by its first word."""
    word = told.partition(" ")[0]
    if word in _PASSING:
        return BusyLoadingError(told)
    return _ERRORS.get(word, ResponseError)(told)
