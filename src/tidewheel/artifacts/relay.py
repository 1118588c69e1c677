"""Artifacts on a worker that cannot reach the store: kept here, and relayed to and from the driver by digest."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import parse_qs, unquote, urlsplit

from obstore.store import LocalStore

from tidewheel.artifacts.store import RENEW_SECONDS, ArtifactStore
from tidewheel.digest import Digest
from tidewheel.errors import NotFound, Unavailable
from tidewheel.ports.relay import RELAY, read_pieces, write_pieces


class RelayedStore(ArtifactStore):
    """A local store that asks a relay for what it does not have, and hands on what is put into it before ``put`` returns."""

    def __init__(self, folder: Path, address: str, *, url: str) -> None:
        super().__init__(LocalStore(folder, mkdir=True), url=url, root=folder)
        self._address = address

    @classmethod
    def open(cls, url: str, *, copies: Path | None = None, renew_seconds: float = RENEW_SECONDS) -> ArtifactStore:
        """Open a relayed store, or any other by its own URL."""
        parts = urlsplit(url)
        if parts.scheme != RELAY:
            return ArtifactStore.open(url, copies=copies, renew_seconds=renew_seconds)
        return cls(Path(unquote(parts.path)), parse_qs(parts.query)["socket"][0], url=url)

    def put(self, data: bytes | Path | Iterable[bytes]) -> Digest:
        """Store bytes here and with the driver."""
        return super().put(data) if isinstance(data, bytes | bytearray | memoryview) else self._hand_on(super().put(data))

    def put_parts(self, parts: Sequence[memoryview]) -> Digest:
        """Store bytes here and with the driver."""
        return self._hand_on(super().put_parts(parts))

    def _hand_on(self, found: Digest) -> Digest:
        with self._ask("put", found) as talk:
            if talk.read(1) == b"Y":
                write_pieces(talk, super().read(found))
                talk.flush()
                if talk.read(1) != b"Y":
                    raise self._gone(found)
        return found

    def get(self, digest: Digest) -> bytes:
        """The bytes, from the driver when they are not here."""
        self._ensure(digest)
        return super().get(digest)

    def read(self, digest: Digest) -> Iterator[bytes]:
        """The bytes piece by piece, from the driver when they are not here."""
        self._ensure(digest)
        return super().read(digest)

    def path(self, digest: Digest) -> Path:
        """A file here, from the driver when it is not."""
        self._ensure(digest)
        return super().path(digest)

    def size(self, digest: Digest) -> int:
        """Length in bytes."""
        self._ensure(digest)
        return super().size(digest)

    def exists(self, digest: Digest) -> bool:
        """Whether it is here or with the driver."""
        if super().exists(digest):
            return True
        with self._ask("has", digest) as talk:
            return talk.read(1) == b"Y"

    def _ensure(self, digest: Digest) -> None:
        if super().exists(digest):
            return
        with self._ask("get", digest) as talk:
            answer = talk.read(1)
            if answer == b"N":
                raise NotFound(f"no artifact {digest} with the driver of this run", fix="build it again: tidewheel apply")
            if answer != b"Y":
                raise self._gone(digest)
            super().put(read_pieces(talk))

    def _ask(self, do: str, digest: Digest) -> BinaryIO:
        with socket.socket(socket.AF_UNIX) as opened:
            try:
                opened.connect(self._address)
            except OSError as error:
                raise self._gone(digest) from error
            talk = opened.makefile("rwb")
        talk.write(json.dumps({"do": do, "digest": digest}).encode() + b"\n")
        talk.flush()
        return cast(BinaryIO, talk)

    def _gone(self, digest: Digest) -> Unavailable:
        return Unavailable(f"artifact {digest} did not get through to the driver of this run", fix="run it again")
