"""Answer services that only look rows up, which most do: one read, one loop, nothing else.

What is not plain is left to :mod:`tidewheel.features.prepare`, which knows all cases, and says what is wrong with a request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from tidewheel.clock import Micros
from tidewheel.errors import KeyTypeMismatch
from tidewheel.features import json_kernel, row_kernel
from tidewheel.features.keys import KeyCodec
from tidewheel.features.online_view import OnlineView
from tidewheel.ports.online_store import OnlineStore

NEWEST = 16
"""Open rows of a key that are read at first, where these tell the answer: a busy key has thousands."""

Found = tuple[list[list[object]], list[list[bytes | None]]]
"""Values of every request, and of each use the row that was found for every request."""


class PlainLookups:
    """Answers some uses of views at once.

    Parameters
    ----------
    uses
        Views, and the names of the request's values that are the key of each.
    marks
        Keys of the rows that say that the views are materialised.
    """

    __slots__ = ("_marks", "_read", "_uses", "_writers")

    def __init__(self, store: OnlineStore, uses: Sequence[tuple[OnlineView, Sequence[str]]], marks: Sequence[bytes]) -> None:
        self._read = store.read
        self._marks = list(marks)
        self._uses = [
            (codec.prefix, names[0], view.reader, None if codec.one_integer else _encoder(codec, tuple(names)))
            for view, names in uses
            for codec in (view.layout.keys,)
        ]
        self._writers = [view.writer() for view, _ in uses]

    @staticmethod
    def takes(view: OnlineView, names: Sequence[str]) -> bool:
        """Whether a use is plain: there is a key, and every feature is of its latest row."""
        return view.one_row and view.reads_newest and len(names) > 0

    def find(self, requests: Sequence[Mapping[str, object]], at: Sequence[Micros]) -> Found | None:
        """Values of every request, and of each use the row that was found for every request.

        ``None`` when something about a request, or about what is stored, is out of the ordinary.
        """
        if type(requests) is not list:
            return None
        times = at if type(at) is list else list(at)
        found: Found | None = row_kernel.find_latest(  # type: ignore[assignment]  # a cast takes its time
            self._read, self._uses, marks=self._marks, requests=requests, times=times, newest=NEWEST
        )
        return found

    def write(
        self,
        requests: Sequence[Mapping[str, object]],
        at: Sequence[Micros],
        *,
        parts: tuple[bool, bool],
        ends: tuple[bytes, bytes],
    ) -> bytes | None:
        """JSON of what :meth:`find` finds (:func:`tidewheel.features.json_kernel.write_rows`), without making the values."""
        if type(requests) is not list or not requests:
            return None
        times = at if type(at) is list else list(at)
        found: Found | None = row_kernel.find_latest(  # type: ignore[assignment]
            self._read, self._uses, marks=self._marks, requests=requests, times=times, newest=NEWEST, decoded=False
        )
        if found is None:
            return None
        try:
            written = json_kernel.write_rows(self._writers, found[1], times=times, parts=parts, ends=ends)
        except ValueError:
            return None  # bytes that are no text: told by who makes values of them
        return cast("bytes | None", written)


def _encoder(codec: KeyCodec, names: tuple[str, ...]) -> Callable[[Sequence[Mapping[str, object]]], list[bytes] | None]:
    """Makes the keys of requests; ``None`` when a request lacks a part, or has one of another type."""

    def encode(requests: Sequence[Mapping[str, object]]) -> list[bytes] | None:
        try:
            return codec.encode_many([[request[name] for request in requests] for name in names])
        except (KeyError, KeyTypeMismatch):
            return None  # said by who looks at every request, with its place

    return encode
