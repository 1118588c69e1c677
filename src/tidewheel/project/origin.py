"""Where a build comes from: the code, the versions of everything installed, and the machine. Values in, values out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from tidewheel.digest import Digest

_KEY = "origin"


@dataclass(frozen=True, slots=True)
class Origin:
    """What a build needs to be made again elsewhere.

    Parameters
    ----------
    lock
        Version of every installed distribution.
    local
        Distributions that were installed from a folder: an index does not have them.
    machine
        What makes the same arithmetic come out otherwise.
    """

    python: str
    lock: Mapping[str, str]
    local: tuple[str, ...] = ()
    machine: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """The origin as JSON."""
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, data: bytes) -> Origin:
        """Read what :meth:`to_json` wrote."""
        return msgspec.json.decode(data, type=cls)


def with_origin(output: bytes, *, code: Digest, origin: Digest) -> bytes:
    """A build's output that says where it comes from.

    Examples
    --------
    >>> found = with_origin(b'{"version": "eta:1"}', code=Digest("tw1-a"), origin=Digest("tw1-b"))
    >>> find_origin(found)
    ('tw1-a', 'tw1-b')
    >>> find_origin(b"{}") is None
    True
    """
    return json.dumps(json.loads(output) | {_KEY: {"code": code, "made": origin}}).encode()


def find_origin(output: bytes) -> tuple[Digest, Digest] | None:
    """The artifacts of the code and of the :class:`Origin`; ``None`` in a build from before they were kept."""
    found = json.loads(output).get(_KEY)
    return None if found is None else (Digest(found["code"]), Digest(found["made"]))
