"""What a worker and the relay of its executor say to each other about artifacts, where the worker cannot reach their store.

The relay listens on a Unix socket. A connection is one question: a line of JSON (``do``: ``get``, ``put`` or ``has``, and
``digest``), answered by one byte: ``Y``, or ``N`` for "there is none" or, to a put, "it is there already". Bytes are pieces
of four bytes of length each, ended by a length of zero; a put that has come through is answered ``Y`` once more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from tidewheel.errors import Unavailable

RELAY = "relay"
"""Scheme of the URL of a store behind a relay."""

_LENGTH = 4


def relay_url(folder: Path, socket_file: Path) -> str:
    """URL of a store in a folder with a relay.

    Examples
    --------
    >>> relay_url(Path("/cache"), Path("/run/r.sock"))
    'relay:///cache?socket=/run/r.sock'
    """
    return f"{RELAY}://{quote(str(folder))}?socket={quote(str(socket_file))}"


def write_pieces(out: BinaryIO, pieces: Iterable[bytes]) -> None:
    """Write pieces and their end.

    Examples
    --------
    >>> import io
    >>> made = io.BytesIO()
    >>> write_pieces(made, [b"ab", b"c"])
    >>> list(read_pieces(io.BytesIO(made.getvalue())))
    [b'ab', b'c']
    """
    for piece in pieces:
        if piece:
            out.write(len(piece).to_bytes(_LENGTH, "big"))
            out.write(piece)
    out.write(bytes(_LENGTH))


def read_pieces(incoming: BinaryIO) -> Iterator[bytes]:
    """Read pieces up to their end.

    Raises
    ------
    Unavailable
        When the other side ended before it did.

    Examples
    --------
    >>> import io
    >>> list(read_pieces(io.BytesIO(b"")))
    Traceback (most recent call last):
    tidewheel.errors.Unavailable: a transfer ended before its end. Fix: run it again
    """
    while True:
        head = incoming.read(_LENGTH)
        size = int.from_bytes(head, "big")
        if len(head) == _LENGTH and size == 0:
            return
        piece = incoming.read(size) if len(head) == _LENGTH else b""
        if not piece or len(piece) != size:
            raise Unavailable("a transfer ended before its end", fix="run it again")
        yield piece
