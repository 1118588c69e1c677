"""Ids that were answered lately, so that a client that retries gets its answer again and not a second prediction."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b
from threading import Lock

import msgspec

from tidewheel.clock import Micros
from tidewheel.errors import Conflict, DuplicateId
from tidewheel.serving.compute import Prediction


@dataclass(frozen=True, slots=True)
class Given:
    """One answer, as it was given."""

    id: str
    prediction: Prediction
    model: str
    version: int
    arm: str
    at: Micros


class Memory:
    """The last answers by the id that a client chose.

    The same id with the same inputs (and the same ``at``, where the client gives one) is the same request: it gets the first
    answer. With others it is a mistake of the client's: ``DuplicateId``. Ids that the server makes up are not remembered as
    they are given; nobody repeats them. A server that starts can be told what the log holds: :meth:`keep`.

    Examples
    --------
    >>> memory = Memory(capacity=2)
    >>> memory.claim("eta", "a", content=b"x", at=None) is None
    True
    >>> memory.keep("eta", b"x", Given("a", 1.5, "eta", 1, "champion", Micros(0)))
    >>> memory.claim("eta", "a", content=b"x", at=None).prediction
    1.5
    """

    def __init__(self, *, capacity: int = 100_000) -> None:
        self._capacity = capacity
        self._given: OrderedDict[tuple[str, str], tuple[bytes, Given | None]] = OrderedDict()
        self._lock = Lock()

    def claim(self, deployment: str, id: str, *, content: bytes, at: Micros | None) -> Given | None:
        """The answer that was given to this id; or ``None``, and the id is yours until :meth:`keep` or :meth:`release`."""
        with self._lock:
            found = self._given.get((deployment, id))
            if found is None:
                self._store(deployment, id, (content, None))
                return None
        kept, given = found
        if kept != content or (given is not None and at is not None and at != given.at):
            raise DuplicateId(
                f"id {id[:80]!r} was used for another request", where="id", fix="use a new id for each prediction, or none"
            )
        if given is None:
            raise Conflict(
                f"id {id[:80]!r} is being answered", where="id", fix="retry in a moment: the answer will be repeated"
            )
        return given

    def keep(self, deployment: str, content: bytes, given: Given) -> None:
        """Remember an answer."""
        with self._lock:
            self._store(deployment, given.id, (content, given))

    def release(self, deployment: str, id: str) -> None:
        """Forget a claim that came to nothing."""
        with self._lock:
            found = self._given.get((deployment, id))
            if found is not None and found[1] is None:
                del self._given[deployment, id]

    def _store(self, deployment: str, id: str, entry: tuple[bytes, Given | None]) -> None:
        self._given[deployment, id] = entry
        while len(self._given) > self._capacity:
            self._given.popitem(last=False)


def content_of(inputs: object) -> bytes:
    """What tells one request from another: a digest of its inputs, whatever the order of the names.

    Examples
    --------
    >>> content_of({"a": 1, "b": 2.5}) == content_of({"b": 2.5, "a": 1})
    True
    """
    return blake2b(msgspec.json.encode(inputs, order="deterministic"), digest_size=16).digest()
